"""How far the helpers of running jobs are, for whoever looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from reelyard.domain.help import OfferStanding, OfferState

from .clock import now
from .invitations import is_valid
from .rows import Row
from .schema import jobs, offered_segments

_SHOWN = [
    offered_segments.c[name]
    for name in ("key", "position", "part", "frames", "state", "worker_id", "frames_done",
                 "claimed_at", "done_at")
]  # fmt: skip


def standing(connection: sa.Connection, job_id: str) -> Sequence[OfferStanding]:
    """What is offered of a running job, in the order of its film."""
    query = (
        sa.select(*_SHOWN, (offered_segments.c.claimed_until > now()).label("holds"))
        .where(offered_segments.c.job_id == job_id, is_valid(offered_segments.c.job_id))
        .order_by(offered_segments.c.position, offered_segments.c.part)
    )
    rows = connection.execute(query).all()
    at = connection.scalar(sa.select(now())) if rows else None
    return [_standing_of(row, at) for row in rows]


def helpers(connection: sa.Connection) -> Mapping[str, Mapping[str, int]]:
    """Who helps with each running job, and how many segments each has made for it."""
    made = sa.case((offered_segments.c.state == OfferState.DONE.value, 1), else_=0)
    rows = connection.execute(
        sa.select(jobs.c.job_id, offered_segments.c.worker_id, sa.func.sum(made).label("made"))
        .select_from(offered_segments.join(jobs, jobs.c.job_id == offered_segments.c.job_id))
        .where(
            offered_segments.c.worker_id != jobs.c.worker_id, is_valid(offered_segments.c.job_id)
        )
        .group_by(jobs.c.job_id, offered_segments.c.worker_id)
        .order_by(offered_segments.c.worker_id)
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.job_id, {})[row.worker_id] = int(row.made)
    return found


def _standing_of(row: Row, at: datetime | None) -> OfferStanding:
    state = OfferState(row.state)
    since = row.claimed_at
    return OfferStanding(
        key=row.key,
        position=row.position,
        part=row.part,
        frames=row.frames,
        state=state,
        worker_id=row.worker_id,
        frames_done=min(row.frames_done, row.frames),
        is_held=state is OfferState.CLAIMED and bool(row.holds),
        claimed_seconds=None if since is None or at is None else (at - since).total_seconds(),
        done_at=row.done_at,
    )
