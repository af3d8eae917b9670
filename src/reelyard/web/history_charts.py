"""The charts of the history. Each has its sentence beside it: a chart is no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.query import Total

from .history_days import cache_said, films_said, minutes_said, short, speed_said
from .job_look import tagged

CHARTS_CSS = """
.ry-charts { display: grid; gap: 16px; width: 100%;
  grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.ry-chart { width: 100%; height: 210px; } .ry-chart text { fill: var(--ry-dim) !important; stroke: none !important; }
.ry-said { min-height: 40px; }
"""
_DONE, _FAILED, _FILM, _CACHE, _SPEED = "#2f6fed", "#d9534f", "#8b6fd8", "#1f9d63", "#c27a17"
_LINE = "rgba(128,128,128,.25)"


class Charts:
    """Four charts, made once and given new figures."""

    def __init__(self) -> None:
        with ui.element("div").classes("ry-charts"):
            self._films = _Chart("Films per day", "chart-films")
            self._minutes = _Chart("Minutes of film per day", "chart-minutes")
            self._cache = _Chart("Film that a cache had, per day", "chart-cache")
            self._speed = _Chart("Speed by worker", "chart-speed")

    def show(self, days: Sequence[Total], workers: Sequence[Total]) -> None:
        """``days`` has one total for each day."""
        names = [short(one.name) for one in days]
        films = [
            _bars("Completed", _DONE, [one.completed for one in days], "films"),
            _bars("Failed", _FAILED, [one.failed for one in days], "films"),
        ]
        self._films.show(films_said(days), _upright(names, films, whole=True))
        minutes = _bars("Minutes", _FILM, [round(one.seconds_of_film / 60, 1) for one in days])
        self._minutes.show(minutes_said(days), _upright(names, [minutes]))
        shares = [round(100 * (one.cache_share or 0.0), 1) for one in days]
        cache = _upright(names, [_bars("From a cache, %", _CACHE, shares)])
        cache["yAxis"] |= {"max": 100, "axisLabel": {"formatter": "{value} %"}}
        self._cache.show(cache_said(days), cache)
        self._speed.show(speed_said(workers), _lying(workers))


class _Chart:
    def __init__(self, title: str, hook: str) -> None:
        with ui.card().classes("ry-card q-pa-md").style("gap: 4px"):
            ui.label(title).classes("text-weight-medium").props("role=heading aria-level=3")
            self._said = ui.label().classes("ry-dim text-caption ry-said")
            self._chart = ui.echart({"series": []}, renderer="svg").classes("ry-chart")
            self._chart.props["aria-label"] = title
            self._chart.props("role=img")
            tagged(self._chart, hook)
            tagged(self._said, f"{hook}-text")
        self._title = title

    def show(self, said: str, options: dict[str, Any]) -> None:
        self._said.set_text(printable(said))
        self._chart.props["aria-label"] = f"{self._title}. {printable(said)}"
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()


def _bars(name: str, color: str, values: Sequence[float], stack: str = "") -> dict[str, Any]:
    return {
        "name": name, "type": "bar", "data": list(values), "stack": stack or name,
        "itemStyle": {"color": color}, "barMaxWidth": 22, "animation": False,
    }  # fmt: skip


def _upright(
    names: Sequence[str], series: list[dict[str, Any]], whole: bool = False
) -> dict[str, Any]:
    """Days from left to right. ``whole``: there are no halves of what is counted."""
    many = len(series) > 1
    return {
        "grid": {"left": 4, "right": 8, "top": 30 if many else 12, "bottom": 4, "containLabel": True},
        "legend": {"show": many, "top": 0, "right": 0, "itemHeight": 10, "itemWidth": 14},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, "confine": True},
        "xAxis": {
            "type": "category", "data": list(names), "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": _LINE}}, "axisLabel": {"hideOverlap": True},
        },
        "yAxis": {
            "type": "value", "minInterval": 1 if whole else 0,
            "splitLine": {"lineStyle": {"color": _LINE}},
        },
        "series": series,
    }  # fmt: skip


def _lying(workers: Sequence[Total]) -> dict[str, Any]:
    """Workers from top to bottom, the fastest first; their names need the room."""
    known = sorted(
        (one for one in workers if one.speed is not None), key=lambda one: one.speed or 0
    )
    bars = _bars("Speed", _SPEED, [round(one.speed or 0.0, 2) for one in known])
    return {
        "grid": {"left": 4, "right": 44, "top": 4, "bottom": 4, "containLabel": True},
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, "confine": True},
        "xAxis": {"type": "value", "splitLine": {"lineStyle": {"color": _LINE}}},
        "yAxis": {
            "type": "category", "data": [printable(one.name) for one in known],
            "axisTick": {"show": False}, "axisLine": {"lineStyle": {"color": _LINE}},
            "axisLabel": {"width": 130, "overflow": "truncate"},
        },
        "series": [bars | {"label": {"show": True, "position": "right", "formatter": "{c}×"}}],
    }  # fmt: skip
