"""What people and programs do with jobs, each by what they may: the API and the pages call the same.

Somebody else's job is, to an operator, no job at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import (
    BrokerUnavailable,
    FarmUnavailable,
    JobRejected,
    JobUnknown,
    NotFound,
    OutputUnusable,
    Problem,
)
from reelyard.domain.estimate import Estimate
from reelyard.domain.farm import NORMAL_PRIORITY, Ahead, JobState, SegmentRow
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.output import AUDIO_BIT_RATE
from reelyard.domain.query import JobQuery, Page, Sort
from reelyard.domain.routing import Queue, queue_for
from reelyard.domain.timeline import seconds_of
from reelyard.files.distant import DistantPath
from reelyard.files.places import Identity
from reelyard.files.publishing import Place, is_there, local
from reelyard.store.jobs import Jobs
from reelyard.store.queues import Pause, Queues
from reelyard.store.search import Search
from reelyard.store.workers import Workers

from .films import Films
from .gather import nothing
from .job_file import Reading, look_through
from .job_views import (
    ENDED,
    FILES,
    LOGS,
    Checked,
    JobDetail,
    Line,
    QueueView,
    Wanted,
    Whole,
    as_document,
)
from .making import Making, making
from .outlook import outlook
from .outputs import remove_output
from .queue import WakeQueue
from .submit import Submit, Submitted

_SHOWN = 101
"""So many waiting jobs of each queue are told of: a hundred, and that there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDesk:
    """The use cases. ``folder`` is what relative paths of a job are relative to; ``films`` finds films."""

    submitting: Submit
    jobs: Jobs
    search: Search
    queues: Queues
    workers: Workers
    queue: WakeQueue
    folder: Path
    films: Films = field(default_factory=Films)

    # Making jobs

    def read(self, document: object, problems: Sequence[Problem] = ()) -> Reading:
        """Raises JobRejected where nothing of the document is a job."""
        try:
            found = look_through(document, self.folder)
        except JobRejected as rejected:
            raise JobRejected([*problems, *rejected.problems]) from None
        return Reading(found.job, (*problems, *found.problems))

    def check(
        self,
        principal: Principal,
        document: object,
        problems: Sequence[Problem] = (),
        stop: Callable[[], None] = nothing,
    ) -> Checked:
        """What is wrong with a job, how long and large it will be, and when it could be done.

        ``problems`` were found with what came with it; ``stop`` raises where nobody waits for it any more.
        """
        principal.allow(Action.SUBMIT)
        try:
            reading = self.read(document, problems)
            prepared = self.submitting.preflight(reading.job, reading.problems, stop)
        except JobRejected as rejected:
            return Checked(problems=rejected.problems)
        plan, job = prepared.plan, reading.job
        seconds = float(seconds_of(plan.frames))
        starts, ends = self._outlook_of(job, plan.frames + prepared.guessed)
        return Checked(
            warnings=prepared.warnings,
            queue=queue_for(job),
            seconds=seconds,
            items={one.position: float(seconds_of(one.frames)) for one in plan.items},
            largest=round(seconds * (plan.form.target_rate + AUDIO_BIT_RATE) / 8),
            starts_in=starts,
            done_in=ends,
        )

    def _outlook_of(self, job: Job, frames: int) -> tuple[float | None, float | None]:
        new = Ahead(
            job_id=job.job_id, status=JobStatus.QUEUED, queue=queue_for(job),
            enable_4k=job.enable_4k and not job.excerpt.is_draft, frames=frames, progress=0.0, seconds_left=None,
            worker_id=None, not_before=None,
        )  # fmt: skip
        known = outlook([*self.jobs.ahead(), new], self.workers.list(), self.queues.paused())
        return known.starts[job.job_id], known.jobs[job.job_id]

    def to_draft(self, document: object) -> Job:
        """The job in a document, to make a draft of. Raises JobRejected."""
        reading = self.read(document)
        if reading.problems:
            raise JobRejected(reading.problems)
        return reading.job

    def submit(
        self,
        principal: Principal,
        document: object,
        wanted: Wanted,
        stop: Callable[[], None] = nothing,
    ) -> Submitted:
        """Raises JobRejected with all problems, JobConflict, NotAllowed, and what ``stop`` raises."""
        principal.allow(Action.SUBMIT)
        if wanted.priority > NORMAL_PRIORITY:
            principal.allow(Action.ORDER_QUEUE)
        reading = self.read(document, wanted.problems)
        hook = wanted.webhook(principal, reading.job.job_id) if wanted.webhook else None
        return self.submitting(
            reading.job, principal.user_id, priority=wanted.priority, key=wanted.key,
            problems=reading.problems, by=principal.username, metadata=wanted.metadata,
            webhook=hook, check=stop,
        )  # fmt: skip

    # Looking at them

    def list(self, principal: Principal, query: JobQuery) -> Page[JobState]:
        principal.allow(Action.SEE_JOBS)
        if not principal.sees_all:
            query = replace(query, user_id=principal.user_id)
        return self.search.jobs(query)

    def state(self, principal: Principal, job_id: str) -> JobState:
        """Raises JobUnknown, also for a job that is not theirs to see."""
        principal.allow(Action.SEE_JOBS)
        return self._theirs(principal, job_id)

    def _theirs(self, principal: Principal, job_id: str) -> JobState:
        state = self.jobs.state(job_id)
        if not principal.sees(state.user_id):
            raise JobUnknown(f"no job {job_id} is known", remedy="List the jobs there are")
        return state

    def detail(self, principal: Principal, job_id: str) -> JobDetail:
        """Raises JobUnknown."""
        state = self.state(principal, job_id)
        ahead, starts, ends = None, None, None
        if state.status not in ENDED:
            known = self._known()
            ahead = _ahead(state, known.before)
            starts, ends = known.estimate.starts.get(job_id), known.estimate.jobs.get(job_id)
        segments = self.jobs.segments(job_id)
        return JobDetail(
            state=state,
            job=self.jobs.job(job_id),
            segments=segments,
            making=self._making_of(state, segments),
            attempts=self.jobs.attempts(job_id),
            history=self.jobs.history(job_id),
            ahead=ahead,
            starts_in=starts,
            done_in=ends,
        )

    def making(self, principal: Principal, job_id: str) -> Making:
        """Who makes what of a film. Raises JobUnknown."""
        return self._making_of(self.state(principal, job_id), self.jobs.segments(job_id))

    def _making_of(self, state: JobState, segments: Sequence[tuple[SegmentRow, str]]) -> Making:
        is_running = state.status is JobStatus.PROCESSING
        return making(state, segments, self.jobs.offered(state.job_id) if is_running else ())

    def asked(self, principal: Principal, job_id: str) -> Job:
        """What was asked for. Raises JobUnknown."""
        self.state(principal, job_id)
        return self.jobs.job(job_id)

    def document(self, principal: Principal, job_id: str) -> dict[str, Any]:
        """A job as a job file has it, to make another one like it."""
        return as_document(self.asked(principal, job_id))

    def file(self, principal: Principal, job_id: str, kind: str) -> Path | DistantPath:
        """The film, or what lies beside it (``FILES``).

        Raises JobUnknown, NotFound, FarmUnavailable where the share doesn't answer.
        """
        state = self.state(principal, job_id)
        if state.output_path is None:
            raise NotFound(f"job {job_id} has no film: it is {state.status}",
                           remedy="Wait until it is completed")  # fmt: skip
        try:
            film = self.films.find(state.output_path)
        except OutputUnusable as error:
            raise NotFound(f"the {kind} is on a share that the server doesn't know",
                           remedy=error.remedy) from error  # fmt: skip
        return _at_hand(film.with_suffix(FILES[kind]), f"the {kind}")

    def version(self, place: DistantPath, kind: str) -> Identity:
        """Which version of a file this is. Raises NotFound, FarmUnavailable."""
        try:
            return place.identity()
        except FileNotFoundError as error:
            raise _moved(place, f"the {kind}") from error
        except OSError as error:
            raise _away(error, f"the {kind}") from error

    def log(self, principal: Principal, job_id: str, name: str) -> Path:
        """One of the job's ``LOGS``. Raises JobUnknown, NotFound."""
        state = self.state(principal, job_id)
        if name not in LOGS:
            raise NotFound("there is no such log", remedy=f"Ask for one of {', '.join(LOGS)}")
        if state.log_folder is None:
            raise NotFound(f"job {job_id} has no log yet: it is {state.status}",
                           remedy="Wait until a worker has taken it")  # fmt: skip
        return _there(Path(state.log_folder) / name, f"the log of {state.worker_id}")

    # Changing them

    def cancel(self, principal: Principal, job_id: str) -> JobState:
        """Raises JobUnknown, JobConflict."""
        self._change(principal, job_id)
        return self.jobs.cancel(job_id, by=principal.username)

    def retry(self, principal: Principal, job_id: str) -> JobState:
        """Raises JobUnknown, JobConflict."""
        self._change(principal, job_id)
        state = self.jobs.retry(job_id, by=principal.username)
        try:
            self.queue.send(state.job_id, state.queue)
        except BrokerUnavailable:
            return state  # the sweep sends it once the broker is back
        return state

    def prioritise(self, principal: Principal, job_id: str, priority: int) -> JobState:
        """Above the normal priority only managers go. Raises JobUnknown, JobConflict, NotAllowed."""
        state = self._change(principal, job_id)
        if max(priority, state.priority) > NORMAL_PRIORITY:
            principal.allow(Action.ORDER_QUEUE)
        return self.jobs.reprioritise(job_id, priority, by=principal.username)

    def to_front(self, principal: Principal, job_id: str) -> JobState:
        """Raises JobUnknown, JobConflict, NotAllowed."""
        principal.allow(Action.ORDER_QUEUE)
        return self.jobs.to_front(job_id, by=principal.username)

    def put_before(self, principal: Principal, job_id: str, other_id: str) -> JobState:
        """Raises JobUnknown, JobConflict, NotAllowed."""
        principal.allow(Action.ORDER_QUEUE)
        return self.jobs.before(job_id, other_id, by=principal.username)

    def remove(self, principal: Principal, job_id: str, *, with_film: bool = False) -> JobState:
        """Drop an ended job from the books, and its film too if that is wanted.

        Raises JobUnknown, JobConflict.
        """
        state = self._change(principal, job_id)
        if state.status not in ENDED:
            return self.jobs.remove(job_id, by=principal.username)  # says why not
        if with_film and state.planned_output is not None:
            self._remove_film(state, self.films.find(state.planned_output))
        return self.jobs.remove(job_id, by=principal.username)

    def _remove_film(self, state: JobState, output: Place) -> None:
        def is_over() -> bool:
            now = self.jobs.find(state.job_id)
            return now is not None and now.status in ENDED and now.token == state.token

        try:
            if not is_there(output.parent):
                raise OutputUnusable(f"{output.parent} can't be reached from the server",
                                     remedy="Remove the job without its film")  # fmt: skip
            remove_output(output, state.token, is_over)
        except OSError as error:
            raise OutputUnusable(f"{output} can't be removed: {error.strerror}",
                                 remedy="Remove the job without its film") from error  # fmt: skip

    def _change(self, principal: Principal, job_id: str) -> JobState:
        principal.allow(Action.CHANGE_JOBS)
        state = self._theirs(principal, job_id)
        principal.allow_change(state.user_id)
        return state

    # The queue

    def whole(self, principal: Principal) -> Whole:
        """All queues as they stand."""
        principal.allow(Action.SEE_QUEUE)
        known = self._known()
        running = self.list(principal, JobQuery(statuses=(JobStatus.PROCESSING,), limit=200))
        waiting = [
            line
            for queue in Queue
            for line in self.list(
                principal,
                JobQuery(statuses=(JobStatus.QUEUED,), queue=queue, sort=Sort.TURN, limit=_SHOWN),
            ).rows
        ]
        return Whole(
            queues=[self._view(pause, known) for pause in self.queues.list()],
            lines=[_line(state, known) for state in [*running.rows, *waiting]],
            seconds_left=known.estimate.whole,
        )

    def _view(self, pause: Pause, known: _Known) -> QueueView:
        own = [one for one in known.jobs if one.queue is pause.queue]
        ends = [known.estimate.jobs.get(one.job_id) for one in own]
        return QueueView(
            queue=pause.queue,
            pause=pause,
            waiting=sum(one.status is JobStatus.QUEUED for one in own),
            running=sum(one.status is JobStatus.PROCESSING for one in own),
            seconds_left=None if None in ends else max(filter(None, ends), default=0.0),
        )

    def pause_queue(self, principal: Principal, queue: Queue, is_paused: bool) -> Pause:
        """Have nobody take more jobs from it, or let them again. Raises NotAllowed."""
        principal.allow(Action.ORDER_QUEUE)
        return self.queues.pause(queue, is_paused, by=principal.username)

    def _known(self) -> _Known:
        jobs = self.jobs.ahead()
        known = outlook(jobs, self.workers.list(), self.queues.paused())
        before: dict[str, int] = {}
        counts: dict[Queue, int] = {}
        for one in jobs:
            if one.status is JobStatus.QUEUED:
                before[one.job_id] = counts.get(one.queue, 0)
                counts[one.queue] = before[one.job_id] + 1
        return _Known(jobs, known, before)


@dataclass(frozen=True, slots=True)
class _Known:
    """The farm at one moment. ``before`` counts who comes before each waiting job of a queue."""

    jobs: Sequence[Ahead]
    estimate: Estimate
    before: Mapping[str, int]


def _ahead(state: JobState, before: Mapping[str, int]) -> int | None:
    return before.get(state.job_id) if state.status is JobStatus.QUEUED else None


def _line(state: JobState, known: _Known) -> Line:
    return Line(
        state=state,
        ahead=_ahead(state, known.before),
        starts_in=known.estimate.starts.get(state.job_id),
        done_in=known.estimate.jobs.get(state.job_id),
    )


def _there(path: Path, what: str) -> Path:
    if path.is_file():
        return path
    raise NotFound(f"{what} is not where the server can read it: {path.name}",
                   remedy="Mount the folder of the outputs on the server, or look on the worker")  # fmt: skip


def _at_hand(place: Place, what: str) -> Path | DistantPath:
    if not isinstance(place, DistantPath):
        return _there(local(place), what)
    try:
        if place.is_file():
            return place
    except OSError as error:
        raise _away(error, what) from error
    raise _moved(place, what)


def _away(error: OSError, what: str) -> FarmUnavailable:
    return FarmUnavailable(f"{what} can't be read just now: {error.strerror}",
                           remedy="Check that its share can be reached from the server")  # fmt: skip


def _moved(place: DistantPath, what: str) -> NotFound:
    return NotFound(f"{what} is not there any more: {place.name}",
                    remedy="Look whether somebody has moved it")  # fmt: skip
