"""What the page says of workers: the state that matters most, and only orders that change anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reelyard.domain.farm import Capabilities, Worker
from reelyard.domain.lifecycle import Order, WorkerState
from reelyard.domain.routing import Queue
from reelyard.web.workers_words import DRAIN, STOP, commands, consequence, standing

IDLE = Worker(
    worker_id="pc1@a", instance="i", host="a", pid=1, queues=(Queue.DEFAULT,),
    state=WorkerState.IDLE, order=Order.WORK, is_alive=True, job_id=None, failures=0,
    quarantine=None, speed=None, speed_4k=None, started_at=datetime.now(UTC),
    seen_at=datetime.now(UTC),
    capabilities=Capabilities(version="1", ffmpeg="f", encoders=(), cores=1, memory=1, free_disk=1),
)  # fmt: skip
BUSY = replace(IDLE, job_id="j", state=WorkerState.BUSY)


@pytest.mark.parametrize(
    ("worker", "word", "names"),
    [
        (IDLE, "Idle", ["Pause", "Drain", "Stop"]),
        (BUSY, "Busy", ["Pause", "Drain", "Stop"]),
        (replace(BUSY, order=Order.PAUSE), "Paused", ["Wake", "Drain", "Stop"]),
        (replace(BUSY, order=Order.DRAIN), "Draining", ["Wake", "Stop"]),
        (replace(BUSY, order=Order.STOP), "Stopping", []),
        (replace(IDLE, quarantine="no encoder"), "Quarantined", ["Pause", "Drain", "Stop"]),
        (replace(BUSY, is_alive=False), "Gone", []),
    ],
)
def test_a_worker_is_called_what_it_is_and_offered_what_helps(
    worker: Worker, word: str, names: list[str]
) -> None:
    """The most important state wins; an order that would change nothing is not offered."""
    assert standing(worker).word == word
    assert [one.name for one in commands(worker)] == names


def test_what_becomes_of_its_job_is_said_before() -> None:
    """Stopping puts the job back, draining finishes it, and who has none loses none."""
    assert "goes back into the queue" in consequence(STOP, BUSY, "“Cats”")
    assert "“Cats”, is finished first" in consequence(DRAIN, BUSY, "“Cats”")
    assert consequence(STOP, IDLE, "") == "It has no job now."
