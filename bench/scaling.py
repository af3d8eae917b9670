"""A farm of several workers where the machine is not the limit (``throttle.py``): real processes, broker and database.

u  one job by 1, 2, 4 and 8 workers that help each other, from submitted to published; efficiency is t1 / (n * tn)
v  twenty jobs of mixed length by four workers, with help against without: until the last is done, and the mean of all

Each worker encodes one segment at a time, has a cache of its own, and shares segments in one folder.
"""

from __future__ import annotations

import itertools
import random
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from tests.farm.yard import ENDED, Yard, wait_for

from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus

from .throttle import throttled

WORKERS = (1, 2, 4, 8)
JOBS = 20
MINUTES = 2.5
"""Of film in the one job, and as many again in the twenty."""

_SPEED = 1.0  # real time
_CLIPS, _CLIP_SECONDS = 6, 30
_LENGTHS = (2.0, 5.5, 3.2, 8.0, 4.1, 2.7, 6.3, 3.6)
_EFFICIENCY = 0.9


def scaling(folder: Path, ffmpeg: Path, minutes: float | None = None) -> None:
    """Run all of it in ``folder`` and print it."""
    folder.mkdir(parents=True)
    seconds = (minutes or MINUTES) * 60
    slow = throttled(ffmpeg, _SPEED, folder / "ffmpeg")
    clips = [_clip(folder / f"clip-{n}.mp4", ffmpeg, n) for n in range(_CLIPS)]
    print(f"\nScaling: {seconds:.0f} s of film, each worker in real time\n", flush=True)
    one_job(folder, slow, _items(clips, seconds))
    twenty_jobs(folder, slow, clips, seconds)


@contextmanager
def farm_of(folder: Path, count: int, **own: str) -> Iterator[Yard]:
    """A farm whose workers are ready; they are gone afterwards, with all that they made."""
    folder.mkdir(parents=True)
    shared = {"jobs": "1", "segment_store": str(folder / "store"), **own}
    yard = Yard(folder, f"sqlite:///{folder / 'farm.db'}", lease_seconds=10, own=shared)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(yard.close)
        stack.enter_context(yard.broker_kept())
        workers = [start(yard, f"pc{n + 1}", wait=False) for n in range(count)]
        for worker in workers:
            wait_for(lambda worker=worker: " ready." in worker.said(), f"{worker.name} to be ready")  # type: ignore[misc]
        yield yard


def start(yard: Yard, name: str, *, wait: bool = True, **own: str) -> Any:
    """A worker with a cache of its own."""
    return yard.start(name, wait=wait, cache_dir=str(yard.folder / f"cache-{name}"), **own)


def one_job(folder: Path, ffmpeg: Path, items: Sequence[dict[str, Any]]) -> None:
    alone = None
    for count in WORKERS:
        with farm_of(folder / f"of-{count}", count, ffmpeg=str(ffmpeg)) as yard:
            busy = psutil.cpu_times()
            state = ended(yard, yard.submit(*items))
            share = _busy_share(busy)
            made = Counter(worker for _, worker in yard.farm.jobs.segments(state.job_id))
        took = seconds_of(state)
        alone = alone or took
        efficiency = alone / (count * took)
        mark = (
            "" if count != 4 else "   meets 0.9" if efficiency >= _EFFICIENCY else "   MISSES 0.9"
        )
        shares = ", ".join(f"{made[name]}" for name in sorted(made))
        print(f"u  {count} workers: {took:7.2f} s, efficiency {efficiency:.3f}{mark}   "
              f"(machine {share:.0%} busy; segments each: {shares})", flush=True)  # fmt: skip


def twenty_jobs(
    folder: Path, ffmpeg: Path, clips: Sequence[Path], seconds: float, workers: int = 4
) -> None:
    jobs = list(_mixed(clips, seconds))
    found = {}
    for helps in (False, True):
        name = f"twenty-{'with' if helps else 'without'}"
        own = {"ffmpeg": str(ffmpeg), "assist": str(helps).lower()}
        with farm_of(folder / name, workers, **own) as yard:
            busy = psutil.cpu_times()
            begun = time.time()
            states = [ended(yard, one) for one in [yard.submit(*items) for items in jobs]]
            share = _busy_share(busy)
        ends = [one.completed_at.timestamp() - begun for one in states if one.completed_at]
        found[helps] = (max(ends), statistics.mean(ends))
        print(f"v  {len(jobs)} jobs, {'with' if helps else 'no'} help: all done after {max(ends):.1f} s, "
              f"each after {statistics.mean(ends):.1f} s on average   (machine {share:.0%} busy)", flush=True)  # fmt: skip
    print(f"v  with help against without: {found[True][0] / found[False][0]:.3f} until the last, "
          f"{found[True][1] / found[False][1]:.3f} on average", flush=True)  # fmt: skip


def ended(yard: Yard, job_id: str, seconds: float = 900) -> JobState:
    """The job, completed."""
    state = yard.wait_until(
        job_id, lambda one: one.status in ENDED, f"job {job_id} to end", seconds
    )
    if state.status is not JobStatus.COMPLETED:
        raise RuntimeError(f"job {job_id} ended as {state.status}: {state.error_message}")
    return state


def seconds_of(state: JobState) -> float:
    """From submitted to published."""
    assert state.completed_at is not None
    return (state.completed_at - state.created_at).total_seconds()


def _busy_share(before: Any) -> float:
    after = psutil.cpu_times()
    whole, idle = sum(after) - sum(before), after.idle - before.idle
    return 1 - float(idle / whole)


# What is rendered: little work for the machine, so that many can be at it.


def _clip(path: Path, ffmpeg: Path, number: int) -> Path:
    colour = f"0x{0x203040 + 0x0A1408 * number:06x}"
    picture = f"color=c={colour}:s=1920x1080:r=30:d={_CLIP_SECONDS}"
    mark = f"testsrc=s=160x90:r=30:d={_CLIP_SECONDS}"
    tone = f"sine=frequency={220 + 40 * number}:duration={_CLIP_SECONDS}"
    subprocess.run(
        [str(ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", mark,
         "-f", "lavfi", "-i", tone, "-filter_complex",
         "[0:v][1:v]overlay=x=40+n:y=400,setparams=range=limited:color_primaries=bt709:color_trc=bt709:"
         "colorspace=bt709,format=yuv420p[v]",
         "-map", "[v]", "-map", "2:a", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", str(path)],
        check=True,
    )  # fmt: skip
    return path


def _items(clips: Sequence[Path], seconds: float) -> list[dict[str, Any]]:
    """Items of mixed length, each another part of a clip, so much together."""
    items: list[dict[str, Any]] = []
    number = itertools.count()
    left = seconds
    while left > 0.5:
        length = min(left, _LENGTHS[len(items) % len(_LENGTHS)])
        items.append(_item(clips, next(number), length))
        left -= length
    return items


def _item(clips: Sequence[Path], number: int, length: float) -> dict[str, Any]:
    begin = round((number * 2.7) % (_CLIP_SECONDS - length - 0.1), 2)
    return {"item_type": "video", "path": str(clips[number % len(clips)]), "start": begin,
            "end": round(begin + length, 2)}  # fmt: skip


def _mixed(clips: Sequence[Path], seconds: float) -> Iterator[list[dict[str, Any]]]:
    """Twenty jobs: a few long ones among many short, in no order; no part of a clip comes twice."""
    weights = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 10, 12, 14, 16]
    random.Random(6).shuffle(weights)
    number = itertools.count(1000)
    for weight in weights:
        left = seconds * weight / sum(weights)
        items: list[dict[str, Any]] = []
        while left > 0.5 or not items:
            length = max(0.5, min(left, _LENGTHS[len(items) % len(_LENGTHS)]))
            items.append(_item(clips, next(number), length))
            left -= length
        yield items
