"""Webhooks: who is told of what happens to jobs, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict
from urllib.parse import urlsplit


class WebhookEvent(StrEnum):
    """What a receiver can be told of."""

    STARTED = "job.started"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    PING = "ping"  # somebody tries the webhook out


JOB_EVENTS = tuple(one for one in WebhookEvent if one is not WebhookEvent.PING)
"""What a webhook can be made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of its owner's jobs.

    ``job_id``: of this job only; ``channel_name``: of this channel's only; ``everybody``: of other
    people's jobs as well. ``secret`` signs what is sent.
    """

    webhook_id: str
    user_id: str
    url: str
    secret: str = field(repr=False)
    events: tuple[WebhookEvent, ...]
    created_at: datetime
    job_id: str | None = None
    channel_name: str | None = None
    everybody: bool = False
    is_active: bool = True

    @property
    def receiver(self) -> str:
        """Whom it tells, as it may be written into logs: paths and queries may hold keys."""
        return origin(self.url)


class WebhookChanges(TypedDict, total=False):
    """What of a webhook is to be changed; what is absent stays."""

    url: str
    events: tuple[WebhookEvent, ...]
    channel_name: str | None
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One thing to tell one receiver. ``name`` is the same at every try; a ping is of no job."""

    number: int
    name: str
    webhook_id: str
    job_id: str | None
    event: WebhookEvent
    payload: dict[str, Any]
    created_at: datetime
    tries: int
    delivered_at: datetime | None = None
    given_up_at: datetime | None = None
    try_after: datetime | None = None
    status_code: int | None = None
    last_error: str | None = None


def origin(url: str) -> str:
    """``https://host:port`` of an address."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
