"""The world is not as it should be: the job waits, says for what, and goes on when it is back."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reelyard.domain.farm import AttemptOutcome, JobState
from reelyard.domain.lifecycle import JobStatus
from tests.acceptance.station import sha256

from .conftest import SOON, Share, Siding, wait_for

MB = 1 << 20


@pytest.fixture
def patient(warm: Siding) -> Siding:
    """A farm that tries again after less than a second."""
    warm.settings["lease_seconds"] = 3.0
    return warm


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A small disk of its own at ``folder``; calling what is given changes its size."""
    folder.mkdir(exist_ok=True)
    disk = str(folder)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this needs to mount a small disk: {done.stderr.decode()}")

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(folder: Path) -> Path:
    """Use every byte that a disk has left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MB))
        except OSError:
            return filler


class Filler:
    """Fills a disk when a job comes to a stage."""

    def __init__(self, disk: Path, stage: str) -> None:
        self._disk, self._stage = disk, stage
        self.made: Path | None = None

    def __call__(self, stage: str) -> None:
        if stage == self._stage:
            self.made = fill(self._disk)

    def remove(self) -> None:
        assert self.made is not None, "it was never asked to"
        self.made.unlink()


def waits(siding: Siding, job_id: str, *words: str) -> JobState:
    """The job is in the queue, and its row says what for; nobody is to blame."""
    state = siding.state(job_id)
    assert (state.status, state.attempts, state.progress) == (JobStatus.QUEUED, 0, 0), state
    assert state.waiting_for is not None
    for word in words:
        assert word in state.waiting_for
    assert state.not_before is not None
    last = siding.farm.jobs.attempts(job_id)[-1]
    assert (last.outcome, last.message) == (AttemptOutcome.UNABLE, state.waiting_for)
    assert any(line.startswith("failed: ") and words[0] in line for line in siding.log(job_id))
    worker = siding.farm.workers.get("pc1")
    assert worker is not None and (worker.failures, worker.job_id) == (0, None)
    assert (siding.made(), siding.leftovers()) == ([], [])
    assert all(entry.result.job_id != job_id for entry in siding.sweep().outbox.due())
    return state


def goes_on(siding: Siding, job_id: str) -> None:
    """It is taken again, as soon as that may be, and done."""
    worker = siding.worker()

    def take() -> bool:
        siding.register()  # a worker that is alive
        return worker(job_id, None) is JobStatus.COMPLETED

    wait_for(take, "the job to be done")
    state = siding.state(job_id)
    assert (state.waiting_for, state.attempts, state.not_before) == (None, 0, None)
    assert Path(str(state.output_path)).exists() and siding.leftovers() == []


def test_a_job_waits_for_its_share(patient: Siding, clip: Path) -> None:
    season = patient.share / "season"
    season.mkdir()
    job_id = patient.film(Path(shutil.copy(clip, season / "a.mp4")))
    away = season.rename(patient.folder / "away")
    before = datetime.now(UTC)
    assert patient.worker()(job_id, None) is JobStatus.QUEUED
    state = waits(patient, job_id, f"{season} is not there")
    assert state.not_before is not None
    assert 0.7 < (state.not_before - before).total_seconds() < 10
    assert any(line.startswith("copy failed: ") for line in patient.log(job_id))
    assert patient.worker()(job_id, None) in (None, JobStatus.QUEUED)  # still gone, or too early
    away.rename(season)
    goes_on(patient, job_id)


def test_a_job_whose_time_has_not_come_is_not_taken(warm: Siding, clip: Path) -> None:
    job_id = warm.film(*warm.put(clip))
    away = warm.share.rename(warm.folder / "away")
    assert warm.worker()(job_id, None) is JobStatus.QUEUED
    state = waits(warm, job_id, "is not there")
    assert state.not_before is not None
    wait = (state.not_before - datetime.now(UTC)).total_seconds()
    assert 10 < wait <= 15  # a quarter of the lease
    away.rename(warm.share)
    assert warm.worker()(job_id, None) is None
    assert len(warm.farm.jobs.attempts(job_id)) == 1
    # Whoever retries it need not wait: cancelled and queued again, it is taken at once.
    warm.farm.jobs.cancel(job_id)
    warm.farm.jobs.retry(job_id)
    assert warm.worker()(job_id, None) is JobStatus.COMPLETED


def test_the_share_that_goes_while_a_job_renders_is_not_missed(patient: Siding, clip: Path) -> None:
    """All of it was copied before."""
    job_id = patient.film(*patient.put(clip))
    told: list[str] = []

    def at(stage: str) -> None:
        if stage == "probing":
            told.append(str(patient.share.rename(patient.folder / "away")))

    assert patient.worker(told=at)(job_id, None) is JobStatus.COMPLETED
    assert told


@pytest.mark.parametrize("what", ["cache_dir", "copy_dir", "output_dir"])
def test_a_job_waits_for_room_before_it_begins(patient: Siding, clip: Path, what: str) -> None:
    """Each on a disk of its own that is too small for the job."""
    disk = patient.folder / "disk"
    sources = patient.put(clip)
    with mounted(disk, 16 * MB) as resize:
        patient.settings[what] = disk / "own"
        job_id = patient.film(*sources)
        if what == "copy_dir":
            fill(disk)
        assert patient.worker()(job_id, None) is JobStatus.QUEUED
        waits(patient, job_id, "disk is full" if what == "copy_dir" else "GB free")
        (disk / "filler").unlink(missing_ok=True)
        resize(600 * MB)
        goes_on(patient, job_id)


def test_a_job_waits_for_room_when_the_disk_fills_up_under_it(patient: Siding, clip: Path) -> None:
    """FFmpeg itself finds no space left: neither the clip nor the worker is to blame."""
    disk = patient.folder / "disk"
    with mounted(disk, 512 * MB):
        patient.settings["cache_dir"] = disk / "cache"
        job_id = patient.film(clip)
        filler = Filler(disk, "rendering")
        assert patient.worker(told=filler)(job_id, None) is JobStatus.QUEUED
        waits(patient, job_id, "disk is full")
        filler.remove()
        goes_on(patient, job_id)


def test_a_job_waits_for_room_for_its_log(patient: Siding, clip: Path) -> None:
    disk = patient.folder / "disk"
    with mounted(disk, 1 * MB):
        patient.settings["log_dir"] = disk / "logs"
        job_id = patient.film(clip)
        filler = fill(disk)
        assert patient.worker()(job_id, None) is JobStatus.QUEUED
        state = patient.state(job_id)
        assert (state.status, state.attempts) == (JobStatus.QUEUED, 0), state
        assert "disk is full" in (state.waiting_for or "")
        filler.unlink()
        goes_on(patient, job_id)


def test_a_job_waits_for_room_for_the_rest_of_its_log(patient: Siding, clip: Path) -> None:
    """The disk of the logs fills up in the middle of the job."""
    disk = patient.folder / "disk"
    with mounted(disk, 1 * MB):
        patient.settings["log_dir"] = disk / "logs"
        job_id = patient.film(clip)
        filler = Filler(disk, "rendering")
        assert patient.worker(told=filler)(job_id, None) is JobStatus.QUEUED
        state = patient.state(job_id)
        assert (state.status, state.attempts) == (JobStatus.QUEUED, 0), state
        assert "disk is full" in (state.waiting_for or "")
        filler.remove()
        goes_on(patient, job_id)


@pytest.mark.parametrize("instead", ["nothing", "a file"])
def test_a_job_waits_for_the_folder_of_its_film(patient: Siding, clip: Path, instead: str) -> None:
    """It is not made anew: it may be a share, and the film would lie under its mount point."""
    job_id = patient.film(*patient.put(clip))
    away = patient.out.rename(patient.folder / "away")
    if instead == "a file":
        patient.out.touch()
    assert patient.worker()(job_id, None) is JobStatus.QUEUED
    waits(patient, job_id, f"{patient.out} is not there")
    patient.out.unlink(missing_ok=True)
    away.rename(patient.out)
    goes_on(patient, job_id)


def test_a_job_waits_for_a_share_of_which_only_the_mount_point_is_there(
    patient: Siding, clip: Path
) -> None:
    films = patient.share / "films"
    films.mkdir()
    patient.settings["output_dir"] = films
    patient.worker()(patient.film(clip), None)
    assert len(list(films.glob("*.mp4"))) == 1
    own = {**patient.settings, "remote_roots": ()}
    with closing(Siding(patient.folder, own)) as unmounted:
        job_id = unmounted.film(clip)
        assert unmounted.worker()(job_id, None) is JobStatus.QUEUED
        waiting_for = unmounted.state(job_id).waiting_for or ""
        assert str(films) in waiting_for and "was a share" in waiting_for
    assert len(list(films.glob("*.mp4"))) == 1
    goes_on(patient, job_id)  # where it is a share


def test_a_job_does_not_hang_with_its_share(patient: Siding, clip: Path) -> None:
    """Nothing comes, and no error either: for so long it is waited for, and no longer."""
    patient.settings["stall_seconds"] = 1.0
    sources = patient.put(clip)
    job_id = patient.film(*sources)
    go_on = threading.Event()
    share = Share(lambda _: go_on.wait(60))
    try:
        begun = time.monotonic()
        assert patient.worker(share=share)(job_id, None) is JobStatus.QUEUED
        assert 1.0 <= time.monotonic() - begun < 1.0 + 2 * SOON
        state = waits(patient, job_id, "nothing came for 1 s", str(sources[0]))
        assert "share" in (state.waiting_for or "")
    finally:
        go_on.set()
    goes_on(patient, job_id)


def test_a_job_waits_for_a_folder_that_can_be_read_only(patient: Siding, clip: Path) -> None:
    with mounted(patient.out, 600 * MB):
        job_id = patient.film(clip)
        subprocess.run(["mount", "-o", "remount,ro", str(patient.out)], check=True)
        assert patient.worker()(job_id, None) is JobStatus.QUEUED
        waits(patient, job_id, str(patient.out), "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", str(patient.out)], check=True)
        goes_on(patient, job_id)


def test_a_film_that_can_not_be_published_after_all_waits_and_is_not_made_anew(
    patient: Siding, clip: Path, other: Path
) -> None:
    """The folder goes when everything is rendered; what was rendered is kept."""
    patient.farm.reelyard.cache.clear()
    job_id = patient.film(clip, other)

    def swap(stage: str) -> None:
        if stage == "publishing":
            patient.out.rename(patient.folder / "away")
            patient.out.write_text("not a folder")

    assert patient.worker(told=swap)(job_id, None) is JobStatus.QUEUED
    waits(patient, job_id, str(patient.out))
    patient.out.unlink()
    (patient.folder / "away").rename(patient.out)
    goes_on(patient, job_id)
    assert [one.cached for one, _ in patient.farm.jobs.segments(job_id)] == [True, True]
    assert sum(line.startswith("rendered item") for line in patient.log(job_id)) == 4


def test_another_worker_goes_first_when_one_was_unable(patient: Siding, clip: Path) -> None:
    """Its share may be away on one machine only."""
    job_id = patient.film(*patient.put(clip))
    away = patient.share.rename(patient.folder / "away")
    assert patient.worker("pc1")(job_id, None) is JobStatus.QUEUED
    away.rename(patient.share)
    patient.register("pc2")

    def due() -> bool:
        not_before = patient.state(job_id).not_before
        return not_before is None or not_before < datetime.now(UTC)

    wait_for(due, "the job to be due")
    patient.register("pc2")
    assert patient.worker("pc1")(job_id, None) is None
    assert patient.worker("pc2")(job_id, None) is JobStatus.COMPLETED


def test_the_film_of_a_job_that_waited_is_the_same(patient: Siding, clip: Path) -> None:
    undisturbed = patient.film(clip)
    patient.worker()(undisturbed, None)
    wanted = sha256(patient.output(undisturbed))
    for path in patient.made():
        path.unlink()
    job_id = patient.film(*patient.put(clip))
    away = patient.share.rename(patient.folder / "away")
    patient.worker()(job_id, None)
    waits(patient, job_id, "is not there")
    away.rename(patient.share)
    goes_on(patient, job_id)
    assert sha256(patient.output(job_id)) == wanted
