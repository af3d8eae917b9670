"""The copy cache: a worker's own copies of sources that lie on shares.

    root/copies/ab/ab12….mp4         the bytes, under a hash of the source's identity
    root/copies/ab/ab12….mp4.json    their size and digests, and whose they are
    root/copies/ab/ab12….mp4.part    a copy that isn't finished, and its digests (``copying``)
    root/copies/ab/ab12….mp4.blocks
    root/copies/ab/ab12….mp4.lock    held by whoever copies, checks or evicts this entry
    root/pins/<pin>/ab12….mp4        a hard link for each job that uses the entry

The note is written last, so an entry exists when its note does. By then the copy has been read back and
the source found unchanged: an entry is one version of the source, whole. Another version has another
identity and so another name. The entry's time of modification is the source's, so what is remembered
of a file by path, size and time holds for a later copy as well.

An entry with a pin is never evicted, because its user reads it under its own name. Eviction looks for pins
with the lock held, and a pin is given under the same lock. A copy that breaks off, by a stop or by a
kill, goes on where it was at the next try; after a day without one it is removed. Two who want the same
source at once copy it once: the second waits.

What the system refuses is raised as the OSError that it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import quote, unquote

from . import atomic, copy_entry
from .copy_entry import BLOCKS, LOCK, NOTE, PART, Entry, beside
from .copying import BlockCopy, Moved
from .places import Identity, Source

COPIES = "copies"
"""The folder of the copies, in the root."""
_ABANDONED_SECONDS = 24 * 3600
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A source that is here now, and what that took. Sizes are in bytes.

    ``copied`` came from the source just now, ``resumed`` was left of an earlier try. ``seconds``
    doesn't count waiting for somebody else who copies it.
    """

    path: Path
    size: int
    copied: int
    resumed: int
    seconds: float
    was_here: bool


@dataclass(frozen=True, slots=True)
class CopyCache:
    """A folder of copies. ``limit`` is in bytes; what is pinned may exceed it."""

    root: Path
    limit: int

    def path(self, identity: Identity) -> Path:
        """Where the copy of this version of a source is or would be: the same for every job."""
        text = json.dumps([identity.path, identity.size, identity.version])
        name = hashlib.sha256(text.encode()).hexdigest()
        return self.root / COPIES / name[:2] / f"{name}{_suffix(identity.path)}"

    def holds(self, identity: Identity) -> bool:
        """Whether there is a copy of the right size. Its bytes are looked at on use only."""
        return copy_entry.read(self.path(identity)) is not None

    def fetch(
        self,
        source: Source,
        pin: str,
        check: Callable[[], None],
        told: Callable[[int], None] = lambda _: None,
    ) -> Copied:
        """See that a source is here, whole, and stays until ``pin`` is let go of.

        ``check`` is called before each read and several times a second while waiting; what it
        raises stops the copy, which goes on from there next time. ``told`` gets the bytes as they come.
        """
        check()
        identity = source.identity()
        path = self.path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        with copy_entry.held(path, _Waiting(beside(path, PART), check, told)):
            started = time.monotonic()
            was_here = _usable(path, check)
            moved = Moved() if was_here else self._copy(source, identity, check, told)
            self._pin(path, pin)
            copy_entry.touch(path)
        return Copied(
            path=path,
            size=identity.size,
            copied=moved.copied,
            resumed=moved.resumed,
            seconds=time.monotonic() - started,
            was_here=was_here,
        )

    def unpin(self, pin: str) -> None:
        """Let go of all that is pinned under a name."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._pin_folder(pin))

    def pins(self) -> list[str]:
        """The names that something is pinned under, in order."""
        folders = (self.root / "pins").glob("*")
        return sorted(unquote(folder.name, errors="surrogateescape") for folder in folders)

    def drop_old_pins(self, seconds: float) -> None:
        """Let go of what was pinned so long ago that whoever did it is gone."""
        horizon = time.time() - seconds
        for folder in (self.root / "pins").glob("*"):
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < horizon:
                    shutil.rmtree(folder)

    def entries(self) -> Iterator[Entry]:
        """All whole copies, in no order."""
        for note in self._files(NOTE):
            if entry := copy_entry.read(copy_entry.owner(note)):
                yield entry

    def discard(self, source: Source) -> None:
        """Drop a copy of ``source`` that was broken off and that nobody will go on with."""
        path = self.path(source.identity())
        with copy_entry.held_if_free(path) as held:
            if held and copy_entry.read(path) is None:
                for ending in (PART, BLOCKS):
                    beside(path, ending).unlink(missing_ok=True)

    def trim(self) -> int:
        """Remove abandoned parts, then what is least recently used until the rest fits the limit.

        Pinned copies stay. Returns the bytes freed.
        """
        swept = self._sweep(time.time() - _ABANDONED_SECONDS)
        return swept + self._evict(self._used() - self.limit)

    def make_room(self, size: int) -> int:
        """Evict until ``size`` more bytes fit the limit and the disk, or only pinned copies are left.

        Returns the bytes freed.
        """
        return self._evict(max(self._used() + size - self.limit, size - self.free_bytes()))

    def evict(self, size: int) -> int:
        """Drop copies of ``size`` bytes that nobody uses, the least recently used first.

        Returns the bytes freed.
        """
        return self._evict(size)

    def clear(self) -> int:
        """Drop all that nobody has pinned or copies just now; the number of copies dropped."""
        dropped = sum(self._drop_unused(entry) for entry in list(self.entries()))
        self._sweep(math.inf)
        return dropped

    def free_bytes(self) -> int:
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free

    def _copy(
        self,
        source: Source,
        identity: Identity,
        check: Callable[[], None],
        told: Callable[[int], None],
    ) -> Moved:
        """Make the entry. Room is made before, not when the disk is full for everybody."""
        path = self.path(identity)
        part = beside(path, PART)
        missing = identity.size - copy_entry.size_of(part)
        self.make_room(missing)
        if missing > self.free_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root))
        moved = BlockCopy(source, identity, part, beside(path, BLOCKS), check, told).run()
        copy_entry.write(path, source, identity, moved.digests)
        return moved

    def _pin(self, path: Path, pin: str) -> None:
        name = self._pin_folder(pin) / path.name
        name.parent.mkdir(parents=True, exist_ok=True)
        if name.exists() and name.samefile(path):
            return
        name.unlink(missing_ok=True)
        atomic.link(path, name)

    def _pin_folder(self, pin: str) -> Path:
        """A folder of its own for each name, whatever is in the name."""
        if not pin:
            raise ValueError("A pin has to have a name")
        safe = quote(pin, safe="", errors="surrogateescape").replace(".", "%2E")
        return self.root / "pins" / safe

    def _pinned(self, path: Path) -> bool:
        return any((self.root / "pins").glob(f"*/{path.name}"))

    def _files(self, ending: str = "") -> Iterator[Path]:
        return (self.root / COPIES).glob(f"*/*{ending}")

    def _used(self) -> int:
        """Bytes of copies on the disk, those under way among them."""
        small = (NOTE, BLOCKS, LOCK)
        return sum(copy_entry.size_of(one) for one in self._files() if one.suffix not in small)

    def _evict(self, excess: int) -> int:
        if excess <= 0:
            return 0
        freed = 0
        for entry in sorted(self.entries(), key=lambda entry: entry.used):
            if freed >= excess:
                break
            if self._drop_unused(entry):
                freed += entry.size
        return freed

    def _drop_unused(self, entry: Entry) -> bool:
        """Drop an entry unless it is pinned or somebody is at it; whether it was dropped."""
        with copy_entry.held_if_free(entry.path) as held:
            unused = held and not self._pinned(entry.path)
            if unused:
                copy_entry.drop(entry.path)
        return unused

    def _sweep(self, horizon: float) -> int:
        """Remove what belongs to no entry and was last written before ``horizon``; the bytes freed."""
        stale = [path for path in self._files() if copy_entry.stale(path, horizon)]
        locks_last = sorted(stale, key=lambda path: path.suffix == LOCK)
        return sum(self._remove(path, horizon) for path in locks_last)

    def _remove(self, path: Path, horizon: float) -> int:
        """Remove a stale file unless somebody is at its entry; the bytes freed."""
        with copy_entry.held_if_free(copy_entry.owner(path)) as held:
            if not held or self._pinned(path) or not copy_entry.stale(path, horizon):
                return 0
            size = copy_entry.size_of(path)
            if os.name == "posix" or path.suffix != LOCK:  # Windows removes a lock with its holder
                path.unlink(missing_ok=True)
        return size


class _Waiting:
    """Called while somebody else copies: tells whether that gets on."""

    def __init__(self, part: Path, check: Callable[[], None], told: Callable[[int], None]) -> None:
        self._part = part
        self._check = check
        self._told = told
        self._size = copy_entry.size_of(part)

    def __call__(self) -> None:
        self._check()
        size = copy_entry.size_of(self._part)
        if size != self._size:
            self._size = size
            self._told(0)


def _usable(path: Path, check: Callable[[], None]) -> bool:
    """Whether there is an entry that can be given out; one that can't be is dropped."""
    entry = copy_entry.read(path)
    if entry is None:
        copy_entry.take_apart(path)
        return False
    if not entry.untouched(check):
        copy_entry.drop(path)
        return False
    return True


def _suffix(path: str) -> str:
    """The ending of a name, for programs that look at it, if it is an ordinary one."""
    suffix = PurePath(path).suffix.lower()
    ordinary = _SUFFIX.fullmatch(suffix) and suffix not in (NOTE, PART, BLOCKS, LOCK)
    return suffix if ordinary else ""
