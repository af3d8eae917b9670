"""A job changes its state as ``domain.lifecycle`` says and in no other way, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reelyard.domain.errors import JobUnknown
from reelyard.domain.farm import Lease
from reelyard.domain.lifecycle import TRANSITIONS, Event, JobStatus, target

from .conftest import LEASE, Books, finished, job

DAY = 24 * 3600.0


@dataclass(frozen=True)
class Way:
    """One way to ask for an event, and whether it was done; ``only``: it is for this state alone."""

    event: Event
    ask: Callable[[Books, Lease], bool]
    only: JobStatus | None = None

    def works_from(self, status: JobStatus) -> bool:
        return (status, self.event) in TRANSITIONS and self.only in (None, status)


def _claim(books: Books, lease: Lease) -> bool:
    return books.leases.claim("c", lease.job_id, None) is not None


def _cancel(books: Books, lease: Lease) -> bool:
    try:
        return books.jobs.cancel(lease.job_id).status is JobStatus.CANCELLED
    except JobUnknown:
        return False


def _retry(books: Books, lease: Lease) -> bool:
    try:
        return books.jobs.retry(lease.job_id).status is JobStatus.QUEUED
    except JobUnknown:
        return False


WAYS = {
    "claim": Way(Event.CLAIM, _claim),
    "hand_back": Way(Event.HAND_BACK, lambda books, lease: books.leases.hand_back(lease, "told")),
    "put_off": Way(Event.HAND_BACK, lambda books, lease: books.leases.put_off(
        lease, "no share", longest_delay=300)),
    "attempt_failed": Way(Event.HAND_BACK, lambda books, lease: books.leases.attempt_failed(
        lease, "crashed")),
    "expire": Way(Event.HAND_BACK, lambda books, _: bool(books.duties.expire())),
    "abandon": Way(Event.HAND_BACK, lambda books, lease: bool(books.workers.abandon(
        lease.worker_id, "killed"))),
    "complete": Way(Event.COMPLETE, lambda books, lease: books.leases.complete(lease, finished())),
    "refuse": Way(Event.FAIL, lambda books, lease: books.leases.refuse(lease, "broken clip"),
                  JobStatus.PROCESSING),
    "give_up": Way(Event.FAIL, lambda books, _: bool(books.duties.give_up(DAY)),
                   JobStatus.QUEUED),
    "cancel": Way(Event.CANCEL, _cancel),
    "retry": Way(Event.RETRY, _retry),
}  # fmt: skip


def _processing(books: Books) -> Lease:
    """A job that waited for a day once and is being worked on; its lease has run out unnoticed."""
    job_id = books.submit()
    assert books.leases.put_off(books.take("a", job_id), "no share", longest_delay=300)
    books.pass_time(DAY + 1, "workers")
    lease = books.take("b", job_id)
    books.pass_time(LEASE + 1, "workers")
    return lease


def _queued(books: Books) -> Lease:
    job_id = books.submit()
    lease = books.take("a", job_id)
    assert books.leases.put_off(lease, "no share", longest_delay=300)
    books.pass_time(DAY + 1, "workers")
    return lease


def _completed(books: Books) -> Lease:
    lease = _processing(books)
    assert books.leases.complete(lease, finished())
    return lease


def _failed(books: Books) -> Lease:
    lease = _processing(books)
    assert books.leases.refuse(lease, "broken clip")
    return lease


def _cancelled(books: Books) -> Lease:
    lease = _processing(books)
    books.jobs.cancel(lease.job_id)
    return lease


STATES = {
    JobStatus.QUEUED: _queued,
    JobStatus.PROCESSING: _processing,
    JobStatus.COMPLETED: _completed,
    JobStatus.FAILED: _failed,
    JobStatus.CANCELLED: _cancelled,
}


def test_the_ways_below_lead_over_every_transition() -> None:
    tried = {(status, way.event) for way in WAYS.values() for status in STATES
             if way.works_from(status)}  # fmt: skip
    assert tried == set(TRANSITIONS)


@pytest.mark.parametrize("way", WAYS)
def test_an_event_happens_where_the_table_has_it_and_changes_nothing_elsewhere(
    books: Books, way: str
) -> None:
    books.hire("a", "b", "c")
    for status, make in STATES.items():
        lease = make(books)
        assert books.state(lease.job_id).status is status
        before = books.rows()
        done = WAYS[way].ask(books, lease)
        assert done == WAYS[way].works_from(status), f"{way} from {status}"
        if done:
            assert books.state(lease.job_id).status is target(WAYS[way].event)
            assert books.jobs.history(lease.job_id)[-1].what == WAYS[way].event
        else:
            assert books.rows() == before, f"{way} from {status} wrote something"
        _out_of_the_way(books, lease)


def _out_of_the_way(books: Books, lease: Lease) -> None:
    if books.state(lease.job_id).status in (JobStatus.QUEUED, JobStatus.PROCESSING):
        books.jobs.cancel(lease.job_id)


def test_a_life_is_told_from_its_first_line_to_its_last(books: Books) -> None:
    books.hire("a", "b")
    job_id = books.submit(job())
    books.leases.attempt_failed(books.take("a", job_id), "crashed")
    books.leases.hand_back(books.take("b", job_id), "told to stop")
    books.jobs.cancel(job_id, "not wanted")
    books.jobs.retry(job_id)
    books.leases.complete(books.take("b", job_id), finished())
    told = [(one.what, one.worker_id) for one in books.jobs.history(job_id)]
    assert told == [
        ("submit", None), ("claim", "a"), ("hand_back", "a"), ("claim", "b"), ("hand_back", "b"),
        ("cancel", None), ("retry", None), ("claim", "b"), ("complete", "b"),
    ]  # fmt: skip
    messages = [one.message for one in books.jobs.history(job_id)]
    assert messages[2] == "crashed"
    assert messages[5] == "not wanted"
    assert messages[-1] == "published /out/film.mp4"
