"""The one place where a job's state changes: by compare-and-set, with a line in its history.

Webhooks are told from here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from reelyard.domain.farm import AttemptOutcome, Lease
from reelyard.domain.lifecycle import Event, sources, target

from .announce import announce
from .clock import now
from .rows import encoded, storable
from .schema import events, job_attempts, jobs, offered_segments, offers, workers

_FREE = {"lease_until": None, "reserved_by": None, "speed": None, "seconds_left": None}
"""What every change of state leaves behind."""


def move(
    connection: sa.Connection,
    event: Event,
    job_id: str,
    message: str,
    *conditions: sa.ColumnElement[bool],
    lease: Lease | None = None,
    who: str | None = None,
    by: str | None = None,
    **values: Any,
) -> bool:
    """Apply ``event``; False if the job is in no state for it, or the lease is not the newest."""
    held = [] if lease is None else [jobs.c.token == lease.token]
    done = connection.execute(
        sa.update(jobs)
        .where(
            jobs.c.job_id == job_id, jobs.c.status.in_(sources(event)), *held, *conditions
        )
        .values(status=target(event).value, **{**_FREE, **values})
    )  # fmt: skip
    if done.rowcount == 1:
        worker = lease.worker_id if lease else who
        note(connection, event.value, message, job_id=job_id, worker_id=worker, by=by)
        announce(connection, event, job_id)
    return bool(done.rowcount == 1)


def note(
    connection: sa.Connection,
    what: str,
    message: str,
    *,
    job_id: str | None = None,
    worker_id: str | None = None,
    by: str | None = None,
) -> None:
    """Write a line of history; ``by`` is the person who did it, if it was one."""
    line = {
        "at": now(),
        "what": what,
        "message": storable(message),
        "job_id": job_id,
        "worker_id": worker_id,
        "actor": None if by is None else encoded(by),
    }
    connection.execute(sa.insert(events).values(**line))


def end_attempt(
    connection: sa.Connection,
    lease: Lease,
    outcome: AttemptOutcome,
    message: str | None,
    figures: dict[str, Any] | None = None,
) -> None:
    """Close the books on one worker's turn: the worker is free again, and what it offered is gone."""
    said = None if message is None else storable(message)
    values: dict[str, Any] = {"outcome": outcome.value, "ended_at": now(), "message": said}
    if figures is not None:
        values["figures"] = figures
    connection.execute(
        sa.update(job_attempts)
        .where(job_attempts.c.job_id == lease.job_id, job_attempts.c.token == lease.token)
        .values(**values)
    )
    connection.execute(
        sa.update(workers)
        .where(workers.c.worker_id == lease.worker_id, workers.c.job_id == lease.job_id)
        .values(job_id=None)
    )
    drop_offer(connection, lease.job_id)


def drop_offer(connection: sa.Connection, job_id: str) -> None:
    """Nothing of the job is offered any more. The caller has the job's row locked."""
    done = connection.execute(sa.delete(offers).where(offers.c.job_id == job_id))
    if done.rowcount:
        locked_in_order(connection, job_id)
        this = offered_segments.c.job_id == job_id
        connection.execute(sa.delete(offered_segments).where(this))


def locked_in_order(
    connection: sa.Connection, job_id: str, *conditions: sa.ColumnElement[bool]
) -> Sequence[str]:
    """Lock these offered segments; their keys. Who takes several takes them in the same order as others."""
    return connection.scalars(
        sa.select(offered_segments.c.key)
        .where(offered_segments.c.job_id == job_id, *conditions)
        .order_by(offered_segments.c.key)
        .with_for_update(of=offered_segments)
    ).all()
