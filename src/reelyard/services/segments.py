"""Where a job takes its segments from and puts them: this machine's cache, and behind it the store that all machines share.

What the cache lacks is looked for in the store, and kept in the cache then. What was rendered goes into the cache at once and
into the store beside the work; what is not there when the job ends is left.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from reelyard.files.job_log import JobLog
from reelyard.files.segment_cache import SegmentCache
from reelyard.files.segment_store import SegmentStore

_LOG = logging.getLogger(__name__)
_SENDERS = 2
_LAST_SECONDS = 10.0
_TRIM_SECONDS = 5.0
_MISS_SECONDS = 1.0
_MISSES_SECONDS = 20.0
_BROUGHT = "brought"


@dataclass(frozen=True, slots=True)
class Taken:
    """A segment that was there. ``brought``: another machine rendered it."""

    facts: dict[str, Any]
    brought: bool


@dataclass(frozen=True, slots=True)
class _Sending:
    key: str
    suffix: str
    made: Path
    facts: dict[str, Any]


class Segments:
    """One job's view of both. Use it as a context; its end waits a little for what is still being stored."""

    def __init__(
        self,
        cache: SegmentCache,
        store: SegmentStore | None,
        log: JobLog,
        check: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._store = store
        self._log = log
        self._check = check
        self._clock = clock
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._brought = self._stored = self._unsent = 0
        self._misses, self._missed_seconds = 0, 0.0
        self._to_send: queue.Queue[_Sending | None] = queue.Queue()
        self._senders: list[threading.Thread] = []
        self._over = threading.Event()

    def __enter__(self) -> Segments:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """A job that was stopped waits for nothing."""
        if self._store is not None:
            self._finish(self._store, 0.0 if kind else _LAST_SECONDS)

    def holds(self, key: str, suffix: str) -> bool:
        """Whether it is on this machine."""
        return self._cache.holds(key, suffix)

    @property
    def has_store(self) -> bool:
        """Whether it is worth asking the store."""
        return self._store is not None and not self._is_slow

    def is_stored(self, key: str, suffix: str) -> bool:
        """Whether the store has it, as far as it can say without giving it out."""
        if self._store is None or self._is_slow:
            return False
        begun = self._clock()
        found = self._store.holds(key, suffix, self._check)
        if not found:
            self._missed(self._clock() - begun)
        return found

    def take_here(self, key: str, suffix: str, link_to: Path) -> Taken | None:
        """Give out what is on this machine."""
        entry = self._cache.take(key, suffix, link_to)
        if entry is None:
            return None
        facts = dict(entry.note.get("facts", {}))
        self._note(key, suffix)
        return Taken(facts, bool(facts.pop(_BROUGHT, False)))

    def take(self, key: str, suffix: str, link_to: Path) -> Taken | None:
        """Give out what is on this machine, or in the store."""
        return self.take_here(key, suffix, link_to) or self._bring(key, suffix, link_to)

    def _bring(self, key: str, suffix: str, into: Path) -> Taken | None:
        if self._store is None or self._is_slow:
            return None
        begun = self._clock()
        facts = self._store.get(key, suffix, into, self._check)
        if facts is None:
            self._missed(self._clock() - begun)
            return None
        self._cache.add(key, suffix, into, {**facts, _BROUGHT: True})
        with self._lock:
            self._brought += 1
        self._note(key, suffix)
        return Taken(facts, brought=True)

    @property
    def _is_slow(self) -> bool:
        """Whether asking in vain costs more than it may."""
        return self._missed_seconds > max(_MISSES_SECONDS, self._misses * _MISS_SECONDS)

    def _missed(self, seconds: float) -> None:
        with self._lock:
            self._misses += 1
            self._missed_seconds += seconds

    def add(self, key: str, suffix: str, made: Path, facts: dict[str, Any]) -> None:
        """Keep a finished, checked file, which stays the caller's own."""
        self._cache.add(key, suffix, made, facts)
        if self._store is None or self._over.is_set():
            return
        self._to_send.put(_Sending(key, suffix, made, facts))
        with self._lock:
            self._unsent += 1
            if len(self._senders) < _SENDERS:
                sender = threading.Thread(target=self._send_all, name="store", daemon=True)
                self._senders.append(sender)
                sender.start()

    def _note(self, key: str, suffix: str) -> None:
        with self._lock:
            self._used.add(f"{key}{suffix}")

    def _send_all(self) -> None:
        assert self._store is not None
        while (one := self._to_send.get()) is not None:
            if self._over.is_set():
                return
            done = self._store.put(one.key, one.suffix, one.made, one.facts)
            with self._lock:
                self._stored += done
                self._unsent -= done

    def _finish(self, store: SegmentStore, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        for _ in self._senders:
            self._to_send.put(None)
        for sender in self._senders:
            sender.join(max(0.0, ends_at - time.monotonic()))
        self._over.set()
        if seconds:
            store.used(self._used)
        if self._brought or self._stored or self._unsent:
            left = f", {self._unsent} could not be put there" if self._unsent else ""
            self._log.step(
                f"segment store {store.name}: {self._brought} segments came from there, "
                f"{self._stored} were put there{left}"
            )
        if self._is_slow:
            self._log.step(f"segment store {store.name}: it took {self._missed_seconds:.0f} s to say "
                           f"{self._misses} times that it has nothing, and was not asked any more")  # fmt: skip
        if store.trouble:
            self._log.step(f"segment store {store.name}: {store.trouble}")


def trim_beside(store: SegmentStore, seconds: float = _TRIM_SECONDS) -> None:
    """Let the store be kept in its limit, if that is due. It is not waited for to the end: the process may end before."""

    def trim() -> None:
        if freed := store.trim():
            _LOG.info("dropped %d bytes from the segment store %s", freed, store.name)

    thread = threading.Thread(target=trim, name="trim", daemon=True)
    thread.start()
    thread.join(seconds)
