"""What is told without being asked for: events of the streams, and what webhooks get."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.domain.webhook import WebhookEvent


class HistoryEvent(BaseModel):
    """The data of a `job`, `worker` or `queue` event; ``id`` is its number, also for `Last-Event-ID`.

    ``status`` is what it left the job in, and null where it changed nothing of that.
    """

    id: int
    at: datetime
    what: str
    job_id: str | None
    worker_id: str | None
    actor: str | None
    message: str
    status: JobStatus | None


class ProgressEvent(BaseModel):
    """The data of a `progress` event: per cent, seconds of film a second, seconds.

    ``helpers`` are the workers beside its own, each with the number of segments that it has made for the job.
    """

    job_id: str
    status: JobStatus
    stage: str
    progress: float
    speed: float | None
    seconds_left: float | None
    worker_id: str | None
    helpers: dict[str, int]


class WebhookJob(BaseModel):
    job_id: str
    status: JobStatus
    channel_name: str
    username: str
    user_id: str
    queue: Queue
    enable_4k: bool
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    output_path: str | None
    final_duration: float | None
    error_message: str | None


class WebhookPayload(BaseModel):
    """What a receiver gets; ``job`` is as it was then, ``metadata`` is the submitter's own."""

    event: WebhookEvent
    at: datetime
    job: WebhookJob | None
    metadata: dict[str, Any] | None


hooks = APIRouter()


@hooks.post("job", status_code=204)
def told(
    payload: WebhookPayload,
    webhook_id: str = Header(),
    webhook_timestamp: int = Header(),
    webhook_signature: str = Header(),
) -> Response:
    """Something happened to a job. Any answer of 2xx will do; others are tried again for two days.

    The signature is `v1,` and the base64 of an HMAC-SHA256 over `{id}.{timestamp}.{body}`, keyed with the
    base64 after `whsec_` of the webhook's secret. The same id again is the same news.
    """
    return Response(status_code=204)
