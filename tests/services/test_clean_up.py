"""Cleaning up: what jobs that were cancelled or failed had published, or had begun to, goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reelyard.domain.farm import Lease
from reelyard.domain.lifecycle import JobStatus
from reelyard.files.publishing import Staging, local
from reelyard.services.outputs import targets

from .conftest import Siding, wait_for
from .test_sweep import claimed, completed


def published(siding: Siding, job_id: str) -> list[Path]:
    """Everything that a film consists of, and what its publisher had staged."""
    output = siding.output(job_id)
    made = targets(output)
    for path in made:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"film")
    staged = local(Staging(output, "000001").place(".mp4"))
    staged.write_bytes(b"half a film")
    return [*made, staged.parent]


def half_published(siding: Siding, clip: Path) -> tuple[Lease, list[Path]]:
    """A job whose worker died between the permit and the books, and was cancelled then."""
    lease = claimed(siding, clip)
    siding.farm.leases.started(lease, "/logs", str(siding.output(lease.job_id)))
    assert siding.farm.leases.permit(lease)
    made = published(siding, lease.job_id)
    siding.farm.jobs.cancel(lease.job_id)
    return lease, made


def test_what_a_cancelled_job_had_published_is_taken_away(siding: Siding, clip: Path) -> None:
    lease, made = half_published(siding, clip)
    neighbour = completed(siding, clip)
    kept = published(siding, neighbour.job_id)
    sweep = siding.sweep()
    sweep()  # beside it, in its own time
    wait_for(lambda: siding.state(lease.job_id).planned_output is None, "the clean-up")
    assert not any(path.exists() for path in made)
    assert all(path.exists() for path in kept)
    assert siding.state(neighbour.job_id).output_path is not None


def test_a_share_that_is_away_is_cleaned_when_it_is_back(siding: Siding, clip: Path) -> None:
    lease, made = half_published(siding, clip)
    away = siding.out.rename(siding.folder / "away")
    clean_up = siding.sweep().clean_up
    clean_up()
    assert siding.state(lease.job_id).planned_output is not None
    away.rename(siding.out)
    assert all(path.exists() for path in made)
    clean_up()
    assert not any(path.exists() for path in made)


def test_a_machine_that_can_not_see_the_film_leaves_it_to_its_own(
    siding: Siding, clip: Path
) -> None:
    """Each machine may have an output folder of its own, all called the same."""
    lease, made = half_published(siding, clip)
    own = siding.out.rename(siding.folder / "own")
    siding.out.mkdir()
    clean_up = siding.sweep().clean_up
    replace(clean_up, host="another machine", _not_here=set())()
    assert siding.state(lease.job_id).planned_output is not None
    siding.out.rmdir()
    own.rename(siding.out)
    clean_up()
    assert not any(path.exists() for path in made)
    assert siding.state(lease.job_id).planned_output is None


def test_what_can_not_be_removed_holds_nobody_up(
    siding: Siding, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, made = half_published(siding, clip)
    film = made[0]
    film.unlink()
    film.mkdir()  # a folder can't be unlinked
    _, others = half_published(siding, clip)
    clean_up = siding.sweep().clean_up
    clean_up()
    assert not any(path.exists() for path in others)
    assert "can't be removed" in caplog.text and stuck.job_id in caplog.text
    clean_up()  # what stood in the way was moved aside
    assert siding.state(stuck.job_id).planned_output is None


def test_the_film_of_a_job_that_was_retried_since_is_not_taken_away(
    warm: Siding, clip: Path
) -> None:
    lease, _ = half_published(warm, clip)
    warm.farm.jobs.retry(lease.job_id)
    assert warm.worker("pc2")(lease.job_id, None) is JobStatus.COMPLETED
    film = warm.output(lease.job_id)
    before = film.stat()
    warm.sweep().clean_up()
    assert film.stat() == before
    assert json.loads(film.with_suffix(".report.json").read_text())["total_duration"] == 1.0
    assert warm.leftovers() == []  # the first one's staging went when the second began


def test_what_a_job_left_that_took_all_its_workers_with_it_is_taken_away(
    siding: Siding, clip: Path
) -> None:
    job_id = siding.film(clip)
    for name in ("pc1", "pc2", "pc3"):
        siding.register(name)
        claim = siding.farm.leases.claim(name, job_id, None)
        assert claim is not None
        siding.farm.leases.started(claim.lease, "/logs", str(siding.output(job_id)))
        made = published(siding, job_id)
        siding.farm.workers.abandon(name, f"{name} was killed")
    assert siding.status(job_id) is JobStatus.FAILED
    siding.sweep().clean_up()
    assert not any(path.exists() for path in made)
    assert siding.sweep().duties.to_clean_up() == []
