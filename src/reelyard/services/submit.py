"""Submitting a job: everything that is wrong with it comes back now; then it is stored, then sent."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from reelyard.domain.errors import BrokerUnavailable, JobRejected, Problem
from reelyard.domain.farm import NORMAL_PRIORITY, JobState, Submission
from reelyard.domain.job import Item, ItemType, Job, OnBadItem
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.plan import Plan
from reelyard.domain.routing import queue_for
from reelyard.domain.share import ShareTable
from reelyard.domain.timeline import FRAME_RATE
from reelyard.domain.webhook import Webhook
from reelyard.engine.planner import make_plan
from reelyard.store.jobs import Jobs

from .bring import Bring, Examined
from .gather import nothing
from .naming import canonical
from .planning import Planning, Prepared, left_out
from .queue import WakeQueue

_LOG = logging.getLogger(__name__)
_UNKNOWN_SECONDS = Fraction(60)
"""What a clip is taken to last where nothing at all is known, so that waiting times can be told."""


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

    def preflight(
        self,
        job: Job,
        problems: Sequence[Problem] = (),
        check: Callable[[], None] = nothing,
    ) -> Prepared:
        """Everything that is wrong with a job, in one JobRejected; otherwise its plan.

        ``problems`` were found when it was read; ``job`` is then what could be read of it. What would have to be
        copied here first, and takes long, is not in the plan: a warning says so of each item. ``check`` raises to
        stop that.
        """
        job = canonical(job, self.table).wanted
        if not problems:
            with self.bring.examined(job, check) as here:
                return self._prepared(here)
        if not job.items:
            raise JobRejected(problems)
        try:
            with self.bring.examined(job, check) as here:
                self._prepared(replace(here, job=replace(here.job, on_bad_item=OnBadItem.FAIL)))
        except JobRejected as more:
            raise JobRejected([*problems, *more.problems]) from None
        raise JobRejected(problems)

    def _prepared(self, here: Examined) -> Prepared:
        prepared = self._planned(here)
        return replace(
            prepared,
            warnings=(*prepared.warnings, *here.warnings),
            guessed=_guessed(here.left, prepared.plan, here.job.excerpt.item_seconds),
        )

    def _planned(self, here: Examined) -> Prepared:
        """The plan of what is here; where nothing can be planned but some is left, that of nothing."""
        bad: Sequence[Problem] = ()
        if here.job.items or not here.left:
            try:
                return self.planning.prepare(here.job, here.problems)
            except JobRejected as rejected:
                if not here.left or here.job.on_bad_item is OnBadItem.FAIL:
                    raise
                bad = rejected.problems
        plan = make_plan(here.job, (), self.planning.workshop(here.job))
        return Prepared(job=here.job, plan=plan, skipped=0, warnings=tuple(map(left_out, bad)))

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
        check: Callable[[], None] = nothing,
    ) -> Submitted:
        """Raises JobRejected with all problems; then nothing was stored.

        Where the broker can't be reached the job is stored all the same, and starts once it can.
        ``webhook`` is told of this job; ``metadata`` is the submitter's own and told with it.
        ``check`` raises to stop copying what is to be examined.
        """
        job = canonical(job, self.table)
        digest = job_digest(job)
        if key is not None and not problems and self.jobs.known_key(user_id, key):
            submission = Submission(user_id=user_id, frames=0, idempotency_key=key, digest=digest)
            return _again(self.jobs.add(job, submission))
        prepared = self.preflight(job, problems, check)
        submission = Submission(
            user_id=user_id,
            frames=prepared.plan.frames + prepared.guessed,
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


def _guessed(left: Sequence[Item], plan: Plan, item_seconds: Fraction | None) -> int:
    """How many frames items have that were not looked at: what they say, or as many as the others."""
    usual = Fraction(plan.frames, len(plan.items)) if plan.items else _UNKNOWN_SECONDS * FRAME_RATE
    most = None if item_seconds is None else item_seconds * FRAME_RATE
    guesses = [_said(item, usual) for item in left]
    return sum(round(one if most is None else min(one, most)) for one in guesses)


def _said(item: Item, usual: Fraction) -> Fraction:
    if item.item_type is ItemType.IMAGE:
        return item.still_seconds * FRAME_RATE
    if item.end is not None:
        return (item.end - (item.start or 0)) * FRAME_RATE
    return usual


def _again(state: JobState) -> Submitted:
    message = f"submitted before under this key; it is {state.status}"
    if state.status is JobStatus.QUEUED:
        message += f" in {state.queue}"
    return Submitted(state=state, warnings=(), is_new=False, message=message)


def job_digest(job: Job) -> str:
    """SHA-256 over everything that was asked for, without the job's id.

    A whole film says nothing of excerpts: its digest is that of versions that had none.
    """
    unsaid = {"job_id", *(["excerpt"] if job.excerpt.is_whole else [])}
    asked = {name: value for name, value in asdict(job).items() if name not in unsaid}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
