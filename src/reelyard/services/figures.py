"""The farm in figures: for managers, and for the systems that watch the farm for them.

What has ended is counted through, which takes longer the more there is: so it is counted anew only once counting has
taken less than a hundredth of the time. What waits and runs is read whenever somebody asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reelyard.domain.access import Action, Principal
from reelyard.domain.farm import Worker
from reelyard.store.figures import Books, Figures
from reelyard.store.workers import Workers

_KEPT_SECONDS = 2.0
_RESTS = 100
"""So many times as long as counting what has ended takes, it is not done again."""


@dataclass
class FiguresDesk:
    """The use case. What was read a moment ago is good enough for whoever asks again."""

    books: Books
    workers: Workers
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _kept: tuple[Figures, Sequence[Worker]] | None = field(default=None, init=False)
    _read_again_at: float = field(default=0.0, init=False)
    _counted_again_at: float = field(default=0.0, init=False)

    def __call__(self, principal: Principal) -> tuple[Figures, Sequence[Worker]]:
        """The figures, and all workers."""
        principal.allow(Action.SEE_METRICS)
        with self._lock:
            if self._kept is None or self.clock() >= self._read_again_at:
                known = None if self._kept is None else self._kept[0]
                self._kept = (self._figures(known), self.workers.list())
                self._read_again_at = self.clock() + _KEPT_SECONDS
            return self._kept

    def _figures(self, known: Figures | None) -> Figures:
        begun = self.clock()
        if known is not None and begun < self._counted_again_at:
            return self.books.refreshed(known)
        found = self.books.figures()
        self._counted_again_at = self.clock() + _RESTS * (self.clock() - begun)
        return found
