"""Names of files on shares, and the one table that says what each share is on this machine (pure).

People name a file on a share as they know it: ``\\\\media\\videos\\a.mp4``, ``//media/videos/a.mp4``,
``smb://media/videos/a.mp4``, ``Z:\\a.mp4``; or an object in a store: ``s3://clips/a.mp4``. All spellings of one
file become one *name*, ``//media/videos/a.mp4``, which means the same on every machine. It is what a job keeps.
Each machine has a table of its own that says where a share is there: mounted in a folder, or reached directly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote

_UNC = re.compile(r"[\\/]{2}(?:[?.][\\/]UNC[\\/])?(?![\\/?.])(.*)", re.DOTALL | re.IGNORECASE)
_DRIVE = re.compile(r"(?:[\\/]{2}[?.][\\/])?([A-Za-z]:)[\\/](.*)", re.DOTALL)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_SMB = ("smb", "cifs")


class NameInvalid(ValueError):
    """What looks like the name of a file on a share, and can't be one. Its text says why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A file on a share. ``root`` is ``//server/share``, ``s3://bucket`` or a drive, ``Z:``; ``path`` is what
    follows, with ``/`` between folders and none in front."""

    root: str
    path: str

    def __str__(self) -> str:
        return f"{self.root}/{self.path}" if self.path else self.root

    @property
    def is_drive(self) -> bool:
        return self.root.endswith(":")

    @property
    def protocol(self) -> str:
        """``smb``, ``s3``, ...; a drive has none until the table says what it stands for."""
        if self.is_drive:
            return ""
        return "smb" if self.root.startswith("//") else self.root.partition("://")[0]


def parse(text: str) -> Name | None:
    """The name that a text is; None for an ordinary path. Raises NameInvalid."""
    if found := _ADDRESS.fullmatch(text):
        return _address(found[1].lower(), found[2])
    if found := _DRIVE.fullmatch(text):
        return Name(found[1].upper(), _clean(found[2], "\\"))
    if found := _UNC.fullmatch(text):
        return _share(found[1], "\\")
    return None


def _address(protocol: str, rest: str) -> Name | None:
    if protocol == "file":
        return None
    if protocol in _SMB:
        return _share(unquote(rest), "")
    bucket, _, path = rest.partition("/")
    if not bucket or "@" in bucket or ":" in bucket:
        raise NameInvalid("holds a user's name or a port" if bucket else "names no bucket")
    return Name(f"{protocol}://{bucket}", _clean(path, ""))


def _share(rest: str, also: str) -> Name:
    """``also`` stands between folders as well as ``/``."""
    server, _, rest = _slashed(rest, also).partition("/")
    share, _, path = rest.strip("/").partition("/")
    if not server or not share:
        raise NameInvalid("names a server and no share on it")
    if "@" in server or ":" in server:
        raise NameInvalid("holds a user's name or a port, which belong into the table of shares")
    if share in (".", ".."):
        raise NameInvalid("names no share")
    return Name(f"//{server}/{share}", _clean(path, also))


def _slashed(text: str, also: str) -> str:
    return text.replace(also, "/") if also else text


def _clean(path: str, also: str) -> str:
    parts = [part for part in _slashed(path, also).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise NameInvalid("leads upwards (..)")
    if any("\0" in part for part in parts):
        raise NameInvalid("holds a zero byte")
    return "/".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One row of the table.

    ``root`` is what names begin with: a share, a bucket, or a folder in one. ``drive`` is the letter that people
    here know it by. ``folder`` is where it is mounted on this machine; None: it is reached directly.
    """

    root: str
    drive: str | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Direct:
    """A file that is reached through a connection to ``share``; ``path`` is below the share's root."""

    share: Share
    path: str

    @property
    def name(self) -> str:
        return f"{self.share.root}/{self.path}"


class ShareUnknown(ValueError):
    """A name whose share is not in the table of this machine."""


@dataclass(frozen=True, slots=True)
class ShareTable:
    """All shares that this machine knows.

    ``native`` systems (Windows) find drives by themselves, and shares: of the table's servers, where it names any. They
    sign in to whatever server they look at, and a job may name anybody's.
    """

    shares: Sequence[Share] = ()
    native: bool = False

    def canonical(self, text: str) -> str:
        """The one name of a file, however it is written; what is on no share stays as it is.

        A drive becomes the share that it stands for, a path in a folder where a share is mounted becomes
        a name on that share. Raises NameInvalid.
        """
        name = parse(text)
        if name is None:
            return self._named(text)
        if name.is_drive:
            share = self._of_drive(name.root)
            return f"{share.root}/{name.path}".rstrip("/") if share else str(name)
        row = self._row(name)
        return str(name) if row is None else f"{row[0].root}/{row[1]}".rstrip("/")

    def locate(self, text: str) -> str | Direct:
        """Where a file is for this machine: a path, or through a connection.

        Raises NameInvalid, ShareUnknown.
        """
        name = parse(self.canonical(text))
        if name is None:
            return text
        row = None if name.is_drive else self._row(name)
        if row is not None:
            share, rest = row
            return Direct(share, rest) if share.folder is None else _below(share.folder, rest)
        if self.native and (name.is_drive or self._may_find(name)):
            return str(name).replace("/", "\\")
        raise ShareUnknown(f"{name.root} is no share that this machine knows")

    @property
    def folders(self) -> Sequence[str]:
        """The folders where shares are mounted here."""
        return [share.folder for share in self.shares if share.folder is not None]

    def _may_find(self, name: Name) -> bool:
        """Whether the system may look for a share that has no row."""
        servers = {
            _server(one) for share in self.shares if (one := parse(share.root)) and _server(one)
        }
        return name.protocol == "smb" and (not servers or _server(name) in servers)

    def _row(self, name: Name) -> tuple[Share, str] | None:
        """The row of a name, the one with the longest root, and what is left of the name below it."""
        found: tuple[Share, str] | None = None
        for share in self.shares:
            own = parse(share.root)
            rest = None if own is None else _rest(name, own)
            if rest is not None and (found is None or len(share.root) > len(found[0].root)):
                found = share, rest
        return found

    def _of_drive(self, drive: str) -> Share | None:
        return next((one for one in self.shares if (one.drive or "").upper() == drive), None)

    def _named(self, path: str) -> str:
        """A path in a folder where a share is mounted, as everybody else knows it."""
        best: tuple[int, str] | None = None
        for share in self.shares:
            if share.folder is None or not PurePath(path).is_relative_to(share.folder):
                continue
            rest = PurePath(path).relative_to(share.folder)
            named = f"{share.root}/{rest.as_posix()}".removesuffix("/.")
            if _means(named) and (best is None or len(share.folder) > best[0]):
                best = len(share.folder), named
        return path if best is None else best[1]


def _means(named: str) -> bool:
    """Whether a name is read as what it was made for: on Linux ``a\\b`` is one file, in names it is a folder's."""
    try:
        return str(parse(named)) == named
    except NameInvalid:
        return False


def _server(name: Name) -> str:
    """The SMB server of a name; empty if it has none."""
    return name.root[2:].partition("/")[0].casefold() if name.protocol == "smb" else ""


def _rest(name: Name, root: Name) -> str | None:
    """What of a name lies below a root; None if it lies elsewhere. Servers, shares and folders there have no case."""
    same = name.root.casefold() if name.protocol == "smb" else name.root
    if same != (root.root.casefold() if root.protocol == "smb" else root.root):
        return None
    if not root.path:
        return name.path
    length = len(root.path) + 1
    start, wanted = name.path[:length], f"{root.path}/"
    if root.protocol == "smb":
        start, wanted = start.casefold(), wanted.casefold()
    return name.path[length:] if start == wanted else None


def _below(folder: str, rest: str) -> str:
    return str(PurePath(folder, *rest.split("/"))) if rest else folder
