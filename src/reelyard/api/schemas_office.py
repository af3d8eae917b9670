"""What requests and answers about queues, history, workers and people look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from reelyard.domain.access import Role, Scope, Source
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.services.job_views import Line, QueueView, Whole
from reelyard.services.manage import WorkerView

from .schemas import FromState, HappeningOut, JobOut, Short, Strict, Text


class QueueOut(BaseModel):
    queue_name: Queue
    is_paused: bool
    paused_by: Text | None
    paused_at: datetime | None
    waiting: int
    running: int
    seconds_left: float | None

    @classmethod
    def of(cls, view: QueueView) -> QueueOut:
        pause = view.pause
        return cls(
            queue_name=view.queue, is_paused=pause.is_paused,
            paused_by=pause.by if pause.is_paused else None,
            paused_at=pause.at if pause.is_paused else None,
            waiting=view.waiting, running=view.running, seconds_left=view.seconds_left,
        )  # fmt: skip


class LineOut(BaseModel):
    job: JobOut
    ahead: int | None
    starts_in: float | None
    done_in: float | None

    @classmethod
    def of(cls, line: Line) -> LineOut:
        return cls(job=JobOut.of(line.state), ahead=line.ahead, starts_in=line.starts_in,
                   done_in=line.done_in)  # fmt: skip


class WholeOut(BaseModel):
    """All queues; ``jobs``: those that run, then of each queue the first 101 that wait, in their turn."""

    queues: list[QueueOut]
    jobs: list[LineOut]
    seconds_left: float | None

    @classmethod
    def of(cls, whole: Whole) -> WholeOut:
        return cls(queues=[QueueOut.of(one) for one in whole.queues],
                   jobs=[LineOut.of(one) for one in whole.lines],
                   seconds_left=whole.seconds_left)  # fmt: skip


class PauseIn(Strict):
    is_paused: bool


class ResultOut(FromState):
    """A row of ``compilation_results``."""

    job_id: str
    username: Text
    channel_name: Text
    timestamp: datetime
    video_count: int
    total_duration: float
    output_path: Text | None
    worker_id: str | None
    features_used: list[str]
    processing_time: float
    status: JobStatus


class TotalOut(FromState):
    """What one day, channel, user, worker or feature came to. Seconds."""

    name: Text
    completed: int
    failed: int
    seconds_of_film: float
    seconds_of_work: float
    all_frames: int
    rendered_frames: int
    cache_share: float | None
    speed: float | None


class CapabilitiesOut(FromState):
    version: str
    ffmpeg: str
    encoders: list[str]
    cores: int
    memory: int
    free_disk: int
    encoders_4k: list[str]
    graphics_card: str
    driver: str
    decodes: list[str]
    assists: bool


class WorkerOut(FromState):
    """A worker; ``helps`` is the job of another worker that it makes segments of."""

    worker_id: str
    host: str
    queues: list[Queue]
    state: str
    order: Order
    is_alive: bool
    job_id: str | None
    failures: int
    quarantine: Text | None
    speed: float | None
    speed_4k: float | None
    started_at: datetime
    seen_at: datetime
    capabilities: CapabilitiesOut
    helps: str | None
    job: JobOut | None = None
    helped_job: JobOut | None = None

    @classmethod
    def of(cls, view: WorkerView) -> WorkerOut:
        out = cls.model_validate(view.worker)
        return out.model_copy(update={
            "job": view.job and JobOut.of(view.job),
            "job_id": view.job and view.job.job_id,
            "helped_job": view.helped and JobOut.of(view.helped),
            "helps": view.helped and view.helped.job_id,
        })  # fmt: skip


class OrderIn(Strict):
    """``work`` wakes a paused worker; ``stop`` hands its job back to the queue at once."""

    order: Order


class AccountOut(FromState):
    user_id: str
    username: Text
    role: Role
    is_active: bool
    source: Source
    created_at: datetime
    signed_in_at: datetime | None


class AccountIn(Strict):
    username: Short
    password: Annotated[str, Field(max_length=400)]
    role: Role = Role.OPERATOR


class AccountChange(Strict):
    role: Role | None = None
    is_active: bool | None = None
    password: Annotated[str, Field(max_length=400)] | None = None


class TokenOut(FromState):
    token_id: str
    user_id: str
    username: Text
    name: Text
    hint: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


class TokenIn(Strict):
    name: Short
    scopes: Annotated[list[Scope], Field(min_length=1)]
    days: Annotated[int, Field(ge=1, le=3650)] | None = None


class NewTokenOut(BaseModel):
    """The secret is shown this once."""

    secret: str
    token: TokenOut


class SignIn(Strict):
    username: Annotated[str, Field(max_length=200)]
    password: Annotated[str, Field(max_length=400)]


class PasswordChange(Strict):
    old_password: Annotated[str, Field(max_length=400)]
    new_password: Annotated[str, Field(max_length=400)]


class WhoOut(BaseModel):
    user_id: str
    username: Text
    role: Role
    scopes: list[Scope] | None
    is_open: bool


class AuditOut(BaseModel):
    number: int
    entry: HappeningOut
