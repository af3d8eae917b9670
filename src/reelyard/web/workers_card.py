"""One worker's card. It is made once and changed in place, so that nothing jumps while it is looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.farm import Worker
from reelyard.services.manage import WorkerView

from .job_look import Bar, api, picture, stage_words, tagged
from .words import ago, size, span, speed
from .workers_words import DRAIN, PAUSE, STOP, WAKE, Command, commands, standing

CARDS_CSS = """
.ry-cards { display: grid; gap: 14px; width: 100%;
  grid-template-columns: repeat(auto-fill, minmax(min(370px, 100%), 1fr)); }
.ry-state { padding: 1px 10px; border-radius: 10px; font-size: 12px; line-height: 18px; font-weight: 500;
  background: var(--ry-soft); flex: none; }
.ry-state[data-kind=busy] { background: #2f6fed; color: #fff; } .ry-state[data-kind=good] { background: #1c7c45; color: #fff; }
.ry-state[data-kind=bad] { background: #b3261e; color: #fff; } .ry-state[data-kind=held] { background: #8a5300; color: #fff; }
.ry-state[data-kind=gone] { background: #6b7280; color: #fff; }
.ry-now { min-height: 84px; width: 100%; display: flex; align-items: center; gap: 10px; border-radius: 8px;
  background: var(--ry-soft); padding: 8px; color: inherit; text-decoration: none; }
.ry-now .ry-thumb { width: 96px; }
.ry-facts { display: grid; grid-template-columns: auto 1fr auto 1fr; gap: 2px 10px; width: 100%; font-size: 13px; }
.ry-facts > :nth-child(odd) { color: var(--ry-dim); } .ry-facts > * { min-width: 0; overflow-wrap: anywhere; }
.ry-facts .ry-all { grid-column: span 3; }
.ry-last { order: 1; } .ry-orders { min-height: 32px; gap: 4px; }
@media (max-width: 420px) { .ry-facts { grid-template-columns: auto 1fr; } .ry-facts .ry-all { grid-column: auto; } }
"""
Give = Callable[[Command, WorkerView], Awaitable[None]]
Forget = Callable[[WorkerView], Awaitable[None]]
_FACTS = {
    "queues": "Queues",
    "encoders": "Encoders",
    "card": "Graphics card",
    "decodes": "It decodes",
    "ffmpeg": "FFmpeg",
    "speed": "1080p",
    "speed_4k": "4K",
    "cores": "Cores",
    "memory": "Memory",
    "disk": "Free disk",
    "failures": "Failed in a row",
    "version": "Version",
    "seen": "Last seen",
}
_WIDE = ("queues", "encoders", "card", "decodes", "ffmpeg")


class Card:
    """A worker. ``give`` and ``forget`` are None where the visitor gives no orders."""

    def __init__(self, view: WorkerView, give: Give | None, forget: Forget | None) -> None:
        self.view = view
        self._facts: dict[str, ui.label] = {}
        self._buttons: dict[str, ui.button] = {}
        with ui.card().classes("ry-card q-pa-md").style("gap: 10px") as self.root:
            tagged(self.root, "worker-card").props["data-worker"] = view.worker.worker_id
            self._head(view.worker)
            self._said = (
                ui.label().classes("text-caption ry-dim ry-plain").style("min-height: 20px")
            )
            self._now = _Now()
            self._facts_grid()
            if give is not None and forget is not None:
                self._orders(give, forget)
        self.show(view)

    def _head(self, worker: Worker) -> None:
        name, _, _ = worker.worker_id.partition("@")
        with ui.row(wrap=False).classes("items-center full-width").style("gap: 8px"):
            ui.icon("memory", size="22px").classes("ry-dim")
            with ui.column().style("gap: 0; min-width: 0; flex: 1 1 auto"):
                ui.label(printable(name)).classes("text-weight-medium ry-line full-width").props(
                    "role=heading aria-level=2"
                )
                ui.label(printable(worker.host)).classes("text-caption ry-dim ry-line full-width")
            self._state = ui.label().classes("ry-state")
            tagged(self._state, "worker-state")

    def _facts_grid(self) -> None:
        with ui.element("div").classes("ry-facts"):
            for key, name in _FACTS.items():
                ui.label(name)
                label = ui.label().classes("ry-mono" + (" ry-all" if key in _WIDE else ""))
                self._facts[key] = label

    def _orders(self, give: Give, forget: Forget) -> None:
        with ui.row().classes("ry-orders items-center full-width"):
            for command in (WAKE, PAUSE, DRAIN, STOP):
                button = ui.button(command.name, icon=command.icon)
                button.props("flat dense no-caps").classes("q-px-sm").tooltip(command.says)
                button.on_click(lambda _, one=command: give(one, self.view))
                self._buttons[command.name] = button
                tagged(button, f"worker-{command.order}")
            button = ui.button("Forget", icon="delete", on_click=lambda: forget(self.view))
            button.props("flat dense no-caps").classes("q-px-sm")
            button.tooltip("It is taken off this list. If it starts again it comes back.")
            self._buttons["Forget"] = button
            tagged(button, "worker-forget")

    def show(self, view: WorkerView) -> None:
        """The worker as it is now."""
        self.view = view
        worker, state = view.worker, standing(view.worker)
        self._state.set_text(state.word)
        self._state.props["data-kind"] = state.kind
        self._said.set_text(printable(state.text))
        self.root.classes(
            add="" if worker.is_alive else "ry-last", remove="ry-last" if worker.is_alive else ""
        )
        self._now.show(view)
        for key, text in _facts(worker).items():
            self._facts[key].set_text(printable(text))
        offered = {one.name for one in commands(worker)} | (
            set() if worker.is_alive else {"Forget"}
        )
        for name, button in self._buttons.items():
            button.set_visibility(name in offered)

    def progress(self, data: dict[str, Any]) -> None:
        """How far its job is, while it works."""
        self._now.progress(data)


def _facts(worker: Worker) -> dict[str, str]:
    able = worker.capabilities
    return {
        "queues": ", ".join(worker.queues),
        "encoders": ", ".join(able.encoders) or "none works",
        "card": ", driver ".join(filter(None, (able.graphics_card, able.driver))) or "none",
        "decodes": ", ".join(able.decodes) or "nothing",
        "ffmpeg": able.ffmpeg.removeprefix("ffmpeg version ").partition(" Copyright")[0] or "–",
        "speed": speed(worker.speed) if worker.speed else "not measured",
        "speed_4k": speed(worker.speed_4k) if worker.speed_4k else "not measured",
        "cores": str(able.cores),
        "memory": size(able.memory),
        "disk": size(able.free_disk),
        "failures": str(worker.failures),
        "version": able.version,
        "seen": ago(worker.seen_at),
    }


class _Now:
    """What a worker is at; its place is kept while it is at nothing."""

    def __init__(self) -> None:
        self._job_id: str | None = None
        self._root = ui.element("a").classes("ry-now")
        tagged(self._root, "worker-job")
        with self._root:
            self._picture = picture("")
            with ui.column().style("gap: 3px; min-width: 0; flex: 1 1 auto"):
                self._title = ui.label().classes("ry-line text-weight-medium full-width")
                self._bar = Bar()
                self._stage = ui.label().classes("ry-line ry-mono text-caption ry-dim full-width")

    def show(self, view: WorkerView) -> None:
        worker, job = view.worker, view.job or view.helped
        is_at_work = worker.is_alive and (worker.job_id or worker.helps) is not None
        self._picture.set_visibility(job is not None)
        self._bar.root.set_visibility(job is not None)
        if job is None:
            self._root.props.pop("href", None)
            self._title.set_text("Somebody else's job" if is_at_work else "No job")
            self._stage.set_text("")
        elif job.job_id != self._job_id:
            self._root.props["href"] = f"/jobs/{job.job_id}"
            self._picture.props["src"] = api(job.job_id, "thumbnail")
        if job is not None:
            helps = "Helping " if view.job is None else ""
            self._title.set_text(f"{helps}{printable(job.channel_name)}")
        self._job_id = None if job is None else job.job_id
        if job is not None:
            self._tell(job.progress, job.stage, job.speed, job.seconds_left)

    def progress(self, data: dict[str, Any]) -> None:
        if data["job_id"] == self._job_id:
            self._tell(data["progress"], data["stage"], data["speed"], data["seconds_left"])

    def _tell(self, percent: float, stage: str, made: float | None, left: float | None) -> None:
        self._bar.set(percent)
        rest = f" · {span(left)} left" if left is not None else ""
        self._stage.set_text(f"{stage_words(stage, made)}{rest}")
