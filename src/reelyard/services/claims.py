"""Keeping a helper's claims: the heartbeat that renews them, says how far they are, and hears when to leave.

Where the worker has to leave, everything is stopped at once; where a single claim does not hold any more, its segment is.
While the database is away the work goes on: two may make the same segment, and it is the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from reelyard.domain.errors import Cancelled, DatabaseUnavailable
from reelyard.domain.help import SegmentClaim
from reelyard.engine.ffmpeg import StopSignal
from reelyard.store.help import Offers

_LOG = logging.getLogger(__name__)
_BEAT_SECONDS = 0.5


@dataclass(slots=True)
class Held:
    """A claim that is held. ``stop`` ends its FFmpeg."""

    stop: StopSignal
    frames: int = 0

    def watch(self, frames: int) -> None:
        """So many are made."""
        self.frames = frames


class Claims:
    """What one worker has claimed of one job, while the ``with`` block runs.

    ``leaves`` says why it had to leave, ``trouble`` what went wrong; both stop everything.
    """

    def __init__(self, offers: Offers, worker_id: str, must_stop: Callable[[], bool]) -> None:
        self.stop = StopSignal()
        self.leaves = ""
        self.trouble: Exception | None = None
        self._offers = offers
        self._worker_id = worker_id
        self._must_stop = must_stop
        self._held: dict[SegmentClaim, Held] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def holding(self, claim: SegmentClaim) -> Iterator[Held]:
        """Keep this claim; afterwards it is done, or given back."""
        held = Held(self.stop.child())
        with self._lock:
            self._held[claim] = held
        try:
            yield held
        finally:
            with self._lock:
                del self._held[claim]
            self._release(claim)

    def give_up(self, error: Exception) -> None:
        """Something went wrong: stop everything. The first one counts."""
        with self._lock:
            if self.trouble is None and not isinstance(error, Cancelled):
                self.trouble = error
        self.stop.stop()

    def _release(self, claim: SegmentClaim) -> None:
        """Does nothing to one that is done, or is somebody else's."""
        try:
            self._offers.release(claim)
        except DatabaseUnavailable as error:
            _LOG.warning("a claim is left to run out: %s", error.message)

    def _run(self) -> None:
        while not self._over.wait(_BEAT_SECONDS):
            if self._must_stop():
                self._leave("the worker was told to stop")
            try:
                self._beat()
                self._away = False
            except DatabaseUnavailable as error:
                if not self._away:
                    _LOG.warning("helping without the database: %s", error.message)
                self._away = True
            except Exception as error:  # noqa: BLE001 - a helper that hears nothing is not to go on
                self.give_up(error)

    def _beat(self) -> None:
        with self._lock:
            held = dict(self._held)
        frames = {claim: one.frames for claim, one in held.items()}
        standing = self._offers.beat(self._worker_id, frames)
        if standing.leaves:
            self._leave(standing.leaves)
        for claim, one in held.items():
            if claim.segment.key not in standing.holds:
                one.stop.stop()  # somebody took it over, or it is just done

    def _leave(self, why: str) -> None:
        self.leaves = self.leaves or why
        self.stop.stop()
