"""Jobs as workers handle them: claimed, kept by heartbeats, ended. Every write carries the token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reelyard.domain.estimate import updated_speed
from reelyard.domain.farm import AttemptOutcome, Finished, JobState, Lease, Standing
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import MOST_ATTEMPTS, Event, JobStatus, Order

from .clock import now
from .database import Database
from .jobs import read_job
from .moves import end_attempt, move, note
from .outbox import post_result
from .rows import STATE_COLUMNS, WITH_NAMES, encoded, state_of, storable
from .schema import job_attempts, job_segments, jobs, workers
from .turns import candidates, crew, queue_of

MOST_FAILURES = 3
"""A worker that fails so many jobs in a row takes no more until it passes its examination."""
_MOST_BEFORE_DONE = 99.9


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker has just become the owner of."""

    lease: Lease
    job: Job
    state: JobState


class Leases:
    """Ownership of jobs. ``seconds`` is how long a lease holds without a heartbeat."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self.seconds = seconds

    def claim(self, worker_id: str, named: str, task_id: str | None) -> Claim | None:
        """Become the owner of the job whose turn it is in the queue of the job ``named``.

        None if there is none that this worker may take, or it takes none.
        """
        with self._database.writing() as connection:
            queue = queue_of(connection, named)
            everybody = crew(connection, self.seconds)
            worker = next((one for one in everybody if one.worker_id == worker_id), None)
            if queue is None or worker is None or not worker.takes_jobs:
                return None
            for row in candidates(connection, worker, queue, everybody):
                lease = Lease(row.job_id, worker_id, row.token + 1)
                if self._become_owner(connection, lease, task_id):
                    return _claimed(connection, lease)
        return None

    def _become_owner(
        self, connection: sa.Connection, lease: Lease, task_id: str | None
    ) -> bool:  # fmt: skip
        unchanged = jobs.c.token == lease.token - 1
        done = move(
            connection, Event.CLAIM, lease.job_id, f"taken by {lease.worker_id}", unchanged,
            who=lease.worker_id, worker_id=lease.worker_id, token=lease.token, task_id=task_id,
            lease_until=now(self.seconds), started_at=now(), completed_at=None, progress=0.0,
            stage="claimed", not_before=None, waiting_for=None,
        )  # fmt: skip
        if not done:
            return False
        connection.execute(
            sa.insert(job_attempts).values(
                job_id=lease.job_id, token=lease.token, worker_id=lease.worker_id,
                outcome=AttemptOutcome.RUNNING.value, started_at=now(), figures={},
            )
        )  # fmt: skip
        connection.execute(
            sa.update(workers)
            .where(workers.c.worker_id == lease.worker_id)
            .values(job_id=lease.job_id)
        )
        return True

    def standing(self, lease: Lease) -> Standing:
        """Whether the lease is the newest, and what its worker was told. Writes nothing."""
        with self._database.reading() as connection:
            return _standing(connection, lease)

    def beat(
        self,
        lease: Lease,
        *,
        stage: str,
        progress: float,
        speed: float | None = None,
        seconds_left: float | None = None,
    ) -> Standing:
        """Renew the lease and say how far the job is (``progress`` in per cent)."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(jobs)
                .where(*_held(lease))
                .values(
                    lease_until=now(self.seconds), stage=stage, speed=speed,
                    seconds_left=seconds_left, progress=min(progress, _MOST_BEFORE_DONE),
                )
            )  # fmt: skip
            return _standing(connection, lease)

    def started(self, lease: Lease, log_folder: str, output_path: str) -> bool:
        """Note where the job's logs are being written, and where its film will be.

        False where the lease does not hold any more.
        """
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(jobs)
                .where(*_held(lease))
                .values(log_folder=encoded(log_folder), output_path=encoded(output_path))
            )
            return bool(done.rowcount == 1)

    def permit(self, lease: Lease) -> bool:
        """Whether the film may be published now."""
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(jobs)
                .where(*_held(lease))
                .values(
                    lease_until=now(self.seconds), stage="publishing",
                )
            )  # fmt: skip
            return bool(done.rowcount == 1)

    def complete(self, lease: Lease, done: Finished) -> bool:
        """The film is published and verified: close the job, and post its result, in one go."""
        with self._database.writing() as connection:
            closed = move(
                connection, Event.COMPLETE, lease.job_id, f"published {done.output_path}",
                lease=lease, completed_at=now(), progress=100.0, stage="done", error_message=None,
                output_path=encoded(done.output_path), final_duration=done.final_duration,
                waiting_for=None, waiting_since=None,
            )  # fmt: skip
            if not closed:
                return False
            end_attempt(connection, lease, AttemptOutcome.COMPLETED, None, _figures(lease, done))
            self._record_segments(connection, lease, done)
            _reward(connection, lease, done.figures.get("speed"))
            post_result(connection, lease, done)
            return True

    def _record_segments(self, connection: sa.Connection, lease: Lease, done: Finished) -> None:
        connection.execute(sa.delete(job_segments).where(job_segments.c.job_id == lease.job_id))
        rows = [
            {"job_id": lease.job_id, "position": one.position, "part": one.part, "key": one.key,
             "frames": one.frames, "cached": one.cached,
             "worker_id": one.worker_id or lease.worker_id}
            for one in done.segments
        ]  # fmt: skip
        if rows:
            connection.execute(sa.insert(job_segments), rows)

    def hand_back(self, lease: Lease, message: str) -> bool:
        """Give the job back to the queue; nobody is to blame. It keeps its place."""
        return self._give(lease, AttemptOutcome.HANDED_BACK, message, None, waiting_for=None,
                          waiting_since=None)  # fmt: skip

    def put_off(
        self, lease: Lease, waiting_for: str, *, longest_delay: float, code: str | None = None
    ) -> bool:
        """Have the job wait for something to come back: the longer it waits, the rarer it is tried.

        This worker could not do it now; one that did not try yet comes first.
        """
        return self._give(lease, AttemptOutcome.UNABLE, waiting_for, code,
                          **self._wait(lease, waiting_for, longest_delay))  # fmt: skip

    def worker_failed(
        self, lease: Lease, message: str, *, longest_delay: float, code: str | None = None
    ) -> bool:
        """This worker's machine could not do it, whatever the job: that counts against the worker alone.

        The job waits as with ``put_off``: others come first, and the limit of waiting ends it.
        """
        return self._give(lease, AttemptOutcome.FAILED, message, code, counts=True,
                          **self._wait(lease, message, longest_delay))  # fmt: skip

    def _wait(self, lease: Lease, waiting_for: str, longest_delay: float) -> dict[str, Any]:
        """What is stored of a job that waits."""
        with self._database.reading() as connection:
            waited = connection.execute(
                sa.select(jobs.c.waiting_since, now().label("now")).where(
                    jobs.c.job_id == lease.job_id
                )
            ).one()
        since = waited.waiting_since
        delay = (waited.now - since).total_seconds() if since else 0.0
        return {
            "waiting_for": storable(waiting_for),
            "waiting_since": sa.func.coalesce(jobs.c.waiting_since, now()),
            "not_before": now(min(longest_delay, max(self.seconds / 4, delay / 4))),
        }

    def _give(
        self,
        lease: Lease,
        outcome: AttemptOutcome,
        message: str,
        code: str | None,
        *,
        counts: bool = False,
        **values: Any,
    ) -> bool:
        """``counts``: against the worker."""
        with self._database.writing() as connection:
            done = move(connection, Event.HAND_BACK, lease.job_id, message, lease=lease,
                        stage="", progress=0.0, sent_at=None, **values)  # fmt: skip
            if done:
                end_attempt(connection, lease, outcome, message, _coded(code))
            if done and counts:
                _count_failure(connection, lease, message)
            return done

    def refuse(self, lease: Lease, message: str, *, code: str | None = None) -> bool:
        """The job itself is wrong: it fails, and no worker is to blame.

        ``code`` is the error's, by which failures are counted; the same goes for the others.
        """
        with self._database.writing() as connection:
            done = fail_job(connection, lease, message, _RUNNING)
            if done:
                end_attempt(connection, lease, AttemptOutcome.REFUSED, message, _coded(code))
            return done

    def attempt_failed(self, lease: Lease, message: str, *, code: str | None = None) -> bool:
        """This worker could not do it. Another one is to try, unless three have."""
        with self._database.writing() as connection:
            return blame(connection, lease, AttemptOutcome.FAILED, message, code=code)


def _figures(lease: Lease, done: Finished) -> dict[str, Any]:
    """With the number of segments that others have made for it, if any."""
    by_others = [one for one in done.segments if one.worker_id not in (None, lease.worker_id)]
    made = sum(not one.cached for one in by_others)
    return {**done.figures, "helped": made} if made else done.figures


def _coded(code: str | None) -> dict[str, Any] | None:
    return None if code is None else {"code": code}


def blame(
    connection: sa.Connection,
    lease: Lease,
    outcome: AttemptOutcome,
    message: str,
    *more: Any,
    code: str | None = None,
) -> bool:
    """Count a failed attempt against job and worker; queue the job again, or fail it for good."""
    count = connection.scalar(sa.select(jobs.c.attempts).where(jobs.c.job_id == lease.job_id)) or 0
    message = storable(message)
    if count + 1 >= MOST_ATTEMPTS:
        why = f"{message} ({count + 1} attempts)"
        done = fail_job(connection, lease, why, _RUNNING, *more, attempts=count + 1)
    else:
        done = move(connection, Event.HAND_BACK, lease.job_id, message, *more, lease=lease,
                    stage="", progress=0.0, attempts=count + 1, error_message=message,
                    waiting_since=None, sent_at=None)  # fmt: skip
    if done:
        end_attempt(connection, lease, outcome, message, _coded(code))
        _count_failure(connection, lease, message)
    return done


_RUNNING = jobs.c.status == JobStatus.PROCESSING.value
"""Whose lease has ended may not fail a job that is queued again, though such a job can fail."""


def fail_job(
    connection: sa.Connection, lease: Lease, message: str, *more: Any, **values: Any
) -> bool:
    """Fail a job for good, and post that as its result."""
    done = move(connection, Event.FAIL, lease.job_id, message, *more, lease=lease,
                completed_at=now(), error_message=storable(message), waiting_for=None,
                waiting_since=None, **values)  # fmt: skip
    if done:
        post_result(connection, lease, None)
    return done


def _count_failure(connection: sa.Connection, lease: Lease, message: str) -> None:
    this = workers.c.worker_id == lease.worker_id
    failures = _failed_since(connection, lease.worker_id)
    connection.execute(sa.update(workers).where(this).values(failures=failures))
    if failures < MOST_FAILURES:
        return
    reason = storable(f"failed {MOST_FAILURES} jobs in a row, the last one: {message}")
    done = connection.execute(
        sa.update(workers).where(this, workers.c.quarantine.is_(None)).values(quarantine=reason)
    )
    if done.rowcount:
        note(connection, "quarantine", reason, worker_id=lease.worker_id)


def _failed_since(connection: sa.Connection, worker_id: str) -> int:
    """How many jobs a worker has failed since it last completed one; tries at one job count once."""
    mine = job_attempts.c.worker_id == worker_id
    completed = job_attempts.c.outcome == AttemptOutcome.COMPLETED.value
    last = sa.select(sa.func.max(job_attempts.c.ended_at)).where(mine, completed).scalar_subquery()
    failed = job_attempts.c.outcome.in_([AttemptOutcome.FAILED.value, AttemptOutcome.LOST.value])
    since = sa.or_(last.is_(None), job_attempts.c.ended_at > last)
    query = sa.select(sa.func.count(job_attempts.c.job_id.distinct()))
    return connection.scalar(query.where(mine, failed, since)) or 0


def _reward(connection: sa.Connection, lease: Lease, speed: float | None) -> None:
    """A worker that completed a job starts counting failures anew, and its speed is known better."""
    this = workers.c.worker_id == lease.worker_id
    enable_4k = connection.scalar(sa.select(jobs.c.enable_4k).where(jobs.c.job_id == lease.job_id))
    column = workers.c.speed_4k if enable_4k else workers.c.speed
    values: dict[str, Any] = {"failures": 0}
    if speed:
        values[column.name] = updated_speed(
            connection.scalar(sa.select(column).where(this)), speed
        )  # fmt: skip
    connection.execute(sa.update(workers).where(this).values(**values))


def _held(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        jobs.c.job_id == lease.job_id,
        jobs.c.token == lease.token,
        jobs.c.status == JobStatus.PROCESSING.value,
    )


def _standing(connection: sa.Connection, lease: Lease) -> Standing:
    row = connection.execute(
        sa.select(jobs.c.status, jobs.c.token, workers.c.command)
        .select_from(jobs.outerjoin(workers, workers.c.worker_id == lease.worker_id))
        .where(jobs.c.job_id == lease.job_id)
    ).first()
    if row is None:
        return Standing(False, JobStatus.CANCELLED, Order.WORK)
    status = JobStatus(row.status)
    holds = status is JobStatus.PROCESSING and row.token == lease.token
    return Standing(holds, status, Order(row.command or Order.WORK))


def _claimed(connection: sa.Connection, lease: Lease) -> Claim:
    row = connection.execute(
        sa.select(*STATE_COLUMNS).select_from(WITH_NAMES).where(jobs.c.job_id == lease.job_id)
    ).one()
    return Claim(lease, read_job(connection, lease.job_id), state_of(row))
