"""Quarantine: a worker that failed three jobs in a row takes no more until it passes its examination."""

from __future__ import annotations

import logging
import threading
import time

from reelyard.domain.errors import ReelyardError
from reelyard.domain.farm import Worker
from reelyard.services.doctor import Verdict, examine

from .wiring import Farm

_LOG = logging.getLogger(__name__)
_LONGEST_WAIT = 3600.0


class Quarantine:
    """One worker's. The more often it passed and then failed again, the longer it waits."""

    def __init__(self, farm: Farm, worker_id: str) -> None:
        self._farm = farm
        self._worker_id = worker_id
        self._examined_at: float | None = None
        self._relapses = 0

    def look(self, worker: Worker) -> None:
        """Examine the worker if it is time to. Returns at once: an examination takes seconds."""
        if worker.quarantine is None:
            if worker.failures == 0:
                self._relapses = 0
            return
        now = time.monotonic()
        wait = min(_LONGEST_WAIT, self._farm.settings.lease_seconds * 2**self._relapses)
        if self._examined_at is None or now - self._examined_at >= wait:
            self._examined_at = now
            threading.Thread(
                target=self._examine, args=(worker.quarantine,), name="examination", daemon=True
            ).start()

    def _examine(self, reason: str) -> None:
        reelyard = self._farm.reelyard
        try:
            findings = examine(self._farm.settings, lambda: reelyard.ffmpeg,
                               lambda: reelyard.memory, reelyard.try_out)  # fmt: skip
            failed = [one for one in findings if one.verdict is Verdict.FAILED]
            if not failed:
                self._farm.workers.release(self._worker_id)
        except ReelyardError as error:
            _LOG.error("in quarantine (%s): %s", reason, error)
            return
        if failed:
            _LOG.error("in quarantine (%s): %s", reason, failed[0].message)
            return
        self._relapses += 1
        _LOG.info("passed the examination: out of quarantine")
