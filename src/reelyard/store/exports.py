"""Results that are to be recorded elsewhere as well: in BigQuery.

A row of ``compilation_results`` waits until it says when that was done, so that whoever can does it, and what was
delivered before anybody could is not lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from reelyard.domain.farm import Result

from .clock import now
from .database import Database
from .outbox import result_of
from .rows import storable
from .schema import compilation_results as results
from .schema import jobs


@dataclass(frozen=True, slots=True)
class Export:
    """One result to record. No earlier one of its job is older than ``since``."""

    name: str
    result: Result
    since: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits. ``failing`` of it was tried in vain; ``error`` is what was said last."""

    waiting: int
    failing: int
    oldest: datetime | None
    error: str | None
    is_used: bool  # whether anything was ever recorded or tried


class Exports:
    """The way to BigQuery's table, as our own knows it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, limit: int) -> Sequence[Export]:
        """Results to record now, the oldest first."""
        other = results.alias()
        earliest = sa.select(sa.func.min(other.c.timestamp)).where(
            other.c.job_id == results.c.job_id
        )
        created = sa.select(jobs.c.created_at).where(jobs.c.job_id == results.c.job_id)
        query = (
            sa.select(
                results,
                earliest.scalar_subquery().label("earliest"),
                created.scalar_subquery().label("created"),
            )
            .where(
                results.c.exported_at.is_(None),
                sa.or_(results.c.export_after.is_(None), results.c.export_after <= now()),
            )
            .order_by(results.c.timestamp, results.c.name)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Export(
                    row.name,
                    result_of(row._mapping),
                    min(row.earliest, row.created or row.earliest),
                    row.export_tries,
                )
                for row in connection.execute(query)
            ]

    def done(self, exports: Sequence[Export]) -> None:
        with self._database.writing() as connection:
            connection.execute(
                sa.update(results)
                .where(_named(exports), results.c.exported_at.is_(None))
                .values(exported_at=now(), export_after=None, export_error=None)
            )

    def failed(self, exports: Sequence[Export], reason: str, wait: float) -> None:
        """Not again for ``wait`` seconds."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(results)
                .where(_named(exports), results.c.exported_at.is_(None))
                .values(
                    export_tries=results.c.export_tries + 1,
                    export_after=now(wait),
                    export_error=storable(reason),
                )
            )

    def has_begun(self) -> bool:
        """Whether anything was ever recorded: then little waits, as a rule, and counting it costs little."""
        with self._database.reading() as connection:
            return _any_recorded(connection)

    def backlog(self) -> Backlog:
        """Goes through all that waits."""
        waits = results.c.exported_at.is_(None)
        query = sa.select(
            sa.func.count(),
            sa.func.count().filter(results.c.export_tries > 0),
            sa.func.min(results.c.timestamp),
        ).where(waits)
        newest = (
            sa.select(results.c.export_error)
            .where(waits, results.c.export_error.is_not(None))
            .order_by(results.c.export_after.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            waiting, failing, oldest = connection.execute(query).one()
            is_used = failing > 0 or _any_recorded(connection)
            return Backlog(waiting, failing, oldest, connection.scalar(newest), is_used)


def _any_recorded(connection: sa.Connection) -> bool:
    recorded = sa.select(results.c.name).where(results.c.exported_at.is_not(None)).limit(1)
    return connection.scalar(recorded) is not None


def _named(exports: Sequence[Export]) -> sa.ColumnElement[bool]:
    return results.c.name.in_([one.name for one in exports])
