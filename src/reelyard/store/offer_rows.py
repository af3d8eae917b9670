"""What is written of offers and of the segments in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from reelyard.domain.farm import Lease
from reelyard.domain.help import CLAIM_SECONDS, OfferedSegment, OfferState, Terms

from .clock import now
from .rows import encoded
from .schema import offered_segments

OPEN: Mapping[str, Any] = {
    "state": OfferState.OPEN.value, "worker_id": None, "claimed_until": None, "claimed_at": None,
    "frames_done": 0,
}  # fmt: skip


def offer_values(lease: Lease, terms: Terms) -> dict[str, Any]:
    return {
        "job_id": lease.job_id, "token": lease.token, "worker_id": lease.worker_id,
        "ffmpeg": encoded(terms.ffmpeg), "encoder": terms.encoder, "terms": encoded(terms.terms),
        "meeting_places": [encoded(one) for one in terms.meeting_places], "offered_at": now(),
    }  # fmt: skip


def segment_values(job_id: str, one: OfferedSegment, last_claim: int | None) -> dict[str, Any]:
    """Claims are counted on, so that none of what was offered before is one of this."""
    return {
        "job_id": job_id, "key": one.key, "position": one.position, "part": one.part,
        "frames": one.frames, "claim": last_claim or 0, **OPEN,
    }  # fmt: skip


def unlike(segments: Iterable[OfferedSegment]) -> Collection[OfferedSegment]:
    """Each segment once; a film may show one more than once."""
    found: dict[str, OfferedSegment] = {}
    for one in segments:
        found.setdefault(one.key, one)
    return found.values()


def claimed_by(worker_id: str) -> dict[str, Any]:
    return {
        "state": OfferState.CLAIMED.value, "worker_id": worker_id, "frames_done": 0,
        "claim": offered_segments.c.claim + 1, "claimed_at": now(),
        "claimed_until": now(CLAIM_SECONDS),
    }  # fmt: skip


def progress(frames_done: Mapping[str, int]) -> sa.ColumnElement[int]:
    return sa.case(frames_done, value=offered_segments.c.key)
