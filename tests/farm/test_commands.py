"""The farm's commands as people and programs use them: waiting, watching, refusals, the whole farm."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from reelyard.domain.farm import AttemptOutcome, Worker
from reelyard.domain.lifecycle import JobStatus, WorkerState
from tests.conftest import Clips

from .levers import hold, job_file, let_go, nothing_left, running, told, video
from .yard import Yard, wait_for


@pytest.fixture
def kept(yard: Yard) -> Iterator[Yard]:
    """Its broker is nobody's among the workers."""
    with yard.broker_kept():
        yield yard


def test_whoever_waits_watches_or_reads_along_is_told_to_the_end(kept: Yard, clips: Clips) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    file = job_file(yard, clip)
    with running(yard, "submit", file, "--wait", "--json") as waiting:
        assert waiting.stdout is not None
        submitted = json.loads(waiting.stdout.readline())
        job_id = submitted["job_id"]
        (queued,) = told(yard, "status")
        assert [one["job_id"] for one in queued["jobs"]] == [job_id]
        assert (queued["workers"], queued["all_done_in"]) == ([], None)
        with running(yard, "logs", job_id[:8], "-f") as reading:
            a = yard.start("a", wait=False)
            held = hold(yard)
            wait_for(lambda: yard.state(job_id).stage == "rendering", "the stage")
            (busy,) = told(yard, "status")
            (worker,) = busy["workers"]
            assert (worker["worker_id"], worker["job_id"]) == (a.name, job_id)
            assert busy["jobs"][0]["done_in"] > 0
            assert busy["all_done_in"] >= busy["jobs"][0]["done_in"]
            assert busy["counts"] == {"processing": 1}
            (single,) = told(yard, "status", job_id)
            assert (single["status"], single["worker_id"]) == ("processing", a.name)
            let_go(held)
            said = waiting.stdout.read()
            read, _ = reading.communicate(timeout=60)
        assert (waiting.wait(60), reading.returncode) == (0, 0)
    assert read == yard.job_log(job_id)
    assert "completed in" in read.splitlines()[-1]
    *progress, ended = map(json.loads, said.splitlines())
    assert (ended["event"], ended["job_id"], ended["status"]) == ("job", job_id, "completed")
    percents = [one["percent"] for one in progress]
    assert percents == sorted(percents)
    (done,) = told(yard, "status")
    assert (done["jobs"], [one["job_id"] for one in done["recent"]]) == ([], [job_id])


def test_waiting_for_a_job_that_fails_or_is_cancelled_ends_with_1(kept: Yard, clips: Clips) -> None:
    yard = kept
    fleeting = yard.folder / "fleeting.mp4"
    file = job_file(yard, fleeting)
    shutil.copy(clips.video("second.mp4", seconds=1), fleeting)
    with (
        running(yard, "submit", file, "--wait") as one,
        running(yard, "submit", file, "--wait") as two,
    ):
        wait_for(lambda: len(yard.farm.jobs.list()) == 2, "both jobs")
        first, second = (state.job_id for state in yard.farm.jobs.list())
        with running(yard, "logs", second, "-f") as reading:
            fleeting.unlink()
            yard.farm.jobs.cancel(second)
            reading.communicate(timeout=60)
        yard.start("a")
        yard.wait_for_end(first)
        said = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert (one.returncode, two.returncode) == (1, 1)
    assert sorted(state.status for state in yard.farm.jobs.list()) == ["cancelled", "failed"]
    assert any("fleeting.mp4" in each for each in said)


IN_ONE_PROCESS = """
import contextlib, io, json, sys
from reelyard.cli.main import main
for line in sys.stdin:
    sys.argv = ["reelyard", *line.split()]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    print(json.dumps([line.strip(), code, out.getvalue(), err.getvalue()]), flush=True)
"""


Answers = Callable[..., Iterator[tuple[str, int, str, str]]]


@pytest.fixture
def answers(kept: Yard) -> Iterator[Answers]:
    """Each command with its exit code and what it wrote to stdout and stderr."""
    argv = [sys.executable, "-c", IN_ONE_PROCESS]
    environ = {**kept.environ(), "COLUMNS": "160"}
    with subprocess.Popen(
        argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask(*lines: str) -> Iterator[tuple[str, int, str, str]]:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in lines:
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
                asked, code, out, err = json.loads(process.stdout.readline())
                yield asked, code, out, err

        yield ask


def test_what_can_not_be_done_is_refused_and_what_can_be_is_shown_in_words(
    kept: Yard, clips: Clips, answers: Answers
) -> None:
    yard, clip = kept, clips.video("second.mp4", seconds=1)
    a = yard.start("a")
    done, cancelled = yard.submit(video(clip)), yard.submit(video(clip))
    yard.farm.jobs.cancel(cancelled)
    yard.wait_for_end(done)

    unknown = "01234567-89ab-cdef-0123-456789abcdef"
    refused = [
        *(f"{order} nobody" for order in ("drain", "pause", "resume", "stop")),
        *(f"{verb} {job}" for job in (unknown, "nonsense")
          for verb in ("cancel", "retry", "status", "logs", "move --first")),
        f"cancel {done}", f"retry {done}", f"move --first {done}", f"cancel {cancelled}",
        f"move {cancelled} --priority 3", "workers --forget a", "workers --forget nobody", f"logs {cancelled}",
    ]  # fmt: skip
    for line, code, out, err in answers(*refused):
        assert (line, code, out) == (line, 2, "")
        assert err.startswith("reelyard: ")
        assert err.count("\n") == 1
    asked = [f"{line} --json" for line in refused if not line.startswith("logs")]
    for line, code, out, err in answers(*asked):
        assert (line, code, err) == (line, 2, "")
        error = json.loads(out)
        assert error["event"] == "error"
        assert error["message"] and error["remedy"]
    assert yard.state(done).status is JobStatus.COMPLETED
    assert yard.state(cancelled).status is JobStatus.CANCELLED
    assert a.process.poll() is None

    shown = {
        "status": (done[:8], cancelled[:8], "completed", a.name),
        f"status {done[:8]}": (done, "published", a.name),
        f"logs {done}": ("taken by a@yard", "completed in"),
        "workers": (a.name, "idle", "libx264", "4k gpu default"),
        "pause a": (a.name, "told to pause"),
        "resume a@yard": (a.name, "idle"),
        f"retry {cancelled}": (cancelled, "default_queue"),
    }
    for line, code, out, err in answers(*shown):
        assert (line, code, err) == (line, 0, "")
        assert not [word for word in shown[line] if word not in out], out
    assert yard.wait_for_end(cancelled).status is JobStatus.COMPLETED


def test_the_whole_farm_comes_up_keeps_its_workers_and_ends(yard: Yard, clips: Clips) -> None:
    clip = clips.video("second.mp4", seconds=1)
    file = job_file(yard, clip)
    workers = yard.farm.workers

    def at_work() -> list[Worker]:
        found = [one for one in workers.list() if one.is_alive]
        return found if len(found) == 2 else []

    with running(yard, "up", "--workers", "2", "--no-server") as up:
        one, two = wait_for(at_work, "two workers")
        with running(yard, "submit", file, "--wait") as waiting:
            waiting.communicate(timeout=60)
        assert waiting.returncode == 0

        psutil.Process(one.pid).kill()
        again = wait_for(
            lambda: [each for each in at_work() if each.pid not in (one.pid, two.pid)],
            "a killed worker to be started again",
        )
        assert [each.worker_id for each in again] == [one.worker_id]

        told(yard, "drain", two.worker_id)
        wait_for(lambda: not psutil.pid_exists(two.pid), "a drained worker to end")
        told(yard, "workers", "--forget", two.worker_id)

        job_id = yard.submit(video(clip, start=0.1))
        hold(yard)
        family = [psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)]
        assert len(family) >= 5  # itself, a broker, a worker with its pool, FFmpeg
        up.terminate()
        assert up.wait(30) == 0
        assert not [each for each in family if each.is_running()]
    assert yard.state(job_id).status is JobStatus.QUEUED
    assert [outcome for _, outcome in yard.outcomes(job_id)] == [AttemptOutcome.HANDED_BACK]
    (last,) = workers.list()
    assert (last.worker_id, last.state) == (one.worker_id, WorkerState.OFFLINE)
    nothing_left(yard)
