"""The database goes away for a while, or a worker's FFmpeg breaks: jobs wait or go to others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest

from reelyard.domain.farm import AttemptOutcome, Worker
from reelyard.domain.lifecycle import JobStatus
from tests.conftest import Clips
from tests.servers import PostgresServer

from .levers import (
    OwnFFmpeg,
    command,
    done_once,
    hold,
    job_file,
    let_go,
    nothing_left,
    processes_of,
    ready,
    running,
    told,
    video,
)
from .yard import WorkerProcess, Yard, wait_for

OUTAGE = 10.0  # seconds; leases are much shorter
WITHIN = 10.0


@pytest.fixture
def postgres_yard(tmp_path: Path, postgres_url: str) -> Iterator[Yard]:
    with closing(Yard(tmp_path / "yard", postgres_url)) as one:
        yield one


def worker_row(yard: Yard, process: WorkerProcess) -> Worker:
    found = yard.farm.workers.get(process.name)
    assert found is not None
    return found


def beats(yard: Yard, process: WorkerProcess, times: int) -> None:
    """Returns when a worker was heard of so many more times."""
    seen: set[datetime] = set()

    def look() -> bool:
        seen.add(worker_row(yard, process).seen_at)
        return len(seen) > times

    wait_for(look, f"{process.name} to be heard of {times} times", every=0.02)


def test_jobs_go_on_and_end_once_while_the_database_is_away(
    postgres_yard: Yard, postgres: PostgresServer, clips: Clips
) -> None:
    """One is in the making all the time, one gets as far as its publication, one waits."""
    yard, clip = postgres_yard, clips.video("second.mp4", seconds=1)
    with yard.broker_kept(), ExitStack() as stack:
        a, b = yard.start("a", wait=False), yard.start("b", wait=False)
        ready(a, b)
        before = processes_of(a, b)
        waiting = stack.enter_context(running(yard, "submit", job_file(yard, clip), "--wait"))
        (first,) = [one.job_id for one in wait_for(yard.farm.jobs.list, "the job")]
        held = hold(yard)
        slow, quick = (a, b) if yard.state(first).worker_id == a.name else (b, a)
        second = yard.submit(video(clip, start=0.1))
        held_too = hold(yard, quick)
        third = yard.submit(video(clip))
        away_since = time.monotonic()
        postgres.stop()

        let_go(held_too)
        wait_for(lambda: "verified " in yard.log_so_far(second), "the film to be verified")
        assert "going on without the database" in yard.log_so_far(second)
        time.sleep(max(0.0, away_since + OUTAGE - time.monotonic()))
        assert not list((yard.folder / "out").glob("*.mp4"))

        slow.freeze()  # it needs a moment longer than the other one to see that all is well
        postgres.start()
        beats(yard, quick, 2)
        slow.thaw()
        let_go(held)

        assert done_once(yard, first, second)[0] == slow.name
        done_once(yard, third)
        waiting.communicate(timeout=60)
        assert waiting.returncode == 0  # who waits outlives it, too
        assert processes_of(a, b) == before
        for job_id in (first, second):
            assert "going on without the database" in yard.job_log(job_id)
            assert yard.job_log(job_id).count("taken by") == 1
        assert all("can't be used" in one.said() for one in (a, b))
        nothing_left(yard)


def test_a_worker_outlives_its_database_and_can_be_started_without_it(
    postgres_yard: Yard, postgres: PostgresServer, clips: Clips
) -> None:
    yard, clip = postgres_yard, clips.video("second.mp4", seconds=1)
    assert yard.farm.workers.list() == []
    postgres.stop()
    a = yard.start("a", wait=False)
    wait_for(lambda: "can't be used" in a.said(), "the worker to say that the database is away")
    asked = command(yard, "status")
    assert asked.returncode == 1
    assert asked.stderr.startswith("reelyard: the database postgresql+psycopg://")
    postgres.start()
    ready(a)
    before = processes_of(a)
    assert done_once(yard, yard.submit(video(clip))) == [a.name]

    already = a.said().count("can't be used")
    postgres.stop()
    wait_for(lambda: a.said().count("can't be used") > already, "the worker to notice")
    postgres.start()
    assert done_once(yard, yard.submit(video(clip))) == [a.name]
    assert processes_of(a) == before
    assert a.end() == 0


def test_a_worker_that_fails_three_jobs_takes_no_more_until_it_is_cured(
    yard: Yard, clips: Clips
) -> None:
    clip = clips.video("second.mp4", seconds=1)
    broken = OwnFFmpeg.made(yard.folder, clips.ffmpeg)
    with yard.broker_kept():
        good = yard.start("good", wait=False)
        bad = yard.start("bad", "gpu_queue", wait=False, ffmpeg=str(broken.script))
        ready(good, bad)
        broken.fail()
        text = {"text_animation_text": "Hi"}  # both listen to the queue of these
        jobs = [yard.submit(video(clip))]
        held = hold(yard)  # the good one has to do
        jobs += [yard.submit(video(clip, **text)) for _ in range(3)]
        wait_for(lambda: worker_row(yard, bad).quarantine, "the quarantine")
        assert [told_one["worker_id"] for told_one in told(yard, "workers")
                if told_one["quarantine"]] == [bad.name]  # fmt: skip
        jobs.append(yard.submit(video(clip, **text)))
        let_go(held)
        for job_id in jobs:
            assert yard.wait_for_end(job_id).status is JobStatus.COMPLETED
        failed_once = [(bad.name, AttemptOutcome.FAILED), (good.name, AttemptOutcome.COMPLETED)]
        assert [yard.outcomes(job_id) for job_id in jobs[1:4]] == [failed_once] * 3
        assert done_once(yard, jobs[0], jobs[4]) == [good.name] * 2
        assert worker_row(yard, bad).quarantine is not None

        broken.work()
        wait_for(lambda: worker_row(yard, bad).quarantine is None, "the examination to be passed")
        assert good.end() == 0
        cured = yard.submit(video(clip, start=0.1, **text))
        assert done_once(yard, cured) == [bad.name]
        nothing_left(yard)


def test_a_worker_without_a_working_ffmpeg_still_obeys(yard: Yard, clips: Clips) -> None:
    broken = OwnFFmpeg.made(yard.folder, clips.ffmpeg)
    a = yard.start("a", ffmpeg=str(broken.script))
    broken.fail(always=True)
    clip = clips.video("second.mp4", seconds=1)
    jobs = [yard.submit(video(clip)) for _ in range(3)]
    reason = wait_for(lambda: worker_row(yard, a).quarantine, "the quarantine")
    assert reason is not None and "the device is lost" in reason
    states = {yard.state(job_id).status for job_id in jobs}
    assert JobStatus.QUEUED in states
    assert JobStatus.COMPLETED not in states
    told(yard, "drain", "a")
    assert a.process.wait(WITHIN) == 0
    assert "Traceback" not in a.said()
