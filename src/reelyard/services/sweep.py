"""The sweep: what keeps the farm going whatever was lost. Any process may run it, one does at a time.

It takes jobs from workers that are not heard of any more, wakes idle workers for jobs whose messages were
lost or wait with a busy worker, delivers results, gives up on what waited too long, and takes back what
cancelled jobs had published.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from reelyard.domain.errors import BrokerUnavailable, DatabaseUnavailable, ReelyardError
from reelyard.store.duties import Duties
from reelyard.store.outbox import Entry, Outbox

from .outputs import remove_output
from .queue import WakeQueue

_LOG = logging.getLogger(__name__)
_LONGEST_TURN = 5.0  # seconds for which others wait when a sweeping process dies


class Results(Protocol):
    """Where results are delivered to. Delivering one twice has to be harmless."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Raises ReelyardError; then all are tried again later."""
        ...


@dataclass
class Sweep:
    """The use case, for one process. ``lease_seconds`` is how long leases hold."""

    holder: str
    duties: Duties
    outbox: Outbox
    results: Results
    queue: WakeQueue
    lease_seconds: float
    longest_wait: float
    clock: Callable[[], float] = time.monotonic
    _quiet_until: float = field(default=0.0, init=False)
    _was_away: bool = field(default=False, init=False)

    def __call__(self) -> bool:
        """One round, if it is this process's turn; whether it was.

        Raises DatabaseUnavailable.
        """
        try:
            turn = min(_LONGEST_TURN, self.lease_seconds / 4)
            mine = self.duties.take_over("sweep", self.holder, turn)
        except DatabaseUnavailable:
            self.database_was_away()
            raise
        if self._was_away:
            # Nobody could renew a lease while the database was away: they get the time to do so.
            self._was_away = False
            self._quiet_until = self.clock() + self.lease_seconds
        if mine:
            self._round()
        return mine

    def database_was_away(self) -> None:
        """Somebody in this process found the database away."""
        self._was_away = True

    def _round(self) -> None:
        if self.clock() >= self._quiet_until:
            for state in self.duties.expire():
                _LOG.warning("job %s: %s was not heard of again", state.job_id, state.worker_id)
        for job_id in self.duties.give_up(self.longest_wait):
            _LOG.warning("job %s: gave up waiting", job_id)
        self._wake()
        self._deliver()
        self._clean_up()

    def _wake(self) -> None:
        for job_id, queue in self.duties.to_wake(again_after=self.lease_seconds / 12):
            try:
                self.queue.send(job_id, queue)
            except BrokerUnavailable as error:
                _LOG.warning("job %s waits: %s", job_id, error.message)
                return
            _LOG.info("job %s: woke a worker of %s", job_id, queue)

    def _deliver(self) -> None:
        due = self.outbox.due()
        if not due:
            return
        try:
            self.results.deliver(due)
        except DatabaseUnavailable:
            raise
        except ReelyardError as error:
            _LOG.warning("%d results wait: %s", len(due), error)
            self.outbox.failed(due, str(error))
            return
        self.outbox.delivered(due)

    def _clean_up(self) -> None:
        for state in self.duties.to_clean_up():
            assert state.output_path is not None
            output = Path(state.output_path)
            if not output.parent.is_dir():
                continue  # the share is away, or only others reach it
            try:
                remove_output(output)
            except OSError as error:
                _LOG.warning("job %s: its output can't be removed: %s", state.job_id, error)
                continue
            self.duties.cleaned_up(state)
