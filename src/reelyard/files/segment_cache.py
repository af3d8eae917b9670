"""The segment cache: everything rendered once, under its content key.

    root/entries/ab/ab12….mp4        the bytes
    root/entries/ab/ab12….mp4.json   their size and SHA-256, and what was measured of them
    root/entries/ab/ab12….mp4.stamp  where somebody made one, a small picture of it, after that picture's SHA-256
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
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import atomic

_NOTE = ".json"
_STAMP = ".stamp"
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


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """An entry as it is looked over, ordered by when it was last asked for."""

    used: float
    size: int
    path: Path


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

    def stamp(self, key: str, suffix: str) -> bytes | None:
        """The small picture that was kept beside an entry; None if there is none that is whole."""
        try:
            raw = _stamp_of(self.path(key, suffix)).read_bytes()
        except OSError:
            return None
        return raw[32:] if hashlib.sha256(raw[32:]).digest() == raw[:32] else None

    def keep_stamp(self, key: str, suffix: str, picture: bytes) -> None:
        """Keep a small picture beside an entry, for as long as that is there. Where it can't be, it is made again."""
        path = self.path(key, suffix)
        if path.exists():
            with contextlib.suppress(OSError):
                seal = hashlib.sha256(picture).digest()
                atomic.write_bytes(_stamp_of(path), seal + picture)

    def entries(self) -> Iterator[Entry]:
        """All entries, in no order."""
        for note in (self.root / "entries").glob(f"*/*{_NOTE}"):
            if entry := self._entry(note.with_name(note.name.removesuffix(_NOTE))):
                yield entry

    def trim(self) -> int:
        """Drop the least recently used entries until the rest fit the limit; the bytes freed."""
        kept = self._look_over()
        return self._evict(kept, sum(one.size for one in kept) - self.limit)

    def make_room(self, size: int, keep: Collection[str]) -> int:
        """Drop the least recently used entries of so many bytes, but no key of ``keep``.

        Returns the bytes freed.
        """
        kept = (one for one in self._look_over() if _key_of(one.path) not in keep)
        return self._evict(kept, size)

    def _evict(self, kept: Iterable[_Kept], excess: int) -> int:
        freed = 0
        for one in sorted(kept):
            if freed >= excess:
                break
            if self._drop(one.path):
                freed += one.size
        return freed

    def clear(self) -> int:
        """Drop everything; the number of entries dropped."""
        entries = list(self.entries())
        for entry in entries:
            self._drop(entry.path)
        self._look_over()
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
        return (
            Entry(key=_key_of(path), path=path, size=size, used=used, note=note) if whole else None
        )

    def _touch(self, path: Path) -> None:
        """Mark an entry as just used; one that was evicted meanwhile needs no mark."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(_note_of(path))

    def _drop(self, path: Path) -> bool:
        """Whether it is gone: Windows keeps what somebody has open, until the next time."""
        return all(map(atomic.remove, (_note_of(path), _stamp_of(path), path)))

    def _look_over(self) -> list[_Kept]:
        """What there is, by names and sizes alone: notes are read on use.

        Removes what a killed process left behind: temporary names, halves of entries.
        """
        horizon = time.time() - _ABANDONED_SECONDS
        kept = []
        for folder in (self.root / "entries").glob("*/"):
            found = _files_in(folder)
            for name, (size, changed) in found.items():
                data = name.removesuffix(_NOTE).removesuffix(_STAMP)
                whole = data in found and data + _NOTE in found and not name.endswith(".part")
                if not whole and changed <= horizon:
                    atomic.remove(folder / name)
                elif whole and name == data:
                    kept.append(_Kept(found[data + _NOTE][1], size, folder / name))
        return kept


def _files_in(folder: Path) -> dict[str, tuple[int, float]]:
    """Sizes and times of change by name. Other processes add and remove files meanwhile."""
    found = {}
    with os.scandir(folder) as listed:
        for one in listed:
            with contextlib.suppress(FileNotFoundError):
                stat = one.stat()
                found[one.name] = (stat.st_size, stat.st_mtime)
    return found


def _identity(mark: Path) -> str | None:
    """What is written there, if it is whole."""
    try:
        written = mark.read_text("ascii", "replace")
    except FileNotFoundError:
        return None
    return written if _IDENTITY.fullmatch(written) else None


def _key_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _seal(note: Mapping[str, Any]) -> str:
    """A checksum of everything else in a note."""
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def _note_of(path: Path) -> Path:
    return path.with_name(path.name + _NOTE)


def _stamp_of(path: Path) -> Path:
    return path.with_name(path.name + _STAMP)
