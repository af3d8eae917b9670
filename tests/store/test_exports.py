"""Results that wait to be recorded elsewhere: until it is done, later each time, none forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reelyard.domain.lifecycle import JobStatus
from reelyard.store.exports import Backlog, Export, Exports

from .conftest import Books, finished


@pytest.fixture
def exports(books: Books) -> Exports:
    books.hire("a")
    return Exports(books.database)


def completed(books: Books) -> str:
    """A job whose result is in our own table; its id."""
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished())
    deliver(books)
    return lease.job_id


def deliver(books: Books) -> None:
    entries = books.outbox.due()
    books.results.deliver(entries)
    books.outbox.delivered(entries)


def ids(found: object) -> list[str]:
    assert isinstance(found, list)
    return [one.result.job_id for one in found if isinstance(one, Export)]


def test_a_delivered_result_waits_until_it_is_recorded(books: Books, exports: Exports) -> None:
    assert exports.due(10) == []
    names = [completed(books) for _ in range(3)]
    assert ids(exports.due(10)) == names
    assert ids(exports.due(2)) == names[:2]
    found = exports.due(10)
    assert [one.result for one in found][::-1] == list(books.results.list())
    exports.done(found[:2])
    assert ids(exports.due(10)) == names[2:]
    exports.done(found)
    assert exports.due(10) == []


def test_no_result_of_a_job_is_older_than_said(books: Books, exports: Exports) -> None:
    lease = books.take("a", books.submit())
    assert books.leases.refuse(lease, "broken clip")
    deliver(books)
    books.pass_time(3 * 86_400, "workers")
    books.jobs.retry(lease.job_id)
    assert books.leases.complete(books.take("a", lease.job_id), finished())
    deliver(books)
    failed, done = exports.due(10)
    assert (failed.result.status, done.result.status) == (JobStatus.FAILED, JobStatus.COMPLETED)
    created = books.state(lease.job_id).created_at
    assert failed.since == done.since == created <= failed.result.timestamp
    assert done.result.timestamp - done.since > timedelta(days=2)


def test_what_failed_waits_and_holds_up_no_other(books: Books, exports: Exports) -> None:
    first = completed(books)
    exports.failed(exports.due(10), "BigQuery is away\nfor long", 100.0)
    second = completed(books)
    assert ids(exports.due(10)) == [second]
    books.pass_time(101)
    again = exports.due(10)
    assert ids(again) == [first, second]
    assert [one.tries for one in again] == [1, 0]


def test_the_backlog_says_what_waits_since_when_and_why(books: Books, exports: Exports) -> None:
    assert exports.backlog() == Backlog(0, 0, None, None, False)
    completed(books)
    assert not exports.backlog().is_used  # nobody records anything anywhere
    completed(books)
    exports.failed(exports.due(1), "no such table", 60.0)
    found = exports.backlog()
    assert (found.waiting, found.failing, found.error, found.is_used) == (
        2,
        1,
        "no such table",
        True,
    )
    assert found.oldest and datetime.now(UTC) - found.oldest < timedelta(minutes=1)
    books.pass_time(61)
    exports.done(exports.due(10))
    assert exports.backlog() == Backlog(0, 0, None, None, True)
