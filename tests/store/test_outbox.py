"""Results: posted with the job's end, delivered once, however often that is tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reelyard.domain.excerpt import WHOLE, Excerpt
from reelyard.domain.farm import Finished, Result
from reelyard.domain.job import ItemType
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.store.outbox import Entry
from reelyard.store.schema import metadata

from .conftest import CLIP, STILL, Books, finished, job

FIELDS = {
    "job_id", "username", "channel_name", "timestamp", "video_count", "total_duration",
    "output_path", "worker_id", "features_used", "processing_time", "status",
}  # fmt: skip
"""As in system.md."""


def _complete(books: Books, **changes: object) -> str:
    """A job that is completed; its id."""
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished(**changes))
    return lease.job_id


def _entries(books: Books) -> list[Entry]:
    return list(books.outbox.due())


def test_a_result_has_the_promised_fields(books: Books) -> None:
    assert set(Result.__dataclass_fields__) == FIELDS
    columns = set(metadata.tables["compilation_results"].c.keys())
    exported = {"exported_at", "export_tries", "export_after", "export_error"}
    # The entry, whose it is, and whether BigQuery has it are our own.
    assert columns - {"name", "user_id"} - exported == FIELDS


def test_a_completed_job_posts_its_result(books: Books) -> None:
    books.hire("a")
    ann = replace(books, user_id=books.profiles.local("ann"))
    lease = ann.take("a", ann.submit(channel_name="Café\n\udcff\0"))
    done = Finished(
        output_path="/out/\udcff.mp4", final_duration=12.5, processing_time=7.25, video_count=3,
        features_used=("logo_overlay", "4k_output"),
    )  # fmt: skip
    assert books.leases.complete(lease, done)
    [entry] = _entries(books)
    completed_at = books.state(lease.job_id).completed_at
    assert completed_at is not None
    expected = Result(
        job_id=lease.job_id, username="ann", channel_name="Café\n\udcff\0",
        timestamp=completed_at, video_count=3, total_duration=12.5,
        output_path="/out/\udcff.mp4", worker_id="a", features_used=("logo_overlay", "4k_output"),
        processing_time=7.25, status=JobStatus.COMPLETED,
    )  # fmt: skip
    assert entry.result == expected
    books.results.deliver([entry])
    assert list(books.results.list()) == [expected]


def test_a_failed_job_posts_what_there_is(books: Books) -> None:
    books.hire("a")
    outro = replace(CLIP, position=3, item_type=ItemType.OUTRO)
    lease = books.take("a", books.submit(job(CLIP, STILL, outro, enable_4k=True)))
    books.pass_time(30, "workers")
    assert books.leases.refuse(lease, "broken clip")
    [entry] = _entries(books)
    state = books.state(lease.job_id)
    assert state.completed_at is not None
    expected = Result(
        job_id=lease.job_id, username="unknown", channel_name="Tests",
        timestamp=state.completed_at, video_count=1, total_duration=0.0, output_path=None,
        worker_id="a", features_used=("image_slides", "4k_output"),
        processing_time=entry.result.processing_time, status=JobStatus.FAILED,
    )  # fmt: skip
    assert expected.processing_time == pytest.approx(30, abs=10)
    assert entry.result == expected
    books.results.deliver([entry])
    assert list(books.results.list()) == [expected]


def test_a_job_that_was_given_up_posts_how_long_its_last_attempt_worked(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.pass_time(30, "workers")
    assert books.leases.put_off(lease, "no share", longest_delay=300)
    books.pass_time(7200)
    assert books.duties.give_up(3600)
    [entry] = _entries(books)
    assert entry.result.processing_time == pytest.approx(30, abs=10)
    assert (entry.result.worker_id, entry.result.status) == ("a", JobStatus.FAILED)


def test_who_lost_the_job_posts_nothing(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.jobs.cancel(lease.job_id)
    assert not books.leases.complete(lease, finished())
    assert not _entries(books)


def test_a_job_is_not_completed_without_its_result(books: Books) -> None:
    """Its result's place in the outbox is taken: nothing of the completion stays."""
    books.hire("a")
    lease = books.take("a", books.submit())
    taken = {"kind": "result", "name": f"{lease.job_id}:{lease.token}", "payload": {}, "tries": 0,
             "created_at": datetime.now(UTC)}  # fmt: skip
    with books.database.writing() as connection:
        connection.execute(sa.insert(metadata.tables["outbox"]).values(**taken))
    before = books.rows()
    with pytest.raises(IntegrityError):
        books.leases.complete(lease, finished())
    assert books.rows() == before
    assert books.state(lease.job_id).status is JobStatus.PROCESSING


def test_a_job_that_fails_and_is_completed_after_a_retry_has_two_results(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    assert books.leases.refuse(lease, "broken clip")
    books.jobs.retry(lease.job_id)
    assert books.leases.complete(books.take("a", lease.job_id), finished())
    books.results.deliver(_entries(books))
    statuses = {result.status for result in books.results.list()}
    assert statuses == {JobStatus.COMPLETED, JobStatus.FAILED}


def test_what_was_delivered_is_not_due_again(books: Books) -> None:
    books.hire("a")
    first, second = _complete(books), _complete(books)
    entries = _entries(books)
    assert [entry.result.job_id for entry in entries] == [first, second]
    books.results.deliver(entries[:1])
    books.outbox.delivered(entries[:1])
    assert [entry.result.job_id for entry in _entries(books)] == [second]


def test_a_result_that_is_delivered_twice_is_there_once(books: Books) -> None:
    books.hire("a")
    _complete(books)
    entries = _entries(books)
    books.results.deliver(entries)
    first = list(books.results.list())
    changed = [replace(one, result=replace(one.result, video_count=99)) for one in entries]
    books.results.deliver(changed)
    books.results.deliver(entries + entries)
    assert list(books.results.list()) == first
    assert len(first) == 1


def test_results_come_in_the_order_in_which_jobs_ended(books: Books) -> None:
    books.hire("a")
    ids = [_complete(books) for _ in range(4)]
    assert [entry.result.job_id for entry in _entries(books)] == ids
    assert [entry.result.job_id for entry in books.outbox.due(limit=2)] == ids[:2]


def test_a_delivery_that_fails_is_tried_again_later_and_later(books: Books) -> None:
    books.hire("a")
    failing, other = _complete(books), _complete(books)
    books.outbox.delivered([entry for entry in _entries(books) if entry.result.job_id == other])
    waits = []
    for tries in range(5):
        [entry] = _entries(books)
        assert (entry.result.job_id, entry.tries) == (failing, tries)
        books.outbox.failed([entry], "BigQuery is away")
        assert not _entries(books)
        waits.append(_seconds_until_due(books))
        books.pass_time(waits[-1] + 1)
    assert all(later >= 1.5 * sooner for sooner, later in pairwise(waits))


def _seconds_until_due(books: Books) -> float:
    try_after = books.value(sa.func.max(metadata.tables["outbox"].c.try_after))
    assert isinstance(try_after, datetime)
    return (try_after - datetime.now(UTC)).total_seconds()


def test_the_longest_wait_for_a_delivery_is_an_hour(books: Books) -> None:
    books.hire("a")
    _complete(books)
    [entry] = _entries(books)
    for tries in (20, 2000, 10**6):
        books.outbox.failed([replace(entry, tries=tries)], "BigQuery is away")
        assert _seconds_until_due(books) == pytest.approx(3600, abs=30)
    books.pass_time(3600)
    assert [one.tries for one in _entries(books)] == [10**6 + 1]


def test_one_result_that_waits_holds_up_no_other(books: Books) -> None:
    books.hire("a")
    _complete(books)
    books.outbox.failed(_entries(books), "BigQuery is away")
    second = _complete(books)
    assert [entry.result.job_id for entry in _entries(books)] == [second]


def test_the_newest_results_are_listed_first(books: Books) -> None:
    books.hire("a")
    ids = []
    for _ in range(3):
        ids.append(_complete(books))
        books.results.deliver(_entries(books))
        books.outbox.delivered(_entries(books))
        books.pass_time(2)
    assert [result.job_id for result in books.results.list()] == ids[::-1]
    assert [result.job_id for result in books.results.list(limit=1)] == ids[-1:]
    newest = books.results.list()[0]
    age = datetime.now(UTC) - newest.timestamp
    assert timedelta(seconds=1) < age < timedelta(seconds=30)


@pytest.mark.parametrize(
    "excerpt", [Excerpt(is_draft=True), Excerpt(first_item=1), Excerpt(last_item=1), WHOLE], ids=str
)
def test_only_a_whole_film_is_a_compilation(books: Books, excerpt: Excerpt) -> None:
    """A draft, or some of the items, ends like any job, and nothing of it is recorded; so does one that fails."""
    books.hire("a")
    lease = books.take("a", books.submit(job(CLIP, excerpt=excerpt)))
    assert books.leases.complete(lease, finished())
    failed = books.take("a", books.submit(job(CLIP, excerpt=excerpt)))
    assert books.leases.refuse(failed, "clip 1 is broken")
    assert books.state(lease.job_id).status is JobStatus.COMPLETED
    assert books.state(failed.job_id).status is JobStatus.FAILED
    assert len(_entries(books)) == (2 if excerpt.is_whole else 0)


def test_a_draft_of_a_4k_film_is_expected_at_the_pace_of_a_small_one(books: Books) -> None:
    for excerpt in (WHOLE, Excerpt(is_draft=True)):
        books.submit(job(CLIP, enable_4k=True, excerpt=excerpt))
    found = {one.queue: one.enable_4k for one in books.jobs.ahead()}
    assert found == {Queue.UHD: True, Queue.DEFAULT: False}


def test_a_job_that_is_queued_again_is_wanted_as_before(books: Books) -> None:
    books.hire("a")
    excerpt = Excerpt(is_draft=True, first_item=1)
    job_id = books.submit(job(CLIP, excerpt=excerpt))
    assert books.leases.refuse(books.take("a", job_id), "clip 1 is broken")
    state = books.jobs.retry(job_id)
    assert (state.excerpt, state.queue) == (excerpt, Queue.DEFAULT)
    assert books.claim("a", job_id).job.excerpt == excerpt
