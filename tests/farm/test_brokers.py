"""The broker goes away, comes back, or loses everything: no job is lost, none is done twice."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import redis

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.queue import RecordingQueue
from tests.conftest import Clips
from tests.servers import RedisServer

from .levers import command, done_once, hold, let_go, nothing_left, processes_of, ready, told, video
from .yard import WorkerProcess, Yard, wait_for

AWAY = 3.0  # seconds without a broker
WITHIN = 10.0  # seconds until an idle worker has a job, whatever became of the messages
AT_ONCE = 2.0  # seconds for a job to be back in the queue
USUAL_LEASE = 60.0  # what has to be quick must not hang on leases being short


@pytest.fixture
def redis_yard(tmp_path: Path, redis_server: RedisServer) -> Iterator[Yard]:
    folder = tmp_path / "yard"
    with closing(Yard(folder, f"sqlite:///{folder / 'farm.db'}", redis_server.url)) as one:
        yield one


def three_jobs(
    yard: Yard, worker: WorkerProcess, clip: Path
) -> tuple[list[str], list[psutil.Process]]:
    """One that runs for as long as its FFmpeg is held, one in reserve, one that waits."""
    jobs = [yard.submit(video(clip))]
    held = hold(yard)
    jobs += [yard.submit(video(clip)) for _ in range(2)]
    wait_for(lambda: yard.state(jobs[1]).reserved_by == worker.name, "a job in reserve")
    return jobs, held


@pytest.mark.parametrize(
    ("how", "busy", "idle"),
    [("restarted", "prefork", "threads"), ("wiped", "threads", "prefork")],
)
def test_nothing_is_lost_or_done_twice_when_redis_goes_and_comes(
    redis_yard: Yard, redis_server: RedisServer, clips: Clips, how: str, busy: str, idle: str
) -> None:
    """The job in the making ends while there is no broker, or when it is back."""
    yard, clip = redis_yard, clips.video("second.mp4", seconds=1)
    a = yard.start("a", "default_queue", pool=busy, wait=False)
    b = yard.start("b", "gpu_queue", pool=idle, wait=False)
    ready(a, b)
    before = processes_of(a, b)
    jobs, held = three_jobs(yard, a, clip)
    if how == "restarted":
        redis_server.stop()
        let_go(held)
        yard.wait_for_end(jobs[0])
        time.sleep(AWAY)
        redis_server.start()
    else:
        redis_server.kill()
        redis_server.wipe()
        time.sleep(AWAY)
        redis_server.start()
        assert yard.state(jobs[0]).status is JobStatus.PROCESSING
        let_go(held)
    jobs += [
        yard.submit(video(clip)),
        yard.submit(video(clip, text_animation_text="Later")),
    ]
    assert done_once(yard, *jobs) == [a.name] * 4 + [b.name]
    assert processes_of(a, b) == before
    nothing_left(yard)


def embedded_server(yard: Yard, *workers: WorkerProcess) -> tuple[WorkerProcess, psutil.Process]:
    """Who guards the embedded broker, and the server."""
    broker = yard.farm.embedded
    assert broker is not None

    def find() -> tuple[WorkerProcess, psutil.Process] | None:
        for worker in workers:
            for one in worker.family():
                with suppress(psutil.NoSuchProcess):
                    if one.name().startswith("valkey") and broker.answers():
                        return worker, one
        return None

    found = wait_for(find, "the embedded broker")
    assert found is not None
    return found


def test_the_embedded_broker_comes_back_after_a_kill_and_after_its_guardians_death(
    yard: Yard, clips: Clips
) -> None:
    clip = clips.video("second.mp4", seconds=1)
    b = yard.start("b", "gpu_queue", pool="threads")
    a = yard.start("a", "default_queue")
    guardian, server = embedded_server(yard, a, b)
    assert guardian is b
    before = processes_of(a, b)
    jobs, held = three_jobs(yard, a, clip)

    server.kill()
    empty(yard)
    guardian, second = embedded_server(yard, a, b)
    assert second.pid != server.pid
    b.kill()
    guardian, _ = embedded_server(yard, a, b)
    assert guardian is a

    let_go(held)
    jobs.append(yard.submit(video(clip)))
    assert done_once(yard, *jobs) == [a.name] * 4
    assert processes_of(a)[a.name] == before[a.name]
    assert a.end() == 0


def empty(yard: Yard) -> None:
    """Take all of the broker's files away."""
    broker = yard.farm.embedded
    assert broker is not None
    for path in broker.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def test_a_broker_whose_files_are_damaged_starts_afresh(yard: Yard, clips: Clips) -> None:
    """As a power cut leaves them. What was in them is in the database."""
    clip, broker = clips.video("second.mp4", seconds=1), yard.farm.embedded
    assert broker is not None
    with yard.broker_kept():
        job_id = yard.submit(video(clip))
    files = list((broker.folder / "appendonlydir").glob("*.incr.aof"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes() + bytes(4096) + b"*1")
    yard.start("a")
    done_once(yard, job_id)


def test_a_job_submitted_without_a_broker_is_stored_and_done_later(
    yard: Yard, clips: Clips
) -> None:
    yard.folder.mkdir(exist_ok=True)
    job_file = yard.folder / "job.yaml"
    clip = clips.video("second.mp4", seconds=1)
    job_file.write_text(f"channel_name: Later\nitems: [{{item_type: video, path: {clip}}}]\n")
    (said,) = told(yard, "submit", job_file)
    assert said["status"] == "queued"
    assert said["message"].startswith("stored for default_queue; it starts when the broker is back")
    plain = command(yard, "submit", job_file)
    assert plain.returncode == 0
    assert "it starts when the broker is back" in " ".join(plain.stdout.split())
    jobs = [state.job_id for state in yard.farm.jobs.list()]
    assert said["job_id"] in jobs
    yard.start("a")
    assert len(done_once(yard, *jobs)) == 2


def test_a_paused_worker_leaves_messages_and_is_not_deaf_when_resumed_without_a_broker(
    redis_yard: Yard, redis_server: RedisServer, clips: Clips
) -> None:
    yard, clip = redis_yard, clips.video("second.mp4", seconds=1)
    a = yard.start("a")
    told(yard, "pause", "a")
    wait_for(lambda: "taking no more" in a.said(), "the worker to obey")
    jobs = [yard.submit(video(clip))]
    with redis.Redis.from_url(redis_server.url) as client:
        wait_for(lambda: client.llen("default_queue") == 1, "the message to be left there", WITHIN)
    redis_server.stop()
    (worker,) = told(yard, "resume", "a")
    assert worker["order"] == "work"
    time.sleep(AWAY)
    redis_server.start()
    jobs.append(yard.submit(video(clip)))
    assert done_once(yard, *jobs) == [a.name] * 2


def test_a_busy_worker_told_to_end_without_a_broker_hands_its_job_back(
    redis_yard: Yard, redis_server: RedisServer, clips: Clips
) -> None:
    yard, clip = redis_yard, clips.video("second.mp4", seconds=1)
    a = yard.start("a", "default_queue", wait=False)
    b = yard.start("b", "gpu_queue", pool="threads", wait=False)
    ready(a, b)
    jobs = [yard.submit(video(clip))]
    hold(yard, a)
    jobs.append(yard.submit(video(clip, text_animation_text="Hi")))
    hold(yard, b)
    redis_server.stop()
    for one in (a, b):
        wait_for(lambda: "Cannot connect" in one.said(), "the worker to notice")  # noqa: B023
        one.process.terminate()
    for job_id in jobs:
        yard.wait_until(job_id, lambda state: state.status is JobStatus.QUEUED, "it back", AT_ONCE)
    for one in (a, b):
        one.process.wait(WITHIN)
    for one, job_id in zip((a, b), jobs, strict=True):
        assert yard.outcomes(job_id) == [(one.name, AttemptOutcome.HANDED_BACK)]
        assert yard.state(job_id).attempts == 0
    nothing_left(yard)


def test_an_idle_worker_is_woken_for_a_job_whose_message_was_lost(
    redis_yard: Yard, clips: Clips
) -> None:
    yard = redis_yard
    yard.lease_seconds = USUAL_LEASE
    a = yard.start("a")
    yard.farm.__dict__["submit"] = replace(yard.farm.submit, queue=RecordingQueue())
    job_id = yard.submit(video(clips.video("second.mp4", seconds=1)))
    yard.wait_until(job_id, lambda state: state.worker_id == a.name, "a claim", WITHIN)
    assert done_once(yard, job_id) == [a.name]


def test_a_job_in_reserve_is_taken_by_an_idle_worker(redis_yard: Yard, clips: Clips) -> None:
    yard, clip = redis_yard, clips.video("second.mp4", seconds=1)
    yard.lease_seconds = USUAL_LEASE
    a = yard.start("a")
    (running, reserved, waiting), held = three_jobs(yard, a, clip)
    b = yard.start("b")
    taken = yard.wait_until(
        reserved, lambda state: state.worker_id == b.name, "the idle one to have it", WITHIN
    )
    assert taken.reserved_by is None
    assert done_once(yard, reserved, waiting) == [b.name, b.name]
    assert yard.state(running).status is JobStatus.PROCESSING
    let_go(held)
    assert done_once(yard, running) == [a.name]
