"""Drafts: a small film of a job within seconds, made here on the server, before the long render.

A draft goes through all the steps of a film: the same checks of the job, the same segment cache, the same
checks of what was made. It only has another form and shows the first seconds of each item. So
whoever changes one item and asks again waits for that item alone.

One draft is made at a time, and a person has one: a new one takes the old one's place. Drafts are
kept in memory and in a folder of this run of the server; the next run removes what a killed
one left.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRuns
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import (
    Conflict,
    FarmUnavailable,
    NotFound,
    Problem,
    RequestInvalid,
    TooManyRequests,
    printable,
)
from reelyard.domain.excerpt import LONGEST_ITEM_SECONDS
from reelyard.domain.job import Job
from reelyard.domain.timeline import frames_in
from reelyard.files.work_folder import work_folder

from .draft import Draft, DraftStatus, Making, Renderer

__all__ = ["Draft", "DraftStatus", "Drafts", "Keeping"]

_LOG = logging.getLogger(__name__)

ITEM_SECONDS = 5.0
"""How much of each item a draft shows unless something else is asked for."""

WAITING = 4
_ENDS_WITHIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long drafts are kept, how many, and how many bytes of them; the oldest go first."""

    hours: float = 12.0
    number: int = 50
    size: int = 4_000_000_000


class Drafts:
    """All drafts of one server. To be closed."""

    def __init__(
        self,
        renderer: Renderer,
        folder: Path,
        *,
        waiting: int = WAITING,
        keeping: Keeping | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._renderer = renderer
        self._waiting = waiting
        self._keeping = keeping or Keeping()
        self._clock = clock
        self._lock = threading.Lock()
        self._makings: dict[str, Making] = {}  # by user
        self._closed = False
        self._pool = ThreadPoolExecutor(1, "draft")
        self._held = ExitStack()
        # By the pool's thread, which lets go of it in the end: its lock is that thread's.
        self._folder = self._pool.submit(self._held.enter_context, work_folder(folder)).result()

    def begin(
        self, principal: Principal, job: Job, seconds_per_item: float | None = ITEM_SECONDS
    ) -> Draft:
        """Make a draft of ``job`` that shows the first seconds of each item; None: items whole.

        It takes the place of the person's last one. Raises TooManyRequests where too many wait.
        """
        principal.allow(Action.DRAFT)
        item_frames = _item_frames(seconds_per_item)
        self.tidy()
        with self._lock:
            self._check_room(principal.user_id)
            if last := self._makings.pop(principal.user_id, None):
                last.discard()
            draft_id = uuid.uuid4().hex
            draft = Draft(draft_id=draft_id, user_id=principal.user_id, created_at=self._clock())
            # Its chapters are no film's: a list of them would be checked for nothing.
            own = replace(job, job_id=draft_id, chapters=False)
            making = Making(draft, own, self._folder / draft_id, self._renderer, item_frames)
            self._makings[principal.user_id] = making
            self._pool.submit(making.run)
        return draft

    def get(self, principal: Principal, draft_id: str) -> Draft:
        """Raises NotFound, also for the draft of somebody else."""
        return self._making(principal, draft_id).draft

    def latest(self, principal: Principal) -> Draft | None:
        """The person's one draft, if there is one."""
        principal.allow(Action.DRAFT)
        self.tidy()
        with self._lock:
            making = self._makings.get(principal.user_id)
        return making.draft if making else None

    def cancel(self, principal: Principal, draft_id: str) -> Draft:
        """Stop it, and take away what there is of it."""
        making = self._making(principal, draft_id)
        making.discard()
        return making.draft

    def film(self, principal: Principal, draft_id: str) -> Path:
        return _finished(self._making(principal, draft_id).draft, "film")

    def contact_sheet(self, principal: Principal, draft_id: str) -> Path:
        return _finished(self._making(principal, draft_id).draft, "contact_sheet")

    def problems(self, principal: Principal, draft_id: str) -> tuple[Problem, ...]:
        return self._making(principal, draft_id).draft.problems

    def tidy(self) -> None:
        """Drop what is too old or too much. Also done whenever somebody asks for a draft."""
        horizon = self._clock() - timedelta(hours=self._keeping.hours)
        with self._lock:
            over = [one for one in self._makings.values() if one.draft.is_over]
            newest_first = sorted(over, key=lambda one: one.draft.created_at, reverse=True)
            size = 0
            for number, making in enumerate(newest_first):
                size += making.size
                too_much = number >= self._keeping.number or (number and size > self._keeping.size)
                if too_much or making.draft.created_at < horizon:
                    making.discard()
                    del self._makings[making.draft.user_id]

    def close(self) -> None:
        """Stop everything and take it away; returns within two seconds or so."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for making in self._makings.values():
                making.discard()
        let_go = self._pool.submit(self._held.close)
        self._pool.shutdown(wait=False)
        try:
            let_go.result(_ENDS_WITHIN)
        except StillRuns:
            _LOG.warning("a draft does not end: the next run removes its files")

    def _making(self, principal: Principal, draft_id: str) -> Making:
        principal.allow(Action.DRAFT)
        self.tidy()
        with self._lock:
            making = self._makings.get(principal.user_id)
        if making is None or making.draft.draft_id != draft_id:
            raise NotFound(f"there is no draft {printable(draft_id)}", remedy="Make a new one")
        return making

    def _check_room(self, user_id: str) -> None:
        if self._closed:
            raise FarmUnavailable("the server is about to end", remedy="Try again in a minute")
        others = [one for user, one in self._makings.items() if user != user_id]
        if sum(not one.draft.is_over for one in others) > self._waiting:
            raise TooManyRequests(f"{self._waiting} drafts are waiting already",
                                  remedy="Try again in half a minute", retry_after=30)  # fmt: skip


def _item_frames(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not (math.isfinite(seconds) and 0 < seconds <= LONGEST_ITEM_SECONDS):
        raise RequestInvalid("a draft can't show so much of an item",
                             remedy=f"Give more than 0 s and at most {LONGEST_ITEM_SECONDS}",
                             field="seconds_per_item")  # fmt: skip
    return frames_in(Fraction(seconds))


def _finished(draft: Draft, name: str) -> Path:
    """Raises Conflict where the draft is not done."""
    path: Path | None = getattr(draft, name)
    if draft.status is not DraftStatus.DONE or path is None:
        raise Conflict(f"the draft is {draft.status}", remedy="Wait until it is done, or make a new one")  # fmt: skip
    return path
