"""What happens in the farm, to be passed on while it happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from reelyard.domain.farm import Happening, JobState
from reelyard.domain.lifecycle import JobStatus

from .database import Database
from .rows import STATE_COLUMNS, WITH_NAMES, happening_of, state_of
from .schema import events, jobs
from .standings import helpers


@dataclass(frozen=True, slots=True)
class Numbered:
    """A line of history with its number, and whose job it is about."""

    number: int
    happening: Happening
    owner: str | None


class Feed:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def in_order(self) -> bool:
        """Whether a line that is seen later always has a higher number: where writers wait in line."""
        return self._database.engine.dialect.name == "sqlite"

    def newest(self) -> int:
        """The highest number there is."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(sa.func.max(events.c.id))) or 0

    def after(
        self,
        number: int,
        limit: int = 500,
        *,
        job_id: str | None = None,
        user_id: str | None = None,
    ) -> Sequence[Numbered]:
        """What happened later than ``number``, in order: to one job, or to one user's jobs, only."""
        conditions = [events.c.id > number]
        if job_id is not None:
            conditions.append(events.c.job_id == job_id)
        if user_id is not None:
            conditions.append(jobs.c.user_id == user_id)
        query = (
            sa.select(*events.c, jobs.c.user_id)
            .select_from(events.outerjoin(jobs, jobs.c.job_id == events.c.job_id))
            .where(*conditions)
            .order_by(events.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Numbered(row.id, happening_of(row), row.user_id)
                for row in connection.execute(query)
            ]  # fmt: skip

    def running(self) -> Sequence[JobState]:
        """All jobs that are being worked on."""
        query = sa.select(*STATE_COLUMNS).select_from(WITH_NAMES)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(jobs.c.status == JobStatus.PROCESSING.value))
            return [state_of(row) for row in rows]

    def helpers(self) -> Mapping[str, Mapping[str, int]]:
        """Who helps with each of them, and how many segments each has made for it."""
        with self._database.reading() as connection:
            return helpers(connection)
