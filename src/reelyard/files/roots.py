"""The folders that people may look into, and nothing outside of them.

A path is looked at in words first: what does not lie in one of the folders as it is written is never
asked of the file system. Then its links are resolved, and it has to lie there still. Whoever asks for
something outside hears the same as for something that is not there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from reelyard.domain.errors import NotFound, SourcesUnavailable, StorageFailed, printable
from reelyard.domain.share import ShareTable, ShareUnknown

_SHOWN = 200
_BYTES = "file://"  # how job files write names that are no text, with %XX


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder."""

    path: str
    name: str
    is_folder: bool
    is_link: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What is in a folder. ``unreadable`` is the number of names that could not be looked at."""

    entries: Sequence[Entry]
    unreadable: int


@dataclass(frozen=True, slots=True)
class Walk:
    """The files under all folders; not all of them where it is not ``complete``."""

    files: Sequence[Entry]
    complete: bool


class Roots:
    """Folders by their names. They need not be there now: a share comes and goes.

    Where one is a share's folder by ``table``, it is called like the share, and its files may be.
    """

    def __init__(self, roots: Sequence[Path], table: ShareTable | None = None) -> None:
        self._table = table or ShareTable()
        self._given = tuple(dict.fromkeys(root.absolute() for root in roots))
        self._resolved = tuple(root.resolve() for root in self._given)

    @property
    def named(self) -> Sequence[tuple[str, Path]]:
        """Each folder with a name that no other one has."""
        shares = {Path(one.folder): one.root for one in self._table.shares if one.folder}
        names = [shares.get(root, root.name) for root in self._given]
        return [
            (name if name and names.count(name) == 1 else str(root), root)
            for name, root in zip(names, self._given, strict=True)
        ]

    def is_root(self, path: Path) -> bool:
        return path in self._given or path in self._resolved

    def contained(self, path: str | Path) -> Path:
        """The path with its links resolved, where it lies in one of the folders. Raises NotFound."""
        try:
            written = self.written(path)
            resolved = written.resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing(path) from error
        if not any(resolved.is_relative_to(root) for root in self._resolved):
            raise _missing(path)
        return resolved

    def written(self, path: str | Path) -> Path:
        """The path as it is written, where it can lie in one of the folders. Raises NotFound."""
        try:
            found = Path(self._text(str(path)))
        except ValueError as error:
            raise _missing(path) from error
        inside = any(found.is_relative_to(root) for root in (*self._given, *self._resolved))
        if not inside or ".." in found.parts:
            raise _missing(path)
        return found

    def candidates(self, path: str) -> Iterator[Path]:
        """Where a path may lie: as it is written, or, without a root of its own, in each folder."""
        with suppress(ValueError):
            text = self._text(path)
            if Path(text).is_absolute():
                yield Path(text)
            else:
                yield from (root / text for root in self._given)

    def _text(self, path: str) -> str:
        """A path, also of what is named by its share. Raises ValueError for what can be none here."""
        text = _text(path)
        found = self._table.locate(text)
        if not isinstance(found, str):
            raise ShareUnknown(f"{found.share.root} is not mounted here")
        return found


def scan(folder: Path) -> Scan:
    """Every name in a folder that is not hidden; read once, and files are not looked at.

    Raises SourcesUnavailable and StorageFailed.
    """
    entries: list[Entry] = []
    unreadable = 0
    try:
        with os.scandir(folder) as found:
            for one in found:
                try:
                    if not one.name.startswith(".") and (entry := _entry(one)):
                        entries.append(entry)
                except OSError:
                    unreadable += 1
    except OSError as error:
        raise _unreadable(folder, error) from error
    return Scan(entries, unreadable)


def walk(roots: Sequence[Path], most: int, seconds: float, wants: Callable[[str], bool]) -> Walk:
    """The files in folders and the folders in them whose names are wanted, each once.

    Ends after ``most`` names or so many seconds. Links to folders are not followed.
    """
    files: list[Entry] = []
    waiting = [str(root) for root in reversed(roots)]
    seen: set[str] = set()
    left, ends_at, complete = most, time.monotonic() + seconds, True
    while waiting:
        folder = waiting.pop()
        if left <= 0 or time.monotonic() > ends_at:
            return Walk(files, complete=False)
        if folder in seen:
            continue
        seen.add(folder)
        try:
            found = scan(Path(folder))
        except (SourcesUnavailable, StorageFailed):
            complete = False
            continue
        left -= len(found.entries) + 1
        files += (one for one in found.entries if not one.is_folder and wants(one.name))
        waiting += (one.path for one in found.entries if one.is_folder and not one.is_link)
    return Walk(files, complete)


def _entry(one: os.DirEntry[str]) -> Entry | None:
    """None for what is no file, no folder and no link: nothing is asked of the disk to tell."""
    is_link = one.is_symlink()
    if is_link or one.is_dir() or one.is_file():
        return Entry(one.path, one.name, one.is_dir(), is_link)
    return None


def _text(path: str) -> str:
    """Raises ValueError for what can be no path here."""
    if path.startswith(_BYTES):
        path = unquote_to_bytes(path.removeprefix(_BYTES)).decode("utf-8", "surrogateescape")
    if not path or "\0" in path:
        raise ValueError("no path")
    os.fsencode(path)
    return path


def _missing(path: str | Path) -> NotFound:
    shown = printable(str(path))
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return NotFound(f"there is no file or folder {shown}",
                    remedy="Check the path; only what lies in the library's folders can be used")  # fmt: skip


def _unreadable(folder: Path, error: OSError) -> SourcesUnavailable | StorageFailed | NotFound:
    shown = printable(str(folder))
    if isinstance(error, NotADirectoryError):
        return NotFound(f"{shown} is not a folder", remedy="Choose a folder")
    if isinstance(error, PermissionError):
        return StorageFailed(f"{shown} may not be read", remedy="Check who may read the folder")
    return SourcesUnavailable(f"{shown} can't be read: {error.strerror or error}",
                              remedy="Check that the share is mounted on this machine")  # fmt: skip
