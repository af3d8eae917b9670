"""A pasted list of ids and paths, as it comes out of a spreadsheet or a mail, turned into clips."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from reelyard.domain.errors import NotFound, RequestInvalid, printable
from reelyard.files.roots import Roots

from .clips import Clip, ListedClip, clip_of, unseen
from .job_file import MOST_ITEMS

_LONGEST_LIST = 5_000_000
_SHOWN = 120
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "`": "`"}
_COLUMNS = ("\t", ";", ",", " #")


class Shelf(Protocol):
    """Knows where videos are."""

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]: ...


class ClipList:
    """Looks clips up by what people call them."""

    def __init__(self, roots: Roots, shelf: Shelf) -> None:
        self._roots = roots
        self._shelf = shelf

    def resolve(self, lines: str) -> Sequence[ListedClip]:
        """Of each line its clip, or what is wrong with it. Raises RequestInvalid for endless lists."""
        if len(lines) > _LONGEST_LIST:
            raise _too_long()
        written = list(_lines(lines))
        if len(written) > MOST_ITEMS:
            raise _too_long()
        readings = [(number, text, list(_readings(text))) for number, text in written]
        ids = {one for _, _, names in readings for one in names}
        known = self._shelf.find(ids) if ids else {}
        return [self._listed(number, text, names, known) for number, text, names in readings]

    def catalogued(self, video_id: str, path: str) -> Clip:
        """A clip of the catalogue, with its size and time where it lies in one of the folders."""
        return self._at(Path(path), video_id) or unseen(path, video_id)

    def _listed(
        self, number: int, text: str, names: Sequence[str], known: Mapping[str, str]
    ) -> ListedClip:
        for name in names:
            clip = self.catalogued(name, known[name]) if name in known else self._file(name)
            if clip is not None:
                return ListedClip(line=number, text=text, clip=clip)
        shown = printable(names[-1] if len(names[0]) > _SHOWN else names[0])[:_SHOWN]
        error = NotFound(
            f"line {number}: there is no clip {shown}",
            remedy="Correct the line: a video id of the catalogue, or a path in one of the library's folders",
        )
        return ListedClip(line=number, text=text, error=error)

    def _file(self, name: str) -> Clip | None:
        found = (self._at(path) for path in self._roots.candidates(name))
        return next((clip for clip in found if clip is not None), None)

    def _at(self, path: Path, video_id: str | None = None) -> Clip | None:
        try:
            written = self._roots.written(path)
            found = self._roots.contained(path).stat()
        except (NotFound, OSError, ValueError):
            return None
        return clip_of(written, found, video_id) if stat.S_ISREG(found.st_mode) else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        said = line.strip()
        if said and not said.startswith("#"):
            yield number, said


def _readings(line: str) -> Iterator[str]:
    """What a line may name: what stands in quotes, or all of it, or what stands in its first column."""
    closing = _QUOTES.get(line[0])
    if closing and (end := line.find(closing, 1)) > 1:
        yield line[1:end]
        return
    yield line
    for mark in _COLUMNS:
        first = line.partition(mark)[0].strip()
        if first and first != line:
            yield first


def _too_long() -> RequestInvalid:
    return RequestInvalid("the list is too long", remedy=f"Paste {MOST_ITEMS} lines at most",
                          field="lines")  # fmt: skip
