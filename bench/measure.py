"""Running a command and measuring it: wall time, CPU time, peak memory of the whole process tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.02
_PAUSE = 20
"""So many times as long as a look took is waited for the next: a tree of a hundred processes is not to be slowed by it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, seconds of all processes, bytes resident in all of them at the worst moment.

    ``first_ffmpeg`` is the seconds until an FFmpeg was seen in the tree; None if none was.
    """

    wall: float
    cpu: float
    peak: int
    first_ffmpeg: float | None


def measure(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Measured:
    """Run a command to its end; it has to succeed."""
    begun = time.monotonic()
    with (cwd / "bench.log").open("ab") as log:
        process = subprocess.Popen(
            argv, cwd=cwd, env={**os.environ, **environment}, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        tree = _Tree(process.pid, begun)
        watcher = threading.Thread(target=tree.watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        tree.done.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = (cwd / "bench.log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{argv[:3]} failed:\n{tail}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, tree.peak, tree.first_ffmpeg)


class _Tree:
    """Samples a process and all its descendants."""

    def __init__(self, root: int, begun: float) -> None:
        self._root = root
        self._begun = begun
        self.peak = 0
        self.first_ffmpeg: float | None = None
        self.done = threading.Event()

    def watch(self) -> None:
        took = 0.0
        while not self.done.wait(max(_SAMPLE_SECONDS, _PAUSE * took)):
            begun = time.monotonic()
            total = 0
            for pid in self._descendants():
                total += _resident(pid)
                if self.first_ffmpeg is None and pid != self._root and "ffmpeg" in _name(pid):
                    self.first_ffmpeg = time.monotonic() - self._begun
            self.peak = max(self.peak, total)
            took = time.monotonic() - begun

    def _descendants(self) -> list[int]:
        found, waiting = [], [self._root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    waiting += map(int, task.read_text().split())
                except OSError:
                    continue
        return found


def _resident(pid: int) -> int:
    """Proportional set size: pages that processes share count once."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
    except OSError:
        return ""
