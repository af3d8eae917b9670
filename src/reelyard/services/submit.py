"""Submitting a job: everything that is wrong with it comes back now; then it is stored, then sent."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reelyard.domain.errors import BrokerUnavailable, JobRejected, Problem
from reelyard.domain.farm import NORMAL_PRIORITY, JobState, Submission
from reelyard.domain.job import Job, OnBadItem
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import queue_for
from reelyard.domain.share import ShareTable
from reelyard.domain.webhook import Webhook
from reelyard.store.jobs import Jobs

from .bring import Bring
from .naming import canonical
from .planning import Planning, Prepared
from .queue import WakeQueue

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job in the farm. ``is_new`` is False where an idempotency key named an earlier one."""

    state: JobState
    warnings: tuple[Problem, ...]
    is_new: bool
    message: str


@dataclass(frozen=True, slots=True)
class Submit:
    """The use case."""

    planning: Planning
    jobs: Jobs
    queue: WakeQueue
    bring: Bring
    table: ShareTable

    def preflight(self, job: Job, problems: Sequence[Problem] = ()) -> Prepared:
        """Everything that is wrong with a job, in one JobRejected; otherwise its plan.

        ``problems`` were found when it was read; ``job`` is then what could be read of it.
        """
        job = canonical(job, self.table)
        if not problems:
            with self.bring(job) as here:
                return self.planning.prepare(here)
        try:
            with self.bring(job) as here:
                self.planning.prepare(replace(here, on_bad_item=OnBadItem.FAIL))
        except JobRejected as more:
            raise JobRejected([*problems, *more.problems]) from None
        raise JobRejected(problems)

    def __call__(
        self,
        job: Job,
        user_id: str,
        *,
        priority: int = NORMAL_PRIORITY,
        key: str | None = None,
        problems: Sequence[Problem] = (),
        by: str | None = None,
        metadata: dict[str, Any] | None = None,
        webhook: Webhook | None = None,
    ) -> Submitted:
        """Raises JobRejected with all problems; then nothing was stored.

        Where the broker can't be reached the job is stored all the same, and starts once it can.
        ``webhook`` is told of this job; ``metadata`` is the submitter's own and told with it.
        """
        job = canonical(job, self.table)
        digest = job_digest(job)
        if key is not None and not problems and self.jobs.known_key(user_id, key):
            submission = Submission(user_id=user_id, frames=0, idempotency_key=key, digest=digest)
            return _again(self.jobs.add(job, submission))
        prepared = self.preflight(job, problems)
        submission = Submission(
            user_id=user_id,
            frames=prepared.plan.frames,
            priority=priority,
            idempotency_key=key,
            digest=digest,
            warnings=tuple(map(str, prepared.warnings)),
            by=by,
            metadata=metadata,
            webhook=webhook,
        )
        state = self.jobs.add(job, submission)
        if state.job_id != job.job_id:
            return _again(state)  # somebody submitted it under the same key just now
        return Submitted(
            state=state, warnings=prepared.warnings, is_new=True, message=self._send(job, state)
        )

    def _send(self, job: Job, state: JobState) -> str:
        try:
            self.queue.send(job.job_id, queue_for(job))
        except BrokerUnavailable as error:
            _LOG.warning("%s", error)
            return f"stored for {state.queue}; it starts when the broker is back: {error.message}"
        return f"queued in {state.queue}"


def _again(state: JobState) -> Submitted:
    message = f"submitted before under this key; it is {state.status}"
    if state.status is JobStatus.QUEUED:
        message += f" in {state.queue}"
    return Submitted(state=state, warnings=(), is_new=False, message=message)


def job_digest(job: Job) -> str:
    """SHA-256 over everything that was asked for, without the job's id."""
    asked = {name: value for name, value in asdict(job).items() if name != "job_id"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
