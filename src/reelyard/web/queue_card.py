"""How one queue stands: counts, time left, stopped or not, and whether anybody works on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.routing import Queue
from reelyard.services.job_views import QueueView
from reelyard.store.queues import Pause

from .job_look import tagged
from .queue_read import NAMES
from .words import ago, span

CARD_CSS = """
.ry-queues { width: 100%; display: grid; gap: 12px; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.ry-note[data-waited-for=no] { border: none; background: none; padding: 0; color: var(--ry-dim); }
@media (max-width: 800px) { .ry-queues { grid-template-columns: minmax(0, 1fr); } }
"""


class QueueCard:
    """Its time, its worries, and the button that stops it; ``pause`` is None for who may not."""

    def __init__(self, queue: Queue, pause: Callable[[bool], Awaitable[None]] | None) -> None:
        self._queue = queue
        self._pause = pause
        self.is_paused = False
        with ui.card().classes("ry-card q-pa-md").style("gap: 4px") as card:
            with ui.row(wrap=False).classes("full-width items-start"):
                with ui.column().style("gap: 0; min-width: 0"):
                    name = ui.label(NAMES[queue]).classes("text-weight-medium")
                    name.props("role=heading aria-level=2")
                    ui.label(queue.value).classes("ry-dim text-caption")
                ui.space()
                if pause is not None:
                    self._make_button(pause)
            with ui.row().classes("items-baseline full-width").style("gap: 0 12px"):
                self._counts = ui.label().classes("ry-mono")
                self._left = ui.label().classes("ry-mono ry-dim text-caption")
            self._paused = ui.label().classes("text-caption ry-note").props("role=status")
            with ui.element("div").classes("text-caption ry-note") as self._unheard:
                self._why = ui.label()
                self._command = ui.label().classes("ry-code")
        tagged(card, "queue-card").props["data-queue"] = queue.value
        tagged(self._paused, "queue-paused")
        tagged(self._unheard, "queue-unheard")

    def _make_button(self, pause: Callable[[bool], Awaitable[None]]) -> None:
        self._button = ui.button(on_click=lambda: pause(not self.is_paused))
        tagged(self._button.props("flat dense no-caps"), "queue-pause")
        self._set_button(False)

    def _set_button(self, is_paused: bool) -> None:
        self._button.set_text("Resume" if is_paused else "Pause")
        self._button.set_icon("play_arrow" if is_paused else "pause")
        word = "Resume" if is_paused else "Pause"
        self._button.props["aria-label"] = f"{word} {self._queue}"

    def update(self, view: QueueView, silent: tuple[str, str | None] | None) -> None:
        self._counts.set_text(f"{view.running} running · {view.waiting} waiting")
        self._left.set_text(_left(view))
        if self._pause is not None and view.pause.is_paused != self.is_paused:
            self._set_button(view.pause.is_paused)
        self.is_paused = view.pause.is_paused
        self._paused.set_visibility(self.is_paused)
        self._paused.set_text(_paused_words(view.pause))
        self._unheard.set_visibility(silent is not None)
        self._unheard.props["data-waited-for"] = "yes" if view.waiting else "no"
        if silent is not None:
            self._why.set_text(silent[0])
            self._command.set_text(silent[1] or "")
            self._command.set_visibility(silent[1] is not None)


def _left(view: QueueView) -> str:
    if not view.running and not view.waiting:
        return "empty"
    if view.seconds_left is None:
        return "time left: can't be told"
    return f"about {span(view.seconds_left)} left"


def _paused_words(pause: Pause) -> str:
    who = f" by {printable(pause.by)}" if pause.by else ""
    when = f", {ago(pause.at)}" if pause.at else ""
    return f"Paused{who}{when}. Jobs that run go on; nobody takes another one."
