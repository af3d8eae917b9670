"""Clips as people see them in the library: where they lie, what they are, and in which order they come."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reelyard.domain.errors import NotFound, ReelyardError, RequestInvalid
from reelyard.domain.media import MediaFacts, MediaKind, Transfer
from reelyard.files.roots import Entry, Roots

from .scan import SUFFIXES

STILLS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff"})
_MOST_ROWS = 1000
_LAST = 253_402_300_799  # the end of the year 9999: file systems may say anything
_DIGITS = re.compile(r"(\d+)")
NaturalKey = tuple[list[str | int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip or picture. Without ``size`` nothing is known of the file but where it should be.

    ``is_image`` goes by the name; the facts go by the content.
    """

    path: str
    name: str
    is_image: bool
    video_id: str | None = None
    size: int | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder to look into."""

    path: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A part of a folder: its folders, then its clips. ``folder`` is None where the roots are listed.

    ``parent`` is None at a root. ``total`` counts the whole folder. What could not be read of this part is
    left out and counted. ``cursor`` gets what follows; None: nothing does.
    """

    folder: str | None
    name: str
    parent: str | None
    folders: tuple[Folder, ...]
    clips: tuple[Clip, ...]
    total: int
    unreadable: int = 0
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Some of what a search found. Not ``complete``: there are more files than could be looked through."""

    rows: tuple[Clip, ...]
    cursor: str | None
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClip:
    """One line of a pasted list: the clip that it names, or what is wrong with it."""

    line: int
    text: str
    clip: Clip | None = None
    error: ReelyardError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """What was measured of a clip. ``seconds`` and ``frame_rate`` are None for a picture.

    ``width`` × ``height`` are as displayed, in square pixels.
    """

    seconds: float | None
    width: int
    height: int
    frame_rate: float | None
    codec: str
    has_sound: bool
    rotation: int
    is_image: bool
    is_hdr: bool
    size: int
    warnings: tuple[str, ...]


def facts_for_people(facts: MediaFacts) -> ClipFacts:
    video = facts.video
    moves = facts.kind is MediaKind.MOVING
    return ClipFacts(
        seconds=float(video.span) if moves else None,
        width=round(video.width * video.sample_aspect_ratio),
        height=video.height,
        frame_rate=float(video.frame_rate) if moves else None,
        codec=video.codec,
        has_sound=facts.audio is not None,
        rotation=video.rotation,
        is_image=not moves,
        is_hdr=video.colour.transfer is not Transfer.SDR,
        size=facts.size,
        warnings=facts.warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What could be seen of some entries of folders."""

    folders: tuple[Folder, ...]
    clips: tuple[Clip, ...]
    unreadable: int


def look_at(entries: Sequence[Entry], ids: Mapping[str, str], roots: Roots) -> Seen:
    """What is behind names; ``ids`` by paths. A link that leads outside is not there at all."""
    folders: list[Folder] = []
    clips: list[Clip] = []
    unreadable = 0
    for one in entries:
        try:
            if one.is_link:
                roots.contained(one.path)
            if one.is_folder:
                folders.append(Folder(path=one.path, name=one.name))
            else:
                clips.append(clip_of(Path(one.path), Path(one.path).stat(), ids.get(one.path)))
        except OSError:
            unreadable += 1
        except NotFound:
            continue
    return Seen(folders=tuple(folders), clips=tuple(clips), unreadable=unreadable)


def is_media(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - of many


def is_still(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in STILLS  # noqa: PTH122 - of many


def unseen(path: str, video_id: str | None) -> Clip:
    """A clip of which only the name is known."""
    return Clip(path=path, name=Path(path).name, is_image=is_still(path), video_id=video_id)


def clip_of(path: Path, found: os.stat_result, video_id: str | None = None) -> Clip:
    return Clip(
        path=str(path),
        name=path.name,
        is_image=is_still(path.name),
        video_id=video_id,
        size=found.st_size,
        modified_at=datetime.fromtimestamp(min(max(found.st_mtime, 0), _LAST), UTC),
    )


def natural(name: str) -> NaturalKey:
    """Sorts as people count: clip 2 before clip 10, whatever the size of the letters."""
    parts = _DIGITS.split(name.casefold())
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], name


def cursor_of(kind: str, name: str) -> str:
    """A place in a list, as one word. ``kind`` is one letter."""
    return urlsafe_b64encode(f"{kind}{name}".encode("utf-8", "surrogateescape")).decode()


def place_of(cursor: str, kinds: str) -> tuple[str, str]:
    """The kind and name that a cursor was made from. Raises RequestInvalid."""
    try:
        text = urlsafe_b64decode(cursor.encode()).decode("utf-8", "surrogateescape")
    except ValueError as error:
        raise _bad_cursor() from error
    if text[:1] not in tuple(kinds):
        raise _bad_cursor()
    return text[0], text[1:]


def _bad_cursor() -> RequestInvalid:
    return RequestInvalid("the cursor is none of ours", remedy="Begin again without it", field="cursor")  # fmt: skip


def limited(limit: int) -> int:
    if limit < 1:
        raise RequestInvalid("a page has one row at least", remedy="Ask for more", field="limit")
    return min(limit, _MOST_ROWS)
