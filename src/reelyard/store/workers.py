"""Workers: who there is, what they can do, what they were told, what they keep in reserve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reelyard.domain.errors import WorkerConflict, WorkerUnknown
from reelyard.domain.farm import AttemptOutcome, Capabilities, Lease, Worker
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue

from .clock import now
from .database import Database
from .jobs import read_job
from .leases import MOST_FAILURES, blame
from .moves import note
from .schema import jobs, workers
from .turns import candidates, crew, turn


class Workers:
    """The table of workers. One not heard of for ``alive_seconds`` counts as gone."""

    def __init__(self, database: Database, alive_seconds: float) -> None:
        self._database = database
        self._alive_seconds = alive_seconds

    def register(
        self,
        worker_id: str,
        instance: str,
        *,
        host: str,
        pid: int,
        queues: Sequence[Queue],
        capabilities: Capabilities,
    ) -> Worker | None:
        """A worker starts. Returns who had the name before, if anybody.

        Measured speeds and a quarantine are kept: a restart cures nothing.
        """
        told = {
            "instance": instance, "host": host, "pid": pid, "is_online": True,
            "queues": [queue.value for queue in queues], "command": Order.WORK.value,
            "job_id": None, "helps": None, "started_at": now(), "seen_at": now(),
            "capabilities": asdict(capabilities),
        }  # fmt: skip
        with self._database.writing() as connection:
            before = self._find(connection, worker_id)
            if before is not None and before.order is Order.PAUSE:
                told["command"] = Order.PAUSE.value  # whoever paused it did not mean this process
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            insert = dialect.insert(workers).values(worker_id=worker_id, failures=0, **told)
            connection.execute(
                insert.on_conflict_do_update(index_elements=[workers.c.worker_id], set_=told)
            )
            listens = ", ".join(queues) or "no queue of jobs"
            note(connection, "online", f"listens to {listens}", worker_id=worker_id)
            return before

    def _find(self, connection: sa.Connection, worker_id: str) -> Worker | None:
        everybody = crew(connection, self._alive_seconds)
        return next((one for one in everybody if one.worker_id == worker_id), None)

    def beat(self, worker_id: str, instance: str, free_disk: int | None = None) -> Order | None:
        """A worker is alive. What it was told, or None if its name was taken by another process."""
        this = (workers.c.worker_id == worker_id, workers.c.instance == instance)
        with self._database.writing() as connection:
            connection.execute(
                sa.update(workers).where(*this).values(seen_at=now(), is_online=True)
            )
            row = connection.execute(
                sa.select(workers.c.command, workers.c.capabilities).where(*this)
            ).first()
            if row is None:
                return None
            if free_disk is not None:
                known = {**row.capabilities, "free_disk": free_disk}
                connection.execute(sa.update(workers).where(*this).values(capabilities=known))
            return Order(row.command)

    def leave(self, worker_id: str, instance: str) -> None:
        """A worker ends as it should; what it had in reserve is anybody's."""
        this = (workers.c.worker_id == worker_id, workers.c.instance == instance)
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(workers).where(*this).values(is_online=False, job_id=None, helps=None)
            )
            if done.rowcount:
                self._let_go(connection, worker_id)
                note(connection, "offline", "ended", worker_id=worker_id)

    def _let_go(self, connection: sa.Connection, worker_id: str) -> None:
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.reserved_by == worker_id, jobs.c.status == JobStatus.QUEUED.value)
            .values(reserved_by=None, sent_at=None)
        )

    def abandon(self, worker_id: str, reason: str) -> int:
        """Free what a worker held that is known to be dead; the number of jobs."""
        with self._database.writing() as connection:
            self._let_go(connection, worker_id)
            held = connection.execute(
                sa.select(jobs.c.job_id, jobs.c.token).where(
                    jobs.c.worker_id == worker_id, jobs.c.status == JobStatus.PROCESSING.value
                )
            ).all()
            for row in held:
                lease = Lease(row.job_id, worker_id, row.token)
                blame(connection, lease, AttemptOutcome.LOST, reason)
            return len(held)

    def tell(self, worker_id: str, order: Order, *, by: str | None = None) -> Worker:
        """Tell a worker what to do; it obeys at its next heartbeat. Raises WorkerUnknown."""
        with self._database.writing() as connection:
            this = workers.c.worker_id == worker_id
            done = connection.execute(sa.update(workers).where(this).values(command=order.value))
            if done.rowcount:
                note(connection, order.value, f"told to {order}", worker_id=worker_id, by=by)
            found = self._find(connection, worker_id)
        if found is None:
            raise _unknown(worker_id)
        return found

    def release(self, worker_id: str) -> None:
        """End a worker's quarantine. Until it has completed a job, one failure brings it back."""
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(workers)
                .where(workers.c.worker_id == worker_id, workers.c.quarantine.is_not(None))
                .values(quarantine=None, failures=MOST_FAILURES - 1)
            )
            if done.rowcount:
                note(connection, "released", "passed its examination", worker_id=worker_id)

    def forget(self, worker_id: str, *, by: str | None = None) -> None:
        """Drop a worker that is gone for good from the list. Raises WorkerUnknown if it is not."""
        with self._database.writing() as connection:
            found = self._find(connection, worker_id)
            if found is not None and found.is_alive:
                raise WorkerConflict(f"{worker_id} is not gone: it is {found.state}",
                                    remedy=f"reelyard stop {worker_id} ends it")  # fmt: skip
            done = connection.execute(sa.delete(workers).where(workers.c.worker_id == worker_id))
            if done.rowcount:
                note(connection, "forget", "dropped from the list", worker_id=worker_id, by=by)

    def list(self) -> Sequence[Worker]:
        with self._database.reading() as connection:
            return crew(connection, self._alive_seconds)

    def get(self, worker_id: str) -> Worker | None:
        return next((one for one in self.list() if one.worker_id == worker_id), None)

    def named(self, name: str) -> str:
        """The worker called ``name`` or ``name@…``. Raises WorkerUnknown."""
        known = [one.worker_id for one in self.list()]
        found = [one for one in known if one == name or one.partition("@")[0] == name]
        if name in known:
            return name
        if len(found) != 1:
            raise _unknown(name) if not found else WorkerUnknown(
                f"{name} is more than one worker", remedy=f"Write one of {', '.join(found)}")  # fmt: skip
        return found[0]

    def reserve(self, worker_id: str) -> Job | None:
        """Reserve the job that a busy worker would take next, so that its files can be fetched.

        None if the worker is not busy, has that job in reserve already, or there is none that nobody
        else has in reserve.
        """
        with self._database.writing() as connection:
            everybody = crew(connection, self._alive_seconds)
            worker = next((one for one in everybody if one.worker_id == worker_id), None)
            if worker is None or worker.job_id is None or not worker.takes_jobs:
                return None
            others = [one.worker_id for one in everybody if one.is_alive]
            others.remove(worker_id)
            free = sa.or_(jobs.c.reserved_by.is_(None), jobs.c.reserved_by.not_in(others))
            rows = [
                row
                for queue in worker.queues
                for row in candidates(connection, worker, queue, everybody, free)
            ]
            for row in sorted(rows, key=turn):
                if row.reserved_by == worker_id:
                    return None
                if self._take_in_reserve(connection, worker_id, row.job_id, free):
                    return read_job(connection, row.job_id)
        return None

    def _take_in_reserve(
        self, connection: sa.Connection, worker_id: str, job_id: str, free: sa.ColumnElement[bool]
    ) -> bool:
        queued = jobs.c.status == JobStatus.QUEUED.value
        done = connection.execute(
            sa.update(jobs)
            .where(jobs.c.job_id == job_id, queued, free)
            .values(reserved_by=worker_id)
        )
        if done.rowcount != 1:
            return False  # somebody else was quicker
        connection.execute(
            sa.update(jobs)
            .where(jobs.c.reserved_by == worker_id, jobs.c.job_id != job_id, queued)
            .values(reserved_by=None, sent_at=None)
        )
        note(connection, "reserve", f"next of {worker_id}", job_id=job_id, worker_id=worker_id)
        return True


def _unknown(name: str) -> WorkerUnknown:
    return WorkerUnknown(f"no worker {name} is known", remedy="reelyard workers shows all workers")
