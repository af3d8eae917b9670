"""A job as it is first written down: queued, behind everybody, with the key that makes it one of its kind."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from reelyard.domain.farm import Submission
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import queue_for

from .clock import now
from .rows import encoded, excerpt_values
from .schema import jobs

_LONGEST_KEY = 200


def job_values(job: Job, submission: Submission) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "user_id": submission.user_id,
        "channel_name": encoded(job.channel_name),
        "enable_4k": job.enable_4k,
        "on_bad_item": job.on_bad_item.value,
        "loudness": job.loudness,
        "chapters": job.chapters,
        **excerpt_values(job),
        "status": JobStatus.QUEUED.value,
        "progress": 0.0,
        "stage": "",
        "queue_name": queue_for(job).value,
        "created_at": now(),
        "queued_at": now(),
        "sent_at": now(),
        "priority": submission.priority,
        "place": last_place(),
        "token": 0,
        "attempts": 0,
        "round_token": 0,
        "frames": submission.frames,
        "item_count": len(job.wanted.items),
        "warnings": list(submission.warnings),
        "idempotency_key": stored_key(submission.idempotency_key),
        "digest": submission.digest,
        "client_metadata": submission.metadata,
    }


def last_place() -> sa.ScalarSelect[int]:
    """Behind everybody. A counter and not a clock: those of submitting machines differ."""
    others = jobs.alias("others")
    return sa.select(sa.func.coalesce(sa.func.max(others.c.place), 0) + 1).scalar_subquery()


def stored_key(key: str | None) -> str | None:
    """The key as it is stored: short, and text."""
    if key is None or (len(key) <= _LONGEST_KEY and key.isprintable() and encoded(key) == key):
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
