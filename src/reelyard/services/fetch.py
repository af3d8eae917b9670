"""Fetching a job's sources: what lies on shares is copied to the worker's own disk, five at a time.

What is on the machine's own disks is used where it is; so is what a share's name stands for there. What
is reached through a connection only is copied like a file on a mount, what was copied before and has not changed
since is not copied again. A job that is prefetched and the job that then runs come the same way; the
second finds everything there.
"""

from __future__ import annotations

import errno
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeGuard

from fsspec.implementations.local import LocalFileSystem

from reelyard.domain.errors import Cancelled, ReelyardError, SourcesUnavailable, printable
from reelyard.domain.job import Item, Job
from reelyard.domain.share import NameInvalid, ShareUnknown
from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.places import Places, Source

from .budget import Budget
from .storage import storage_error

_LOG = logging.getLogger(__name__)
COPIES_AT_ONCE = 5
_LOOK_SECONDS = 0.25
_ENDS_WITHIN = 1.0
_MISSING = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A job that can be rendered here. ``bytes_copied`` came over the network in ``seconds``.

    ``left`` is what a budget left where it is, and why.
    """

    job: Job
    copied: int
    here: int
    in_place: int
    missing: int
    bytes_copied: int
    seconds: float
    left: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rate = f" ({self.bytes_copied / self.seconds / 1e6:.1f} MB/s)" if self.bytes_copied else ""
        return (
            f"copied {self.copied} files, {self.bytes_copied / 1e6:.1f} MB in {self.seconds:.2f} s"
            f"{rate}; {self.here} were here already, {self.in_place} are on this machine's own disks"
            + (f"; {self.missing} are missing" if self.missing else "")
        )


class _Absent(StrEnum):
    """Why a source is not here."""

    MISSING = "it is missing"
    LATE = "copying it takes too long"
    LARGE = "there is too much to copy"


_LEFT = (_Absent.LATE, _Absent.LARGE)


@dataclass(frozen=True, slots=True)
class Fetch:
    """The use case."""

    places: Places
    copies: CopyCache
    allows: Callable[[Path], bool] = lambda _: True  # what may not be used is not copied either
    stall_seconds: float = 300.0
    only_connections: bool = False  # what is mounted is used where it is

    def __call__(
        self,
        job: Job,
        pin: str,
        check: Callable[[], None],
        say: Callable[[str], None] = lambda _: None,
        budget: Budget | None = None,
    ) -> Fetched:
        """Have every source of ``job`` here, kept under ``pin`` until ``release``.

        A file that is missing keeps its path: planning says what that means for the job. So does what the
        ``budget`` leaves; what was copied of it is kept for the next time.
        Raises SourcesUnavailable where a whole folder is gone or nothing comes for ``stall_seconds``,
        OutOfDisk, and what ``check`` raises.
        """
        begun = time.monotonic()
        paths = sorted({path for item in job.items for path in _paths(item)})
        watch = _Watch(check, self.stall_seconds)
        # Not waited for when it is left: a thread may be stuck in a share that does not answer.
        pool = ThreadPoolExecutor(COPIES_AT_ONCE, "copy")
        try:
            futures = [
                (path, pool.submit(self._one, path, pin, watch, say, budget)) for path in paths
            ]
            watch.wait([one for _, one in futures], paths, budget.ends_at if budget else math.inf)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        found = {path: _result(one) for path, one in futures}
        left = {path: str(one) for path, one in found.items() if one in _LEFT}
        here = {path: one for path, one in found.items() if isinstance(one, _Here)}
        copies = [one.copied for one in here.values() if one.copied]
        fetched = [one for one in copies if not one.was_here]
        return Fetched(
            job=_moved(job, {path: one.path for path, one in here.items() if one.path != path}),
            copied=len(fetched),
            here=len(copies) - len(fetched),
            in_place=len(here) - len(copies),
            missing=len(found) - len(here) - len(left),
            bytes_copied=sum(one.copied for one in fetched),
            seconds=time.monotonic() - begun,
            left=left,
        )

    def release(self, pin: str) -> None:
        """The sources kept under ``pin`` are not needed any more."""
        self.copies.unpin(pin)

    def forget(self, job: Job) -> None:
        """Nobody goes on with this job: drop what of its sources was copied in part."""
        for path in {path for item in job.items for path in _paths(item)}:
            try:
                source = self._where(path)
                if isinstance(source, Source):
                    self.copies.discard(source)
            except (OSError, ValueError, ReelyardError) as error:
                _LOG.info("what was copied of %s is left to the caches' upkeep: %s",
                          printable(path), error)  # fmt: skip

    def _where(self, path: str) -> str | Source:
        """Where a file is, or what to copy it from. Raises ValueError, SettingsInvalid."""
        local = self.places.local(path)
        if local is not None and (self.only_connections or not self.allows(Path(local))):
            return local
        return self.places.locate(path)

    def _is_left_to_planning(self, path: str, where: str) -> bool:
        """Whether nothing is asked about it here: an ordinary path while only connections are meant, and what may
        not be used."""
        return (self.only_connections and path == where) or not self.allows(Path(where))

    def _kept_off(self, source: Source, budget: Budget) -> _Absent | None:
        """Why a source is not copied now. Raises OSError where there is none."""
        if budget.is_over:
            return _Absent.LATE
        identity = source.identity()
        fits = self.copies.holds(identity) or budget.spend(identity.size)
        return None if fits else _Absent.LARGE

    def _one(
        self,
        path: str,
        pin: str,
        watch: _Watch,
        say: Callable[[str], None],
        budget: Budget | None,
    ) -> _Here | _Absent:
        watch.check()
        where: str | Source = path
        try:
            where = self._where(path)
            if isinstance(where, str):
                if not self._is_left_to_planning(path, where):
                    Path(where).stat()
                return _Here(where)
            if budget is not None and (why := self._kept_off(where, budget)):
                return why
            copied = self.copies.fetch(where, pin, watch.check, lambda _: watch.moved())
        except ShareUnknown as error:
            if self.only_connections:
                return _Absent.MISSING  # planning says so, of each item
            raise SourcesUnavailable(f"{printable(path)}: {error}", remedy=_ADD_SHARE) from error
        except NameInvalid:
            return _Absent.MISSING  # a catalogue may hold such a name; planning says so
        except (OSError, ValueError) as error:
            failure = _failure(self.places.local(path) or path, where, error)
            say(f"copy failed: {printable(path)}: {failure or 'there is no such file'}")
            if failure is None:
                return _Absent.MISSING
            raise failure from error
        watch.moved()
        if not copied.was_here:
            say(_copied(where, copied))
        return _Here(str(copied.path), copied)


_ADD_SHARE = "Add the share to REELYARD_SHARES on this machine"


def _result(future: Future[_Here | _Absent]) -> _Here | _Absent:
    """What came of a copy. One that was stopped because the time was over may still hang."""
    if future.cancelled() or not future.done():
        return _Absent.LATE
    try:
        return future.result()
    except Cancelled:
        return _Absent.LATE


@dataclass(frozen=True, slots=True)
class _Here:
    """A source that can be used at ``path``; ``copied`` if that is a copy."""

    path: str
    copied: Copied | None = None


class _Watch:
    """Sees whether copies get on, and ends them together."""

    def __init__(self, check: Callable[[], None], stall_seconds: float) -> None:
        self._check = check
        self._stall_seconds = stall_seconds
        self._moved_at = time.monotonic()
        self._over = False

    def moved(self) -> None:
        """Called by each copy with each block that came."""
        self._moved_at = time.monotonic()

    def check(self) -> None:
        """Called by each copy again and again; raises to stop it."""
        if self._over:
            raise Cancelled
        self._check()

    def wait(
        self, futures: Sequence[Future[Any]], paths: Sequence[str], ends_at: float = math.inf
    ) -> None:
        """Returns when all are done, or stopped at ``ends_at``. Raises the first error then; at once what
        ``check`` raises, and SourcesUnavailable when nothing comes any more."""
        try:
            while wait(futures, _LOOK_SECONDS).not_done:
                self._check()
                if time.monotonic() > ends_at:
                    return
                if time.monotonic() - self._moved_at > self._stall_seconds:
                    raise self._stalled(futures, paths)
        finally:
            self._over = True
            wait(futures, _ENDS_WITHIN)  # no longer: one may hang
        for one in futures:
            one.result()

    def _stalled(self, futures: Sequence[Future[Any]], paths: Sequence[str]) -> SourcesUnavailable:
        stuck = [path for path, one in zip(paths, futures, strict=True) if one.running()]
        return SourcesUnavailable(
            f"nothing came for {self._stall_seconds:.0f} s of {printable(', '.join(stuck))}",
            remedy="Check that the share can be reached from this machine",
        )


def _copied(source: Source, copied: Copied) -> str:
    rate = copied.copied / copied.seconds / 1e6 if copied.seconds else 0.0
    kept = f", {copied.resumed} from an earlier try" if copied.resumed else ""
    return f"copied {printable(source.named)}: {copied.size} bytes at {rate:.1f} MB/s{kept}"


def _paths(item: Item) -> list[str]:
    return [path for path in (item.path, item.logo_path) if path]


def _moved(job: Job, copies: dict[str, str]) -> Job:
    items = tuple(
        replace(
            item,
            path=copies.get(item.path, item.path),
            origin=item.path if item.path in copies else item.origin,
            logo_path=copies.get(item.logo_path, item.logo_path) if item.logo_path else None,
        )
        for item in job.items
    )
    return replace(job, items=items)


def _failure(named: str, where: str | Source, error: OSError | ValueError) -> ReelyardError | None:
    """What an error while fetching means; None: this one file is not there, or is no file.

    ``named`` is its path here as it is written, or its name where it is on no path.
    """
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return storage_error(error)
    if error.errno in (errno.ENAMETOOLONG, errno.EISDIR, errno.ELOOP, errno.EINVAL):
        return None
    if error.errno in _REFUSED and _is_direct(where):
        return SourcesUnavailable(
            f"{printable(named)} can't be read: {error.strerror or error}",
            remedy=_REFUSED[error.errno],
        )
    if error.errno in (errno.EACCES, *_MISSING):
        if _is_there(named, where):
            return None  # the share is; this file of it is not, or may not be read
        if error.errno != errno.EACCES:
            return _gone(named, where)
    return SourcesUnavailable(
        f"{printable(named)} can't be read: {error.strerror or error}",
        remedy="Check that the share can be reached from this machine",
    )


# Of what a connection says: who we are is refused, the share is not known.
_REFUSED = {
    errno.EPERM: "Correct the user and the password in the share's row of REELYARD_SHARES",
    errno.ENXIO: "Correct the share's name in REELYARD_SHARES, or add the share to the server",
}


def _gone(named: str, where: str | Source) -> SourcesUnavailable:
    if _is_direct(where):
        return SourcesUnavailable(f"the share of {printable(named)} is not there",
                                  remedy="Check its row in REELYARD_SHARES")  # fmt: skip
    return SourcesUnavailable(f"{printable(str(Path(named).parent))} is not there",
                              remedy="Check that the share is mounted on this machine")  # fmt: skip


def _is_there(named: str, where: str | Source) -> bool:
    """Whether the folder or the share of a file is there itself."""
    if not _is_direct(where):
        return _has_files(Path(named).parent)
    try:
        where.fs.info(_share_of(where.path))
    except OSError:
        return False
    return True


def _is_direct(where: str | Source) -> TypeGuard[Source]:
    return isinstance(where, Source) and not isinstance(where.fs, LocalFileSystem)


def _share_of(path: str) -> str:
    """The share or bucket that a path on a connection begins with."""
    start = "/" if path.startswith("/") else ""
    return start + path.strip("/").partition("/")[0]


def _has_files(folder: Path) -> bool:
    """An unmounted share leaves an empty folder, or none."""
    try:
        return any(folder.iterdir())
    except NotADirectoryError:
        return True  # the share is there; the path goes through one of its files
    except OSError:
        return False
