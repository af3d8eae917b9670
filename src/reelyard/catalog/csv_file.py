"""The catalogue of videos in a CSV file: columns ``video_id`` and ``path``, told by the first line.

The file is read again when it has changed. Paths that are not absolute are relative to the file's own folder.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from reelyard.domain.errors import CatalogueUnavailable, printable
from reelyard.domain.share import NameInvalid, parse

_COLUMNS = ("video_id", "path")
_SAVE = "Save it as a CSV in UTF-8 with the columns video_id and path"
_CORRECT = "Correct the line"


class SourceFile(Protocol):
    """A file, here or on a share."""

    @property
    def fs(self) -> Any:
        """Its file system, fsspec's."""
        ...

    @property
    def path(self) -> str: ...

    def identity(self) -> object:
        """Another one when it has changed. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class _Read:
    """What was in the file when it had this identity: paths, and the lines where they stand."""

    identity: object
    paths: Mapping[str, tuple[str, int]]


class CsvCatalogue:
    """Videos by their ids. ``named`` is what people call the file: a path, or a name on a share."""

    def __init__(self, source: SourceFile, named: str) -> None:
        self._source = source
        self._named = named
        self._read: _Read | None = None
        self._lock = threading.Lock()

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """The paths of those ids that are known. Raises CatalogueUnavailable."""
        known = self._known()
        return {one: self._full(*known[one]) for one in video_ids if one in known}

    def check(self) -> str:
        """What there is, in words. Raises CatalogueUnavailable."""
        return f"{len(self._known())} videos in {printable(self._named)}"

    def _known(self) -> Mapping[str, tuple[str, int]]:
        with self._lock:
            try:
                identity = self._source.identity()
                if self._read is None or self._read.identity != identity:
                    data = self._source.fs.cat_file(self._source.path)
                    self._read = _Read(identity, dict(self._rows(data)))
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
                raise CatalogueUnavailable(
                    f"the catalogue {printable(self._named)} can't be read: {printable(reason)}",
                    remedy="Check the path in REELYARD_CATALOGUE, and that its folder or share is there",
                ) from error
            return self._read.paths

    def _rows(self, data: bytes) -> Iterator[tuple[str, tuple[str, int]]]:
        text = self._text(data)
        delimiter, places = self._header(text)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        seen: dict[str, tuple[str, int]] = {}
        try:
            next(reader)
            for row in reader:
                if found := self._row(row, places, reader.line_num, seen):
                    seen[found[0]] = found[1]
                    yield found
        except csv.Error as error:
            raise self._wrong(reader.line_num, str(error)) from error

    def _row(
        self,
        row: list[str],
        places: tuple[int, int],
        line: int,
        seen: Mapping[str, tuple[str, int]],
    ) -> tuple[str, tuple[str, int]] | None:
        """Id, path and line; None for an empty line, or one that says nothing new."""
        video_id, path = (row[place].strip() if place < len(row) else "" for place in places)
        if not video_id and not path and not any(row):
            return None
        if not video_id or not path:
            raise self._wrong(line, f"there is no {_COLUMNS[0] if not video_id else _COLUMNS[1]}")
        before = seen.get(video_id)
        if before is None:
            return video_id, (path, line)
        if before[0] != path:
            raise self._wrong(line, f"{printable(video_id)} has another path in line {before[1]}")
        return None

    def _text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._wrong(line, "it is not in UTF-8", _SAVE) from error

    def _header(self, text: str) -> tuple[str, tuple[int, int]]:
        """What stands between columns, and the places of ours. Spreadsheets of some countries write ``;``."""
        first = text.partition("\n")[0].rstrip("\r")
        for delimiter in ",;\t":
            names = [
                name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])
            ]
            if all(name in names for name in _COLUMNS):
                return delimiter, (names.index(_COLUMNS[0]), names.index(_COLUMNS[1]))
        raise self._wrong(1, "it names no columns video_id and path", _SAVE)

    def _full(self, path: str, line: int) -> str:
        try:
            if parse(path) is not None:
                return path
        except NameInvalid as error:
            raise self._wrong(line, f"the path {error}") from error
        if path.startswith("file:") or PurePath(path).is_absolute():
            return path
        return str(_folder(self._named, path))

    def _wrong(self, line: int, what: str, remedy: str = _CORRECT) -> CatalogueUnavailable:
        return CatalogueUnavailable(
            f"the catalogue {printable(self._named)}, line {line}: {what}", remedy=remedy
        )


def _folder(named: str, path: str) -> str:
    """A path that is relative to the folder of the file ``named``."""
    on_share = parse(named)
    if on_share is None or on_share.is_drive:
        return str(PurePath(named).parent / path)
    folder = str(on_share).rpartition("/")[0]
    separated = path if on_share.protocol != "smb" else path.replace("\\", "/")
    return f"{folder}/{separated}"
