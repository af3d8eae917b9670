"""Whose turn it is: which job a worker takes next, keeps in reserve, or is woken for.

A message in the broker only wakes a worker. What the worker then takes is decided here: the first job
of the message's queue, by priority and place, that it may take. So a job that is moved up, or comes
back from a dead worker, is next without any message being touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from reelyard.domain.farm import AttemptOutcome, Worker
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue

from .clock import now
from .rows import Row, job_id_of, worker_of
from .schema import job_attempts, jobs, queues, workers

_LOOKED_AT = 20
_NOT_AGAIN = (AttemptOutcome.FAILED, AttemptOutcome.LOST, AttemptOutcome.UNABLE)


def crew(connection: sa.Connection, alive_seconds: float) -> list[Worker]:
    """All workers; alive is who was heard of within so many seconds.

    Who was killed while it helped with a job that has ended meanwhile helps nobody.
    """
    alive = sa.and_(workers.c.is_online, workers.c.seen_at > now(-alive_seconds))
    known = [one for one in workers.c if one is not workers.c.helps]
    helps = (
        sa.select(jobs.c.job_id)
        .where(jobs.c.job_id == workers.c.helps, jobs.c.status == JobStatus.PROCESSING.value, alive)
        .scalar_subquery()
    )
    rows = connection.execute(
        sa.select(*known, helps.label("helps"), alive.label("is_alive")).order_by(
            workers.c.worker_id
        )
    )
    return [worker_of(row) for row in rows]


def candidates(
    connection: sa.Connection,
    worker: Worker,
    queue: Queue,
    everybody: Sequence[Worker],
    *conditions: sa.ColumnElement[bool],
) -> Sequence[Row]:
    """Queued jobs that ``worker`` may take, its own reserve before others' within a priority.

    The first few: whoever comes second to one of them takes the next.
    """
    reserved = sa.case(
        (jobs.c.reserved_by == worker.worker_id, 0),
        (jobs.c.reserved_by.is_(None), 1),
        else_=2,
    )
    rows = connection.execute(
        sa.select(
            jobs.c.job_id,
            jobs.c.token,
            jobs.c.reserved_by,
            jobs.c.priority,
            jobs.c.place,
            reserved.label("rank"),
        )
        .where(
            jobs.c.status == JobStatus.QUEUED.value,
            jobs.c.queue_name == queue.value,
            sa.or_(jobs.c.not_before.is_(None), jobs.c.not_before <= now()),
            ~sa.exists().where(queues.c.queue_name == queue.value, queues.c.is_paused),
            _not_for_somebody_else(worker, queue, everybody),
            *conditions,
        )
        .order_by(jobs.c.priority.desc(), reserved, jobs.c.place)
        .limit(_LOOKED_AT)
    ).all()
    return list(rows)


def _not_for_somebody_else(
    worker: Worker, queue: Queue, everybody: Sequence[Worker]
) -> sa.ColumnElement[bool]:
    """``worker`` did not fail the job since a person last queued it, or all who could take it did."""
    others = [
        one.worker_id
        for one in everybody
        if one.worker_id != worker.worker_id and one.takes_jobs and queue in one.queues
    ]
    if not others:
        return sa.true()
    failed = sa.and_(
        job_attempts.c.job_id == jobs.c.job_id,
        job_attempts.c.token > jobs.c.round_token,
        job_attempts.c.outcome.in_([one.value for one in _NOT_AGAIN]),
    )
    by_this = sa.exists().where(failed, job_attempts.c.worker_id == worker.worker_id)
    by_others = (
        sa.select(sa.func.count(job_attempts.c.worker_id.distinct()))
        .where(failed, job_attempts.c.worker_id.in_(others))
        .scalar_subquery()
    )
    return sa.or_(~by_this, by_others == len(others))


def turn(row: Row) -> tuple[int, int, int]:
    """Sorts candidates of several queues."""
    return -row.priority, row.rank, row.place


def queue_of(connection: sa.Connection, named: str) -> Queue | None:
    """The queue of a job that a message named; a message may name anything."""
    job_id = job_id_of(named)
    if job_id is None:
        return None
    found = connection.scalar(sa.select(jobs.c.queue_name).where(jobs.c.job_id == job_id))
    return None if found is None else Queue(found)
