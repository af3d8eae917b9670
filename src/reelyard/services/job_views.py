"""Jobs as people and programs see them: what is asked for, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reelyard.domain.access import Principal
from reelyard.domain.errors import Problem
from reelyard.domain.farm import NORMAL_PRIORITY, Attempt, Happening, JobState, SegmentRow
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.domain.webhook import Webhook
from reelyard.store.queues import Pause
from reelyard.store.rows import encoded

from .making import Making
from .outputs import CHAPTERS_SUFFIX, REPORT_SUFFIX, SHEET_SUFFIX

LOGS = ("job.log", "ffmpeg_cmd.txt", "ffmpeg_stderr.txt")
FILES = {"output": ".mp4", "contact-sheet": SHEET_SUFFIX, "chapters": CHAPTERS_SUFFIX,
         "report": REPORT_SUFFIX}  # fmt: skip
ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What comes with a job's document. ``key`` is the idempotency key.

    ``problems`` were found with the rest of it.
    """

    priority: int = NORMAL_PRIORITY
    key: str | None = None
    metadata: dict[str, Any] | None = None
    webhook: Callable[[Principal, str], Webhook] | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of a job before it is submitted. Seconds; ``largest`` in bytes.

    ``problems`` stop it, ``warnings`` don't. With problems the rest is unknown. ``seconds`` by item
    positions is in ``items``; ``starts_in`` and ``done_in`` are None while nobody could take the job.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    queue: Queue | None = None
    seconds: float = 0.0
    items: Mapping[int, float] | None = None
    largest: int = 0
    starts_in: float | None = None
    done_in: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """Everything about a job. ``ahead`` is how many of its queue come before it."""

    state: JobState
    job: Job
    segments: Sequence[tuple[SegmentRow, str]]
    making: Making
    attempts: Sequence[Attempt]
    history: Sequence[Happening]
    ahead: int | None
    starts_in: float | None
    done_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue: how many wait and run, and in how many seconds all are done (None: nobody knows)."""

    queue: Queue
    pause: Pause
    waiting: int
    running: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A job that waits or runs, with its outlook in seconds."""

    state: JobState
    ahead: int | None
    starts_in: float | None
    done_in: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All queues, the jobs in them that the asker may see, and when all is done.

    ``lines``: those that run, then of each queue the first that wait, in their turn.
    """

    queues: Sequence[QueueView]
    lines: Sequence[Line]
    seconds_left: float | None


def as_document(job: Job) -> dict[str, Any]:
    """A job in the words of a job file; what was not said is left out."""
    flags = {
        "enable_4k": job.enable_4k,
        "on_bad_item": job.on_bad_item.value,
        "loudness": job.loudness,
        "chapters": job.chapters,
    }
    excerpt = job.excerpt.renumbered([item.position for item in job.items])
    wanted = {name: value for name, value in excerpt.fields.items() if value}
    items = []
    for item in job.items:
        said = {
            "item_type": item.item_type.value,
            "video_id": item.video_id,
            "path": None if item.video_id else encoded(item.path),
            "duration": None if item.duration is None else float(item.duration),
            "start": None if item.start is None else float(item.start),
            "end": None if item.end is None else float(item.end),
            "logo_path": item.logo_path and encoded(item.logo_path),
            "text_animation_text": item.text,
        }
        items.append({name: value for name, value in said.items() if value is not None})
    return {"channel_name": job.channel_name, **flags, **wanted, "items": items}
