"""The life of a job, and what the farm's values say about themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reelyard.domain.farm import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    NORMAL_PRIORITY,
    Capabilities,
    Worker,
)
from reelyard.domain.lifecycle import (
    MOST_ATTEMPTS,
    TRANSITIONS,
    Event,
    JobStatus,
    Order,
    WorkerState,
    sources,
    target,
)
from reelyard.domain.routing import Queue

PAIRS = [(status, event) for status in JobStatus for event in Event]
WORKER = Worker(
    worker_id="pc1@yard", instance="one", host="pc1", pid=1, queues=(Queue.DEFAULT,),
    state=WorkerState.IDLE, order=Order.WORK, is_alive=True, job_id=None, failures=0,
    quarantine=None, speed=None, speed_4k=None, started_at=datetime(2026, 1, 1, tzinfo=UTC),
    seen_at=datetime(2026, 1, 1, tzinfo=UTC),
    capabilities=Capabilities(version="0", ffmpeg="9", encoders=(), cores=1, memory=1, free_disk=1),
)  # fmt: skip


def test_states_have_the_words_of_the_jobs_table() -> None:
    words = {"queued", "processing", "completed", "failed", "cancelled"}
    assert {str(status) for status in JobStatus} == words


def test_the_table_of_transitions_is_the_promised_one() -> None:
    told = {
        ("queued", "claim"): "processing",
        ("queued", "fail"): "failed",
        ("queued", "cancel"): "cancelled",
        ("processing", "hand_back"): "queued",
        ("processing", "complete"): "completed",
        ("processing", "fail"): "failed",
        ("processing", "cancel"): "cancelled",
        ("failed", "retry"): "queued",
        ("cancelled", "retry"): "queued",
    }
    assert {(str(a), str(b)): str(c) for (a, b), c in TRANSITIONS.items()} == told


def test_nobody_can_change_the_table() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[JobStatus.COMPLETED, Event.RETRY] = JobStatus.QUEUED  # type: ignore[index]


@pytest.mark.parametrize(("status", "event"), PAIRS, ids=str)
def test_sources_and_targets_say_what_the_table_says(status: JobStatus, event: Event) -> None:
    after = TRANSITIONS.get((status, event))
    assert (status in sources(event)) == (after is not None)
    assert after in (None, target(event))


def test_what_is_completed_stays_so() -> None:
    assert not [event for event in Event if JobStatus.COMPLETED in sources(event)]


@pytest.mark.parametrize("status", list(JobStatus))
def test_every_state_can_be_reached_from_the_first(status: JobStatus) -> None:
    reached = {JobStatus.QUEUED}
    for _ in JobStatus:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert status in reached


def test_a_job_has_three_attempts() -> None:
    assert MOST_ATTEMPTS == 3


def test_a_normal_job_can_be_moved_up_and_down() -> None:
    assert LOWEST_PRIORITY < NORMAL_PRIORITY < HIGHEST_PRIORITY


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("is_alive", [True, False])
@pytest.mark.parametrize("quarantine", [None, "failed 3 jobs in a row"])
def test_a_worker_takes_jobs_while_it_lives_may_and_is_sound(
    order: Order, is_alive: bool, quarantine: str | None
) -> None:
    worker = replace(WORKER, order=order, is_alive=is_alive, quarantine=quarantine)
    assert worker.takes_jobs == (order is Order.WORK and is_alive and quarantine is None)


def test_a_busy_worker_still_counts_as_one_that_takes_jobs() -> None:
    assert replace(WORKER, state=WorkerState.BUSY, job_id="0" * 32).takes_jobs
