"""The life of a job: its states, what may happen to it, and the one table of transitions.

    queued ──claim──► processing ──complete──► completed
      ▲ │                │  │
      │ └─cancel─┐ cancel│  └─fail──► failed
      │          ▼       ▼              │
      │        cancelled ◄              │
      ├── hand back (from processing)   │
      └── retry (from cancelled, failed)┘

Everything that changes a state names one of these events; the store applies it by compare-and-set.
Each event leads to one state, whatever state it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

MOST_ATTEMPTS = 3
"""A job that failed so often, or took so many workers with it, is failed for good."""


class JobStatus(StrEnum):
    """What a job is at. The words are those of the ``jobs`` table."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What may happen to a job."""

    CLAIM = "claim"
    HAND_BACK = "hand_back"  # stopped, waiting, failed once, or its worker is gone
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RETRY = "retry"


TRANSITIONS: Mapping[tuple[JobStatus, Event], JobStatus] = MappingProxyType({
    (JobStatus.QUEUED, Event.CLAIM): JobStatus.PROCESSING,
    (JobStatus.PROCESSING, Event.HAND_BACK): JobStatus.QUEUED,
    (JobStatus.PROCESSING, Event.COMPLETE): JobStatus.COMPLETED,
    (JobStatus.PROCESSING, Event.FAIL): JobStatus.FAILED,
    (JobStatus.QUEUED, Event.FAIL): JobStatus.FAILED,
    (JobStatus.QUEUED, Event.CANCEL): JobStatus.CANCELLED,
    (JobStatus.PROCESSING, Event.CANCEL): JobStatus.CANCELLED,
    (JobStatus.FAILED, Event.RETRY): JobStatus.QUEUED,
    (JobStatus.CANCELLED, Event.RETRY): JobStatus.QUEUED,
})  # fmt: skip


def sources(event: Event) -> tuple[JobStatus, ...]:
    """The states in which ``event`` may happen."""
    return tuple(before for before, one in TRANSITIONS if one is event)


def target(event: Event) -> JobStatus:
    """The state that ``event`` leads to."""
    return next(after for (_, one), after in TRANSITIONS.items() if one is event)


class WorkerState(StrEnum):
    """What a worker is at, as it says itself."""

    IDLE = "idle"
    BUSY = "busy"
    OFFLINE = "offline"


class Order(StrEnum):
    """What a worker was told to do. It obeys at its next heartbeat."""

    WORK = "work"
    PAUSE = "pause"  # goes on with its job, takes no other until told to work
    DRAIN = "drain"  # goes on with its job, takes no other, then ends
    STOP = "stop"  # hands its job back at once, then ends
