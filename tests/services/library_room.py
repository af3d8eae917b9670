"""A library in a folder: two roots, a catalogue in memory, people who look around in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.query import Page
from reelyard.files.memory import Memory
from reelyard.files.roots import Roots
from reelyard.services.gather import Prober
from reelyard.services.library import LibraryDesk
from reelyard.services.thumbnails import Thumbnails

PLENTY = 1 << 40


def person(
    name: str = "ann", role: Role = Role.OPERATOR, scopes: frozenset[Scope] | None = None
) -> Principal:
    return Principal(user_id=f"id of {name}", username=name, role=role, scopes=scopes)


ANN, BEN, BOSS = person(), person("ben"), person("boss", Role.MANAGER)
READER = person(scopes=frozenset({Scope.READ}))
NOBODY = person(scopes=frozenset())


@dataclass
class Shelf:
    """A catalogue that counts how often it is asked."""

    videos: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        self.asked += 1
        return {one: self.videos[one] for one in video_ids if one in self.videos}

    def at(self, paths: Collection[str]) -> Mapping[str, str]:
        return {path: video_id for video_id, path in self.videos.items() if path in paths}

    def search(
        self, text: str, *, endings: Collection[str] = (), others: bool = False,
        limit: int = 50, cursor: str | None = None,
    ) -> Page[tuple[str, str]]:  # fmt: skip
        found = [
            (video_id, path)
            for video_id, path in sorted(self.videos.items())
            if text.lower() in f"{video_id}\n{path}".lower()
            and (not endings or path.lower().endswith(tuple(endings)) != others)
            and (cursor is None or video_id > cursor)
        ]
        return Page(found[:limit], found[limit - 1][0] if len(found) > limit else None)


@dataclass
class Room:
    """The library of one test."""

    folder: Path
    shelf: Shelf = field(default_factory=Shelf)

    def __post_init__(self) -> None:
        self.media.mkdir(parents=True)
        self.uploads.mkdir()

    @property
    def media(self) -> Path:
        return self.folder / "media"

    @property
    def uploads(self) -> Path:
        return self.folder / "uploads"

    @cached_property
    def roots(self) -> Roots:
        return Roots([self.media, self.uploads])

    @cached_property
    def thumbnails(self) -> Thumbnails:
        return Thumbnails(self.folder / "thumbs", PLENTY, self.roots.contained)

    @cached_property
    def desk(self) -> LibraryDesk:
        return self.desk_of(self.media, self.uploads)

    def desk_of(self, *roots: Path) -> LibraryDesk:
        prober = Prober(Memory(self.folder / "memory"), roots)
        return LibraryDesk(Roots(roots), self.shelf, prober, self.thumbnails)

    def put(self, *names: str, data: bytes = b"x") -> None:
        for name in names:
            path = self.media / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def bring(self, clip: Path, name: str) -> Path:
        """A real clip in the library."""
        self.put(name, data=clip.read_bytes())
        return self.media / name


def pages(get: Callable[[str | None], tuple[list[str], str | None]]) -> list[list[str]]:
    """What all pages hold, first to last."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        rows, cursor = get(cursor)
        found.append(rows)
        if cursor is None:
            return found
        assert len(found) < 1000, "it goes on for ever"
