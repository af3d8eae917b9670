"""Looking through jobs: what is asked for, a page of answers, and figures added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from .lifecycle import JobStatus
from .routing import Queue

MOST_AT_ONCE = 200
T = TypeVar("T")


class Sort(StrEnum):
    """In which order jobs come; a minus is the newest, or the longest, first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LAST_DONE = "-completed_at"
    FIRST_DONE = "completed_at"
    LONGEST = "-frames"
    CHANNEL = "channel_name"
    TURN = "turn"  # those that wait or run, as workers take them


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs, in which order, and from where on.

    ``text`` is part of the channel's or the user's name or of the error, the film's name, or how the id begins.
    ``uses`` is a clip: its video id, or its path as it was written or resolved.
    """

    statuses: tuple[JobStatus, ...] = ()
    channel: str | None = None
    user_id: str | None = None
    username: str | None = None
    queue: Queue | None = None
    worker: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    uses: str | None = None
    sort: Sort = Sort.NEWEST
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of the answers. ``cursor`` gets the following ones; None: these were the last."""

    rows: Sequence[T]
    cursor: str | None


class Grouping(StrEnum):
    """What totals are told by."""

    DAY = "day"
    CHANNEL = "channel"
    USER = "user"
    WORKER = "worker"
    FEATURE = "feature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What one channel, user, worker, feature or day (UTC) came to. Seconds.

    ``rendered_frames`` of ``all_frames`` had to be made; caches had the others.
    """

    name: str
    completed: int
    failed: int
    seconds_of_film: float
    seconds_of_work: float
    all_frames: int
    rendered_frames: int

    @property
    def cache_share(self) -> float | None:
        """How much of the film caches had, 0 to 1."""
        return 1 - self.rendered_frames / self.all_frames if self.all_frames else None

    @property
    def speed(self) -> float | None:
        """Seconds of film for each second of work."""
        return self.seconds_of_film / self.seconds_of_work if self.seconds_of_work else None
