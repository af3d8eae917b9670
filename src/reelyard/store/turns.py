"""Whose turn it is: which job a worker takes next, keeps in reserve, or is woken for.

A message in the broker only wakes a worker. What the worker then takes is decided here: the first job
of the message's queue, by priority and place, that it may take. So a job that is moved up, or comes
back from a dead worker, is next without any message being touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from reelyard.domain.farm import AttemptOutcome, Worker
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue

from .clock import now
from .rows import Row, worker_of
from .schema import job_attempts, jobs, workers

_LOOKED_AT = 20
"""So many jobs are looked at for one that a worker may take; few were failed by it."""
_NOT_AGAIN = (AttemptOutcome.FAILED, AttemptOutcome.LOST, AttemptOutcome.UNABLE)


def crew(connection: sa.Connection, alive_seconds: float) -> list[Worker]:
    """All workers; alive is who was heard of within so many seconds."""
    alive = sa.and_(workers.c.is_online, workers.c.seen_at > now(-alive_seconds))
    rows = connection.execute(
        sa.select(*workers.c, alive.label("is_alive")).order_by(workers.c.worker_id)
    )
    return [worker_of(row) for row in rows]


def candidates(
    connection: sa.Connection,
    worker: Worker,
    queue: Queue,
    everybody: Sequence[Worker],
    *conditions: sa.ColumnElement[bool],
) -> Iterator[Row]:
    """Queued jobs that ``worker`` may take, its own reserve before others' within a priority."""
    reserved = sa.case(
        (jobs.c.reserved_by == worker.worker_id, 0),
        (jobs.c.reserved_by.is_(None), 1),
        else_=2,
    )
    rows = connection.execute(
        sa.select(jobs.c.job_id, jobs.c.token, jobs.c.round_token, jobs.c.reserved_by)
        .where(
            jobs.c.status == JobStatus.QUEUED.value,
            jobs.c.queue_name == queue.value,
            sa.or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now()),
            *conditions,
        )
        .order_by(jobs.c.priority.desc(), reserved, jobs.c.place)
        .limit(_LOOKED_AT)
    ).all()
    others = [one for one in everybody if one.worker_id != worker.worker_id]
    for row in rows:
        blamed = _blamed(connection, row)
        if worker.worker_id not in blamed or not _somebody_else(others, queue, blamed):
            yield row


def _blamed(connection: sa.Connection, row: Row) -> set[str]:
    """The workers that could not do this job since a person last queued it."""
    if row.token == row.round_token:
        return set()
    found = connection.scalars(
        sa.select(job_attempts.c.worker_id).where(
            job_attempts.c.job_id == row.job_id,
            job_attempts.c.token > row.round_token,
            job_attempts.c.outcome.in_([one.value for one in _NOT_AGAIN]),
        )
    )
    return set(found)


def _somebody_else(others: Iterable[Worker], queue: Queue, blamed: set[str]) -> bool:
    return any(
        one.takes_jobs and queue in one.queues and one.worker_id not in blamed for one in others
    )
