"""That nothing is rendered twice, measured: how much less a film costs whose pieces are there already.

w  two jobs of forty items that share 80 % of them: the second, on the other worker, against the first. The workers have
   caches of their own and one segment store; one works at a time
w  the second with one item of forty changed, against the first
x  the first film killed with all its processes at 90 %, and rendered again, against the first time
y  400 items against 10 of the very same frames: peak memory, and what an item costs beyond its frames. Wall time is what is
   meant, CPU time stands beside it
z  a job by three workers, one of them killed (a helper, then the owner): the same bytes as by one alone
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from tests.farm.yard import Yard, wait_for

from reelyard.domain.farm import JobState

from .farm import show
from .material import forty
from .measure import Measured, measure
from .scaling import ended, farm_of, seconds_of, start

MINUTES = 4.0
"""Of film in the two jobs; the killed one is as long, the one of three workers a quarter."""
_MANY, _FEW = 400, 10
_PIECE_FRAMES = 8
_SIZES = ("1280x720", "854x480", "640x360")


def sharing(folder: Path, ffmpeg: Path, minutes: float | None = None) -> None:
    """Run all of it in ``folder`` and print it; what fails is told and hides nothing else."""
    folder.mkdir(parents=True)
    seconds = (minutes or MINUTES) * 60
    items = forty(folder, ffmpeg, seconds)
    print(f"\nSharing: {len(items)} items, {seconds / 60:.1f} minutes of film\n", flush=True)
    first: list[float] = []
    parts: list[Callable[[], object]] = [
        lambda: first.append(shared(folder / "shared", items)),
        lambda: killed(folder / "killed", items, *first),
        lambda: many(folder / "many", ffmpeg),
        lambda: same_bytes(folder / "bytes", forty(folder, ffmpeg, seconds / 4)),
    ]
    failed = 0
    for part in parts:
        try:
            part()
        except (SystemExit, Exception) as failure:  # noqa: BLE001 - told, and the next one's turn
            print(f"FAILED: {type(failure).__name__}: {failure}", flush=True)
            failed += 1
    if failed:
        raise SystemExit(f"{failed} of {len(parts)} parts failed")


# Two jobs with most of their clips in common


def shared(folder: Path, items: Sequence[dict[str, Any]]) -> float:
    """Seconds of the first job."""
    # One in five, at another place in each five: videos with and without logo and text, stills, the outro.
    other = [
        _changed(one, 0.1) if n % 5 == (n // 5 + 2) % 5 else one for n, one in enumerate(items)
    ]
    with farm_of(folder, 0, jobs="") as yard:
        first = _alone(yard, "pc1", items)
        took = seconds_of(first)
        second = _alone(yard, "pc2", other)
        common = 1 - sum(_frames(yard, second, fresh=True)) / max(1, sum(_frames(yard, second)))
        show("w  the second job, on the other worker", seconds_of(second) / took, 0.25,
             f"{seconds_of(second):.1f} s, {took:.1f} s; {common:.0%} of its frames were there")  # fmt: skip
        place = _average(other)
        changed = [_changed(one, 0.2) if n == place else one for n, one in enumerate(other)]
        third = _alone(yard, "pc2", changed)
        show("w  one item of forty changed", seconds_of(third) / took, 0.06,
             f"{seconds_of(third):.1f} s")  # fmt: skip
    return took


def _alone(yard: Yard, name: str, items: Sequence[dict[str, Any]]) -> JobState:
    """A job by a worker that is alone; what has to be known of the sources is known."""
    worker = start(yard, name)
    try:
        return ended(yard, yard.submit(*items))
    finally:
        worker.end()


def _frames(yard: Yard, state: JobState, *, fresh: bool = False) -> list[int]:
    rows = yard.farm.jobs.segments(state.job_id)
    return [row.frames for row, _ in rows if not (fresh and row.cached)]


def _changed(item: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The same item with another text, or a little later or longer."""
    if item.get("text_animation_text"):
        return {**item, "text_animation_text": f"{item['text_animation_text']} {seconds}"}
    if item["item_type"] == "image":
        return {**item, "duration": item["duration"] + seconds}
    return {**item, "start": item.get("start", 0) + seconds}


def _average(items: Sequence[dict[str, Any]]) -> int:
    """The item with a text whose length is nearest to the average."""
    lengths = [one.get("duration") or one["end"] - one.get("start", 0) for one in items]
    mean = sum(lengths) / len(lengths)
    texts = [n for n, one in enumerate(items) if one.get("text_animation_text")] or range(
        len(items)
    )
    return min(texts, key=lambda n: abs(lengths[n] - mean))


# A render that is killed


def killed(folder: Path, items: Sequence[dict[str, Any]], whole: float | None = None) -> None:
    folder.mkdir()
    job = _job(folder, "killed", items)
    render = _Render(folder, "cache")
    begun = time.monotonic()
    at = render.until(job, 90.0)
    until = time.monotonic() - begun
    again = render(job)
    whole = whole or until / (at / 100)
    show("x  killed at 90 % and rendered again", again.wall / whole, 0.15,
         f"killed at {at:.1f} % after {until:.1f} s; then {again.wall:.1f} s; whole {whole:.1f} s")  # fmt: skip


def _job(folder: Path, name: str, items: Sequence[dict[str, Any]]) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"channel_name": "Bench", "items": list(items)}))
    return path


class _Render:
    """``reelyard render`` with one cache."""

    def __init__(self, folder: Path, cache: str) -> None:
        self._folder = folder
        self._environ = {"REELYARD_CACHE_DIR": str(folder / cache), "REELYARD_LOG_DIR": str(folder / "logs"),
                         "REELYARD_ENCODER": "libx264"}  # fmt: skip

    def _argv(self, job: Path) -> list[str]:
        film = str(self._folder / f"{job.stem}.mp4")
        return [sys.executable, "-m", "reelyard", "render", str(job), "-o", film]

    def __call__(self, job: Path) -> Measured:
        return measure(self._argv(job), self._folder, self._environ)

    def until(self, job: Path, percent: float) -> float:
        """Kill it, with everything of it, once it is so far; how far it was."""
        process = subprocess.Popen(
            [*self._argv(job), "--json"], env={**os.environ, **self._environ}, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        reached = 0.0
        for line in process.stdout:
            reached = json.loads(line).get("percent", reached)
            if reached >= percent:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if reached < percent:
            raise RuntimeError(f"it ended at {reached} %")
        return reached


# Many items


def many(folder: Path, ffmpeg: Path) -> None:
    folder.mkdir()
    print(f"   ({_MANY} clips of {_PIECE_FRAMES} frames are made ...)", flush=True)
    each = _MANY // _FEW
    pieces = [_pieces(folder, ffmpeg, number, each) for number in range(_FEW)]
    long = [_joined(folder, ffmpeg, number, some) for number, some in enumerate(pieces)]
    small = _Render(folder, "cache-few")(_job(folder, "few", [_video(one) for one in long]))
    large = _Render(folder, "cache-many")(
        _job(folder, "many", [_video(one) for some in pieces for one in some])
    )
    more = _MANY - _FEW
    show(f"y  peak memory, {_MANY} items against {_FEW}", large.peak / small.peak, 1.2,
         f"{large.peak / 1e6:.0f} MB, {small.peak / 1e6:.0f} MB")  # fmt: skip
    show("y  ms for an item beyond its frames", (large.wall - small.wall) * 1000 / more, 60,
         f"wall; {large.wall:.1f} s, {small.wall:.1f} s for {_MANY * _PIECE_FRAMES} frames")  # fmt: skip
    print(f"   CPU: {(large.cpu - small.cpu) * 1000 / more:.0f} ms   ({large.cpu:.1f} s, {small.cpu:.1f} s)",
          flush=True)  # fmt: skip


def _video(path: Path) -> dict[str, Any]:
    return {"item_type": "video", "path": str(path)}


def _pieces(folder: Path, ffmpeg: Path, number: int, count: int) -> list[Path]:
    """Short clips of so many frames, cut from one."""
    frames = count * _PIECE_FRAMES
    # It shows the time, so that no two clips are the same: those would be rendered once.
    source = f"testsrc=s={_SIZES[number % len(_SIZES)]}:r=30:decimals=2"
    subprocess.run(
        [str(ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", str(frames),
         "-vf", f"hue=h={36 * number},format=yuv420p",
         "-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", str(_PIECE_FRAMES),
         "-keyint_min", str(_PIECE_FRAMES), "-sc_threshold", "0", "-f", "segment", "-segment_time",
         f"{_PIECE_FRAMES / 30 - 0.01:.4f}", "-reset_timestamps", "1",
         str(folder / f"piece-{number}-%03d.mp4")],
        check=True,
    )  # fmt: skip
    made = sorted(folder.glob(f"piece-{number}-*.mp4"))
    if len(made) != count:
        raise RuntimeError(f"{len(made)} clips instead of {count}")
    return made


def _joined(folder: Path, ffmpeg: Path, number: int, pieces: Sequence[Path]) -> Path:
    """The same frames as one clip."""
    listing, path = folder / f"joined-{number}.txt", folder / f"joined-{number}.mp4"
    listing.write_text("".join(f"file {piece.name}\n" for piece in pieces))
    subprocess.run([str(ffmpeg), "-v", "error", "-y", "-f", "concat", "-i", str(listing), "-c", "copy",
                    str(path)], check=True)  # fmt: skip
    return path


# One of three dies


def same_bytes(folder: Path, items: Sequence[dict[str, Any]]) -> None:
    folder.mkdir()
    with farm_of(folder / "alone", 1) as yard:
        alone = _digest(ended(yard, yard.submit(*items)))
    for whom in ("a helper", "the owner"):
        with farm_of(folder / whom.replace(" ", "-"), 3) as yard:
            job_id = yard.submit(*items)
            yard.wait_until(job_id, lambda one: one.progress >= 20, "a fifth to be done", 300)
            owner = yard.state(job_id).worker_id
            names = [
                one.name for one in yard.started if (one.name == owner) == (whom == "the owner")
            ]
            victim = wait_for(lambda names=names: _at_work(yard, names), f"{whom} to be at work")  # type: ignore[misc]
            at = yard.state(job_id).progress
            yard.worker(victim).kill()
            state = ended(yard, job_id)
            made = {worker for _, worker in yard.farm.jobs.segments(job_id)}
            same = _digest(state) == alone
        show(f"z  films that differ, {whom} of three killed", int(not same), 0,
             f"{victim} at {at:.0f} %, owner was {owner}; made by {', '.join(sorted(made))}")  # fmt: skip


def _at_work(yard: Yard, names: Sequence[str]) -> str | None:
    """One of them that runs an FFmpeg."""
    for name in names:
        for process in yard.worker(name).family():
            try:
                if "ffmpeg" in process.name():
                    return name
            except psutil.NoSuchProcess:
                continue
    return None


def _digest(state: JobState) -> str:
    assert state.output_path is not None
    with Path(state.output_path).open("rb") as film:
        return hashlib.file_digest(film, "sha256").hexdigest()
