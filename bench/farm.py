"""What the farm costs, measured in one run against the same without it.

f  a film of about a minute through the farm (submit to published), against ``reelyard render``
g  seconds from a job being submitted, that is checked and stored, to its first FFmpeg; beside it
   the same from the command's start, with Python's own start and the reading of all sources
h  submitting with 2 000 jobs queued, against an empty farm; milliseconds, preflight cached
i  what ``reelyard status`` reads with 2 000 jobs queued, against an empty farm
j  whether the jobs of a full queue are taken in the order in which they were submitted
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from reelyard.domain.errors import ReelyardError
from reelyard.domain.farm import Capabilities
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.farm.broker import EmbeddedBroker
from reelyard.farm.wiring import Farm
from reelyard.services.job_file import parse_job
from reelyard.services.outlook import outlook
from reelyard.settings import Settings

from .material import twenty
from .measure import measure

QUEUED = 2000
_MINUTE = 12  # of the twenty items make about a minute
_TRIES = 50
_ACTIVE = (JobStatus.QUEUED, JobStatus.PROCESSING)
_LOOK_SECONDS = 0.005


def farm(folder: Path, ffmpeg: Path, runs: int) -> None:
    """Run all of it in ``folder`` and print it."""
    print(f"\nThe farm; {runs} pairs, medians\n", flush=True)
    items = twenty(folder, ffmpeg)
    cost(folder / "cost", items[:_MINUTE], runs)
    with _guarded(folder / "queue") as one:
        queue(one, items[:_MINUTE])


def show(name: str, value: float, goal: float, detail: str) -> None:
    mark = "meets" if value <= goal else "MISSES"
    print(f"{name:<44} {value:8.3f}   {mark} {goal:<5}  ({detail})", flush=True)


# What a film costs more


def cost(folder: Path, items: list[dict[str, Any]], runs: int) -> None:
    folder.mkdir()
    job = folder / "minute.json"
    job.write_text(json.dumps({"channel_name": "Bench", "items": items}))
    pairs = []
    for number in range(runs):
        alone = _rendered_alone(folder / f"alone-{number}", job)
        pairs.append((alone, *_rendered_by_farm(folder / f"farm-{number}", job)))
    ratio = statistics.median(through / alone for alone, through, *_ in pairs)
    alone, through, *_ = pairs[-1]
    show("f  through the farm, against render", ratio, 1.03, f"{through:.2f} s, {alone:.2f} s")
    first = statistics.median(first for *_, first, _ in pairs)
    whole = statistics.median(whole for *_, whole in pairs)
    show("g  seconds from submitted to the first FFmpeg", first, 1.0, f"command: {whole:.2f} s")


def _environ(folder: Path) -> dict[str, str]:
    return {
        "REELYARD_DATA_DIR": str(folder / "data"),
        "REELYARD_CACHE_DIR": str(folder / "cache"),
        "REELYARD_LOG_DIR": str(folder / "logs"),
        "REELYARD_ENCODER": "libx264",
    }


def _rendered_alone(folder: Path, job: Path) -> float:
    folder.mkdir()
    _remember(folder)
    output = str(folder / "film.mp4")
    argv = [sys.executable, "-m", "reelyard", "render", str(job), "-o", output]
    return measure(argv, folder, _environ(folder)).wall


def _remember(folder: Path) -> None:
    """Both sides know the machine already; a worker finds out about it when it starts."""
    environ = {**os.environ, **_environ(folder)}
    subprocess.run([sys.executable, "-m", "reelyard", "doctor", "--json"], env=environ,
                   check=True, capture_output=True)  # fmt: skip


def _rendered_by_farm(folder: Path, job: Path) -> tuple[float, float, float]:
    """Seconds from the command to published; to the first FFmpeg from stored, and from the command."""
    folder.mkdir()
    _remember(folder)
    settings = {name.removeprefix("REELYARD_").lower(): value
                for name, value in _environ(folder).items()}  # fmt: skip
    farm = Farm(Settings(**settings))  # type: ignore[arg-type]
    with _up(folder, farm) as up:
        begun, begun_at = time.monotonic(), time.time()
        watcher = _FirstFFmpeg(up.pid)
        watcher.start()
        environ = {**os.environ, **_environ(folder)}
        subprocess.run([sys.executable, "-m", "reelyard", "submit", str(job)], env=environ,
                       check=True, capture_output=True)  # fmt: skip
        ended = _wait_for(lambda: _completed(farm))
        watcher.ended.set()
        watcher.join()
        (state,) = farm.jobs.list()
        stored = begun + state.created_at.timestamp() - begun_at
        return ended - begun, watcher.seen - stored, watcher.seen - begun


def _completed(farm: Farm) -> bool:
    return farm.jobs.counts().get(JobStatus.COMPLETED, 0) > 0


@contextmanager
def _up(folder: Path, farm: Farm) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen([sys.executable, "-m", "reelyard", "up", "--no-server"], stdout=log, stderr=log,
                              env={**os.environ, **_environ(folder)})  # fmt: skip
    try:
        _wait_for(lambda: b" ready." in (folder / "up.log").read_bytes())
        farm.jobs.counts()  # the database is open before the clock runs
        yield up
    finally:
        up.terminate()
        up.wait()


def _wait_for(is_so: Callable[[], bool], seconds: float = 600) -> float:
    """The time at which it is so."""
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise SystemExit("the farm did not do its work")
        time.sleep(_LOOK_SECONDS * 4)
    return time.monotonic()


class _FirstFFmpeg(threading.Thread):
    """Looks for the first FFmpeg below a process."""

    def __init__(self, root: int) -> None:
        super().__init__()
        self._root = psutil.Process(root)
        self.seen = float("nan")
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            if any("ffmpeg" in name for name in self._names()):
                self.seen = time.monotonic()
                return

    def _names(self) -> Iterator[str]:
        for child in self._root.children(recursive=True):
            try:
                yield child.name()
            except psutil.NoSuchProcess:
                continue


# A full queue


@contextmanager
def _guarded(folder: Path) -> Iterator[Farm]:
    folder.mkdir()
    settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache",
                        log_dir=folder / "logs", encoder="libx264")  # fmt: skip
    one = Farm(settings)
    broker = one.embedded
    assert isinstance(broker, EmbeddedBroker)
    broker.guard()
    try:
        yield one
    finally:
        one.sender.close()
        one.reelyard.database.close()
        broker.release()


def queue(farm: Farm, items: list[dict[str, Any]]) -> None:
    user = farm.profiles.local("bench")
    document = {"channel_name": "Bench", "items": items}

    def submit() -> str:
        return farm.submit(parse_job(document, Path.cwd()), user).state.job_id

    submit()  # probes everything and opens all connections
    empty, empty_status = _timed(submit), _timed(lambda: _status(farm))
    _fill(farm, submit)
    full, full_status = _timed(submit), _timed(lambda: _status(farm))
    show(f"h  ms to submit with {QUEUED} queued", full, 20, f"empty: {empty:.1f} ms")
    show("h  the same, against an empty farm", full / empty, 1.5, f"{len(items)} items a job")
    show(f"i  ms for status with {QUEUED} queued", full_status, 100, f"empty: {empty_status:.1f}")
    order(farm)


def _fill(farm: Farm, submit: Callable[[], str]) -> None:
    while farm.jobs.counts().get(JobStatus.QUEUED, 0) < QUEUED:
        for _ in range(100):
            submit()


def _timed(work: Callable[[], object]) -> float:
    """Median milliseconds."""
    found = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        work()
        found.append((time.perf_counter() - begun) * 1000)
    return statistics.median(found)


def _status(farm: Farm) -> object:
    """All that ``reelyard status`` reads for its table."""
    shown = [farm.jobs.list([status], limit=30) for status in _ACTIVE]
    recent = farm.jobs.list(limit=5, newest_first=True)
    return outlook(farm.jobs.ahead(), farm.workers.list()), farm.jobs.counts(), shown, recent


def order(farm: Farm) -> None:
    """Take all jobs as a worker does, one after the other."""
    able = Capabilities(version="", ffmpeg="", encoders=(), cores=1, memory=1, free_disk=1)
    farm.workers.register("bench@here", uuid.uuid4().hex, host="here", pid=os.getpid(),
                          queues=tuple(Queue), capabilities=able)  # fmt: skip
    waiting = [one.job_id for one in farm.jobs.list(_ACTIVE, limit=100_000)]
    submitted = sorted(waiting, key=lambda one: farm.jobs.state(one).created_at)
    taken = []
    begun = time.perf_counter()
    for job_id in waiting:
        claim = farm.leases.claim("bench@here", job_id, None)
        if claim is None or not farm.leases.refuse(claim.lease, "bench"):
            raise ReelyardError(f"job {job_id} can't be taken")
        taken.append(claim.lease.job_id)
    each = (time.perf_counter() - begun) * 1000 / len(taken)
    wrong = sum(one != other for one, other in zip(taken, submitted, strict=True))
    show(f"j  out of order, of {len(taken)} taken", wrong, 0, f"{each:.1f} ms to take and end one")
