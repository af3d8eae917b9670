"""How long it will take: per job and for the whole queue, from what is known of jobs and workers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from reelyard.domain.estimate import Crew, Estimate, Running, Waiting, estimate
from reelyard.domain.farm import Ahead, Worker
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue


def outlook(
    jobs: Sequence[Ahead], workers: Sequence[Worker], paused: Collection[Queue] = ()
) -> Estimate:
    """The estimate for ``jobs``, which are in their turn. Seconds from now.

    From a ``paused`` queue nobody takes a job.
    """
    now = datetime.now(UTC)
    return estimate(
        [_waiting(one, now) for one in jobs if one.status is JobStatus.QUEUED],
        [_running(one) for one in jobs if one.status is JobStatus.PROCESSING],
        [_crew(one, paused) for one in workers if one.is_alive],
    )


def _waiting(state: Ahead, now: datetime) -> Waiting:
    delay = (state.not_before - now).total_seconds() if state.not_before else 0.0
    return Waiting(
        job_id=state.job_id,
        queue=state.queue,
        frames=state.frames,
        enable_4k=state.enable_4k,
        not_before=max(0.0, delay),
    )


def _running(state: Ahead) -> Running:
    return Running(
        job_id=state.job_id,
        worker_id=state.worker_id or "",
        seconds_left=state.seconds_left,
        frames=state.frames,
        percent=state.progress,
        enable_4k=state.enable_4k,
    )


def _crew(worker: Worker, paused: Collection[Queue]) -> Crew:
    return Crew(
        worker_id=worker.worker_id,
        queues=frozenset(worker.queues) - frozenset(paused),
        speed=worker.speed,
        speed_4k=worker.speed_4k,
        takes_more=worker.takes_jobs,
    )
