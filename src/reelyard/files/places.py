"""Where a source lies: on this machine's own disks, or somewhere that it has to be copied from.

A file on a network share is slow to read, can vanish in the middle of a film and may be replaced while
it is read. So a worker copies it once (``copy_cache``) and works on the copy. A file on its own
disks is used where it is. What tells the two apart:

- folders that the settings name as remote, as they are written and with links resolved,
- on Linux, the type of file system that is mounted where the file really lies (``/proc/mounts``),
- without ``/proc/mounts``, on Windows, a path of the form ``\\\\server\\share``, or on a drive that is mapped to one.

What none of these recognises (an unusual file system) has to be named in the settings.

What is mounted is read with fsspec's local file system. What is named by its share (``//server/share/…``,
``s3://…``) is looked up in the table of shares: it is mounted in a folder here, or read through a connection.
A file system that reaches several hosts has to have the host in its paths.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Protocol

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from reelyard.domain.share import Direct, ShareTable, ShareUnknown
from reelyard.system.this_system import MOUNTS, this_system

# Types as /proc/mounts has them, without the "fuse." that some begin with.
_NETWORK = {
    "9p", "acfs", "afs", "beegfs", "blobfuse", "blobfuse2", "ceph", "ceph-fuse", "cephfs", "cifs", "coda",
    "curlftpfs", "davfs", "davfs2", "gcsfuse", "geesefs", "glusterfs", "goofys", "gpfs", "gvfsd-fuse",
    "juicefs", "lizardfs", "lustre", "mfs", "moosefs", "ncpfs", "nfs", "nfs4", "orangefs", "pvfs2",
    "rclone", "s3fs", "seaweedfs", "smb3", "smbfs", "smbnetfs", "sshfs",
}  # fmt: skip
_ESCAPE = re.compile(rb"\\([0-7]{3})")  # a space is \040 in /proc/mounts
_SHARE = re.compile(r"[\\/]{2}([?.][\\/]UNC[\\/]|(?![?.][\\/]))[^\\/]", re.IGNORECASE)
_MODIFIED = (
    "mtime", "modified", "last_modified", "LastModified", "Last-Modified", "updated", "modify",
)  # fmt: skip
_VERSION = (
    *_MODIFIED, "created", "etag", "ETag", "version_id", "VersionId", "generation",
    "md5", "content_md5", "Content-MD5", "Digest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """One version of one file: equal means the same bytes. ``size`` is in bytes.

    ``path`` has its protocol unless the file system is a local one. ``version`` is whatever the file
    system has that changes with the content. ``modified`` is in nanoseconds since 1970; None where
    it isn't known.
    """

    path: str
    size: int
    version: str
    modified: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to copy. ``named`` is how the user calls it, ``key`` what its copies are known by; without one
    its path is."""

    fs: AbstractFileSystem
    path: str
    named: str
    key: str | None = None

    def identity(self) -> Identity:
        """Which file this is just now; OSError if there is none, or none that can be copied."""
        return self._local() if isinstance(self.fs, LocalFileSystem) else self._distant()

    def _local(self) -> Identity:
        try:
            found = Path(self.path).stat()
        except ValueError as error:  # a name that no file can have
            raise OSError(errno.EINVAL, str(error), self.named) from error
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.named)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", self.named)
        return Identity(self.path, found.st_size, str(found.st_mtime_ns), found.st_mtime_ns)

    def _distant(self) -> Identity:
        self.fs.invalidate_cache()  # otherwise some file systems repeat what they said before
        info = self.fs.info(self.path)
        if info.get("type") == "directory":
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self.named)
        if not isinstance(info.get("size"), int):
            raise OSError(errno.EINVAL, "Its size isn't known", self.named)
        return Identity(
            path=self.key or self.fs.unstrip_protocol(self.path),
            size=info["size"],
            version=_version(info),
            modified=_modified(info),
        )


class Connects(Protocol):
    """Makes sources of files that are reached directly."""

    def source(self, direct: Direct, named: str) -> Source: ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are for this machine. ``mounts`` is the system's list of mounted file systems.

    ``on_network`` tells of a path whether its drive is a share, where there is no such list.
    """

    remote_roots: Sequence[Path] = ()
    mounts: Path = MOUNTS
    table: ShareTable = field(default_factory=ShareTable)
    connections: Connects | None = None
    on_network: Callable[[str], bool] = field(default_factory=lambda: this_system().on_network)

    def local(self, name: str) -> str | None:
        """The path of a file on this machine; None for one that is reached through a connection.

        Raises NameInvalid and ShareUnknown, which are ValueErrors.
        """
        found = self.table.locate(name)
        return found if isinstance(found, str) else None

    def locate(self, name: str) -> str | Source:
        """The path of a file that is used where it is, or what to copy it from. It need not exist.

        Raises NameInvalid and ShareUnknown, which are ValueErrors, and SettingsInvalid where a connection
        can't be made.
        """
        found = self.table.locate(name)
        if isinstance(found, str):
            source = self.remote(found)
            return found if source is None else replace(source, named=name)
        if self.connections is None:
            raise ShareUnknown(f"{found.share.root} is not mounted on this machine")
        return self.connections.source(found, name)

    def source(self, name: str) -> Source:
        """A file to read, wherever it is. Raises as ``locate``."""
        found = self.locate(name)
        return Source(LocalFileSystem(), found, name) if isinstance(found, str) else found

    def remote(self, path: str) -> Source | None:
        """The file as something to copy; None if it is used where it is. It need not exist."""
        mounted = self._mounted()
        if mounted is None and (_SHARE.match(path) or self.on_network(path)):
            return Source(LocalFileSystem(), path, path)
        given, resolved = _absolute(path), _resolved(path)
        on_network = _type(resolved, mounted or {}).removeprefix("fuse.") in _NETWORK
        if on_network or self._under_a_root(given, resolved):
            return Source(LocalFileSystem(), resolved, path)
        return None

    def _under_a_root(self, *paths: str) -> bool:
        roots = [form(str(root)) for root in self.remote_roots for form in (_absolute, _resolved)]
        return any(_lies_under(path, root) for path in paths for root in roots)

    def _mounted(self) -> dict[str, str] | None:
        """File system types by mount point; None where the system has no such list."""
        try:
            lines = self.mounts.read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        rows = [line.split(b" ") for line in lines]
        # Where two are mounted on one another, the later one is what is seen.
        return {_unescaped(row[1]): os.fsdecode(row[2]) for row in rows if len(row) > 2}


def _type(path: str, mounted: Mapping[str, str]) -> str:
    """The type of the file system that a path lies on: that of the nearest mount point above it."""
    above = map(str, (PurePath(path), *PurePath(path).parents))
    return next((mounted[folder] for folder in above if folder in mounted), "")


def _unescaped(name: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 8) & 255]), name))


def _lies_under(path: str, root: str) -> bool:
    path, root = os.path.normcase(path), os.path.normcase(root)
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _absolute(path: str) -> str:
    """As it is written, links unresolved."""
    plain = os.path.normpath(Path(path).absolute())
    return "/" + plain.lstrip("/") if os.sep == "/" else plain  # POSIX allows for two at the start


def _resolved(path: str) -> str:
    """Links resolved; a name that the system won't look at stays as it is written."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return _absolute(path)


def _version(info: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={info[key]}" for key in _VERSION if info.get(key) is not None)


def _modified(info: Mapping[str, Any]) -> int | None:
    """The first time of modification that is a point in time, in nanoseconds since 1970."""
    times = (_seconds(info.get(key)) for key in _MODIFIED)
    return next((int(time * 1e9) for time in times if time is not None), None)


def _seconds(value: object) -> float | None:
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, int | float) and 0 <= value < 1 << 33:
        return value
    return None
