"""Jobs as people handle them: submitted, found, listed, cancelled, retried, moved."""

from __future__ import annotations

from typing import Any

import pytest

from reelyard.domain.errors import JobUnknown
from reelyard.domain.farm import AttemptOutcome, JobState, Submission
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue

from .conftest import CLIP, STILL, Books, finished, job, new_id

OTHER_USER = "11111111-2222-4333-8444-555555555555"


def _submission(books: Books, **changes: Any) -> Submission:
    known = {"user_id": books.user_id, "frames": 300, "digest": "d" * 64}
    return Submission(**{**known, **changes})


# Submitting


def test_a_new_job_is_queued_with_what_came_with_it(books: Books) -> None:
    asked = job(CLIP, STILL, enable_4k=True)
    user_id = books.profiles.local("ann")
    state = books.jobs.add(
        asked, _submission(books, user_id=user_id, priority=7, frames=423, warnings=("a", "b\n"))
    )
    assert state == books.state(asked.job_id)
    assert (state.job_id, state.user_id, state.username) == (asked.job_id, user_id, "ann")
    assert (state.channel_name, state.enable_4k, state.items) == ("Tests", True, 2)
    assert (state.status, state.queue, state.priority) == (JobStatus.QUEUED, Queue.UHD, 7)
    assert (state.frames, state.warnings) == (423, ("a", "b\n"))
    assert (state.progress, state.stage, state.token, state.attempts) == (0, "", 0, 0)
    nothing_yet = (
        state.started_at, state.completed_at, state.not_before, state.speed, state.seconds_left,
        state.worker_id, state.reserved_by, state.task_id, state.output_path,
        state.final_duration, state.error_message, state.waiting_for, state.log_folder,
    )  # fmt: skip
    assert set(nothing_yet) == {None}
    assert books.jobs.attempts(asked.job_id) == []


def test_a_job_is_stored_whole_or_not_at_all(books: Books) -> None:
    """Its second item can't be stored: two of one position."""
    before = books.rows()
    with pytest.raises(JobUnknown):
        books.submit(job(CLIP, CLIP))
    assert books.rows() == before


def test_an_id_that_is_taken_is_refused(books: Books) -> None:
    books.submit()
    asked = job()
    books.submit(asked)
    before = books.rows()
    with pytest.raises(JobUnknown, match=f"there is a job {asked.job_id} already"):
        books.submit(asked)
    assert books.rows() == before


def test_one_key_is_one_job(books: Books) -> None:
    first = books.jobs.add(job(), _submission(books, idempotency_key="monday"))
    before = books.rows()
    again = books.jobs.add(job(), _submission(books, idempotency_key="monday"))
    assert again == first
    assert books.rows() == before
    assert books.jobs.known_key(books.user_id, "monday") == first.job_id


def test_one_key_is_one_job_whatever_became_of_it(books: Books) -> None:
    books.hire("a")
    first = books.jobs.add(job(), _submission(books, idempotency_key="monday"))
    books.leases.complete(books.take("a", first.job_id), finished())
    again = books.jobs.add(job(), _submission(books, idempotency_key="monday"))
    assert (again.job_id, again.status) == (first.job_id, JobStatus.COMPLETED)


def test_other_users_and_other_keys_are_other_jobs(books: Books) -> None:
    states = [
        books.jobs.add(job(), _submission(books, user_id=user_id, idempotency_key=key))
        for user_id in (books.user_id, OTHER_USER)
        for key in ("monday", "tuesday", None, None)
    ]
    assert len({state.job_id for state in states}) == len(states)
    assert books.jobs.known_key(OTHER_USER, "monday") == states[4].job_id
    assert books.jobs.known_key(OTHER_USER, "sunday") is None


def test_another_job_under_a_used_key_is_refused(books: Books) -> None:
    books.jobs.add(job(), _submission(books, idempotency_key="monday"))
    before = books.rows()
    with pytest.raises(JobUnknown, match="another job was submitted under this idempotency key"):
        books.jobs.add(job(), _submission(books, idempotency_key="monday", digest="e" * 64))
    assert books.rows() == before


def test_a_taken_id_under_a_new_key_is_refused(books: Books) -> None:
    asked = job()
    books.submit(asked)
    with pytest.raises(JobUnknown, match="there is a job"):
        books.jobs.add(asked, _submission(books, idempotency_key="monday"))
    assert books.jobs.known_key(books.user_id, "monday") is None


def test_a_key_may_be_anything(books: Books) -> None:
    keys = ["", " ", "\udcff", "a\0b", "\ud800", "file://x", "sha256:", "k" * 50_000,
            "k" * 50_001, "k" * 200, "k" * 201, "%", "ключ", "a\nb"]  # fmt: skip
    ids = {}
    for key in keys:
        ids[key] = books.jobs.add(job(), _submission(books, idempotency_key=key)).job_id
    assert len(set(ids.values())) == len(keys)
    for key in keys:
        again = books.jobs.add(job(), _submission(books, idempotency_key=key))
        assert again.job_id == ids[key] == books.jobs.known_key(books.user_id, key)


# Finding


def test_a_job_is_named_by_the_beginning_of_its_id(books: Books) -> None:
    one = books.submit(job(job_id="abcd1234-0000-4000-8000-000000000001"))
    two = books.submit(job(job_id="abcd5678-0000-4000-8000-000000000002"))
    for name in ("abcd1", "ABCD1234", "abcd1234-0", "abcd12340000", " abcd1234 ", one,
                 one.replace("-", "")):  # fmt: skip
        assert books.jobs.named(name) == one, name
    assert books.jobs.named("abcd5") == two
    with pytest.raises(JobUnknown, match="more than one job's id begins with abcd"):
        books.jobs.named("abcd")


@pytest.mark.parametrize(
    "name",
    ["", "-", "abc", "ab-c", "%", "%%%%", "____", "abc%", "abcd_", "'", "abcd'", '"abcd"', "abcd;",
     "ABCG", "\0\0\0\0", "abcd\0", "\udcff" * 4, "٤٤٤٤", "abcd" * 9, "0x1234", "1e10"],
)  # fmt: skip
def test_what_begins_no_jobs_id_is_unknown(books: Books, name: str) -> None:
    books.submit(job(job_id="abcd1234-0000-4000-8000-000000000001"))
    with pytest.raises(JobUnknown, match="no job"):
        books.jobs.named(name)


def test_a_job_is_found_by_its_whole_id_however_it_is_written(books: Books) -> None:
    job_id = books.submit()
    for name in (job_id, job_id.upper(), job_id.replace("-", "")):
        found = books.jobs.find(name)
        assert found is not None
        assert found.job_id == job_id
    assert books.jobs.find(job_id[:8]) is None
    assert books.jobs.find(new_id()) is None


def test_an_unknown_job_has_no_past(books: Books) -> None:
    assert books.jobs.attempts(new_id()) == []
    assert books.jobs.segments(new_id()) == []
    assert books.jobs.history(new_id()) == []


def test_jobs_are_listed_in_their_turn_or_the_newest_first(books: Books) -> None:
    ids = []
    for priority in (5, 9, 5, 0):
        ids.append(books.submit(priority=priority))
        books.pass_time(1)
    in_turn = [state.job_id for state in books.jobs.list()]
    assert in_turn == [ids[1], ids[0], ids[2], ids[3]]
    newest = [state.job_id for state in books.jobs.list(newest_first=True)]
    assert newest == ids[::-1]
    assert [state.job_id for state in books.jobs.list(limit=2)] == in_turn[:2]


def test_jobs_are_listed_and_counted_by_their_states(books: Books) -> None:
    books.hire("a")
    running, queued, cancelled = (books.submit() for _ in range(3))
    books.take("a", running)
    books.jobs.cancel(cancelled)

    def listed(*statuses: JobStatus) -> set[str]:
        return {state.job_id for state in books.jobs.list(statuses)}

    assert listed() == {running, queued, cancelled}
    assert listed(JobStatus.QUEUED) == {queued}
    assert listed(JobStatus.PROCESSING, JobStatus.CANCELLED) == {running, cancelled}
    assert listed(JobStatus.COMPLETED) == set()
    assert books.jobs.counts() == {
        JobStatus.PROCESSING: 1, JobStatus.QUEUED: 1, JobStatus.CANCELLED: 1
    }  # fmt: skip


def test_an_estimate_is_told_of_all_jobs_that_wait_or_run(books: Books) -> None:
    books.hire("a")
    running = books.take("a", books.submit(priority=1))
    ended = books.submit(priority=2)
    books.leases.complete(books.take("a", ended), finished())
    books.leases.beat(running, stage="rendering", progress=25.0, seconds_left=12.5)
    late, urgent = books.submit(), books.submit(enable_4k=True, priority=9)
    first, second, third = books.jobs.ahead()
    assert [one.job_id for one in (first, second, third)] == [urgent, late, running.job_id]
    assert (first.status, first.queue, first.enable_4k) == (JobStatus.QUEUED, Queue.UHD, True)
    assert (first.frames, first.worker_id, first.not_before) == (300, None, None)
    assert (third.status, third.worker_id) == (JobStatus.PROCESSING, "a")
    assert (third.progress, third.seconds_left) == (25.0, 12.5)


def test_a_line_can_be_added_to_a_jobs_history(books: Books) -> None:
    one, two = books.submit(), books.submit()
    books.jobs.note(one, "prefetch", "prefetched 3 files", "a")
    said = books.jobs.history(one)[-1]
    assert (said.what, said.message, said.job_id, said.worker_id) == (
        "prefetch", "prefetched 3 files", one, "a"
    )  # fmt: skip
    assert len(books.jobs.history(two)) == 1


# Cancelling and retrying


def test_a_queued_job_is_cancelled(books: Books) -> None:
    job_id = books.submit()
    state = books.jobs.cancel(job_id, "not wanted")
    assert (state.status, state.worker_id) == (JobStatus.CANCELLED, None)
    assert state.completed_at is not None
    assert books.jobs.attempts(job_id) == []
    assert not books.outbox.due()


def test_a_running_job_is_cancelled_and_its_worker_free(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    state = books.jobs.cancel(lease.job_id, "not wanted")
    assert state.status is JobStatus.CANCELLED
    [attempt] = books.jobs.attempts(lease.job_id)
    assert (attempt.outcome, attempt.message) == (AttemptOutcome.CANCELLED, "not wanted")
    assert attempt.ended_at is not None
    assert (books.worker("a").job_id, books.worker("a").failures) == (None, 0)
    assert books.take("a", books.submit())


def test_a_waiting_job_is_cancelled_and_waits_no_more(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    books.leases.put_off(books.take("a", job_id), "no share", longest_delay=300)
    state = books.jobs.cancel(job_id)
    assert (state.waiting_for, state.not_before) == (None, None)


def test_what_was_reserved_is_free_when_it_is_cancelled(books: Books) -> None:
    books.hire("a")
    books.take("a", books.submit())
    job_id = books.submit()
    assert books.workers.reserve("a") is not None
    assert books.jobs.cancel(job_id).reserved_by is None


def test_a_retry_starts_from_the_beginning_and_forgets_nothing(books: Books) -> None:
    books.hire("a")
    job_id = books.submit(priority=6)
    books.leases.attempt_failed(books.take("a", job_id), "crashed")
    lease = books.take("a", job_id)
    books.leases.started(lease, "/logs/x", "/out/film.mp4")
    books.leases.refuse(lease, "broken clip")
    before = books.jobs.history(job_id)
    state = books.jobs.retry(job_id)
    assert (state.status, state.attempts, state.priority) == (JobStatus.QUEUED, 0, 6)
    assert (state.progress, state.stage, state.error_message) == (0, "", None)
    assert (state.worker_id, state.started_at, state.completed_at) == (None, None, None)
    assert books.jobs.history(job_id)[:-1] == before
    assert len(books.jobs.attempts(job_id)) == 2
    assert books.take("a", job_id).token == 3


def test_after_a_retry_there_are_three_attempts_again(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    for _ in range(2):
        books.leases.attempt_failed(books.take("a", job_id), "crashed")
    books.jobs.cancel(job_id)
    books.jobs.retry(job_id)
    for _ in range(2):
        books.workers.release("a")
        books.leases.attempt_failed(books.take("a", job_id), "crashed")
        assert books.state(job_id).status is JobStatus.QUEUED
    books.workers.release("a")
    books.leases.attempt_failed(books.take("a", job_id), "crashed")
    assert books.state(job_id).status is JobStatus.FAILED


def test_a_retry_queues_behind_those_who_waited(books: Books) -> None:
    books.hire("a")
    first, second = books.submit(), books.submit()
    books.jobs.cancel(first)
    before = books.state(first).queued_at
    books.pass_time(10)
    state = books.jobs.retry(first)
    assert state.queued_at > before
    assert state.created_at < state.queued_at
    assert books.offered("a", first) == second


def test_a_handed_back_job_keeps_its_place(books: Books) -> None:
    books.hire("a")
    first, second = books.submit(), books.submit()
    lease = books.take("a", first)
    assert books.leases.hand_back(lease, "told to stop")
    assert books.offered("a", second) == first


@pytest.mark.parametrize("ended", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_who_comes_too_late_is_told_so(books: Books, ended: JobStatus) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    if ended is JobStatus.COMPLETED:
        books.leases.complete(lease, finished())
    elif ended is JobStatus.FAILED:
        books.leases.refuse(lease, "broken clip")
    else:
        books.jobs.cancel(lease.job_id)
    with pytest.raises(JobUnknown, match=f"is {ended} and can't be cancelled"):
        books.jobs.cancel(lease.job_id)
    with pytest.raises(JobUnknown, match=f"is {ended} and can't be moved"):
        books.jobs.to_front(lease.job_id)


def test_what_is_queued_or_completed_is_not_retried(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    with pytest.raises(JobUnknown, match="is queued and can't be retried"):
        books.jobs.retry(job_id)
    books.leases.complete(books.take("a", job_id), finished())
    with pytest.raises(JobUnknown, match="is completed and can't be retried"):
        books.jobs.retry(job_id)


def test_it_is_known_who_did_what(books: Books) -> None:
    job_id = books.submit()
    books.jobs.reprioritise(job_id, 7, by="ann")
    books.jobs.to_front(job_id, by="Zoë \udcff\0")
    books.jobs.cancel(job_id, by="bob")
    books.jobs.retry(job_id, by="ann")
    books.jobs.cancel(job_id)
    actors = [one.actor for one in books.jobs.history(job_id)]
    assert actors == [None, "ann", "Zoë \udcff\0", "bob", "ann", None]


# Moving


@pytest.mark.parametrize(("wanted", "given"), [(0, 0), (7, 7), (9, 9), (-5, 0), (1000, 9)])
def test_a_queued_job_gets_another_priority(books: Books, wanted: int, given: int) -> None:
    job_id = books.submit()
    state = books.jobs.reprioritise(job_id, wanted)
    assert state.priority == given
    assert books.jobs.history(job_id)[-1].what == "move"


def test_moving_up_and_down_changes_the_turn(books: Books) -> None:
    books.hire("a")
    one, two, three = (books.submit() for _ in range(3))
    books.jobs.reprioritise(three, 8)
    books.jobs.reprioritise(one, 1)
    given = [books.claim("a", one).lease.job_id for _ in range(3)]
    assert given == [three, two, one]


def test_the_front_is_before_all_others(books: Books) -> None:
    books.hire("a")
    one, two, three, four = (books.submit(priority=priority) for priority in (9, 5, 0, 5))
    for job_id in (two, three):
        state: JobState = books.jobs.to_front(job_id)
        assert books.offered("a", one) == job_id == state.job_id
    given = [books.claim("a", one).lease.job_id for _ in range(4)]
    assert given == [three, two, one, four]


def test_the_front_is_before_what_is_in_reserve(books: Books) -> None:
    books.hire("a", "b")
    running = books.take("a", books.submit())
    reserved, free, wanted = (books.submit(priority=priority) for priority in (9, 9, 5))
    assert books.workers.reserve("a") is not None
    assert books.state(reserved).reserved_by == "a"
    books.jobs.to_front(wanted)
    for name in "ab":
        assert books.offered(name, running.job_id) == wanted, name
    assert books.state(free).priority == 9


def test_the_front_is_for_everybody_whoever_had_the_job_in_reserve(books: Books) -> None:
    books.hire("a", "b")
    books.take("a", books.submit(priority=9))
    wanted = books.submit()
    assert books.workers.reserve("a") is not None
    books.submit(priority=9)
    books.jobs.to_front(wanted)
    assert books.offered("b", wanted) == wanted


def test_the_front_of_a_queue_takes_no_reserve_from_another_queue(books: Books) -> None:
    books.hire("a")
    books.take("a", books.submit())
    reserved = books.submit(enable_4k=True, priority=9)
    assert books.workers.reserve("a") is not None
    books.jobs.to_front(books.submit())
    assert books.state(reserved).reserved_by == "a"


def test_what_is_running_is_not_moved(books: Books) -> None:
    books.hire("a")
    job_id = books.take("a", books.submit()).job_id
    books.submit(priority=9)
    assert books.workers.reserve("a") is not None
    before = books.rows()
    with pytest.raises(JobUnknown, match="is processing and can't be moved"):
        books.jobs.reprioritise(job_id, 9)
    with pytest.raises(JobUnknown, match="is processing and can't be moved"):
        books.jobs.to_front(job_id)
    assert books.rows() == before
