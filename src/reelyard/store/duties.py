"""What any process may do, one at a time: free what dead workers held, wake idle ones."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reelyard.domain.farm import AttemptOutcome, JobState, Lease
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue

from .clock import now
from .database import Database
from .leases import blame, fail_job
from .rows import STATE_COLUMNS, WITH_NAMES, state_of
from .schema import duties, jobs, workers
from .turns import candidates, crew

_WITHOUT_OUTPUT = (JobStatus.CANCELLED.value, JobStatus.FAILED.value)


class Duties:
    """The sweep's view of the database."""

    def __init__(self, database: Database, alive_seconds: float) -> None:
        self._database = database
        self._alive_seconds = alive_seconds

    def take_over(self, name: str, holder: str, seconds: float) -> bool:
        """Whether ``holder`` is the one who does this duty for the next ``seconds``."""
        with self._database.writing() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            insert = dialect.insert(duties).values(name=name, holder=holder, until=now(seconds))
            done = connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[duties.c.name],
                    set_={"holder": holder, "until": now(seconds)},
                    where=sa.or_(duties.c.holder == holder, duties.c.until < now()),
                ).returning(duties.c.holder)  # PostgreSQL does not count inserted rows
            )
            return done.first() is not None

    def expire(self) -> Sequence[JobState]:
        """Take jobs from workers whose leases ran out; the jobs."""
        over = jobs.c.lease_until < now()
        with self._database.writing() as connection:
            rows = connection.execute(
                sa.select(*STATE_COLUMNS)
                .select_from(WITH_NAMES)
                .where(jobs.c.status == JobStatus.PROCESSING.value, over)
            ).all()
            return [
                state
                for state in map(state_of, rows)
                if blame(
                    connection,
                    Lease(state.job_id, state.worker_id or "", state.token),
                    AttemptOutcome.LOST,
                    f"{state.worker_id} was not heard of again",
                    over,
                )
            ]

    def give_up(self, longest_wait: float) -> Sequence[str]:
        """Fail jobs that have waited for something for more than ``longest_wait`` seconds."""
        with self._database.writing() as connection:
            rows = connection.execute(
                sa.select(jobs.c.job_id, jobs.c.token, jobs.c.worker_id, jobs.c.waiting_for).where(
                    jobs.c.status == JobStatus.QUEUED.value,
                    jobs.c.waiting_since < now(-longest_wait),
                )
            ).all()
            return [
                row.job_id
                for row in rows
                if fail_job(
                    connection,
                    Lease(row.job_id, row.worker_id or "", row.token),
                    f"gave up waiting: {row.waiting_for}",
                )
            ]

    def to_wake(self, again_after: float) -> Sequence[tuple[str, Queue]]:
        """For each idle worker the job it should be woken for: messages get lost, or wait elsewhere.

        A job is not named again within ``again_after`` seconds of its last message.
        """
        due = sa.or_(jobs.c.sent_at.is_(None), jobs.c.sent_at < now(-again_after))
        found: dict[str, Queue] = {}
        with self._database.writing() as connection:
            everybody = crew(connection, self._alive_seconds)
            for worker in everybody:
                if worker.job_id is None and worker.takes_jobs:
                    for queue in worker.queues:
                        rows = candidates(connection, worker, queue, everybody, due)
                        one = next((row for row in rows if row.job_id not in found), None)
                        if one is not None:
                            found[one.job_id] = queue
                            break
            if found:
                connection.execute(
                    sa.update(jobs).where(jobs.c.job_id.in_(found)).values(sent_at=now())
                )
        return list(found.items())

    def to_clean_up(self) -> Sequence[tuple[JobState, str | None]]:
        """Cancelled and failed jobs whose output may have been published, or begun to be.

        With each the machine of its worker, if that is known.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(*STATE_COLUMNS, workers.c.host)
                .select_from(WITH_NAMES.outerjoin(workers, workers.c.worker_id == jobs.c.worker_id))
                .where(jobs.c.status.in_(_WITHOUT_OUTPUT), jobs.c.output_path.is_not(None))
            )
            return [(state_of(row), row.host) for row in rows]

    def cleaned_up(self, state: JobState) -> None:
        with self._database.writing() as connection:
            connection.execute(
                sa.update(jobs)
                .where(
                    jobs.c.job_id == state.job_id, jobs.c.token == state.token,
                    jobs.c.status.in_(_WITHOUT_OUTPUT),
                )
                .values(output_path=None)
            )  # fmt: skip
