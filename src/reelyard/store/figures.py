"""The farm in figures, added up by the database: what a monitoring system asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus

from .database import Database
from .exports import Exports
from .schema import compilation_results, job_attempts, job_segments, jobs, outbox

BUCKETS = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 10_800.0)
"""Seconds of work on a job, as upper bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """``waiting``: by queue and status. ``results``: by status. ``attempts``: by outcome and code.

    ``unexported`` results wait for BigQuery, where one is used; ``export_failing`` of them were tried in vain.
    ``within`` counts completed jobs that took at most each of ``BUCKETS``; seconds elsewhere.
    """

    waiting: Mapping[tuple[str, str], int]
    results: Mapping[str, int]
    attempts: Mapping[tuple[str, str], int]
    within: Sequence[int]
    completed: int
    seconds_of_work: float
    seconds_of_film: float
    segments_cached: int
    segments_rendered: int
    segments_helped: int
    undelivered: int
    unexported: int
    export_failing: int


class Books:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def figures(self) -> Figures:
        """Everything at this moment. Goes through all that ever ended."""
        backlog = Exports(self._database).backlog()
        with self._database.reading() as connection:
            done = _completed(connection)
            cached = _counts(connection, job_segments, job_segments.c.cached)
            table = compilation_results
            return Figures(
                waiting=_waiting(connection),
                undelivered=_undelivered(connection),
                unexported=backlog.waiting if backlog.is_used else 0,
                export_failing=backlog.failing,
                results=_counts(connection, table, table.c.status),
                attempts=_attempts(connection),
                within=[done[f"within_{place}"] or 0 for place in range(len(BUCKETS))],
                completed=done["completed"],
                seconds_of_work=done["work"] or 0.0,
                seconds_of_film=done["film"] or 0.0,
                segments_cached=cached.get(True, 0),
                segments_rendered=cached.get(False, 0),
                segments_helped=_helped(connection),
            )

    def refreshed(self, known: Figures) -> Figures:
        """The same with what waits and runs at this moment, which costs little however much has ended."""
        exports = Exports(self._database)
        if exports.has_begun():
            backlog = exports.backlog()
            known = replace(known, unexported=backlog.waiting, export_failing=backlog.failing)
        with self._database.reading() as connection:
            return replace(
                known, waiting=_waiting(connection), undelivered=_undelivered(connection)
            )


def _counts(connection: sa.Connection, table: sa.Table, column: sa.Column[Any]) -> dict[Any, int]:
    query = sa.select(column, sa.func.count()).select_from(table).group_by(column)
    return {row[0]: row[1] for row in connection.execute(query)}


def _waiting(connection: sa.Connection) -> dict[tuple[str, str], int]:
    active = [JobStatus.QUEUED.value, JobStatus.PROCESSING.value]
    query = (
        sa.select(jobs.c.queue_name, jobs.c.status, sa.func.count())
        .where(jobs.c.status.in_(active))
        .group_by(jobs.c.queue_name, jobs.c.status)
    )
    return {(queue, status): count for queue, status, count in connection.execute(query)}


def _undelivered(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).where(outbox.c.delivered_at.is_(None))
    return connection.scalar(query) or 0


def _attempts(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """How attempts ended, and of those that failed by which error."""
    code = sa.func.coalesce(job_attempts.c.figures["code"].as_string(), "")
    query = (
        sa.select(job_attempts.c.outcome, code.label("code"), sa.func.count())
        .where(job_attempts.c.outcome != AttemptOutcome.RUNNING.value)
        .group_by(job_attempts.c.outcome, "code")
    )
    return {(outcome, code): count for outcome, code, count in connection.execute(query)}


def _helped(connection: sa.Connection) -> int:
    """Segments that workers have made for others' jobs, as the attempts have it: they are fewer to read."""
    made = job_attempts.c.figures["helped"].as_integer()
    completed = job_attempts.c.outcome == AttemptOutcome.COMPLETED.value
    return int(connection.scalar(sa.select(sa.func.sum(made)).where(completed)) or 0)


def _completed(connection: sa.Connection) -> Mapping[str, Any]:
    table = compilation_results.c
    within = [
        sa.func.sum(sa.case((table.processing_time <= bound, 1), else_=0)).label(f"within_{place}")
        for place, bound in enumerate(BUCKETS)
    ]
    query = sa.select(
        sa.func.count().label("completed"),
        sa.func.sum(table.processing_time).label("work"),
        sa.func.sum(table.total_duration).label("film"),
        *within,
    ).where(table.status == JobStatus.COMPLETED.value)
    return dict(connection.execute(query).one()._mapping)
