"""Slots: so many may do something at once, over all processes of the machine.

Each slot is a lock that the operating system drops with its process, so a killed one leaves none taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

_FIRST_LOOK = 0.05
_LONGEST_LOOK = 0.5


class Slots:
    """``limit`` slots in a folder. Processes that use the same folder share them."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self.limit = limit

    @contextmanager
    def one(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait for a free slot and hold it. ``check`` is called while it waits; it may raise to stop."""
        self._folder.mkdir(parents=True, exist_ok=True)
        pause = _FIRST_LOOK
        while (lock := self._free()) is None:
            check()
            time.sleep(pause)
            pause = min(_LONGEST_LOOK, 1.5 * pause)
        try:
            yield
        finally:
            lock.release()

    def _free(self) -> FileLock | None:
        return next(filter(None, map(self._taken, range(self.limit))), None)

    def _taken(self, number: int) -> FileLock | None:
        """The slot, taken; None if somebody has it. Threads count as processes do."""
        lock = FileLock(self._folder / f"{number}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claim what the folder stands for, for as long as this goes on. Whether nobody else has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "claim.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
