"""A job's logs, as they grow. Only what is new is read, and no more than their ends are shown."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from nicegui import ui

from reelyard.domain.access import Principal
from reelyard.domain.errors import NotFound, NotSignedIn, ReelyardError
from reelyard.services.job_views import LOGS
from reelyard.services.office import Office

from .job_look import api, tagged
from .visitor import Visitor
from .words import size

MOST_SHOWN = 256_000
_EVERY = 2.0
_NAMES = {"job.log": "Steps", "ffmpeg_cmd.txt": "Commands", "ffmpeg_stderr.txt": "FFmpeg's words"}


class Tail:
    """The end of a file that grows."""

    def __init__(self) -> None:
        self._at = 0
        self._path: Path | None = None

    def read(self, path: Path) -> tuple[bool, str]:
        """Whole lines that are new, and whether they begin anew. Raises OSError."""
        length = path.stat().st_size
        is_new = path != self._path or length < self._at
        self._path = path
        begin = max(0 if is_new else self._at, length - MOST_SHOWN)
        skipped = begin > (0 if is_new else self._at)
        with path.open("rb") as file:
            file.seek(begin)
            data = file.read(length - begin)
        if skipped:
            data = data[data.find(b"\n") + 1 :]
        end = data.rfind(b"\n") + 1 if len(data) < MOST_SHOWN // 2 else len(data)
        self._at = length - (len(data) - end)
        return is_new or skipped, data[:end].decode("utf-8", "replace")


class LogView:
    """One log: what is shown of it, in pieces that are dropped at the front."""

    def __init__(self, job_id: str, name: str) -> None:
        self.name = name
        self._tail = Tail()
        self._pieces: deque[tuple[ui.label, int]] = deque()
        with ui.row().classes("items-center full-width").style("gap: 12px; min-height: 28px"):
            self._said = ui.label().classes("text-caption ry-dim ry-mono")
            ui.space()
            ui.link("The whole file", api(job_id, f"logs/{name}"), new_tab=True).classes(
                "text-caption"
            )
        with ui.scroll_area().classes("ry-log").props("tabindex=0 role=log") as self._area:
            self._lines = ui.column().style("gap: 0")
        tagged(self._area, "log").props["data-log"] = name

    def fetch(self, office: Office, who: Principal, job_id: str) -> tuple[bool, str, int]:
        """Raises NotFound; in a thread."""
        path = office.jobs.log(who, job_id, self.name)
        try:
            begins, text = self._tail.read(path)
            return begins, text, path.stat().st_size
        except OSError as error:
            raise NotFound(f"{self.name} can't be read: {error.strerror}",
                           remedy="See whether the folder of the logs is mounted") from error  # fmt: skip

    def show(self, begins: bool, text: str, length: int, follow: bool) -> None:
        if begins:
            self._lines.clear()
            self._pieces.clear()
        if text:
            with self._lines:
                self._pieces.append((ui.label(text.rstrip("\n")).classes("ry-log-text"), len(text)))
        while sum(count for _, count in self._pieces) > MOST_SHOWN and len(self._pieces) > 1:
            self._pieces.popleft()[0].delete()
        bounded = f", its last {size(MOST_SHOWN)} are shown" if length > MOST_SHOWN else ""
        self._said.set_text(f"{size(length)}{bounded}" if length else "nothing written yet")
        if follow and (text or begins):
            self._area.scroll_to(percent=1.0)

    def say(self, text: str) -> None:
        self._said.set_text(text)


class Logs:
    """The card with a tab for each log."""

    def __init__(self, office: Office, visitor: Visitor, job_id: str, *, is_over: bool) -> None:
        self._office = office
        self._visitor = visitor
        self._job_id = job_id
        self._views: dict[str, LogView] = {}
        self._is_over = is_over
        self._is_read: set[str] = set()
        with ui.card().classes("ry-card ry-logs q-pa-md").style("gap: 4px") as card:
            self._build()
        tagged(card, "job-logs")
        ui.timer(0.1, self._look, once=True)
        self._timer = ui.timer(_EVERY, self._look, active=not is_over)

    def _build(self) -> None:
        with ui.row().classes("items-center full-width"):
            title = ui.label("Logs").classes("text-subtitle1 text-weight-medium")
            title.props("role=heading aria-level=2")
            ui.space()
            self._follow = ui.switch("Follow", value=True).props("dense")
            tagged(self._follow, "log-follow")
        with ui.tabs(on_change=self._look).props("dense no-caps align=left inline-label") as tabs:
            for name in LOGS:
                ui.tab(name, label=_NAMES[name])
        with ui.tab_panels(tabs, value=LOGS[0], animated=False).classes("full-width") as panels:
            for name in LOGS:
                with ui.tab_panel(name).classes("q-pa-none"):
                    self._views[name] = LogView(self._job_id, name)
        panels.props("keep-alive").style("background: transparent")
        self._tabs = tabs

    async def _look(self) -> None:
        view = self._views.get(str(self._tabs.value or LOGS[0]))
        if view is None or (view.name in self._is_read and not self._follow.value):
            return
        try:
            begins, text, length = await self._visitor.ask(
                lambda who: view.fetch(self._office, who, self._job_id)
            )
        except NotSignedIn:
            self._timer.deactivate()
            return
        except ReelyardError as error:
            view.say(f"{error.message}. {error.remedy}.")
            return
        self._is_read.add(view.name)
        view.show(begins, text, length, bool(self._follow.value))


LOGS_CSS = """
.ry-logs .q-tab-panel { padding: 0; } .ry-logs .q-scrollarea__content { padding: 10px; }
.ry-log { height: 320px; width: 100%; border: 1px solid var(--ry-line); border-radius: 6px; background: var(--ry-soft); }
.ry-log-text { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; line-height: 1.5;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""
