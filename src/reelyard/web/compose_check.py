"""The check while somebody builds: how long, how large, when, and what is wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from nicegui import Client, background_tasks, ui

from reelyard.domain.errors import NotSignedIn, ReelyardError
from reelyard.services.clips import ClipFacts
from reelyard.services.job_views import Checked

from .compose_list import Compilation
from .compose_page import Page

_LOG = logging.getLogger(__name__)
QUIET_SECONDS = 0.7
_AGAIN_SECONDS = 60.0
_MEASURED_AT_ONCE = 24


class Checker:
    """Asks the farm what it thinks of the compilation, some time after each change.

    One question is asked at a time, and an answer about what is not there any more is dropped.
    """

    def __init__(self, page: Page, show: Callable[[], None]) -> None:
        self._page = page
        self._show = show
        self._client: Client = ui.context.client
        self._changed_at = 0.0
        self._runs = False
        self._asked = set(page.bench.seconds)
        self.checked: Checked | None = None  # of what is there now
        self.failure: ReelyardError | None = None
        ui.timer(_AGAIN_SECONDS, self._again)

    @property
    def is_waiting(self) -> bool:
        return self._runs

    def touch(self) -> None:
        """Something has changed."""
        self._changed_at = time.monotonic()
        self.checked = None
        if not self._runs:
            self._runs = True
            background_tasks.create(self._run(), name="check a compilation")
        self._show()

    def _again(self) -> None:
        """When it would start changes by itself."""
        if not self._runs and self._page.now.rows:
            self._runs = True
            background_tasks.create(self._run(), name="check a compilation again")

    async def _run(self) -> None:
        try:
            with self._client:
                while not await self._is_done():
                    pass
        except Exception:
            _LOG.exception("a check of a compilation ended")
            raise
        finally:
            self._runs = False
        with self._client:
            self._show()

    async def _is_done(self) -> bool:
        """One question; whether its answer is about what is there still."""
        while (left := self._changed_at + QUIET_SECONDS - time.monotonic()) > 0:
            await asyncio.sleep(left)
        now = self._page.now
        if not now.rows:
            self._page.found((), now)
            return True
        self.failure = None
        try:
            if await self._measure(now):
                await self._ask(now)
        except NotSignedIn as error:
            self.failure = error
            return True
        except ReelyardError as error:
            self.failure = error
        return now is self._page.now

    async def _measure(self, now: Compilation) -> bool:
        """Find out how long new clips are; False where something changed meanwhile."""
        known = self._page.bench.seconds
        missing = (row.path for row in now.rows if row.path and not row.is_image)
        new = list(dict.fromkeys(path for path in missing if path not in self._asked))
        library = self._page.office.library
        for begin in range(0, len(new), _MEASURED_AT_ONCE):
            if now is not self._page.now:
                return False
            part = new[begin : begin + _MEASURED_AT_ONCE]
            facts = await self._page.visitor.ask(partial(library.facts_of, paths=part))
            self._asked.update(part)  # once: what can't be used is a problem of the check
            for path, found in facts.items():
                if isinstance(found, ClipFacts) and found.seconds is not None:
                    known[path] = found.seconds
            self._show()
        return now is self._page.now

    async def _ask(self, now: Compilation) -> None:
        document = now.to_document()
        # What the clips come to can be said before there is a channel; the bar asks for one.
        document["channel_name"] = document["channel_name"].strip() or "channel"
        jobs = self._page.office.jobs
        checked = await self._page.visitor.ask(lambda who: jobs.check(who, document))
        if now is not self._page.now:
            return
        self.checked = checked
        ids = [row.row_id for row in now.rows]
        items = checked.items or {}
        self._page.lengths = {
            ids[at - 1]: seconds for at, seconds in items.items() if at <= len(ids)
        }
        self._page.found((*checked.problems, *checked.warnings), now)
