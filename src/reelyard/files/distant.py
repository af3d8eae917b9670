"""A file or folder that is reached through a connection, where films are published: on a share, in a store.

``DistantPath`` has of pathlib's methods those that publishing needs, over any fsspec file system. Whatever goes wrong
is raised as an OSError: FileNotFoundError where something is not there, PlaceFailed for everything else.

Two families differ. File servers (SMB, SFTP) rename at once, over what is there. Object stores (S3) have no folders and no
renaming: an object is copied by the store, which is at once as well up to five gigabytes, and then deleted.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec import AbstractFileSystem

from reelyard.domain.errors import ReelyardError

from .object_store import (
    abort_uploads,
    content_type,
    copy_object,
    is_s3,
    is_store,
    s3_call,
    unfinished_uploads,
)
from .places import Identity, Source

_READ = 1 << 20
_BLOCK = 8 << 20
_MOST_BLOCKS = 9_000  # S3 takes 10 000 parts


class PlaceFailed(OSError):
    """A share or store is away, full, or refuses something. ``filename`` is what everybody calls it."""

    @property
    def is_refusal(self) -> bool:
        return self.errno in (errno.EACCES, errno.EPERM, errno.EROFS)

    @property
    def is_unknown(self) -> bool:
        """Its server has no such share."""
        return self.errno in (errno.ENXIO, errno.ENODEV)

    @property
    def is_full(self) -> bool:
        return self.errno in (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class DistantPath:
    """``path`` is what its file system calls it, ``named`` what everybody does.

    ``files`` gives the file system: each process has connections of its own.
    """

    files: Callable[[], AbstractFileSystem] = field(repr=False, compare=False)
    path: str
    named: str

    def __str__(self) -> str:
        return self.named

    # Names

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> DistantPath:
        return DistantPath(self.files, self.path.rpartition("/")[0], self.named.rpartition("/")[0])

    def with_name(self, name: str) -> DistantPath:
        return self.parent / name

    def with_suffix(self, suffix: str) -> DistantPath:
        return self.with_name(PurePosixPath(self.name).with_suffix(suffix).name)

    def __truediv__(self, name: str) -> DistantPath:
        return DistantPath(self.files, f"{self.path}/{name}", f"{self.named}/{name}")

    # Looking

    def info(self) -> Mapping[str, Any] | None:
        """What the file system knows of it just now; None where there is nothing."""
        try:
            with self._calls() as files:
                files.invalidate_cache()  # some repeat what they said before
                found: Mapping[str, Any] = files.info(self.path)
        except FileNotFoundError:
            return None
        return found

    def identity(self) -> Identity:
        """Which version of which file this is just now."""
        with self._calls() as files:
            return Source(files, self.path, self.named).identity()

    def exists(self) -> bool:
        return self.info() is not None

    def is_file(self) -> bool:
        return (self.info() or {}).get("type") == "file"

    def is_dir(self) -> bool:
        return (self.info() or {}).get("type") == "directory"

    def is_reachable(self) -> bool:
        """Whether its share or bucket is there. Raises PlaceFailed where that can't be told."""
        top = self.path.lstrip("/").partition("/")[0]
        try:
            with self._calls() as files:  # fsspec's own exists() takes every error for a no
                files.invalidate_cache()
                if is_s3(files):
                    s3_call(files, "head_bucket", Bucket=top)
                else:
                    files.info(f"/{top}" if self.path.startswith("/") else top)
        except FileNotFoundError:
            return False
        return True

    def iterdir(self) -> Iterator[DistantPath]:
        """What is in a folder; nothing where it is not there."""
        try:
            with self._calls() as files:
                files.invalidate_cache()
                found = files.ls(self.path, detail=False)
        except FileNotFoundError:
            return
        for path in found:
            name = str(path).rstrip("/").rpartition("/")[2]
            if name and str(path).strip("/") != self.path.strip("/"):
                yield self / name

    def free_bytes(self) -> int | None:
        """How much room there is; None where nobody can tell."""
        with self._calls() as files:
            ask = getattr(files, "free_bytes", None)
            return None if ask is None else int(ask(self.path))

    # Changing

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder, and those above it, below a share or bucket that is there."""
        if not self.is_reachable():
            raise PlaceFailed(errno.ENODEV, "there is no such share", self.named)
        with self._calls() as files:
            files.makedirs(self.path, exist_ok=True)

    def put(self, made: Path, check: Callable[[], None]) -> None:
        """Upload a finished file and read all of it back, whatever the store says of it.

        Checksums that stores keep are of many kinds, and none is of what a reader gets. ``check`` is called
        before each piece, and raises to stop it: then nothing is left but what ``remove_tree`` removes.
        """
        size = made.stat().st_size
        sent = self._send(made, max(_BLOCK, size // _MOST_BLOCKS), check)
        info = self.info() or {}
        if info.get("size") != size or self._digest(check) != sent:
            raise PlaceFailed(errno.EIO, "it did not keep the file as it was sent", self.named)

    def _send(self, made: Path, block: int, check: Callable[[], None]) -> str:
        """Upload; the SHA-256 of what was sent."""
        found = hashlib.sha256()
        with made.open("rb", buffering=0) as source, self._calls() as files:
            target = files.open(self.path, "wb", block_size=block, **content_type(files, self.path))
            try:
                while data := source.read(_READ):
                    check()
                    found.update(data)
                    _write(target, data)
                check()
                if hasattr(target, "sync"):
                    target.sync()  # on the server's disk
                target.close()
            except BaseException:
                _break_off(target)
                raise
        return found.hexdigest()

    def _digest(self, check: Callable[[], None]) -> str:
        found = hashlib.sha256()
        for data in self.read(0, None):
            check()
            found.update(data)
        return found.hexdigest()

    def read(self, start: int, length: int | None) -> Generator[bytes]:
        """Its bytes, a piece at a time; all that follow if ``length`` is None. Ends early where it does."""
        with self._calls() as files:
            # Without a cache of its own: what is read is wanted, and nothing else.
            file = files.open(self.path, "rb", block_size=_READ, cache_type="none")
        try:
            with self._calls():
                file.seek(start)
            while length is None or length > 0:
                with self._calls():
                    data = file.read(_READ if length is None else min(_READ, length))
                if not data:
                    return
                length = None if length is None else length - len(data)
                yield bytes(data)
        finally:
            with suppress(OSError):
                file.close()

    @property
    def moves_at_once(self) -> bool:
        """Whether ``replace`` is one step, and not a copy and a deletion."""
        return not is_store(self.files())

    def replace(self, target: DistantPath) -> DistantPath:
        """Give it another name, over what is there. FileNotFoundError where it is gone."""
        with self._calls() as files:
            if is_store(files):
                copy_object(files, self.path, target.path)
                files.rm_file(self.path)
            else:
                files.mv(self.path, target.path)
        return target

    def copy(self, target: DistantPath) -> None:
        """Have the store copy it. FileNotFoundError where it is gone."""
        with self._calls() as files:
            copy_object(files, self.path, target.path)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self._calls() as files:
                files.rm_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Remove a folder with its files, and uploads into it that were broken off."""
        with self._calls() as files:
            abort_uploads(files, f"{self.path}/")
        for path in self.iterdir():
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError), self._calls() as files:
            if is_store(files):
                return  # a folder is there while something is in it
            try:
                files.rmdir(self.path)
            except OSError as error:
                # A file server keeps the name of a deleted file while somebody has it open.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def end_uploads(self) -> None:
        """Whoever is bringing this very file in parts can't complete it any more."""
        with self._calls() as files:
            abort_uploads(files, self.path, whole=True)

    def folders(self, prefix: str) -> Iterator[DistantPath]:
        """Those in here whose names begin so, also where there are only broken uploads into them."""
        names = {path.name for path in self.iterdir() if path.name.startswith(prefix)}
        with self._calls() as files:
            start = f"{self.path}/{prefix}"
            for key, _ in unfinished_uploads(files, start):
                names.add("/".join(key)[len(self.path) + 1 :].partition("/")[0])
        yield from (self / name for name in sorted(names))

    @contextmanager
    def _calls(self) -> Iterator[AbstractFileSystem]:
        """The file system, with every error an OSError that names this file."""
        try:
            yield self.files()
        except (ReelyardError, PlaceFailed):
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.named) from error
        except OSError as error:
            raise PlaceFailed(_number(error), error.strerror or str(error), self.named) from error
        except Exception as error:
            text = str(error) or type(error).__name__
            raise PlaceFailed(errno.EIO, text, self.named) from error


def _number(error: OSError) -> int:
    if error.errno is not None:
        return error.errno
    return errno.EACCES if isinstance(error, PermissionError) else errno.EIO


def _write(target: Any, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]


def _break_off(target: Any) -> None:
    """Close without completing. What fails here failed before: that is what is told."""
    with suppress(OSError):
        (target.discard if hasattr(target, "discard") else target.close)()
