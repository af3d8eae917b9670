"""Progress: one honest number.

Everything is counted in frames, weighted by what it costs: a frame of picture is 1, the same 30th
of a second of sound, of the encoded track and of the joined film a small part of it. 100 % is shown
when the film has been published, never before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from reelyard.domain.timeline import FRAME_RATE

PICTURE = 1.0
SOUND = 0.02
TRACK = 0.03
JOIN = 0.02
_UPDATES_A_SECOND = 10
_MOST_BEFORE_DONE = 99.9


class Stage(StrEnum):
    """What a job is at."""

    QUEUED = "queued"
    COPYING = "copying"
    PROBING = "probing"
    RENDERING = "rendering"
    JOINING = "joining"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands.

    ``percent`` is 0–100. ``speed`` is seconds of film made a second, cached ones not counted;
    ``seconds_left`` is unknown until there is a speed.
    """

    stage: Stage
    percent: float
    frames_done: int
    frames_total: int
    speed: float | None
    seconds_left: float | None
    elapsed: float


Watcher = Callable[[Progress], None]


class Meter:
    """Adds up what every running piece reports, and tells a watcher now and then."""

    def __init__(
        self, watcher: Watcher | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._watcher = watcher
        self._clock = clock
        self._lock = threading.Lock()
        self._begun = self._told = clock()
        self._stage = Stage.PROBING
        self._total = 0.0
        self._done: dict[str, float] = {}
        self._work = 0.0  # weighted frames that were really made, not found in the cache
        self._frames_total = 0
        self._frames: dict[str, int] = {}
        self._most = 0.0

    def expect(self, frames: int) -> None:
        """Start over with a plan of so many frames of film."""
        with self._lock:
            self._total = frames * (PICTURE + SOUND + TRACK + JOIN)
            self._done.clear()
            self._frames.clear()
            self._frames_total = frames

    def stage(self, stage: Stage) -> None:
        with self._lock:
            self._stage = stage
        self._tell(now=True)

    def have(self, name: str, frames: int, weight: float) -> None:
        """A piece is there already."""
        self._set(name, frames, weight, made=False)

    def watch(self, name: str, limit: int, weight: float, times: int = 1) -> Callable[[int], None]:
        """What a running piece of ``limit`` frames, shown so many times, calls with its frames."""
        return lambda frames: self._set(name, times * min(frames, limit), weight, made=True)

    def _set(self, name: str, frames: int, weight: float, *, made: bool) -> None:
        with self._lock:
            gain = frames * weight - self._done.get(name, 0.0)
            if gain <= 0:
                return
            self._done[name] = frames * weight
            if weight == PICTURE:
                self._frames[name] = frames
            if made:
                self._work += gain
        self._tell()

    def _tell(self, *, now: bool = False) -> None:
        with self._lock:
            time_now = self._clock()
            if not self._watcher or (not now and time_now - self._told < 1 / _UPDATES_A_SECOND):
                return
            self._told = time_now
            try:
                self._watcher(self._progress(time_now))  # in here, so that it never steps back
            except OSError:
                self._watcher = None  # whoever was reading has gone; the job goes on

    def _progress(self, now: float) -> Progress:
        elapsed = now - self._begun
        done = sum(self._done.values())
        share = min(1.0, done / self._total) if self._total else 0.0
        rate = self._work / elapsed if elapsed > 0 and self._work > 0 else None
        finished = self._stage is Stage.DONE
        # A plan that lost an item starts over with fewer frames; what was shown is not taken back.
        self._most = max(self._most, min(_MOST_BEFORE_DONE, 100 * share))
        return Progress(
            stage=self._stage,
            percent=100.0 if finished else self._most,
            frames_done=sum(self._frames.values()),
            frames_total=self._frames_total,
            speed=rate / (PICTURE + SOUND + TRACK + JOIN) / FRAME_RATE if rate else None,
            seconds_left=0.0 if finished else ((self._total - done) / rate if rate else None),
            elapsed=elapsed,
        )
