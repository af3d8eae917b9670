"""So many wrong tries in a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from reelyard.domain.errors import TooManyRequests


class Throttle:
    """So many wrong tries in a time, for each name. In memory: a restart forgives."""

    def __init__(self, *rates: str) -> None:
        self._rates: list[RateLimitItem] = [parse(rate) for rate in rates]
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._lock = threading.Lock()
        self._under_way: Counter[tuple[str, ...]] = Counter()

    def count(self, *name: str) -> None:
        """One more wrong try."""
        for rate in self._rates:
            self._limiter.hit(rate, *name)

    def check(self, *name: str, under_way: int = 0) -> None:
        """Raises TooManyRequests where there were too many; tries that are ``under_way`` may go wrong, too."""
        for rate in self._rates:
            stats = self._limiter.get_window_stats(rate, *name)
            if stats.remaining - under_way <= 0:
                left = stats.reset_time - datetime.now(UTC).timestamp()
                wait = max(1, round(left) if stats.remaining <= 0 else 1)
                raise TooManyRequests("too many tries", retry_after=wait,
                                      remedy=f"Try again in {wait} seconds")  # fmt: skip

    @contextmanager
    def trying(self, *name: str) -> Iterator[None]:
        """A try that takes long. Many at once are not more than the same number one after the other."""
        with self._lock:
            self.check(*name, under_way=self._under_way[name])
            self._under_way[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[name] -= 1
                if not self._under_way[name]:
                    del self._under_way[name]
