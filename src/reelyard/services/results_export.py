"""Recording results in BigQuery: beside the sweep, by one process at a time, until each is there.

Whatever goes wrong is tried again, with pauses that grow from minutes to an hour, for as long as it takes. The first
pause is longer than a statement may run, so that one whose end nobody heard of is over when its rows come again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from reelyard.domain.errors import (
    BigQueryRefused,
    DatabaseUnavailable,
    ReelyardError,
    SettingsInvalid,
)
from reelyard.domain.farm import Result
from reelyard.store.duties import Duties
from reelyard.store.exports import Export, Exports

_LOG = logging.getLogger(__name__)
_DUTY = "results to BigQuery"
_LONGEST_PAUSE = 3600.0
_MARGIN = timedelta(days=1)  # for clocks that were put right


class ResultsTable(Protocol):
    """Where results are recorded, one for each job: the newest."""

    def check(self) -> None:
        """Raises ReelyardError where results would not fit."""
        ...

    def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
        """Raises ReelyardError: BigQueryRefused if it is for what these results are."""
        ...


@dataclass
class ResultsExport:
    """The use case, for one process. Times are in seconds; ``hold`` is longer than a batch can take."""

    exports: Exports
    duties: Duties
    table: ResultsTable
    holder: str
    every: float = 10.0
    pause: float = 180.0
    hold: float = 600.0
    batch: int = 200
    clock: Callable[[], float] = time.monotonic
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False)
    _next: float = field(default=0.0, init=False)
    _in_vain: int = field(default=0, init=False)
    _is_checked: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Begin a round in a thread of its own, unless one is under way or the last was just now."""
        if self.clock() >= self._next and self._busy.acquire(blocking=False):
            threading.Thread(target=self._run, name="results", daemon=True).start()

    def _run(self) -> None:
        try:
            self()
        except Exception:  # noqa: BLE001 - the next round tries again
            _LOG.exception("an error in Reelyard itself; results wait")
        finally:
            self._busy.release()

    def __call__(self) -> int:
        """One round; how many results are done with."""
        try:
            done = self._round()
        except DatabaseUnavailable as error:
            self._next = self.clock() + self.every
            _LOG.warning("%s", error)
            return 0
        except ReelyardError as error:
            wait = self._pause(self._in_vain)
            self._next = self.clock() + wait
            self._in_vain += 1
            self._is_checked = False  # the table may be gone
            _LOG.warning("results wait for BigQuery, %.0f s until the next try: %s", wait, error)
            return 0
        self._next, self._in_vain = self.clock() + self.every, 0
        if done:
            _LOG.info("recorded %d results in BigQuery", done)
        return done

    def _round(self) -> int:
        if not self._is_checked:
            self.table.check()
            self._is_checked = True
        done = 0
        if not self.exports.due(1) or not self._is_mine():
            return done
        try:
            while (batch := self.exports.due(self.batch)) and self._is_mine():
                done += self._recorded(batch)
        finally:
            self.duties.take_over(_DUTY, self.holder, 0.0)
        return done

    def _is_mine(self) -> bool:
        return self.duties.take_over(_DUTY, self.holder, self.hold)

    def _recorded(self, batch: Sequence[Export]) -> int:
        """How many of these are done with. Raises ReelyardError for what keeps all of them waiting."""
        newest = {one.result.job_id: one for one in batch}  # a job that was retried has several
        since = min(one.since for one in batch) - _MARGIN
        with self._noting(batch):
            try:
                self.table.record([one.result for one in newest.values()], since, _name(batch))
            except BigQueryRefused as error:
                if len(newest) == 1:
                    self._note(batch, error)
                    return 0
                self.table.check()  # nothing fits any more: no use in halving
                halves = _halves(batch, list(newest))
            else:
                self.exports.done(batch)
                return len(batch)
        # Each half anew: where many are refused it takes long, and by then it may be somebody else's.
        return sum(self._recorded(half) for half in halves if self._is_mine())

    @contextmanager
    def _noting(self, batch: Sequence[Export]) -> Iterator[None]:
        """What is BigQuery's fault is noted; for what is not, another machine may do it meanwhile."""
        try:
            yield
        except (SettingsInvalid, DatabaseUnavailable):
            raise
        except ReelyardError as error:
            self._note(batch, error)
            raise

    def _note(self, batch: Sequence[Export], error: ReelyardError) -> None:
        tries = max(one.tries for one in batch)
        self.exports.failed(batch, str(error), self._pause(tries))
        _LOG.warning("%d results are not in BigQuery yet: %s", len(batch), error)

    def _pause(self, tries: int) -> float:
        return min(max(_LONGEST_PAUSE, self.pause), self.pause * 2.0 ** min(tries, 20))


def _halves(batch: Sequence[Export], job_ids: Sequence[str]) -> list[Sequence[Export]]:
    """Results of one job stay together."""
    first = set(job_ids[: len(job_ids) // 2])
    return [
        [one for one in batch if (one.result.job_id in first) is wanted] for wanted in (True, False)
    ]


def _name(batch: Sequence[Export]) -> str:
    """The same for the same results at the same try."""
    parts = sorted(f"{one.name} {one.tries}" for one in batch)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
