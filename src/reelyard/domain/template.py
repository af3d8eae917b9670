"""Templates: what a channel's compilations have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .job import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What to begin a new compilation with.

    ``before`` and ``after`` are the items at its two ends; ``logo_path`` and ``text`` are put on each video,
    ``still_seconds`` is how long each image is shown.
    """

    template_id: str
    name: str
    channel_name: str
    before: tuple[Item, ...] = ()
    after: tuple[Item, ...] = ()
    logo_path: str | None = None
    text: str | None = None
    still_seconds: float | None = None
    enable_4k: bool = False
    loudness: bool = False
    chapters: bool = False
    updated_at: datetime | None = None
    updated_by: str | None = None
