"""One job in the queue's page: made once, then only told what has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from nicegui.element import Element

from reelyard.domain.errors import printable
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.job_views import Line

from .job_actions import JobActions
from .job_look import Bar, Chip, about, api, facts, picture, stage_words, tagged
from .words import span

ROW_CSS = """
.ry-rows { width: 100%; gap: 0; }
.ry-row { width: 100%; display: grid; align-items: center; column-gap: 12px; padding: 8px 4px; min-height: 72px;
  grid-template-columns: 28px 96px minmax(0, 1fr) 250px 150px 80px;
  grid-template-areas: "grip thumb main state time acts"; border-top: 1px solid var(--ry-line); }
.ry-rows > .ry-row:first-child { border-top: none; }
.ry-row .ry-thumb { width: 96px; grid-area: thumb; }
.ry-row-main { grid-area: main; min-width: 0; } .ry-row-state { grid-area: state; min-width: 0; }
.ry-row-time { grid-area: time; min-width: 0; } .ry-row-acts { grid-area: acts; }
.ry-grip { grid-area: grip; cursor: grab; color: var(--ry-dim); touch-action: none; display: inline-flex;
  align-items: center; justify-content: center; width: 28px; height: 40px; font-size: 20px; border-radius: 6px; }
.ry-grip:active { cursor: grabbing; } .ry-row:not(.can-move) .ry-grip { visibility: hidden; }
.ry-row:not(.is-running) .ry-row-bar { display: none; }
.sortable-drag { background: var(--ry-soft); }
@media (max-width: 900px) {
  .ry-row { grid-template-columns: 24px 72px minmax(0, 1fr) auto; row-gap: 6px; column-gap: 8px;
    grid-template-areas: "grip thumb main acts" "state state state state" "time time time time"; }
  .ry-row .ry-thumb { width: 72px; }
  .ry-row-time { flex-direction: row; align-items: baseline; justify-content: space-between; }
  .ry-row-time > * { width: auto; }
}
"""


Step = Callable[[str, int], Awaitable[None]]


class Row:
    """A line of a list. ``step`` moves it up or down; None where the visitor may not, or it runs."""

    def __init__(
        self,
        line: Line,
        actions: JobActions,
        step: Step | None = None,
        held_up: str = "",
    ) -> None:
        self.job_id = line.state.job_id
        self.line = line
        self._actions = actions
        self._step = step
        self._bar: Bar | None = None
        self._menu: ui.menu | None = None
        with ui.element("div").classes("ry-row") as self.root:
            self._make()
        tagged(self.root, "job-row").props["data-job"] = self.job_id
        self.update(line, held_up)

    def _make(self) -> None:
        self._make_grip()
        picture(api(self.job_id, "thumbnail"))
        with ui.column().classes("ry-row-main").style("gap: 2px"):
            link = ui.link(printable(self.line.state.channel_name), f"/jobs/{self.job_id}")
            tagged(link.classes("ry-link ry-line full-width"), "job-link")
            self._facts = ui.label(facts(self.line.state)).classes("ry-dim text-caption ry-line")
            self._facts.classes("full-width ry-mono")
        with ui.column().classes("ry-row-state").style("gap: 4px"):
            with ui.row(wrap=False).classes("items-center full-width").style("gap: 8px"):
                self._chip = Chip(self.line.state.status)
                self._stage = ui.label().classes("text-caption ry-line ry-mono ry-dim")
                tagged(self._stage, "job-stage")
            self._bar_place = ui.element("div").classes("ry-row-bar full-width")
        with ui.column().classes("ry-row-time").style("gap: 0"):
            self._time = ui.label().classes("text-body2 ry-mono ry-line full-width")
            self._where = ui.label().classes("text-caption ry-dim ry-line full-width")
            tagged(self._time, "job-time")
        with ui.row(wrap=False).classes("ry-row-acts justify-end").style("gap: 0"):
            self._make_buttons()

    def _make_grip(self) -> None:
        """Dragged, or moved with the arrow keys."""
        grip = ui.label("drag_indicator").classes("material-icons ry-grip")
        tagged(grip, "drag-handle").props(
            'tabindex=0 role=button title="Drag, or use the arrow keys"'
        )
        grip.props["aria-label"] = (
            f"Move {printable(self.line.state.channel_name)}: arrow up, arrow down, Home for the front"
        )
        step = self._step
        if step is None:
            return
        grip.on("keydown.up.prevent", lambda: self._move_by_key(grip, step, -1))
        grip.on("keydown.down.prevent", lambda: self._move_by_key(grip, step, 1))
        grip.on("keydown.home.prevent", lambda: self._actions.to_front(self.line.state))

    async def _move_by_key(self, grip: Element, step: Step, by: int) -> None:
        await step(self.job_id, by)
        # A row that is moved loses the focus. Who went on to something else meanwhile is left there.
        grip.client.run_javascript(
            f"if (document.activeElement === document.body) getHtmlElement({grip.id})?.focus();"
        )

    def _make_buttons(self) -> None:
        named = printable(self.line.state.channel_name)
        cancel = ui.button(icon="close", on_click=lambda: self._actions.cancel(self.line.state))
        tagged(cancel.props("flat dense round color=grey-7 title=Cancel"), "job-cancel")
        cancel.props["aria-label"] = f"Cancel {named}"
        more = ui.button(icon="more_vert")
        more.on_click(lambda: self._open_menu(more))
        tagged(more.props("flat dense round color=grey-7 title=More"), "job-menu")
        more.props["aria-label"] = f"More for {named}"

    def _open_menu(self, more: Element) -> None:
        """The menu is made when it is asked for: a hundred rows would make a thousand entries."""
        if self._menu is None:
            with more:
                self._menu = ui.menu().props("auto-close no-parent-event")
        self._menu.clear()
        state = self.line.state
        with self._menu:
            ui.menu_item("Open the job", lambda: ui.navigate.to(f"/jobs/{self.job_id}"))
            if state.status is JobStatus.QUEUED:
                step = self._step
                if step is not None:
                    self._entry("To the front", "move-front", lambda: self._actions.to_front(state))
                    self._entry("Up", "move-up", lambda: step(self.job_id, -1))
                    self._entry("Down", "move-down", lambda: step(self.job_id, 1))
                self._entry("Priority …", "priority", lambda: self._actions.prioritise(state))
            ui.separator()
            self._entry("Cancel …", "menu-cancel", lambda: self._actions.cancel(state))
        self._menu.open()

    def _entry(self, text: str, hook: str, call: Callable[[], Awaitable[None]]) -> None:
        tagged(ui.menu_item(text, call), hook)

    def update(self, line: Line, held_up: str = "") -> None:
        """Show how things stand now. ``held_up`` is why nobody takes jobs of its queue."""
        self.line = line
        state = line.state
        is_running = state.status is JobStatus.PROCESSING
        self._chip.set(state.status)
        self._facts.set_text(facts(state))
        self._class("is-running", is_running)
        self._class("can-move", self._step is not None)
        if is_running:
            self._show_progress(state.progress, state.stage, state.speed)
            self._time.set_text(about(line.done_in, "left") or "time left: not known yet")
            self._where.set_text(f"{state.worker_id or 'a worker'}, {state.queue}")
        else:
            self._stage.set_text(_why_waiting(line))
            self._time.set_text(held_up or _start_words(line))
            self._where.set_text(_end_words(line))

    def _class(self, name: str, wanted: bool) -> None:
        if wanted and name not in self.root.classes:
            self.root.classes(name)
        elif not wanted and name in self.root.classes:
            self.root.classes(remove=name)

    def progress(self, data: dict[str, Any]) -> None:
        """What a live event says of it."""
        if self.line.state.status is not JobStatus.PROCESSING:
            return  # its start is not read yet; the row shows it in a moment
        self._show_progress(data["progress"], data["stage"], data["speed"])
        if data["seconds_left"] is not None:
            self._time.set_text(about(data["seconds_left"], "left"))

    def _show_progress(self, percent: float, stage: str, speed: float | None) -> None:
        if self._bar is None:
            with self._bar_place:
                self._bar = Bar()
        self._bar.set(percent)
        self._stage.set_text(stage_words(stage, speed))


def _why_waiting(line: Line) -> str:
    state = line.state
    if state.waiting_for:
        return printable(state.waiting_for)
    words = [] if line.ahead is None else ["next" if line.ahead == 0 else f"{line.ahead} before it"]
    if state.priority != 5:
        words.append(f"priority {state.priority}")
    if state.attempts:
        words.append(f"try {state.attempts + 1}")
    return " · ".join(words)


def _start_words(line: Line) -> str:
    if line.starts_in is None:
        return "start not known"
    return "starts now" if line.starts_in < 1 else f"starts in {span(line.starts_in)}"


def _end_words(line: Line) -> str:
    return "" if line.done_in is None else f"done in {span(line.done_in)}"
