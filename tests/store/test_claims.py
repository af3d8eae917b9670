"""Who is given which job: the order of a queue, and who has to leave a job to others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reelyard.domain.errors import JobUnknown
from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus, Order, WorkerState
from reelyard.domain.routing import Queue

from .conftest import CLIP, LEASE, STILL, Books, finished, job, new_id


def _fail(books: Books, worker: str, job_id: str) -> None:
    assert books.leases.attempt_failed(books.take(worker, job_id), "crashed")


def _lose(books: Books, worker: str, job_id: str) -> None:
    books.take(worker, job_id)
    assert books.workers.abandon(worker, "killed") == 1


def _put_off(books: Books, worker: str, job_id: str) -> None:
    assert books.leases.put_off(books.take(worker, job_id), "no share", longest_delay=300)
    books.pass_time(LEASE, "workers")


def _dead(books: Books, worker: str, job_id: str) -> None:
    lease = books.take(worker, job_id)
    assert books.leases.worker_failed(lease, "the card is dead", longest_delay=300)
    books.pass_time(LEASE, "workers")


BLAMES = {"failed": _fail, "lost": _lose, "unable": _put_off, "dead": _dead}


def test_what_a_claim_leaves_in_the_books(books: Books) -> None:
    books.hire("a", "b")
    asked = job(CLIP, STILL)
    books.submit(asked)
    begun = datetime.now(UTC)
    claim = books.leases.claim("a", asked.job_id, "task-1")
    assert claim is not None
    assert claim.job == asked
    assert (claim.lease.job_id, claim.lease.worker_id, claim.lease.token) == (asked.job_id, "a", 1)
    state = books.state(asked.job_id)
    assert claim.state == state
    assert state.status is JobStatus.PROCESSING
    assert (state.worker_id, state.queue, state.task_id) == ("a", Queue.DEFAULT, "task-1")
    assert state.started_at is not None
    assert abs(state.started_at - begun) < timedelta(seconds=10)
    [attempt] = books.jobs.attempts(asked.job_id)
    assert (attempt.worker_id, attempt.token) == ("a", 1)
    assert attempt.outcome is AttemptOutcome.RUNNING
    assert attempt.ended_at is None
    assert (books.worker("a").job_id, books.worker("a").state) == (asked.job_id, WorkerState.BUSY)
    assert books.worker("b").state is WorkerState.IDLE


def test_a_job_that_is_taken_is_not_given_again(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    books.take("a", job_id)
    for worker in ("a", "b"):
        assert books.leases.claim(worker, job_id, None) is None


def test_priority_comes_first_then_who_came_first(books: Books) -> None:
    books.hire("a")
    ids = [books.submit(priority=priority) for priority in (5, 9, 0, 5, 9)]
    given = [books.claim("a", ids[0]).lease.job_id for _ in ids]
    assert given == [ids[1], ids[4], ids[0], ids[3], ids[2]]


def test_a_message_stands_for_its_queue_only(books: Books) -> None:
    books.hire("a")
    heavy = books.submit(enable_4k=True, priority=9)
    light = books.submit()
    animated = books.submit(job(replace(CLIP, text="Hello")))
    assert books.claim("a", light).lease.job_id == light
    assert books.leases.claim("a", light, None) is None
    assert books.claim("a", animated).lease.job_id == animated
    assert books.claim("a", heavy).lease.job_id == heavy


def test_a_message_about_a_job_that_has_ended_brings_the_next_of_its_queue(books: Books) -> None:
    books.hire("a")
    first, second = books.submit(), books.submit()
    books.leases.complete(books.take("a", first), finished())
    assert books.take("a", second)


def test_a_message_about_no_job_brings_nothing(books: Books) -> None:
    books.hire("a")
    books.submit()
    before = books.rows()
    for named in (new_id(), "", "no id", "%", "'; DROP TABLE jobs; --", "\0", "\udcff"):
        assert books.leases.claim("a", named, None) is None
    assert books.rows() == before


def test_somebody_unknown_is_given_nothing(books: Books) -> None:
    job_id = books.submit()
    assert books.leases.claim("nobody", job_id, None) is None
    assert books.state(job_id).status is JobStatus.QUEUED


def _quarantine(books: Books) -> None:
    for _ in range(3):
        job_id = books.submit()
        _fail(books, "a", job_id)
        books.jobs.cancel(job_id)


UNFIT: dict[str, Callable[[Books], object]] = {
    "paused": lambda books: books.workers.tell("a", Order.PAUSE),
    "draining": lambda books: books.workers.tell("a", Order.DRAIN),
    "stopping": lambda books: books.workers.tell("a", Order.STOP),
    "in quarantine": _quarantine,
    "gone home": lambda books: books.workers.leave("a", "a"),
    "silent": lambda books: books.pass_time(LEASE + 1, "jobs"),
}


@pytest.mark.parametrize("how", UNFIT)
def test_a_worker_that_takes_no_jobs_is_given_none(books: Books, how: str) -> None:
    books.hire("a")
    UNFIT[how](books)
    job_id = books.submit()
    assert not books.worker("a").takes_jobs
    assert books.leases.claim("a", job_id, None) is None
    assert books.state(job_id).status is JobStatus.QUEUED


def test_a_worker_that_takes_jobs_again_is_given_one(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    books.workers.tell("a", Order.PAUSE)
    books.workers.tell("a", Order.WORK)
    books.pass_time(LEASE + 1)
    assert books.leases.claim("a", job_id, None) is None
    assert books.workers.beat("a", "a") is Order.WORK
    assert books.take("a", job_id)


def test_a_worker_is_alive_for_as_long_as_leases_hold(books: Books) -> None:
    books.hire("a")
    books.pass_time(LEASE - 5)
    assert books.worker("a").is_alive
    books.pass_time(5)
    assert not books.worker("a").is_alive
    assert books.worker("a").state is WorkerState.OFFLINE


def _reserve(books: Books, worker: str) -> str:
    """The job that a worker, busy with another one, holds in reserve."""
    reserved = books.workers.reserve(worker)
    assert reserved is not None
    return reserved.job_id


def test_own_reserve_comes_first_and_that_of_others_last(books: Books) -> None:
    books.hire("a", "b", "c")
    jobs = [books.submit() for _ in range(5)]
    for worker, job_id in zip("ab", jobs, strict=False):
        books.take(worker, job_id)
    books.jobs.to_front(jobs[3])
    assert _reserve(books, "b") == jobs[3]
    books.jobs.reprioritise(jobs[3], 5)
    assert _reserve(books, "a") == jobs[2]
    assert books.offered("b", jobs[0]) == jobs[3]  # handed back, it is nobody's reserve any more
    assert books.offered("c", jobs[0]) == jobs[3]
    books.jobs.cancel(jobs[3])
    assert books.offered("c", jobs[0]) == jobs[4]
    books.jobs.cancel(jobs[4])
    assert books.offered("c", jobs[0]) == jobs[2], "an idle worker takes what a busy one reserved"


def test_a_higher_priority_comes_before_what_is_in_reserve(books: Books) -> None:
    books.hire("a", "b")
    running, reserved, urgent = (books.submit() for _ in range(3))
    books.take("a", running)
    assert _reserve(books, "a") == reserved
    books.jobs.reprioritise(urgent, 6)
    assert books.offered("a", running) == urgent
    books.jobs.reprioritise(urgent, 4)
    assert books.offered("b", running) == reserved, "others' reserve comes before lower priorities"


def test_a_job_that_waits_is_given_when_its_time_has_come(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    books.leases.put_off(books.take("a", job_id), "no share", longest_delay=300)
    not_before = books.state(job_id).not_before
    assert not_before is not None
    assert books.leases.claim("a", job_id, None) is None
    wait = (not_before - datetime.now(UTC)).total_seconds()
    books.pass_time(wait - 5, "workers")
    assert books.leases.claim("a", job_id, None) is None
    books.pass_time(6, "workers")
    assert books.take("a", job_id)
    assert books.state(job_id).not_before is None


@pytest.mark.parametrize("how", BLAMES)
def test_who_could_not_do_a_job_leaves_it_to_somebody_who_may(books: Books, how: str) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    BLAMES[how](books, "a", job_id)
    assert books.leases.claim("a", job_id, None) is None
    assert books.take("b", job_id)


def _another_job(books: Books) -> None:
    """A busy worker still counts: it takes the job when it is free."""
    books.take("b", books.submit(priority=9))


def test_a_busy_worker_is_waited_for(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    _fail(books, "a", job_id)
    _another_job(books)
    assert books.leases.claim("a", job_id, None) is None


def _silence_b(books: Books) -> None:
    books.pass_time(LEASE + 1, "jobs")
    books.workers.beat("a", "a")


def _forget_b(books: Books) -> None:
    books.workers.leave("b", "b")
    books.workers.forget("b")


NOBODY_ELSE: dict[str, Callable[[Books], object]] = {
    "dead": _silence_b,
    "gone home": lambda books: books.workers.leave("b", "b"),
    "paused": lambda books: books.workers.tell("b", Order.PAUSE),
    "draining": lambda books: books.workers.tell("b", Order.DRAIN),
    "listening elsewhere": lambda books: books.hire("b", queues=(Queue.GPU, Queue.UHD)),
    "forgotten": _forget_b,
}


@pytest.mark.parametrize("other", NOBODY_ELSE)
@pytest.mark.parametrize("how", BLAMES)
def test_where_nobody_else_can_take_a_job_it_comes_back(books: Books, how: str, other: str) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    BLAMES[how](books, "a", job_id)
    assert books.offered("a", job_id) is None
    NOBODY_ELSE[other](books)
    assert books.take("a", job_id)


def test_where_everybody_failed_a_job_anybody_may_have_it(books: Books) -> None:
    books.hire("a", "b", "c", queues=(Queue.DEFAULT,))
    job_id = books.submit()
    _put_off(books, "a", job_id)
    _put_off(books, "b", job_id)
    assert books.offered("a", job_id) is None
    assert books.offered("b", job_id) is None
    _put_off(books, "c", job_id)
    assert [books.offered(worker, job_id) for worker in "abc"] == [job_id] * 3


def test_failing_twice_counts_once(books: Books) -> None:
    books.hire("a", "b", "c", queues=(Queue.DEFAULT,))
    job_id = books.submit()
    _put_off(books, "a", job_id)
    for name in "bc":
        books.workers.tell(name, Order.PAUSE)
    _put_off(books, "a", job_id)
    for name in "bc":
        books.workers.tell(name, Order.WORK)
    _put_off(books, "b", job_id)
    assert books.offered("a", job_id) is None
    assert books.take("c", job_id)


def test_handing_back_is_nobodys_failure(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    assert books.leases.hand_back(books.take("a", job_id), "told to stop")
    assert books.take("a", job_id)


def test_failing_one_job_is_not_failing_another(books: Books) -> None:
    books.hire("a", "b")
    failed, other = books.submit(), books.submit()
    _fail(books, "a", failed)
    assert books.offered("a", failed) == other
    assert books.offered("b", failed) == failed


@pytest.mark.parametrize("how", BLAMES)
def test_a_retry_forgives(books: Books, how: str) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    BLAMES[how](books, "a", job_id)
    books.jobs.cancel(job_id)
    books.jobs.retry(job_id)
    assert books.take("a", job_id)


def test_a_worker_is_given_what_stands_behind_many_jobs_that_it_failed(books: Books) -> None:
    """Its mount was gone, it put everything off, and the only other one is busy for hours."""
    books.hire("a", "b")
    _another_job(books)
    jobs = [books.submit() for _ in range(30)]
    for job_id in jobs:
        assert books.leases.put_off(books.take("a", job_id), "no share", longest_delay=300)
    last = books.submit()
    books.pass_time(LEASE / 2, "workers")
    assert books.offered("a", last) == last


def test_an_id_that_is_none_is_an_unknown_job(books: Books) -> None:
    for job_id in ("no id", "", "\0", new_id()):
        for ask in (books.jobs.state, books.jobs.job, books.jobs.cancel, books.jobs.retry,
                    books.jobs.to_front):  # fmt: skip
            with pytest.raises(JobUnknown):
                ask(job_id)
        assert books.jobs.find(job_id) is None
