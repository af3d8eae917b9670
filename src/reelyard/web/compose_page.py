"""What the parts of one open page share: who looks, what is being built, and small elements."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from reelyard.domain.errors import Problem
from reelyard.domain.job import ItemType
from reelyard.services.office import Office

from .compose_bench import Bench
from .compose_list import Compilation
from .compose_row import Row
from .visitor import Visitor

TYPES = {one: one.value.capitalize() for one in ItemType}
FIELDS = {
    "path": "File",
    "video_id": "File",
    "duration": "Length",
    "start": "Start",
    "end": "End",
    "logo_path": "Logo",
    "text_animation_text": "Text",
    "item_type": "Type",
    "channel_name": "Channel",
    "items": "List",
    "first_item": "From item",
    "last_item": "To item",
    "item_seconds": "Seconds of each clip",
}

_GOES_ON = frozenset(("is", "has", "holds", "can't", "does", "must", "should"))


@dataclass(slots=True)
class Page:
    """One open page. ``findings`` are the problems by row ids; None are the job's own."""

    visitor: Visitor
    bench: Bench
    selected: set[int] = field(default_factory=set)
    findings: Mapping[int | None, Sequence[Problem]] = field(default_factory=dict)
    lengths: Mapping[int, float] = field(default_factory=dict)  # as checked, by row ids
    refresh: Callable[[], None] = lambda: None
    show_findings: Callable[[], None] = lambda: None

    @property
    def office(self) -> Office:
        return self.visitor.office

    @property
    def now(self) -> Compilation:
        return self.bench.now

    def change(self, to: Compilation, what: str, key: str = "") -> None:
        self.bench.change(to, what, key)

    def set(self, row_ids: Collection[int], what: str, key: str = "", **changes: Any) -> None:
        self.change(self.now.change(row_ids, **changes), what, key)

    def length(self, row: Row) -> float | None:
        """How long a row is in the film, as far as it is known."""
        known = row.shown_seconds(self.bench.seconds.get(row.path or ""))
        return self.lengths.get(row.row_id) if known is None else known

    def found(self, problems: Sequence[Problem], of: Compilation) -> None:
        """What is wrong with ``of``, beside the rows that it is wrong with."""
        by_row: dict[int | None, list[Problem]] = {}
        for one in problems:
            at = one.position
            row_id = of.rows[at - 1].row_id if at and at <= len(of.rows) else None
            by_row.setdefault(row_id, []).append(one)
        if by_row != self.findings:
            self.findings = by_row
            self.show_findings()

    @property
    def problems(self) -> list[Problem]:
        """What keeps the job from being submitted."""
        return [one for row in self.findings.values() for one in row if not one.warning]


def sentence(problem: Problem) -> str:
    """A problem as a row says it, with what to do."""
    name = FIELDS.get(problem.field or "", problem.field or "")
    goes_on = problem.message.partition(" ")[0] in _GOES_ON
    message = f"{name}{'' if goes_on else ':'} {problem.message}" if name else problem.message
    text = f"{message.rstrip('.')}. {problem.remedy.rstrip('.')}."
    return text[:1].upper() + text[1:]


def thumbnail_address(path: str, width: int = 320) -> str:
    """Of a clip whose path is as a job file has it."""
    return f"/api/v1/library/thumbnail?{urlencode({'path': path, 'width': width})}"


def element(tag: str, classes: str = "", text: str | None = None, **props: Any) -> ui.element:
    """A plain element of HTML; user texts go in as ``text`` or as a prop, never as HTML."""
    made = ui.element(tag) if text is None else TextElement(tag=tag, text=text)
    made.classes(classes)
    for name, value in props.items():
        made.props[name.rstrip("_").replace("_", "-")] = value
    return made


def set_text(of: ui.element, text: str) -> None:
    """Another text, sent only where it is another."""
    if isinstance(of, TextElement) and of.text != text:
        of.text = text


def set_prop(of: ui.element, name: str, value: Any) -> None:
    if of.props.get(name) != value:
        of.props[name] = value


def button(
    label: str, icon: str, on_click: Callable[..., Any], mark: str, **looks: str
) -> ui.button:
    """A button of the page, with a mark for tests."""
    made = ui.button(label, icon=icon or None, on_click=on_click)
    made.props("no-caps dense unelevated").classes("q-px-sm").mark(mark)
    made.props["data-testid"] = mark
    if looks.get("flat"):
        made.props("flat")
    return made
