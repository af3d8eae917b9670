"""What requests and answers look like. Names are those of the tables and of the job file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from reelyard.domain.errors import printable
from reelyard.domain.farm import HIGHEST_PRIORITY, LOWEST_PRIORITY, NORMAL_PRIORITY, JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.domain.webhook import WebhookEvent
from reelyard.services.job_file import ItemDocument, JobDocument
from reelyard.services.job_views import Checked, JobDetail
from reelyard.services.making import Maker
from reelyard.services.submit import Submitted

from .errors import ProblemItem, item_of

Text = Annotated[str, PlainSerializer(printable)]
"""Names may hold what no JSON can: it is shown as its code."""
Short = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(str.strip)]
T = TypeVar("T")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FromState(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PageOut(BaseModel, Generic[T]):
    """A page of a list; ``cursor`` gets the next one, and is null on the last."""

    items: list[T]
    cursor: str | None = None


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what no database keeps: half characters, zero bytes, endless numbers."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("holds a zero byte")
    return value


Metadata = Annotated[dict[str, Any], AfterValidator(_storable)]


class HookIn(Strict):
    """An address to be told of this one job. Without a secret it gets one of its own."""

    url: Annotated[str, Field(max_length=2000)]
    events: list[WebhookEvent] = Field(
        default=[WebhookEvent.COMPLETED, WebhookEvent.FAILED, WebhookEvent.CANCELLED],
        min_length=1,
    )
    secret: Annotated[str, Field(max_length=200)] | None = None


class SubmissionIn(JobDocument):
    """A job file's fields, and what comes with them."""

    items: Annotated[list[ItemDocument], Field(min_length=1)]
    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] = NORMAL_PRIORITY
    metadata: Metadata | None = None
    webhook: HookIn | None = None


class Extras(Strict):
    """What comes with a job's document; checked before the document is."""

    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] = NORMAL_PRIORITY
    metadata: Metadata | None = None
    webhook: HookIn | None = None


class JobOut(BaseModel):
    """A job and how far it is. Seconds; ``progress`` in per cent."""

    job_id: str
    user_id: str
    username: Text
    channel_name: Text
    enable_4k: bool
    draft: bool
    item_seconds: float | None
    first_item: int | None
    last_item: int | None
    status: JobStatus
    queue_name: Queue
    priority: int
    item_count: int
    duration: float
    progress: float
    stage: str
    attempts: int
    speed: float | None
    seconds_left: float | None
    worker_id: str | None
    task_id: str | None
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    output_path: Text | None
    final_duration: float | None
    error_message: Text | None
    waiting_for: Text | None
    warnings: list[Text]
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, state: JobState) -> JobOut:
        same = {name: getattr(state, name) for name in cls.model_fields if hasattr(state, name)}
        return cls(**{**same, **state.excerpt.fields, "queue_name": state.queue, "item_count": state.items,
                      "duration": state.frames / 30, "warnings": list(state.warnings)})  # fmt: skip


class SubmittedOut(BaseModel):
    """A job that was stored; ``status`` is ``queued`` unless an idempotency key named an earlier one."""

    job_id: str
    status: JobStatus
    message: Text
    queue_name: Queue
    is_new: bool
    warnings: list[ProblemItem]
    webhook_secret: str | None = None

    @classmethod
    def of(cls, done: Submitted, secret: str | None) -> SubmittedOut:
        return cls(
            job_id=done.state.job_id,
            status=done.state.status,
            message=done.message,
            queue_name=done.state.queue,
            is_new=done.is_new,
            warnings=[item_of(one) for one in done.warnings],
            webhook_secret=secret if done.is_new else None,
        )


class CheckedOut(BaseModel):
    """What would become of a job. With problems, nothing else is known of it."""

    ok: bool
    problems: list[ProblemItem]
    warnings: list[ProblemItem]
    queue_name: Queue | None
    duration: float
    item_durations: dict[int, float]
    largest_size: int
    starts_in: float | None
    done_in: float | None

    @classmethod
    def of(cls, checked: Checked) -> CheckedOut:
        return cls(
            ok=not checked.problems,
            problems=[item_of(one) for one in checked.problems],
            warnings=[item_of(one) for one in checked.warnings],
            queue_name=checked.queue,
            duration=checked.seconds,
            item_durations=dict(checked.items or {}),
            largest_size=checked.largest,
            starts_in=checked.starts_in,
            done_in=checked.done_in,
        )


class ItemOut(BaseModel):
    position: int
    item_type: str
    name: Text
    video_id: Text | None
    path: Text | None
    duration: float | None
    start: float | None
    end: float | None
    logo_path: Text | None
    text_animation_text: Text | None


class SegmentOut(BaseModel):
    """One piece of a film: who made it, or that a cache had it."""

    position: int
    part: int
    key: str
    frames: int
    cached: bool
    worker_id: str


class MakingOut(BaseModel):
    """A segment that a worker is at; ``done`` is the share of it that is made."""

    position: int
    part: int
    frames: int
    done: float


class HelperOut(BaseModel):
    """A worker that makes segments of another one's job: how many it has made, and what it is at."""

    worker_id: str
    segments: int
    frames: int
    making: list[MakingOut]

    @classmethod
    def of(cls, one: Maker) -> HelperOut:
        now = [
            MakingOut(position=piece.position, part=piece.part, frames=piece.frames,
                      done=round(piece.done / piece.frames, 4))
            for piece in one.making
        ]  # fmt: skip
        return cls(worker_id=one.worker_id, segments=one.segments, frames=one.frames, making=now)


class AttemptOut(FromState):
    """One worker's turn at a job."""

    token: int
    worker_id: str
    outcome: str
    started_at: datetime
    ended_at: datetime | None
    message: Text | None
    figures: dict[str, Any]


class HappeningOut(FromState):
    """One line of history."""

    at: datetime
    what: str
    job_id: str | None
    worker_id: str | None
    actor: Text | None
    message: Text


class JobDetailOut(JobOut):
    """A job with its items, the segments of its film, everybody's turn at it, and its history.

    ``helpers`` are the workers beside its own that make segments while it runs; who made which is in
    ``segments`` once it is done.
    """

    items: list[ItemOut]
    segments: list[SegmentOut]
    helpers: list[HelperOut]
    attempts_made: list[AttemptOut]
    history: list[HappeningOut]
    ahead: int | None
    starts_in: float | None
    done_in: float | None

    @classmethod
    def of_detail(cls, detail: JobDetail) -> JobDetailOut:
        items = [
            ItemOut(
                position=item.position, item_type=item.item_type, name=item.named,
                video_id=item.video_id, path=item.path or None, duration=_float(item.duration),
                start=_float(item.start), end=_float(item.end), logo_path=item.logo_path,
                text_animation_text=item.text,
            )
            for item in detail.job.items
        ]  # fmt: skip
        segments = [
            SegmentOut(position=one.position, part=one.part, key=one.key, frames=one.frames,
                       cached=one.cached, worker_id=worker)
            for one, worker in detail.segments
        ]  # fmt: skip
        return cls(
            **JobOut.of(detail.state).__dict__,
            items=items,
            segments=segments,
            helpers=_helpers(detail),
            attempts_made=[AttemptOut.model_validate(one) for one in detail.attempts],
            history=[HappeningOut.model_validate(one) for one in detail.history],
            ahead=detail.ahead,
            starts_in=detail.starts_in,
            done_in=detail.done_in,
        )


def _helpers(detail: JobDetail) -> list[HelperOut]:
    is_running = detail.state.status is JobStatus.PROCESSING
    return [HelperOut.of(one) for one in detail.making.helpers] if is_running else []


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


class PriorityIn(Strict):
    """Where a queued job is to go: exactly one of these."""

    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] | None = None
    first: bool = False
    before: str | None = None


def outs(kind: type[T], values: Sequence[Any]) -> list[T]:
    """Each value in its shape for the outside."""
    return [kind.model_validate(one) for one in values]  # type: ignore[attr-defined]
