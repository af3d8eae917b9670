"""One entry of the copy cache: the files that lie side by side, the note, the lock.

Who holds an entry's lock may make, check, pin or drop it. The system lets go of the lock with its process.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from . import atomic
from .copying import is_whole
from .places import Identity, Source

NOTE, PART, BLOCKS, LOCK = ".json", ".part", ".blocks", ".lock"
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Entry:
    """One whole copy, ``size`` in bytes. ``used`` is when it was last asked for (seconds since 1970)."""

    path: Path
    size: int
    used: float
    note: Mapping[str, Any]

    def untouched(self, check: Callable[[], None]) -> bool:
        """Whether the bytes are those that were copied.

        They are read only if the time of modification says that somebody wrote to them: sources are
        large. Where it alone changed it is put back.
        """
        modified = self.note["modified"]
        if self.path.stat().st_mtime_ns == modified:
            return True
        if not is_whole(self.path, bytes.fromhex(self.note["blocks"]), self.size, check):
            return False
        os.utime(self.path, ns=(modified, modified))
        return True


def beside(path: Path, ending: str) -> Path:
    """One of the files that belong to an entry."""
    return path.with_name(path.name + ending)


def read(path: Path) -> Entry | None:
    """The entry at a path; None where bytes or note are missing, cut short or not of each other."""
    note_path = beside(path, NOTE)
    try:
        note = json.loads(note_path.read_bytes())
        size, used = path.stat().st_size, note_path.stat().st_mtime
        whole = note["size"] == size and note.pop("seal") == _seal(note)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return Entry(path, size, used, note) if whole else None


def write(path: Path, source: Source, identity: Identity, digests: bytes) -> None:
    """Make a verified part the entry: the source's time, the name, and the note last."""
    part = beside(path, PART)
    if identity.modified is not None:
        os.utime(part, ns=(identity.modified, identity.modified))
    note: dict[str, Any] = {
        "source": asdict(identity),
        "named": source.named,
        "size": identity.size,
        "modified": part.stat().st_mtime_ns,  # as exactly as this file system has it
        "blocks": digests.hex(),
    }
    note["seal"] = _seal(note)
    atomic.replace(part, path)
    atomic.write_text(beside(path, NOTE), json.dumps(note))
    beside(path, BLOCKS).unlink()


def stale(path: Path, horizon: float) -> bool:
    """Whether a file is no part of a whole entry and was last written before ``horizon``."""
    try:
        old = path.stat().st_mtime <= horizon
    except FileNotFoundError:
        return False  # somebody else removed it
    return old and (path.suffix in (PART, BLOCKS, LOCK) or read(owner(path)) is None)


def owner(path: Path) -> Path:
    """The entry that a file belongs to."""
    if path.name.startswith("."):  # a note that is being written
        return path.with_name(path.name[1:].rpartition(f"{NOTE}.")[0])
    return path.with_suffix("") if path.suffix in (NOTE, PART, BLOCKS, LOCK) else path


def size_of(path: Path) -> int:
    """In bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def touch(path: Path) -> None:
    """Mark an entry as just used."""
    now = time.time_ns()  # finer than what the system would put there, so that the order is kept
    os.utime(beside(path, NOTE), ns=(now, now))


def take_apart(path: Path) -> None:
    """Make room for an entry where there is none. Bytes that only lack their note are a part again."""
    beside(path, NOTE).unlink(missing_ok=True)
    if path.exists() and beside(path, BLOCKS).exists():
        atomic.replace(path, beside(path, PART))
    path.unlink(missing_ok=True)


def drop(path: Path) -> None:
    """Windows keeps what somebody has open: what is left is no entry, and is removed the next time."""
    atomic.remove(beside(path, NOTE))
    atomic.remove(path)


@contextmanager
def held(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """Hold an entry's lock, waiting for it; ``check`` is called meanwhile and may raise."""
    lock = FileLock(beside(path, LOCK))
    while not _acquired(lock):
        check()
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold an entry's lock if nobody does; whether it is held."""
    lock = FileLock(beside(path, LOCK))
    free = _acquired(lock)
    try:
        yield free
    finally:
        if free:
            lock.release()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _seal(note: Mapping[str, Any]) -> str:
    """A checksum of everything else in a note."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()
