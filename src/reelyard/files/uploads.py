"""Files that come in over the network: whole under a name of their own, or not there at all.

    folder/ann/.1f2e….part     on its way
    folder/ann/clip (2).mp4    here

A file that comes gets its name by a hard link, which fails where the name is taken: nothing is written
over, whoever else writes there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from . import atomic, names

_PART = ".part"
_LONGEST_NAME = 150  # bytes; file systems take 255
_MOST_OF_A_NAME = 10_000
_ABANDONED_SECONDS = 24 * 3600


class Incoming:
    """One file on its way into ``folder``. Ends with ``settle`` or ``discard``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.part = folder / f".{uuid.uuid4().hex}{_PART}"
        self._file = self.part.open("xb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def close(self) -> None:
        """All of it is there, and on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def settle(self, name: str) -> Path:
        """Give the closed file its name, or a numbered one where it is taken. Where the same bytes are
        there already under such a name, it is that file."""
        for wanted in _names(name):
            target = self._folder / wanted
            if _claim(self.part, target):
                return target
            if self._is_at(target):
                self.discard()
                return target
        raise FileExistsError(f"{name} is taken {_MOST_OF_A_NAME} times")

    def discard(self) -> None:
        """Leave nothing. Does no harm after ``settle``."""
        with suppress(OSError):  # it writes what it holds back, for nothing
            self._file.close()
        self.part.unlink(missing_ok=True)

    def _is_at(self, target: Path) -> bool:
        try:
            same_size = target.is_file() and target.stat().st_size == self.size
            return same_size and atomic.digest(target) == self._digest.hexdigest()
        except OSError:
            return False  # it went away or can't be read: another one


def free_bytes(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


def remove_abandoned(folder: Path) -> int:
    """Remove what a process that ended left half-done a day ago; how many there were."""
    horizon = time.time() - _ABANDONED_SECONDS
    removed = 0
    for path in folder.glob(f"*/.*{_PART}"):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < horizon:
                path.unlink()
                removed += 1
    return removed


def plain_name(name: str) -> str:
    """The name of a file as any system can hold it: the last part of a path, with its suffix."""
    last = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    kept = "".join(one if one.isprintable() and one not in names.RESERVED else "_" for one in last)
    stem, suffix = os.path.splitext(kept.strip(" ."))  # noqa: PTH122 - what begins with a dot is gone
    room = _LONGEST_NAME - len(suffix.encode())
    made = (names.short(stem, max(room, 1)) or "unnamed") + suffix
    return f"_{made}" if names.is_device(made) else made


def _names(name: str) -> Iterator[str]:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - as in plain_name
    yield name
    for number in range(2, _MOST_OF_A_NAME + 1):
        yield f"{stem} ({number}){suffix}"


def _claim(part: Path, target: Path) -> bool:
    """Have the file at ``target``; False where something is there."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links: take the name first, then fill it
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        atomic.replace(part, target)
        return True
    part.unlink()
    return True
