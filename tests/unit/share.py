"""A share to copy from, which counts its reads, and what tests of the copy cache say again and again."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.places import Source

PLENTY = 1 << 40
READ = 4 << 20
SMALL = 5000
DAY = 24 * 3600


@lru_cache(maxsize=32)
def bytes_of(name: object, size: int = SMALL) -> bytes:
    """What belongs under a name: the same in every process."""
    return random.Random(os.fsencode(str(name))).randbytes(size)


def nothing() -> None:
    """A check that never stops anything."""


class Stopped(Exception):
    """Somebody stopped it."""


class Reader:
    """A file on a share: tells the share of each read before it is done."""

    def __init__(self, file: Any, share: Share) -> None:
        self.file, self.share = file, share

    def read(self, length: int) -> bytes:
        self.share.on_read(self.file.tell(), length)
        data: bytes = self.file.read(min(length, max(0, self.share.ends_at - self.file.tell())))
        return data

    def seek(self, offset: int) -> int:
        return int(self.file.seek(offset))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class Share(LocalFileSystem):  # type: ignore[misc]
    """A slow share. ``reads`` has the offset and length of each read; ``journal`` lists them too."""

    cachable = False

    def __init__(self, delay: float = 0, journal: Path | None = None) -> None:
        super().__init__()
        self.delay, self.journal = delay, journal
        self.ends_at = PLENTY
        self.reads: list[tuple[int, int]] = []
        self.before_read: Callable[[int], object] = lambda _: None

    def on_read(self, offset: int, length: int) -> None:
        self.reads.append((offset, length))
        if self.journal:
            with self.journal.open("a") as file:
                file.write(f"{offset}\n")
        self.before_read(offset)
        time.sleep(self.delay)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Reader:
        return Reader(super()._open(path, mode, **options), self)


def place(nas: Path, name: str, size: int = SMALL, fs: Share | None = None) -> Source:
    """Put a file on the share."""
    path = nas / name
    path.write_bytes(bytes_of(name, size))
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    return Source(fs or Share(), str(path), name)


def get(cache: CopyCache, source: Source, pin: str = "job", **options: Any) -> Copied:
    """Fetch, and see that it is what the source has."""
    found = cache.fetch(source, pin, options.pop("check", nothing), **options)
    assert found.path.read_bytes() == Path(source.path).read_bytes()
    assert found.size == found.path.stat().st_size
    assert found.path == cache.path(source.identity()) and cache.holds(source.identity())
    return found


def files(cache: CopyCache) -> list[Path]:
    return [path for path in (cache.root / "copies").rglob("*") if path.is_file()]


def room(cache: CopyCache) -> int:
    """What still fits the limit, in bytes."""
    small = (".json", ".blocks", ".lock")
    return cache.limit - sum(one.stat().st_size for one in files(cache) if one.suffix not in small)


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def stopping(reads: int) -> Callable[[], None]:
    """A check that raises once it has been asked more than so many times."""
    calls = itertools.count()

    def check() -> None:
        if next(calls) > reads:
            raise Stopped

    return check


def broken_off(cache: CopyCache, source: Source, reads: int) -> Path:
    """Stop a copy after so many reads; the part."""
    with pytest.raises(Stopped):
        cache.fetch(source, "job", stopping(reads))
    source.fs.reads.clear()
    return beside(cache.path(source.identity()), ".part")
