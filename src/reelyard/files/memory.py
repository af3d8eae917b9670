"""Small facts remembered between runs: what a file holds, what an encoder can do.

A fact is kept under a name made from all that it depends on, so it needs no expiry: when one of
these changes, the name does. An unreadable note counts as forgotten.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import atomic


class Memory:
    """Notes in a folder, each a JSON value."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, *name: str) -> Any | None:
        try:
            return json.loads(self._path(name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def keep(self, value: Any, *name: str) -> None:
        atomic.write_text(self._path(name), json.dumps(value))

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, name: Sequence[str]) -> Path:
        raw = "\0".join(name).encode("utf-8", "surrogateescape")
        found = hashlib.sha256(raw).hexdigest()
        return self._folder / found[:2] / f"{found}.json"
