"""The library: looking through the folders and the catalogue that jobs take their clips from.

Nothing outside of the library's folders can be seen here, by whatever path. A video of the catalogue may
lie elsewhere: its id is of use, and nothing is told of its file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import Cancelled, ReelyardError, RequestInvalid
from reelyard.domain.job import Job
from reelyard.domain.media import MediaFacts
from reelyard.files.roots import Entry, Roots, scan

from .clip_list import ClipList
from .clip_search import ClipSearch, Kind, SearchableShelf
from .clips import (
    ClipFacts,
    Folder,
    Found,
    ListedClip,
    Listing,
    NaturalKey,
    cursor_of,
    facts_for_people,
    is_media,
    limited,
    look_at,
    natural,
    place_of,
)
from .gather import PROBES_AT_ONCE, nothing
from .resolve import resolve
from .thumbnails import Thumbnails

MOST_FACTS = 1000


class Facts(Protocol):
    """Measures clips. Raises BadMedia."""

    def facts(self, path: Path, check: Callable[[], None]) -> MediaFacts: ...


class LibraryDesk:
    """What people and programs do with the library."""

    def __init__(
        self, roots: Roots, shelf: SearchableShelf, prober: Facts, thumbnails: Thumbnails
    ) -> None:
        self._roots = roots
        self._shelf = shelf
        self._prober = prober
        self._thumbnails = thumbnails
        self._list = ClipList(self._roots, shelf)
        self._search = ClipSearch(self._roots, shelf, self._list)

    def contained(self, path: str | Path) -> Path:
        """The path with its links resolved, if it lies in one of the folders. Raises NotFound."""
        return self._roots.contained(path)

    def roots(self, principal: Principal) -> Sequence[tuple[str, Path]]:
        """The folders that can be looked into, by names."""
        principal.allow(Action.SEE_LIBRARY)
        return self._roots.named

    def browse(
        self,
        principal: Principal,
        folder: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 200,
    ) -> Listing:
        """A part of a folder, or the roots. Raises NotFound, and SourcesUnavailable for a lost share."""
        principal.allow(Action.SEE_LIBRARY)
        if folder is None:
            named = tuple(Folder(path=str(path), name=name) for name, path in self._roots.named)
            return Listing(folder=None, name="", parent=None, folders=named, clips=(),
                           total=len(named))  # fmt: skip
        path = self._roots.written(folder)
        if not self._roots.is_root(path):
            self._roots.contained(path)
        found = scan(path)
        entries = sorted((one for one in found.entries if _is_shown(one)), key=_order)
        begin = 0 if cursor is None else bisect_right(entries, _after(cursor), key=_order)
        part = entries[begin : begin + limited(limit)]
        ids = self._shelf.at([one.path for one in part if not one.is_folder])
        seen = look_at(part, ids, self._roots)
        more = begin + len(part) < len(entries)
        return Listing(
            folder=str(path),
            name=self._name(path),
            parent=None if self._roots.is_root(path) else str(path.parent),
            folders=seen.folders,
            clips=seen.clips,
            total=len(entries),
            unreadable=seen.unreadable + found.unreadable,
            cursor=cursor_of(*_cursor(part[-1])) if more else None,
        )

    def search(
        self,
        principal: Principal,
        text: str,
        kind: Kind | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Found:
        """Clips of the catalogue that have ``text`` in their id or path, then files that have it in
        their name."""
        principal.allow(Action.SEE_LIBRARY)
        return self._search(text, kind, cursor, limited(limit))

    def facts(
        self, principal: Principal, path: str, check: Callable[[], None] = nothing
    ) -> ClipFacts:
        """What was measured of one clip. Raises NotFound and BadMedia."""
        principal.allow(Action.SEE_LIBRARY)
        return self._facts(path, check)

    def facts_of(
        self, principal: Principal, paths: Collection[str], check: Callable[[], None] = nothing
    ) -> Mapping[str, ClipFacts | ReelyardError]:
        """The same of many clips, several at once: of each its facts, or why there are none."""
        principal.allow(Action.SEE_LIBRARY)
        wanted = list(dict.fromkeys(paths))
        if len(wanted) > MOST_FACTS:
            raise RequestInvalid(f"these are {len(wanted)} clips",
                                 remedy=f"Ask for {MOST_FACTS} at a time", field="paths")  # fmt: skip

        def find(path: str) -> ClipFacts | ReelyardError:
            try:
                return self._facts(path, check)
            except Cancelled:
                raise
            except ReelyardError as error:
                return error

        with ThreadPoolExecutor(PROBES_AT_ONCE, "facts") as pool:
            return dict(zip(wanted, pool.map(find, wanted), strict=True))

    def resolve_list(self, principal: Principal, lines: str) -> Sequence[ListedClip]:
        """A pasted list of ids or paths, line by line."""
        principal.allow(Action.SEE_LIBRARY)
        return self._list.resolve(lines)

    def thumbnail(self, principal: Principal, path: str, width: int = 320) -> Path:
        """A JPEG with a picture of the clip. Raises NotFound and BadMedia."""
        principal.allow(Action.SEE_LIBRARY)
        return self._thumbnails.get(path, width)

    def job_thumbnail(self, principal: Principal, job: Job, width: int = 320) -> Path | None:
        """A picture of the job's first clip that has one."""
        principal.allow(Action.SEE_LIBRARY)
        return self._thumbnails.of_job(resolve(job, lambda: self._shelf)[0], width)

    def _facts(self, path: str, check: Callable[[], None]) -> ClipFacts:
        self._roots.contained(path)
        # As it is written, as jobs name it: what is measured once is remembered under that name.
        return facts_for_people(self._prober.facts(self._roots.written(path), check))

    def _name(self, path: Path) -> str:
        return next((name for name, root in self._roots.named if root == path), path.name)


def _is_shown(one: Entry) -> bool:
    return one.is_folder or is_media(one.name)


def _order(one: Entry) -> tuple[bool, NaturalKey]:
    """Folders first."""
    return not one.is_folder, natural(one.name)


def _cursor(one: Entry) -> tuple[str, str]:
    return "d" if one.is_folder else "f", one.name


def _after(cursor: str) -> tuple[bool, NaturalKey]:
    kind, name = place_of(cursor, "df")
    return kind == "f", natural(name)
