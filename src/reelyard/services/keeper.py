"""Keeping a job: the heartbeat that renews its lease, and hears whether it has to stop.

Twice a second the keeper looks at the job's row: cancelled, taken by somebody else, worker told to stop.
Then FFmpeg is killed and the job's work ends with ``Cancelled``; ``reason`` says why. While the
database is away the work goes on, because nobody else can take the job either; but nothing is published
before the lease was seen to hold again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType

from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.farm import Lease, Standing
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.engine.ffmpeg import StopSignal
from reelyard.store.leases import Leases

from .progress import Progress

LOOK_SECONDS = 0.5
_WRITE_SECONDS = 1.0
_ENDS_WITHIN = 30.0  # seconds for work that was stopped; then the lease is let go of


class Reason(StrEnum):
    """Why the work on a job was stopped."""

    CANCELLED = "cancelled"
    LOST = "lost"  # somebody else has the job, or had it
    TOLD_TO_STOP = "told_to_stop"
    TIME_LIMIT = "time_limit"


class Keeper:
    """Keeps one lease while the ``with`` block runs. Its ``watch`` takes the job's progress."""

    def __init__(
        self,
        leases: Leases,
        lease: Lease,
        must_stop: Callable[[], bool],
        say: Callable[[str], None],
        *,
        time_limit: float,
        clock: Callable[[], float] = time.time,  # goes on while the machine sleeps
    ) -> None:
        self._clock = clock
        self.stop = StopSignal()
        self.reason: Reason | None = None
        self._leases = leases
        self._lease = lease
        self._must_stop = must_stop
        self._say = say
        self._ends_at = time.monotonic() + time_limit
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._latest: Progress | None = None
        self._stage = "claimed"
        self._told = (0.0, "claimed")
        self._beat_at = self._clock()
        self._stopped_at: float | None = None
        self._away = False
        self._lock = threading.Lock()

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def watch(self, progress: Progress) -> None:
        """Called by the renderer with its progress; never waits."""
        self._latest = progress
        self._stage = progress.stage

    def at(self, stage: str) -> None:
        """The work has come to a stage that has no progress of its own."""
        self._stage = stage

    def look_again(self) -> None:
        """Find out now whether the lease holds, before anybody is blamed."""
        if self.reason is None:
            self._look()

    def permit(self) -> None:
        """Returns once the lease was seen to hold. Raises Cancelled if it does not."""
        while True:
            self.stop.check()
            try:
                permitted = self._leases.permit(self._lease)
                self._note_back()
                if permitted:
                    return
            except DatabaseUnavailable as error:
                self._note_away(error)
                self._done.wait(LOOK_SECONDS)
                continue
            self._look()
            self._end(self.reason or Reason.LOST)

    def _run(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            if self._must_stop():
                self._end(Reason.TOLD_TO_STOP)
            elif time.monotonic() > self._ends_at:
                self._end(Reason.TIME_LIMIT)
            if self._stopped_at and time.monotonic() - self._stopped_at > _ENDS_WITHIN:
                continue  # the work does not end: it hangs, and somebody else is to have the job
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a lease is not to be lost in silence
                self._say(f"the heartbeat failed: {error!r}")

    def _look(self) -> None:
        try:
            standing = self._beat() if self._is_due() else self._leases.standing(self._lease)
        except DatabaseUnavailable as error:
            self._note_away(error)
            return
        self._note_back()
        self._judge(standing)

    def _note_away(self, error: DatabaseUnavailable) -> None:
        with self._lock:
            was_away, self._away = self._away, True
        if not was_away:
            self._say(f"going on without the database: {error.message}")

    def _note_back(self) -> None:
        """Whoever reaches the database first says so: this thread, or the one that waits to publish."""
        with self._lock:
            was_away, self._away = self._away, False
        if was_away:
            self._say("the database is back")

    def _judge(self, standing: Standing) -> None:
        if not standing.holds:
            cancelled = standing.status is JobStatus.CANCELLED
            self._end(Reason.CANCELLED if cancelled else Reason.LOST)
        elif standing.order is Order.STOP:
            self._end(Reason.TOLD_TO_STOP)

    def _end(self, reason: Reason) -> None:
        if self.reason is None:
            self.reason = reason
            self._stopped_at = time.monotonic()
        self.stop.stop()

    def _is_due(self) -> bool:
        since = self._clock() - self._beat_at
        percent, stage = self._percent(), self._stage
        moved = stage != self._told[1] or int(percent) != int(self._told[0])
        return abs(since) > self._leases.seconds / 4 or (moved and since >= _WRITE_SECONDS)

    def _percent(self) -> float:
        return self._latest.percent if self._latest else 0.0

    def _beat(self) -> Standing:
        latest = self._latest
        percent, stage = self._percent(), self._stage
        standing = self._leases.beat(
            self._lease,
            stage=stage,
            progress=percent,
            speed=latest.speed if latest else None,
            seconds_left=latest.seconds_left if latest else None,
        )
        self._told, self._beat_at = (percent, stage), self._clock()
        return standing


def insist(
    write: Callable[[], bool],
    say: Callable[[str], None],
    patience: float,
    must_stop: Callable[[], bool],
) -> bool:
    """Try to write until the database takes it, for ``patience`` seconds, then raise.

    Used where the work is done and only the note of it is missing.
    """
    ends_at = time.monotonic() + patience
    away = False
    while True:
        try:
            return write()
        except DatabaseUnavailable as error:
            if time.monotonic() > ends_at or must_stop():
                raise
            if not away:
                away = True
                say(f"waiting for the database: {error.message}")
            time.sleep(LOOK_SECONDS)
