"""The sweep: what was lost is found, what was forgotten is done, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reelyard.domain.errors import BrokerUnavailable, DatabaseUnavailable, StorageFailed
from reelyard.domain.farm import AttemptOutcome, Finished, Lease
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.services.sweep import Sweep
from reelyard.store.outbox import Entry
from tests.servers import PostgresServer

from .conftest import Siding, wait_for

LEASE = 1.0
AT_ONCE = 0.001
"""As a lease for the sweep: it waits for no message that was sent."""


@pytest.fixture
def short(siding: Siding) -> Siding:
    siding.settings["lease_seconds"] = LEASE
    return siding


def claimed(siding: Siding, clip: Path, name: str = "pc1") -> Lease:
    job_id = siding.film(clip)
    siding.register(name)
    claim = siding.farm.leases.claim(name, job_id, None)
    assert claim is not None
    return claim.lease


def completed(siding: Siding, clip: Path) -> Lease:
    """A job whose film is done, as the books have it."""
    lease = claimed(siding, clip)
    done = Finished(str(siding.output(lease.job_id)), 1.0, 2.0, 1, ("logo_overlay",))
    assert siding.farm.leases.complete(lease, done)
    return lease


# Leases


def test_a_job_whose_worker_is_not_heard_of_goes_back_to_the_queue(
    short: Siding, clip: Path
) -> None:
    lease = claimed(short, clip)
    sweep = short.sweep()
    begun = datetime.now(UTC)

    def freed() -> bool:
        sweep()
        return short.status(lease.job_id) is JobStatus.QUEUED

    assert not freed()
    wait_for(freed, "the lease to expire")
    assert (datetime.now(UTC) - begun).total_seconds() >= LEASE * 0.9
    state = short.state(lease.job_id)
    assert (state.attempts, state.progress, state.stage) == (1, 0, "")
    assert "pc1 was not heard of again" in (state.error_message or "")
    (attempt,) = short.farm.jobs.attempts(lease.job_id)
    assert attempt.outcome is AttemptOutcome.LOST
    # Somebody who is there is woken for it at once.
    short.register("pc2")
    sent = len(short.queue.sent)

    def woken() -> bool:
        sweep()
        return len(short.queue.sent) > sent

    wait_for(woken, "a message", LEASE)
    assert short.queue.sent[-1] == (lease.job_id, Queue.DEFAULT)


def test_a_job_that_took_three_workers_with_it_has_failed(short: Siding, clip: Path) -> None:
    job_id = short.film(clip)
    for name in ("pc1", "pc2", "pc3"):
        short.register(name)
        assert short.farm.leases.claim(name, job_id, None) is not None
        sweep = short.sweep()

        def freed(sweep: Sweep = sweep) -> bool:
            sweep()
            return short.status(job_id) is not JobStatus.PROCESSING

        wait_for(freed, "the lease to expire")
    state = short.state(job_id)
    assert state.status is JobStatus.FAILED and "3 attempts" in (state.error_message or "")
    short.sweep()()
    assert [one.status for one in short.farm.results.list()] == [JobStatus.FAILED]


@pytest.fixture
def away(short: Siding, postgres: PostgresServer, postgres_url: str) -> Iterator[Siding]:
    short.settings["database_url"] = postgres_url
    yield short
    short.close()
    if not postgres.runs():
        postgres.start()


def test_after_the_database_was_away_workers_get_the_time_to_say_that_they_live(
    away: Siding, postgres: PostgresServer, clip: Path
) -> None:
    """Nobody could renew a lease meanwhile: all have run out, and nobody has died."""
    lives, died = claimed(away, clip, "pc1"), claimed(away, clip, "pc2")
    now = [1000.0]
    sweep = away.sweep(clock=lambda: now[0], awake=lambda: now[0])
    assert sweep()

    def later(seconds: float) -> None:
        """Rounds as a worker makes them, several in a lease."""
        for _ in range(10):
            now[0] += seconds / 10
            away.farm.leases.beat(lives, stage="rendering", progress=1.0)
            assert sweep()

    postgres.stop()
    with pytest.raises(DatabaseUnavailable):
        sweep()
    with pytest.raises(DatabaseUnavailable):
        sweep()
    postgres.start()
    wait_for(lambda: _overdue(away, lives) and _overdue(away, died), "both leases to run out")
    wait_for(sweep, "its turn")
    assert away.status(lives.job_id) is away.status(died.job_id) is JobStatus.PROCESSING
    assert away.farm.leases.beat(lives, stage="rendering", progress=1.0).holds
    later(0.99 * LEASE)
    assert away.status(died.job_id) is JobStatus.PROCESSING
    later(0.02 * LEASE)
    assert away.status(died.job_id) is JobStatus.QUEUED
    assert away.status(lives.job_id) is JobStatus.PROCESSING


def _overdue(siding: Siding, lease: Lease) -> bool:
    with siding.farm.reelyard.database.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT lease_until < clock_timestamp() FROM jobs WHERE job_id = %s", (lease.job_id,)
        ).scalar()
    return bool(found)


def test_one_process_sweeps_at_a_time_and_another_takes_over(short: Siding, clip: Path) -> None:
    first, second = short.sweep(holder="one"), short.sweep(holder="two")
    assert (first(), second(), first()) == (True, False, True)
    wait_for(second, "the first to be gone", LEASE)
    assert not first()


# Messages


def test_idle_workers_are_woken_each_for_a_job_of_its_own(siding: Siding, clip: Path) -> None:
    """All messages were lost."""
    siding.register("pc1")
    siding.register("pc2", Queue.DEFAULT)
    uhd = siding.film(clip, enable_4k=True)
    first, *_ = (siding.film(clip) for _ in range(3))
    siding.queue.sent.clear()
    siding.sweep()()
    assert siding.queue.sent == []  # their messages were sent just now
    sweep = siding.sweep(lease_seconds=AT_ONCE)
    sweep()
    assert sorted(siding.queue.sent) == sorted([(uhd, Queue.UHD), (first, Queue.DEFAULT)])
    sweep()  # nobody came
    assert len(siding.queue.sent) == 4


def test_a_job_in_a_busy_workers_reserve_wakes_an_idle_one(siding: Siding, clip: Path) -> None:
    claimed(siding, clip, "pc1")
    job_id = siding.film(clip)
    siding.farm.prefetch("pc1")()
    assert siding.state(job_id).reserved_by == "pc1"
    siding.queue.sent.clear()
    sweep = siding.sweep(lease_seconds=AT_ONCE)
    sweep()
    assert siding.queue.sent == []
    siding.register("pc2")
    sweep()
    assert siding.queue.sent == [(job_id, Queue.DEFAULT)]


def test_nobody_is_woken_in_vain(siding: Siding, clip: Path) -> None:
    """Busy ones, paused ones, those that don't listen there, those that are gone."""
    claimed(siding, clip, "busy")
    siding.register("paused")
    siding.farm.workers.tell("paused", Order.PAUSE)
    siding.register("4k only", Queue.UHD)
    siding.register("gone")
    siding.farm.workers.leave("gone", "gone")
    job_id = siding.film(clip)
    siding.queue.sent.clear()
    sweep = siding.sweep(lease_seconds=AT_ONCE)
    sweep()
    assert siding.queue.sent == []
    siding.farm.workers.tell("paused", Order.WORK)
    sweep()
    assert siding.queue.sent == [(job_id, Queue.DEFAULT)]


def test_nobody_is_woken_for_a_job_whose_time_has_not_come(siding: Siding, clip: Path) -> None:
    lease = claimed(siding, clip)
    siding.farm.leases.put_off(lease, "its share is away", longest_delay=300)
    siding.queue.sent.clear()
    siding.sweep(lease_seconds=AT_ONCE)()
    assert siding.queue.sent == []


class DeadQueue:
    """A broker that is away."""

    def __init__(self) -> None:
        self.tried = 0

    def send(self, job_id: str, queue: Queue) -> None:
        self.tried += 1
        raise BrokerUnavailable("the broker is away")


def test_without_the_broker_the_sweep_does_all_the_rest(short: Siding, clip: Path) -> None:
    lease = completed(short, clip)
    short.film(clip)
    dead = DeadQueue()
    sweep = short.sweep(queue=dead)

    def tried() -> bool:
        short.register()
        sweep()
        return dead.tried > 1  # and again

    wait_for(tried, "the broker to be tried")
    assert [one.job_id for one in short.farm.results.list()] == [lease.job_id]


# Results


def test_a_result_is_delivered_once(siding: Siding, clip: Path) -> None:
    lease = completed(siding, clip)
    sweep = siding.sweep()
    assert siding.farm.results.list() == []
    sweep()
    (result,) = siding.farm.results.list()
    assert (result.job_id, result.status) == (lease.job_id, JobStatus.COMPLETED)
    assert (result.total_duration, result.processing_time, result.video_count) == (1.0, 2.0, 1)
    assert result.features_used == ("logo_overlay",) and result.worker_id == "pc1"
    sweep()
    assert len(siding.farm.results.list()) == 1
    assert sweep.outbox.due() == []


class Failing:
    """A catalogue of results that takes them at the second try, and says what it was given."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []

    def deliver(self, entries: Sequence[Entry]) -> None:
        self.given.append([entry.name for entry in entries])
        if len(self.given) == 1:
            raise StorageFailed("the catalogue of results is away")


def test_a_result_that_can_not_be_delivered_is_tried_again_later(
    siding: Siding, clip: Path
) -> None:
    lease = completed(siding, clip)
    failing = Failing()
    sweep = siding.sweep(results=failing)
    begun = datetime.now(UTC)
    sweep()
    assert sweep.outbox.due() == []
    second = completed(siding, clip)
    sweep()  # what came since does not wait for it
    names = [f"{one.job_id}:{one.token}" for one in (lease, second)]
    assert failing.given == [[names[0]], [names[1]]]
    wait_for(lambda: sweep() and len(failing.given) == 3, "the second try", 10)
    assert 4.9 <= (datetime.now(UTC) - begun).total_seconds() < 8
    assert failing.given[2] == [names[0]]
    assert sweep.outbox.due() == []


# What waited too long


def test_a_job_that_waited_too_long_has_failed(short: Siding, clip: Path) -> None:
    job_id = short.film(*short.put(clip))
    short.share.rename(short.folder / "away")
    assert short.worker()(job_id, None) is JobStatus.QUEUED
    sweep = short.sweep(longest_wait=0.5)
    sweep()
    state = short.state(job_id)
    assert state.status is JobStatus.QUEUED and state.waiting_for

    def gave_up() -> bool:
        sweep()
        return short.status(job_id) is JobStatus.FAILED

    wait_for(gave_up, "the sweep to give up", 5)
    message = short.state(job_id).error_message or ""
    assert message.startswith("gave up waiting: ") and str(short.share) in message
    assert short.state(job_id).waiting_for is None
    wait_for(lambda: sweep() and short.farm.results.list(), "the result", 5)
    assert short.farm.results.list()[0].status is JobStatus.FAILED


def test_a_job_that_only_stands_in_line_is_not_given_up(short: Siding, clip: Path) -> None:
    job_id = short.film(clip)
    sweep = short.sweep(longest_wait=0.0)
    wait_for(sweep, "its turn")
    assert short.status(job_id) is JobStatus.QUEUED
