"""Prefetching: while one job renders, the files of the next one are copied.

Which job is next is reserved in the database, so that no two workers copy for the same job and a
worker copies for one job only once. A prefetch that fails harms nothing: the job's own turn copies what
is missing, and says what is wrong.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reelyard.domain.errors import Cancelled, DatabaseUnavailable, ReelyardError
from reelyard.domain.farm import JobState
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.store.jobs import Jobs
from reelyard.store.workers import Workers

from .fetch import Fetch
from .resolve import Catalogue, resolve
from .work import Pins

_LOG = logging.getLogger(__name__)
_BUSY_WITHIN = 5.0
_LOOK_SECONDS = 0.1
_INTEREST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The use case, for one worker."""

    worker_id: str
    pins: Pins
    workers: Workers
    jobs: Jobs
    catalogue: Callable[[], Catalogue]
    fetch: Fetch
    ended: threading.Event
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> None:
        """Copy for the job that is next, if this worker is busy and has none in reserve.

        Meant for a thread of its own, when a message has arrived; one at a time.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            return  # whoever copies looks again when it is done
        try:
            while (job := self.workers.reserve(self.worker_id)) is not None:
                self._copy(job)
        except ReelyardError as error:
            _LOG.warning("nothing is prefetched just now: %s", error)
        finally:
            self._one_at_a_time.release()

    def when_busy(self) -> None:
        """A message has arrived: the worker begins with it, or it is in the middle of another."""
        for _ in range(int(_BUSY_WITHIN / _LOOK_SECONDS)):
            try:
                worker = self.workers.get(self.worker_id)
            except DatabaseUnavailable:
                return
            if worker is None or worker.job_id is not None or self.ended.wait(_LOOK_SECONDS):
                break
        self()

    def _copy(self, job: Job) -> None:
        _LOG.info("job %s is next: prefetching", job.job_id)
        pin = self.pins.of(job.job_id)
        try:
            resolved, _ = resolve(job.wanted, self.catalogue)
            fetched = self.fetch(resolved, pin, _Interest(self, job.job_id))
        except Cancelled:
            self.fetch.release(pin)
            self._tidy(job)
            _LOG.info("job %s is not next any more", job.job_id)
            return
        except ReelyardError as error:
            self.jobs.note(job.job_id, "prefetch", f"prefetch failed: {error}", self.worker_id)
            _LOG.warning("job %s: prefetch failed: %s", job.job_id, error)
            return
        self.jobs.note(job.job_id, "prefetch", f"prefetched: {fetched}", self.worker_id)
        _LOG.info("job %s: prefetched: %s", job.job_id, fetched)

    def _tidy(self, job: Job) -> None:
        """Nobody goes on with what was copied in part for a job that was cancelled."""
        state = self.jobs.find(job.job_id)
        if state is not None and state.status is JobStatus.CANCELLED:
            self.fetch.forget(resolve(job.wanted, self.catalogue)[0])


class _Interest:
    """Called while copying; raises Cancelled once the job is not this worker's to take any more."""

    def __init__(self, prefetch: Prefetch, job_id: str) -> None:
        self._prefetch = prefetch
        self._job_id = job_id
        self._look_at = time.monotonic() + _INTEREST_SECONDS
        self._lock = threading.Lock()
        self._lost = False

    def __call__(self) -> None:
        if self._prefetch.ended.is_set() or not self._has_interest():
            raise Cancelled

    def _has_interest(self) -> bool:
        with self._lock:
            if self._lost or time.monotonic() < self._look_at:
                return not self._lost
            self._look_at = time.monotonic() + _INTEREST_SECONDS
        try:
            state = self._prefetch.jobs.find(self._job_id)
        except DatabaseUnavailable:
            return True
        self._lost = state is None or not is_ours(state, self._prefetch.worker_id)
        return not self._lost


def is_ours(state: JobState, worker_id: str) -> bool:
    """Whether the worker has the job, or has it in reserve."""
    if state.status is JobStatus.QUEUED:
        return state.reserved_by == worker_id
    return state.status is JobStatus.PROCESSING and state.worker_id == worker_id


def release_unused(pins: Pins, jobs: Jobs, fetch: Fetch) -> None:
    """Let go of copies for jobs that are over, and for those that this worker neither has nor holds
    in reserve any more."""
    for pin in fetch.copies.pins():
        job_id = pins.job_of(pin)
        if job_id is None:
            continue  # another farm's
        state = jobs.find(job_id)
        if state is None or state.status not in (JobStatus.QUEUED, JobStatus.PROCESSING):
            fetch.release(pin)  # whoever's it was
        elif pin == pins.of(job_id) and not is_ours(state, pins.worker_id):
            fetch.release(pin)
