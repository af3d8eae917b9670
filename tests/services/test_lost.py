"""A lease that is lost: whoever had it can't publish a thing, and finds that out by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus
from tests.acceptance.station import gone_soon, sha256
from tests.conftest import Clips

from .conftest import Gate, Siding, Turn, held_ffmpeg, wait_for

LEASE = 1.0


@pytest.fixture
def hung(warm: Siding, clips: Clips) -> Iterator[Siding]:
    """A farm of short leases; its first worker's FFmpeg hangs when it joins, as long as ``hold``."""
    warm.settings |= {
        "lease_seconds": LEASE,
        "ffmpeg": held_ffmpeg(warm.folder, clips.ffmpeg, "film.ffconcat"),
    }
    yield warm
    (warm.folder / "hold").unlink(missing_ok=True)


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Siding]:
    """Another machine of the same farm."""
    own = {"cache_dir": tmp_path / "another cache", "lease_seconds": LEASE}
    with closing(Siding(tmp_path, own)) as one:
        yield one


@pytest.fixture
def gate(hung: Siding) -> Iterator[Gate]:
    """The first worker's own way to the database."""
    with closing(Gate(hung.farm.settings.database)) as one:
        yield one
        one.hangs = False


def expired(siding: Siding, job_id: str) -> None:
    """The sweep finds out that nobody was heard of."""
    sweep = siding.sweep()

    def look() -> bool:
        sweep()
        return siding.status(job_id) is JobStatus.QUEUED

    wait_for(look, "the lease to expire")


def versions(siding: Siding) -> dict[Path, tuple[int, int]]:
    """Everything that is visible, and what tells one writing of it from another."""
    found = {path: path.stat() for path in siding.made()}
    return {path: (one.st_ino, one.st_mtime_ns) for path, one in found.items()}


def outcomes(siding: Siding, job_id: str) -> list[tuple[str, AttemptOutcome]]:
    return [(one.worker_id, one.outcome) for one in siding.farm.jobs.attempts(job_id)]


def test_a_worker_that_lost_its_job_stops_and_publishes_nothing(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path
) -> None:
    job_id = hung.film(*hung.put(clip))
    first = Turn(hung.worker("pc1", database=gate), job_id)
    wait_for((hung.folder / "hangs").exists, "the join to begin")
    gate.hangs = True
    expired(neighbour, job_id)
    assert neighbour.state(job_id).attempts == 1
    second = neighbour.worker("pc2")
    assert second(job_id, None) is JobStatus.COMPLETED
    made = versions(neighbour)
    gate.hangs = False
    assert first.ends() is JobStatus.COMPLETED  # what the job is by now
    assert gone_soon(hung.farm.settings.cache_dir)
    assert outcomes(hung, job_id) == [
        ("pc1", AttemptOutcome.LOST),
        ("pc2", AttemptOutcome.COMPLETED),
    ]
    assert versions(neighbour) == made
    assert hung.leftovers() == []
    log = hung.log(job_id)
    assert "stopped: somebody else has the job: the lease ran out" in log
    assert sum(line.startswith("published ") for line in log) == 1


def test_a_worker_that_hung_just_before_publishing_is_turned_away(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path
) -> None:
    """It was permitted to, and has not looked since: the file system itself says no."""
    (hung.folder / "hold").unlink()
    job_id = hung.film(clip)
    permitted, go_on = threading.Event(), threading.Event()

    def hang(stage: str) -> None:
        if stage == "permitted":
            gate.hangs = True
            permitted.set()
            go_on.wait(60)

    first = Turn(hung.worker("pc1", hang, database=gate), job_id)
    wait_for(permitted.is_set, "the permit")
    staged = [path for path in hung.out.iterdir() if path.name.startswith(".")]
    assert len(staged) == 1 and list(hung.out.iterdir()) == staged
    expired(neighbour, job_id)
    assert neighbour.worker("pc2")(job_id, None) is JobStatus.COMPLETED
    film = neighbour.output(job_id)
    made, digest = versions(neighbour), sha256(film)
    assert staged[0] not in made
    go_on.set()
    gate.hangs = False
    assert first.ends() is JobStatus.COMPLETED
    assert versions(neighbour) == made
    assert (sha256(film), hung.leftovers()) == (digest, [])
    assert outcomes(hung, job_id)[0] == ("pc1", AttemptOutcome.LOST)
    assert hung.state(job_id).worker_id == "pc2"


def test_a_worker_that_hung_before_it_asked_is_not_permitted(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path
) -> None:
    """Nobody has taken the job since, but it is not its own any more."""
    (hung.folder / "hold").unlink()
    job_id = hung.film(clip)
    publishing = threading.Event()

    def hang(stage: str) -> None:
        if stage == "publishing":
            gate.hangs = True
            publishing.set()

    first = Turn(hung.worker("pc1", hang, database=gate), job_id)
    wait_for(publishing.is_set, "the film to be ready")
    expired(neighbour, job_id)
    gate.hangs = False
    assert first.ends() is JobStatus.QUEUED
    assert (hung.made(), hung.leftovers()) == ([], [])
    assert outcomes(hung, job_id) == [("pc1", AttemptOutcome.LOST)]


def test_a_worker_that_hung_after_publishing_leaves_the_books_to_the_next(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path
) -> None:
    (hung.folder / "hold").unlink()
    job_id = hung.film(clip)
    done, go_on = threading.Event(), threading.Event()

    def hang(stage: str) -> None:
        if stage == "done":
            gate.hangs = True
            done.set()
            go_on.wait(60)

    first = Turn(hung.worker("pc1", hang, database=gate), job_id)
    wait_for(done.is_set, "the film to be published")
    digest = sha256(hung.output(job_id))
    expired(neighbour, job_id)
    assert neighbour.worker("pc2")(job_id, None) is JobStatus.COMPLETED
    go_on.set()
    gate.hangs = False
    assert first.ends() is JobStatus.COMPLETED
    assert sha256(hung.output(job_id)) == digest  # the film is there, and whole
    assert hung.leftovers() == []
    assert [one for _, one in outcomes(hung, job_id)] == [
        AttemptOutcome.LOST,
        AttemptOutcome.COMPLETED,
    ]
    due = hung.sweep().outbox.due()
    assert [(one.result.worker_id, one.result.status) for one in due] == [
        ("pc2", JobStatus.COMPLETED)
    ]


@pytest.mark.parametrize("moment", ["claimed", "checked"])
def test_a_worker_that_hung_right_after_its_claim_does_no_harm_to_the_film_of_another(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path, moment: str
) -> None:
    """It wakes up when the job is completed, and begins."""
    (hung.folder / "hold").unlink()
    job_id = hung.film(clip)
    there, go_on = threading.Event(), threading.Event()

    def hang(stage: str) -> None:
        if stage == moment:
            gate.hangs = True
            there.set()
            go_on.wait(60)

    first = Turn(hung.worker("pc1", hang, database=gate), job_id)
    wait_for(there.is_set, "the claim")
    expired(neighbour, job_id)
    assert neighbour.worker("pc2")(job_id, None) is JobStatus.COMPLETED
    made = versions(neighbour)
    assert neighbour.output(job_id) in made
    go_on.set()
    gate.hangs = False
    assert first.ends() is JobStatus.COMPLETED
    assert versions(neighbour) == made
    assert hung.leftovers() == []


def test_a_worker_that_lost_its_job_and_has_it_back_can_finish_it(
    hung: Siding, neighbour: Siding, gate: Gate, clip: Path
) -> None:
    """The only worker there is hangs for a while: it is the next to take the job as well."""
    job_id = hung.film(clip)
    first = Turn(hung.worker("pc1", database=gate), job_id)
    wait_for((hung.folder / "hangs").exists, "the join to begin")
    gate.hangs = True
    expired(neighbour, job_id)
    gate.hangs = False
    first.ends()
    (hung.folder / "hold").unlink()
    assert hung.worker("pc1")(job_id, None) is JobStatus.COMPLETED
    assert [one.token for one in hung.farm.jobs.attempts(job_id)] == [1, 2]
    assert (hung.state(job_id).attempts, hung.leftovers()) == (1, [])
