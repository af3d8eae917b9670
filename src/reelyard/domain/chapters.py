"""Chapters: one per ``video`` item, in the file and as YouTube wants them in a description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .job import ItemType
from .plan import PlannedItem
from .timeline import FRAME_RATE, clock

YOUTUBE_SHORTEST = 10 * FRAME_RATE
YOUTUBE_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Chapter:
    """Frames ``start <= n < end`` of the film, under a title."""

    title: str
    start: int
    end: int


def chapters_of(items: Iterable[PlannedItem]) -> tuple[Chapter, ...]:
    """A chapter for each ``video`` item, from its first frame to its last."""
    return tuple(
        Chapter(item.title, item.start, item.start + item.frames)
        for item in items
        if item.item_type is ItemType.VIDEO
    )


def tiled(chapters: Sequence[Chapter], frames: int) -> tuple[Chapter, ...]:
    """The chapters as an MP4 can hold them: side by side, from the first frame to the last.

    Its chapter track has no gaps and begins at zero, so what lies before a chapter belongs to it if it
    is the first, and otherwise to the chapter before.
    """
    starts = [0, *(chapter.start for chapter in chapters[1:])]
    ends = [*starts[1:], frames]
    return tuple(
        Chapter(chapter.title, start, end)
        for chapter, start, end in zip(chapters, starts, ends, strict=False)
    )


def ffmetadata(chapters: Iterable[Chapter]) -> str:
    """The chapters in FFmpeg's metadata format; titles can't end or forge a field."""
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        lines += ["[CHAPTER]", f"TIMEBASE=1/{FRAME_RATE}"]
        lines += [f"START={chapter.start}", f"END={chapter.end}", f"title={_escape(chapter.title)}"]
    return "\n".join(lines) + "\n"


def _escape(title: str) -> str:
    one_line = plain_title(title)
    escaped = "".join(f"\\{char}" if char in "=;#\\" else char for char in one_line)
    # FFmpeg takes a backslash before a line's end for one that goes on, however it is escaped.
    return escaped + " " if escaped.endswith("\\") else escaped


def plain_title(title: str) -> str:
    """The title on one line; FFmpeg would end it at a zero byte."""
    return " ".join(title.replace("\0", "").split())


def youtube_list(
    chapters: Iterable[Chapter], opening: str = "Intro", *, frames: int | None = None
) -> str:
    """Lines for a video description: the first at 0:00, each at least ten seconds long.

    A chapter that starts less than ten seconds after the one before it, or a last one that is shorter
    itself, is joined to that one: YouTube shows no chapters at all when a single one is too short.
    ``frames`` is the film's length; without it, the last chapter's end counts.
    """
    entries: list[tuple[int, str]] = []
    end = 0
    for chapter in chapters:
        end = chapter.end
        if not entries and chapter.start >= YOUTUBE_SHORTEST:
            entries.append((0, opening))
        if not entries:
            entries.append((0, chapter.title))
        elif chapter.start - entries[-1][0] >= YOUTUBE_SHORTEST:
            entries.append((chapter.start, chapter.title))
        else:
            start, title = entries[-1]
            entries[-1] = (start, f"{title} / {chapter.title}")
    end = end if frames is None else frames
    if len(entries) > 1 and end - entries[-1][0] < YOUTUBE_SHORTEST:
        _, last = entries.pop()
        start, title = entries[-1]
        entries[-1] = (start, f"{title} / {last}")
    return "".join(f"{clock(start)} {plain_title(title)}\n" for start, title in entries)


def youtube_shows(listing: str) -> bool:
    """Whether YouTube would show the list: it wants three chapters at least."""
    return listing.count("\n") >= YOUTUBE_FEWEST
