"""Which system this is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

MOUNTS = Path("/proc/mounts")
"""Linux's list of what is mounted; other systems have no such file."""
NVIDIA = Path("/proc/driver/nvidia")
"""Where NVIDIA's driver for Linux tells of itself."""


class System(Protocol):
    """What differs between systems."""

    def start(
        self, argv: Sequence[str], *, hidden: bool = False, **options: Any
    ) -> subprocess.Popen[bytes]: ...

    def kill(self, process: subprocess.Popen[bytes]) -> None: ...

    def ask_to_end(self, process: subprocess.Popen[bytes]) -> None: ...

    def die_with_parent(self) -> None: ...

    def end_this_process(self) -> None: ...

    def around_forks(self, before: Callable[[], None], after: Callable[[], None]) -> None: ...

    def cores(self) -> int: ...

    def user(self) -> int: ...

    def graphics_driver(self) -> str: ...

    def on_network(self, path: str) -> bool: ...

    def exposed_to(self, path: Path) -> str | None: ...

    def protection(self, path: Path) -> str: ...


@cache
def this_system() -> System:
    if sys.platform == "win32":
        import ctypes

        from .windows import Windows

        return Windows(
            ctypes.WinDLL("kernel32", use_last_error=True),
            ctypes.WinDLL("advapi32", use_last_error=True),
        )
    from . import posix

    return posix
