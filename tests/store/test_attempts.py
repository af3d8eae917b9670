"""Turns that end badly: three attempts, leases that run out, waiting, quarantine, measured speed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reelyard.domain.farm import AttemptOutcome, Lease, SegmentRow
from reelyard.domain.lifecycle import JobStatus

from .conftest import LEASE, Books, finished

HOUR = 3600.0
LONGEST_DELAY = 300.0


def _fail(books: Books, lease: Lease) -> None:
    assert books.leases.attempt_failed(lease, "FFmpeg crashed")


def _expire(books: Books, lease: Lease) -> None:
    books.pass_time(LEASE + 1, "workers")
    assert [state.job_id for state in books.duties.expire()] == [lease.job_id]


def _abandon(books: Books, lease: Lease) -> None:
    assert books.workers.abandon(lease.worker_id, "a was killed") == 1


COUNTED: dict[str, tuple[Callable[[Books, Lease], None], AttemptOutcome, str]] = {
    "failed": (_fail, AttemptOutcome.FAILED, "FFmpeg crashed"),
    "ran out": (_expire, AttemptOutcome.LOST, "a was not heard of again"),
    "abandoned": (_abandon, AttemptOutcome.LOST, "a was killed"),
}


@pytest.mark.parametrize("how", COUNTED)
def test_an_attempt_that_failed_is_counted_and_the_job_queued_again(books: Books, how: str) -> None:
    books.hire("a", "b")
    lease = books.take("a", books.submit())
    books.leases.beat(lease, stage="rendering", progress=40.0, speed=1.5, seconds_left=9.0)
    end, outcome, message = COUNTED[how]
    end(books, lease)
    state = books.state(lease.job_id)
    assert state.status is JobStatus.QUEUED
    assert (state.attempts, state.error_message) == (1, message)
    assert (state.progress, state.stage, state.speed, state.seconds_left) == (0, "", None, None)
    [attempt] = books.jobs.attempts(lease.job_id)
    assert (attempt.worker_id, attempt.outcome, attempt.message) == ("a", outcome, message)
    assert attempt.ended_at is not None
    assert attempt.ended_at >= attempt.started_at
    assert (books.worker("a").job_id, books.worker("a").failures) == (None, 1)
    assert not books.outbox.due(), "it may still be completed"


@pytest.mark.parametrize("how", COUNTED)
def test_the_third_failure_is_the_last(books: Books, how: str) -> None:
    books.hire("a")
    job_id = books.submit()
    end, outcome, message = COUNTED[how]
    for _ in range(2):
        end(books, books.take("a", job_id))
        assert books.state(job_id).status is JobStatus.QUEUED
        assert not books.outbox.due()
    end(books, books.take("a", job_id))
    state = books.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.FAILED, 3)
    assert state.error_message == f"{message} (3 attempts)"
    assert state.completed_at is not None
    assert [one.outcome for one in books.jobs.attempts(job_id)] == [outcome] * 3
    assert books.worker("a").job_id is None
    [entry] = books.outbox.due()
    assert (entry.result.job_id, entry.result.status) == (job_id, JobStatus.FAILED)


def test_what_is_nobodys_failure_is_not_counted(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    for _ in range(4):
        assert books.leases.hand_back(books.take("a", job_id), "told to stop")
        assert books.leases.put_off(books.take("a", job_id), "no share", longest_delay=1)
        books.pass_time(LEASE, "workers")
    state = books.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.QUEUED, 0)
    assert books.worker("a").failures == 0
    outcomes = [one.outcome for one in books.jobs.attempts(job_id)]
    assert outcomes == [AttemptOutcome.HANDED_BACK, AttemptOutcome.UNABLE] * 4


def test_a_job_that_is_wrong_itself_fails_at_once_and_no_worker_is_to_blame(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    said = "item 1: the clip is broken. Replace it.\nitem 3: the clip is empty. Replace it."
    assert books.leases.refuse(lease, said)
    state = books.state(lease.job_id)
    assert (state.status, state.error_message) == (JobStatus.FAILED, said)
    assert (books.worker("a").failures, books.worker("a").job_id) == (0, None)
    [attempt] = books.jobs.attempts(lease.job_id)
    assert (attempt.outcome, attempt.message) == (AttemptOutcome.REFUSED, said)
    assert [entry.result.status for entry in books.outbox.due()] == [JobStatus.FAILED]


@pytest.mark.parametrize("text", ["/out/\udcff.mp4", "a\0b", "half \ud800 a pair", "\x1b[31mred"])
def test_messages_may_hold_anything(books: Books, text: str) -> None:
    """FFmpeg's words and file names get into them."""
    books.hire("a")
    job_id = books.submit()
    assert books.leases.attempt_failed(books.take("a", job_id), text)
    assert books.leases.hand_back(books.take("a", job_id), text)
    assert books.leases.put_off(books.take("a", job_id), text, longest_delay=1)
    books.pass_time(LEASE, "workers")
    books.jobs.note(job_id, "prefetch", text, "a")
    assert books.leases.refuse(books.take("a", job_id), text)
    books.outbox.failed(books.outbox.due(), text)
    shown = books.state(job_id).error_message
    assert shown
    assert shown.isprintable()
    assert all(one.message.isprintable() for one in books.jobs.history(job_id))


# Leases


def test_a_lease_runs_out_after_its_time_and_no_sooner(books: Books) -> None:
    books.hire("a", "b")
    first = books.take("a", books.submit())
    books.pass_time(LEASE / 2, "workers")
    second = books.take("b", books.submit())
    books.pass_time(LEASE / 2 - 5, "workers")
    assert not books.duties.expire()
    books.pass_time(5, "workers")
    [state] = books.duties.expire()
    assert (state.job_id, state.worker_id, state.token) == (first.job_id, "a", first.token)
    assert not books.leases.standing(first).holds
    assert books.leases.standing(second).holds
    assert not books.duties.expire()


RENEWALS: dict[str, Callable[[Books, Lease], object]] = {
    "a heartbeat": lambda books, lease: books.leases.beat(lease, stage="joining", progress=99.0),
    "a permit": lambda books, lease: books.leases.permit(lease),
}


@pytest.mark.parametrize("how", RENEWALS)
def test_a_lease_is_renewed_in_time_by(books: Books, how: str) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    for _ in range(2):
        books.pass_time(LEASE - 5, "workers")
        RENEWALS[how](books, lease)
    books.pass_time(LEASE - 5, "workers")
    assert not books.duties.expire()
    books.pass_time(6, "workers")
    assert books.duties.expire()


def test_looking_renews_nothing(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    before = books.rows()
    assert books.leases.standing(lease).holds
    assert books.rows() == before


def test_what_a_heartbeat_tells_is_shown(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.leases.beat(lease, stage="rendering", progress=41.5, speed=2.5, seconds_left=30.0)
    state = books.state(lease.job_id)
    assert (state.stage, state.progress) == ("rendering", 41.5)
    assert (state.speed, state.seconds_left) == (2.5, 30.0)


def test_a_hundred_per_cent_is_shown_only_when_the_film_is_there(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.leases.beat(lease, stage="verifying", progress=100.0)
    assert books.state(lease.job_id).progress < 100
    assert books.leases.permit(lease)
    assert books.state(lease.job_id).progress < 100
    assert books.leases.complete(lease, finished())
    assert books.state(lease.job_id).progress == 100


def test_where_a_job_is_logged_and_published(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    books.leases.started(lease, "/logs/\udcff\n/x", "/out/\udcff\n.mp4")
    assert books.leases.permit(lease)
    state = books.state(lease.job_id)
    assert (state.log_folder, state.planned_output) == ("/logs/\udcff\n/x", "/out/\udcff\n.mp4")
    assert (state.stage, state.output_path) == ("publishing", None)
    assert books.leases.complete(lease, finished(output_path="/out/\udcff.mp4"))
    assert books.state(lease.job_id).output_path == "/out/\udcff.mp4"


# Waiting


def _put_off(books: Books, job_id: str) -> float:
    """Put a job off once more; the seconds until it is tried again."""
    assert books.leases.put_off(books.take("a", job_id), "no share", longest_delay=LONGEST_DELAY)
    state = books.state(job_id)
    assert state.waiting_for == "no share"
    assert state.not_before is not None
    return (state.not_before - datetime.now(UTC)).total_seconds()


def test_a_job_that_waits_is_tried_ever_more_rarely(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    delays = []
    for waited in (LEASE, 2 * LEASE, 4 * LEASE, 10 * LEASE, HOUR):
        delays.append(_put_off(books, job_id))
        books.pass_time(waited, "workers")
    delays.append(_put_off(books, job_id))
    waited_by_then = (0, 1, 3, 7, 17)
    expected = [max(LEASE / 4, LEASE * lengths / 4) for lengths in waited_by_then]
    assert delays == pytest.approx([*expected, LONGEST_DELAY], abs=5)


def test_a_job_says_what_it_waits_for_while_it_waits(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    _put_off(books, job_id)
    books.pass_time(LEASE, "workers")
    lease = books.take("a", job_id)
    assert books.state(job_id).waiting_for is None
    assert books.leases.complete(lease, finished())
    assert books.state(job_id).waiting_for is None


def test_a_wait_that_is_too_long_is_given_up(books: Books) -> None:
    books.hire("a")
    waiting, other = books.submit(), books.submit(priority=0)
    _put_off(books, waiting)
    books.pass_time(HOUR - 10, "workers")
    assert not books.duties.give_up(HOUR)
    books.pass_time(11, "workers")
    assert list(books.duties.give_up(HOUR)) == [waiting]
    state = books.state(waiting)
    assert (state.status, state.error_message) == (JobStatus.FAILED, "gave up waiting: no share")
    assert state.completed_at is not None
    assert books.state(other).status is JobStatus.QUEUED
    assert [entry.result.job_id for entry in books.outbox.due()] == [waiting]
    assert not books.duties.give_up(HOUR)


def test_a_wait_counts_from_its_first_moment_over_all_tries(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    for _ in range(4):
        _put_off(books, job_id)
        books.pass_time(HOUR / 4 + 5, "workers")
    assert list(books.duties.give_up(HOUR)) == [job_id]


ENDS_THE_WAIT: dict[str, Callable[[Books, Lease], object]] = {
    "handed back": lambda books, lease: books.leases.hand_back(lease, "told to stop"),
    "failed": lambda books, lease: books.leases.attempt_failed(lease, "crashed"),
    "lost": lambda books, lease: books.workers.abandon(lease.worker_id, "killed"),
}


@pytest.mark.parametrize("how", ENDS_THE_WAIT)
def test_a_wait_that_is_over_is_not_given_up(books: Books, how: str) -> None:
    books.hire("a")
    job_id = books.submit()
    _put_off(books, job_id)
    books.pass_time(LEASE, "workers")
    lease = books.take("a", job_id)
    books.pass_time(2 * HOUR, "workers")
    ENDS_THE_WAIT[how](books, lease)
    assert not books.duties.give_up(HOUR)
    assert books.state(job_id).status is JobStatus.QUEUED


def test_a_retry_waits_anew(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    _put_off(books, job_id)
    books.pass_time(2 * HOUR, "workers")
    assert books.duties.give_up(HOUR)
    state = books.jobs.retry(job_id)
    assert (state.waiting_for, state.not_before) == (None, None)
    assert not books.duties.give_up(0)
    assert _put_off(books, job_id) == pytest.approx(LEASE / 4, abs=5)


# What a worker is worth


def _work(books: Books, speed: float | None = None, **changes: Any) -> None:
    lease = books.take("a", books.submit(**changes))
    figures = {} if speed is None else {"speed": speed}
    assert books.leases.complete(lease, finished(figures=figures))


@pytest.mark.parametrize("how", COUNTED)
def test_three_failures_in_a_row_mean_quarantine(books: Books, how: str) -> None:
    books.hire("a", "b")
    end, _, message = COUNTED[how]
    for count in range(1, 4):
        assert books.worker("a").quarantine is None
        end(books, books.take("a", books.submit(priority=count)))
        assert books.worker("a").failures == count
    reason = books.worker("a").quarantine
    assert reason is not None
    assert message in reason
    assert not books.worker("a").takes_jobs
    assert books.worker("b").quarantine is None


def test_one_job_that_fails_again_and_again_is_one_failure(books: Books) -> None:
    """Its worker is the only one; the job is more likely to blame."""
    books.hire("a")
    job_id = books.submit()
    for _ in range(3):
        _fail(books, books.take("a", job_id))
    assert books.state(job_id).status is JobStatus.FAILED
    assert (books.worker("a").failures, books.worker("a").quarantine) == (1, None)
    _fail(books, books.take("a", books.submit()))
    assert books.worker("a").failures == 2


def test_three_failures_with_a_success_between_them_do_not(books: Books) -> None:
    books.hire("a", "b")
    for _ in range(2):
        for priority in (2, 3):
            _fail(books, books.take("a", books.submit(priority=priority)))
        _work(books, priority=9)
        assert books.worker("a").failures == 0
    assert books.worker("a").takes_jobs


def _put_in_quarantine(books: Books) -> None:
    for priority in range(3):
        _fail(books, books.take("a", books.submit(priority=priority)))
    assert books.worker("a").quarantine is not None


def test_whoever_passed_its_examination_is_on_probation(books: Books) -> None:
    books.hire("a", "b")
    _put_in_quarantine(books)
    books.workers.release("a")
    assert books.worker("a").takes_jobs
    _fail(books, books.take("a", books.submit(priority=3)))
    assert not books.worker("a").takes_jobs


def test_a_job_that_is_completed_ends_the_probation(books: Books) -> None:
    books.hire("a", "b")
    _put_in_quarantine(books)
    books.workers.release("a")
    _work(books, priority=3)
    for priority in (4, 5):
        _fail(books, books.take("a", books.submit(priority=priority)))
        assert books.worker("a").takes_jobs


def test_the_reason_for_a_quarantine_is_the_failure_that_led_to_it(books: Books) -> None:
    books.hire("a")
    leases = [books.take("a", books.submit()) for _ in range(4)]
    for lease, message in zip(leases, ("one", "two", "three", "four"), strict=True):
        assert books.leases.attempt_failed(lease, message)
    assert "three" in (books.worker("a").quarantine or "")


def test_a_release_without_a_quarantine_forgives_nothing(books: Books) -> None:
    books.hire("a", "b")
    _fail(books, books.take("a", books.submit()))
    before = books.rows()
    books.workers.release("a")
    assert books.rows() == before


def test_a_workers_speed_is_measured_job_by_job(books: Books) -> None:
    books.hire("a", "b")
    _work(books)
    assert books.worker("a").speed is None
    _work(books, 2.0)
    assert books.worker("a").speed == 2.0
    _work(books, 4.0)
    after = books.worker("a").speed
    assert after is not None
    assert 2.0 < after < 4.0
    _work(books)
    assert books.worker("a").speed == after
    assert books.worker("a").speed_4k is None
    assert books.worker("b").speed is None


def test_4k_has_a_speed_of_its_own(books: Books) -> None:
    books.hire("a")
    _work(books, 0.5, enable_4k=True)
    assert (books.worker("a").speed, books.worker("a").speed_4k) == (None, 0.5)


def test_who_made_which_segment_is_known(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    segments = (
        SegmentRow(2, 0, "bb" * 32, 150, True),
        SegmentRow(1, 1, "ab" * 32, 10, False),
        SegmentRow(1, 0, "aa" * 32, 300, False),
    )
    figures = {"frames": 460, "encoder": "libx264", "speed": 1.5}
    assert books.leases.complete(lease, finished(segments=segments, figures=figures))
    expected = [(one, "a") for one in (segments[2], segments[1], segments[0])]
    assert books.jobs.segments(lease.job_id) == expected
    [attempt] = books.jobs.attempts(lease.job_id)
    assert attempt.figures == figures
    assert attempt.outcome is AttemptOutcome.COMPLETED


def test_a_film_all_from_sound_has_no_segments(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished(segments=()))
    assert books.jobs.segments(lease.job_id) == []


def test_a_completed_job_says_where_its_film_is_and_how_long(books: Books) -> None:
    books.hire("a")
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished(output_path="/out/x.mp4", final_duration=12.5))
    state = books.state(lease.job_id)
    assert (state.output_path, state.final_duration) == ("/out/x.mp4", 12.5)
    assert (state.worker_id, state.error_message, state.stage) == ("a", None, "done")
    assert state.completed_at is not None
    assert abs(state.completed_at - datetime.now(UTC)) < timedelta(seconds=10)


# A machine that is broken


def _dead(books: Books, worker: str, job_id: str) -> None:
    lease = books.take(worker, job_id)
    assert books.leases.worker_failed(
        lease, "the card is dead", longest_delay=LONGEST_DELAY, code="encoder_unavailable"
    )
    books.pass_time(LEASE, "workers")


def test_dead_machines_do_not_fail_a_good_job(books: Books) -> None:
    """Three tried it, and the job has lost none of its attempts; the next one makes it."""
    books.hire("a", "b", "c", "d")
    job_id = books.submit()
    for name in "abc":
        _dead(books, name, job_id)
        state = books.state(job_id)
        assert (state.status, state.attempts) == (JobStatus.QUEUED, 0)
        assert state.waiting_for == "the card is dead"
        assert books.worker(name).failures == 1
        assert books.offered(name, job_id) is None  # others first
    lease = books.take("d", job_id)
    assert books.leases.complete(lease, finished())
    attempts = books.jobs.attempts(job_id)
    assert [one.outcome for one in attempts] == [AttemptOutcome.FAILED] * 3 + [
        AttemptOutcome.COMPLETED
    ]
    assert attempts[0].figures == {"code": "encoder_unavailable"}


def test_a_machine_that_fails_three_jobs_takes_no_more_of_them(books: Books) -> None:
    books.hire("a", "b")
    for priority in (1, 2, 3):
        assert books.worker("a").takes_jobs
        _dead(books, "a", books.submit(priority=priority))
    assert "the card is dead" in (books.worker("a").quarantine or "")
    assert books.worker("b").takes_jobs


def test_where_every_machine_is_dead_a_job_waits_ever_longer_and_is_given_up(books: Books) -> None:
    """It goes round among them; the limit of waiting ends it, and it says what it waited for."""
    books.hire("a", "b")
    job_id = books.submit()
    begun = HOUR
    while not books.duties.give_up(HOUR):
        for name in "ab":
            if claim := books.leases.claim(name, job_id, None):
                assert books.leases.worker_failed(
                    claim.lease, "the card is dead", longest_delay=LONGEST_DELAY
                )
        books.pass_time(LONGEST_DELAY, "workers")
        begun -= LONGEST_DELAY
        assert begun > -HOUR, "it has to end"
    state = books.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.FAILED, 0)
    assert state.error_message == "gave up waiting: the card is dead"
    assert books.worker("a").failures == 1
