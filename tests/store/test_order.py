"""The queue in the order that people give it: put before another, moved to the front, removed."""

from __future__ import annotations

import pytest

from reelyard.domain.errors import JobConflict, JobUnknown
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue

from .conftest import Books, at_once, finished, new_id

WAITING = (JobStatus.QUEUED,)


def _order(books: Books) -> list[str]:
    return [state.job_id for state in books.jobs.list(WAITING, limit=1000)]


def _fill(books: Books, count: int) -> list[str]:
    ids = [books.submit() for _ in range(count)]
    assert _order(books) == ids
    return ids


def _moved(ids: list[str], job_id: str, other_id: str) -> list[str]:
    rest = [one for one in ids if one != job_id]
    place = rest.index(other_id)
    return [*rest[:place], job_id, *rest[place:]]


def test_a_job_put_before_another_leaves_everybody_else_in_order(books: Books) -> None:
    ids = _fill(books, 5)
    for which, other in [(4, 0), (4, 3), (0, 4), (0, 2), (2, 1), (1, 2), (3, 3)]:
        state = books.jobs.before(ids[which], ids[other], by="ann")
        assert state.job_id == ids[which]
        ids = ids if which == other else _moved(ids, ids[which], ids[other])
        assert _order(books) == ids
        assert books.jobs.history(state.job_id)[-1].actor in ("ann", None)


def test_a_job_put_before_a_more_urgent_one_is_as_urgent(books: Books) -> None:
    first, second = books.submit(priority=8), books.submit(priority=8)
    low, plain = books.submit(priority=2), books.submit()
    assert books.jobs.before(low, second).priority == 8
    assert _order(books) == [first, low, second, plain]
    assert books.jobs.before(first, plain).priority == 5
    assert _order(books) == [low, second, first, plain]


def test_what_is_put_before_another_is_taken_before_it_though_that_one_is_reserved(
    books: Books,
) -> None:
    """A worker's own reserve comes first within a priority: it is let go."""
    books.hire("a", "b")
    busy = books.take("a", books.submit())
    reserved, later = _fill(books, 2)
    kept = books.workers.reserve("a")
    assert kept is not None
    assert kept.job_id == reserved
    books.jobs.before(later, reserved)
    assert books.leases.complete(busy, finished())
    assert books.offered("a", later) == later


def test_only_waiting_jobs_can_be_moved_or_waited_for(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    ids = _fill(books, 2)
    cancelled = books.submit()
    books.jobs.cancel(cancelled)
    before = books.rows("jobs")
    for one, other in [(ids[0], lease.job_id), (ids[0], cancelled), (ids[1], lease.job_id)]:
        with pytest.raises(JobConflict, match="can't be waited for"):
            books.jobs.before(one, other)
    assert books.rows("jobs") == before
    for one in (lease.job_id, cancelled):
        with pytest.raises(JobConflict, match="can't be moved"):
            books.jobs.before(one, ids[1])
    assert _order(books) == ids


def test_moving_what_is_unknown_is_refused(books: Books) -> None:
    [job_id] = _fill(books, 1)
    for one, other in [
        (job_id, new_id()),
        (new_id(), job_id),
        (job_id, "no id"),
        ("\0", job_id),
        (new_id(), new_id()),
    ]:
        with pytest.raises(JobUnknown):
            books.jobs.before(one, other)
    assert _order(books) == [job_id]


def test_jobs_of_other_queues_keep_their_order(books: Books) -> None:
    large = [books.submit(enable_4k=True) for _ in range(3)]
    plain = [books.submit() for _ in range(3)]
    books.jobs.before(plain[2], plain[0])
    books.jobs.to_front(plain[1])
    shown = [one.job_id for one in books.jobs.list(WAITING) if one.queue is Queue.UHD]
    assert shown == large


def test_two_who_move_at_once_both_get_an_answer_and_no_job_is_lost(books: Books) -> None:
    """Where each had locked what the other needs, one would be turned away after a second."""
    ids = _fill(books, 24)
    for turn in range(6):
        pairs = [(20, 3), (18, 6), (2, 12), (23, 1), (5, 9)]

        def move(pair: tuple[int, int], turn: int = turn) -> str:
            one, other = ((number + turn) % len(ids) for number in pair)
            return books.jobs.before(ids[one], ids[other]).job_id

        at_once(*(lambda pair=pair: move(pair) for pair in pairs))
        assert sorted(_order(books)) == sorted(ids)


def test_two_put_before_the_same_at_once_both_come_before_it(books: Books) -> None:
    ids = _fill(books, 6)
    at_once(
        lambda: books.jobs.before(ids[5], ids[1]),
        lambda: books.jobs.before(ids[4], ids[1]),
        lambda: books.jobs.before(ids[3], ids[1]),
    )
    found = _order(books)
    assert found[0] == ids[0]
    assert set(found[1:4]) == {ids[3], ids[4], ids[5]}
    assert found[4:] == [ids[1], ids[2]]


# Removing


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_job_that_ended_can_be_removed_and_its_result_stays(books: Books, end: str) -> None:
    books.hire("a")
    job_id = books.submit()
    if end == "cancelled":
        books.jobs.cancel(job_id)
    elif end == "failed":
        books.leases.refuse(books.take("a", job_id), "no")
    else:
        books.leases.complete(books.take("a", job_id), finished())
    books.results.deliver(books.outbox.due())
    results = books.rows("compilation_results")
    kept = books.submit()
    was = books.jobs.remove(job_id, by="ann")
    assert (was.job_id, was.status) == (job_id, JobStatus(end))
    assert books.jobs.find(job_id) is None
    assert books.jobs.find(kept) is not None
    assert books.rows("compilation_results") == results
    left = books.rows("job_items", "job_attempts", "job_segments")
    assert all(job_id not in row for rows in left.values() for row in rows)
    assert books.jobs.history(job_id)[-1].actor == "ann"


def test_a_job_that_waits_or_runs_is_not_removed(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    waiting = books.submit()
    before = books.rows()
    for job_id in (lease.job_id, waiting):
        with pytest.raises(JobConflict, match="can't be removed"):
            books.jobs.remove(job_id)
    assert books.rows() == before
    assert books.leases.complete(lease, finished())


def test_what_is_removed_already_is_unknown(books: Books) -> None:
    job_id = books.submit()
    books.jobs.cancel(job_id)
    books.jobs.remove(job_id)
    for one in (job_id, new_id(), "no id", "\0"):
        with pytest.raises(JobUnknown):
            books.jobs.remove(one)
