"""Workers as people start and end them: both commands, both pools, signals."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from celery import Celery

from reelyard.domain.farm import AttemptOutcome, JobState
from reelyard.domain.lifecycle import JobStatus, WorkerState
from reelyard.domain.routing import Queue
from tests.conftest import Clips

from .yard import WorkerProcess, Yard, runs, started_anew, wait_for

ALL = "4k_queue,gpu_queue,default_queue"
HOST = socket.gethostname()
POOLS = ("prefork", "threads")
ENDS_WITHIN = 10.0
"""Seconds in which a worker that is told to end has ended, whatever it was at."""
SETTINGS = {
    "task_track_started": True,
    "task_time_limit": 10_800,
    "task_soft_time_limit": 10_200,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 2,
    "result_expires": 86_400,
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "enable_utc": True,
    "timezone": "UTC",
}
VISIBILITY_TIMEOUT = 43_200
EIGHT = {"segment_seconds": "0.27"}
"""A second in four segments."""


def start(yard: Yard, how: str, pool: str, queues: str = ALL) -> WorkerProcess:
    """As the farm's owner types it; on Linux nobody names the prefork pool."""
    if how == "celery":
        program = Path(sys.executable).with_name("celery")
        argv = [str(program), "-A", "reelyard.farm.celery_app", "worker", "-Q", queues,
                "--concurrency=1", "-n", "pc1@%h"]  # fmt: skip
        argv += ["-P", "threads"] if pool == "threads" else []
    else:
        program = Path(sys.executable).with_name("reelyard")
        argv = [str(program), "worker", "--queues", queues, "--name", "pc1"]
        argv += ["--pool", "threads"] if pool == "threads" else []
    yard.folder.mkdir(parents=True, exist_ok=True)
    log = yard.folder / f"pc1.{len(yard.started)}.log"
    worker = WorkerProcess(f"pc1@{HOST}", started_anew(argv, yard.environ(), log), log)
    yard.started.append(worker)
    return worker


@pytest.fixture
def still(clips: Clips) -> dict[str, Any]:
    """The shortest item."""
    return {"item_type": "image", "path": clips.picture("still.png"), "duration": 0.2}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("how", ["celery", "reelyard"])
def test_a_worker_started_either_way_does_one_job_after_the_other(
    yard: Yard, still: dict[str, Any], how: str, pool: str
) -> None:
    begun = time.time()
    worker = start(yard, how, pool)
    wait_for(lambda: answers(yard, worker), f"{worker.name} to answer: {worker.log}", every=0.5)
    check_settings(yard, worker, pool)
    check_record(yard, worker, begun)
    ids = [yard.submit(still), yard.submit(still, still)]
    states = [yard.wait_for_end(job_id) for job_id in ids]
    for state, frames in zip(states, (6, 12), strict=True):
        check_row(state, worker, frames)
    assert states[0].completed_at is not None
    assert states[1].started_at is not None
    assert states[0].completed_at <= states[1].started_at
    assert states[0].task_id != states[1].task_id
    assert worker.end(ENDS_WITHIN) == 0
    row = yard.farm.workers.get(worker.name)
    assert row is not None
    assert row.state is WorkerState.OFFLINE


def answers(yard: Yard, worker: WorkerProcess) -> bool:
    """Whether it takes messages. What it says by itself depends on its log level."""
    if yard.farm.workers.get(worker.name) is None:
        return False  # the broker may not be there yet
    with closing(Celery(broker=yard.farm.broker_url, set_as_current=False)) as app:
        return bool(app.control.ping(destination=[worker.name], timeout=2, limit=1))


def listens(asked: Any, worker: WorkerProcess) -> set[str]:
    """To what it does, once it has nothing to do."""
    return {one["name"] for one in asked.active_queues()[worker.name]}


def check_settings(yard: Yard, worker: WorkerProcess, pool: str) -> None:
    """What is in force in the worker, by Celery's own account, and that the worker's log says it."""
    with closing(Celery(broker=yard.farm.broker_url, set_as_current=False)) as app:
        asked = app.control.inspect(destination=[worker.name], timeout=10)
        conf = asked.conf(with_defaults=True)[worker.name]
        wait_for(lambda: listens(asked, worker) == {*ALL.split(","), "assist_queue"}, "all queues")
        tasks = set(asked.registered()[worker.name])
        stats = asked.stats()[worker.name]
    assert {name: conf[name] for name in SETTINGS} == SETTINGS
    assert conf["visibility_timeout"] == VISIBILITY_TIMEOUT
    for name in ("broker_transport_options", "result_backend_transport_options"):
        assert conf[name]["visibility_timeout"] == VISIBILITY_TIMEOUT
    assert tasks == {
        "process_4k_compilation", "process_gpu_compilation", "process_standard_compilation",
        "assist_compilation",
    }  # fmt: skip
    assert stats["pool"]["max-concurrency"] == 1
    assert pool.removesuffix("s") in stats["pool"]["implementation"]
    lines = [one for one in worker.said().splitlines() if " is ready: " in one]
    assert len(lines) == 1, worker.said()
    for name, value in {**SETTINGS, "visibility_timeout": VISIBILITY_TIMEOUT}.items():
        assert f"{name}={value!r}" in lines[0]


def check_record(yard: Yard, worker: WorkerProcess, begun: float) -> None:
    """What the farm knows of the worker."""
    row = yard.farm.workers.get(worker.name)
    assert row is not None
    assert (row.host, row.pid) == (HOST, worker.process.pid)
    assert row.queues == tuple(map(Queue, ALL.split(",")))
    assert (row.state, row.is_alive, row.job_id) == (WorkerState.IDLE, True, None)
    assert begun <= row.started_at.timestamp() <= time.time()
    able = row.capabilities
    assert able.encoders == ("libx264",)
    assert able.version == importlib.metadata.version("reelyard")
    assert able.ffmpeg.startswith("ffmpeg version ")
    assert able.cores == os.cpu_count()
    assert able.memory == psutil.virtual_memory().total
    assert able.free_disk == pytest.approx(shutil.disk_usage(yard.folder).free, abs=5e9)


def check_row(state: JobState, worker: WorkerProcess, frames: int) -> None:
    """What the farm knows of a job that the worker completed."""
    assert (state.status, state.progress) == (JobStatus.COMPLETED, 100), state
    assert (state.worker_id, state.queue) == (worker.name, Queue.DEFAULT)
    assert state.started_at is not None
    assert state.completed_at is not None
    assert state.created_at <= state.started_at < state.completed_at
    assert uuid.UUID(str(state.task_id))
    assert state.error_message is None
    assert state.final_duration == pytest.approx(frames / 30, abs=1e-4)
    assert state.output_path is not None
    with av.open(state.output_path) as film:
        assert sum(1 for _ in film.decode(video=0)) == frames


def test_a_worker_takes_from_its_own_queues_only(yard: Yard, still: dict[str, Any],
                                                 clips: Clips) -> None:  # fmt: skip
    clip = clips.video("short.mp4", seconds=2)
    pc1 = yard.start("pc1", "default_queue", how="celery")
    uhd = yard.submit(still, enable_4k=True)
    text = {"item_type": "video", "path": clip, "end": 0.2, "text_animation_text": "Hi"}
    heavy = yard.submit(text)
    plain = yard.submit(still)
    assert yard.wait_for_end(plain).worker_id == pc1.name
    for job_id, queue in ((uhd, Queue.UHD), (heavy, Queue.GPU)):
        state = yard.state(job_id)
        assert (state.status, state.queue) == (JobStatus.QUEUED, queue)
        assert yard.outcomes(job_id) == []
    pc2 = yard.start("pc2", "4k_queue,gpu_queue")
    for job_id in (uhd, heavy):
        state = yard.wait_for_end(job_id)
        assert (state.status, state.worker_id) == (JobStatus.COMPLETED, pc2.name)
    for worker, kinds in ((pc1, ["standard"]), (pc2, ["4k", "gpu"])):
        for kind in ("4k", "gpu", "standard"):
            received = f"Task process_{kind}_compilation["
            assert (received in worker.said()) == (kind in kinds), (worker.name, kind)


@pytest.fixture
def long(clips: Clips) -> list[dict[str, Any]]:
    """A job of eight segments, which takes a second or two."""
    return [
        {"item_type": "video", "path": clips.video("long-a.mp4", seconds=1)},
        {"item_type": "video", "path": clips.video("long-b.mp4", seconds=1, rate="25")},
    ]


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Yard]:
    """Its leases hold so long that no test sees one run out."""
    folder = tmp_path / "yard"
    url = f"sqlite:///{folder / 'farm.db'}"
    with closing(Yard(folder, url, lease_seconds=120, own=dict(EIGHT))) as one:
        yield one


def rendering(yard: Yard, items: list[dict[str, Any]]) -> str:
    """A job that has a finished segment already, and FFmpeg at work on another."""
    job_id = yard.submit(*items)
    wait_for(lambda: " part " in yard.log_so_far(job_id), "the first segment", every=0.005)
    wait_for(yard.ffmpegs, "FFmpeg to run", every=0.005)
    return job_id


def check_resumed(yard: Yard, job_id: str, finished: int, by: str) -> None:
    """The job is completed by a worker that took over what was finished."""
    state = yard.wait_for_end(job_id)
    assert (state.status, state.worker_id) == (JobStatus.COMPLETED, by), state
    segments = [one for one, _ in yard.farm.jobs.segments(job_id)]
    cached = sum(one.cached for one in segments)
    assert finished <= cached < len(segments) == 8
    assert len(yard.results(job_id)) == 1
    assert yard.leftovers() == []


def finished_segments(yard: Yard, job_id: str) -> int:
    return yard.log_so_far(job_id).count(" part ")


@pytest.mark.parametrize(("pool", "successor"), [("prefork", "pc2"), ("threads", "pc1")])
def test_a_worker_told_to_end_hands_its_job_back(
    patient: Yard, long: list[dict[str, Any]], pool: str, successor: str
) -> None:
    worker = patient.start("pc1", pool=pool)
    job_id = rendering(patient, long)
    family = worker.family()
    assert worker.end(ENDS_WITHIN) == 0
    check_handed_back(patient, job_id, worker, family)
    finished = finished_segments(patient, job_id)
    other = patient.start(successor, pool=pool)
    check_resumed(patient, job_id, finished, other.name)
    assert patient.outcomes(job_id) == [
        (worker.name, AttemptOutcome.HANDED_BACK), (other.name, AttemptOutcome.COMPLETED)
    ]  # fmt: skip


def check_handed_back(
    yard: Yard, job_id: str, worker: WorkerProcess, family: list[psutil.Process]
) -> None:
    state = yard.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.QUEUED, 0), state
    assert yard.outcomes(job_id) == [(worker.name, AttemptOutcome.HANDED_BACK)]
    assert not any(map(runs, family))
    assert yard.ffmpegs() == []
    assert yard.leftovers() == []
    assert list((yard.folder / "out").glob("*.mp4")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["systemd", "Ctrl-C"])
def test_a_worker_ends_as_well_when_all_its_processes_are_told_to(
    patient: Yard, long: list[dict[str, Any]], number: int
) -> None:
    """As ``systemctl stop`` does it, and a terminal on Ctrl-C."""
    worker = patient.start("pc1")
    job_id = rendering(patient, long)
    family = worker.family()
    if number == signal.SIGINT:
        os.killpg(worker.process.pid, number)  # FFmpeg and the broker are in groups of their own
    else:
        for one in family:
            one.send_signal(number)
    assert worker.process.wait(ENDS_WITHIN) == 0
    check_handed_back(patient, job_id, worker, family)


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_that_is_killed_leaves_no_process_behind(
    patient: Yard, long: list[dict[str, Any]], pool: str
) -> None:
    """And has its job again at once when it is started again, long before the lease is over."""
    worker = patient.start("pc1", pool=pool)
    job_id = rendering(patient, long)
    family = worker.family()
    wait_for(patient.ffmpegs, "FFmpeg to run", every=0.005)
    worker.process.kill()
    worker.process.wait()
    wait_for(lambda: not any(map(runs, family)), "all of it to be gone", 1)
    assert patient.ffmpegs() == []
    finished = finished_segments(patient, job_id)
    assert patient.state(job_id).status is JobStatus.PROCESSING
    again = patient.start("pc1", pool=pool)
    check_resumed(patient, job_id, finished, again.name)
    assert patient.outcomes(job_id) == [
        (worker.name, AttemptOutcome.LOST), (again.name, AttemptOutcome.COMPLETED)
    ]  # fmt: skip


def renderer(yard: Yard, worker: WorkerProcess) -> psutil.Process:
    """The process of the worker's pool."""
    parents = {one.ppid() for one in wait_for(yard.ffmpegs, "FFmpeg to run", every=0.005)}
    found = [one for one in worker.family()[1:] if one.pid in parents]
    assert len(found) == 1
    return found[0]


def test_a_killed_pool_process_is_replaced_and_the_job_done(
    yard: Yard, long: list[dict[str, Any]]
) -> None:
    """By the same worker, as there is no other; twice."""
    yard.own.update(EIGHT)
    worker = yard.start("pc1")
    job_id = rendering(yard, long)
    finished = finished_segments(yard, job_id)
    for turn in (1, 2):
        wait_for(lambda: yard.log_so_far(job_id).count("taken by") == turn, "another turn")  # noqa: B023
        renderer(yard, worker).kill()
        wait_for(lambda: not yard.ffmpegs(), "FFmpeg to die with it", 5)
    check_resumed(yard, job_id, finished, worker.name)
    assert [outcome for _, outcome in yard.outcomes(job_id)] == [
        AttemptOutcome.LOST, AttemptOutcome.LOST, AttemptOutcome.COMPLETED
    ]  # fmt: skip
    assert worker.process.poll() is None


def test_a_pool_process_that_dies_idle_is_replaced(yard: Yard, still: dict[str, Any]) -> None:
    """Every time: what the worker's other threads are at when it forks does the new one no harm."""
    worker = yard.start("pc1")
    for _ in range(5):
        (pool,) = [one for one in worker.family()[1:] if "valkey" not in one.name()]
        pool.kill()
        state = yard.wait_for_end(yard.submit(still))
        assert (state.status, state.token) == (JobStatus.COMPLETED, 1), state
