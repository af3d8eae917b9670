"""Connections to shares that are mounted nowhere on this machine: SMB, S3, and whatever else fsspec speaks.

A row of the table of shares becomes an fsspec file system when a file of it is first needed. File systems
are not shared between processes: a fork makes its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsspec import AbstractFileSystem

from reelyard.domain.errors import SettingsInvalid
from reelyard.domain.share import Direct, Name, Share, parse

from .places import Source


def _nothing() -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to get to the files below ``root`` (``//server/share`` or ``s3://bucket``). Shows no secrets."""

    root: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: Callable[[], str | None] = field(default=_nothing, repr=False)
    domain: str | None = None
    encrypt: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> Name:
        name = parse(self.root)
        assert name is not None, f"{self.root} is no share's name"
        return name


class Connections:
    """All direct connections of this machine, made when they are needed."""

    def __init__(self, rows: Sequence[Connection] = ()) -> None:
        self._rows = {row.root: row for row in rows}
        self._made: dict[tuple[int, str], AbstractFileSystem] = {}
        self._lock = threading.Lock()

    def file_system(self, share: Share) -> AbstractFileSystem:
        """The file system that a share's files are on. Raises SettingsInvalid where there is no way in."""
        key = (os.getpid(), share.root)
        with self._lock:
            if key not in self._made:
                self._made[key] = _file_system(self._rows[share.root])
            return self._made[key]

    def path(self, direct: Direct) -> str:
        """What a file is called on its file system."""
        name = self._rows[direct.share.root].name
        parts = "/".join(part for part in (_top(name), name.path, direct.path) if part)
        return f"/{parts}" if name.protocol == "smb" else parts

    def source(self, direct: Direct, named: str) -> Source:
        return Source(self.file_system(direct.share), self.path(direct), named, direct.name)


def _server(name: Name) -> str:
    return name.root[2:].partition("/")[0]


def _top(name: Name) -> str:
    """The share, or the bucket."""
    if name.protocol == "smb":
        return name.root[2:].partition("/")[2]
    return name.root.partition("://")[2]


def _file_system(row: Connection) -> AbstractFileSystem:
    name = row.name
    if name.protocol == "smb":
        from .smb import SmbFileSystem

        return SmbFileSystem(
            host=row.host or _server(name),
            port=row.port or 445,
            user=row.user,
            password=row.password(),
            domain=row.domain,
            encrypt=row.encrypt,
        )
    return _other(name.protocol, row)


def _other(protocol: str, row: Connection) -> AbstractFileSystem:
    import fsspec

    from . import guarded, s3

    try:
        kind = fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise SettingsInvalid(f"{row.root} can't be reached: {error}",
                              remedy=_package(protocol)) from error  # fmt: skip
    try:
        if protocol in ("s3", "s3a"):
            if row.host:
                raise ValueError("host is for SMB: write endpoint = 'https://…'")
            return s3.file_system(kind, row.user, row.password(), row.options)
        return guarded.Guarded(kind(skip_instance_cache=True, **row.options), row.options)
    except (TypeError, ValueError) as error:
        said = guarded.masked(
            str(error), guarded.secrets_in({**row.options, "password": row.password()})
        )
        raise SettingsInvalid(f"{row.root} can't be reached with these options: {said}",
                              remedy="Correct its row in REELYARD_SHARES") from None  # fmt: skip


def _package(protocol: str) -> str:
    if protocol == "s3":
        return "Install it: pip install 'reelyard[s3]'"
    return "Install the package that it names, or correct the row in REELYARD_SHARES"
