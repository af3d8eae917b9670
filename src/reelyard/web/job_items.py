"""A job's items in their order: what each is, where in the film, and out of which pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from nicegui import ui
from nicegui.element import Element

from reelyard.domain.errors import printable
from reelyard.domain.farm import JobState, SegmentRow
from reelyard.domain.job import Item, ItemType
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE

from .job_look import clip_picture, file_name, sentence, tagged
from .job_read import JobView, timed_items
from .words import clock

_MOST_ITEMS = 100
_MOST_CELLS = 40
_SAYS = re.compile(r"item (?P<place>\d{1,6})\b.*?: (?P<what>.+)")
_TYPES = {
    ItemType.INTRO: "Intro",
    ItemType.VIDEO: "Video",
    ItemType.TRANSITION: "Transition",
    ItemType.OUTRO: "Outro",
    ItemType.IMAGE: "Image",
}
Piece = tuple[SegmentRow, str]
ITEMS_CSS = """
.ry-item { width: 100%; display: grid; align-items: center; column-gap: 12px; padding: 6px 4px; min-height: 56px;
  grid-template-columns: 28px 80px minmax(0, 1.3fr) 96px 64px minmax(0, 1fr); border-top: 1px solid var(--ry-line); }
.ry-item:first-child { border-top: none; } .ry-item .ry-thumb { width: 80px; }
.ry-item.can-seek { cursor: pointer; } .ry-item.can-seek:hover { background: var(--ry-soft); }
.ry-wrong { color: #b3261e; } body.body--dark .ry-wrong { color: #ff8a80; }
.ry-cells { display: flex; gap: 2px; align-items: center; flex-wrap: wrap; }
.ry-cell { height: 14px; min-width: 6px; flex: 0 1 auto; border-radius: 2px; background: #2f6fed; display: inline-block; }
.ry-cell.is-cached { background: #2e9e5b; background-image: repeating-linear-gradient(135deg, transparent 0 3px,
  rgba(255,255,255,.4) 3px 5px); }
@media (max-width: 700px) {
  .ry-item { grid-template-columns: 22px 64px minmax(0, 1fr) auto; column-gap: 8px; }
  .ry-item .ry-thumb { width: 64px; } .ry-item-length { display: none; }
  .ry-item .ry-wrong { color: #b3261e; } body.body--dark .ry-wrong { color: #ff8a80; }
.ry-cells { grid-column: 1 / -1; padding-top: 4px; }
}
"""


class Items:
    """The card. ``seek`` goes to a time in the film; None while there is no film."""

    def __init__(self, view: JobView, seek: Callable[[float], None] | None) -> None:
        self._seek = seek
        self._timed = timed_items(view.report)
        self._pieces = _by_item(view.detail.segments)
        self._wrong = _wrong(view.detail.state)
        items, count = view.detail.job.wanted.items, len(view.detail.job.items)
        with ui.card().classes("ry-card q-pa-md").style("gap: 6px") as card:
            with ui.row().classes("items-center full-width").style("gap: 12px"):
                some = f"{len(items)} of " if len(items) < count else ""
                title = ui.label(f"{some}{count} item{'s' if count != 1 else ''}")
                title.classes("text-subtitle1 text-weight-medium")
                title.props("role=heading aria-level=2")
                ui.space()
                if self._pieces:
                    _legend(view.detail.segments)
            self._list = ui.column().classes("full-width").style("gap: 0")
            with self._list:
                for item in items[:_MOST_ITEMS]:
                    self._row(item)
            if len(items) > _MOST_ITEMS:
                self._rest_button(items[_MOST_ITEMS:])
        tagged(card, "job-items")

    def _rest_button(self, rest: Sequence[Item]) -> None:
        def show() -> None:
            button.delete()
            with self._list:
                for item in rest:
                    self._row(item)

        button = ui.button(f"Show {len(rest)} more", on_click=show).props("flat no-caps dense")

    def _row(self, item: Item) -> None:
        timed = self._timed.get(item.position, {})
        start = timed.get("start")
        with ui.element("div").classes("ry-item") as row:
            ui.label(str(item.position)).classes("ry-mono ry-dim text-right")
            _thumb(item)
            _what(item, timed, self._wrong.get(item.position))
            self._start(item, row, start)
            ui.label(clock(_length(item, timed))).classes("ry-mono ry-item-length")
            _cells(self._pieces.get(item.position, []))
        tagged(row, "item-row").props["data-position"] = str(item.position)

    def _start(self, item: Item, row: Element, start: float | None) -> None:
        seek = self._seek
        if start is None or seek is None:
            ui.label(clock(start)).classes("ry-mono")
            return
        at = float(start)
        button = ui.button(clock(at), icon="play_arrow").props("flat dense no-caps")
        button.props["aria-label"] = f"Play from item {item.position}, at {clock(at)}"
        tagged(button, "item-seek")
        row.classes("can-seek").on("click", lambda: seek(at), args=[])


def _by_item(pieces: Sequence[Piece]) -> Mapping[int, Sequence[Piece]]:
    return {place: list(some) for place, some in groupby(pieces, lambda one: one[0].position)}


def _thumb(item: Item) -> None:
    if item.path:
        clip_picture(item.path)
        return
    with ui.element("span").classes("ry-thumb row items-center justify-center"):
        ui.icon("movie", size="20px", color="grey-6").props("aria-hidden=true")


def _wrong(state: JobState) -> Mapping[int, str]:
    """What a failed job says of its items: it names them by their places."""
    if state.status is not JobStatus.FAILED or not state.error_message:
        return {}
    found = (_SAYS.match(line) for line in state.error_message.splitlines())
    return {int(one["place"]): one["what"] for one in found if one is not None}


def _what(item: Item, timed: Mapping[str, Any], wrong: str | None) -> None:
    name = printable(file_name(item.path) or item.named)
    with ui.column().style("gap: 0; min-width: 0"):
        label = ui.label(name).classes("ry-line full-width")
        label.props["title"] = printable(item.path or item.named)
        words = [_TYPES[item.item_type], *_extras(item)]
        ui.label(" · ".join(words)).classes("ry-dim text-caption ry-line full-width")
        if wrong is not None:
            said = ui.label(sentence(printable(wrong))).classes("text-caption ry-plain ry-wrong")
            tagged(said, "item-wrong")
        for note in timed.get("notes", []):
            ui.label(printable(str(note))).classes("text-caption ry-dim ry-plain")


def _extras(item: Item) -> list[str]:
    found = []
    if item.text:
        found.append(f"text “{printable(item.text)}”")
    if item.logo_path:
        found.append(f"logo {printable(file_name(item.logo_path))}")
    if item.start is not None or item.end is not None:
        end = "its end" if item.end is None else clock(float(item.end))
        found.append(f"from {clock(float(item.start or 0))} to {end}")
    return found


def _length(item: Item, timed: Mapping[str, Any]) -> float | None:
    known = timed.get("duration")
    if known is not None:
        return float(known)
    if item.item_type is ItemType.IMAGE:
        return float(item.still_seconds)
    return None if item.end is None else float(item.end - (item.start or 0))


def _legend(pieces: Sequence[Piece]) -> None:
    cached = sum(one.cached for one, _ in pieces)
    for count, words, name in (
        (len(pieces) - cached, "rendered", "ry-cell"),
        (cached, "from the cache", "ry-cell is-cached"),
    ):
        with ui.row(wrap=False).classes("items-center").style("gap: 4px"):
            ui.element("span").classes(name).style("width: 14px").props("aria-hidden=true")
            ui.label(f"{count} {words}").classes("text-caption ry-dim ry-mono")


def _cells(pieces: Sequence[Piece]) -> None:
    """A cell for each segment; of very many, one for each run of a kind."""
    with ui.element("div").classes("ry-cells"):
        if len(pieces) > _MOST_CELLS:
            for _, run in groupby(pieces, lambda one: (one[0].cached, one[1])):
                _cell(list(run))
            return
        for piece in pieces:
            _cell([piece])


def _cell(run: Sequence[Piece]) -> None:
    first, worker = run[0]
    frames = sum(one.frames for one, _ in run)
    many = (
        f"segments {first.part + 1} to {run[-1][0].part + 1}"
        if len(run) > 1
        else f"segment {first.part + 1}"
    )
    origin = "from the cache" if first.cached else "rendered"
    text = f"{many}: {float(frames / FRAME_RATE):.1f} s, {origin}, {printable(worker)}"
    cell = ui.element("span").classes("ry-cell is-cached" if first.cached else "ry-cell")
    cell.style(f"width: {max(6, min(60, round(frames / 6)))}px")
    cell.props["title"] = text
    cell.props["aria-label"] = text
    tagged(cell, "segment").props("role=img")
