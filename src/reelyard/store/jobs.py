"""Jobs as people handle them: stored, found, listed, cancelled, retried, moved up and down."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reelyard.domain.errors import JobConflict, JobUnknown
from reelyard.domain.farm import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Ahead,
    Attempt,
    AttemptOutcome,
    Happening,
    JobState,
    Lease,
    SegmentRow,
    Submission,
)
from reelyard.domain.help import OfferStanding
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import Event, JobStatus
from reelyard.domain.routing import Queue, queue_for

from .clock import now
from .database import Database
from .moves import end_attempt, move, note
from .new_job import job_values, last_place, stored_key
from .rows import (
    STATE_COLUMNS,
    WITH_NAMES,
    attempt_of,
    happening_of,
    item_values,
    job_id_of,
    job_of,
    state_of,
)
from .schema import events, job_attempts, job_items, job_segments, jobs
from .standings import standing
from .webhooks import insert_webhook

_SHORTEST_PREFIX = 4
_MOVING = 0x5265656D  # the advisory lock on PostgreSQL
_TURN = (jobs.c.priority.desc(), jobs.c.place, jobs.c.job_id)


class Jobs:
    """The table of jobs, for submitting and managing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: Job, submission: Submission) -> JobState:
        """Store a job with its items, queued, in one transaction.

        With an idempotency key that this user used before, the first job is returned instead.
        Raises JobUnknown where the key or the job's id belongs to another job.
        """
        try:
            with self._database.writing() as connection:
                connection.execute(sa.insert(jobs).values(**job_values(job, submission)))
                connection.execute(sa.insert(job_items), item_values(job))
                if submission.webhook is not None:
                    insert_webhook(connection, submission.webhook)
                only = "" if job.excerpt.is_whole else f": {job.excerpt}"
                note(connection, "submit", f"queued in {queue_for(job)}{only}",
                     job_id=job.job_id, by=submission.by)  # fmt: skip
        except IntegrityError as error:
            return self._first(job, submission, error)
        return self.state(job.job_id)

    def _first(self, job: Job, submission: Submission, error: IntegrityError) -> JobState:
        key = submission.idempotency_key
        first = None if key is None else self._by_key(submission.user_id, key)
        if first is None:
            raise JobConflict(f"there is a job {job.job_id} already",
                             remedy="Leave job_id out, or retry that job") from error  # fmt: skip
        if first[1] != submission.digest:
            raise JobConflict("another job was submitted under this idempotency key",
                             remedy="Use a new key for a new job") from error  # fmt: skip
        return self.state(first[0])

    def _by_key(self, user_id: str, key: str) -> tuple[str, str] | None:
        """The job that this user submitted under this key, and its digest."""
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(jobs.c.job_id, jobs.c.digest).where(
                    jobs.c.user_id == user_id, jobs.c.idempotency_key == stored_key(key)
                )
            ).first()
        return None if row is None else (row.job_id, row.digest)

    def known_key(self, user_id: str, key: str) -> str | None:
        """The job that this user submitted under this key."""
        found = self._by_key(user_id, key)
        return None if found is None else found[0]

    def state(self, job_id: str) -> JobState:
        """Raises JobUnknown."""
        wanted = _known(job_id)
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(*STATE_COLUMNS).select_from(WITH_NAMES).where(jobs.c.job_id == wanted)
            ).first()
        if row is None:
            raise _unknown(job_id)
        return state_of(row)

    def find(self, job_id: str) -> JobState | None:
        """The state of a job, or None."""
        try:
            return self.state(job_id)
        except JobUnknown:
            return None

    def note(self, job_id: str, what: str, message: str, worker_id: str | None = None) -> None:
        """Add a line to a job's history."""
        with self._database.writing() as connection:
            note(connection, what, message, job_id=job_id, worker_id=worker_id)

    def named(self, name: str) -> str:
        """The id of the job whose id is, or begins with, ``name``. Raises JobUnknown."""
        wanted = name.strip().lower().replace("-", "")
        if len(wanted) < _SHORTEST_PREFIX or not set(wanted) <= set("0123456789abcdef"):
            raise _unknown(name)
        plain = sa.func.replace(sa.cast(jobs.c.job_id, sa.Text), "-", "")
        with self._database.reading() as connection:
            found = connection.scalars(
                sa.select(jobs.c.job_id).where(plain.like(f"{wanted}%")).limit(2)
            ).all()
        if not found:
            raise _unknown(name)
        if len(found) > 1:
            raise JobUnknown(
                f"more than one job's id begins with {name}", remedy="Write more of it"
            )
        return str(found[0])

    def job(self, job_id: str) -> Job:
        """What was asked for. Raises JobUnknown."""
        with self._database.reading() as connection:
            return read_job(connection, _known(job_id))

    def list(
        self, statuses: Collection[JobStatus] = (), limit: int = 100, newest_first: bool = False
    ) -> Sequence[JobState]:
        """Jobs in their turn, or the newest first."""
        query = sa.select(*STATE_COLUMNS).select_from(WITH_NAMES).limit(limit)
        if statuses:
            query = query.where(jobs.c.status.in_([one.value for one in statuses]))
        order = (jobs.c.created_at.desc(),) if newest_first else _TURN
        with self._database.reading() as connection:
            return [state_of(row) for row in connection.execute(query.order_by(*order))]

    def ahead(self) -> Sequence[Ahead]:
        """All jobs that wait or run, in their turn."""
        active = [JobStatus.QUEUED.value, JobStatus.PROCESSING.value]
        columns = (
            jobs.c.job_id, jobs.c.status, jobs.c.queue_name, jobs.c.enable_4k, jobs.c.frames,
            jobs.c.progress, jobs.c.seconds_left, jobs.c.worker_id, jobs.c.not_before,
            jobs.c.is_draft,
        )  # fmt: skip
        query = sa.select(*columns).where(jobs.c.status.in_(active)).order_by(*_TURN)
        with self._database.reading() as connection:
            return [
                Ahead(
                    job_id=row.job_id, status=JobStatus(row.status), queue=Queue(row.queue_name),
                    enable_4k=row.enable_4k and not row.is_draft, frames=row.frames, progress=row.progress,
                    seconds_left=row.seconds_left, worker_id=row.worker_id,
                    not_before=row.not_before,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def counts(self) -> dict[JobStatus, int]:
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(jobs.c.status, sa.func.count()).group_by(jobs.c.status)
            )
            return {JobStatus(status): count for status, count in rows}

    def cancel(self, job_id: str, message: str = "cancelled", *, by: str | None = None) -> JobState:
        """Cancel a job that is queued or being worked on. Its worker can write nothing from now on.

        Raises JobUnknown if it has ended already.
        """
        job_id = _known(job_id)
        with self._database.writing() as connection:
            # Locked first: a claim beside it must not slip between this look and the change.
            row = connection.execute(
                sa.select(jobs.c.status, jobs.c.token, jobs.c.worker_id)
                .where(jobs.c.job_id == job_id)
                .with_for_update()
            ).first()
            done = move(connection, Event.CANCEL, job_id, message, by=by,
                        completed_at=now(), waiting_for=None, not_before=None)  # fmt: skip
            if done and row is not None and row.status == JobStatus.PROCESSING.value:
                end_attempt(connection, Lease(job_id, row.worker_id, row.token),
                            AttemptOutcome.CANCELLED, message)  # fmt: skip
        return self._changed(job_id, done, "be cancelled")

    def retry(self, job_id: str, *, by: str | None = None) -> JobState:
        """Queue a failed or cancelled job again, its failures forgiven. Raises JobUnknown."""
        job_id = _known(job_id)
        with self._database.writing() as connection:
            done = move(
                connection, Event.RETRY, job_id, "queued again", by=by,
                attempts=0, round_token=jobs.c.token, progress=0.0, stage="", error_message=None,
                waiting_for=None, waiting_since=None, not_before=None, started_at=None,
                completed_at=None, worker_id=None, final_duration=None,
                queued_at=now(), place=last_place(), sent_at=now(),
            )  # fmt: skip
        return self._changed(job_id, done, "be retried")

    def reprioritise(self, job_id: str, priority: int, *, by: str | None = None) -> JobState:
        """Give a queued job another priority, 0 (last) to 9 (first). Raises JobUnknown."""
        priority = max(LOWEST_PRIORITY, min(HIGHEST_PRIORITY, priority))
        return self._place(job_id, f"priority {priority}", by, priority=priority)

    def to_front(self, job_id: str, *, by: str | None = None) -> JobState:
        """Make a queued job the next of its queue. Raises JobUnknown."""
        job_id = _known(job_id)
        first = (
            sa.select(sa.func.min(jobs.c.place) - 1)
            .where(jobs.c.status == JobStatus.QUEUED.value)
            .scalar_subquery()
        )
        this = (jobs.c.job_id == job_id, jobs.c.status == JobStatus.QUEUED.value)
        with self._database.writing() as connection:
            _move_alone(connection)
            queue = connection.scalar(sa.select(jobs.c.queue_name).where(*this))
            if queue is not None:
                self._let_go_of_first(connection, queue)
            done = connection.execute(
                sa.update(jobs)
                .where(*this)
                .values(priority=HIGHEST_PRIORITY, place=first, reserved_by=None)
            )
            if done.rowcount:
                note(connection, "move", "moved to the front", job_id=job_id, by=by)
        return self._changed(job_id, done.rowcount == 1, "be moved")

    def before(self, job_id: str, other_id: str, *, by: str | None = None) -> JobState:
        """Have a queued job come directly before another queued one. Raises JobUnknown."""
        job_id, other_id = _known(job_id), _known(other_id)
        queued = jobs.c.status == JobStatus.QUEUED.value
        with self._database.writing() as connection:
            _move_alone(connection)
            other = connection.execute(
                sa.select(jobs.c.priority, jobs.c.place, jobs.c.queue_name)
                .where(jobs.c.job_id == other_id, queued)
                .with_for_update()
            ).first()
            done = job_id == other_id
            if other is not None and not done:
                later = sa.and_(queued, jobs.c.place >= other.place)
                connection.execute(sa.update(jobs).where(later).values(place=jobs.c.place + 1))
                moved = connection.execute(
                    sa.update(jobs)
                    .where(jobs.c.job_id == job_id, queued)
                    .values(priority=other.priority, place=other.place, reserved_by=None)
                )
                done = moved.rowcount == 1
                self._let_go_of_first(connection, other.queue_name, other.priority)
                if done:
                    note(connection, "move", f"put before {other_id[:8]}", job_id=job_id, by=by)
        if other is None:
            self._changed(other_id, False, "be waited for")
        return self._changed(job_id, done, "be moved")

    def remove(self, job_id: str, *, by: str | None = None) -> JobState:
        """Drop a job that has ended from the books; results stay. Raises JobUnknown.

        Returns what it was.
        """
        state = self.state(job_id)
        ended = sorted(set(JobStatus) - {JobStatus.QUEUED, JobStatus.PROCESSING})
        with self._database.writing() as connection:
            done = connection.execute(
                sa.delete(jobs).where(jobs.c.job_id == state.job_id, jobs.c.status.in_(ended))
            )
            if done.rowcount:
                note(connection, "remove", f"{state.channel_name}, {state.status}: removed",
                     job_id=state.job_id, by=by)  # fmt: skip
        return state if done.rowcount else self._changed(job_id, False, "be removed")

    def _let_go_of_first(
        self, connection: sa.Connection, queue: str, priority: int = HIGHEST_PRIORITY
    ) -> None:
        """A reserve is first within its priority: nothing is to come before what is moved."""
        connection.execute(
            sa.update(jobs)
            .where(
                jobs.c.status == JobStatus.QUEUED.value,
                jobs.c.queue_name == queue,
                jobs.c.priority == priority,
            )
            .values(reserved_by=None)
        )

    def _place(self, job_id: str, message: str, by: str | None, **values: object) -> JobState:
        job_id = _known(job_id)
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(jobs)
                .where(jobs.c.job_id == job_id, jobs.c.status == JobStatus.QUEUED.value)
                .values(**values)
            )
            if done.rowcount:
                note(connection, "move", message, job_id=job_id, by=by)
        return self._changed(job_id, done.rowcount == 1, "be moved")

    def _changed(self, job_id: str, done: bool, what: str) -> JobState:
        state = self.state(job_id)
        if not done:
            raise JobConflict(f"job {job_id} is {state.status} and can't {what}",
                             remedy=f"reelyard status {job_id[:8]} shows it")  # fmt: skip
        return state

    def attempts(self, job_id: str) -> Sequence[Attempt]:
        """Everybody's turn at a job, the first one first."""
        query = sa.select(job_attempts).where(job_attempts.c.job_id == job_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(job_attempts.c.token))
            return [attempt_of(row) for row in rows]

    def segments(self, job_id: str) -> Sequence[tuple[SegmentRow, str]]:
        """The segments of a completed job's film, each with the worker that it came from."""
        order = (job_segments.c.position, job_segments.c.part)
        query = sa.select(job_segments).where(job_segments.c.job_id == job_id).order_by(*order)
        with self._database.reading() as connection:
            return [
                (SegmentRow(one.position, one.part, one.key, one.frames, one.cached), one.worker_id)
                for one in connection.execute(query)
            ]

    def offered(self, job_id: str) -> Sequence[OfferStanding]:
        """What the owner of a running job offers to others, and who makes it."""
        with self._database.reading() as connection:
            return standing(connection, job_id)

    def history(self, job_id: str) -> Sequence[Happening]:
        """What happened to a job, the first thing first."""
        query = sa.select(events).where(events.c.job_id == job_id).order_by(events.c.id)
        with self._database.reading() as connection:
            return [happening_of(row) for row in connection.execute(query)]


def _move_alone(connection: sa.Connection) -> None:
    """Until the transaction ends. PostgreSQL locks rows in any order: of two who move many, one would fail."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MOVING)))


def read_job(connection: sa.Connection, job_id: str) -> Job:
    """Raises JobUnknown."""
    row = connection.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).first()
    if row is None:
        raise _unknown(job_id)
    items = connection.execute(
        sa.select(job_items).where(job_items.c.job_id == job_id).order_by(job_items.c.position)
    ).all()
    return job_of(row, list(items))


def _known(job_id: str) -> str:
    """The id as a database takes it. Raises JobUnknown for what can't be one."""
    found = job_id_of(job_id)
    if found is None:
        raise _unknown(job_id)
    return found


def _unknown(name: str) -> JobUnknown:
    return JobUnknown(f"no job {name} is known", remedy="reelyard status shows all jobs")
