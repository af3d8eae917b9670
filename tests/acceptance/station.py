"""Real ``reelyard`` processes in a folder of their own, started, watched and killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.forks import Fork

PATIENCE = 120.0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ffmpegs_in(folder: Path) -> set[int]:
    """The FFmpeg processes that work in a folder (also one that is gone by now)."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = str((process / "cwd").readlink())
            program = (process / "cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if b"ffmpeg" in program and where.startswith(f"{folder}/"):
            found.add(int(process.name))
    return found


def gone_soon(folder: Path, seconds: float = 2.0) -> bool:
    """Whether no FFmpeg works in the folder any more, at once or very soon."""
    until = time.monotonic() + seconds
    while ffmpegs_in(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@dataclass
class Run:
    """One ``reelyard render --json`` process; ``events`` fills while it runs."""

    process: Fork | subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)
    _readers: list[threading.Thread] = field(default_factory=list)
    _silent: bool = False

    def __post_init__(self) -> None:
        self._readers = [
            threading.Thread(target=reader) for reader in (self._read_events, self._read_words)
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._arrived:
                    if line.endswith("\n"):  # a killed process may end within a line
                        self.events.append(json.loads(line))
                    self._arrived.notify_all()
        with self._arrived:
            self._silent = True
            self._arrived.notify_all()

    def _read_words(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.said.extend(stream)

    def reached(self, *stages: str, percent: float = 0.0) -> bool:
        """Wait until it is at one of the stages (and so far); False if it ends before."""

        def there() -> bool:
            return any(
                event.get("stage") in stages and event["percent"] >= percent
                for event in list(self.events)
            )

        with self._arrived:
            self._arrived.wait_for(lambda: there() or self._silent, timeout=PATIENCE)
        return there()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.ended()

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for its exit code; raises where it takes longer."""
        code = self.process.wait(within)
        for reader in self._readers:
            reader.join()
        return code

    @property
    def done(self) -> dict[str, Any]:
        """What it said at its end."""
        assert self.events and self.events[-1]["event"] in ("done", "error"), self.said
        return self.events[-1]


@dataclass(frozen=True)
class Station:
    """A folder with a job, a cache and an outbox, and the processes started there."""

    folder: Path
    settings: tuple[tuple[str, str], ...] = ()
    runs: list[Run] = field(default_factory=list)

    @property
    def out(self) -> Path:
        path = self.folder / "out"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, cache: str = "cache") -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if "REELYARD_" not in name}
        return own | {
            "HOME": str(self.folder / "home"),
            "REELYARD_CACHE_DIR": str(self.folder / cache),
            "REELYARD_LOG_DIR": str(self.folder / "logs"),
            **dict(self.settings),
        }

    def write_job(self, *items: dict[str, Any], name: str = "job.json", **job: Any) -> Path:
        path = self.folder / name
        document = {"channel_name": "Tests", "items": list(items), **job}
        path.write_text(json.dumps(document, default=str))
        return path

    def start(
        self, job: Path, output: str = "film.mp4", *arguments: str, cache: str = "cache",
        afresh: bool = False,
    ) -> Run:  # fmt: skip
        """Start to render; ``afresh`` in a process that is no fork of one with all libraries."""
        target = self.out / output
        given = [
            "render",
            str(job),
            "-o",
            str(target),
            "--encoder",
            "libx264",
            "--json",
            *arguments,
        ]
        environ = self.environment(cache)
        process: Fork | subprocess.Popen[str]
        if afresh:
            process = subprocess.Popen(
                [sys.executable, "-m", "reelyard", *given], cwd=self.folder, env=environ,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        else:
            process = Fork(*given, environ=environ, folder=self.folder)
        run = Run(process)
        self.runs.append(run)
        return run

    def render(
        self, job: Path, output: str = "film.mp4", *arguments: str, cache: str = "cache"
    ) -> dict[str, Any]:
        """Render to the end, which has to go well; what was said at the end."""
        run = self.start(job, output, *arguments, cache=cache)
        assert run.ended() == 0, (run.events[-1:], run.said)
        return run.done

    def end_all(self) -> None:
        for run in self.runs:
            run.process.kill()  # does nothing to one that has ended
            run.ended()


def station(folder: Path, **settings: object) -> Iterator[Station]:
    """For fixtures: a station whose processes end with it."""
    folder.mkdir(parents=True, exist_ok=True)
    named = tuple((f"REELYARD_{name.upper()}", str(value)) for name, value in settings.items())
    made = Station(folder, named)
    try:
        yield made
    finally:
        made.end_all()
