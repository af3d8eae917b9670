"""A worker on Windows ends in good order: by Ctrl-Break, and when it is told to stop. Simulated on this system."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus, Order
from tests.conftest import Clips

from .levers import hold
from .yard import WorkerProcess, Yard, started_anew, wait_for

ENDS_WITHIN = 10.0


@pytest.mark.parametrize("way", ["Ctrl-Break", "order"])
def test_a_worker_on_windows_hands_its_job_back(yard: Yard, clips: Clips, way: str) -> None:
    """Windows has no SIGTERM that reaches others, and no loop that a signal wakes."""
    item: dict[str, Any] = {"item_type": "video", "path": clips.video("windows.mp4", seconds=1)}
    with yard.broker_kept():
        log = yard.folder / "windows.log"
        argv = [sys.executable, "-m", "tests.farm.like_windows", "worker", "--name", "pc1@yard"]
        worker = WorkerProcess("pc1@yard", started_anew(argv, yard.environ(), log), log)
        yard.started.append(worker)
        wait_for(lambda: " ready." in worker.said(), f"the worker to be ready: {log}")
        job_id = yard.submit(item)
        hold(yard, worker)
        if way == "Ctrl-Break":
            worker.signal(signal.SIGHUP)  # what Windows calls SIGBREAK
        else:
            yard.farm.workers.tell(worker.name, Order.STOP)
        ended = worker.process.wait(ENDS_WITHIN)
        state = yard.state(job_id)

    assert "celery.concurrency.thread" in worker.said()
    assert ended == 0, worker.said()
    assert state.status is JobStatus.QUEUED
    assert yard.outcomes(job_id) == [("pc1@yard", AttemptOutcome.HANDED_BACK)]
    assert yard.ffmpegs() == []
