"""Queues that are stopped: nobody takes from them, is woken for them or keeps a job of them in reserve."""

from __future__ import annotations

import pytest

from reelyard.domain.farm import SegmentRow
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.store.queues import Queues

from .conftest import LEASE, Books, at_once, finished

AGAIN = 5.0


@pytest.fixture
def queues(books: Books) -> Queues:
    return Queues(books.database)


def test_every_queue_runs_until_somebody_stops_it(books: Books, queues: Queues) -> None:
    assert [(one.queue, one.is_paused, one.by, one.at) for one in queues.list()] == [
        (queue, False, None, None) for queue in Queue
    ]
    assert queues.paused() == frozenset()
    stopped = queues.pause(Queue.GPU, True, by="mia \udcff")
    assert (stopped.queue, stopped.is_paused, stopped.by) == (Queue.GPU, True, "mia \udcff")
    assert stopped.at is not None
    assert queues.paused() == {Queue.GPU}
    assert next(one for one in queues.list() if one.queue is Queue.GPU) == stopped
    again = queues.pause(Queue.GPU, False)
    assert (again.is_paused, again.by) == (False, None)
    assert queues.paused() == frozenset()
    said = [row[-2:] for row in books.rows("events")["events"] if row[2] == "queue"]
    assert [message for _, message in said] == ["gpu_queue was stopped", "gpu_queue was let go"]
    assert [actor is None for actor, _ in said] == [False, True]


def test_two_who_stop_a_queue_at_once_stop_it(queues: Queues) -> None:
    at_once(*[lambda: queues.pause(Queue.DEFAULT, True)] * 3)
    assert queues.paused() == {Queue.DEFAULT}


def test_nobody_takes_from_a_stopped_queue(books: Books, queues: Queues) -> None:
    books.hire("a")
    plain, large = books.submit(priority=9), books.submit(enable_4k=True)
    queues.pause(Queue.DEFAULT, True)
    assert books.leases.claim("a", plain, None) is None
    assert books.state(plain).status is JobStatus.QUEUED
    assert books.offered("a", large) == large
    queues.pause(Queue.UHD, True)
    assert books.leases.claim("a", large, None) is None
    queues.pause(Queue.DEFAULT, False)
    assert books.offered("a", plain) == plain


def test_nobody_is_woken_for_a_stopped_queue(books: Books, queues: Queues) -> None:
    books.hire("a", "b")
    books.submit()
    large = books.submit(enable_4k=True)
    queues.pause(Queue.DEFAULT, True)
    books.pass_time(AGAIN + 1, "workers")
    assert books.duties.to_wake(AGAIN) == [(large, Queue.UHD)]
    queues.pause(Queue.UHD, True)
    books.pass_time(AGAIN + 1, "workers")
    assert books.duties.to_wake(AGAIN) == []
    queues.pause(Queue.DEFAULT, False)
    assert len(books.duties.to_wake(AGAIN)) == 1


def test_nothing_of_a_stopped_queue_is_kept_in_reserve(books: Books, queues: Queues) -> None:
    books.hire("a")
    books.take("a", books.submit())
    books.submit(priority=9)
    large = books.submit(enable_4k=True)
    queues.pause(Queue.DEFAULT, True)
    kept = books.workers.reserve("a")
    assert kept is not None
    assert kept.job_id == large
    queues.pause(Queue.UHD, True)
    assert books.workers.reserve("a") is None


def test_a_job_that_was_in_reserve_is_not_taken_once_its_queue_stops(
    books: Books, queues: Queues
) -> None:
    books.hire("a")
    busy = books.take("a", books.submit())
    reserved = books.submit()
    assert books.workers.reserve("a") is not None
    queues.pause(Queue.DEFAULT, True)
    assert books.leases.complete(busy, finished())
    assert books.leases.claim("a", reserved, None) is None


def test_jobs_that_run_go_on_though_their_queue_stops(books: Books, queues: Queues) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    queues.pause(Queue.DEFAULT, True)
    assert books.leases.beat(lease, stage="rendering", progress=50).holds
    assert books.leases.started(lease, "/logs/x", "/out/film.mp4")
    assert books.leases.permit(lease)
    segments = (SegmentRow(1, 0, "aa" * 32, 300, False),)
    assert books.leases.complete(lease, finished(segments=segments))
    assert books.state(lease.job_id).status is JobStatus.COMPLETED


def test_a_job_that_comes_back_to_a_stopped_queue_waits_in_it(books: Books, queues: Queues) -> None:
    books.hire("a", "b")
    lost, given = books.take("a", books.submit()), books.take("b", books.submit())
    queues.pause(Queue.DEFAULT, True)
    assert books.leases.hand_back(given, "stopped")
    books.pass_time(LEASE + 1, "workers")
    assert [state.job_id for state in books.duties.expire()] == [lost.job_id]
    assert books.leases.claim("b", lost.job_id, None) is None
    queues.pause(Queue.DEFAULT, False)
    assert books.offered("b", given.job_id) == lost.job_id


def test_jobs_of_a_stopped_queue_can_be_submitted_moved_and_cancelled(
    books: Books, queues: Queues
) -> None:
    queues.pause(Queue.DEFAULT, True)
    first, second, third = books.submit(), books.submit(), books.submit()
    books.jobs.before(third, first)
    books.jobs.cancel(second)
    books.jobs.retry(second)
    waiting = [state.job_id for state in books.jobs.list((JobStatus.QUEUED,))]
    assert waiting == [third, first, second]
