"""Who has not the newest lease writes nothing at all: whole databases are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reelyard.domain.farm import Lease, Standing
from reelyard.domain.lifecycle import JobStatus, Order

from .conftest import LEASE, Books, finished, new_id

WRITES: dict[str, Callable[[Books, Lease], object]] = {
    "beat": lambda books, lease: books.leases.beat(lease, stage="rendering", progress=50.0).holds,
    "started": lambda books, lease: books.leases.started(lease, "/logs/x", "/out/x.mp4"),
    "permit": lambda books, lease: books.leases.permit(lease),
    "complete": lambda books, lease: books.leases.complete(lease, finished()),
    "refuse": lambda books, lease: books.leases.refuse(lease, "broken clip"),
    "hand_back": lambda books, lease: books.leases.hand_back(lease, "told to stop"),
    "put_off": lambda books, lease: books.leases.put_off(lease, "no share", longest_delay=300),
    "worker_failed": lambda books, lease: books.leases.worker_failed(
        lease, "dead card", longest_delay=300
    ),
    "attempt_failed": lambda books, lease: books.leases.attempt_failed(lease, "crashed"),
}


def _expire(books: Books, lease: Lease) -> None:
    books.pass_time(LEASE + 1, "workers")
    assert [state.job_id for state in books.duties.expire()] == [lease.job_id]


def _expire_and_take(books: Books, lease: Lease) -> None:
    _expire(books, lease)
    books.take("b", lease.job_id)


def _put_off(books: Books, lease: Lease) -> None:
    assert books.leases.put_off(lease, "no share", longest_delay=300)


def _cancel(books: Books, lease: Lease) -> None:
    books.jobs.cancel(lease.job_id)


def _retry(books: Books, lease: Lease) -> None:
    books.jobs.cancel(lease.job_id)
    books.jobs.retry(lease.job_id)


def _retry_and_take(books: Books, lease: Lease) -> None:
    _retry(books, lease)
    books.take("b", lease.job_id)


def _retry_and_take_again(books: Books, lease: Lease) -> None:
    """The same worker, but an older turn of it."""
    _retry(books, lease)
    books.take("a", lease.job_id)


def _fail_twice_elsewhere(books: Books, lease: Lease) -> None:
    """One more failure would end the job for good."""
    assert books.leases.attempt_failed(lease, "crashed")
    assert books.leases.attempt_failed(books.take("b", lease.job_id), "crashed")


def _complete_elsewhere(books: Books, lease: Lease) -> None:
    _expire(books, lease)
    assert books.leases.complete(books.take("b", lease.job_id), finished())


def _fail_and_retry(books: Books, lease: Lease) -> None:
    assert books.leases.refuse(lease, "broken clip")
    books.jobs.retry(lease.job_id)


SINCE: dict[str, Callable[[Books, Lease], object]] = {
    "handed back": lambda books, lease: books.leases.hand_back(lease, "told to stop"),
    "put off": _put_off,
    "failed once": lambda books, lease: books.leases.attempt_failed(lease, "crashed"),
    "failed twice": _fail_twice_elsewhere,
    "ran out": _expire,
    "ran out, taken": _expire_and_take,
    "ran out, completed": _complete_elsewhere,
    "abandoned": lambda books, lease: books.workers.abandon(lease.worker_id, "killed"),
    "cancelled": _cancel,
    "cancelled, retried": _retry,
    "cancelled, retried, taken": _retry_and_take,
    "cancelled, retried, taken by itself": _retry_and_take_again,
    "completed": lambda books, lease: books.leases.complete(lease, finished()),
    "refused": lambda books, lease: books.leases.refuse(lease, "broken clip"),
    "refused, retried": _fail_and_retry,
}


@pytest.mark.parametrize("since", SINCE)
def test_an_old_token_changes_nothing(books: Books, since: str) -> None:
    books.hire("a", "b")
    lease = books.take("a", books.submit())
    SINCE[since](books, lease)
    before = books.rows()
    for name, write in WRITES.items():
        assert not write(books, lease), f"{name} was done"
        assert books.rows() == before, f"{name} wrote something"


def test_the_newest_token_of_a_queued_job_can_not_make_its_last_failure(books: Books) -> None:
    """One more failure ends the job; but whoever handed it back has no say any more."""
    books.hire("a")
    job_id = books.submit()
    for _ in range(2):
        assert books.leases.attempt_failed(books.take("a", job_id), "crashed")
    lease = books.take("a", job_id)
    assert books.leases.hand_back(lease, "told to stop")
    before = books.rows()
    for name, write in WRITES.items():
        assert not write(books, lease), name
    assert books.rows() == before


@pytest.mark.parametrize("write", WRITES)
def test_the_newest_token_does(books: Books, write: str) -> None:
    """The counter-proof: what is refused above works for who has the lease."""
    books.hire("a", "b")
    old = books.take("a", books.submit())
    _expire_and_take(books, old)
    before = books.rows()
    newest = replace(old, worker_id="b", token=old.token + 1)
    assert WRITES[write](books, newest) in (True, None)
    assert books.rows() != before


def test_a_token_that_was_never_given_changes_nothing(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    before = books.rows()
    for name, write in WRITES.items():
        assert not write(books, replace(lease, token=lease.token + 1)), name
    assert books.rows() == before


def test_standing_tells_what_became_of_the_job(books: Books) -> None:
    books.hire("a", "b")
    lease = books.take("a", books.submit())
    assert books.leases.standing(lease) == Standing(True, JobStatus.PROCESSING, Order.WORK)
    books.workers.tell("a", Order.STOP)
    assert books.leases.standing(lease) == Standing(True, JobStatus.PROCESSING, Order.STOP)
    _expire(books, lease)
    assert books.leases.standing(lease) == Standing(False, JobStatus.QUEUED, Order.STOP)
    books.take("b", lease.job_id)
    assert books.leases.standing(lease) == Standing(False, JobStatus.PROCESSING, Order.STOP)
    books.jobs.cancel(lease.job_id)
    stale = books.leases.beat(lease, stage="rendering", progress=1.0)
    assert stale == Standing(False, JobStatus.CANCELLED, Order.STOP)


def test_a_heartbeat_hears_what_the_worker_was_told(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    for order in Order:
        books.workers.tell("a", order)
        heard = books.leases.beat(lease, stage="rendering", progress=1.0)
        assert heard == Standing(True, JobStatus.PROCESSING, order)


def test_the_lease_on_a_job_that_is_not_there_does_not_hold(books: Books) -> None:
    assert not books.leases.standing(Lease(new_id(), "a", 1)).holds


def test_a_worker_that_was_forgotten_keeps_its_lease(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.workers.leave("a", "a")
    books.workers.forget("a")
    assert books.leases.standing(lease) == Standing(True, JobStatus.PROCESSING, Order.WORK)
    assert books.leases.complete(lease, finished())
