"""Who may help with what: an idle worker that writes the same bytes, while no job of its own waits."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from reelyard.domain.farm import Worker
from reelyard.domain.help import Invitation, OfferState, Terms
from reelyard.domain.lifecycle import JobStatus, Order

from .clock import now
from .rows import Row, decoded
from .schema import jobs, offered_segments, offers
from .turns import candidates, crew

_WITH_JOBS = offers.join(jobs, jobs.c.job_id == offers.c.job_id)
_TURN = (jobs.c.priority.desc(), jobs.c.place, jobs.c.job_id)
_VALID = (jobs.c.status == JobStatus.PROCESSING.value, jobs.c.token == offers.c.token)


def is_valid(job_id: sa.ColumnElement[str], token: int | None = None) -> sa.ColumnElement[bool]:
    """The job runs, and what is offered of it is its owner's offer; that of ``token``."""
    found = sa.select(offers.c.job_id).select_from(_WITH_JOBS)
    found = found.where(offers.c.job_id == job_id, *_VALID)
    if token is not None:
        found = found.where(offers.c.token == token)
    return found.exists()


def is_free() -> sa.ColumnElement[bool]:
    """Nobody is at the segment, or who was is not heard of any more."""
    state = offered_segments.c.state
    expired = sa.and_(
        state == OfferState.CLAIMED.value, offered_segments.c.claimed_until < now()
    )  # fmt: skip
    return sa.or_(state == OfferState.OPEN.value, expired)


def invitations(
    connection: sa.Connection, worker_id: str, alive_seconds: float
) -> Sequence[Invitation]:
    """The running jobs that this worker may help with, in their turn."""
    everybody = crew(connection, alive_seconds)
    worker = _find(everybody, worker_id)
    if worker is None or _why_not(connection, worker, everybody):
        return []
    free = sa.exists().where(offered_segments.c.job_id == offers.c.job_id, is_free())
    rows = connection.execute(
        sa.select(*offers.c, jobs.c.channel_name, jobs.c.enable_4k)
        .select_from(_WITH_JOBS)
        .where(*_VALID, offers.c.worker_id != worker_id, free)
        .order_by(*_TURN)
    )
    return [_invitation_of(row) for row in rows if _fits(worker, row)]


def to_invite(
    connection: sa.Connection, again_after: float, alive_seconds: float
) -> Sequence[tuple[str, int]]:
    """As ``Offers.to_invite``. A job whose offer is being changed is left for the next time."""
    free = (
        sa.select(sa.func.count())
        .where(offered_segments.c.job_id == offers.c.job_id, is_free())
        .scalar_subquery()
    )
    due = sa.or_(offers.c.invited_at.is_(None), offers.c.invited_at < now(-again_after))
    rows = connection.execute(
        sa.select(*offers.c, jobs.c.enable_4k, free.label("free"))
        .select_from(_WITH_JOBS)
        .where(*_VALID, due)
        .order_by(*_TURN)
        .with_for_update(of=offers, skip_locked=True)
    ).all()
    found = _shared_out(rows, _idle(connection, alive_seconds)) if rows else {}
    if found:
        connection.execute(
            sa.update(offers).where(offers.c.job_id.in_(found)).values(invited_at=now())
        )
    return list(found.items())


def _shared_out(rows: Sequence[Row], idle: list[Worker]) -> dict[str, int]:
    """Each worker once, the first job first."""
    found = {}
    for row in rows:
        able = [one for one in idle if one.worker_id != row.worker_id and _fits(one, row)]
        taken = able[: row.free]
        if taken:
            found[row.job_id] = len(taken)
            idle = [one for one in idle if one not in taken]
    return found


def _idle(connection: sa.Connection, alive_seconds: float) -> list[Worker]:
    """The workers that have nothing to do."""
    everybody = crew(connection, alive_seconds)
    return [
        one for one in everybody if one.helps is None and not _why_not(connection, one, everybody)
    ]


def why_to_leave(connection: sa.Connection, worker_id: str, alive_seconds: float) -> str:
    """Why a helper is to go at once; empty where it may stay."""
    everybody = crew(connection, alive_seconds)
    worker = _find(everybody, worker_id)
    if worker is None:
        return "the farm does not know it any more"
    return _why_not(connection, worker, everybody)


def _why_not(connection: sa.Connection, worker: Worker, everybody: Sequence[Worker]) -> str:
    if worker.order is not Order.WORK:
        return f"it was told to {worker.order}"
    if worker.quarantine is not None:
        return "it is in quarantine"
    if not worker.is_alive:
        return "it was not heard of for too long"
    if worker.job_id is not None:
        return "it has a job of its own"
    return "a job of its own waits" if _has_own(connection, worker, everybody) else ""


def _has_own(connection: sa.Connection, worker: Worker, everybody: Sequence[Worker]) -> bool:
    queued = sa.exists().where(
        jobs.c.status == JobStatus.QUEUED.value,
        jobs.c.queue_name.in_([one.value for one in worker.queues]),
    )
    return bool(connection.scalar(sa.select(queued))) and any(
        candidates(connection, worker, queue, everybody) for queue in worker.queues
    )


def _fits(worker: Worker, row: Row) -> bool:
    """Whether a worker's segments can be those of the offer; what its own plan says decides."""
    can = worker.capabilities
    encoders = can.encoders_4k if row.enable_4k else can.encoders
    return can.assists and can.ffmpeg == decoded(row.ffmpeg) and row.encoder in encoders


def _find(everybody: Sequence[Worker], worker_id: str) -> Worker | None:
    return next((one for one in everybody if one.worker_id == worker_id), None)


def _invitation_of(row: Row) -> Invitation:
    return Invitation(
        job_id=row.job_id,
        token=row.token,
        owner=row.worker_id,
        channel_name=decoded(row.channel_name),
        terms=Terms(
            ffmpeg=decoded(row.ffmpeg),
            encoder=row.encoder,
            terms=decoded(row.terms),
            meeting_places=tuple(map(decoded, row.meeting_places)),
        ),
    )
