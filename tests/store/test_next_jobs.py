"""Which job a busy worker prepares for, and which job an idle one is woken for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reelyard.domain.farm import Lease
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue

from .conftest import CLIP, LEASE, Books, finished, job

AGAIN = 5.0


def _busy(books: Books, *names: str) -> None:
    """Each has a job of its own."""
    for name in names:
        books.take(name, books.submit(priority=9))


def _reserved(books: Books, worker: str) -> str | None:
    found = books.workers.reserve(worker)
    if found is None:
        return None
    assert books.state(found.job_id).reserved_by == worker
    return found.job_id


# In reserve


def test_a_busy_worker_has_one_job_in_reserve(books: Books) -> None:
    books.hire("a")
    _busy(books, "a")
    asked = job(CLIP, replace(CLIP, position=2, path="/media/b.mp4"))
    books.submit(asked)
    books.submit()
    assert books.workers.reserve("a") == asked
    assert books.state(asked.job_id).status is JobStatus.QUEUED
    before = books.rows()
    for _ in range(2):
        assert books.workers.reserve("a") is None
    assert books.rows() == before


def test_the_reserve_is_what_the_worker_takes_next(books: Books) -> None:
    books.hire("a")
    running = books.take("a", books.submit())
    books.submit(priority=2)
    books.submit(priority=4)
    reserved = _reserved(books, "a")
    assert books.leases.complete(running, finished())
    assert books.claim("a", running.job_id).lease.job_id == reserved


def test_an_idle_worker_reserves_nothing(books: Books) -> None:
    books.hire("a")
    books.submit()
    before = books.rows()
    assert books.workers.reserve("a") is None
    assert books.workers.reserve("nobody") is None
    assert books.rows() == before


@pytest.mark.parametrize("order", [Order.PAUSE, Order.DRAIN, Order.STOP])
def test_a_worker_that_takes_no_more_reserves_nothing(books: Books, order: Order) -> None:
    books.hire("a")
    _busy(books, "a")
    books.submit()
    books.workers.tell("a", order)
    assert books.workers.reserve("a") is None


def test_a_worker_reserves_what_its_queues_hold(books: Books) -> None:
    books.hire("a", queues=(Queue.DEFAULT, Queue.GPU))
    _busy(books, "a")
    books.submit(enable_4k=True, priority=9)
    light = books.submit()
    heavy = books.submit(job(replace(CLIP, text="Hello")), priority=6)
    assert _reserved(books, "a") == heavy
    books.jobs.cancel(heavy)
    assert _reserved(books, "a") == light


def test_two_workers_never_have_one_job_in_reserve(books: Books) -> None:
    books.hire("a", "b", "c")
    _busy(books, "a", "b", "c")
    first, second = books.submit(), books.submit()
    assert [_reserved(books, name) for name in "abc"] == [first, second, None]


def test_a_more_urgent_job_replaces_the_reserve(books: Books) -> None:
    books.hire("a", "b")
    _busy(books, "a", "b")
    first, urgent = books.submit(), books.submit()
    assert _reserved(books, "a") == first
    books.jobs.reprioritise(urgent, 8)
    assert _reserved(books, "a") == urgent
    assert books.state(first).reserved_by is None
    assert _reserved(books, "b") == first


def test_a_job_that_comes_back_does_not_replace_the_reserve(books: Books) -> None:
    """The claim takes the own reserve first; copies are made only once."""
    books.hire("a", "b")
    early = books.take("b", books.submit())
    running = books.take("a", books.submit())
    reserved = books.submit()
    assert _reserved(books, "a") == reserved
    assert books.leases.hand_back(early, "told to stop")
    assert books.workers.reserve("a") is None
    assert books.leases.complete(running, finished())
    assert books.claim("a", running.job_id).lease.job_id == reserved


def test_the_reserve_of_a_dead_worker_may_be_taken_over(books: Books) -> None:
    books.hire("a", "b")
    _busy(books, "a", "b")
    job_id = books.submit()
    assert _reserved(books, "a") == job_id
    assert _reserved(books, "b") is None
    books.pass_time(LEASE + 1, "jobs")
    books.workers.beat("b", "b")
    assert _reserved(books, "b") == job_id


def test_the_reserve_of_a_paused_worker_stays_its_own(books: Books) -> None:
    """It lives and has the files: it may be told to work again."""
    books.hire("a", "b")
    _busy(books, "a", "b")
    job_id = books.submit()
    assert _reserved(books, "a") == job_id
    books.workers.tell("a", Order.PAUSE)
    assert _reserved(books, "b") is None
    assert books.state(job_id).reserved_by == "a"


def test_a_job_that_one_failed_is_another_ones_reserve(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    books.leases.attempt_failed(books.take("a", job_id), "crashed")
    _busy(books, "a", "b")
    assert _reserved(books, "a") is None
    assert _reserved(books, "b") == job_id


def test_whoever_takes_a_reserved_job_has_it(books: Books) -> None:
    books.hire("a", "b")
    _busy(books, "a")
    job_id = books.submit()
    assert _reserved(books, "a") == job_id
    books.take("b", job_id)
    assert books.state(job_id).reserved_by is None
    assert _reserved(books, "a") is None


# Waking


def _old(books: Books, *ids: str) -> list[str]:
    """The jobs, whose first messages were sent long ago."""
    books.pass_time(AGAIN + 1, "workers")
    return list(ids)


def test_an_idle_worker_is_woken_for_the_job_whose_turn_it_is(books: Books) -> None:
    books.hire("a")
    _, urgent = _old(books, books.submit(), books.submit(priority=8))
    assert books.duties.to_wake(AGAIN) == [(urgent, Queue.DEFAULT)]


def test_a_message_that_was_just_sent_is_not_sent_again(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    assert not books.duties.to_wake(AGAIN), "submitting sent one"
    books.pass_time(AGAIN + 1, "workers")
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]
    books.pass_time(AGAIN - 2, "workers")
    assert not books.duties.to_wake(AGAIN)
    books.pass_time(3, "workers")
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]


def test_two_idle_workers_are_woken_for_two_jobs(books: Books) -> None:
    books.hire("a", "b", "c")
    ids = _old(books, books.submit(), books.submit())
    woken = books.duties.to_wake(AGAIN)
    assert sorted(woken) == sorted((job_id, Queue.DEFAULT) for job_id in ids)


def test_workers_are_woken_by_the_queues_they_listen_to(books: Books) -> None:
    books.hire("pc1", queues=(Queue.UHD, Queue.GPU))
    books.hire("pc2", queues=(Queue.DEFAULT,))
    light, heavy = _old(
        books, books.submit(), books.submit(job(replace(CLIP, text="Hello")), priority=0)
    )
    assert set(books.duties.to_wake(AGAIN)) == {(light, Queue.DEFAULT), (heavy, Queue.GPU)}


def test_only_idle_workers_that_take_jobs_are_woken(books: Books) -> None:
    books.hire("busy", "paused", "gone")
    books.hire("far", queues=(Queue.UHD,))
    _busy(books, "busy")
    books.workers.tell("paused", Order.PAUSE)
    books.workers.leave("gone", "gone")
    [job_id] = _old(books, books.submit())
    before = books.rows()
    assert not books.duties.to_wake(AGAIN)
    assert books.rows() == before
    books.workers.tell("paused", Order.WORK)
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]


def test_a_silent_worker_is_not_woken(books: Books) -> None:
    books.hire("a")
    books.submit()
    books.pass_time(LEASE + 1)
    assert not books.duties.to_wake(AGAIN)


def test_who_could_not_do_a_job_is_not_woken_for_it(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit()
    books.leases.attempt_failed(books.take("a", job_id), "crashed")
    _busy(books, "b")
    assert not books.duties.to_wake(AGAIN)
    books.workers.leave("b", "b")
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]


def test_a_job_that_comes_back_is_sent_at_once(books: Books) -> None:
    """Its message was used up; nobody waits for the next round."""
    books.hire("a", "b")
    lease = books.take("a", books.submit())
    assert books.leases.hand_back(lease, "told to stop")
    assert books.duties.to_wake(AGAIN) == [(lease.job_id, Queue.DEFAULT)]


def test_a_job_in_anothers_reserve_wakes_an_idle_worker(books: Books) -> None:
    books.hire("a")
    _busy(books, "a")
    job_id = books.submit()
    assert _reserved(books, "a") == job_id
    books.hire("b")
    books.pass_time(AGAIN + 1, "workers")
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]
    assert books.take("b", job_id)


def test_a_waiting_job_wakes_nobody_before_its_time(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    books.leases.put_off(books.take("a", job_id), "no share", longest_delay=300)
    assert not books.duties.to_wake(AGAIN)
    books.pass_time(LEASE / 4 + 1, "workers")
    assert books.duties.to_wake(AGAIN) == [(job_id, Queue.DEFAULT)]


# Who does it


def test_a_duty_has_one_holder_until_its_time_is_over(books: Books) -> None:
    take_over = books.duties.take_over
    assert take_over("sweep", "one", 15)
    assert not take_over("sweep", "two", 15)
    assert take_over("sweep", "one", 15)
    assert take_over("other", "two", 15)
    books.pass_time(14)
    assert not take_over("sweep", "two", 15)
    books.pass_time(2)
    assert take_over("sweep", "two", 15)
    assert not take_over("sweep", "one", 15)


# What was published in vain


def _begun(books: Books, worker: str = "a") -> Lease:
    """A job that may be publishing."""
    lease = books.take(worker, books.submit())
    books.leases.started(lease, "/logs/x", "/out/\udcff.mp4")
    assert books.leases.permit(lease)
    return lease


def _lost_three_times(books: Books) -> Lease:
    job_id = books.submit()
    for _ in range(3):
        lease = books.take("a", job_id)
        books.leases.started(lease, "/logs/x", "/out/\udcff.mp4")
        assert books.workers.abandon("a", "a was killed") == 1
    assert books.state(job_id).status is JobStatus.FAILED
    return lease


def _cancelled(books: Books) -> Lease:
    lease = _begun(books)
    books.jobs.cancel(lease.job_id)
    return lease


@pytest.mark.parametrize("end", [_cancelled, _lost_three_times])
def test_what_may_have_been_published_in_vain_is_named_until_it_is_gone(
    books: Books, end: Callable[[Books], Lease]
) -> None:
    books.hire("a")
    lease = end(books)
    books.hire("b")
    _begun(books, "b")
    [(state, host)] = books.duties.to_clean_up()
    assert (state.job_id, state.planned_output) == (lease.job_id, "/out/\udcff.mp4")
    assert (state.output_path, host) == (None, "a-host")
    books.duties.cleaned_up(state)
    assert not books.duties.to_clean_up()
    assert books.state(lease.job_id).planned_output is None


def test_what_lies_on_the_machine_of_a_forgotten_worker_is_named_too(books: Books) -> None:
    books.hire("a")
    lease = _cancelled(books)
    books.workers.leave("a", "a")
    books.workers.forget("a")
    [(state, host)] = books.duties.to_clean_up()
    assert (state.job_id, host) == (lease.job_id, None)


@pytest.mark.parametrize("how", ["hand_back", "refuse"])
def test_where_a_film_may_lie_is_known_until_somebody_looked(books: Books, how: str) -> None:
    books.hire("a")
    lease = _begun(books)
    assert getattr(books.leases, how)(lease, "told to stop")
    if how == "hand_back":
        assert not books.duties.to_clean_up(), "whoever takes it next publishes there"
        books.jobs.cancel(lease.job_id)
    [(state, _)] = books.duties.to_clean_up()
    assert state.planned_output == "/out/\udcff.mp4"
    books.duties.cleaned_up(state)
    assert not books.duties.to_clean_up()


def test_nothing_is_taken_from_a_job_that_was_queued_again_meanwhile(books: Books) -> None:
    books.hire("a")
    lease = _cancelled(books)
    [(state, _)] = books.duties.to_clean_up()
    books.jobs.retry(lease.job_id)
    assert not books.duties.to_clean_up()
    assert books.leases.complete(books.take("a", lease.job_id), finished())
    before = books.rows()
    books.duties.cleaned_up(state)
    assert books.rows() == before
