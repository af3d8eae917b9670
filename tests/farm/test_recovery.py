"""Workers die at any moment; the job is done once, in bounded time, and its bytes are the same."""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.farm import AttemptOutcome, JobState
from reelyard.domain.lifecycle import JobStatus
from tests.conftest import Clips, Studio

from .yard import WorkerProcess, Yard, wait_for

KILLS = 5  # for each of four stages
MOST_TRIES = 12
LEASE = 3.0
LOOK = 0.5
"""Seconds between two rounds of the sweep, or of anything else that a worker's life does."""
SEGMENTS = 4
BIG, SMALL = 80_000_000, 100


def test_a_job_is_submitted_rendered_and_published(yard: Yard, clips: Clips) -> None:
    clip = clips.video("short.mp4", seconds=2)
    yard.start("pc1")
    job_id = yard.submit({"item_type": "video", "path": clip})
    state = yard.wait_for_end(job_id)
    assert state.status is JobStatus.COMPLETED, state
    assert state.progress == 100
    assert yard.leftovers() == []


class Stage(IntEnum):
    """How far a job is, by what its log says."""

    QUEUED = 0
    COPYING = 1
    RENDERING = 2
    JOINING = 3  # and verifying
    PUBLISHING = 4
    DONE = 5


def stage_of(log: str) -> Stage:
    """Of the last attempt in a job's log."""
    _, taken, log = log.rpartition(": taken by ")
    if " completed in " in log:
        return Stage.DONE
    if " verified " in log:
        return Stage.PUBLISHING
    if " encoded the sound" in log and segments_in(log) == SEGMENTS:
        return Stage.JOINING
    if " planned " in log:
        return Stage.RENDERING
    return Stage.COPYING if taken else Stage.QUEUED


def segments_in(log: str) -> int:
    """How many were finished."""
    return sum("rendered item" in line and " part " in line for line in log.splitlines())


def beginnings(log: str) -> dict[Stage, float]:
    """When each stage of a job that was not disturbed began."""
    found: dict[Stage, float] = {}
    lines = log.splitlines()
    for number, line in enumerate(lines):
        at = datetime.fromisoformat(line.split()[0]).timestamp()
        found.setdefault(stage_of("\n".join(lines[: number + 1])), at)
    return found


class Crowd:
    """How many threads wanted a processor, all the time: what is done beside slows a job down."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def between(self, begun: datetime, ended: datetime) -> float:
        """For each processor, on average; at least one."""
        among = [n for at, n in self._seen if begun.timestamp() <= at <= ended.timestamp()]
        return max(1.0, statistics.mean(among) / len(os.sched_getaffinity(0)))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
            self._seen.append((time.time(), int(running) - 1))


@dataclass
class Rounds:
    """A farm of three in which one worker after the other dies at its work."""

    yard: Yard
    share: Path
    rng: random.Random
    crowd: Crowd
    film: bytes = b""
    keys: list[str] = field(default_factory=list)
    longest: float = 0.0  # seconds that a job takes when nobody disturbs it, and all is done anew
    pace: float = 0.0  # the same for each thread that wants a processor beside it
    lasts: dict[Stage, float] = field(default_factory=dict)
    reach: float = (
        0.0  # seconds into its stage that the next one dies at the latest; 0: not known yet
    )

    def document(self) -> list[dict[str, Any]]:
        """Two sources that have to be copied and rendered; a new time of theirs makes them new."""
        for path in self.share.iterdir():
            os.utime(path)
        self.yard.farm.reelyard.cache.clear()
        self.yard.farm.fetch.copies.clear()
        return [
            {"item_type": "video", "path": self.share / "one.mp4", "end": 0.7},
            {"item_type": "video", "path": self.share / "two.mp4", "end": 0.6},
        ]

    def undisturbed(self) -> None:
        """One more job that nobody disturbs: how long it takes, what comes of it."""
        job_id = self.yard.submit(*self.document())
        state = self.yard.wait_for_end(job_id)
        self.check(job_id, state)
        assert state.completed_at is not None
        seconds = (state.completed_at - state.created_at).total_seconds()
        crowd = self.crowd.between(state.created_at, state.completed_at)
        self.longest, self.pace = max(self.longest, seconds), max(self.pace, seconds / crowd)
        segments = self.yard.farm.jobs.segments(job_id)
        assert [(one.cached, worker) for one, worker in segments] == [
            (False, state.worker_id)
        ] * SEGMENTS
        self.keys = [one.key for one, _ in segments]
        began = beginnings(self.yard.log_so_far(job_id))
        for stage in list(Stage)[Stage.COPYING : Stage.DONE]:
            lasted = began[Stage(stage + 1)] - began[stage]
            self.lasts[stage] = min(lasted, self.lasts.get(stage, lasted))
        print(f"undisturbed: {seconds:.2f} s, {crowd:.1f} threads for each processor")

    def kill(self, wanted: Stage, *, restart_at_once: bool) -> bool:
        """Kill whoever is at ``wanted``; whether the stage was hit."""
        yard = self.yard
        self.all_ready()
        job_id = yard.submit(*self.document())
        closely = self.lasts[wanted] / 10
        wait_for(lambda: stage_of(yard.log_so_far(job_id)) >= wanted, wanted.name, every=closely)
        delay = self.rng.uniform(0, self.reach or self.lasts[wanted] * 0.8)
        time.sleep(delay)
        owner = yard.state(job_id).worker_id
        victim = yard.worker(owner)
        killed_at = datetime.now(UTC)
        victim.kill()
        log = yard.log_so_far(job_id)
        hit = stage_of(log)
        self.aim(wanted, delay, was_late=hit > wanted)
        kept = [yard.farm.reelyard.cache.holds(key, ".mp4") for key in self.keys]
        assert sum(kept) >= segments_in(log)
        if restart_at_once:
            self.restart(victim)
        state = yard.wait_for_end(job_id)
        print(f"{wanted.name} + {delay:.3f} s: {owner} died {hit.name}", end="")
        self.check(job_id, state)
        if not restart_at_once:
            self.restart(victim)
        if state.worker_id == owner:
            print(": it was done")
            assert yard.outcomes(job_id) == [(owner, AttemptOutcome.COMPLETED)]
            return False
        assert yard.outcomes(job_id) == [
            (owner, AttemptOutcome.LOST), (state.worker_id, AttemptOutcome.COMPLETED)
        ]  # fmt: skip
        assert [one.cached for one, _ in yard.farm.jobs.segments(job_id)] == kept
        self.check_time(killed_at, state)
        return hit is wanted

    def aim(self, wanted: Stage, delay: float, *, was_late: bool) -> None:
        """Sooner after one that came too late, later again after one that did not: what runs beside changes."""
        latest = self.lasts[wanted] * 0.8
        self.reach = delay if was_late else min(latest, 2 * (self.reach or latest))

    def check_time(self, killed_at: datetime, state: JobState) -> None:
        """It was done within lease time plus the work that was lost, which is at most all of it."""
        assert state.started_at is not None
        assert state.completed_at is not None
        crowd = self.crowd.between(state.started_at, state.completed_at)
        freed = (state.started_at - killed_at).total_seconds()
        took = (state.completed_at - state.started_at).total_seconds()
        print(f": taken {freed:.2f} s later, done in {took:.2f} s more; {crowd:.1f} threads")
        if freed + took > LEASE + LOOK + self.work(crowd):
            self.undisturbed()  # other tests may have made the machine slower: all of it is measured anew
        work = self.work(crowd)
        assert freed + took <= LEASE + LOOK + work, (freed, took, crowd, self.longest, self.pace)

    def work(self, crowd: float) -> float:
        """Seconds that all of it takes among so many others."""
        return max(self.longest, self.pace * crowd)

    def restart(self, victim: WorkerProcess) -> None:
        self.yard.start(victim.name.partition("@")[0], wait=False)

    def all_ready(self) -> None:
        alive = [one for one in self.yard.started if one.process.poll() is None]
        wait_for(lambda: all(" ready." in one.said() for one in alive), "the workers to be ready")

    def check(self, job_id: str, state: JobState) -> None:
        """Completed once, the film is the film, nothing is left."""
        yard = self.yard
        assert state.status is JobStatus.COMPLETED, state
        assert state.output_path is not None
        assert Path(state.output_path).read_bytes() == self.film
        completed = [one for one in yard.farm.jobs.history(job_id) if one.what == "complete"]
        assert len(completed) == 1
        (result,) = yard.results(job_id)
        assert (result.status, result.worker_id) == (JobStatus.COMPLETED, state.worker_id)
        films = [path for path in (yard.folder / "out").iterdir() if job_id in path.name]
        assert len(films) == 3, films  # with its report and its contact sheet
        wait_for(lambda: not yard.leftovers(), "the last work folder to be gone", 2)
        assert list((yard.folder / "cache").rglob("*.part")) == []
        assert yard.ffmpegs() == []


def books_take_a_while(yard: Yard) -> None:
    """A film is published, and its job closed, in a moment that nobody can aim at: here SQLite
    has something else to do when it is told of either."""
    counted = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
    with yard.farm.reelyard.database.writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER slow AFTER UPDATE OF stage ON jobs"
            " WHEN NEW.stage IN ('publishing', 'done') AND OLD.stage <> NEW.stage"
            f" BEGIN SELECT count(*) FROM ({counted} SELECT i FROM n); END"
        )


def padded(clip: Path, path: Path, size: int) -> None:
    """The clip with an empty box at its end, so large that copying takes a moment."""
    path.write_bytes(clip.read_bytes() + size.to_bytes(4, "big") + b"free")
    os.truncate(path, clip.stat().st_size + size)


@pytest.fixture
def rounds(
    request: pytest.FixtureRequest, tmp_path: Path, clips: Clips, crowd: Crowd
) -> Iterator[Rounds]:
    """Three workers on a database of this kind, for whom sources of this size lie on a share."""
    database, size = request.param
    seed = int(os.environ.get("YARD_SEED") or time.time())
    print(f"YARD_SEED={seed}")
    folder, share = tmp_path / "yard", tmp_path / "share"
    share.mkdir()
    clip = clips.video("killed.mp4", seconds=1)
    for name in ("one", "two"):
        padded(clip, share / f"{name}.mp4", size)
    url = f"sqlite:///{folder / 'farm.db'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    own = {"remote_roots": str(share), "segment_seconds": "0.4"}
    with closing(Yard(folder, url, lease_seconds=LEASE, own=own)) as yard:
        made = Rounds(yard, share, random.Random(seed), crowd)
        for name in ("pc1", "pc2", "pc3"):
            yard.start(name, wait=name == "pc1")
        alone = Studio(tmp_path / "alone")
        alone.folder.mkdir()
        rendered = alone.render(
            *made.document(), settings={"segment_seconds": 0.4}, channel_name="Yard"
        )
        made.film = rendered.output.read_bytes()
        made.all_ready()
        yield made


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with closing(Crowd()) as one:
        yield one


@pytest.mark.parametrize(
    ("rounds", "stage"),
    [
        (("sqlite", BIG), Stage.COPYING),
        (("sqlite", SMALL), Stage.RENDERING),
        (("postgresql", SMALL), Stage.JOINING),
        (("sqlite", SMALL), Stage.PUBLISHING),
    ],
    indirect=["rounds"],
    ids=["copying", "rendering", "joining", "publishing"],
)
def test_a_killed_workers_job_is_done_by_another(rounds: Rounds, stage: Stage) -> None:
    if stage is Stage.PUBLISHING:
        books_take_a_while(rounds.yard)
    rounds.undisturbed()
    rounds.undisturbed()
    hits = tries = 0
    while hits < KILLS:
        tries += 1
        assert tries <= MOST_TRIES, f"{stage.name} was hit {hits} times only"
        hits += rounds.kill(stage, restart_at_once=tries % 2 == 0)
    rounds.all_ready()
    pins = rounds.yard.farm.fetch.copies.pins
    wait_for(lambda: not pins(), "no copy to be kept for anybody")


def test_a_job_that_takes_three_workers_with_it_is_failed_and_says_so(
    yard: Yard, clips: Clips
) -> None:
    clip = clips.video("poison.mp4", seconds=2)
    for name in ("pc1", "pc2", "pc3"):
        yard.start(name, wait=name == "pc1")
    job_id = yard.submit({"item_type": "video", "path": clip})
    dead: list[str] = []
    for turn in range(1, 4):
        yard.wait_until(job_id, lambda state: state.token == turn, f"turn {turn}")  # noqa: B023
        wait_for(yard.ffmpegs, "FFmpeg to run")
        victim = yard.worker(yard.state(job_id).worker_id)
        dead.append(victim.name)
        victim.kill()
    assert sorted(dead) == ["pc1@yard", "pc2@yard", "pc3@yard"]
    yard.start(dead[-1].partition("@")[0])  # there was nobody left to notice
    state = yard.wait_for_end(job_id)
    assert (state.status, state.attempts) == (JobStatus.FAILED, 3), state
    assert dead[-1] in str(state.error_message)
    assert "3 attempts" in str(state.error_message)
    assert yard.outcomes(job_id) == [(name, AttemptOutcome.LOST) for name in dead]
    (result,) = yard.results(job_id)
    assert (result.status, result.output_path) == (JobStatus.FAILED, None)
    still = {"item_type": "image", "path": clips.picture("poison.png"), "duration": 0.2}
    assert yard.wait_for_end(yard.submit(still)).status is JobStatus.COMPLETED
    assert [one.quarantine for one in yard.farm.workers.list()] == [None] * 3
    assert yard.leftovers() == []
    assert list((yard.folder / "out").glob(f"*{job_id}*")) == []
