"""Finding films: by the names that every machine knows them by.

A film's name is the same everywhere where it lies on a share (``//server/share/films/x.mp4``), however each machine
reaches it. That name is what rows, reports, results and logs say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fsspec import AbstractFileSystem

from reelyard.domain.errors import OutputUnusable, printable
from reelyard.domain.share import Direct, NameInvalid, Share, ShareTable, ShareUnknown
from reelyard.files.distant import DistantPath
from reelyard.files.publishing import Place


class Connects(Protocol):
    """Makes the file systems of shares that are reached directly."""

    def file_system(self, share: Share) -> AbstractFileSystem: ...

    def path(self, direct: Direct) -> str: ...


@dataclass(frozen=True, slots=True)
class Films:
    """Where films are for this machine, by the names that jobs keep."""

    table: ShareTable = field(default_factory=ShareTable)
    connections: Connects | None = None

    def find(self, name: str) -> Place:
        """The place of a film or a folder. Raises OutputUnusable where this machine doesn't know its share."""
        try:
            found = self.table.locate(name)
        except (NameInvalid, ShareUnknown) as error:
            raise OutputUnusable(f"{printable(name)} can't be found: {error}",
                                 remedy="Add its share to REELYARD_SHARES on this machine") from error  # fmt: skip
        if isinstance(found, str):
            return Path(found).absolute()
        if self.connections is None:
            raise OutputUnusable(f"{found.share.root} is not mounted here",
                                 remedy="Mount it, or reach it directly: see REELYARD_SHARES")  # fmt: skip
        connect, share = self.connections, found.share
        return DistantPath(
            lambda: connect.file_system(share), connect.path(found), found.name.rstrip("/")
        )

    def name(self, place: Place) -> str:
        """What everybody calls it; a path where it is on no share."""
        try:
            return self.table.canonical(str(place))
        except NameInvalid:  # a path of this machine that looks like a share's
            return str(place)
