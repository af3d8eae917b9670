"""What a job leaves in the books, what is seen of it on its way there, and how long that will take."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from reelyard.domain.farm import JobState, Result
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE
from reelyard.services.job_file import parse_job
from tests.conftest import Cli, Clips

from .test_prefetch import Station, completed, settle, station, video
from .test_shares import PC1, nobody_at_work, one_failed
from .yard import ENDED, Yard, wait_for


@pytest.fixture(scope="module")
def works_for_all(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("works")
    with station(folder, clips, "prefork", lease_seconds="60") as one:
        yield one


@pytest.fixture
def works(works_for_all: Station) -> Iterator[Station]:
    """A worker with nothing to do, and a lease so long that heartbeats of their own are rare."""
    yield works_for_all
    settle(works_for_all.yard)


def result_of(yard: Yard, job_id: str) -> Result:
    (result,) = yard.results(job_id)
    return result


def everything(one: Station, clips: Clips) -> tuple[list[dict[str, Any]], Path]:
    """Items with all that results tell of, two of them videos; and the source of the second."""
    logo = clips.picture("mark.png", size="64x36")
    second = one.share.clip()
    short = {"end": 0.1}
    return [
        {"item_type": "intro", "path": one.share.clip(), **short},
        {"item_type": "video", "path": one.share.clip(), **short, "logo_path": logo},
        {"item_type": "video", "path": second, **short, "text_animation_text": "Hi"},
        {"item_type": "image", "path": logo, "duration": 0.1},
    ], second


def test_the_result_of_a_completed_job(works: Station, clips: Clips) -> None:
    yard = works.yard
    items, _ = everything(works, clips)
    job_id = yard.submit(*items, enable_4k=True, channel_name="Around the World")
    completed(yard, job_id)
    state, result = yard.state(job_id), result_of(yard, job_id)
    assert state.started_at is not None
    assert state.completed_at is not None
    assert result == Result(
        job_id=job_id,
        username="tester",
        channel_name="Around the World",
        timestamp=state.completed_at,
        video_count=2,
        total_duration=12 / FRAME_RATE,
        output_path=str(yard.folder / "out" / f"Around the World_{job_id}.mp4"),
        worker_id=PC1,
        features_used=("logo_overlay", "text_animation", "image_slides", "4k_output"),
        processing_time=result.processing_time,
        status=JobStatus.COMPLETED,
    )
    assert Path(result.output_path or "").is_file()
    (attempt,) = yard.farm.jobs.attempts(job_id)
    whole = (state.completed_at - state.started_at).total_seconds()
    assert attempt.figures["render_seconds"] <= result.processing_time <= whole + 0.01


def test_a_plain_job_of_somebody_whom_nobody_knows(works: Station) -> None:
    farm = works.yard.farm
    items = [{"item_type": "outro", "path": str(works.share.clip())}]
    job = parse_job({"channel_name": "Plain", "items": items}, works.yard.folder)
    farm.submit(job, str(uuid.uuid4()))
    completed(works.yard, job.job_id)
    result = result_of(works.yard, job.job_id)
    assert (result.username, result.features_used, result.video_count) == ("unknown", (), 0)


def test_the_results_of_a_job_that_fails_and_is_retried(works: Station, clips: Clips) -> None:
    yard = works.yard
    items, needed = everything(works, clips)
    with nobody_at_work(yard):
        cancelled = yard.submit(*video(works.share.clip()))
        yard.farm.jobs.cancel(cancelled)
        job_id = yard.submit(*items)
        aside = needed.rename(needed.with_suffix(".aside"))
        begun = time.monotonic()
    state = one_failed(yard, job_id)
    took = time.monotonic() - begun
    failed = result_of(yard, job_id)
    assert failed == Result(
        job_id=job_id,
        username="tester",
        channel_name="Yard",
        timestamp=state.completed_at,  # type: ignore[arg-type]
        video_count=2,
        total_duration=0.0,
        output_path=None,
        worker_id=PC1,
        features_used=("logo_overlay", "text_animation", "image_slides"),
        processing_time=failed.processing_time,
        status=JobStatus.FAILED,
    )
    assert 0 < failed.processing_time < took

    aside.rename(needed)
    yard.farm.wake(yard.farm.jobs.retry(job_id))
    assert yard.wait_for_end(job_id).status is JobStatus.COMPLETED
    wait_for(lambda: len(yard.results(job_id)) == 2, "the second result")
    assert {one.status for one in yard.results(job_id)} == {JobStatus.FAILED, JobStatus.COMPLETED}
    counted = Counter(one.job_id for one in yard.farm.results.list())
    assert counted[job_id] == 2
    assert counted[cancelled] == 0


@dataclass(frozen=True)
class Watched:
    """What a job's row said, each time that it said something new; ``at`` is in seconds."""

    at: float
    state: JobState


def watch(yard: Yard, job_id: str, until: Callable[[JobState], bool]) -> list[Watched]:
    said: list[Watched] = []

    def look() -> bool:
        state = yard.state(job_id)
        if not said or state != said[-1].state:
            said.append(Watched(time.monotonic(), state))
        if state.progress >= 100:
            assert Path(state.output_path or "").is_file()
        return until(state)

    wait_for(look, "the job to get so far", every=0.005)
    return said


def test_progress_says_never_more_than_there_is(works: Station, clips: Clips) -> None:
    yard = works.yard
    with works.gate.slowed(0.4):  # so that there is something to see
        job_id = yard.submit(*video(clips.video("two.mp4", seconds=2)))
        said = watch(yard, job_id, lambda state: state.status in ENDED)
    *before, last = (one.state for one in said)
    assert (last.status, last.progress) == (JobStatus.COMPLETED, 100)
    shown = [state.progress for state in before]
    assert shown == sorted(shown)
    assert len(set(shown)) >= 4
    assert shown[-1] < 100
    film_path = Path(last.output_path or "")
    (attempt,) = yard.farm.jobs.attempts(job_id)
    assert film_path.stat().st_size == attempt.figures["size"]
    with av.open(str(film_path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 60 == last.frames


def test_progress_is_written_at_each_per_cent(works: Station, clips: Clips) -> None:
    """A per cent of this job takes three seconds, and it isn't waited for."""
    yard = works.yard
    clip = clips.video("minute.mp4", seconds=60, picture="color")
    with works.gate.slowed(0.1):
        job_id = yard.submit(*video(clip))
        said = watch(yard, job_id, lambda state: state.progress >= 3)
        yard.farm.jobs.cancel(job_id)
    assert {int(one.state.progress) for one in said} == {0, 1, 2, 3}
    early, *_, late = (one for one in said if one.state.progress > 1)
    rate = (late.state.progress - early.state.progress) / (late.at - early.at)
    left = (100 - late.state.progress) / rate
    assert left / 2 < (late.state.seconds_left or 0.0) < left * 2


def status(cli: Cli, yard: Yard) -> tuple[dict[str, float], float, dict[str, Any]]:
    """When each job will be done, when all will be, and the one worker."""
    done = cli("status", "--json", env=yard.environ())
    assert done.returncode == 0, done.stderr
    farm = json.loads(done.stdout)
    (worker,) = farm["workers"]
    return {job["job_id"]: job["done_in"] for job in farm["jobs"]}, farm["all_done_in"], worker


def test_time_left(cli: Cli, clips: Clips, tmp_path: Path) -> None:
    """From what a worker was measured to do; before that it counts as doing real time."""
    longer = clips.video("longer.mp4", seconds=0.8)
    with station(tmp_path / "new", clips, "prefork", lease_seconds="60") as one:
        yard = one.yard
        speed = None
        for _ in range(2):
            with one.gate.shut():
                first = yard.submit(*video(one.share.clip()))
                one.gate.wait_for_one()
                second = yard.submit(*video(longer))
                done_in, all_done_in, worker = status(cli, yard)
            assert worker["speed"] == speed
            pace = FRAME_RATE * (speed or 1.0)
            assert done_in == {
                first: pytest.approx(12 / pace), second: pytest.approx((12 + 24) / pace)
            }  # fmt: skip
            assert all_done_in == done_in[second]
            completed(yard, first)
            figures = yard.farm.jobs.attempts(first)[0].figures
            assert figures["speed"] == pytest.approx(0.4 / figures["render_seconds"], rel=0.01)
            completed(yard, second)
            speed = yard.farm.workers.list()[0].speed
            assert speed is not None


def test_videos_by_their_ids(works: Station, cli: Cli, write_job: Callable[..., Path]) -> None:
    yard = works.yard
    one, other = works.share.clip(), works.share.clip()
    items = [{"item_type": "video", "video_id": path.stem} for path in (one, other, one)]
    strange = [{"item_type": "video", "video_id": name} for name in ("nobody", "knows")]
    env = yard.environ()

    scanned = cli("library", "scan", works.share.folder, "--json", env=env)
    assert json.loads(scanned.stdout)["ambiguous"] == []
    refused = cli("submit", write_job(*items, *strange), env=env)
    assert refused.returncode != 0
    assert one.stem not in refused.stderr
    for item in strange:
        assert f"no video {item['video_id']} is in the catalogue" in refused.stderr

    accepted = cli("submit", write_job(*items), "--json", "--wait", env=env)
    assert accepted.returncode == 0, accepted.stderr
    job_id = json.loads(accepted.stdout.splitlines()[0])["job_id"]
    log = yard.job_log(job_id)
    assert "found 2 videos in one query" in log
    assert f"copied {one}: " in log
    assert yard.state(job_id).final_duration == pytest.approx(1.2)
