"""The queue: what runs, what waits, in which order, and until when. It moves without being asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.access import Action
from reelyard.domain.errors import ReelyardError
from reelyard.domain.routing import Queue
from reelyard.services.live import LiveEvent
from reelyard.services.office import Office

from .frame import empty, frame
from .job_actions import JobActions
from .job_look import JOB_CSS, tagged, trouble
from .queue_card import CARD_CSS
from .queue_ended import ENDED_CSS, EndedJobs
from .queue_list import QueueList
from .queue_read import Snapshot, read
from .queue_row import ROW_CSS
from .queue_running import RunningJobs
from .visitor import Visitor, visitor_of
from .words import span

_LOG = logging.getLogger(__name__)
_AT_MOST_EVERY = 1.5
_AT_LEAST_EVERY = 10.0
_LOOK_EVERY = 0.5


def register(office: Office) -> None:
    """The page."""

    @ui.page("/queue")
    async def page(request: Request) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        with frame(visitor, "Queue"):
            await QueuePage(office, visitor).build()
        return None


class QueuePage:
    """One open page. It re-reads when something has happened, and now and then for the estimates."""

    def __init__(self, office: Office, visitor: Visitor) -> None:
        self._office = office
        self._visitor = visitor
        self._lists: dict[Queue, QueueList] = {}
        self._read_at = 0.0
        self._is_stale = False

    async def build(self) -> None:
        ui.add_css(JOB_CSS + CARD_CSS + ROW_CSS + ENDED_CSS)
        try:
            snapshot = await self._visitor.ask(lambda who: read(self._office, who))
        except ReelyardError as error:
            trouble(error)
            return
        self._make()
        self._show(snapshot)
        self._is_stale = True  # what happens before the page listens is read again
        self._visitor.on_live(self._heard)
        ui.timer(_LOOK_EVERY, self._look)

    def _make(self) -> None:
        home = ui.column().classes("full-width").style("gap: 16px")
        actions = JobActions(self._office, self._visitor, home, self.refresh)
        can_order = self._visitor.may(Action.ORDER_QUEUE)
        with home:
            self._summary = ui.label().classes("ry-mono text-body1").style("min-height: 24px")
            tagged(self._summary, "queue-summary").props("aria-live=polite")
            self._heard_by_few = ui.label().classes("ry-unseen").props("role=status")
            self._trouble = ui.column().classes("full-width")
            cards = ui.element("div").classes("ry-queues")
            self._running = RunningJobs(actions)
            lists = ui.column().classes("full-width").style("gap: 16px")
            self._empty = ui.column().classes("full-width")
            for queue in Queue:
                self._lists[queue] = QueueList(
                    self._office, self._visitor, actions, queue, can_order, cards, lists,
                    self._heard_by_few.set_text,
                )  # fmt: skip
            with self._empty:
                empty("inbox", "Nothing is waiting", "Put a compilation together and submit it: it appears "
                      "here, moves up as others are done, and its film is on its page in the end.")  # fmt: skip
                with ui.row().classes("full-width justify-center"):
                    new = ui.button("New compilation", icon="add_circle",
                                    on_click=lambda: ui.navigate.to("/"))  # fmt: skip
                    new.props("unelevated no-caps")
            self._ended = EndedJobs(actions)

    def _show(self, snapshot: Snapshot) -> None:
        self._read_at = time.monotonic()
        self._is_stale = False
        self._summary.set_text(_summary(snapshot))
        self._empty.set_visibility(snapshot.is_idle)
        self._running.update(snapshot.running, is_idle=snapshot.is_idle)
        for view in snapshot.whole.queues:
            self._lists[view.queue].update(view, snapshot)
        self._ended.update(snapshot.ended)

    async def refresh(self) -> None:
        """Read everything again, and show what is different."""
        if any(one.is_dragged for one in self._lists.values()):
            self._is_stale = True  # rows stay where they are under somebody's hand
            return
        self._read_at = time.monotonic()
        try:
            snapshot = await self._visitor.ask(lambda who: read(self._office, who))
        except ReelyardError as error:
            self._show_trouble(error)
            return
        self._show_trouble(None)
        self._show(snapshot)

    def _show_trouble(self, error: ReelyardError | None) -> None:
        """What is shown may be old, and the page says so until it is not."""
        if error is not None and len(list(self._trouble)) == 0:
            with self._trouble:
                trouble(error)
        elif error is None and len(list(self._trouble)) > 0:
            self._trouble.clear()

    def _heard(self, events: Sequence[LiveEvent]) -> None:
        for event in events:
            if event.kind != "progress":
                self._is_stale = True
                continue
            if not self._running.progress(event.data):
                self._is_stale = True  # it has begun since

    async def _look(self) -> None:
        for one in self._lists.values():
            if not one.is_whole and not one.is_dragged:
                one.fill()
        since = time.monotonic() - self._read_at
        if since > _AT_LEAST_EVERY or (self._is_stale and since > _AT_MOST_EVERY):
            await self.refresh()


def _summary(snapshot: Snapshot) -> str:
    whole = snapshot.whole
    running = sum(view.running for view in whole.queues)
    waiting = sum(view.waiting for view in whole.queues)
    if not running and not waiting:
        return "Nothing runs, nothing waits."
    counts = f"{running} running, {waiting} waiting"
    if whole.seconds_left is None:
        return f"{counts}. When all is done can't be told yet."
    return f"{counts}. All done in about {span(whole.seconds_left)}."
