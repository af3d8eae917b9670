"""Work folders: a job's own place beside the cache, removed however the job ends.

A folder is held by a lock that the operating system drops with its process. So the folders of killed
jobs are told from those of running ones, and the next job removes them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def work_folder(root: Path) -> Iterator[Path]:
    """A new empty folder under ``root``, gone when the block ends."""
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    name = uuid.uuid4().hex[:12]
    with FileLock(root / f"{name}.lock"):
        folder = root / name
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            (root / f"{name}.lock").unlink(missing_ok=True)


def _remove_abandoned(root: Path) -> None:
    for lock_path in root.glob("*.lock"):
        try:
            with FileLock(lock_path, timeout=0):
                shutil.rmtree(root / lock_path.stem, ignore_errors=True)
                lock_path.unlink(missing_ok=True)
        except Timeout:
            continue  # its job is running
