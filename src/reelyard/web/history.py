"""The history: what was made, by whom, how fast; to be searched, and as figures."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.access import Principal
from reelyard.domain.errors import ReelyardError
from reelyard.services.office import Office

from .frame import frame
from .history_charts import CHARTS_CSS
from .history_figures import Figures
from .history_filters import FILTERS_CSS, Filters
from .history_rows import ROWS_CSS, Rows
from .history_search import Wanted, wanted_of
from .job_look import JOB_CSS, tagged, trouble
from .visitor import Visitor, visitor_of


def register(office: Office) -> None:
    @ui.page("/history")
    async def page(request: Request) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        told = dict(request.query_params)
        with frame(visitor, "History") as who:
            ui.add_css(JOB_CSS + ROWS_CSS + FILTERS_CSS + CHARTS_CSS)
            try:
                channels, workers = await visitor.ask(lambda one: _names(office, one))
            except ReelyardError as error:
                trouble(error)
                return None
            begin = _Page(visitor, told, channels, workers, who.sees_all)
        await begin.show()
        visitor.on_live(begin.rows.heard)
        return None


def _names(office: Office, who: Principal) -> tuple[Sequence[str], Sequence[str]]:
    workers = [one.worker.worker_id for one in office.workers.list(who)]
    return office.history.channels(who), workers


class _Page:
    """Two parts: the jobs, and the figures."""

    def __init__(
        self,
        visitor: Visitor,
        told: dict[str, str],
        channels: Sequence[str],
        workers: Sequence[str],
        sees_all: bool,
    ) -> None:
        wanted = wanted_of(told)
        begin = "Figures" if told.get("tab") == "figures" else "Jobs"
        self._tabs = ui.tabs(on_change=self._turned).props("no-caps dense inline-label align=left")
        with tagged(self._tabs, "history-tabs"):
            ui.tab("Jobs", icon="list")
            ui.tab("Figures", icon="bar_chart")
        with ui.tab_panels(self._tabs, value=begin, animated=False).classes(
            "full-width bg-transparent"
        ):
            with ui.tab_panel("Jobs").style("padding: 8px 0 0; gap: 12px"):
                self._filters = Filters(wanted, channels, workers, sees_all, self._changed)
                self.rows = Rows(visitor)
                with self.rows.head:
                    self._csv_link(wanted)
            with ui.tab_panel("Figures").style("padding: 8px 0 0; gap: 16px"):
                self._figures = Figures(visitor)

    def _csv_link(self, wanted: Wanted) -> None:
        ui.space()
        self._csv = ui.link("Results as CSV", wanted.csv_address()).props("download")
        tagged(self._csv, "history-csv")
        ui.label("of this channel and these days").classes("ry-dim text-caption gt-xs")

    async def show(self) -> None:
        await self.rows.show(self._filters.wanted)
        if self._tabs.value == "Figures":
            await self._figures.look()

    async def _changed(self, wanted: Wanted) -> None:
        self._csv.props["href"] = wanted.csv_address()
        _address(wanted)
        await self.rows.show(wanted)

    async def _turned(self) -> None:
        if self._tabs.value == "Figures":
            ui.navigate.history.replace("/history?tab=figures")
            await self._figures.look()
        else:
            _address(self._filters.wanted)


def _address(wanted: Wanted) -> None:
    """Have the page's address say what is searched for."""
    told = wanted.address()
    ui.navigate.history.replace(f"/history?{told}" if told else "/history")
