"""Many at once: threads in one process, and processes of their own; each job has one owner."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from multiprocessing.queues import Queue as Mailbox
from multiprocessing.synchronize import Barrier

import pytest
import sqlalchemy as sa

from reelyard.domain.errors import JobUnknown
from reelyard.domain.farm import AttemptOutcome, JobState, Lease, Submission
from reelyard.domain.lifecycle import JobStatus, WorkerState
from reelyard.domain.routing import Queue
from reelyard.store.database import Database
from reelyard.store.leases import Leases
from reelyard.store.schema import jobs

from .conftest import ABLE, LEASE, PATIENCE, Books, at_once, finished, job

CREW = tuple("abcdefgh")
PROCESSES = multiprocessing.get_context(
    "fork"
)  # as Celery's pool does; each opens its own database


def test_eight_threads_claim_one_job_and_one_gets_it(books: Books) -> None:
    books.hire(*CREW)
    for _ in range(5):
        job_id = books.submit()
        calls = [partial(books.leases.claim, name, job_id, None) for name in CREW]
        claims = [claim for claim in at_once(*calls) if claim is not None]
        assert len(claims) == 1
        assert books.state(job_id).worker_id == claims[0].lease.worker_id
        assert [one.token for one in books.jobs.attempts(job_id)] == [1]
        busy = [one.worker_id for one in books.workers.list() if one.state is WorkerState.BUSY]
        assert busy == [claims[0].lease.worker_id]
        assert books.leases.complete(claims[0].lease, finished())


def _claim_all(
    url: str, name: str, named: str, start: Barrier, told: Mailbox[list[Lease]]
) -> None:  # fmt: skip
    """In a process of its own: take jobs until there is none."""
    taken = []
    with closing(Database(url)) as database:
        leases = Leases(database, LEASE)
        start.wait(PATIENCE)
        while claim := leases.claim(name, named, None):
            taken.append(claim.lease)
    told.put(taken)


def test_four_processes_claim_two_hundred_jobs_and_each_has_one_owner(
    books: Books, migrated_url: str
) -> None:
    crew = CREW[:4]
    books.hire(*crew)
    ids = [books.submit() for _ in range(200)]
    start = PROCESSES.Barrier(len(crew))
    told: Mailbox[list[Lease]] = PROCESSES.Queue()
    processes = [
        PROCESSES.Process(
            target=_claim_all, args=(migrated_url, name, ids[0], start, told), daemon=True
        )
        for name in crew
    ]
    for process in processes:
        process.start()
    leases = [lease for _ in processes for lease in told.get(timeout=PATIENCE)]
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * len(crew)
    assert Counter(lease.job_id for lease in leases) == Counter(ids)
    assert {lease.token for lease in leases} == {1}
    for lease in leases:
        state = books.state(lease.job_id)
        assert (state.status, state.worker_id) == (JobStatus.PROCESSING, lease.worker_id)
    assert len(books.rows("job_attempts")["job_attempts"]) == len(ids)


def test_eight_threads_submit_one_key_and_there_is_one_job(books: Books) -> None:
    jobs_of = [job() for _ in CREW]
    submission = Submission(user_id=books.user_id, frames=300, idempotency_key="k", digest="d")
    states = at_once(*(partial(books.jobs.add, one, submission) for one in jobs_of))
    assert len({state.job_id for state in states}) == 1
    assert [state.job_id for state in books.jobs.list()] == [states[0].job_id]
    assert len(books.rows("job_items")["job_items"]) == 1


def test_eight_busy_workers_reserve_eight_different_jobs(books: Books) -> None:
    books.hire(*CREW)
    for name in CREW:
        books.take(name, books.submit())
    waiting = [books.submit() for _ in CREW[2:]]
    reserved = at_once(*(partial(books.workers.reserve, name) for name in CREW))
    got = [one.job_id for one in reserved if one is not None]
    assert len(got) == len(set(got))
    assert set(got) == set(waiting)
    for name, one in zip(CREW, reserved, strict=True):
        if one is not None:
            assert books.state(one.job_id).reserved_by == name


def test_eight_busy_workers_want_one_job_in_reserve_and_one_gets_it(books: Books) -> None:
    books.hire(*CREW)
    for name in CREW:
        books.take(name, books.submit())
    for _ in range(3):
        job_id = books.submit()
        reserved = at_once(*(partial(books.workers.reserve, name) for name in CREW))
        assert [one.job_id for one in reserved if one is not None] == [job_id]
        books.jobs.cancel(job_id)


def test_eight_processes_of_one_name_start_and_the_last_has_it(books: Books) -> None:
    def register(instance: str) -> object:
        return books.workers.register(
            "a", instance, host="h", pid=1, queues=tuple(Queue), capabilities=ABLE
        )

    at_once(*(partial(register, name) for name in CREW))
    [worker] = books.workers.list()
    heard = {name: books.workers.beat("a", name) is not None for name in CREW}
    assert [name for name, heeded in heard.items() if heeded] == [worker.instance]


def test_two_sweeps_free_a_job_once(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.pass_time(LEASE + 1)
    freed = at_once(*[books.duties.expire] * 4)
    assert sum(map(len, freed)) == 1
    assert books.state(lease.job_id).attempts == 1


def test_a_job_is_completed_or_cancelled_never_both(books: Books) -> None:
    books.hire("a")

    def cancel(job_id: str) -> bool:
        with suppress(JobUnknown):
            return books.jobs.cancel(job_id).status is JobStatus.CANCELLED
        return False

    for _ in range(5):
        lease = books.take("a", books.submit())
        completed, cancelled = at_once(
            partial(books.leases.complete, lease, finished()), partial(cancel, lease.job_id)
        )
        assert completed != cancelled
        expected = JobStatus.COMPLETED if completed else JobStatus.CANCELLED
        assert books.state(lease.job_id).status is expected
        [attempt] = books.jobs.attempts(lease.job_id)
        assert str(attempt.outcome) == str(expected)
        assert books.worker("a").job_id is None


@contextmanager
def _held_up(url: str, job_id: str) -> Iterator[sa.Connection]:
    """Nobody can change the job while the block runs; yields a connection that sees who waits."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as eye, engine.begin() as connection:
        one = sa.select(jobs.c.job_id).where(jobs.c.job_id == job_id)
        connection.execute(one.with_for_update())
        yield eye.execution_options(isolation_level="AUTOCOMMIT")


def _wait_for_waiters(eye: sa.Connection, count: int) -> None:
    waiters = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                      " AND datname = current_database()")  # fmt: skip
    ends_at = time.monotonic() + PATIENCE
    while (eye.scalar(waiters) or 0) < count:
        assert time.monotonic() < ends_at
        time.sleep(0.01)


@pytest.fixture
def postgres_books(postgres_emptied: str) -> Iterator[Books]:
    """SQLite lets one write at a time, so that only PostgreSQL can weave two transactions."""
    with closing(Database(postgres_emptied)) as database:
        yield Books(database)


def test_a_cancel_right_behind_a_claim_ends_that_attempt(
    postgres_books: Books, postgres_emptied: str
) -> None:
    books = postgres_books
    books.hire("a")
    job_id = books.submit()
    told: list[object] = []
    steps = [
        threading.Thread(target=lambda: told.append(books.leases.claim("a", job_id, None))),
        threading.Thread(target=lambda: told.append(books.jobs.cancel(job_id))),
    ]
    with _held_up(postgres_emptied, job_id) as eye:
        for count, step in enumerate(steps, 1):
            step.start()
            _wait_for_waiters(eye, count)
    for step in steps:
        step.join(PATIENCE)
    assert isinstance(told[-1], JobState)
    assert books.state(job_id).status is JobStatus.CANCELLED
    assert AttemptOutcome.RUNNING not in [one.outcome for one in books.jobs.attempts(job_id)]
    assert books.worker("a").state is WorkerState.IDLE


def test_whoever_comes_second_to_a_job_takes_the_next(
    postgres_books: Books, postgres_emptied: str
) -> None:
    books = postgres_books
    books.hire("a", "b")
    first, second = books.submit(), books.submit()
    told: dict[str, str] = {}

    def claim(name: str) -> None:
        told[name] = books.claim(name, first).lease.job_id

    steps = [threading.Thread(target=claim, args=(name,)) for name in "ab"]
    with _held_up(postgres_emptied, first) as eye:
        for count, step in enumerate(steps, 1):
            step.start()
            _wait_for_waiters(eye, count)
    for step in steps:
        step.join(PATIENCE)
    assert told == {"a": first, "b": second}


def test_an_expiry_that_a_heartbeat_overtakes_takes_nothing(
    postgres_books: Books, postgres_emptied: str
) -> None:
    books = postgres_books
    books.hire("a")
    lease = books.take("a", books.submit())
    books.pass_time(LEASE + 1, "workers")
    freed: list[int] = []
    steps = [
        threading.Thread(target=lambda: books.leases.beat(lease, stage="joining", progress=99.0)),
        threading.Thread(target=lambda: freed.append(len(books.duties.expire()))),
    ]
    with _held_up(postgres_emptied, lease.job_id) as eye:
        for count, step in enumerate(steps, 1):
            step.start()
            _wait_for_waiters(eye, count)
    for step in steps:
        step.join(PATIENCE)
    assert freed == [0]
    assert books.leases.standing(lease).holds
    assert books.state(lease.job_id).attempts == 0
    assert books.worker("a").failures == 0
