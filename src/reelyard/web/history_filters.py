"""The form above the history. Whatever changes in it is searched for at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.value_element import ValueElement

from reelyard.domain.errors import printable
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import Sort
from reelyard.domain.routing import Queue

from .history_search import SORTS, Wanted, day_of
from .job_look import tagged

FILTERS_CSS = """
.ry-filters { display: grid; gap: 10px; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(190px, 100%), 1fr)); }
.ry-filters .ry-two { grid-column: span 2; } .ry-filters.ry-first { grid-template-columns: 2fr 1fr 1fr 1fr; }
@media (max-width: 600px) { .ry-filters, .ry-filters.ry-first { grid-template-columns: 1fr 1fr; } }
"""
_WAIT = "outlined dense debounce=350 clearable"


class Filters:
    """The fields; ``wanted`` is what they say together."""

    def __init__(
        self,
        wanted: Wanted,
        channels: Sequence[str],
        workers: Sequence[str],
        sees_all: bool,
        changed: Callable[[Wanted], Awaitable[None]],
    ) -> None:
        self._changed = changed
        self._fields: dict[str, ValueElement[Any]] = {}
        self._is_quiet = False
        with ui.element("div").classes("ry-filters ry-first"):
            self._text("text", "Search", wanted.text, "channel, person, film, error, id").classes(
                "ry-two"
            )
            self._select("status", "Status", {one: one.capitalize() for one in JobStatus},
                         list(wanted.status), several=True)  # fmt: skip
            self._select("sort", "Order", SORTS, wanted.sort, needed=True)
        narrow = any((wanted.user, wanted.queue, wanted.worker, wanted.clip, wanted.channel,
                      wanted.since, wanted.until))  # fmt: skip
        self._rest = ui.expansion("More filters", value=narrow).props("dense")
        with tagged(self._rest, "history-filters").classes("full-width"):
            with ui.element("div").classes("ry-filters q-pt-sm"):
                self._select("channel", "Channel", _named(channels, wanted.channel), wanted.channel)
                if sees_all:
                    self._text("user", "Person", wanted.user, "the whole name")
                self._select("queue", "Queue", {one: str(one) for one in Queue}, wanted.queue)
                self._select("worker", "Worker", _named(workers, wanted.worker), wanted.worker)
                self._day("since", "From (UTC)", wanted.since)
                self._day("until", "To, included", wanted.until)
                self._text("clip", "Clip used", wanted.clip, "video id or whole path").classes(
                    "ry-two"
                )
                clear = ui.button("Clear all", icon="clear", on_click=self.clear)
                clear.props("flat no-caps dense")
                tagged(clear, "history-clear")

    @property
    def wanted(self) -> Wanted:
        given = {name: field.value for name, field in self._fields.items()}
        return Wanted(
            text=given["text"] or "",
            status=tuple(given["status"] or ()),
            channel=given["channel"] or "",
            user=given.get("user") or "",
            queue=given["queue"],
            worker=given["worker"] or "",
            since=day_of(given["since"]),
            until=day_of(given["until"]),
            clip=given["clip"] or "",
            sort=given["sort"] or Sort.NEWEST,
        )

    async def clear(self) -> None:
        """Ask for everything again."""
        self._is_quiet = True
        empty: dict[str, object] = {"status": [], "sort": Sort.NEWEST}
        for name, field in self._fields.items():
            field.set_value(empty.get(name, "" if isinstance(field, ui.input) else None))
        self._is_quiet = False
        await self._tell()

    async def _tell(self) -> None:
        if not self._is_quiet:
            await self._changed(self.wanted)

    def _text(self, name: str, label: str, value: str, hint: str) -> ui.input:
        field = ui.input(label, value=value, placeholder=hint, on_change=self._tell).props(_WAIT)
        field.props["maxlength"] = 400
        self._keep(name, field)
        return field

    def _day(self, name: str, label: str, value: object) -> None:
        field = ui.input(label, value=str(value or ""), on_change=self._tell)
        self._keep(name, field.props("outlined dense type=date stack-label debounce=350"))

    def _select(
        self,
        name: str,
        label: str,
        options: Mapping[Any, str],
        value: object,
        several: bool = False,
        needed: bool = False,
    ) -> None:
        field = ui.select(
            dict(options), label=label, multiple=several, clearable=not needed,
            value=value if several or needed else value or None, on_change=self._tell,
        )  # fmt: skip
        self._keep(name, field.props("outlined dense options-dense"))

    def _keep(self, name: str, field: ValueElement[Any]) -> None:
        self._fields[name] = field
        tagged(field, f"history-{name}")


def _named(names: Sequence[str], chosen: str) -> dict[str, str]:
    """The names, and the one of the address even where it is none of them any more."""
    return {name: printable(name) for name in dict.fromkeys([*names, *filter(None, [chosen])])}
