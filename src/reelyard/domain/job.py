"""A job: what an operator asks for, in order.

Field names are those of the job file and of the HTTP API. A job says nothing about how it is
rendered; the plan does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from .excerpt import WHOLE, Excerpt

STILL_SECONDS = Fraction(5)
"""How long an image is shown when its item does not say."""


class ItemType(StrEnum):
    """What an item is for."""

    INTRO = "intro"
    VIDEO = "video"  # counted in results; may carry a logo and animated text
    TRANSITION = "transition"
    OUTRO = "outro"
    IMAGE = "image"  # a still, shown for ``duration``


class OnBadItem(StrEnum):
    """What to do about a source that can't be used."""

    FAIL = "fail"  # the whole job is refused
    SKIP = "skip"  # the item is left out, with a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item. ``path`` is absolute; times are seconds into the source's own picture.

    An item that was given a ``video_id`` has no path until the catalogue was asked.
    """

    position: int
    item_type: ItemType
    path: str
    named: str  # the path or video id as the user wrote it, for messages
    video_id: str | None = None
    origin: str | None = None  # where the source lies, when ``path`` is a copy of it
    duration: Fraction | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    logo_path: str | None = None
    text: str | None = None

    @property
    def still_seconds(self) -> Fraction:
        return STILL_SECONDS if self.duration is None else self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A compilation to make, or what ``excerpt`` says of it."""

    job_id: str
    channel_name: str
    items: tuple[Item, ...]
    enable_4k: bool = False
    on_bad_item: OnBadItem = OnBadItem.FAIL
    loudness: bool = False
    chapters: bool = False
    excerpt: Excerpt = WHOLE

    @property
    def wanted(self) -> Job:
        """The job as far as its film is wanted: what lies outside its range isn't even looked at.

        Positions stay. A draft has no list of chapters: their times would not be the film's.
        """
        items = tuple(item for item in self.items if self.excerpt.has(item.position))
        return replace(self, items=items, chapters=self.chapters and not self.excerpt.is_draft)

    @property
    def features(self) -> tuple[str, ...]:
        """The ``features_used`` of a result, in the order of the results table."""
        used = {
            "logo_overlay": any(item.logo_path for item in self.items),
            "text_animation": any(item.text for item in self.items),
            "image_slides": any(item.item_type is ItemType.IMAGE for item in self.items),
            "4k_output": self.enable_4k and not self.excerpt.is_draft,
        }
        return tuple(name for name, present in used.items() if present)

    @property
    def video_count(self) -> int:
        return sum(item.item_type is ItemType.VIDEO for item in self.items)
