"""One job: how far it is, why it failed, what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.errors import JobUnknown, NotSignedIn, ReelyardError, printable
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.live import LiveEvent
from reelyard.services.making import Making
from reelyard.services.office import Office

from .frame import empty, frame
from .job_actions import ACTIVE, JobActions
from .job_film import FILM_CSS, Film
from .job_head import FACTS_CSS, Head
from .job_items import ITEMS_CSS, Items
from .job_logs import LOGS_CSS, Logs
from .job_look import JOB_CSS, tagged, trouble
from .job_makers import MAKERS_CSS, Makers
from .job_read import JobView, read
from .job_report import REPORT_CSS
from .job_report import build as build_report
from .job_story import STORY_CSS, Story
from .visitor import Visitor, visitor_of

_LOG = logging.getLogger(__name__)
_CSS = JOB_CSS + FACTS_CSS + FILM_CSS + ITEMS_CSS + LOGS_CSS + MAKERS_CSS + REPORT_CSS + STORY_CSS
_AT_MOST_EVERY = 1.0
_AT_LEAST_EVERY = 10.0
_LOOK_EVERY = 0.5


def register(office: Office) -> None:
    """The page."""

    @ui.page("/jobs/{job_id}")
    async def page(request: Request, job_id: str) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        try:
            view = await visitor.ask(lambda who: read(office, who, job_id))
        except JobUnknown:
            ui.context.client.status_code = 404
            with frame(visitor, "No such job"):
                _unknown()
            return None
        except ReelyardError as error:
            ui.context.client.status_code = 503
            with frame(visitor, "Job"):
                ui.add_css(_CSS)
                trouble(error)
            return None
        with frame(visitor, printable(view.detail.state.channel_name)):
            JobPage(office, visitor, view).build()
        return None


def _unknown() -> None:
    empty("search_off", "There is no such job here",
          "It may have been removed, it may be somebody else's, or its address was cut short. Your jobs are "
          "in the queue and in the history.")  # fmt: skip
    with ui.row().classes("full-width justify-center"):
        ui.button("Queue", on_click=lambda: ui.navigate.to("/queue")).props("unelevated no-caps")
        ui.button("History", on_click=lambda: ui.navigate.to("/history")).props("flat no-caps")


class JobPage:
    """One open page. It is built for a state of the job, and anew when that changes."""

    def __init__(self, office: Office, visitor: Visitor, view: JobView) -> None:
        self._office = office
        self._visitor = visitor
        self._view = view
        self._job_id = view.detail.state.job_id
        self._read_at = time.monotonic()
        # What happened after it was read and before the page listened is read again.
        self._is_stale = view.detail.state.status in ACTIVE
        self._is_helped = bool(view.detail.making.pieces)
        self._makers_at = self._read_at
        self._head: Head | None = None
        self._makers: Makers | None = None
        self._story: Story | None = None

    def build(self) -> None:
        ui.add_css(_CSS)
        home = ui.column().classes("full-width").style("gap: 16px")
        self._actions = JobActions(self._office, self._visitor, home, self.refresh)
        with home:
            self._trouble = ui.column().classes("full-width")
            self._body = ui.column().classes("full-width").style("gap: 16px")
        self._fill()
        self._visitor.on_live(self._heard)
        ui.timer(_LOOK_EVERY, self._look)

    def _fill(self) -> None:
        view = self._view
        state = view.detail.state
        self._body.clear()
        with self._body:
            self._head = Head(view, self._actions, self._visitor.principal())
            _warnings(view)
            film = Film(view) if state.status is JobStatus.COMPLETED else None
            self._makers = Makers(state, view.detail.making)
            Items(view, film.seek if film is not None and view.has_film else None)
            build_report(view)
            self._story = Story()
            self._story.update(view.detail.history, view.detail.attempts)
            if state.log_folder is not None:
                Logs(self._office, self._visitor, self._job_id, is_over=state.status not in ACTIVE)

    async def refresh(self) -> None:
        """Read everything again, and show what is different."""
        self._read_at = time.monotonic()
        self._is_stale = False
        try:
            view = await self._visitor.ask(lambda who: read(self._office, who, self._job_id))
        except (JobUnknown, NotSignedIn):
            ui.navigate.reload()
            return
        except ReelyardError as error:
            self._show_trouble(error)
            return
        self._show_trouble(None)
        before, self._view = self._view, view
        if view.shape != before.shape:
            self._fill()
        elif self._head is not None and self._story is not None:
            self._head.update(view)
            self._show_makers(view.detail.making)
            self._story.update(view.detail.history, view.detail.attempts)

    def _show_trouble(self, error: ReelyardError | None) -> None:
        self._trouble.clear()
        if error is not None:
            with self._trouble:
                trouble(error)

    def _heard(self, events: Sequence[LiveEvent]) -> None:
        for event in events:
            if event.job_id != self._job_id:
                continue
            is_known_to_run = self._view.detail.state.status is JobStatus.PROCESSING
            if event.kind == "progress" and is_known_to_run and self._head is not None:
                self._head.progress(event.data)
                self._is_helped = self._is_helped or bool(event.data["helpers"])
            else:
                self._is_stale = True

    async def _look(self) -> None:
        since = time.monotonic() - self._read_at
        waits = self._view.detail.state.status in ACTIVE
        if (self._is_stale and since > _AT_MOST_EVERY) or (waits and since > _AT_LEAST_EVERY):
            await self.refresh()
        elif self._is_helped and time.monotonic() - self._makers_at > _AT_MOST_EVERY:
            await self._look_at_makers()

    async def _look_at_makers(self) -> None:
        """Segments move faster than the job does. Trouble is told by whatever reads the rest."""
        self._makers_at = time.monotonic()
        if self._view.detail.state.status is JobStatus.PROCESSING:
            with suppress(ReelyardError):
                desk = self._office.jobs
                self._show_makers(
                    await self._visitor.ask(lambda who: desk.making(who, self._job_id))
                )

    def _show_makers(self, making: Making) -> None:
        self._is_helped = bool(making.pieces)
        if self._makers is not None:
            self._makers.update(making)


def _warnings(view: JobView) -> None:
    """What was found wrong without stopping anything."""
    said = [*view.detail.state.warnings, *map(str, view.report.get("warnings", []))]
    if not said:
        return
    with ui.column().classes("ry-note").style("gap: 4px") as note:
        ui.label("Warnings").classes("text-weight-medium").props("role=heading aria-level=2")
        for one in dict.fromkeys(said):
            ui.label(printable(one)).classes("ry-plain")
    tagged(note, "job-warnings")
