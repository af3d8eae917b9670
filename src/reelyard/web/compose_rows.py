"""The list: one row for each item. Rows stay where they are and only what changed in them is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import events, ui

from reelyard.domain.errors import Problem
from reelyard.domain.job import ItemType

from .compose_list import Compilation
from .compose_page import TYPES, Page, element, sentence, set_prop, set_text, thumbnail_address
from .compose_row import Row
from .compose_time import written
from .frame import empty
from .words import clock

AT_ONCE = 300
"""So many rows are shown at first, and so many more when they are asked for."""

# One listener for the whole list: a listener of each button would cost the browser at every change.
_ON_CLICK = """(e) => {
    const act = e.target.closest('button[data-act], input[data-act]'), row = e.target.closest('[data-row]');
    if (act && row) emit(act.dataset.act, Number(row.dataset.row), act.checked ?? null, e.shiftKey);
}"""
_ON_CHANGE = """(e) => {
    const row = e.target.closest('[data-row]');
    if (row && e.target.matches('select.ry-row-type')) emit('type', Number(row.dataset.row), e.target.value, false);
}"""
_ON_KEY = """(e) => {
    const row = e.target.closest('[data-row]');
    if (!row || e.ctrlKey || e.metaKey) return;
    const at = e.target === row;
    const act = e.altKey ? {ArrowUp: 'up', ArrowDown: 'down'}[e.key]
        : at ? {Enter: 'open', ' ': 'pick', Delete: 'remove'}[e.key] : null;
    if (act) { e.preventDefault(); emit(act, Number(row.dataset.row), null, false); return; }
    const beside = at && !e.altKey && {ArrowUp: row.previousElementSibling, ArrowDown: row.nextElementSibling}[e.key];
    if (beside) { e.preventDefault(); beside.focus(); }
}"""
_OPTIONS = "".join(f'<option value="{one.value}">{name}</option>' for one, name in TYPES.items())
_LONGEST_DRAG = 20.0
_ON_GRASP = "(e) => { if (e.target.closest('.ry-handle')) emit() }"
_BUTTONS = (
    ("up", "arrow_upward", "Move up"),
    ("down", "arrow_downward", "Move down"),
    ("copy", "content_copy", "Duplicate"),
    ("remove", "close", "Remove"),
)
# Of constants only. Elements of their own would be four times two hundred for the browser to go through.
_BUTTONS_HTML = "".join(
    f'<button type="button" class="ry-icon" data-act="{act}" data-testid="row-{act}" title="{label}"'
    f' aria-label="{label}">{icon}</button>'
    for act, icon, label in _BUTTONS
)


class RowView:
    """One row."""

    def __init__(self, row: Row) -> None:
        self.row: Row | None = None
        self._shown: tuple[object, ...] = ()
        self._problems: Sequence[Problem] = ()
        self._notes: ui.element | None = None
        self.root = element("div", "ry-row", role="listitem", tabindex=0)
        self.root.props["data-row"] = row.row_id
        self.root.props["data-testid"] = "row"
        self.root.mark("row")
        with self.root:
            self._handle_and_box()
            self._image = element("img", "ry-row-thumb", loading="lazy", alt="")
            with element("div", "ry-row-main"):
                self._name = element("button", "ry-row-name", row.name, type="button")
                self._name.props["data-act"] = "open"
                self._said = element("div", "ry-row-said ry-dim", "")
            self._type = element("select", "ry-row-type", innerHTML=_OPTIONS)
            self._type.props.update({"aria-label": "Type", "data-testid": "row-type"})
            self._length = element("div", "ry-row-length ry-mono", "")
            self._length.props["data-testid"] = "row-length"
            element("div", "ry-row-buttons", innerHTML=_BUTTONS_HTML)

    def _handle_and_box(self) -> None:
        handle = element("span", "ry-handle material-icons", "drag_indicator", title="Drag to move")
        handle.props.update({"aria-hidden": "true", "data-testid": "row-handle"})
        self._box = element("input", "ry-box", type="checkbox")
        self._box.props.update(
            {"data-act": "pick", "aria-label": "Select", "data-testid": "row-select"}
        )

    def show(self, row: Row, length: float | None, is_selected: bool) -> None:
        """The row as it is now; what is the same is not sent again."""
        shown = (row, length, is_selected)
        if shown == self._shown:
            return
        self._shown, self.row = shown, row
        set_text(self._name, row.name)
        set_prop(self.root, "aria-label", f"{row.name}, {row.item_type.value}")
        set_text(self._said, said_of(row))
        set_prop(self._type, "value", row.item_type.value)
        set_text(self._length, clock(length))
        set_prop(self._box, "checked", is_selected)
        if row.path:
            set_prop(self._image, "src", thumbnail_address(row.path, 160))

    def show_problems(self, problems: Sequence[Problem]) -> None:
        if problems == self._problems:
            return
        self._problems = problems
        if self._notes is None:
            with self.root:
                self._notes = element("div", "ry-notes ry-row-notes", role="status")
        self._notes.clear()
        with self._notes:
            for one in problems:
                note(one)

    def open(self, build: Callable[[], None]) -> ui.element:
        """A place below the row with what ``build`` makes."""
        with self.root:
            place = element("div", "ry-row-more")
            with place:
                build()
        return place


def note(problem: Problem) -> None:
    """One finding, where it belongs."""
    kind = "ry-warning" if problem.warning else "ry-problem"
    icon = "warning_amber" if problem.warning else "error_outline"
    with element("div", f"ry-note {kind}") as made:
        made.props["data-testid"] = "warning" if problem.warning else "problem"
        element("span", "material-icons", icon).props["aria-hidden"] = "true"
        element("span", "", ("Warning: " if problem.warning else "") + sentence(problem))


def said_of(row: Row) -> str:
    """What was said of a row, in one line."""
    parts = []
    if row.is_image:
        parts.append(f"shown {written(row.duration) or '5'} s")
    elif row.start is not None or row.end is not None:
        parts.append(f"from {written(row.start) or '0'} to {written(row.end) or 'the end'}")
    if row.is_video and row.logo_path:
        parts.append(f"logo {row.logo_path.rpartition('/')[2]}")
    if row.is_video and row.text:
        parts.append(f"text “{' '.join(row.text.split())}”")
    if row.of_template:
        parts.append("of the template")
    return " · ".join(parts)


class RowList:
    """All rows, in step with the compilation. ``do`` is called with what was done to which row."""

    def __init__(self, page: Page, do: Callable[[str, int, Any, bool], None]) -> None:
        self._page = page
        self._do = do
        self._views: dict[int, RowView] = {}
        self._limit = AT_ONCE
        self.root = ui.column().classes("ry-rows").mark("list")
        self.root.props.update({"role": "list", "aria-label": "Items", "data-testid": "list"})
        self.root.on("click", self._acted, js_handler=_ON_CLICK)
        self.root.on("change", self._acted, js_handler=_ON_CHANGE)
        self.root.on("keydown", self._acted, js_handler=_ON_KEY)
        self.root.make_sortable(on_end=self._dropped, handle=".ry-handle")
        # What comes from the server while a row is held would move it under the hand.
        self._held_since: float | None = None
        self._is_behind = False
        self.root.on("pointerdown", self._grasped, js_handler=_ON_GRASP)
        self.root.on("pointerup", self._let_go, args=[])
        self._empty = element("div")
        with self._empty:
            empty("playlist_add", "No clips yet",
                  "Find clips and click them: they are put here in their order. You can also paste a list"
                  " of ids or paths, upload clips, or begin with a template of the channel.")  # fmt: skip
        self._rest = ui.button(on_click=self._show_more).props("flat no-caps").classes("full-width")
        self._rest.mark("show-more")

    @property
    def is_dragged(self) -> bool:
        """Whether a row is held. A browser that never says that it let go is not waited for."""
        held = self._held_since
        return held is not None and time.monotonic() - held < _LONGEST_DRAG

    def _grasped(self) -> None:
        self._held_since = time.monotonic()

    def _let_go(self) -> None:
        self._held_since = None
        if self._is_behind:
            self.sync()
            self.show_problems()

    def _waits(self) -> bool:
        self._is_behind = self.is_dragged
        return self._is_behind

    def sync(self) -> None:
        """Show what is there now."""
        if self._waits():
            return
        now = self._page.now
        rows = now.rows[: self._limit]
        self._drop(now)
        with self.root:
            for row in rows:
                if row.row_id not in self._views:
                    view = self._views[row.row_id] = RowView(row)
                    view.show_problems(self._page.findings.get(row.row_id, ()))
        for row in rows:
            selected = row.row_id in self._page.selected
            self._views[row.row_id].show(row, self._page.length(row), selected)
        self._order([self._views[row.row_id].root for row in rows])
        self._empty.set_visibility(not rows)
        left = len(now.rows) - len(rows)
        self._rest.set_visibility(left > 0)
        self._rest.set_text(f"Show {min(left, AT_ONCE)} more of {left}")

    def _drop(self, now: Compilation) -> None:
        wanted = {row.row_id for row in now.rows[: self._limit]}
        self._page.selected &= {row.row_id for row in now.rows}
        for row_id in [one for one in self._views if one not in wanted]:
            self._views.pop(row_id).root.delete()

    def _order(self, wanted: list[ui.element]) -> None:
        children = self.root.default_slot.children
        if children != wanted:
            children[:] = wanted
            self.root.update()

    def show_problems(self) -> None:
        if self._waits():
            return
        for row_id, view in self._views.items():
            view.show_problems(self._page.findings.get(row_id, ()))

    def show_lengths(self) -> None:
        if self._waits():
            return
        for row_id, view in self._views.items():
            if view.row is not None:
                view.show(view.row, self._page.length(view.row), row_id in self._page.selected)

    def view(self, row_id: int) -> RowView | None:
        return self._views.get(row_id)

    def focus(self, row_id: int) -> None:
        """Have the keyboard at a row, and the row in sight."""
        if view := self._views.get(row_id):
            ui.run_javascript(f"const row = getHtmlElement({view.root.id}); row.focus({{preventScroll: true}});"
                              "row.scrollIntoView({block: 'nearest'})")  # fmt: skip

    def _acted(self, e: events.GenericEventArguments) -> None:
        self._held_since = None  # whoever does something else holds nothing
        act, row_id, value, with_shift = e.args
        if isinstance(act, str) and isinstance(row_id, int):
            self._do(act, row_id, value, bool(with_shift))

    def _dropped(self, e: events.SortableEventArguments) -> None:
        self._held_since = None
        row_id = next((one for one, view in self._views.items() if view.root is e.item), None)
        if row_id is not None:
            self._page.change(self._page.now.move(row_id, e.new_index), "move")
        self.sync()  # also where nothing came of it: the browser has moved the row
        self.show_problems()

    def _show_more(self) -> None:
        self._limit += AT_ONCE
        self.sync()


def type_of(value: object) -> ItemType | None:
    """A type that a browser names; None for what is none."""
    return next((one for one in ItemType if one.value == value), None)
