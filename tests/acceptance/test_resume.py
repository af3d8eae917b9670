"""The same bytes however a film came about; a stopped or killed job leaves nothing half-done."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.station import Run, Station, gone_soon, sha256, station
from tests.conftest import Clips

KILLS_WHILE_RENDERING = 5
KILLS_WHILE_JOINING = 3
SOON = 2.0
"""Seconds in which a stopped job has ended."""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Station]:
    yield from station(tmp_path, segment_seconds=0.3)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Iterator[tuple[Path, str]]:
    """A job, and the film that one FFmpeg at a time makes of it from scratch."""
    for made in station(tmp_path_factory.mktemp("reference"), segment_seconds=0.3):
        job = film_job(made, clips)
        done = made.render(job, "film.mp4", "--jobs", "1")
        assert done["cached"] == 0
        yield job, sha256(made.out / "film.mp4")


def film_job(made: Station, clips: Clips) -> Path:
    """Clips with and without sound, a text, a logo, a still, and one clip twice."""
    loud = clips.video("resume-loud.mp4", seconds=1.2, rate="25")
    mute = clips.video("resume-mute.mp4", seconds=0.5, size="180x320", sound=False)
    logo = clips.picture("resume-logo.png", size="64x64")
    named = {"path": loud, "text_animation_text": "Resumed", "logo_path": logo}
    return made.write_job(
        {"item_type": "intro", "path": mute},
        {"item_type": "video", **named},
        {"item_type": "image", "path": clips.picture("resume.jpg"), "duration": 0.4},
        {"item_type": "video", "path": loud, "start": 0.2, "end": 0.8},
        {"item_type": "intro", "path": mute},
        chapters=True,
        loudness=True,
    )


@pytest.mark.parametrize("at_once", ["2", "3"])
def test_the_film_does_not_depend_on_how_many_segments_are_rendered_at_once(
    yard: Station, reference: tuple[Path, str], at_once: str
) -> None:
    job, wanted = reference
    assert yard.render(job, "film.mp4", "--jobs", at_once)["cached"] == 0
    assert sha256(yard.out / "film.mp4") == wanted
    # and from the warm cache
    again = yard.render(job, "again.mp4", "--jobs", at_once)
    assert again["rendered"] == 0
    assert sha256(yard.out / "again.mp4") == wanted


def test_two_processes_render_the_same_job_at_once(
    yard: Station, reference: tuple[Path, str]
) -> None:
    job, wanted = reference
    runs = [yard.start(job, f"film-{n}.mp4") for n in range(2)]
    assert [run.ended() for run in runs] == [0, 0], [run.said for run in runs]
    assert {sha256(path) for path in yard.out.glob("film-?.mp4")} == {wanted}
    assert gone_soon(yard.folder)


def assert_nothing_half_done(yard: Station, wanted: str) -> None:
    """Everything visible beside the film is whole; the film, if it is there, is the film."""
    for path in yard.out.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix == ".mp4":
            assert sha256(path) == wanted
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".jpg":
            assert path.read_bytes().endswith(b"\xff\xd9")
        else:
            assert path.read_text().startswith("0:00 ")


def test_a_job_killed_again_and_again_ends_with_the_same_film(
    yard: Station, reference: tuple[Path, str]
) -> None:
    job, wanted = reference
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    film = yard.out / "film.mp4"
    stages = ["rendering"] * KILLS_WHILE_RENDERING + ["joining", "verifying", "joining"]
    assert stages.count("rendering") + KILLS_WHILE_JOINING == len(stages)
    for stage in stages:
        run = yard.start(job, film.name, "--jobs", "2")
        assert run.reached(stage), run.said
        time.sleep(dice.uniform(0, 0.7) if stage == "rendering" else dice.uniform(0, 0.05))
        was_alive = run.process.poll() is None
        run.kill()
        assert gone_soon(yard.folder), stage
        assert_nothing_half_done(yard, wanted)
        if film.exists():  # published just before it was killed
            assert not was_alive or run.reached("verifying")
            film.unlink()
    done = yard.render(job, film.name)
    assert sha256(film) == wanted
    assert done["cached"] > 0
    assert not any((yard.folder / "cache" / "work").iterdir()), "the killed jobs' folders are gone"
    assert not [path for path in yard.out.iterdir() if path.name.startswith(".")]
    assert not list((yard.folder / "cache" / "entries").rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_job_ends_at_once_and_the_next_one_takes_up_where_it_ended(
    yard: Station, reference: tuple[Path, str], number: signal.Signals
) -> None:
    job, wanted = reference
    run = yard.start(job)
    assert run.reached("rendering", percent=20)
    code = stopped(run, number)
    assert code == 130
    assert run.done["code"] == "cancelled"
    assert gone_soon(yard.folder, 0.2)
    assert not list(yard.out.iterdir())
    assert not any((yard.folder / "cache" / "work").iterdir())
    assert yard.render(job)["cached"] > 0
    assert sha256(yard.out / "film.mp4") == wanted


def stopped(run: Run, *numbers: signal.Signals) -> int:
    """Send signals; the exit code, which has to come soon."""
    begun = time.monotonic()
    for number in numbers:
        run.send(number)
    code = run.ended(10)
    assert time.monotonic() - begun < SOON
    return code


@pytest.mark.parametrize("stage", ["probing", "rendering", "joining"])
def test_a_hail_of_signals_ends_the_job_like_one(
    yard: Station, reference: tuple[Path, str], stage: str
) -> None:
    """An impatient operator presses Ctrl-C many times; nothing may lock up."""
    job, wanted = reference
    if stage == "joining":
        yard.render(job, "warm.mp4")
    run = yard.start(job, afresh=True)
    assert run.reached(stage)
    begun = time.monotonic()
    while run.process.poll() is None and time.monotonic() - begun < 10:
        run.send(signal.SIGINT)
        run.send(signal.SIGTERM)
    assert time.monotonic() - begun < SOON
    code = run.ended()
    assert code == 130 or (stage == "joining" and code == 0), run.said
    assert not any("Traceback" in line for line in run.said)
    assert gone_soon(yard.folder, 0.2)
    assert_nothing_half_done(yard, wanted)


def test_a_job_is_stopped_while_it_reads_a_large_source(yard: Station) -> None:
    large = yard.folder / "large.mp4"
    with large.open("wb") as file:
        file.write(b"\0\0\0\x14ftypisom\0\0\0\0isom")
        file.truncate(24 << 30)  # a hole: takes no room, and long to read
    run = yard.start(yard.write_job({"item_type": "video", "path": large}))
    assert run.reached("probing")
    time.sleep(0.3)
    assert stopped(run, signal.SIGINT) == 130
    assert not list(yard.out.iterdir())


def test_a_damaged_cache_is_noticed_and_mended(yard: Station, reference: tuple[Path, str]) -> None:
    job, wanted = reference
    yard.render(job)
    dice = random.Random(3)
    entries = yard.folder / "cache" / "entries"
    for path in sorted(entries.rglob("*")):
        if not path.is_file() or dice.random() < 0.3:
            continue
        data = bytearray(path.read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.unlink()  # the link that a running job may hold stays whole
        path.write_bytes(data)
    done = yard.render(job, "again.mp4")
    assert done["rendered"] > 0
    assert sha256(yard.out / "again.mp4") == wanted


def test_a_cache_without_room_for_a_single_film_still_gives_the_film(
    tmp_path: Path, reference: tuple[Path, str]
) -> None:
    job, wanted = reference
    for small in station(tmp_path, segment_seconds=0.3, cache_limit_gb=0.000_1):
        small.render(job)
        assert sha256(small.out / "film.mp4") == wanted
        kept = [path for path in (tmp_path / "cache" / "entries").rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in kept if path.suffix != ".json") <= 100_000


def test_a_film_cut_otherwise_has_the_same_length(
    yard: Station, reference: tuple[Path, str], tmp_path: Path
) -> None:
    """Other segments are other bytes, but never other frames or samples."""
    job, _ = reference
    reports = []
    for seconds in (0.1, 20):
        for made in station(tmp_path / str(seconds), segment_seconds=seconds):
            made.render(job)
            measured = json.loads((made.out / "film.report.json").read_bytes())["measured"]
            reports.append({name: measured[name] for name in ("frames", "samples", "chapters")})
    assert reports[0] == reports[1]
    assert reports[0]["samples"] == reports[0]["frames"] * 1600
