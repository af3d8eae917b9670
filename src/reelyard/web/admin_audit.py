"""Who did what and when; and the settings in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.farm import Happening

from .admin_parts import section
from .job_look import tagged
from .visitor import Visitor

AUDIT_CSS = """
.ry-audit { display: grid; grid-template-columns: 150px 120px 100px minmax(0, 1fr); gap: 2px 14px; width: 100%;
  padding: 5px 0; border-bottom: 1px solid var(--ry-line); font-size: 13px; }
.ry-audit > * { min-width: 0; overflow-wrap: anywhere; }
.ry-set { display: grid; grid-template-columns: minmax(220px, 320px) minmax(0, 1fr); gap: 2px 14px; width: 100%;
  padding: 4px 0; border-bottom: 1px solid var(--ry-line); font-size: 13px; }
@media (max-width: 600px) { .ry-audit { grid-template-columns: auto 1fr; } .ry-set { grid-template-columns: 1fr; } }
"""
_AT_ONCE = 50


class Audit:
    """The latest first, with a button for what was before."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._last: int | None = None
        self._turn = 0
        with section("Audit log", "What people did, by the pages, the command line or the API."):
            self._who = ui.input("Person", placeholder="the whole name", on_change=self.show)
            self._who.props("outlined dense clearable debounce=350")
            tagged(self._who, "audit-person")
            self._box = ui.column().classes("full-width").style("gap: 0")
            tagged(self._box, "audit-rows")
            self._more = ui.button("More", icon="expand_more", on_click=self._go_on)
            tagged(self._more.props("outline no-caps").classes("self-center"), "audit-more")
            self._more.set_visibility(False)

    async def show(self) -> None:
        """From the latest on."""
        self._turn += 1
        self._last = None
        await self._read(self._turn)

    async def _go_on(self) -> None:
        await self._read(self._turn)

    async def _read(self, turn: int) -> None:
        actor, last = (self._who.value or "").strip() or None, self._last
        found = await self._visitor.do(
            lambda who: self._visitor.office.admin.audit(who, _AT_ONCE, last, actor)
        )
        if found is None or turn != self._turn:
            return
        if last is None:
            self._box.clear()
        with self._box:
            self._list(found, last is None)
        self._last = found[-1][0] if found else last
        self._more.set_visibility(len(found) == _AT_ONCE)

    def _list(self, lines: Sequence[tuple[int, Happening]], is_first: bool) -> None:
        if not lines and is_first:
            ui.label("Nobody has done anything yet.").classes("ry-dim")
        for _, one in lines:
            with tagged(ui.element("div"), "audit-row").classes("ry-audit"):
                ui.label(f"{one.at:%Y-%m-%d %H:%M:%S}").classes("ry-mono ry-dim")
                ui.label(printable(one.actor or "")).classes("text-weight-medium")
                ui.label(one.what.replace("_", " "))
                with ui.row().classes("items-center").style("gap: 8px"):
                    ui.label(printable(one.message))
                    if one.worker_id is not None:
                        ui.label(printable(one.worker_id)).classes("ry-dim")
                    if one.job_id is not None:
                        ui.link(f"job {one.job_id[:8]}", f"/jobs/{one.job_id}")


class InForce:
    """Each setting and its value."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        text = "Read from the environment when the server started. Passwords are not shown."
        with section("Settings in force", text):
            self._box = ui.column().classes("full-width").style("gap: 0")

    async def show(self) -> None:
        found = await self._visitor.do(self._visitor.office.admin.settings)
        if found is not None:
            self._box.clear()
            with self._box:
                _settings(found)


def _settings(found: Mapping[str, str]) -> None:
    for name, value in sorted(found.items()):
        with tagged(ui.element("div"), "setting-row").classes("ry-set"):
            ui.label(name).classes("ry-dim").style("font-family: ui-monospace, monospace")
            ui.label(printable(value)).classes("ry-mono")
