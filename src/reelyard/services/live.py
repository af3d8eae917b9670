"""What happens, told to everybody who watches, while it happens.

One thread looks into the database for all watchers, and only while there are any. Lines of history have
numbers, so that a watcher who was away gets what it missed; progress has none: what is old is of no use.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reelyard.domain.access import Principal
from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import Event, JobStatus, target
from reelyard.store.feed import Feed, Numbered

_LOG = logging.getLogger(__name__)
LOOK_SECONDS = 0.25
_LOOK_BACK = 100
_LATE = timedelta(seconds=15)  # no transaction takes longer
_REPLAYED = 500
_ENDS_WITHIN = 2.0
MOST_MISSED = 10_000
_BEGINS_WITHIN = 5.0
_AWAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvent:
    """One thing to tell. ``number`` is None for progress; ``owner`` is whose job it is about.

    ``kind`` is ``job``, ``worker``, ``queue``, ``progress`` or ``gap``.
    """

    kind: str
    data: dict[str, Any]
    number: int | None = None
    job_id: str | None = None
    owner: str | None = None

    def is_for(self, principal: Principal) -> bool:
        """Workers and queues are everybody's to see, jobs their owners' and those who see all."""
        if self.job_id is None:
            return True
        return principal.sees_all or self.owner == principal.user_id


Watcher = Callable[[LiveEvent], None]


class Live:
    """Watches the farm for any number of watchers."""

    def __init__(self, feed: Feed, every: float = LOOK_SECONDS) -> None:
        self._feed = feed
        self._every = every
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self._begun.set()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Tell ``watcher`` of everything from now on, from a thread; it must not wait, nor raise.

        Returns what ends it.
        """
        with self._lock:
            self._watchers.append(watcher)
            if self._thread is None or not self._thread.is_alive():
                self._begun = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._begun,), name="live", daemon=True
                )
                self._thread.start()

        def end() -> None:
            with self._lock:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

        return end

    def missed(
        self, number: int, principal: Principal, job_id: str | None = None
    ) -> Iterator[Sequence[LiveEvent]]:
        """What happened after ``number`` that the asker may see, in order, a part at a time.

        To a watcher that watches already, everything else is told. Of the whole farm only the last
        ``MOST_MISSED`` lines are told; a ``gap`` comes first where there were more.
        """
        self._begun.wait(_BEGINS_WITHIN)
        own = None if principal.sees_all or job_id is not None else principal.user_id
        if not self._feed.in_order and number > 0:
            back = self._feed.after(number - _LOOK_BACK, _LOOK_BACK, job_id=job_id, user_id=own)
            yield list(_shown(_late(back, number)))
        if job_id is None and (oldest := self._feed.newest() - MOST_MISSED) > number:
            yield [LiveEvent(kind="gap", data={"from": number, "to": oldest})]
            number = oldest
        while True:
            rows = self._feed.after(number, _REPLAYED, job_id=job_id, user_id=own)
            yield list(_shown(rows))
            if len(rows) < _REPLAYED:
                return
            number = rows[-1].number

    def newest(self) -> int:
        return self._feed.newest()

    @property
    def in_order(self) -> bool:
        """Whether who has seen a number has seen all lower ones."""
        return self._feed.in_order

    def close(self) -> None:
        """End it; nothing is read from the database any more once it returns."""
        self._ended.set()
        thread = self._thread
        if thread is not None:
            thread.join(_ENDS_WITHIN)

    def _run(self, begun: threading.Event) -> None:
        look = _Look(self._feed)
        try:
            while not self._ended.is_set():
                events = self._seen(look)
                if events is not None:
                    begun.set()
                with self._lock:
                    watchers = list(self._watchers)
                    if not watchers:
                        self._thread = None  # whoever comes next starts another
                        return
                for event in events or ():
                    for watcher in watchers:
                        watcher(event)
                self._ended.wait(self._every if events is not None else _AWAY_SECONDS)
        finally:
            begun.set()

    def _seen(self, look: _Look) -> Sequence[LiveEvent] | None:
        try:
            return look()
        except DatabaseUnavailable as error:
            _LOG.warning("watchers wait: %s", error)
            return None


class _Look:
    """Finds out what is new since the last look."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._newest: int | None = None
        self._told: deque[int] = deque(maxlen=4 * _LOOK_BACK)
        self._progress: dict[str, tuple[Any, ...]] = {}

    def __call__(self) -> Sequence[LiveEvent]:
        if self._newest is None:
            self._newest = self._feed.newest()
            back = self._newest - self._back
            self._told.extend(one.number for one in self._feed.after(back))
        # All is read before either is told: what is lost with the database is read again.
        lines = self._feed.after(self._newest - self._back, _REPLAYED + self._back)
        running = self._feed.running()
        helpers = self._feed.helpers() if running else {}
        return [*self._happened(lines), *self._moved(running, helpers)]

    @property
    def _back(self) -> int:
        """Numbers are given out in order, but on PostgreSQL a lower one may be seen later."""
        return 0 if self._feed.in_order else _LOOK_BACK

    def _happened(self, lines: Sequence[Numbered]) -> Iterator[LiveEvent]:
        new = [one for one in lines if one.number not in self._told]
        self._told.extend(one.number for one in new)
        self._newest = max([self._newest or 0, *(one.number for one in new)])
        return _shown(new)

    def _moved(
        self, states: Sequence[JobState], helpers: Mapping[str, Mapping[str, int]]
    ) -> Iterator[LiveEvent]:
        running = {state.job_id: state for state in states}
        for job_id, state in running.items():
            made = dict(helpers.get(job_id, {}))
            now = (state.stage, state.progress, state.speed, state.worker_id, made)
            if self._progress.get(job_id) != now:
                self._progress[job_id] = now
                yield progress(state, made)
        for job_id in self._progress.keys() - running.keys():
            del self._progress[job_id]


def _late(lines: Sequence[Numbered], number: int) -> Sequence[Numbered]:
    """The lines before ``number`` that may not have been there yet when that one was seen."""
    known = [one for one in lines if one.number <= number]
    if not known:
        return ()
    since = known[-1].happening.at - _LATE
    return [one for one in known if one.number < number and one.happening.at >= since]


def _shown(lines: Iterable[Numbered]) -> Iterator[LiveEvent]:
    return (event for event in map(told, lines) if event is not None)


def told(one: Numbered) -> LiveEvent | None:
    """A line of history as an event; None for what is nobody's but an admin's."""
    happening = one.happening
    is_queue = happening.what == "queue"  # one was stopped, or let go
    if happening.job_id is None and happening.worker_id is None and not is_queue:
        return None
    data = {
        "id": one.number,
        "at": happening.at.isoformat(),
        "what": happening.what,
        "job_id": happening.job_id,
        "worker_id": happening.worker_id,
        "actor": happening.actor,
        "message": happening.message,
        "status": _led_to(happening.what),
    }
    about_nobody = "queue" if is_queue else "worker"
    kind = about_nobody if happening.job_id is None else "job"
    return LiveEvent(
        kind=kind, data=data, number=one.number, job_id=happening.job_id, owner=one.owner
    )


def _led_to(what: str) -> JobStatus | None:
    """The status that this left the job in; None where it changed none."""
    if what == "submit":
        return JobStatus.QUEUED
    return target(Event(what)) if what in set(Event) else None


def progress(state: JobState, helpers: Mapping[str, int]) -> LiveEvent:
    """How far a job is, as an event. ``helpers`` have made so many segments for it."""
    data = {
        "job_id": state.job_id,
        "status": state.status,
        "stage": state.stage,
        "progress": round(state.progress, 2),
        "speed": state.speed,
        "seconds_left": state.seconds_left,
        "worker_id": state.worker_id,
        "helpers": dict(helpers),
    }
    return LiveEvent(kind="progress", data=data, job_id=state.job_id, owner=state.user_id)
