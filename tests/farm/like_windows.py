"""A worker as on Windows, as far as that goes elsewhere: ``python -m tests.farm.like_windows --name …``.

No forks, the pool of threads that suits Windows, Celery's loop without an event loop, nothing that dies with its
parent, and it ends itself in the way that Windows has.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from reelyard.cli.main import main
from reelyard.farm import celery_app
from reelyard.system import posix
from reelyard.system.windows import Windows
from tests.unit.test_platform_windows import Library


class LikeWindows(Windows):
    """Windows' own ways, but for what only its kernel can do."""

    def start(self, *arguments: Any, **options: Any) -> Any:
        return posix.start(*arguments, **options)

    def kill(self, process: Any) -> None:
        posix.kill(process)


def be_windows() -> None:
    system = LikeWindows(Library(), Library())
    with (
        patch("reelyard.system.processes.this_system", lambda: system),
        patch("reelyard.farm.up.POOL", "threads"),
        patch("reelyard.farm.configuration.POOL", "threads"),
        patch.object(celery_app.app, "IS_WINDOWS", True),
    ):
        main()


if __name__ == "__main__":
    be_windows()
