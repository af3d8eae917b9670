"""Workers in the books: who there is, what each was told, what becomes of what a dead one held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reelyard.domain.errors import WorkerUnknown
from reelyard.domain.farm import AttemptOutcome, Worker
from reelyard.domain.lifecycle import JobStatus, Order, WorkerState
from reelyard.domain.routing import Queue
from reelyard.store.rows import decoded
from reelyard.store.schema import metadata

from .conftest import ABLE, LEASE, Books, finished


def _start(books: Books, instance: str, *queues: Queue, **changes: object) -> Worker | None:
    able = replace(ABLE, **changes)  # type: ignore[arg-type]
    return books.workers.register(
        "a", instance, host="pc1", pid=99, queues=queues or tuple(Queue), capabilities=able
    )


def test_a_worker_that_starts_is_known_with_all_that_it_can_do(books: Books) -> None:
    begun = datetime.now(UTC)
    assert _start(books, "one", Queue.GPU, Queue.DEFAULT) is None
    worker = books.worker("a")
    assert (worker.worker_id, worker.instance, worker.host, worker.pid) == ("a", "one", "pc1", 99)
    assert worker.queues == (Queue.GPU, Queue.DEFAULT)
    assert worker.capabilities == ABLE
    assert (worker.state, worker.order, worker.is_alive) == (WorkerState.IDLE, Order.WORK, True)
    assert (worker.job_id, worker.failures, worker.quarantine) == (None, 0, None)
    assert (worker.speed, worker.speed_4k) == (None, None)
    for moment in (worker.started_at, worker.seen_at):
        assert abs(moment - begun) < timedelta(seconds=10)


def test_workers_are_listed_by_name(books: Books) -> None:
    books.hire("c", "a", "b")
    assert [worker.worker_id for worker in books.workers.list()] == ["a", "b", "c"]
    assert books.workers.get("d") is None


def test_a_new_process_of_a_name_has_it_and_hears_who_had_it(books: Books) -> None:
    _start(books, "one")
    books.workers.tell("a", Order.DRAIN)
    before = _start(books, "two", Queue.UHD, cores=16)
    assert before is not None
    assert (before.instance, before.order) == ("one", Order.DRAIN)
    worker = books.worker("a")
    assert (worker.instance, worker.queues, worker.order) == ("two", (Queue.UHD,), Order.WORK)
    assert worker.capabilities.cores == 16
    assert books.workers.beat("a", "one") is None
    assert books.workers.beat("a", "two") is Order.WORK
    assert len(books.workers.list()) == 1


def test_a_restart_cures_nothing(books: Books) -> None:
    _start(books, "one")
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished(figures={"speed": 2.5}))
    lease = books.take("a", books.submit(enable_4k=True))
    assert books.leases.complete(lease, finished(figures={"speed": 0.5}))
    for _ in range(3):
        job_id = books.submit()
        books.leases.attempt_failed(books.take("a", job_id), "crashed")
        books.jobs.cancel(job_id)
    before = books.worker("a")
    assert before.quarantine is not None
    _start(books, "two")
    after = books.worker("a")
    assert (after.speed, after.speed_4k) == (2.5, 0.5)
    assert (after.failures, after.quarantine) == (3, before.quarantine)


def test_a_worker_beats_and_hears_what_it_was_told(books: Books) -> None:
    books.hire("a", "b")
    for order in Order:
        told = books.workers.tell("a", order)
        assert told.order is order
        assert books.workers.beat("a", "a") is order
        assert books.worker("b").order is Order.WORK
    assert books.workers.beat("nobody", "x") is None
    assert books.workers.beat("a", "another process") is None


def test_a_beat_of_a_stranger_writes_nothing(books: Books) -> None:
    books.hire("a")
    before = books.rows()
    assert books.workers.beat("a", "another process", 5) is None
    books.workers.leave("a", "another process")
    assert books.rows() == before


def test_a_beat_brings_a_worker_back_and_tells_its_free_disk(books: Books) -> None:
    books.hire("a")
    books.pass_time(LEASE + 1)
    assert books.worker("a").state is WorkerState.OFFLINE
    books.workers.beat("a", "a", 123)
    worker = books.worker("a")
    assert worker.state is WorkerState.IDLE
    assert worker.capabilities == replace(ABLE, free_disk=123)
    books.workers.beat("a", "a")
    assert books.worker("a").capabilities.free_disk == 123


def test_a_worker_that_ends_lets_go_of_its_reserve_and_is_offline(books: Books) -> None:
    books.hire("a", "b")
    lease = books.take("a", books.submit())
    books.submit()
    reserved = books.workers.reserve("a")
    assert reserved is not None
    assert books.leases.hand_back(lease, "told to stop")
    books.workers.leave("a", "a")
    worker = books.worker("a")
    assert (worker.state, worker.is_alive) == (WorkerState.OFFLINE, False)
    assert books.state(reserved.job_id).reserved_by is None


@pytest.mark.parametrize("order", list(Order))
def test_nobody_is_told_anything_under_an_unknown_name(books: Books, order: Order) -> None:
    books.hire("a")
    before = books.rows()
    with pytest.raises(WorkerUnknown, match="no worker b is known"):
        books.workers.tell("b", order)
    assert books.rows() == before


def test_a_worker_is_named_with_or_without_its_machine(books: Books) -> None:
    books.hire("pc1@yard", "pc2@yard", "pc2@home", "pc3", "pc3@yard")
    assert books.workers.named("pc1") == "pc1@yard"
    assert books.workers.named("pc2@home") == "pc2@home"
    assert books.workers.named("pc3") == "pc3"
    with pytest.raises(WorkerUnknown, match="pc2 is more than one worker") as caught:
        books.workers.named("pc2")
    assert "pc2@home" in caught.value.remedy
    for name in ("pc", "pc4", "", "%", "yard"):
        with pytest.raises(WorkerUnknown, match="is known"):
            books.workers.named(name)


def test_a_worker_that_is_gone_for_good_is_forgotten(books: Books) -> None:
    books.hire("a", "b", "c")
    books.workers.leave("a", "a")
    books.workers.forget("a")
    assert [worker.worker_id for worker in books.workers.list()] == ["b", "c"]
    books.pass_time(LEASE + 1)
    books.workers.forget("b")
    assert [worker.worker_id for worker in books.workers.list()] == ["c"]


def test_a_worker_that_lives_is_not_forgotten(books: Books) -> None:
    books.hire("a")
    before = books.rows()
    with pytest.raises(WorkerUnknown, match="a is not gone"):
        books.workers.forget("a")
    assert books.rows() == before


@pytest.mark.parametrize("order", list(Order))
def test_only_a_pause_is_meant_for_the_next_process_too(books: Books, order: Order) -> None:
    _start(books, "one")
    books.workers.tell("a", order)
    _start(books, "two")
    assert books.worker("a").order is (Order.PAUSE if order is Order.PAUSE else Order.WORK)


def test_it_is_known_who_told_a_worker(books: Books) -> None:
    books.hire("a")
    books.workers.tell("a", Order.PAUSE, by="Zoë \udcff")
    events = metadata.tables["events"]
    what, who = events.c.what == Order.PAUSE.value, events.c.worker_id == "a"
    assert decoded(books.value(events.c.actor, what, who)) == "Zoë \udcff"


def test_what_a_dead_worker_held_is_free_at_once(books: Books) -> None:
    books.hire("a", "b")
    running, kept = books.take("a", books.submit()), books.take("b", books.submit())
    reserved = books.submit()
    assert books.workers.reserve("a") is not None
    assert books.workers.abandon("a", "a was killed") == 1
    state = books.state(running.job_id)
    assert (state.status, state.attempts) == (JobStatus.QUEUED, 1)
    assert state.error_message == "a was killed"
    assert books.state(reserved).reserved_by is None
    assert books.worker("a").job_id is None
    [attempt] = books.jobs.attempts(running.job_id)
    assert attempt.outcome is AttemptOutcome.LOST
    assert books.leases.standing(kept).holds


def test_a_worker_that_was_killed_and_started_again_frees_its_own_job(books: Books) -> None:
    _start(books, "one")
    lease = books.take("a", books.submit())
    assert _start(books, "two") is not None
    assert books.workers.abandon("a", "a was killed") == 1
    assert not books.leases.standing(lease).holds
    assert books.take("a", lease.job_id).token == lease.token + 1


def test_a_worker_that_held_nothing_leaves_nothing(books: Books) -> None:
    books.hire("a", "b")
    books.take("b", books.submit())
    before = books.rows()
    assert books.workers.abandon("a", "a was killed") == 0
    assert books.rows() == before
