"""Filling the local library: every clip and picture in a folder, by its file's name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".m2ts",
        ".mts",
        ".wmv",
        ".flv",
        ".3gp",
        ".mxf",
        ".ogv",
        ".vob",
        ".jpg",
        ".jpeg",
        ".png",
        ".webp",
        ".avif",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
    ]
)


class Shelf(Protocol):
    """Takes videos."""

    def add(self, paths: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was added, and which names were left out because two files have them."""

    added: int
    ambiguous: tuple[str, ...]


def scan(folder: Path, shelf: Shelf) -> Scanned:
    """Add every media file under ``folder``; its id is its name without the suffix.

    Raises OSError where the folder can't be read.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(_files(folder)):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.stem, []).append(str(path))
    clear = {name: paths[0] for name, paths in found.items() if len(paths) == 1}
    shelf.add(clear)
    return Scanned(len(clear), tuple(name for name in found if name not in clear))


def _files(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder.absolute(), onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))
