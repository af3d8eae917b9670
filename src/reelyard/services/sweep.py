"""The sweep: what keeps the farm going whatever was lost. Any process may run it, one does at a time.

It takes jobs from workers that are not heard of any more, wakes idle workers for jobs whose messages were
lost or wait with a busy worker, invites others to help with what runs, delivers results, gives up on what waited too long, and takes back what
cancelled jobs had published.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reelyard.domain.errors import BrokerUnavailable, DatabaseUnavailable, ReelyardError
from reelyard.store.duties import Duties
from reelyard.store.help import Offers
from reelyard.store.outbox import Entry, Outbox

from .clean_up import CleanUp
from .queue import WakeQueue, send_invitations
from .results_export import ResultsExport

_LOG = logging.getLogger(__name__)
_ASLEEP = 1.0
_INVITED_AGAIN = 2.0  # seconds; a message may have come to somebody who has one already
_LONGEST_TURN = 5.0  # seconds for which others wait when a sweeping process dies


class Results(Protocol):
    """Where results are delivered to. Delivering one twice has to be harmless."""

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Raises ReelyardError; then all are tried again later."""
        ...


@dataclass
class Sweep:
    """The use case, for one process. ``lease_seconds`` is how long leases hold.

    ``clock`` goes on while the machine sleeps, as the database's does; ``awake`` stands still then.
    """

    holder: str
    duties: Duties
    offers: Offers
    outbox: Outbox
    results: Results
    queue: WakeQueue
    clean_up: CleanUp
    lease_seconds: float
    longest_wait: float
    export: ResultsExport | None = None
    clock: Callable[[], float] = time.time
    awake: Callable[[], float] = time.monotonic
    _quiet_until: float = field(default=0.0, init=False)
    _last: tuple[float, float] | None = field(default=None, init=False)
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
        now = self.clock()
        slept = self._slept(now)
        if self._was_away or slept:
            # Nobody could renew a lease meanwhile: they get the time to do so.
            self._was_away = False
            self._quiet_until = now + self.lease_seconds
        if mine:
            self._round()
        if self.export is not None:
            self.export.begin()  # who sweeps may have no account there
        return mine

    def _slept(self, now: float) -> bool:
        """Whether the whole machine, or this process, stood still since the last round."""
        before, self._last = self._last, (now, self.awake())
        if before is None:
            return False
        passed, awake = now - before[0], self._last[1] - before[1]
        return passed - awake > _ASLEEP or passed > self.lease_seconds

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
        self._invite()
        self._deliver()
        self.clean_up.begin()

    def _wake(self) -> None:
        for job_id, queue in self.duties.to_wake(min(_LONGEST_TURN, self.lease_seconds / 12)):
            try:
                self.queue.send(job_id, queue)
            except BrokerUnavailable as error:
                _LOG.warning("job %s waits: %s", job_id, error.message)
                return
            _LOG.info("job %s: woke a worker of %s", job_id, queue)

    def _invite(self) -> None:
        """An owner does so when it begins; workers that have nothing to do since then hear of it here."""
        try:
            send_invitations(self.offers, self.queue, min(_INVITED_AGAIN, self.lease_seconds / 12))
        except BrokerUnavailable as error:
            _LOG.warning("nobody is asked to help: %s", error.message)

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
