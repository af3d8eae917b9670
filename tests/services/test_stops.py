"""Stopping: whoever stops a job, it ends within two seconds and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.errors import BigQueryUnavailable
from reelyard.domain.farm import AttemptOutcome, Submission
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.services.outputs import REPORT_SUFFIX
from tests.acceptance.station import ffmpegs_in, gone_soon, sha256
from tests.conftest import Clips

from .conftest import SOON, Share, Siding, Turn, held_ffmpeg, wait_for

VAST = 400 << 30
"""Bytes of a file that nobody can read within any test; it is sparse and takes no room."""


@pytest.fixture
def held(request: pytest.FixtureRequest, warm: Siding, clips: Clips) -> Iterator[Siding]:
    """A warm siding with an FFmpeg that hangs at commands with the words of the mark."""
    warm.settings["ffmpeg"] = held_ffmpeg(warm.folder, clips.ffmpeg, *request.param)
    yield warm
    (warm.folder / "hold").unlink(missing_ok=True)


def hangs(siding: Siding) -> None:
    wait_for((siding.folder / "hangs").exists, "FFmpeg to hang")


def assert_nothing_is_left(siding: Siding, job_id: str) -> None:
    assert (siding.made(), siding.leftovers()) == ([], [])
    assert gone_soon(siding.farm.settings.cache_dir)
    worker = siding.farm.workers.get("pc1")
    assert worker is not None and worker.job_id is None
    assert "completed" not in "".join(siding.log(job_id))


def assert_cancelled(siding: Siding, job_id: str) -> None:
    """Cancelled for good, with nothing left but the logs."""
    assert_nothing_is_left(siding, job_id)
    state = siding.state(job_id)
    assert (state.status, state.attempts, state.waiting_for) == (JobStatus.CANCELLED, 0, None)
    assert [one.outcome for one in siding.farm.jobs.attempts(job_id)] == [AttemptOutcome.CANCELLED]
    assert siding.sweep().outbox.due() == []


def unchecked(siding: Siding, *paths: Path) -> str:
    """A job that nobody looked at before it was stored; its id."""
    job = siding.job(*({"item_type": "video", "path": path} for path in paths))
    siding.farm.jobs.add(job, Submission(user_id=siding.user, frames=30))
    return job.job_id


def test_cancelled_while_its_sources_are_copied(siding: Siding, clip: Path) -> None:
    """A hundred files, five at a time, each in half a second: more than anybody waits for."""
    sources = [siding.share / f"{n}.mp4" for n in range(100)]
    for path in sources:
        os.link(clip, path)
    opened: list[str] = []

    def slowly(path: str) -> None:
        opened.append(path)
        time.sleep(0.5)

    job_id = unchecked(siding, *sources)
    turn = Turn(siding.worker(share=Share(slowly)), job_id)
    wait_for(lambda: len(opened) > 5, "the second round of copies")
    siding.farm.jobs.cancel(job_id)
    cancelled_at = time.monotonic()
    assert turn.ends() is JobStatus.CANCELLED
    assert turn.ended_at - cancelled_at < SOON
    assert len(opened) < 50
    assert_cancelled(siding, job_id)
    assert "stopped: the job was cancelled" in siding.log(job_id)


class AwayLater:
    """A catalogue that can be reached once."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths: Mapping[str, str] | None = paths

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        found, self._paths = self._paths, None
        if found is None:
            raise BigQueryUnavailable("BigQuery is away")
        return found


def test_cancelled_while_the_catalogue_is_away(siding: Siding, clip: Path) -> None:
    """It is asked again, for what was copied; that must not keep the worker from ending in order."""
    siding.farm.reelyard.library.add({"a": str(clip)})
    job_id = siding.submit({"item_type": "video", "video_id": "a"}).state.job_id

    def cancel(stage: str) -> None:
        if stage == "probing":
            siding.farm.jobs.cancel(job_id)

    catalogue = AwayLater({"a": str(clip)})
    work = replace(siding.worker(told=cancel), catalogue=lambda: catalogue)
    assert work(job_id, None) is JobStatus.CANCELLED
    assert_cancelled(siding, job_id)
    assert "the rest is left to the sweep: BigQuery is away" in siding.log(job_id)


def test_cancelled_while_its_sources_are_probed(siding: Siding, clip: Path) -> None:
    vast = siding.folder / "vast.mp4"
    vast.write_bytes(clip.read_bytes())
    os.truncate(vast, VAST)
    job_id = unchecked(siding, vast)
    seen: list[str] = []
    turn = Turn(siding.worker(told=seen.append), job_id)
    wait_for(lambda: "probing" in seen, "the probe to begin")
    siding.farm.jobs.cancel(job_id)
    cancelled_at = time.monotonic()
    assert turn.ends() is JobStatus.CANCELLED
    assert turn.ended_at - cancelled_at < SOON
    assert_cancelled(siding, job_id)
    assert not any(line.startswith(("probed", "planned")) for line in siding.log(job_id))


def test_cancelled_while_it_is_rendered(siding: Siding, clips: Clips) -> None:
    """FFmpeg itself is at work: a clip that takes far longer than two seconds."""
    job_id = siding.film(clips.video("siding-long.mp4", seconds=60))
    cache = siding.farm.settings.cache_dir
    turn = Turn(siding.worker(), job_id)
    wait_for(lambda: len(ffmpegs_in(cache)) >= 2, "two FFmpegs at work")
    siding.farm.jobs.cancel(job_id)
    cancelled_at = time.monotonic()
    assert turn.ends() is JobStatus.CANCELLED
    assert turn.ended_at - cancelled_at < SOON
    assert ffmpegs_in(cache) == set()
    assert_cancelled(siding, job_id)


@pytest.mark.parametrize("held", [["film.ffconcat"]], indirect=True)
def test_cancelled_while_it_is_joined(held: Siding, clip: Path) -> None:
    job_id = held.film(clip)
    turn = Turn(held.worker(), job_id)
    hangs(held)
    wait_for(lambda: held.state(job_id).stage == "joining", "its row to say so")
    held.farm.jobs.cancel(job_id)
    cancelled_at = time.monotonic()
    assert turn.ends() is JobStatus.CANCELLED
    assert turn.ended_at - cancelled_at < SOON
    assert_cancelled(held, job_id)


MANY = 800
"""Items of one still: made once, shown often, so that finishing the film is most of the work."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """A cache that has all of such a film."""
    folder = tmp_path_factory.mktemp("many")
    with closing(Siding(folder)) as one:
        job = one.job(*many_stills(clips))
        prepared = one.submitting.preflight(job)
        one.farm.jobs.add(job, Submission(user_id=one.user, frames=prepared.plan.frames))
        turn = Turn(one.worker(), job.job_id)
        wait_for(lambda: one.state(job.job_id).stage in ("joining", "verifying"), "all pieces")
        one.farm.jobs.cancel(job.job_id)
        turn.ends()
    return folder / "cache"


def many_stills(clips: Clips) -> list[dict[str, Any]]:
    black = ("-f", "lavfi", "-i", "color=black:s=64x64:d=1:r=1", "-frames:v", "1", "-update", "1")
    return [{"item_type": "image", "path": clips.make("black.png", *black), "duration": 0.1}] * MANY


@pytest.mark.parametrize("stage", ["joining", "verifying"])
def test_cancelled_while_a_film_of_many_items_is_finished(
    siding: Siding, many: Path, clips: Clips, stage: str
) -> None:
    shutil.copytree(many, siding.folder / "cache", copy_function=os.link)
    job_id = siding.submit(*many_stills(clips)).state.job_id
    seen: list[str] = []
    turn = Turn(siding.worker(told=seen.append), job_id)
    wait_for(lambda: stage in seen, f"{stage} to begin")
    siding.farm.jobs.cancel(job_id)
    cancelled_at = time.monotonic()
    assert turn.ends() is JobStatus.CANCELLED
    assert turn.ended_at - cancelled_at < SOON
    assert_cancelled(siding, job_id)


@pytest.mark.parametrize(
    "stage", ["probing", "rendering", "joining", "verifying", "publishing", "permitted", "done"]
)
def test_cancelled_the_moment_a_stage_begins(warm: Siding, clip: Path, stage: str) -> None:
    """The last two: after the permit to publish, and when the film is there for all to see."""
    job_id = warm.film(*warm.put(clip))
    seen: list[str] = []

    def cancel(now: str) -> None:
        seen.append(now)
        if now == stage:
            if stage == "done":
                assert warm.output(job_id).exists()
            assert warm.farm.jobs.cancel(job_id).status is JobStatus.CANCELLED

    assert warm.worker(told=cancel)(job_id, None) is JobStatus.CANCELLED
    assert stage in seen
    assert_cancelled(warm, job_id)
    if stage in ("permitted", "done"):
        assert any("taken back" in line for line in warm.log(job_id))
    else:
        assert "permitted" not in seen
    # And so it stays: nobody has anything left to do for it.
    sweep = warm.sweep()
    sweep.clean_up()
    assert (warm.status(job_id), warm.made()) == (JobStatus.CANCELLED, [])
    assert sweep.duties.to_clean_up() == []


def test_a_film_that_was_there_before_is_not_taken_along(warm: Siding, clip: Path) -> None:
    """Cancelling takes back what this job published, and no other job's film."""
    neighbour, job_id = warm.film(clip), warm.film(clip)
    warm.worker()(neighbour, None)
    before = warm.made()

    def told(stage: str) -> object:
        return stage == "done" and warm.farm.jobs.cancel(job_id)

    assert warm.worker(told=told)(job_id, None) is JobStatus.CANCELLED
    assert warm.made() == before and len(before) == 3


@pytest.mark.parametrize("held", [["segment.mp4", "siding-third.mp4"]], indirect=True)
def test_a_retry_renders_only_what_is_missing_and_its_bytes_are_the_same(
    held: Siding, clip: Path, other: Path, clips: Clips, tmp_path: Path
) -> None:
    third = clips.video("siding-third.mp4", seconds=1, picture="rgbtestsrc")
    reference = Siding(tmp_path, {"cache_dir": tmp_path / "undisturbed"})
    with closing(reference):
        wanted = reference.film(clip, third, other)
        assert reference.worker()(wanted, None) is JobStatus.COMPLETED
    held.farm.reelyard.cache.clear()
    job_id = held.film(clip, third, other)
    turn = Turn(held.worker(), job_id)
    hangs(held)
    done = [f"rendered item {n} part 1: 30 frames" for n in (1, 3)]
    wait_for(
        lambda: all(any(line.startswith(one) for line in held.log(job_id)) for one in done),
        "both others to be rendered",
    )
    held.farm.jobs.cancel(job_id)
    assert turn.ends() is JobStatus.CANCELLED
    (held.folder / "hold").unlink()
    assert held.farm.jobs.retry(job_id).status is JobStatus.QUEUED
    assert held.worker()(job_id, None) is JobStatus.COMPLETED
    report = json.loads(held.output(job_id).with_suffix(REPORT_SUFFIX).read_text())
    assert [[one["cached"] for one in item["segments"]] for item in report["items"]] == [
        [True],
        [False],
        [True],
    ]
    assert report["cache"] == {
        "taken": 3,
        "rendered": 1,
        "by_helpers": 0,
    }  # the film's sound is the third
    assert [one.cached for one, _ in held.farm.jobs.segments(job_id)] == [True, False, True]
    assert sha256(held.output(job_id)) == sha256(held.output(wanted))
    assert (held.state(job_id).attempts, held.leftovers()) == (0, [])


@pytest.mark.parametrize("held", [["film.ffconcat"]], indirect=True)
@pytest.mark.parametrize("how", ["its process is told to end", "the farm tells it to stop"])
def test_a_worker_that_has_to_stop_hands_its_job_back(held: Siding, clip: Path, how: str) -> None:
    told = threading.Event()
    held.must_stop = told.is_set
    job_id = held.film(*held.put(clip))
    place = held.state(job_id).queued_at
    turn = Turn(held.worker(), job_id)
    hangs(held)
    if how == "the farm tells it to stop":
        held.farm.workers.tell("pc1", Order.STOP)
    else:
        told.set()
    told_at = time.monotonic()
    assert turn.ends() is JobStatus.QUEUED
    assert turn.ended_at - told_at < SOON
    assert_nothing_is_left(held, job_id)
    state = held.state(job_id)
    assert (state.status, state.attempts, state.progress) == (JobStatus.QUEUED, 0, 0)
    assert (state.error_message, state.waiting_for, state.not_before) == (None, None, None)
    assert state.queued_at == place
    (attempt,) = held.farm.jobs.attempts(job_id)
    assert attempt.outcome is AttemptOutcome.HANDED_BACK
    # Whoever asks next has it, even the same worker once it is back.
    told.clear()
    (held.folder / "hold").unlink()
    assert held.worker()(job_id, None) is JobStatus.COMPLETED
    assert held.state(job_id).attempts == 0


def test_a_worker_that_has_to_stop_takes_no_job(warm: Siding, clip: Path) -> None:
    warm.must_stop = lambda: True
    job_id = warm.film(clip)
    assert warm.worker()(job_id, None) is None
    assert (warm.status(job_id), warm.state(job_id).token) == (JobStatus.QUEUED, 0)


@pytest.mark.parametrize("held", [["film.ffconcat"]], indirect=True)
def test_an_attempt_that_takes_too_long_has_failed(held: Siding, clip: Path) -> None:
    job_id = held.film(*held.put(clip))
    begun = time.monotonic()
    assert held.worker(time_limit=1.0)(job_id, None) is JobStatus.QUEUED
    assert 1.0 <= time.monotonic() - begun < 1.0 + SOON
    assert_nothing_is_left(held, job_id)
    state = held.state(job_id)
    assert (state.attempts, state.waiting_for) == (1, None)
    assert state.error_message == "took longer than 1 s"
    (attempt,) = held.farm.jobs.attempts(job_id)
    assert attempt.outcome is AttemptOutcome.FAILED
    worker = held.farm.workers.get("pc1")
    assert worker is not None and worker.failures == 1


def test_a_job_cancelled_while_it_waits_is_never_begun(warm: Siding, clip: Path) -> None:
    job_id = warm.film(clip)
    warm.farm.jobs.cancel(job_id)
    seen: list[str] = []
    assert warm.worker(told=seen.append)(job_id, None) is None
    assert (seen, warm.made(), warm.state(job_id).log_folder) == ([], [], None)
    warm.farm.jobs.retry(job_id)
    assert warm.worker()(job_id, None) is JobStatus.COMPLETED


def test_cancelled_and_retried_while_it_is_published(warm: Siding, clip: Path) -> None:
    """Its film is not one that a queued job has; and cancelling that job leaves none behind."""
    job_id = warm.film(clip)

    def at(stage: str) -> None:
        if stage == "done":
            warm.farm.jobs.cancel(job_id)
            warm.farm.jobs.retry(job_id)

    assert warm.worker(told=at)(job_id, None) is JobStatus.QUEUED
    warm.farm.jobs.cancel(job_id)
    warm.sweep().clean_up()
    assert (warm.made(), warm.leftovers()) == ([], [])
