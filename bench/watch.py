"""What it costs to be watched, measured in one run.

m  seconds from a line of history being written to a watcher having read it, with 200 of them, while a job renders
n  the server's memory after that, against before
o  the wall time of a render with 200 watchers, against the same with none
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from reelyard.domain.errors import ReelyardError
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.farm.wiring import Farm
from reelyard.services.job_file import parse_job
from reelyard.settings import Settings

from .farm import show
from .material import twenty

WATCHERS = 200
_READ_CLOSELY = 20  # the others are read and thrown away: whoever watches is on other machines
_MINUTE = 12  # of the twenty items make about a minute
_NEWS_SECONDS = 1.0
_BEGIN = b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def watched(folder: Path, ffmpeg: Path, runs: int) -> None:
    """Run it in ``folder`` and print it."""
    print(f"\n{WATCHERS} watchers; {runs} pairs, medians\n", flush=True)
    folder.mkdir()
    with _farm(folder) as (farm, up, port):
        document = {"channel_name": "Bench", "items": twenty(folder, ffmpeg)[:_MINUTE]}
        _rendered(farm, folder, document)  # probes everything, warms what is warm in either case
        server = _server_of(up)
        pairs, delays, memory = [], [], []
        for _ in range(runs):
            alone = _rendered(farm, folder, document)
            with _Watchers(port) as watchers, _News(farm, document):
                before = server.memory_info().rss
                pairs.append((alone, _rendered(farm, folder, document)))
                memory.append(server.memory_info().rss / before)
            delays += watchers.delays
    median, worst = statistics.median(delays), max(delays)
    show("m  seconds until a watcher knows, median", median, 0.5, f"{len(delays)} readings")
    show("m  the same, worst", worst, 1.0, f"{_READ_CLOSELY} of {WATCHERS} read closely")
    show("n  server's memory after against before", max(memory), 1.1, f"{before / 1e6:.0f} MB")
    alone, many = pairs[-1]
    ratio = statistics.median(many / alone for alone, many in pairs)
    show("o  render with watchers, against none", ratio, 1.03, f"{many:.1f} s, {alone:.1f} s")


@contextmanager
def _farm(folder: Path) -> Iterator[tuple[Farm, psutil.Process, int]]:
    settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache",
                        log_dir=folder / "logs", encoder="libx264")  # fmt: skip
    environ = {
        **os.environ,
        "REELYARD_DATA_DIR": str(settings.data_dir),
        "REELYARD_CACHE_DIR": str(settings.cache_dir),
        "REELYARD_LOG_DIR": str(settings.log_dir),
        "REELYARD_ENCODER": "libx264",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "reelyard", "up", "--port", str(port)]
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(argv, stdout=log, stderr=log, env=environ)
    try:
        farm = Farm(settings)
        _wait(lambda: b"startup complete" in (folder / "up.log").read_bytes())
        _wait(lambda: any(one.is_alive for one in farm.workers.list()))
        yield farm, psutil.Process(up.pid), port
    finally:
        up.terminate()
        up.wait()


def _wait(is_so: Any, seconds: float = 600) -> None:
    ends_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > ends_at:
            raise SystemExit("the farm did not do its work")
        time.sleep(0.1)


def _server_of(up: psutil.Process) -> psutil.Process:
    return next(one for one in up.children() if "serve" in one.cmdline())


def _rendered(farm: Farm, folder: Path, document: dict[str, Any]) -> float:
    """Seconds from taken to completed, with nothing in the cache."""
    shutil.rmtree(folder / "cache" / "entries", ignore_errors=True)
    job = parse_job(document, folder)
    farm.submit(job, farm.profiles.local("bench"), priority=9)
    _wait(lambda: farm.jobs.state(job.job_id).status is JobStatus.COMPLETED)
    state: JobState = farm.jobs.state(job.job_id)
    assert state.completed_at is not None and state.started_at is not None
    return (state.completed_at - state.started_at).total_seconds()


class _News(threading.Thread):
    """A job that waits, and is moved up and down all the time: each move is a line of history."""

    def __init__(self, farm: Farm, document: dict[str, Any]) -> None:
        super().__init__(name="news", daemon=True)
        self._farm = farm
        self._job = parse_job({**document, "enable_4k": True}, Path.cwd())
        self._ended = threading.Event()

    def __enter__(self) -> _News:
        farm = self._farm
        farm.queues.pause(Queue.UHD, True)
        farm.submit(self._job, farm.profiles.local("bench"))
        self.start()
        return self

    def run(self) -> None:
        priority = 0
        while not self._ended.wait(_NEWS_SECONDS):
            priority = (priority + 1) % 5
            with suppress(ReelyardError):
                self._farm.jobs.reprioritise(self._job.job_id, priority)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._farm.jobs.cancel(self._job.job_id)


class _Watchers(threading.Thread):
    """All of them, in one thread that does as little as possible."""

    def __init__(self, port: int) -> None:
        super().__init__(name="watchers", daemon=True)
        self._port = port
        self._ended = threading.Event()
        self.delays: list[float] = []

    def __enter__(self) -> _Watchers:
        self._sockets = [self._connect() for _ in range(WATCHERS)]
        self.start()
        time.sleep(1.0)
        return self

    def _connect(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self._port))
        one.sendall(_BEGIN)
        one.setblocking(False)
        return one

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for number, one in enumerate(self._sockets):
                selector.register(one, selectors.EVENT_READ, number < _READ_CLOSELY)
            while not self._ended.is_set():
                for key, _ in selector.select(0.5):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65_536)
                    if key.data:
                        self._read(data, time.time())

    def _read(self, data: bytes, now: float) -> None:
        for line in data.splitlines():
            if line.startswith(b"data: {") and b'"at"' in line:
                with suppress(ValueError):  # cut in two: one reading less
                    at = datetime.fromisoformat(json.loads(line[6:])["at"])
                    self.delays.append(now - at.timestamp())

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        for one in self._sockets:
            one.close()
