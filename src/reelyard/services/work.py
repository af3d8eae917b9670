"""What a worker does with a job: claim, copy, render, publish, close the books.

However it ends, the job's row says so, nobody owns the job any more, and nothing temporary is left. Who is
to blame decides what happens next:

- the job itself (a broken clip, an unknown id): it fails, with every reason;
- this worker (FFmpeg crashed): another worker is to try, three times in all;
- its machine (no encoder works there): the job waits as for the world, and the worker is blamed alone;
- the world (a share is gone, the disk is full): it waits in the queue, says for what, and whoever can
  goes on with it;
- nobody (cancelled, worker stopped, lease lost): cancelled jobs stay so, others go back to the queue.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from reelyard.domain.errors import (
    BadMedia,
    Cancelled,
    DatabaseUnavailable,
    EncoderUnavailable,
    FarmUnavailable,
    FFmpegFailed,
    GraphicsCardBusy,
    JobRejected,
    OutOfDisk,
    OutputUnusable,
    ReelyardError,
    StorageFailed,
)
from reelyard.domain.farm import Finished, Lease, SegmentRow
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE
from reelyard.files.job_log import JobLog, safe_name
from reelyard.files.publishing import Place, remove_stagings
from reelyard.store.leases import Claim, Leases

from .fetch import Fetch
from .help import NO_HELP, Help
from .keeper import Keeper, Reason, insist
from .output_folder import OutputFolder
from .outputs import check_output, output_error, remove_output, token_text
from .owners_help import Helping, OwnersHelp
from .render_job import Publication, Rendered, RenderJob
from .resolve import Catalogue, resolve
from .storage import log_failure

_LOG = logging.getLogger(__name__)
_PATIENCE = 600.0
_LONGEST_DELAY = 300.0
_HEARD_WITHIN = 1.0
_MEASURABLE = 0.2  # so much of a film has to be rendered, not cached, to tell a worker's speed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOnJob:
    """The use case. ``time_limit`` in seconds holds for one attempt."""

    worker_id: str
    pins: Pins
    leases: Leases
    catalogue: Callable[[], Catalogue]
    fetch: Fetch
    render_job: Callable[[], RenderJob]
    outputs: OutputFolder
    must_stop: Callable[[], bool]
    time_limit: float
    helping: Helping | None = None

    def __call__(self, named: str, task_id: str | None) -> JobStatus | None:
        """Work on the job whose turn it is in the queue of the job ``named``.

        Returns what the job is then, or None if there was none to take.
        """
        begun = time.monotonic()
        claim = self._claim(named, task_id)
        if claim is None:
            _LOG.info("nothing to take for the message about job %s", named)
            return None
        _LOG.info("job %s: taken, token %d", claim.lease.job_id, claim.lease.token)
        status = _Turn(self, claim, begun, time.monotonic()).take()
        _LOG.info("job %s: %s", claim.lease.job_id, status)
        return status

    def _claim(self, named: str, task_id: str | None) -> Claim | None:
        """Nothing is lost where the database stays away: the sweep sends another message."""
        ends_at = time.monotonic() + _PATIENCE
        while not self.must_stop():
            try:
                return self.leases.claim(self.worker_id, named, task_id)
            except DatabaseUnavailable as error:
                if time.monotonic() > ends_at:
                    raise
                _LOG.warning("waiting for the database: %s", error)
                time.sleep(1.0)
        return None


def output_path(folder: Place, job: Job) -> Place:
    return folder / f"{safe_name(job.channel_name)}_{job.job_id}{job.excerpt.suffix}.mp4"


@dataclass(frozen=True, slots=True)
class Pins:
    """The names under which one worker of one farm keeps copies for its jobs."""

    farm: str
    worker_id: str

    def of(self, job_id: str) -> str:
        return f"{self.farm}.{safe_name(self.worker_id)}.{job_id}"

    def job_of(self, pin: str) -> str | None:
        """The job that a pin is for, whichever worker's it is; None if it is another farm's."""
        return pin.rpartition(".")[2] if pin.startswith(f"{self.farm}.") else None


@dataclass(frozen=True, slots=True)
class _Turn:
    """One worker's turn at one job."""

    using: WorkOnJob
    claim: Claim
    told: float  # when the task began; its time limit counts from there
    begun: float

    @property
    def lease(self) -> Lease:
        return self.claim.lease

    @property
    def pin(self) -> str:
        return self.using.pins.of(self.lease.job_id)

    def take(self) -> JobStatus:
        try:
            render_job = self.using.render_job()
            log = render_job.open_log(
                self.claim.job, self.claim.state.username, self.claim.state.created_at
            )
        except (ReelyardError, OSError) as error:
            _LOG.error("job %s can't be begun: %s", self.lease.job_id, error)
            try:
                return self._blamed(error, _LOG.error)
            except DatabaseUnavailable:
                return self._left_to_the_sweep(_LOG.error)
        with closing(log):
            return self._logged(render_job, log)

    def _logged(self, render_job: RenderJob, log: JobLog) -> JobStatus:
        state = self.claim.state
        waited = (datetime.now(UTC) - state.queued_at).total_seconds()
        log.say(
            f"job {state.job_id} of {state.username}: taken by {self.lease.worker_id} from "
            f"{state.queue}, turn {self.lease.token}, {waited:.1f} s after it was queued"
        )
        keeper = Keeper(self.using.leases, self.lease, self.using.must_stop, log.say,
                        time_limit=self.using.time_limit - (self.begun - self.told))  # fmt: skip
        try:
            with keeper:
                return self._ended(self._work(render_job, keeper, log), keeper, log)
        finally:
            self.using.fetch.release(self.pin)

    def _work(self, render_job: RenderJob, keeper: Keeper, log: JobLog) -> Rendered | Exception:
        """The film, or what kept it from being made."""
        try:
            output = output_path(self.using.outputs.folder, self.claim.job)
            named = render_job.films.name(output)
            if not self.using.leases.started(self.lease, str(log.folder), named):
                raise Cancelled("the lease has run out already")
            self.using.outputs.check()
            remove_stagings(output, token_text(self.lease.token))  # turns earlier publishers away
            job = self._here(keeper, log)
            check_output(output, job, films=render_job.films)
            publication = Publication(token_text(self.lease.token), keeper.permit)
            return render_job.render(
                job, output, log, keeper.watch, keeper.stop, publication, self._help(log)
            )
        except Exception as error:  # noqa: BLE001 - the job's row and log have to say what happened
            return error

    def _help(self, log: JobLog) -> Help:
        """From workers that have nothing to do."""
        helping = self.using.helping
        return OwnersHelp(helping, self.lease, log.step) if helping else NO_HELP

    def _here(self, keeper: Keeper, log: JobLog) -> Job:
        """The job with its sources on this machine."""
        begun = time.monotonic()
        job, _ = resolve(
            self.claim.job.wanted, self.using.catalogue
        )  # unknown ones: planning says so
        ids = len({item.video_id for item in job.items if item.video_id})
        if ids:
            log.step(f"found {ids} videos in one query, {time.monotonic() - begun:.2f} s")
        keeper.at("copying")
        fetched = self.using.fetch(job, self.pin, keeper.stop.check, log.step)
        log.step(str(fetched))
        return fetched.job

    def _ended(self, result: Rendered | Exception, keeper: Keeper, log: JobLog) -> JobStatus:
        try:
            if isinstance(result, Rendered):
                return self._completed(result, keeper, log)
            return self._stopped(result, keeper, log)
        except DatabaseUnavailable:
            return self._left_to_the_sweep(log.say)

    def _left_to_the_sweep(self, say: Say) -> JobStatus:
        say("gave up on the database: once the lease has run out, another worker takes the job")
        return JobStatus.PROCESSING

    def _completed(self, done: Rendered, keeper: Keeper, log: JobLog) -> JobStatus:
        finished = _finished(done, time.monotonic() - self.begun)
        closed = insist(lambda: self.using.leases.complete(self.lease, finished), log.say,
                        _PATIENCE, self.using.must_stop)  # fmt: skip
        if closed:
            log.say(f"completed in {finished.processing_time:.1f} s")
            return JobStatus.COMPLETED
        standing = self.using.leases.standing(self.lease)
        if standing.status is JobStatus.CANCELLED:
            self._take_back(done, log)
        else:
            log.say("published, but somebody else has the job by now")
        return standing.status

    def _take_back(self, done: Rendered, log: JobLog) -> None:
        try:
            remove_output(done.output, self.lease.token, self._is_cancelled)
            log.say("cancelled while it was published: taken back")
        except OSError as error:
            log.say(f"cancelled while it was published, and left to the clean-up: {error}")

    def _is_cancelled(self) -> bool:
        return self.using.leases.standing(self.lease).status is JobStatus.CANCELLED

    def _stopped(self, error: Exception, keeper: Keeper, log: JobLog) -> JobStatus:
        keeper.look_again()
        if isinstance(error, Cancelled) or keeper.reason in (Reason.CANCELLED, Reason.LOST):
            return self._broken_off(keeper.reason, log)
        if isinstance(error, FFmpegFailed) and self._told_to_stop_just_now():
            return self._broken_off(Reason.TOLD_TO_STOP, log)
        if isinstance(error, ReelyardError):
            log_failure(log, error)
        else:
            log.say("failed: " + "".join(traceback.format_exception(error)))
        return self._blamed(error, log.say)

    def _told_to_stop_just_now(self) -> bool:
        """Whoever ends a whole group of processes ends FFmpeg before we hear of it."""
        ends_at = time.monotonic() + _HEARD_WITHIN
        while not self.using.must_stop():
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.05)
        return True

    def _blamed(self, error: Exception, say: Say) -> JobStatus:
        insist(lambda: self._blame(error), say, _PATIENCE, self.using.must_stop)
        return self.using.leases.standing(self.lease).status

    def _blame(self, error: Exception) -> bool:
        leases, lease = self.using.leases, self.lease
        if isinstance(error, OSError):
            error = output_error(error)
        if isinstance(error, JobRejected | BadMedia):
            return leases.refuse(lease, str(error), code=_code(error))
        if isinstance(error, _PASSES):
            return leases.put_off(
                lease, str(error), longest_delay=_LONGEST_DELAY, code=_code(error)
            )
        if isinstance(error, EncoderUnavailable):
            return leases.worker_failed(
                lease, str(error), longest_delay=_LONGEST_DELAY, code=_code(error)
            )
        if isinstance(error, ReelyardError):
            return leases.attempt_failed(lease, str(error), code=_code(error))
        return leases.attempt_failed(lease, f"an error in Reelyard itself: {error!r}")

    def _broken_off(self, reason: Reason | None, log: JobLog) -> JobStatus:
        log.say(f"stopped: {_WORDS.get(reason, 'asked to')}")
        if reason is Reason.CANCELLED:
            self._leave_nothing(log)
        if reason is Reason.TIME_LIMIT:
            message = f"took longer than {self.using.time_limit:.0f} s"
            insist(
                lambda: self.using.leases.attempt_failed(self.lease, message, code="time_limit"),
                log.say, _PATIENCE, self.using.must_stop,
            )  # fmt: skip
        elif reason not in (Reason.CANCELLED, Reason.LOST):
            self.using.leases.hand_back(self.lease, f"handed back by {self.lease.worker_id}")
        return self.using.leases.standing(self.lease).status

    def _leave_nothing(self, log: JobLog) -> None:
        """The renderer has taken its staging away; nobody goes on with what was copied in part."""
        try:
            self.using.fetch.forget(resolve(self.claim.job.wanted, self.using.catalogue)[0])
        except ReelyardError as error:  # of the database, or of a catalogue that is elsewhere
            log.say(f"the rest is left to the sweep: {error.message}")


_PASSES = (FarmUnavailable, GraphicsCardBusy, OutOfDisk, OutputUnusable, StorageFailed)
"""What is not the job's fault, and may be over when it is tried again."""


def _code(error: ReelyardError) -> str:
    """By which failures are counted: where a job was rejected, the first reason says more."""
    if isinstance(error, JobRejected) and error.problems:
        return error.problems[0].code
    return error.reason if isinstance(error, BadMedia) else error.code


_WORDS: dict[Reason | None, str] = {
    Reason.CANCELLED: "the job was cancelled",
    Reason.LOST: "somebody else has the job: the lease ran out",
    Reason.TOLD_TO_STOP: "the worker was told to stop; the job goes back to the queue",
    Reason.TIME_LIMIT: "it takes too long",
}


def _finished(done: Rendered, seconds: float) -> Finished:
    plan, made = done.plan, done.made
    segments = tuple(
        SegmentRow(
            one.position, one.part, made.key(one), len(one.frames), made.key(one) in made.cached,
            made.helped.get(made.key(one)),
        )
        for one in plan.picture
    )  # fmt: skip
    rendered = sum(one.frames for one in segments if not one.cached and one.worker_id is None)
    figures = {
        "frames": plan.frames,
        "frames_rendered": rendered,
        "encoder": plan.encoding.encoder,
        "size": done.film.size,
        "render_seconds": round(done.seconds, 3),
    }
    if rendered >= _MEASURABLE * plan.frames and not plan.form.is_draft:
        figures["speed"] = rendered / FRAME_RATE / done.seconds
    return Finished(
        output_path=done.named,
        final_duration=float(done.film.duration),
        processing_time=round(seconds, 3),
        video_count=done.job.video_count,
        features_used=done.job.features,
        segments=segments,
        figures=figures,
    )
