"""Helping: a worker that has nothing to do renders segments of another worker's job.

It claims one segment at a time, makes it, puts it where the owner looks for it, says so, and takes the next. Where the worker
is wanted elsewhere, everything is stopped at once and what was claimed is anybody's again. Nothing rests on a helper: whatever becomes of it, the owner makes what is missing, and it is
the owner who judges sources. A helper that can't do a job's segments leaves the job alone for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

from reelyard.domain.errors import Cancelled, DatabaseUnavailable, ReelyardError
from reelyard.domain.farm import JobState
from reelyard.domain.help import CLAIM_SECONDS, Invitation, SegmentClaim, Terms
from reelyard.domain.job import Job
from reelyard.domain.output import output_form
from reelyard.engine.commands import quoted
from reelyard.engine.encoders import NVENC
from reelyard.files.job_log import JobLog, log_folder, safe_name
from reelyard.files.work_folder import work_folder
from reelyard.store.help import Offers
from reelyard.store.jobs import Jobs

from .claims import Claims, Held
from .fetch import Fetch
from .handover import cache_place, meeting_places, misfit, terms_of
from .keeper import insist
from .render_job import RenderJob
from .resolve import Catalogue, resolve
from .segment_maker import CardRefuses, MadeSegment, SegmentMaker, Unfit
from .storage import log_failure
from .work import Pins

_LOG = logging.getLogger(__name__)
_ALONE_SECONDS = 60.0


@dataclass
class LeftAlone:
    """The offers that this process could not help with, each for a while."""

    seconds: float = _ALONE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _until: dict[tuple[str, int], float] = field(default_factory=dict)

    def add(self, offer: Invitation) -> None:
        now = self.clock()
        self._until = {one: until for one, until in self._until.items() if until > now}
        self._until[offer.job_id, offer.token] = now + self.seconds

    def has(self, offer: Invitation) -> bool:
        return self._until.get((offer.job_id, offer.token), 0.0) > self.clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assist:
    """The use case. After ``time_limit`` seconds nothing new is begun."""

    worker_id: str
    pins: Pins
    offers: Offers
    jobs: Jobs
    catalogue: Callable[[], Catalogue]
    fetch: Fetch
    render_job: Callable[[], RenderJob]
    must_stop: Callable[[], bool]
    time_limit: float
    left_alone: LeftAlone

    def __call__(self, named: str) -> int:
        """Help with whatever running job needs it first, until none does or there is something else to do.

        The job ``named`` in the message is only the one that it was sent for. Returns how many segments were made.
        """
        ends_at = time.monotonic() + self.time_limit
        made = 0
        try:
            while not self.must_stop() and time.monotonic() < ends_at:
                invitation = self._next()
                if invitation is None:
                    break
                count = _Helper(self, invitation, ends_at).run()
                made += count
                if not count and not self.left_alone.has(invitation):
                    break  # others were faster, or it had to leave
        except DatabaseUnavailable as error:
            _LOG.warning("not helping any more: %s", error.message)
        if not made:
            _LOG.info("nothing to help with for the message about job %s", named)
        return made

    def _next(self) -> Invitation | None:
        offers = self.offers.invitations(self.worker_id)
        return next((one for one in offers if not self.left_alone.has(one)), None)


class _Helper:
    """One worker at one job."""

    def __init__(self, using: Assist, invitation: Invitation, ends_at: float) -> None:
        self._using = using
        self._invitation = invitation
        self._ends_at = ends_at
        self._claims = Claims(using.offers, using.worker_id, using.must_stop)
        self._lock = threading.Lock()
        self._refused: frozenset[str] = frozenset()
        self._made = 0

    def run(self) -> int:
        """Returns how many segments were made. Raises DatabaseUnavailable."""
        job_id, begun = self._invitation.job_id, time.monotonic()
        _LOG.info("job %s of %s: helping", job_id, self._invitation.owner)
        self._using.offers.helps(self._using.worker_id, job_id)
        with self._claims:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - helping is nobody's failure; the log has it
                self._claims.give_up(error)
        self._using.offers.helps(self._using.worker_id, None)
        self._judge(self._claims.trouble)
        left = self._claims.leaves and f", and left: {self._claims.leaves}"
        _LOG.info("job %s: made %d segments in %.1f s%s", job_id, self._made,
                  time.monotonic() - begun, left)  # fmt: skip
        return self._made

    def _work(self) -> None:
        using, job_id = self._using, self._invitation.job_id
        tools, pin = using.render_job(), _pin(using.pins, job_id)
        job, _ = resolve(using.jobs.job(job_id).wanted, using.catalogue)
        terms = _agreed(tools, job, self._invitation.terms)
        try:
            with (
                closing(_open_log(tools, using.jobs.state(job_id), using.worker_id)) as log,
                work_folder(tools.cache.root / "work") as folder,
                ThreadPoolExecutor(terms.at_once, "help") as pool,
            ):
                maker = SegmentMaker(tools, using.fetch, pin, job, log, folder, self._claims.stop)
                for _ in range(terms.at_once):
                    pool.submit(self._make_some, maker, terms, log)
        finally:
            using.fetch.release(pin)
            _trim(tools)

    def _make_some(self, maker: SegmentMaker, terms: _Agreed, log: JobLog) -> None:
        """One after the other, as long as there are any."""
        offers, worker_id = self._using.offers, self._using.worker_id
        try:
            while not self._claims.stop.is_set and time.monotonic() < self._ends_at:
                claim = offers.claim(self._invitation, worker_id, self._refused)
                if claim is None:
                    return
                with self._claims.holding(claim) as held:
                    self._make(claim, held, maker, terms, log)
        except Exception as error:  # noqa: BLE001 - as above
            self._claims.give_up(error)

    def _make(
        self, claim: SegmentClaim, held: Held, maker: SegmentMaker, terms: _Agreed, log: JobLog
    ) -> None:
        try:
            made = maker(claim.segment, held.stop, held.watch)
            self._hand_over(claim, made, held, maker, terms, log)
        except CardRefuses as refusal:
            log.step(f"left to the job's machine: {refusal}")
            with self._lock:
                self._refused |= {claim.segment.key}
        except Cancelled:
            self._claims.stop.check()  # where only this one was stopped: on to the next
        except ReelyardError as error:
            if not self._claims.stop.is_set:
                log_failure(log, error)
            raise
        finally:
            maker.discard(claim.segment.key)

    def _hand_over(
        self,
        claim: SegmentClaim,
        made: MadeSegment,
        held: Held,
        maker: SegmentMaker,
        terms: _Agreed,
        log: JobLog,
    ) -> None:
        """Have the segment where its owner looks for it, and only then say so."""
        if not terms.shares_cache and not maker.put(made, held.stop.check):
            raise Unfit("the segment store does not take it")
        is_done = insist(lambda: self._using.offers.done(claim), log.say, CLAIM_SECONDS,
                         self._using.must_stop)  # fmt: skip
        with self._lock:
            self._made += is_done
        if terms.shares_cache:
            maker.put(made, self._claims.stop.check)  # for other jobs

    def _judge(self, trouble: Exception | None) -> None:
        """Say what went wrong. Who could not do it is not to try again so soon."""
        job_id = self._invitation.job_id
        if trouble is None:
            return
        if isinstance(trouble, DatabaseUnavailable):
            raise trouble
        if self._claims.leaves:
            return  # what was stopped in the middle may say anything
        self._using.left_alone.add(self._invitation)
        if isinstance(trouble, Unfit | ReelyardError | OSError):
            _LOG.warning("job %s is left alone for a while: %s", job_id, trouble)
        else:
            _LOG.error("job %s is left alone because of an error in Reelyard itself", job_id,
                       exc_info=trouble)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Agreed:
    """What helper and owner have in common: ``shares_cache``, or the segment store. ``at_once`` segments are made."""

    shares_cache: bool
    at_once: int


def _agreed(tools: RenderJob, job: Job, theirs: Terms) -> _Agreed:
    """Raises Unfit where this machine's segments can't be those of the job."""
    shop = tools.planning.workshop(job)
    form = shop.form or output_form(enable_4k=job.enable_4k)
    own = terms_of(shop.encoding, form, meeting_places(tools.cache, tools.store))
    if why := misfit(theirs, own):
        raise Unfit(why)
    sessions = tools.sessions if shop.encoding.encoder == NVENC else None
    return _Agreed(
        shares_cache=cache_place(tools.cache) in theirs.meeting_places,
        at_once=min(tools.at_once, sessions.limit) if sessions else tools.at_once,
    )


def _pin(pins: Pins, job_id: str) -> str:
    """Not the one of a job of its own: that is let go of when the job is somebody else's."""
    return replace(pins, worker_id=f"{pins.worker_id} (help)").of(job_id)


def _open_log(tools: RenderJob, state: JobState, worker_id: str) -> JobLog:
    """Beside the owner's, which may be another machine's."""
    folder = log_folder(
        tools.logs, state.username, state.channel_name, state.job_id, state.created_at
    )
    return JobLog(folder / f"help_{safe_name(worker_id)}", quoted)


def _trim(tools: RenderJob) -> None:
    try:
        tools.cache.trim()
    except OSError as error:
        _LOG.warning("the cache could not be trimmed: %s", error)
