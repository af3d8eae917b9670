"""How much may be copied, and for how long, where somebody waits for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


class Budget:
    """How much may be copied, and for how long from now: what does not fit is left where it is."""

    def __init__(self, seconds: float, size: int) -> None:
        self.ends_at = time.monotonic() + seconds
        self._left = size
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends_at

    def spend(self, size: int) -> bool:
        """Whether so many bytes more may be copied; then they are counted."""
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
        return fits


@dataclass(frozen=True, slots=True)
class Limits:
    """For how long sources are copied, and how many bytes of them."""

    seconds: float
    size: int

    @property
    def budget(self) -> Budget:
        """A new one, from now on."""
        return Budget(self.seconds, self.size)
