"""Names of sources: the one that every machine knows a file by, and what it stands for on this one.

A job keeps names that mean the same everywhere. Before it is planned, a name on a share that is mounted here becomes a
path in that folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from reelyard.domain.errors import Problem, printable
from reelyard.domain.job import Item, Job
from reelyard.domain.query import Page
from reelyard.domain.share import NameInvalid, ShareTable, ShareUnknown, parse

from .resolve import Catalogue


def canonical(job: Job, table: ShareTable) -> Job:
    """The job with each source under the one name that every machine knows it by."""

    def name(path: str) -> str:
        try:
            return table.canonical(path)
        except NameInvalid:
            return path  # planning says so

    items = (
        replace(
            item,
            path=item.path and name(item.path),
            logo_path=item.logo_path and name(item.logo_path),
        )
        for item in job.items
    )
    return replace(job, items=tuple(items))


class Shelf(Protocol):
    """The local library."""

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]: ...

    def add(self, paths: Mapping[str, str]) -> None: ...

    def at(self, paths: Collection[str]) -> Mapping[str, str]: ...

    def search(
        self, text: str, *, endings: Collection[str], others: bool, limit: int, cursor: str | None
    ) -> Page[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class NamedCatalogue:
    """A catalogue whose paths are under the names that every machine knows them by."""

    catalogue: Catalogue
    table: ShareTable

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        return {one: self._name(path) for one, path in self.catalogue.find(video_ids).items()}

    def _name(self, path: str) -> str:
        try:
            return self.table.canonical(path)
        except NameInvalid:
            return path


@dataclass(frozen=True, slots=True)
class NamedShelf:
    """The local library, with its videos under the names that every machine knows them by."""

    shelf: Shelf
    table: ShareTable

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        return self.shelf.find(video_ids)

    def add(self, paths: Mapping[str, str]) -> None:
        self.shelf.add({one: self.table.canonical(path) for one, path in paths.items()})

    def at(self, paths: Collection[str]) -> Mapping[str, str]:
        """The ids of the videos that lie at these paths, by path."""
        names = {path: self.table.canonical(path) for path in paths}
        known = self.shelf.at(set(names.values()))
        return {path: known[name] for path, name in names.items() if name in known}

    def search(
        self,
        text: str,
        *,
        endings: Collection[str] = (),
        others: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[tuple[str, str]]:
        return self.shelf.search(text, endings=endings, others=others, limit=limit, cursor=cursor)


def placed(job: Job, table: ShareTable) -> tuple[Job, list[Problem]]:
    """The job with the folders of this machine for names of shares, and a problem for each name that
    means nothing here."""
    problems: list[Problem] = []

    def place(item: Item, field: str, name: str | None) -> str | None:
        try:
            found = table.locate(name) if name and is_name(name) else name
        except (NameInvalid, ShareUnknown) as error:
            problems.append(_problem(item, field, str(name), error))
            return name
        return found if isinstance(found, str) else name

    items = []
    for item in job.items:
        path = place(item, "path", item.path) or ""
        logo = place(item, "logo_path", item.logo_path)
        origin = item.origin if path == item.path else item.origin or item.path
        items.append(replace(item, path=path, logo_path=logo, origin=origin))
    return replace(job, items=tuple(items)), problems


def _problem(item: Item, field: str, name: str, error: Exception) -> Problem:
    return Problem(
        code="unknown_share",
        message=str(error),
        remedy="Correct the name, or add the share to REELYARD_SHARES",
        position=item.position,
        field=field,
        file=printable(item.named if field == "path" else name),
    )


def sources(job: Job) -> list[str]:
    """Every file that a job names."""
    return [path for item in job.items for path in (item.path, item.logo_path) if path]


def is_name(path: str) -> bool:
    """Whether this is a name on a share, or means to be one."""
    try:
        return parse(path) is not None
    except NameInvalid:
        return True
