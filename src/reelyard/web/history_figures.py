"""What the farm did in a period: charts, and totals in a table that can be put in any order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from nicegui import ui

from reelyard.domain.access import Principal
from reelyard.domain.errors import printable
from reelyard.domain.query import Grouping, Total

from .history_charts import Charts
from .history_days import NAMES, filled, first_day
from .history_search import csv_address, midnight
from .job_look import tagged
from .visitor import Visitor
from .words import speed

TOGGLE = 'no-caps unelevated padding="3px 12px"'
PERIODS = {7: "7 days", 30: "30 days", 90: "90 days"}
_GROUPS = {
    Grouping.CHANNEL: "Channel",
    Grouping.USER: "Person",
    Grouping.DAY: "Day",
    Grouping.WORKER: "Worker",
    Grouping.FEATURE: "Feature",
}


class Figures:
    """The part of the page with figures; read when it is first looked at."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._history = visitor.office.history
        self._is_there = False
        with ui.row().classes("items-center full-width").style("gap: 12px"):
            self._period = ui.toggle(PERIODS, value=30, on_change=self.show)
            tagged(self._period.props(TOGGLE), "history-period")
            ui.label("Days are UTC; today counts.").classes("ry-dim text-caption")
            ui.space()
            self._csv = ui.link("These results as CSV").props("download")
            tagged(self._csv, "history-csv-period")
        self._charts = Charts()
        self._totals()

    def _totals(self) -> None:
        with ui.card().classes("ry-card q-pa-md").style("gap: 8px"):
            with ui.row().classes("items-center full-width").style("gap: 12px"):
                ui.label("Totals by").classes("text-weight-medium").props(
                    "role=heading aria-level=3"
                )
                self._by = ui.toggle(_GROUPS, value=Grouping.CHANNEL, on_change=self.show_totals)
                tagged(self._by.props(TOGGLE), "history-by")
            self._table = ui.table(columns=_COLUMNS, rows=[], row_key="name", pagination=25)
            self._table.props("flat dense").classes("full-width ry-mono")
            self._table.props["no-data-label"] = "No films in this time"
            tagged(self._table, "history-totals")
            self._hint = ui.label("A film counts for every feature that it uses.")
            self._hint.classes("ry-dim text-caption")

    @property
    def _since(self) -> date:
        return first_day(self._period.value)

    async def look(self) -> None:
        """Read the figures, if that was not done yet."""
        if not self._is_there:
            await self.show()

    async def show(self) -> None:
        days, first = self._period.value, self._since
        since = midnight(first)
        self._csv.props["href"] = csv_address("", since, None)

        def both(who: Principal) -> tuple[Sequence[Total], Sequence[Total]]:
            by_day = self._history.totals(who, Grouping.DAY, since)
            return by_day, self._history.totals(who, Grouping.WORKER, since)

        found = await self._visitor.do(both)
        if found is None or days != self._period.value:
            return
        self._is_there = True
        self._charts.show(filled(found[0], first, days), found[1])
        await self.show_totals()

    async def show_totals(self) -> None:
        by, first = self._by.value, self._since
        found = await self._visitor.do(
            lambda who: self._history.totals(who, by, midnight(first))
        )  # fmt: skip
        if found is None or (by, first) != (self._by.value, self._since):
            return
        if by is Grouping.DAY:
            found = filled(found, first, self._period.value)[::-1]
        else:
            found = sorted(found, key=lambda one: -one.completed)
        self._hint.set_visibility(by is Grouping.FEATURE)
        self._table.columns[0]["label"] = _GROUPS[by]
        self._table.rows = [_row(one) for one in found]


def _column(name: str, label: str, shown: str = "") -> dict[str, Any]:
    """A column that is sorted by its figure and shows it in words."""
    made: dict[str, Any] = {"name": name, "label": label, "field": name, "sortable": True}
    made["align"] = "left" if name == "name" else "right"
    if name == "name":
        made |= {"classes": "ellipsis", "style": "max-width: min(42vw, 420px)"}
    return made | ({":format": f"(value, row) => row.{shown}"} if shown else {})


_COLUMNS = [
    _column("name", "Channel", "shown"),
    _column("completed", "Completed"),
    _column("failed", "Failed"),
    _column("film", "Film", "film_said"),
    _column("work", "Work", "work_said"),
    _column("cache", "From cache", "cache_said"),
    _column("speed", "Speed", "speed_said"),
]


def _row(one: Total) -> dict[str, Any]:
    share = one.cache_share
    return {
        "name": printable(one.name),
        "shown": NAMES.get(one.name, printable(one.name)),
        "completed": one.completed,
        "failed": one.failed,
        "film": one.seconds_of_film,
        "film_said": _minutes(one.seconds_of_film),
        "work": one.seconds_of_work,
        "work_said": _minutes(one.seconds_of_work),
        "cache": -1 if share is None else share,
        "cache_said": "–" if share is None else f"{share:.0%}",
        "speed": one.speed or 0.0,
        "speed_said": speed(one.speed),
    }


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:,.1f} min"
