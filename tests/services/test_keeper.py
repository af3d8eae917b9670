"""Keeping a job: the lease is renewed, progress is written, and what the database says is obeyed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reelyard.domain.errors import Cancelled, DatabaseUnavailable
from reelyard.domain.farm import Lease, Submission
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.services.keeper import Keeper, Reason, insist
from reelyard.services.progress import Progress, Stage
from reelyard.store.leases import Leases
from tests.servers import PostgresServer

from .conftest import SOON, Siding, Turn, wait_for


@dataclass
class Kept:
    """A job that a keeper keeps."""

    siding: Siding
    lease: Lease
    keeper: Keeper
    said: list[str] = field(default_factory=list)

    def row(self) -> tuple[str, float, float | None]:
        state = self.siding.state(self.lease.job_id)
        return state.stage, state.progress, state.seconds_left

    def shows(self, *row: object) -> None:
        wait_for(lambda: self.row() == row, f"the row to be {row}", 3)

    def at(self, percent: float, stage: Stage = Stage.RENDERING) -> None:
        self.keeper.watch(
            Progress(
                stage=stage, percent=percent, frames_done=0, frames_total=100, speed=2.0,
                seconds_left=9.5, elapsed=1.0,
            )
        )  # fmt: skip


def claimed(siding: Siding, leases: Leases | None = None) -> Lease:
    job = siding.job({"item_type": "video", "path": "/clips/a.mp4"})
    siding.farm.jobs.add(job, Submission(user_id=siding.user, frames=100))
    siding.register()
    claim = (leases or siding.farm.leases).claim("pc1", job.job_id, None)
    assert claim is not None
    return claim.lease


def keep(siding: Siding, lease: Lease, time_limit: float = 60) -> Kept:
    said: list[str] = []
    keeper = Keeper(
        siding.farm.leases, lease, lambda: siding.must_stop(), said.append, time_limit=time_limit
    )
    return Kept(siding, lease, keeper, said)


def expires(siding: Siding) -> list[str]:
    """The jobs that the sweep takes from workers not heard of."""
    return [one.job_id for one in siding.sweep().duties.expire()]


@pytest.fixture
def short(siding: Siding) -> Siding:
    """Short leases."""
    siding.settings["lease_seconds"] = 1.5
    return siding


def test_a_lease_holds_as_long_as_it_is_kept(short: Siding) -> None:
    kept = keep(short, claimed(short))
    with kept.keeper:
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            assert expires(short) == []
            time.sleep(0.05)
        assert kept.keeper.reason is None and not kept.keeper.stop.is_set
    wait_for(lambda: expires(short) == [kept.lease.job_id], "the lease to expire once it is not")


def test_progress_is_written_each_second_and_each_stage_and_never_as_done(siding: Siding) -> None:
    kept = keep(siding, claimed(siding))
    written: list[tuple[str, float]] = []

    def look() -> None:
        row = kept.row()[:2]
        if not written or written[-1] != row:
            written.append(row)

    with kept.keeper:
        kept.keeper.at("copying")
        wait_for(lambda: kept.row()[0] == "copying", "the stage to be written", 3)
        for percent in (1.5, 3.0, 4.5):
            kept.at(percent)
            kept.shows("rendering", percent, 9.5)
            look()
        kept.at(4.9)  # not a per cent more: not worth a write
        time.sleep(1.6)
        look()
        kept.at(100.0, Stage.DONE)
        wait_for(lambda: kept.row()[0] == "done", "the last stage", 3)
        look()
    assert written == [
        ("rendering", 1.5),
        ("rendering", 3.0),
        ("rendering", 4.5),
        ("done", 99.9),
    ]
    state = siding.state(kept.lease.job_id)
    assert (state.speed, state.status) == (2.0, JobStatus.PROCESSING)


def test_a_jobs_progress_moves_forward_only_and_is_never_complete_before_it_is(
    siding: Siding, clip: Path, other: Path
) -> None:
    """Watched from beside, as `status` does, while a real job is rendered."""
    siding.settings["jobs"] = 1
    job_id = siding.film(clip, other, clip, chapters=True)
    seen: list[tuple[JobStatus, float, str]] = []
    turn = Turn(siding.worker(), job_id)

    def ended() -> bool:
        state = siding.state(job_id)
        seen.append((state.status, state.progress, state.stage))
        return state.status is JobStatus.COMPLETED

    wait_for(ended, "the job to be done")
    turn.ends()
    percents = [percent for _, percent, _ in seen]
    assert percents == sorted(percents) and percents[-1] == 100
    assert all(percent < 100 for status, percent, _ in seen if status is JobStatus.PROCESSING)
    assert len(set(percents)) >= 3, percents


@pytest.mark.parametrize(
    "happen, reason",
    [
        ("cancel", Reason.CANCELLED),
        ("told to stop", Reason.TOLD_TO_STOP),
        ("process told to end", Reason.TOLD_TO_STOP),
        ("taken by another", Reason.LOST),
        ("time is over", Reason.TIME_LIMIT),
    ],
)
def test_the_keeper_hears_whatever_ends_its_job(
    siding: Siding, happen: str, reason: Reason
) -> None:
    kept = keep(siding, claimed(siding), time_limit=0.6 if happen == "time is over" else 60)
    job_id = kept.lease.job_id
    with kept.keeper:
        if happen == "cancel":
            siding.farm.jobs.cancel(job_id)
        elif happen == "told to stop":
            siding.farm.workers.tell("pc1", Order.STOP)
        elif happen == "process told to end":
            siding.must_stop = lambda: True
        elif happen == "taken by another":
            siding.farm.workers.abandon("pc1", "killed")
            siding.register("pc2")
            assert siding.farm.leases.claim("pc2", job_id, None) is not None
        wait_for(lambda: kept.keeper.stop.is_set, "the keeper to hear of it", SOON)
        assert kept.keeper.reason is reason
        with pytest.raises(Cancelled):
            kept.keeper.permit()


@pytest.mark.parametrize("order", [Order.PAUSE, Order.DRAIN])
def test_a_worker_that_is_to_take_no_more_goes_on_with_its_job(
    siding: Siding, order: Order
) -> None:
    kept = keep(siding, claimed(siding))
    with kept.keeper:
        siding.farm.workers.tell("pc1", order)
        time.sleep(1.2)  # two looks
        assert not kept.keeper.stop.is_set
        kept.keeper.permit()


def test_nothing_is_permitted_once_a_job_is_cancelled_even_before_the_keeper_looked(
    siding: Siding,
) -> None:
    kept = keep(siding, claimed(siding))
    siding.farm.jobs.cancel(kept.lease.job_id)
    with pytest.raises(Cancelled):
        kept.keeper.permit()
    assert kept.keeper.reason is Reason.CANCELLED


def test_a_permit_says_so_in_the_row_and_renews_the_lease(short: Siding) -> None:
    kept = keep(short, claimed(short))
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        kept.keeper.permit()
        assert expires(short) == []
        time.sleep(0.1)
    assert short.state(kept.lease.job_id).stage == "publishing"


# The database away: a real server that is stopped and started again.


@pytest.fixture
def away(siding: Siding, postgres: PostgresServer, postgres_url: str) -> Iterator[Siding]:
    siding.settings |= {"database_url": postgres_url, "lease_seconds": 3.0}
    yield siding
    siding.close()
    if not postgres.runs():
        postgres.start()


def test_a_job_goes_on_without_the_database_and_is_published_when_it_is_back(
    away: Siding, postgres: PostgresServer, clip: Path
) -> None:
    job_id = away.film(*away.put(clip))
    ready = threading.Event()

    def at(stage: str) -> None:
        if stage == "rendering":
            postgres.stop()
        if stage == "publishing":
            ready.set()

    turn = Turn(away.worker(told=at), job_id)
    wait_for(ready.is_set, "the film to be ready")
    log = next(away.folder.glob("logs/*/*/jobs/*/job.log"))
    wait_for(lambda: "going on without the database" in log.read_text(), "the log to say so")
    assert "verified 30 frames" in log.read_text()
    time.sleep(1.0)  # it keeps asking
    assert away.made() == [] or all(path.name.startswith(".") for path in away.out.iterdir())
    postgres.start()
    assert turn.ends() is JobStatus.COMPLETED
    lines = away.log(job_id)
    told = [line for line in lines if "the database" in line]
    assert [line.partition(":")[0] for line in told] == [
        "going on without the database",
        "the database is back",
    ]
    assert away.output(job_id).exists() and away.leftovers() == []
    assert [one.outcome for one in away.farm.jobs.attempts(job_id)] == ["completed"]


def test_a_worker_waits_for_the_database_to_take_a_job_and_to_close_the_books(
    away: Siding, postgres: PostgresServer, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = away.film(clip)
    published = threading.Event()

    def at(stage: str) -> None:
        if stage == "done":
            postgres.stop()
            published.set()

    worker = away.worker(told=at)
    postgres.stop()
    turn = Turn(worker, job_id)
    wait_for(lambda: "waiting for the database" in caplog.text, "the worker to say that it waits")
    postgres.start()
    wait_for(published.is_set, "the film to be published")
    log = next(away.folder.glob("logs/*/*/jobs/*/job.log"))
    wait_for(lambda: "waiting for the database" in log.read_text(), "the log to say so")
    postgres.start()
    assert turn.ends() is JobStatus.COMPLETED
    state = away.state(job_id)
    assert (state.status, state.attempts, state.progress) == (JobStatus.COMPLETED, 0, 100)
    assert len(away.sweep().outbox.due()) == 1


def test_a_worker_told_to_end_does_not_wait_for_the_database(
    away: Siding, postgres: PostgresServer, clip: Path
) -> None:
    job_id = away.film(clip)
    told = threading.Event()
    away.must_stop = told.is_set

    def at(stage: str) -> None:
        if stage == "rendering":
            postgres.stop()
            told.set()

    turn = Turn(away.worker(told=at), job_id)
    wait_for(told.is_set, "the job to be rendered")
    turn.ends(within=10)
    assert away.made() == []
    postgres.start()
    assert away.status(job_id) is JobStatus.PROCESSING  # the sweep frees it
    wait_for(lambda: expires(away) == [job_id], "the lease to expire")
    told.clear()
    assert away.worker("pc2")(job_id, None) is JobStatus.COMPLETED


def test_insisting_ends_with_patience() -> None:
    said: list[str] = []
    tries: list[float] = []

    def write() -> bool:
        tries.append(time.monotonic())
        raise DatabaseUnavailable("the database is away")

    with pytest.raises(DatabaseUnavailable):
        insist(write, said.append, 1.2, lambda: False)
    assert len(tries) >= 3 and tries[-1] - tries[0] < 3
    assert len(said) == 1 and "waiting for the database" in said[0]
    tries.clear()
    with pytest.raises(DatabaseUnavailable):
        insist(write, said.append, 60, lambda: True)
    assert len(tries) == 1


def test_insisting_gets_the_answer_when_the_database_is_back() -> None:
    answers = _Answers()
    assert insist(answers, lambda _: None, 60, lambda: False)
    assert answers.tries == 2


class _Answers:
    """A database that answers at the second try."""

    def __init__(self) -> None:
        self.tries = 0

    def __call__(self) -> bool:
        self.tries += 1
        if self.tries == 1:
            raise DatabaseUnavailable("the database is away")
        return True
