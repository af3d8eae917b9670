"""Small pictures of clips, each made once and kept in a folder of limited size."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from reelyard.domain.errors import (
    BadMedia,
    NotFound,
    RequestInvalid,
    TooManyRequests,
)
from reelyard.domain.job import Item, ItemType, Job
from reelyard.engine.still import thumbnail
from reelyard.files import atomic

from .storage import storage_error

WIDTHS = (160, 320, 640)
_AT_ONCE = 2
_SECONDS = 5.0
_TURN_SECONDS = 30.0
_REMEMBERED_SECONDS = 60.0
_REMEMBERED = 5000
_ITEMS = 5
_FORM = "1"
"""Raise it when pictures are made otherwise than before."""

Make = Callable[[Path, tuple[int, int], Callable[[], None]], bytes]


class Thumbnails:
    """Makes and keeps them. ``contained`` gives a path without links, or raises NotFound."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        contained: Callable[[str | Path], Path],
        make: Make = thumbnail,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._contained = contained
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(_AT_ONCE)
        self._making: dict[str, Future[Path]] = {}
        self._failed: OrderedDict[str, tuple[float, BadMedia]] = OrderedDict()
        self._trimming = threading.Lock()
        self._unweighed: int | None = None  # bytes written since the folder was looked through

    def get(self, path: str | Path, width: int = 320) -> Path:
        """A JPEG of 16:9 that shows the clip. Raises NotFound, BadMedia, TooManyRequests."""
        if width not in WIDTHS:
            raise RequestInvalid(f"there are no pictures {width} wide", field="width",
                                 remedy=f"Choose one of {', '.join(map(str, WIDTHS))}")  # fmt: skip
        source = self._contained(path)
        key = _key(source, width)
        kept = self._folder / key[:2] / f"{key}.jpg"
        if _touch(kept):
            return kept
        with self._lock:
            self._raise_failure(key)
            being_made = self._making.get(key)
            made: Future[Path] = being_made or self._making.setdefault(key, Future())
        if being_made is None:
            self._complete(made, key, source, width, kept)
        return made.result()

    def of_job(self, job: Job, width: int = 320) -> Path | None:
        """The picture of the job's first clip or still that has one; of its others where none has."""
        for item in sorted(job.items, key=_rank)[:_ITEMS]:
            try:
                if item.path:
                    return self.get(item.path, width)
            except (NotFound, BadMedia):
                continue
        return None

    def _complete(self, made: Future[Path], key: str, source: Path, width: int, kept: Path) -> None:
        """Make the picture; whoever asked for it meanwhile is told, too."""
        try:
            if not _touch(kept):
                self._keep(source, width, kept)
        except BaseException as error:
            if isinstance(error, BadMedia):
                self._remember(key, error)
            made.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            made.set_result(kept)
        finally:
            with self._lock:
                del self._making[key]

    def _keep(self, source: Path, width: int, kept: Path) -> None:
        if not self._slots.acquire(timeout=_TURN_SECONDS):
            raise TooManyRequests("too many pictures are being made", retry_after=5,
                                  remedy="Try again in a moment")  # fmt: skip
        try:
            ends_at = self._clock() + _SECONDS

            def check() -> None:
                if self._clock() > ends_at:
                    raise BadMedia("finding a picture in it takes too long", reason="too_slow",
                                   remedy="Export it again, as MP4 for example")  # fmt: skip

            data = self._make(source, (width, width * 9 // 16), check)
        finally:
            self._slots.release()
        try:
            atomic.write_bytes(kept, data)
            self._weigh(len(data))
        except OSError as error:
            raise storage_error(error) from error

    def _raise_failure(self, key: str) -> None:
        found = self._failed.get(key)
        if found is None:
            return
        if self._clock() - found[0] < _REMEMBERED_SECONDS:
            raise BadMedia(found[1].message, remedy=found[1].remedy, reason=found[1].reason)
        del self._failed[key]

    def _remember(self, key: str, error: BadMedia) -> None:
        with self._lock:
            self._failed[key] = (self._clock(), error)
            while len(self._failed) > _REMEMBERED:
                self._failed.popitem(last=False)

    def _weigh(self, size: int) -> None:
        """Drop the least recently used pictures once in a while, when there may be too many."""
        with self._trimming:
            unweighed = self._unweighed
            if unweighed is not None and unweighed + size < self._limit // 20:
                self._unweighed = unweighed + size
                return
            self._unweighed = 0
            self._trim()

    def _trim(self) -> None:
        found = sorted(_weighed(self._folder))
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= self._limit * 9 // 10:
                break
            path.unlink(missing_ok=True)
            total -= size


def _weighed(folder: Path) -> list[tuple[float, int, Path]]:
    """When each picture was used, and its size. Halves that a killed process left count as well."""
    found: list[tuple[float, int, Path]] = []
    for path in folder.glob("*/*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found.append((status.st_mtime, status.st_size, path))
    return found


def _key(source: Path, width: int) -> str:
    try:
        found = source.stat()
    except OSError as error:
        raise BadMedia(f"can't be reached ({error.strerror})", remedy="Check the path",
                       reason="unreachable") from error  # fmt: skip
    if not stat.S_ISREG(found.st_mode):
        raise BadMedia("is not a file", remedy="Name a media file", reason="not_a_file")
    name = "\0".join((_FORM, str(source), str(found.st_size), str(found.st_mtime_ns), str(width)))
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _touch(path: Path) -> bool:
    """Mark a picture as just used; whether there is one."""
    try:
        os.utime(path)
    except OSError:
        return path.is_file()  # of somebody else, or gone
    return True


def _rank(item: Item) -> tuple[bool, int]:
    return item.item_type not in (ItemType.VIDEO, ItemType.IMAGE), item.position
