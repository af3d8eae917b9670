"""What happens, by number: all of it, one job's, or one user's jobs'."""

from __future__ import annotations

import pytest

from reelyard.domain.routing import Queue
from reelyard.store.feed import Feed
from reelyard.store.queues import Queues

from .conftest import Books, finished, new_id

BEN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def feed(books: Books) -> Feed:
    return Feed(books.database)


def test_an_empty_history_has_no_newest_line(feed: Feed) -> None:
    assert feed.newest() == 0
    assert feed.after(0) == feed.after(10**9) == []
    assert feed.running() == []


def test_lines_come_in_order_each_with_whose_job_it_is_about(books: Books, feed: Feed) -> None:
    books.hire("a")
    job_id = books.submit()
    lease = books.take("a", job_id)
    bens = Books(books.database, BEN).submit()
    books.leases.complete(lease, finished())
    Queues(books.database).pause(Queue.GPU, True, by="mia")
    lines = feed.after(0)
    assert [one.number for one in lines] == sorted({one.number for one in lines})
    assert [(one.happening.what, one.happening.job_id, one.owner) for one in lines] == [
        ("online", None, None),
        ("submit", job_id, books.user_id),
        ("claim", job_id, books.user_id),
        ("submit", bens, BEN),
        ("complete", job_id, books.user_id),
        ("queue", None, None),
    ]
    assert feed.newest() == lines[-1].number
    assert lines[0].happening.worker_id == "a"
    assert lines[-1].happening.actor == "mia"


def test_after_a_number_come_the_later_ones_and_so_many_at_most(books: Books, feed: Feed) -> None:
    for _ in range(6):
        books.submit()
    numbers = [one.number for one in feed.after(0)]
    assert [one.number for one in feed.after(numbers[2])] == numbers[3:]
    assert [one.number for one in feed.after(numbers[2], 2)] == numbers[3:5]
    assert [one.number for one in feed.after(-5, 2)] == numbers[:2]
    assert feed.after(numbers[-1]) == []


def test_one_jobs_or_one_users_lines_are_nobody_elses(books: Books, feed: Feed) -> None:
    ben = Books(books.database, BEN)
    mine, other, bens = books.submit(), books.submit(), ben.submit()
    books.jobs.cancel(mine)
    books.hire("a")
    assert [one.happening.what for one in feed.after(0, job_id=mine)] == ["submit", "cancel"]
    assert {one.happening.job_id for one in feed.after(0, user_id=BEN)} == {bens}
    assert {one.happening.job_id for one in feed.after(0, user_id=books.user_id)} == {mine, other}
    assert feed.after(0, job_id=bens, user_id=books.user_id) == []
    assert feed.after(0, user_id=new_id()) == []


def test_lines_of_a_job_that_was_removed_are_nobodys(books: Books, feed: Feed) -> None:
    job_id = books.submit()
    books.jobs.cancel(job_id)
    books.jobs.remove(job_id)
    lines = feed.after(0, job_id=job_id)
    assert [one.happening.what for one in lines] == ["submit", "cancel", "remove"]
    assert {one.owner for one in lines} == {None}


def test_running_are_the_jobs_that_are_worked_on(books: Books, feed: Feed) -> None:
    books.hire("a", "b")
    books.submit()
    lease, done = (
        books.take("a", books.submit(priority=9)),
        books.take("b", books.submit(priority=8)),
    )
    books.leases.complete(done, finished())
    books.leases.beat(lease, stage="rendering", progress=12.5, speed=2.0, seconds_left=30)
    [state] = feed.running()
    assert (state.job_id, state.stage, state.progress) == (lease.job_id, "rendering", 12.5)
    assert (state.speed, state.seconds_left, state.worker_id) == (2.0, 30, "a")
