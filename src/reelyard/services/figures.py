"""The farm in figures: for managers, and for the systems that watch the farm for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from reelyard.domain.access import Action, Principal
from reelyard.domain.farm import Worker
from reelyard.store.figures import Books, Figures
from reelyard.store.workers import Workers

_KEPT_SECONDS = 2.0


@dataclass
class FiguresDesk:
    """The use case. What was read a moment ago is good enough for whoever asks again."""

    books: Books
    workers: Workers
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _kept: tuple[float, Figures, Sequence[Worker]] | None = field(default=None, init=False)

    def __call__(self, principal: Principal) -> tuple[Figures, Sequence[Worker]]:
        """The figures, and all workers."""
        principal.allow(Action.SEE_METRICS)
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > _KEPT_SECONDS:
                self._kept = (time.monotonic(), self.books.figures(), self.workers.list())
            return self._kept[1], self._kept[2]
