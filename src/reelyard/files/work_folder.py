"""Work folders: a job's own place beside the cache, removed however the job ends.

A folder is held by a lock that the operating system drops with its process. So the folders of killed
jobs are told from those of running ones, and the next job removes them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def work_folder(root: Path) -> Iterator[Path]:
    """A new empty folder under ``root``, gone when the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    name = uuid.uuid4().hex[:12]
    lock_path = root / f"{name}.lock"
    try:
        with FileLock(lock_path):
            folder = root / name
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        _unlink(lock_path)


def _remove_abandoned(root: Path) -> None:
    for lock_path in root.glob("*.lock"):
        try:
            with FileLock(lock_path, timeout=0):
                shutil.rmtree(root / lock_path.stem, ignore_errors=True)
        except Timeout:
            continue  # its job is running
        _unlink(lock_path)


def _unlink(lock_path: Path) -> None:
    """Where another process just opened it to look, that one will remove it (Windows)."""
    with suppress(OSError):
        lock_path.unlink()
