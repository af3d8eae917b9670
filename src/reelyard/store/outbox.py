"""Results on their way out: posted in the transaction that ends a job, delivered some time later.

Delivering an entry twice has to be harmless, since a delivery may succeed and the note of it be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reelyard.domain.farm import Finished, Lease, Result
from reelyard.domain.lifecycle import JobStatus

from .clock import now
from .database import Database
from .jobs import read_job
from .rows import STATE_COLUMNS, WITH_NAMES, decoded, encoded, state_of, storable
from .schema import compilation_results, job_attempts, jobs, outbox

_RESULT = "result"
_LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One result to deliver. ``name`` is the same at every try."""

    number: int
    name: str
    result: Result
    tries: int


def post_result(connection: sa.Connection, lease: Lease, done: Finished | None) -> None:
    """Put the result of a job that has just ended into the outbox; None: it failed.

    A draft, or some of a film's items, is no compilation and has no result.
    """
    row = connection.execute(
        sa.select(*STATE_COLUMNS).select_from(WITH_NAMES).where(jobs.c.job_id == lease.job_id)
    ).one()
    state = state_of(row)
    if not state.excerpt.is_whole:
        return
    assert state.completed_at is not None
    job = read_job(connection, lease.job_id)
    payload: dict[str, Any] = {
        "job_id": state.job_id,
        "username": encoded(state.username),
        "channel_name": encoded(state.channel_name),
        "timestamp": state.completed_at.isoformat(),
        "video_count": done.video_count if done else job.video_count,
        "total_duration": done.final_duration if done else 0.0,
        "output_path": encoded(done.output_path) if done else None,
        "worker_id": lease.worker_id,
        "features_used": list(done.features_used if done else job.features),
        "processing_time": done.processing_time if done else _worked(connection, lease),
        "status": state.status.value,
    }
    entry = {"kind": _RESULT, "name": f"{state.job_id}:{lease.token}", "payload": payload}
    connection.execute(sa.insert(outbox).values(**entry, created_at=now(), tries=0))


def _worked(connection: sa.Connection, lease: Lease) -> float:
    """For how many seconds the last attempt worked, or has worked until now."""
    row = connection.execute(
        sa.select(
            job_attempts.c.started_at, sa.func.coalesce(job_attempts.c.ended_at, now()).label("end")
        ).where(job_attempts.c.job_id == lease.job_id, job_attempts.c.token == lease.token)
    ).first()
    return 0.0 if row is None else float((row.end - row.started_at).total_seconds())


class Outbox:
    """What waits to be delivered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, limit: int = 100) -> Sequence[Entry]:
        """Results to deliver now, the oldest first."""
        query = (
            sa.select(outbox)
            .where(
                outbox.c.delivered_at.is_(None),
                sa.or_(outbox.c.try_after.is_(None), outbox.c.try_after <= now()),
            )
            .order_by(outbox.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Entry(row.id, row.name, result_of(row.payload), row.tries)
                for row in connection.execute(query)
            ]

    def delivered(self, entries: Sequence[Entry]) -> None:
        numbers = [entry.number for entry in entries]
        with self._database.writing() as connection:
            connection.execute(
                sa.update(outbox).where(outbox.c.id.in_(numbers)).values(delivered_at=now())
            )

    def failed(self, entries: Sequence[Entry], reason: str) -> None:
        """Try these again, later each time."""
        with self._database.writing() as connection:
            for entry in entries:
                wait = min(_LONGEST_WAIT, 5.0 * 2 ** min(entry.tries, 20))
                connection.execute(
                    sa.update(outbox)
                    .where(outbox.c.id == entry.number)
                    .values(tries=entry.tries + 1, try_after=now(wait), last_error=storable(reason))
                )


class LocalResults:
    """``compilation_results`` in our own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Add results; one that is there already is left as it is."""
        with self._database.writing() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            for entry in entries:
                owner = sa.select(jobs.c.user_id).where(jobs.c.job_id == entry.result.job_id)
                insert = dialect.insert(compilation_results).values(
                    name=entry.name, user_id=owner.scalar_subquery(), **_values(entry.result)
                )
                connection.execute(insert.on_conflict_do_nothing())

    def list(self, limit: int = 100) -> Sequence[Result]:
        """The newest results."""
        query = sa.select(compilation_results).order_by(compilation_results.c.timestamp.desc())
        with self._database.reading() as connection:
            return [result_of(row._mapping) for row in connection.execute(query.limit(limit))]


def _values(result: Result) -> dict[str, Any]:
    output = result.output_path
    return {
        **{name: getattr(result, name) for name in Result.__dataclass_fields__},
        "features_used": list(result.features_used),
        "status": result.status.value,
        "output_path": output and encoded(output),
        "username": encoded(result.username),
        "channel_name": encoded(result.channel_name),
    }


def result_of(values: Any) -> Result:
    found = {name: values[name] for name in Result.__dataclass_fields__}
    if isinstance(found["timestamp"], str):
        found["timestamp"] = datetime.fromisoformat(found["timestamp"])
    found["features_used"] = tuple(found["features_used"])
    found["status"] = JobStatus(found["status"])
    for name in ("output_path", "username", "channel_name"):
        found[name] = found[name] and decoded(found[name])
    return Result(**found)
