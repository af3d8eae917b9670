"""Looking for clips: in the catalogue first, then among the names of files."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, Protocol

from reelyard.domain.errors import RequestInvalid
from reelyard.domain.query import Page
from reelyard.files.roots import Entry, Roots, Walk, walk

from .clip_list import ClipList, Shelf
from .clips import (
    STILLS,
    Clip,
    Found,
    NaturalKey,
    cursor_of,
    is_media,
    is_still,
    look_at,
    natural,
    place_of,
)

Kind = Literal["video", "image"]

_LONGEST_TEXT = 200
_MOST_NAMES = 200_000
_WALK_SECONDS = 3.0
_WALK_KEPT_SECONDS = 5.0  # while somebody types


class SearchableShelf(Shelf, Protocol):
    """The catalogue, as it is looked through."""

    def at(self, paths: Collection[str]) -> Mapping[str, str]: ...

    def search(
        self, text: str, *, endings: Collection[str] = (), others: bool = False,
        limit: int = 50, cursor: str | None = None,
    ) -> Page[tuple[str, str]]: ...  # fmt: skip


class ClipSearch:
    """Finds clips page by page."""

    def __init__(
        self,
        roots: Roots,
        shelf: SearchableShelf,
        clips: ClipList,
        most: int = _MOST_NAMES,
        seconds: float = _WALK_SECONDS,
        kept: float = _WALK_KEPT_SECONDS,
    ) -> None:
        self._roots = roots
        self._shelf = shelf
        self._clips = clips
        self._most = most
        self._seconds = seconds
        self._kept = kept
        self._lock = threading.Lock()
        self._walked: tuple[float, Walk] | None = None

    def __call__(self, text: str, kind: Kind | None, cursor: str | None, limit: int) -> Found:
        wanted = text.strip()
        if len(wanted) > _LONGEST_TEXT:
            raise RequestInvalid("the text to look for is too long",
                                 remedy=f"Use {_LONGEST_TEXT} letters at most", field="text")  # fmt: skip
        stage, last = ("c", None) if cursor is None else place_of(cursor, "cf")
        rows: list[Clip] = []
        if stage == "c":
            rows, last_id = self._in_catalogue(wanted, kind, last, limit)
            if last_id is not None:
                return Found(rows=tuple(rows), cursor=cursor_of("c", last_id), complete=True)
            last = None
        files, last, complete = self._in_folders(wanted, kind, last, limit - len(rows))
        return Found(
            rows=(*rows, *files),
            cursor=None if last is None else cursor_of("f", last),
            complete=complete,
        )

    def _in_catalogue(
        self, text: str, kind: Kind | None, last: str | None, limit: int
    ) -> tuple[list[Clip], str | None]:
        """Clips, and the last id that was looked at where there are more."""
        endings = STILLS if kind else ()
        rows: list[Clip] = []
        while len(rows) < limit:
            page = self._shelf.search(
                text,
                endings=endings,
                others=kind == "video",
                limit=limit - len(rows),
                cursor=last,
            )
            rows += (self._clips.catalogued(video_id, path) for video_id, path in page.rows)
            last = page.cursor
            if last is None:
                break
        return rows, last

    def _in_folders(
        self, text: str, kind: Kind | None, last: str | None, limit: int
    ) -> tuple[list[Clip], str | None, bool]:
        """Clips that the catalogue doesn't have, the last path that was looked at where there are more,
        and whether all names were looked at."""
        walked = self._walk()
        wanted = text.casefold()
        found = sorted(
            (one for one in walked.files if wanted in one.name.casefold() and _is_kind(one, kind)),
            key=_by_name,
        )
        begin = 0 if last is None else bisect_right(found, _place(last), key=_by_name)
        rows: list[Clip] = []
        while begin < len(found) and len(rows) < limit:
            part = found[begin : begin + limit - len(rows)]
            begin += len(part)
            known = self._shelf.at([one.path for one in part])
            rows += look_at([one for one in part if one.path not in known], {}, self._roots).clips
        more = begin < len(found)
        if not more:
            return rows, None, walked.complete
        return rows, found[begin - 1].path if begin else last or "", walked.complete

    def _walk(self) -> Walk:
        """The names under all roots; kept for a moment, and walked by one at a time."""
        with self._lock:
            now = time.monotonic()
            if self._walked is None or now - self._walked[0] > self._kept:
                folders = [path for _, path in self._roots.named]
                found = walk(folders, self._most, self._seconds, is_media)
                self._walked = (time.monotonic(), found)
            return self._walked[1]


def _is_kind(one: Entry, kind: Kind | None) -> bool:
    return kind is None or is_still(one.name) == (kind == "image")


def _by_name(one: Entry) -> tuple[NaturalKey, str]:
    return natural(one.name), one.path


def _place(path: str) -> tuple[NaturalKey, str]:
    return natural(Path(path).name), path
