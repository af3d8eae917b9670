"""What people tell jobs and workers by the command line, and how soon it is done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus, Order, WorkerState
from tests.conftest import Clips

from .levers import (
    OwnFFmpeg,
    done_once,
    hold,
    let_go,
    nothing_left,
    ready,
    running,
    stopped,
    told,
    video,
)
from .yard import WorkerProcess, Yard, wait_for

AT_ONCE = 2.0  # seconds for what is to be stopped
WITHIN = 10.0  # seconds until an idle worker has a job that another one held in reserve


@pytest.fixture
def kept(yard: Yard) -> Iterator[Yard]:
    """Its broker is nobody's among the workers."""
    with yard.broker_kept():
        yield yard


def held_and_reserved(
    yard: Yard, worker: WorkerProcess, clip: Path
) -> tuple[str, str, list[psutil.Process]]:
    """A job that a worker is held at, and one that it has in reserve."""
    first = yard.submit(video(clip))
    held = hold(yard)
    second = yard.submit(video(clip))
    wait_for(lambda: yard.state(second).reserved_by == worker.name, "a job in reserve")
    return first, second, held


def taken_by(yard: Yard, job_id: str, worker: WorkerProcess) -> None:
    yard.wait_until(
        job_id, lambda state: state.worker_id == worker.name, f"{worker.name} to take it", WITHIN
    )


def test_a_paused_worker_ends_its_job_and_leaves_the_others_to_others(
    kept: Yard, clips: Clips
) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    a, b = yard.start("a", wait=False), yard.start("b", wait=False)
    ready(a, b)
    yard.farm.workers.tell(b.name, Order.PAUSE)
    first, second, held = held_and_reserved(yard, a, clip)
    (row,) = told(yard, "pause", a.name)
    assert (row["worker_id"], row["order"], row["job_id"]) == (a.name, "pause", first)

    told(yard, "resume", "b")
    taken_by(yard, second, b)
    assert done_once(yard, second) == [b.name]
    assert yard.state(first).status is JobStatus.PROCESSING
    let_go(held)
    assert done_once(yard, first) == [a.name]
    assert done_once(yard, *(yard.submit(video(clip)) for _ in range(2))) == [
        b.name, b.name,
    ]  # fmt: skip
    idle = {one["worker_id"]: (one["order"], one["state"]) for one in told(yard, "workers")}
    assert idle == {a.name: ("pause", "idle"), b.name: ("work", "idle")}

    told(yard, "resume", "a")
    yard.farm.workers.tell(b.name, Order.PAUSE)
    assert done_once(yard, yard.submit(video(clip))) == [a.name]
    nothing_left(yard)


def test_a_drained_worker_ends_its_job_then_itself(kept: Yard, clips: Clips) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    a = yard.start("a")
    first, second, held = held_and_reserved(yard, a, clip)
    (row,) = told(yard, "drain", "a")
    assert (row["order"], row["state"]) == ("drain", "busy")
    let_go(held)
    assert a.process.wait(WITHIN) == 0
    assert done_once(yard, first) == [a.name]
    assert yard.state(second).status is JobStatus.QUEUED
    b = yard.start("b")
    taken_by(yard, second, b)
    assert done_once(yard, second) == [b.name]
    told(yard, "drain", "b")  # it has nothing to do
    assert b.process.wait(WITHIN) == 0
    assert {one.state for one in yard.farm.workers.list()} == {WorkerState.OFFLINE}
    nothing_left(yard)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_stopped_worker_hands_its_job_back_at_once(kept: Yard, clips: Clips, pool: str) -> None:
    yard = kept
    a = yard.start("a", pool=pool)
    first, second, _ = held_and_reserved(yard, a, clips.video("second.mp4", seconds=1))
    told(yard, "stop", "a")
    state = yard.wait_until(
        first, lambda state: state.status is JobStatus.QUEUED, "it to be queued again", AT_ONCE
    )
    assert state.attempts == 0
    nothing_left(yard)
    assert a.process.wait(WITHIN) == 0
    assert "Traceback" not in a.said()
    b = yard.start("b", pool=pool)
    assert done_once(yard, second) == [b.name]
    assert yard.wait_for_end(first).status is JobStatus.COMPLETED
    assert yard.outcomes(first) == [
        (a.name, AttemptOutcome.HANDED_BACK), (b.name, AttemptOutcome.COMPLETED),
    ]  # fmt: skip


def test_of_two_workers_with_one_name_the_older_one_ends(kept: Yard, clips: Clips) -> None:
    yard = kept
    older = yard.start("a")
    job_id = yard.submit(video(clips.video("second.mp4", seconds=1)))
    hold(yard)
    newer = yard.start("a")
    assert older.process.wait(WITHIN) == 0
    assert "another worker called a@yard was started" in older.said()
    assert yard.wait_for_end(job_id).status is JobStatus.COMPLETED
    assert [outcome for _, outcome in yard.outcomes(job_id)] == [
        AttemptOutcome.HANDED_BACK, AttemptOutcome.COMPLETED,
    ]  # fmt: skip
    assert newer.process.poll() is None
    row = yard.farm.workers.get("a@yard")
    assert row is not None
    assert (row.pid, row.state) == (newer.process.pid, WorkerState.IDLE)


def test_jobs_are_done_in_order_but_for_those_that_were_moved(kept: Yard, clips: Clips) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    yard.start("a")
    jobs = [yard.submit(video(clip))]
    held = hold(yard)
    jobs += [yard.submit(video(clip), priority=9) for _ in range(10)]
    wait_for(lambda: yard.state(jobs[1]).reserved_by, "a job in reserve")
    (moved,) = told(yard, "move", jobs[10], "--first")
    assert (moved["job_id"], moved["priority"]) == (jobs[10], 9)
    (moved,) = told(yard, "move", jobs[3], "--priority", 1)
    assert (moved["job_id"], moved["priority"]) == (jobs[3], 1)
    let_go(held)
    done_once(yard, *jobs)
    begun = [yard.state(job_id).started_at for job_id in jobs]
    order = sorted(range(len(jobs)), key=lambda one: str(begun[one]))
    assert order == [0, 10, 1, 2, 4, 5, 6, 7, 8, 9, 3]


def parts(yard: Yard) -> list[Path]:
    return [
        path for path in (yard.folder / "cache").rglob("*") if path.suffix in (".part", ".blocks")
    ]


def copies(yard: Yard) -> list[Path]:
    return [one.path for one in yard.farm.fetch.copies.entries()]


def cancel(yard: Yard, job_id: str) -> None:
    """By the command line; what follows has to be true very soon."""
    (job,) = told(yard, "cancel", job_id)
    assert (job["job_id"], job["status"]) == (job_id, "cancelled")


def is_gone(yard: Yard, job_id: str) -> None:
    """A cancelled job stops within two seconds and leaves nothing."""
    wait_for(lambda: not yard.ffmpegs(), "FFmpeg to be stopped", AT_ONCE)
    wait_for(
        lambda: not (yard.leftovers() or parts(yard) or yard.farm.fetch.copies.pins()),
        "nothing to be left", AT_ONCE,
    )  # fmt: skip
    state = yard.state(job_id)
    assert (state.status, state.reserved_by) == (JobStatus.CANCELLED, None)
    assert not list((yard.folder / "out").glob("*"))
    (worker,) = yard.farm.workers.list()
    assert worker.state is WorkerState.IDLE
    assert worker.failures == 0


def test_a_job_cancelled_while_queued_or_rendered_leaves_nothing_and_can_be_retried(
    kept: Yard, clips: Clips
) -> None:
    yard = kept
    one, other = (
        clips.video("second.mp4", seconds=1),
        clips.video("other.mp4", seconds=1, rate="25"),
    )
    yard.own["jobs"] = "1"
    yard.own["remote_roots"] = str(clips.folder)
    a = yard.start("a")
    first = yard.submit(video(one), video(other))
    wait_for(lambda: yard.log_so_far(first).count(" part 1: ") == 1, "the first segment")
    hold(yard)
    second = yard.submit(video(one, start=0.1))
    wait_for(
        lambda: "prefetch" in [line.what for line in yard.farm.jobs.history(second)], "a prefetch"
    )
    cancel(yard, second)
    assert yard.state(first).status is JobStatus.PROCESSING
    with running(yard, "logs", first, "-f") as reading:
        assert reading.stdout is not None
        begun = reading.stdout.readline()
        cancel(yard, first)
        is_gone(yard, first)
        wait_for(
            lambda: "the job was cancelled" in yard.job_log(first), "the log to say so", AT_ONCE
        )
        read = begun + reading.stdout.read()
    assert read == yard.job_log(first)
    assert yard.outcomes(first) == [(a.name, AttemptOutcome.CANCELLED)]
    assert yard.outcomes(second) == []

    for job_id in (first, second):
        (job,) = told(yard, "retry", job_id)
        assert job["status"] in ("queued", "processing")
    for job_id in (first, second):
        assert yard.wait_for_end(job_id).status is JobStatus.COMPLETED
    last = yard.farm.jobs.attempts(first)[-1]
    assert (last.figures["frames"], last.figures["frames_rendered"]) == (60, 30)
    nothing_left(yard)


def test_a_job_cancelled_while_it_is_prefetched_joined_or_copied_leaves_nothing(
    kept: Yard, clips: Clips
) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    own = OwnFFmpeg.made(yard.folder, clips.ffmpeg)
    own.stop_at_the_joint()
    share = yard.folder / "share"
    share.mkdir()
    a = yard.start("a", ffmpeg=str(own.script), remote_roots=str(share))

    joined = yard.submit(video(clip))
    at_the_joint = wait_for(lambda: stopped(yard), "a joint")
    copied = yard.submit(video(padded(clip, share / "large.mp4", 600_000_000)))
    wait_for(lambda: any(path.stat().st_size for path in parts(yard)), "a prefetch", every=0.005)
    yard.farm.jobs.cancel(copied)
    wait_for(lambda: not (parts(yard) or copies(yard)), "nothing to be left", AT_ONCE)
    assert yard.outcomes(copied) == []

    assert yard.state(joined).status is JobStatus.PROCESSING
    cancel(yard, joined)
    is_gone(yard, joined)
    assert not any(one.is_running() for one in at_the_joint)

    own.work()
    yard.farm.wake(yard.farm.jobs.retry(copied))
    wait_for(lambda: any(path.stat().st_size for path in parts(yard)), "a copy", every=0.005)
    yard.farm.jobs.cancel(copied)
    is_gone(yard, copied)
    for job_id in (joined, copied):
        assert yard.outcomes(job_id) == [(a.name, AttemptOutcome.CANCELLED)]

    told(yard, "retry", joined)
    assert yard.wait_for_end(joined).status is JobStatus.COMPLETED


def padded(clip: Path, path: Path, size: int) -> Path:
    """The clip with so much nothing at its end: it takes a while to copy."""
    whole = clip.read_bytes()
    path.write_bytes(whole + size.to_bytes(4, "big") + b"free")
    os.truncate(path, len(whole) + size)
    return path
