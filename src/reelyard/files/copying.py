"""Copying a file block by block, so that a copy which broke off goes on where it stopped.

    ab12….mp4.part      the bytes so far
    ab12….mp4.blocks    the SHA-256 of each block (8 MiB; the last may be shorter), 32 bytes each

A digest is taken of what came from the source, before the disk had it, and is written after its
block. So whatever a kill, a power cut or a bad disk left is told by comparing the two: the copy keeps its
blocks up to the first that is not as it was read, and goes on from there. Both files belong to one version of
one source; who names them sees to that.

A finished part has the size that was promised, its bytes were read back from the disk's side, and
the source is the same version after the copy as before it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, Self

from .places import Identity, Source

BLOCK = 8 << 20
_READ = 4 << 20  # at most this much is read between two calls of check()
_FLUSHED_BLOCKS = 8  # so many are brought to the disk at once
_DIGEST = hashlib.sha256().digest_size


class _Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Moved:
    """What a copy came to, in bytes, and the digests of all its blocks one after the other."""

    digests: bytes = b""
    resumed: int = 0
    copied: int = 0


class SourceChanged(OSError):
    """The source is another version now than the one that the copy began with."""


@dataclass(frozen=True, slots=True)
class BlockCopy:
    """A copy of one version of a source into ``part``, on top of what an earlier try left there."""

    source: Source
    identity: Identity
    part: Path
    blocks: Path
    check: Callable[[], None]
    told: Callable[[int], None]

    def run(self) -> Moved:
        """Copy what is missing and see that it is whole.

        Whatever stops it, the part stays for the next try, unless the source changed, which makes it
        useless, or the disk is full, where it is in everybody's way.
        """
        try:
            moved = self._copy()
            self._verify(moved)
        except OSError as error:
            if isinstance(error, SourceChanged) or error.errno in (errno.ENOSPC, errno.EDQUOT):
                self.part.unlink(missing_ok=True)
                self.blocks.unlink(missing_ok=True)
            raise
        return moved

    def _copy(self) -> Moved:
        digests = self._resume()
        resumed = min(len(digests) // _DIGEST * BLOCK, self.identity.size)
        digests += self._append(resumed)
        return Moved(digests, resumed, self.part.stat().st_size - resumed)

    def _verify(self, moved: Moved) -> None:
        size, named = self.identity.size, self.source.named
        if self.source.identity() != self.identity:
            raise SourceChanged(f"{named} changed while it was copied")
        if moved.resumed + moved.copied != size:
            raise OSError(f"{named} ended after {moved.resumed + moved.copied} of {size} bytes")
        if not is_whole(self.part, moved.digests, size, self.check):
            raise OSError(f"The disk of {self.part.parent} did not keep {named} as it was written")

    def _resume(self) -> bytes:
        """Cut an earlier try down to the blocks that are as they were read; their digests."""
        self.part.touch()
        self.blocks.touch()
        digests = self.blocks.read_bytes()
        good = good_blocks(self.part, digests, self.identity.size, self.check)
        os.truncate(self.part, min(good * BLOCK, self.identity.size))
        os.truncate(self.blocks, good * _DIGEST)
        return digests[: good * _DIGEST]

    def _append(self, start: int) -> bytes:
        """Copy from this byte on; the digests of the blocks that came whole."""
        digests, size = bytearray(), self.identity.size
        with (
            self.source.fs.open(self.source.path, "rb", block_size=_READ) as file,
            self.part.open("ab", buffering=0) as part,
            self.blocks.open("ab", buffering=0) as blocks,
            _Behind(part) as behind,
        ):
            file.seek(start)
            for at in range(start, size, BLOCK):
                digest = self._copy_block(file, part, behind, min(BLOCK, size - at))
                if digest is None:
                    break
                _write(blocks, digest)
                digests += digest
            behind.flush()  # the note that comes later must not outlive the bytes
        return bytes(digests)

    def _copy_block(
        self, file: _Readable, part: FileIO, behind: _Behind, length: int
    ) -> bytes | None:
        """Copy one block; its digest, None if the source ended before it did."""
        found = hashlib.sha256()
        while length:
            self.check()
            data = file.read(min(length, _READ))
            if not data:
                return None
            behind.update(found, data)
            _write(part, data)
            length -= len(data)
            self.told(len(data))
        return behind.digest(found)


class _Behind:
    """What follows close behind a copy, so that the source is not kept waiting: hashing, and bringing the bytes to
    the disk. Waiting for that in the end only would take as long again on a slow disk."""

    def __init__(self, part: FileIO) -> None:
        self._part = part
        self._hashing = ThreadPoolExecutor(1, "hash")
        self._flushing = ThreadPoolExecutor(1, "flush")
        self._flushed: Future[None] | None = None
        self._blocks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hashing.shutdown()
        self._flushing.shutdown()

    def update(self, found: Any, data: bytes) -> None:
        self._hashing.submit(found.update, data)

    def digest(self, found: Any) -> bytes:
        """The digest of all that was given, at the end of a block."""
        digest: bytes = self._hashing.submit(found.digest).result()
        self._blocks += 1
        if self._blocks % _FLUSHED_BLOCKS == 0 and (not self._flushed or self._flushed.done()):
            self.flushed()
            self._flushed = self._flushing.submit(os.fsync, self._part.fileno())
        return digest

    def flush(self) -> None:
        """All that was written is on the disk."""
        self.flushed()
        os.fsync(self._part.fileno())

    def flushed(self) -> None:
        """Raises what the last flush failed of."""
        if self._flushed is not None:
            self._flushed.result()


def good_blocks(path: Path, digests: bytes, size: int, check: Callable[[], None]) -> int:
    """How many blocks of a file, from its start, are the ones of these digests."""
    known = min(len(digests) // _DIGEST, _blocks(size))
    with path.open("rb", buffering=0) as file:
        for number in range(known):
            length = min(BLOCK, size - number * BLOCK)
            if _digest(file, length, check) != digests[number * _DIGEST :][:_DIGEST]:
                return number
    return known


def is_whole(path: Path, digests: bytes, size: int, check: Callable[[], None]) -> bool:
    """Whether the file, which has this size, has the blocks of these digests. Reads all of it."""
    return good_blocks(path, digests, size, check) == _blocks(size)


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _digest(file: _Readable, length: int, check: Callable[[], None]) -> bytes:
    """The digest of the next bytes, or of fewer if the file ends."""
    found = hashlib.sha256()
    while length:
        check()
        data = file.read(min(length, _READ))
        if not data:
            break
        found.update(data)
        length -= len(data)
    return found.digest()


def _write(file: FileIO, data: bytes) -> None:
    """Write all of it; a disk that fills up takes a piece first and fails at the next."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
