"""Several real workers on one job: the film is the same, whoever comes, goes or dies."""

from __future__ import annotations

import hashlib
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.help import OfferState
from reelyard.domain.lifecycle import JobStatus
from tests.conftest import Clips

from .levers import nothing_left, ready, video
from .yard import WorkerProcess, Yard, wait_for

SEGMENTS = 18
LEAVES_WITHIN = 5.0
"""Seconds until a helper has begun with a job of its own; alone on a machine it is one."""


@dataclass(frozen=True)
class Crew:
    """A yard whose workers each have an FFmpeg of their own, which takes its time for a segment, and none of the processor's."""

    yard: Yard
    ffmpeg: Path

    def script(self, name: str) -> Path:
        return self.yard.folder / f"{name}-ffmpeg"

    def start(
        self, name: str, *, how: str = "reelyard", queues: str = "", **own: str
    ) -> WorkerProcess:
        script = self.script(name)
        script.write_text(f"""#!/bin/sh
case "$*" in *segment.mp4*) sleep 0.5; while [ -e "$0.hold" ]; do sleep 0.05; done ;; esac
exec {self.ffmpeg} "$@"
""")
        script.chmod(0o755)
        return self.yard.start(name, queues, how=how, wait=False, ffmpeg=str(script), **own)

    def hold(self, name: str) -> None:
        """No segment of this worker gets finished."""
        Path(f"{self.script(name)}.hold").touch()

    def let_go(self, name: str) -> None:
        Path(f"{self.script(name)}.hold").unlink()

    def submit(self, clip: Path) -> str:
        return self.yard.submit(video(clip), draft=True)

    def makers(self, job_id: str) -> Counter[str | None]:
        """Who has made how many of the segments that are offered, so far."""
        standings = self.yard.farm.offers.standing(job_id)
        return Counter(one.worker_id for one in standings if one.state is OfferState.DONE)

    def is_at_it(self, job_id: str, worker: WorkerProcess) -> bool:
        """Whether a worker has a segment of the job in the making."""
        standings = self.yard.farm.offers.standing(job_id)
        return any(one.is_held and one.worker_id == worker.name for one in standings)

    def rendered(self, job_id: str) -> Counter[str]:
        """How often each segment was rendered, by the logs of all machines."""
        logs = (self.yard.folder / "logs").glob(f"*/*/jobs/*_{job_id}/**/job.log")
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return Counter(re.findall(r"rendered (item \d+ part \d+)", "\n".join(lines)))

    def completes(self, job_id: str) -> None:
        """In one attempt."""
        state = self.yard.wait_for_end(job_id)
        assert state.status is JobStatus.COMPLETED, state
        outcomes = [outcome for _, outcome in self.yard.outcomes(job_id)]
        assert outcomes == [AttemptOutcome.COMPLETED]

    def is_idle(self, worker: WorkerProcess) -> bool:
        known = self.yard.farm.workers.get(worker.name)
        return known is not None and known.helps is None and known.job_id is None

    def film(self, job_id: str) -> str:
        path = self.yard.state(job_id).output_path
        assert path is not None
        return _hash(Path(path))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def long(clips: Clips) -> Path:
    """Nine seconds, of which workers make 18 segments."""
    return clips.video("help.mp4", seconds=9)


@pytest.fixture(scope="session")
def alone(long: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The film of it as one machine makes it that asks nobody."""
    from reelyard.services.job_file import parse_job
    from reelyard.settings import Settings

    folder = tmp_path_factory.mktemp("alone")
    settings = Settings(cache_dir=folder / "cache", log_dir=folder / "logs", segment_seconds=0.5)
    job = parse_job(
        {"channel_name": "Yard", "draft": True, "items": [{**video(long), "path": str(long)}]},
        folder,
    )
    Reelyard(settings, encoder="libx264").render_job(job, folder / "film.mp4")
    return _hash(folder / "film.mp4")


@pytest.fixture
def crew(yard: Yard, clips: Clips) -> Iterator[Crew]:
    yard.folder.mkdir(parents=True, exist_ok=True)
    yard.own = {"segment_seconds": "0.5", "jobs": "1"}
    with yard.broker_kept():
        yield Crew(yard, clips.ffmpeg)


def test_three_workers_make_one_film(crew: Crew, long: Path, alone: str) -> None:
    """However they were started, also one that only helps; one that is not to help is not asked."""
    yard = crew.yard
    workers = [
        crew.start("pc1"),
        crew.start("pc2", queues="assist_queue"),
        crew.start("pc3", queues="default_queue,assist_queue", how="celery"),
    ]
    idle = crew.start("pc4", queues="4k_queue", assist="false")
    ready(*workers, idle)
    job_id = crew.submit(long)
    wait_for(lambda: len(crew.makers(job_id)) == 3, "all three to have made some")
    crew.completes(job_id)
    assert crew.film(job_id) == alone
    assert crew.rendered(job_id) == Counter(
        {f"item 1 part {part}": 1 for part in range(1, SEGMENTS + 1)}
    )
    for one in workers:
        wait_for(lambda: crew.is_idle(one), "it to be idle")  # noqa: B023
    assert "assist_compilation" in idle.said() and "Task assist_compilation" not in idle.said()
    nothing_left(yard)


def test_helpers_that_die_cost_nothing(crew: Crew, long: Path, alone: str) -> None:
    """A whole worker, or its pool's process: the owner makes what they had, and the worker helps again."""
    yard = crew.yard
    owner = crew.start("pc1")
    ready(owner)
    job_id = crew.submit(long)
    yard.wait_until(job_id, lambda state: state.worker_id == owner.name, "the owner to begin")
    crew.hold("pc1")
    crew.hold("pc2")
    crew.hold("pc3")
    first, second = crew.start("pc2"), crew.start("pc3")
    for one in (first, second):
        wait_for(lambda: crew.is_at_it(job_id, one), f"{one.name} to help")  # noqa: B023
    second.kill()
    (pool,) = psutil.Process(first.process.pid).children()
    pool.send_signal(signal.SIGKILL)
    crew.let_go("pc1")
    crew.let_go("pc2")
    crew.completes(job_id)
    assert crew.film(job_id) == alone
    assert first.said().count(": helping") >= 2
    nothing_left(yard)


def test_an_owner_that_dies_costs_what_it_had_in_the_making(
    crew: Crew, long: Path, alone: str
) -> None:
    yard = crew.yard
    owner = crew.start("pc1")
    ready(owner)
    job_id = crew.submit(long)
    yard.wait_until(job_id, lambda state: state.worker_id == owner.name, "the owner to begin")
    helper = crew.start("pc2")
    wait_for(lambda: crew.makers(job_id)[helper.name] >= 3, "help")
    owner.kill()
    state = yard.wait_for_end(job_id)
    assert state.status is JobStatus.COMPLETED, state
    assert yard.outcomes(job_id) == [
        (owner.name, AttemptOutcome.LOST),
        (helper.name, AttemptOutcome.COMPLETED),
    ]
    assert crew.film(job_id) == alone
    assert set(crew.rendered(job_id).values()) == {1}
    nothing_left(yard)


def held_helper(crew: Crew, clip: Path) -> tuple[str, WorkerProcess]:
    """A job of pc1's, and pc2 in the middle of a segment of it; both are held there."""
    owner = crew.start("pc1")
    ready(owner)
    job_id = crew.submit(clip)
    crew.yard.wait_until(job_id, lambda state: state.worker_id == owner.name, "the owner to begin")
    crew.hold("pc1")
    crew.hold("pc2")
    helper = crew.start("pc2")
    wait_for(lambda: crew.is_at_it(job_id, helper), "help")
    return job_id, helper


def test_a_helper_leaves_for_a_job_of_its_own(
    crew: Crew, long: Path, alone: str, clips: Clips
) -> None:
    """At once: it does not finish what it has in the making."""
    yard = crew.yard
    job_id, helper = held_helper(crew, long)
    begun = time.monotonic()
    own = crew.submit(clips.video("short.mp4", seconds=2))
    yard.wait_until(own, lambda state: state.worker_id == helper.name, "the helper to take it")
    assert time.monotonic() - begun < LEAVES_WITHIN
    assert not crew.is_at_it(job_id, helper)
    crew.let_go("pc1")
    crew.let_go("pc2")
    crew.completes(own)
    crew.completes(job_id)
    assert crew.film(job_id) == alone
    nothing_left(yard)


def test_a_helper_that_is_told_to_end_leaves_nothing_claimed(crew: Crew, long: Path) -> None:
    yard = crew.yard
    job_id, helper = held_helper(crew, long)
    assert helper.end() == 0
    assert not crew.is_at_it(job_id, helper)
    assert ", and left: the worker was told to stop" in helper.said()
    yard.farm.jobs.cancel(job_id)
    nothing_left(yard)


def test_machines_with_caches_of_their_own_meet_in_the_segment_store(
    crew: Crew, long: Path, alone: str
) -> None:
    yard = crew.yard
    yard.own["segment_store"] = str(yard.folder / "store")
    other = yard.folder / "other"
    first = crew.start("pc1")
    second = crew.start("pc2", cache_dir=str(other / "cache"), data_dir=str(yard.folder / "data"))
    ready(first, second)
    job_id = crew.submit(long)
    owner = str(
        yard.wait_until(job_id, lambda state: state.worker_id is not None, "it to begin").worker_id
    )
    (helper,) = {first.name, second.name} - {owner}
    wait_for(lambda: crew.makers(job_id)[helper] >= 2, "help")
    crew.completes(job_id)
    assert crew.film(job_id) == alone
    nothing_left(yard)
    assert list((other / "cache" / "work").iterdir()) == []
