"""When each job will be done: the farm played through in advance, from now until it is empty.

List scheduling, as workers really do it: whoever is free first takes the first job that it may.
Times are seconds from now. A speed is seconds of film made per second, so 2.0 makes a minute of
film in half a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from .routing import Queue
from .timeline import FRAME_RATE

UNMEASURED_SPEED = 1.0
"""1080p where nobody was ever measured: real time, which errs on the slow side."""
UHD_SHARE = 0.25
"""4K where nobody was ever measured, as a share of 1080p: each frame has four times the pixels."""
NEW_WEIGHT = 0.3
"""How much the latest job says about a worker's speed; the rest is what was known before."""

_RELEASED, _FREED = 0, 1  # at the same instant, jobs come before the workers that look for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job that nobody has taken. It may not be before ``not_before`` (a retry, say)."""

    job_id: str
    queue: Queue
    frames: int
    enable_4k: bool
    not_before: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job in work. ``seconds_left`` is what its worker says; None while it can't tell yet."""

    job_id: str
    worker_id: str
    seconds_left: float | None
    frames: int
    percent: float
    enable_4k: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """One worker. None or zero as a speed means: never measured.

    A worker that is about to stop finishes its job and has ``takes_more`` unset.
    """

    worker_id: str
    queues: frozenset[Queue]
    speed: float | None
    speed_4k: float | None
    takes_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``jobs``: when each job, waiting or running, is done; ``starts``: when a waiting one begins.

    None stands for a job that nobody may take. ``whole`` is when all are done: None when one never
    is, zero when there are none.
    """

    jobs: Mapping[str, float | None]
    starts: Mapping[str, float | None]
    whole: float | None


def estimate(
    waiting: Sequence[Waiting], running: Sequence[Running], crew: Sequence[Crew]
) -> Estimate:
    """Play the farm through. ``waiting`` is in the order in which jobs are to be taken.

    A worker takes no more than the jobs that are known now, and fails at none of them.
    """
    paces = _paces(crew, running)
    left = {job.job_id: _seconds_left(job, paces[job.worker_id]) for job in running}
    busy: dict[str, float] = {}
    for job in running:
        busy[job.worker_id] = max(left[job.job_id], busy.get(job.worker_id, 0.0))
    takers = [
        _Taker(worker.queues, paces[worker.worker_id], busy.get(worker.worker_id, 0.0))
        for worker in crew
        if worker.takes_more
    ]
    spans = _Farm(waiting, takers).spans()
    starts = {job.job_id: span and span[0] for job, span in zip(waiting, spans, strict=True)}
    ends = {job.job_id: span and span[1] for job, span in zip(waiting, spans, strict=True)}
    jobs = {**left, **ends}
    return Estimate(jobs=jobs, starts=starts, whole=_latest(jobs.values()))


def updated_speed(old: float | None, measured: float) -> float:
    """What to believe of a worker after one more job: an exponential moving average.

    One odd job changes little; a worker that got slower for good is known after a handful.
    """
    return measured if old is None else old + NEW_WEIGHT * (measured - old)


def _latest(ends: Iterable[float | None]) -> float | None:
    latest = 0.0
    for end in ends:
        if end is None:
            return None
        latest = max(latest, end)
    return latest


@dataclass(frozen=True, slots=True)
class _Pace:
    """A worker's speed in either form, known or guessed."""

    hd: float
    uhd: float

    def seconds(self, frames: float, *, enable_4k: bool) -> float:
        return frames / FRAME_RATE / (self.uhd if enable_4k else self.hd)


def _paces(crew: Sequence[Crew], running: Sequence[Running]) -> dict[str, _Pace]:
    """By worker. One that is at a job but not of the crew (it is gone, say) counts as average."""
    hd = _mean(worker.speed for worker in crew) or UNMEASURED_SPEED
    uhd = _mean(worker.speed_4k for worker in crew)

    def pace(own: float | None, own_4k: float | None) -> _Pace:
        full = own or hd
        return _Pace(full, own_4k or uhd or full * UHD_SHARE)

    strangers = {job.worker_id: pace(None, None) for job in running}
    return strangers | {worker.worker_id: pace(worker.speed, worker.speed_4k) for worker in crew}


def _mean(speeds: Iterable[float | None]) -> float | None:
    known = [speed for speed in speeds if speed]
    return sum(known) / len(known) if known else None


def _seconds_left(job: Running, pace: _Pace) -> float:
    """Never below zero: a job may take longer than its worker thought."""
    if job.seconds_left is not None:
        return max(0.0, job.seconds_left)
    share = max(0.0, 1 - job.percent / 100)
    return pace.seconds(job.frames * share, enable_4k=job.enable_4k)


@dataclass(frozen=True, slots=True)
class _Taker:
    """A worker that takes jobs from the moment it is ``free``."""

    queues: frozenset[Queue]
    pace: _Pace
    free: float


class _Farm:
    """Jobs and workers, both by their number, moved from event to event.

    Each job is released once and each job frees a worker once: the time it takes grows with
    jobs × log(jobs), however many of them must wait for their hour.
    """

    def __init__(self, waiting: Sequence[Waiting], takers: Sequence[_Taker]) -> None:
        self._waiting = waiting
        self._takers = takers
        self._lines: dict[Queue, list[int]] = {queue: [] for queue in Queue}  # heaps
        self._lines_of = [[self._lines[queue] for queue in taker.queues] for taker in takers]
        self._idle: dict[int, None] = {}  # workers whose lines are empty, the longest idle first
        self._spans: list[tuple[float, float] | None] = [None] * len(waiting)
        self._events = [(taker.free, _FREED, number) for number, taker in enumerate(takers)]
        for number, job in enumerate(waiting):
            if job.not_before > 0:
                self._events.append((job.not_before, _RELEASED, number))
            else:
                self._lines[job.queue].append(number)  # ascending, so a heap already
        heapify(self._events)

    def spans(self) -> list[tuple[float, float] | None]:
        """When each waiting job begins and ends, in their order."""
        while self._events:
            now, kind, number = heappop(self._events)
            if kind == _RELEASED:
                self._release(number, now)
            else:
                self._look_for_work(number, now)
        return self._spans

    def _release(self, job: int, now: float) -> None:
        queue = self._waiting[job].queue
        taker = next((one for one in self._idle if queue in self._takers[one].queues), None)
        if taker is None:
            heappush(self._lines[queue], job)
        else:
            del self._idle[taker]
            self._start(job, taker, now)

    def _look_for_work(self, taker: int, now: float) -> None:
        lines = [line for line in self._lines_of[taker] if line]
        if lines:
            self._start(heappop(min(lines)), taker, now)  # lists compare by their first job
        else:
            self._idle[taker] = None

    def _start(self, number: int, taker: int, now: float) -> None:
        job = self._waiting[number]
        end = now + self._takers[taker].pace.seconds(job.frames, enable_4k=job.enable_4k)
        self._spans[number] = now, end
        heappush(self._events, (end, _FREED, taker))
