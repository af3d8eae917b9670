"""Between rows and domain values, in both directions."""

from __future__ import annotations

import uuid
from fractions import Fraction
from typing import Any, TypeAlias
from urllib.parse import quote_from_bytes, unquote_to_bytes

import sqlalchemy as sa

from reelyard.domain.errors import printable
from reelyard.domain.excerpt import Excerpt
from reelyard.domain.farm import Attempt, AttemptOutcome, Capabilities, Happening, JobState, Worker
from reelyard.domain.job import Item, ItemType, Job, OnBadItem
from reelyard.domain.lifecycle import JobStatus, Order, WorkerState
from reelyard.domain.routing import Queue

from .schema import job_items, jobs, profiles

_BYTES = "file://"
UNKNOWN_USER = "unknown"

STATE_COLUMNS = (
    *(one for one in jobs.c if one.name not in ("digest", "idempotency_key", "lease_until")),
    sa.func.coalesce(profiles.c.username, UNKNOWN_USER).label("username"),
)
WITH_NAMES = jobs.outerjoin(profiles, profiles.c.user_id == jobs.c.user_id)

Row: TypeAlias = Any
"""SQLAlchemy's rows have their columns as attributes, which no type checker can know."""


def state_of(row: Row) -> JobState:
    output = row.output_path and decoded(row.output_path)
    return JobState(
        job_id=row.job_id,
        user_id=row.user_id,
        username=decoded(row.username),
        channel_name=decoded(row.channel_name),
        enable_4k=row.enable_4k,
        status=JobStatus(row.status),
        queue=Queue(row.queue_name),
        priority=row.priority,
        frames=row.frames,
        items=row.item_count,
        progress=row.progress,
        stage=row.stage,
        token=row.token,
        attempts=row.attempts,
        created_at=row.created_at,
        queued_at=row.queued_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        not_before=row.not_before,
        speed=row.speed,
        seconds_left=row.seconds_left,
        worker_id=row.worker_id,
        reserved_by=row.reserved_by,
        task_id=row.task_id,
        output_path=output if row.status == JobStatus.COMPLETED else None,
        planned_output=output,
        final_duration=row.final_duration,
        error_message=row.error_message,
        waiting_for=row.waiting_for,
        log_folder=row.log_folder and decoded(row.log_folder),
        warnings=tuple(row.warnings),
        metadata=row.client_metadata,
        excerpt=_excerpt_of(row),
    )


def job_of(row: Row, items: list[Row]) -> Job:
    return Job(
        job_id=row.job_id,
        channel_name=decoded(row.channel_name),
        items=tuple(map(_item_of, items)),
        enable_4k=row.enable_4k,
        on_bad_item=OnBadItem(row.on_bad_item),
        loudness=row.loudness,
        chapters=row.chapters,
        excerpt=_excerpt_of(row),
    )


def _excerpt_of(row: Row) -> Excerpt:
    return Excerpt(
        is_draft=row.is_draft,
        item_seconds=_fraction(row.item_seconds),
        first_item=row.first_item,
        last_item=row.last_item,
    )


def excerpt_values(job: Job) -> dict[str, object]:
    return {
        "is_draft": job.excerpt.is_draft,
        "item_seconds": _float(job.excerpt.item_seconds),
        "first_item": job.excerpt.first_item,
        "last_item": job.excerpt.last_item,
    }


def _item_of(row: Row) -> Item:
    return Item(
        position=row.position,
        item_type=ItemType(row.item_type),
        path=decoded(row.path or ""),
        named=decoded(row.named),
        video_id=decoded(row.video_id) if row.video_id else None,
        duration=_fraction(row.duration),
        start=_fraction(row.start),
        end=_fraction(row.end),
        logo_path=decoded(row.logo_path) if row.logo_path else None,
        text=decoded(row.text_animation_text) if row.text_animation_text else None,
    )


def item_values(job: Job) -> list[dict[str, Any]]:
    return [
        {
            job_items.c.job_id.name: job.job_id,
            "position": item.position,
            "item_type": item.item_type.value,
            "video_id": encoded(item.video_id) if item.video_id else None,
            "path": encoded(item.path) if item.path else None,
            "named": encoded(item.named),
            "duration": _float(item.duration),
            "start": _float(item.start),
            "end": _float(item.end),
            "logo_path": encoded(item.logo_path) if item.logo_path else None,
            "text_animation_text": encoded(item.text) if item.text else None,
        }
        for item in job.items
    ]


def job_id_of(text: str) -> str | None:
    """The text as a job's or user's id; None if it can't be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _float(seconds: Fraction | None) -> float | None:
    return None if seconds is None else float(seconds)


def _fraction(seconds: float | None) -> Fraction | None:
    """The decimal number that the float was made from, as the job file's reader has it."""
    return None if seconds is None else Fraction(str(seconds))


def encoded(text: str) -> str:
    """The text as a database can hold it: names that are no text become ``file://`` with %XX."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "backslashreplace")  # half a pair: no file is called that
    plain = text.isascii() or text.encode("utf-8", "ignore") == raw
    if plain and "\0" not in text and not text.startswith(_BYTES):
        return text
    return _BYTES + quote_from_bytes(raw)


def storable(text: str) -> str:
    """A message as any database can hold it: lines stay lines, of printable characters."""
    return "\n".join(map(printable, text.splitlines()))


def decoded(text: str) -> str:
    if not text.startswith(_BYTES):
        return text
    return unquote_to_bytes(text.removeprefix(_BYTES)).decode("utf-8", "surrogateescape")


def worker_of(row: Row) -> Worker:
    capabilities: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in row.capabilities.items()
    }
    alive = bool(row.is_alive)
    state = WorkerState.BUSY if row.job_id else WorkerState.IDLE
    return Worker(
        worker_id=row.worker_id,
        instance=row.instance,
        host=row.host,
        pid=row.pid,
        queues=tuple(map(Queue, row.queues)),
        state=state if alive else WorkerState.OFFLINE,
        order=Order(row.command),
        is_alive=alive,
        job_id=row.job_id,
        helps=row.helps,
        failures=row.failures,
        quarantine=row.quarantine,
        speed=row.speed,
        speed_4k=row.speed_4k,
        started_at=row.started_at,
        seen_at=row.seen_at,
        capabilities=Capabilities(**capabilities),
    )


def attempt_of(row: Row) -> Attempt:
    return Attempt(
        job_id=row.job_id,
        token=row.token,
        worker_id=row.worker_id,
        outcome=AttemptOutcome(row.outcome),
        started_at=row.started_at,
        ended_at=row.ended_at,
        message=row.message,
        figures=dict(row.figures),
    )


def happening_of(row: Row) -> Happening:
    return Happening(
        at=row.at,
        what=row.what,
        job_id=row.job_id,
        worker_id=row.worker_id,
        actor=row.actor and decoded(row.actor),
        message=row.message,
    )
