"""Prefetching: while one job renders, the files of the next one are copied.

Which job is next is reserved in the database, so that no two workers copy for the same job and a
worker copies for one job only once. A prefetch that fails harms nothing: the job's own turn copies what
is missing, and says what is wrong.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from reelyard.domain.errors import Cancelled, ReelyardError
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.store.jobs import Jobs
from reelyard.store.workers import Workers

from .fetch import Fetch
from .resolve import Catalogue, resolve
from .work import pin_of

_LOG = logging.getLogger(__name__)
_BUSY_WITHIN = 5.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The use case, for one worker."""

    worker_id: str
    workers: Workers
    jobs: Jobs
    catalogue: Catalogue
    fetch: Fetch
    ended: threading.Event
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, named: str) -> None:
        """A message about the job ``named`` has arrived. Copy for the job that is next, if any.

        Meant for a thread of its own. A message that the worker begins at once reserves nothing.
        """
        with self._one_at_a_time:
            try:
                if not self._is_busy():
                    return
                job = self.workers.reserve(self.worker_id, named)
                if job is not None:
                    self._copy(job)
            except ReelyardError as error:
                _LOG.warning("prefetch after the message about job %s: %s", named, error)

    def _is_busy(self) -> bool:
        """Whether a job is being worked on. A message that came with it may be seen before that."""
        for _ in range(int(_BUSY_WITHIN / _LOOK_SECONDS)):
            worker = self.workers.get(self.worker_id)
            if worker is None or worker.job_id is not None:
                return worker is not None
            if self.ended.wait(_LOOK_SECONDS):
                return False
        return False

    def _copy(self, job: Job) -> None:
        _LOG.info("job %s is next: prefetching", job.job_id)
        try:
            fetched = self.fetch(
                resolve(job, self.catalogue), pin_of(job.job_id, self.worker_id), self._check
            )
        except Cancelled:
            return
        except ReelyardError as error:
            self.jobs.note(job.job_id, "prefetch", f"prefetch failed: {error}", self.worker_id)
            _LOG.warning("job %s: prefetch failed: %s", job.job_id, error)
            return
        self.jobs.note(job.job_id, "prefetch", f"prefetched: {fetched}", self.worker_id)
        _LOG.info("job %s: prefetched: %s", job.job_id, fetched)

    def _check(self) -> None:
        if self.ended.is_set():
            raise Cancelled


def release_unused(worker_id: str, jobs: Jobs, fetch: Fetch, pins: Callable[[], list[str]]) -> None:
    """Let go of copies for jobs that this worker neither has nor holds in reserve any more."""
    own = pin_of("", worker_id)
    for pin in pins():
        job_id = pin.partition(".")[0]
        state = jobs.find(job_id)
        mine = state is not None and (
            (state.status is JobStatus.QUEUED and state.reserved_by == worker_id)
            or (state.status is JobStatus.PROCESSING and state.worker_id == worker_id)
        )
        over = state is None or state.status not in (JobStatus.QUEUED, JobStatus.PROCESSING)
        if over or (pin.endswith(own) and not mine):
            fetch.release(pin)
