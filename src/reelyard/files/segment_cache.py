"""The segment cache: everything rendered once, under its content key.

    root/entries/ab/ab12….mp4        the bytes
    root/entries/ab/ab12….mp4.json   their size and SHA-256, and what was measured of them
    root/identity                    tells this cache from all others, for processes that ask whether they share one

The note is written last, so an entry exists when its note does. Each use compares the bytes with the
note: a damaged entry is dropped and made again. A user of an entry gets a hard link of its own; eviction
can take the entry's name away, never bytes that somebody uses. Two processes that make the same
segment make the same bytes, so whoever comes second replaces like with like. Nothing here needs a
lock, and nothing can be left in a state that has to be repaired.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import atomic

_NOTE = ".json"
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cached file. ``used`` is when it was last asked for (seconds since 1970)."""

    key: str
    path: Path
    size: int
    used: float
    note: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SegmentCache:
    """A folder of segments. ``limit`` is in bytes."""

    root: Path
    limit: int

    def identity(self) -> str:
        """What no other cache is called, on any machine. Made when first asked for. Raises OSError."""
        mark = self.root / "identity"
        if known := _identity(mark):
            return known
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(mark.with_suffix(".lock")):
            if _identity(mark) is None:
                atomic.write_text(mark, uuid.uuid4().hex)
        return mark.read_text("ascii")

    def path(self, key: str, suffix: str) -> Path:
        return self.root / "entries" / key[:2] / f"{key}{suffix}"

    def holds(self, key: str, suffix: str) -> bool:
        """Whether there is an entry of the right size. Its bytes are looked at on use only."""
        return self._entry(self.path(key, suffix)) is not None

    def take(self, key: str, suffix: str, link_to: Path) -> Entry | None:
        """Give the caller an entry as ``link_to``; None if there is none that is whole."""
        path = self.path(key, suffix)
        entry = self._entry(path)
        if entry is None:
            return None
        try:
            atomic.link(path, link_to)
        except FileNotFoundError:
            return None  # evicted since we looked: the same as never there
        if atomic.digest(link_to) != entry.note["sha256"]:
            link_to.unlink()
            self._drop(path)
            return None
        self._touch(path)
        return entry

    def add(self, key: str, suffix: str, made: Path, facts: Mapping[str, Any]) -> Entry:
        """Put a finished, checked file under its key, keeping ``made`` as the caller's own link."""
        path = self.path(key, suffix)
        size = made.stat().st_size
        note = {"sha256": atomic.digest(made), "size": size, "facts": dict(facts)}
        note["seal"] = _seal(note)
        for last in (False, False, True):
            try:
                self._store(path, made, json.dumps(note))
                break
            except FileNotFoundError:
                if last or not made.exists():
                    raise  # otherwise somebody cleared the cache just now: once more
        return Entry(key=key, path=path, size=size, used=time.time(), note=note)

    def _store(self, path: Path, made: Path, note: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.part")
        try:
            atomic.link(made, temporary)
            atomic.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        atomic.write_text(_note_of(path), note)

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order."""
        for note in (self.root / "entries").glob(f"*/*{_NOTE}"):
            if entry := self._entry(note.with_name(note.name.removesuffix(_NOTE))):
                yield entry

    def trim(self) -> int:
        """Drop the least recently used entries until the rest fit the limit; the bytes freed."""
        self._sweep()
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        return self._evict(entries, sum(entry.size for entry in entries) - self.limit)

    def make_room(self, size: int, keep: Collection[str]) -> int:
        """Drop the least recently used entries of so many bytes, but no key of ``keep``.

        Returns the bytes freed.
        """
        others = (entry for entry in self.entries() if entry.key not in keep)
        return self._evict(sorted(others, key=lambda entry: entry.used), size)

    def _evict(self, entries: Sequence[Entry], excess: int) -> int:
        freed = 0
        for entry in entries:
            if freed >= excess:
                break
            if self._drop(entry.path):
                freed += entry.size
        return freed

    def clear(self) -> int:
        """Drop everything; the number of entries dropped."""
        entries = list(self.entries())
        for entry in entries:
            self._drop(entry.path)
        self._sweep()
        return len(entries)

    def free_bytes(self) -> int:
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def _entry(self, path: Path) -> Entry | None:
        note_path = _note_of(path)
        try:
            note = json.loads(note_path.read_bytes())
            size, used = path.stat().st_size, note_path.stat().st_mtime
            whole = note["size"] == size and note.pop("seal") == _seal(note)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None
        key = path.name.partition(".")[0]
        return Entry(key=key, path=path, size=size, used=used, note=note) if whole else None

    def _touch(self, path: Path) -> None:
        """Mark an entry as just used; one that was evicted meanwhile needs no mark."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(_note_of(path))

    def _drop(self, path: Path) -> bool:
        """Whether it is gone: Windows keeps what somebody has open, until the next time."""
        return atomic.remove(_note_of(path)) and atomic.remove(path)

    def _sweep(self) -> None:
        """Remove what a killed process or a bad disk left behind: temporary names, halves of entries."""
        horizon = time.time() - _ABANDONED_SECONDS
        for path in (self.root / "entries").glob("*/*"):
            data = path.with_name(path.name.removesuffix(_NOTE))
            abandoned = path.name.endswith(".part") or self._entry(data) is None
            try:
                if abandoned and path.stat().st_mtime <= horizon:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process swept it


def _identity(mark: Path) -> str | None:
    """What is written there, if it is whole."""
    try:
        written = mark.read_text("ascii", "replace")
    except FileNotFoundError:
        return None
    return written if _IDENTITY.fullmatch(written) else None


def _seal(note: Mapping[str, Any]) -> str:
    """A checksum of everything else in a note."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + _NOTE)
