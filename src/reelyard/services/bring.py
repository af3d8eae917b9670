"""Having a job's sources here that no folder of this machine holds: what is reached through a connection is copied.

Who renders here needs all of it. Who only examines a job before it is queued, or makes a draft while others wait
for theirs, copies so much and for so long: what does not fit is left to the worker, which copies and checks it in
any case. What was copied by then stays in the copy cache, so the next one goes on where this one ended.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from reelyard.domain.errors import OutOfDisk, Problem, SourcesUnavailable
from reelyard.domain.job import Item, Job
from reelyard.engine.planner import without

from .budget import Budget, Limits
from .fetch import Fetch, Fetched
from .gather import nothing
from .naming import is_name, sources
from .resolve import Catalogue, resolve

_LOG = logging.getLogger(__name__)
EXAMINED_AT_ONCE = 4
"""So many jobs are examined at the same time, so that what they copy is bounded, too."""
_LOOK_SECONDS = 0.25

Check = Callable[[], None]
Say = Callable[[str], None]


EXAMINATION = Limits(seconds=20.0, size=2_000_000_000)
DRAFT = Limits(seconds=120.0, size=10_000_000_000)


@dataclass(frozen=True, slots=True)
class Examined:
    """What of a job is here, and what is known to be wrong with it. ``left`` are the items that are not here, and
    ``warnings`` say why."""

    job: Job
    problems: Sequence[Problem] = ()
    left: tuple[Item, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Bring:
    """The use case. ``fetch`` copies what is reached through connections, and nothing else."""

    fetch: Fetch
    catalogue: Callable[[], Catalogue]
    examination: Limits = EXAMINATION
    draft: Limits = DRAFT
    turns: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(EXAMINED_AT_ONCE)
    )

    @contextmanager
    def __call__(
        self, job: Job, check: Check = nothing, say: Say = lambda _: None
    ) -> Iterator[Job]:
        """The job with its sources on this machine for as long as the block lasts.

        What can't be had keeps its name: planning says what is wrong with it. Raises SourcesUnavailable, OutOfDisk,
        and what ``check`` raises.
        """
        found, _ = resolve(job, self.catalogue)
        if not any(map(is_name, sources(found))):
            yield found
            return
        with self._pin() as pin:
            fetched = self.fetch(found, pin, check, say)
            if fetched.copied:
                say(str(fetched))
            yield fetched.job

    @contextmanager
    def for_draft(
        self, job: Job, check: Check = nothing, say: Say = lambda _: None
    ) -> Iterator[Job]:
        """The same within a draft's limits. Raises SourcesUnavailable where they are passed, too."""
        found, _ = resolve(job, self.catalogue)
        if not any(map(self._is_copied, sources(found))):
            yield found
            return
        with self._pin() as pin:
            fetched = self.fetch(found, pin, check, say, self.draft.budget)
            if fetched.left:
                raise SourcesUnavailable(
                    f"{len(fetched.left)} files would have to be copied from shares first, and that "
                    "takes too long for a draft",
                    remedy="Try again, since what was copied is kept, or take fewer clips",
                )
            yield fetched.job

    @contextmanager
    def examined(self, job: Job, check: Check = nothing) -> Iterator[Examined]:
        """What of the job is here within the limits of an examination, and which items are left.

        Raises SourcesUnavailable where a share is gone, and what ``check`` raises.
        """
        found, unknown = resolve(job, self.catalogue)
        if not any(map(self._is_copied, sources(found))):
            yield Examined(found, unknown)
            return
        budget = self.examination.budget
        with self._turn(budget, check), self._pin() as pin:
            yield _examined(self._within(found, pin, check, budget), unknown)

    def _is_copied(self, path: str) -> bool:
        """Whether a source is reached through a connection. What makes no sense is left to planning."""
        try:
            return is_name(path) and self.fetch.places.local(path) is None
        except ValueError:
            return False

    def _within(self, job: Job, pin: str, check: Check, budget: Budget) -> Fetched:
        """A full disk of the server is no reason to turn a job down."""
        try:
            return self.fetch(job, pin, check, budget=budget)
        except OutOfDisk as error:
            _LOG.warning("no files are copied to examine a job: %s", error)
            return self.fetch(job, pin, check, budget=Budget(0, 0))

    @contextmanager
    def _turn(self, budget: Budget, check: Check) -> Iterator[None]:
        """Wait for a place among those who copy; without one when the time is over: nothing is copied then."""
        held = False
        while not (held or budget.is_over):
            check()
            held = self.turns.acquire(timeout=_LOOK_SECONDS)
        try:
            yield
        finally:
            if held:
                self.turns.release()

    @contextmanager
    def _pin(self) -> Iterator[str]:
        pin = f"here.{uuid.uuid4().hex}"
        try:
            yield pin
        finally:
            self.fetch.release(pin)


def _examined(fetched: Fetched, problems: Sequence[Problem]) -> Examined:
    why = {
        item.position: (item, fetched.left[path])
        for item in fetched.job.items
        for path in (item.logo_path, item.path)
        if path is not None and path in fetched.left
    }
    return Examined(
        job=without(fetched.job, why),
        problems=problems,
        left=tuple(item for item, _ in why.values()),
        warnings=tuple(_not_examined(item, reason) for item, reason in why.values()),
    )


def _not_examined(item: Item, why: str) -> Problem:
    return Problem(
        code="not_examined",
        message=f"not looked at yet, because its file lies on a share and {why}",
        remedy="Nothing has to be done: the worker copies and checks it",
        position=item.position,
        field="path",
        file=item.named,
        warning=True,
    )
