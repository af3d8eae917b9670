"""What the farm knows of its jobs and workers, as values. Times are UTC.

A job in the farm is a ``Job`` (what was asked for) and a ``JobState`` (how far it is). Who works on a job
holds a ``Lease``: its token grows with every owner, and nothing is written without the newest one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .excerpt import WHOLE, Excerpt
from .lifecycle import JobStatus, Order, WorkerState
from .routing import Queue
from .webhook import Webhook

NORMAL_PRIORITY = 5
LOWEST_PRIORITY = 0
HIGHEST_PRIORITY = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What comes with a job when it is submitted.

    ``frames`` is the length of the planned film. ``digest`` tells two different jobs under one
    ``idempotency_key`` apart. ``by`` is who did it, ``metadata`` the submitter's own.
    """

    user_id: str
    frames: int
    priority: int = NORMAL_PRIORITY
    idempotency_key: str | None = None
    digest: str = ""
    warnings: tuple[str, ...] = ()
    by: str | None = None
    metadata: dict[str, Any] | None = None
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How far a job is, without its items. ``frames`` and ``items`` are those of its film."""

    job_id: str
    user_id: str
    username: str
    channel_name: str
    enable_4k: bool
    status: JobStatus
    queue: Queue
    priority: int
    frames: int
    items: int
    progress: float
    stage: str
    token: int
    attempts: int
    created_at: datetime
    queued_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    not_before: datetime | None = None
    speed: float | None = None
    seconds_left: float | None = None
    worker_id: str | None = None
    reserved_by: str | None = None
    task_id: str | None = None
    output_path: str | None = None  # of a completed job
    planned_output: str | None = None  # where its film is to be, or may have been left
    final_duration: float | None = None
    error_message: str | None = None
    waiting_for: str | None = None
    log_folder: str | None = None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    excerpt: Excerpt = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What an estimate needs of a job that waits or runs; thousands of them are read at once."""

    job_id: str
    status: JobStatus
    queue: Queue
    enable_4k: bool
    frames: int
    progress: float
    seconds_left: float | None
    worker_id: str | None
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job, and to write about it, until somebody gets a newer token."""

    job_id: str
    worker_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Finished:
    """What a completed job leaves in the books. Seconds; figures are for the attempt's record."""

    output_path: str
    final_duration: float
    processing_time: float
    video_count: int
    features_used: tuple[str, ...]
    segments: tuple[SegmentRow, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment of a job's film: who made it (None: the job's owner), or that a cache had it."""

    position: int
    part: int
    key: str
    frames: int
    cached: bool
    worker_id: str | None = None


class AttemptOutcome(StrEnum):
    """How an attempt at a job ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"  # counts against its worker, and against the job where the machine is sound
    LOST = "lost"  # the worker was not heard of again; counts too
    UNABLE = "unable"  # something was away or full; others are to try first
    HANDED_BACK = "handed_back"  # counts for nothing
    REFUSED = "refused"  # the job's own fault: no worker is to blame
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One worker's turn at a job."""

    job_id: str
    token: int
    worker_id: str
    outcome: AttemptOutcome
    started_at: datetime
    ended_at: datetime | None
    message: str | None
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of a job's or a worker's history."""

    at: datetime
    what: str
    job_id: str | None
    worker_id: str | None
    actor: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a worker can do, found out when it starts. Sizes in bytes.

    ``graphics_card`` and its ``driver`` are empty where there is none; ``decodes`` names the codecs whose
    clips it proved to decode, scale and lay logos over. ``assists``: it helps with other workers' jobs.
    """

    version: str
    ffmpeg: str
    encoders: tuple[str, ...]
    cores: int
    memory: int
    free_disk: int
    encoders_4k: tuple[str, ...] = ()
    graphics_card: str = ""
    driver: str = ""
    decodes: tuple[str, ...] = ()
    assists: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker as the farm knows it.

    ``instance`` tells two processes of one name apart. ``speed`` is seconds of film made a second.
    ``is_alive``: it was heard of within the lease time. ``helps`` is the job of another worker that it renders
    segments of.
    """

    worker_id: str
    instance: str
    host: str
    pid: int
    queues: tuple[Queue, ...]
    state: WorkerState
    order: Order
    is_alive: bool
    job_id: str | None
    failures: int
    quarantine: str | None
    speed: float | None
    speed_4k: float | None
    started_at: datetime
    seen_at: datetime
    capabilities: Capabilities
    helps: str | None = None

    @property
    def takes_jobs(self) -> bool:
        return self.is_alive and self.order is Order.WORK and self.quarantine is None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a heartbeat learns: whether the lease still holds, and what the worker was told."""

    holds: bool
    status: JobStatus
    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A row of ``compilation_results``."""

    job_id: str
    username: str
    channel_name: str
    timestamp: datetime
    video_count: int
    total_duration: float
    output_path: str | None
    worker_id: str | None
    features_used: tuple[str, ...]
    processing_time: float
    status: JobStatus
