"""What people look at: time left, the library, what a machine can do."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from reelyard.domain.farm import Finished, Submission
from reelyard.domain.lifecycle import Order
from reelyard.domain.routing import Queue
from reelyard.services.capabilities import capabilities, free_disk
from reelyard.services.outlook import outlook
from reelyard.services.scan import scan
from reelyard.settings import Settings
from tests.conftest import Clips

from .conftest import Siding

MINUTE = 60 * 30  # frames


def store(siding: Siding, frames: int, **job: object) -> str:
    made = siding.job({"item_type": "video", "path": "/clips/a.mp4"}, **job)
    siding.farm.jobs.add(made, Submission(user_id=siding.user, frames=frames))
    return made.job_id


def look(siding: Siding) -> tuple[dict[str, float | None], float | None]:
    farm = siding.farm
    found = outlook(farm.jobs.ahead(), farm.workers.list())
    return dict(found.jobs), found.whole


def measured(siding: Siding, name: str, speed: float) -> None:
    """Have a worker make a job at a speed."""
    siding.register(name)
    claim = siding.farm.leases.claim(name, store(siding, 30), None)
    assert claim is not None
    done = Finished("/out/film.mp4", 1.0, 1.0, 1, (), figures={"speed": speed})
    assert siding.farm.leases.complete(claim.lease, done)


def test_time_left_is_known_from_durations_and_measured_speeds(siding: Siding) -> None:
    measured(siding, "pc1", 2.0)
    first, second = store(siding, MINUTE), store(siding, 2 * MINUTE)
    found, whole = look(siding)
    assert found[first] == pytest.approx(30)
    assert found[second] == pytest.approx(30 + 60)
    assert whole == pytest.approx(90)


def test_workers_share_the_work_each_at_its_own_speed(siding: Siding) -> None:
    measured(siding, "pc1", 2.0)
    measured(siding, "pc2", 4.0)
    jobs = [store(siding, 2 * MINUTE) for _ in range(3)]
    found, whole = look(siding)
    # The quick one has done one when the slow one is half done, and takes the third as well.
    assert sorted(found[one] or 0 for one in jobs) == pytest.approx([30, 60, 60])
    assert whole == pytest.approx(60)


def test_a_job_in_the_making_says_itself_how_long_it_takes(siding: Siding) -> None:
    measured(siding, "pc1", 2.0)
    running, waiting = store(siding, MINUTE), store(siding, MINUTE)
    claim = siding.farm.leases.claim("pc1", running, None)
    assert claim is not None
    siding.farm.leases.beat(claim.lease, stage="rendering", progress=50.0, seconds_left=12.5)
    found, whole = look(siding)
    assert found[running] == pytest.approx(12.5)
    assert found[waiting] == pytest.approx(12.5 + 30)
    assert whole == found[waiting]


def test_a_job_that_nobody_may_take_has_no_end(siding: Siding) -> None:
    siding.register("pc1", Queue.DEFAULT)
    uhd, hd = store(siding, MINUTE, enable_4k=True), store(siding, MINUTE)
    found, whole = look(siding)
    assert found[uhd] is None and found[hd] is not None and whole is None
    siding.farm.workers.tell("pc1", Order.PAUSE)
    found, _ = look(siding)
    assert found[hd] is None


def test_a_job_that_waits_is_not_begun_before_its_time(siding: Siding) -> None:
    measured(siding, "pc1", 2.0)
    job_id = store(siding, MINUTE)
    claim = siding.farm.leases.claim("pc1", job_id, None)
    assert claim is not None
    siding.farm.leases.put_off(claim.lease, "its share is away", longest_delay=300)
    found, _ = look(siding)
    delay = siding.farm.settings.lease_seconds / 4
    assert found[job_id] == pytest.approx(delay + 30, abs=3)


def test_an_empty_farm_is_done(siding: Siding) -> None:
    assert look(siding) == ({}, 0.0)


class Shelf:
    def __init__(self) -> None:
        self.added: dict[str, str] = {}

    def add(self, paths: object) -> None:
        assert isinstance(paths, dict)
        self.added |= paths


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_folder_of_clips_becomes_a_library(tmp_path: Path) -> None:
    shelf = Shelf()
    touch(
        tmp_path, "park.mp4", "Season 1/Morning.MOV", "Season 1/deep/still.JPG", "notes.txt",
        ".hidden.mp4", ".trash/old.mp4", "no suffix", "a.b.mkv", "archive.mp4.part",
    )  # fmt: skip
    done = scan(tmp_path, shelf)
    assert shelf.added == {
        "park": str(tmp_path / "park.mp4"),
        "Morning": str(tmp_path / "Season 1" / "Morning.MOV"),
        "still": str(tmp_path / "Season 1" / "deep" / "still.JPG"),
        "a.b": str(tmp_path / "a.b.mkv"),
    }
    assert (done.added, done.ambiguous) == (4, ())


def test_a_name_that_two_files_have_is_left_out_and_said(tmp_path: Path) -> None:
    shelf = Shelf()
    touch(tmp_path, "one/park.mp4", "two/park.mov", "lake.mp4")
    done = scan(tmp_path, shelf)
    assert list(shelf.added) == ["lake"]
    assert (done.added, done.ambiguous) == (1, ("park",))


def test_a_library_can_be_scanned_again(siding: Siding, tmp_path: Path) -> None:
    """A video that moved is found where it is now; ids of any bytes are kept apart."""
    library, folder = siding.farm.reelyard.library, tmp_path / "clips"
    odd = os.fsdecode(b"caf\xe9.mp4")
    touch(folder, "one/park.mp4", odd)
    assert scan(folder, library).added == 2
    (folder / "two").mkdir()
    (folder / "one" / "park.mp4").rename(folder / "two" / "park.mp4")
    scan(folder, library)
    assert library.all() == {
        "park": str(folder / "two" / "park.mp4"),
        odd.removesuffix(".mp4"): str(folder / odd),
    }


@pytest.mark.parametrize("name", ["no such folder", "a file"])
def test_a_folder_that_is_none_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    shelf = Shelf()
    with pytest.raises(OSError, match=name):
        scan(tmp_path / name, shelf)
    assert shelf.added == {}


def test_relative_folders_give_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "clips/park.mp4")
    monkeypatch.chdir(tmp_path)
    shelf = Shelf()
    scan(Path("clips"), shelf)
    assert shelf.added == {"park": str(tmp_path / "clips" / "park.mp4")}


def test_a_machine_is_asked_what_it_can_do(siding: Siding, tmp_path: Path) -> None:
    reelyard = siding.farm.reelyard
    able = capabilities(reelyard.ffmpeg, tmp_path / "not" / "made" / "yet")
    assert "libx264" in able.encoders
    assert set(able.encoders) <= {"h264_nvenc", "libx264"}
    assert able.ffmpeg == reelyard.ffmpeg.version
    assert (able.cores, able.memory) == (os.cpu_count(), psutil.virtual_memory().total)
    assert abs(able.free_disk - free_disk(tmp_path)) < 10_000_000_000
    assert able.free_disk > 0 and able.version


def test_an_encoder_that_does_not_work_is_none_that_a_machine_has(
    siding: Siding, clips: Clips, tmp_path: Path
) -> None:
    script = tmp_path / "no-x264"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *libx264*) echo no licence >&2; exit 1 ;; esac\n'
        f'exec "{clips.ffmpeg}" "$@"\n'
    )
    script.chmod(0o755)
    settings = Settings(ffmpeg=script, cache_dir=tmp_path / "own")
    with_it = Siding(tmp_path, {"ffmpeg": script, "cache_dir": settings.cache_dir})
    try:
        found = capabilities(with_it.farm.reelyard.ffmpeg, tmp_path)
    finally:
        with_it.close()
    assert "libx264" not in found.encoders
