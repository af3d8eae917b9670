"""Administration: people, tokens, webhooks, the settings in force, and who did what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.access import Action
from reelyard.domain.errors import NotAllowed
from reelyard.services.office import Office

from .admin_audit import AUDIT_CSS, Audit, InForce
from .admin_parts import ADMIN_CSS
from .admin_tokens import Tokens
from .admin_users import Users
from .admin_webhooks import Hooks
from .frame import frame
from .job_look import JOB_CSS, tagged, trouble
from .visitor import Visitor, visitor_of


class Part(Protocol):
    """What lies behind a tab."""

    async def show(self) -> None:
        """Read it anew and draw it."""


_PARTS: dict[str, tuple[str, str, Callable[[Visitor], Part]]] = {
    "users": ("Users", "group", Users),
    "tokens": ("API tokens", "vpn_key", lambda visitor: Tokens(visitor, everybody=True)),
    "webhooks": ("Webhooks", "webhook", lambda visitor: Hooks(visitor, everybody=True)),
    "settings": ("Settings", "tune", InForce),
    "audit": ("Audit log", "fact_check", Audit),
}


def register(office: Office) -> None:
    @ui.page("/admin")
    async def page(request: Request) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        with frame(visitor, "Administration") as who:
            ui.add_css(JOB_CSS + ADMIN_CSS + AUDIT_CSS)
            try:
                who.allow(Action.ADMINISTER)
            except NotAllowed as error:
                trouble(error)
                return None
            tabs = _Tabs(visitor, request.query_params.get("tab", ""))
        await tabs.show()
        return None


class _Tabs:
    """The parts, each read when it is looked at."""

    def __init__(self, visitor: Visitor, begin: str) -> None:
        begin = begin if begin in _PARTS else "users"
        self._parts: dict[str, Part] = {}
        self._tabs = ui.tabs(on_change=self._turned)
        tagged(
            self._tabs.props("no-caps dense inline-label align=left outside-arrows mobile-arrows"),
            "admin-tabs",
        ).classes("full-width")
        with self._tabs:
            for key, (name, icon, _) in _PARTS.items():
                tagged(ui.tab(key, label=name, icon=icon), f"admin-{key}")
        panels = ui.tab_panels(self._tabs, value=begin, animated=False)
        with panels.classes("full-width bg-transparent"):
            for key, (_, _, make) in _PARTS.items():
                with ui.tab_panel(key).style("padding: 8px 0 0"):
                    self._parts[key] = make(visitor)

    async def show(self) -> None:
        await self._parts[str(self._tabs.value)].show()

    async def _turned(self) -> None:
        ui.navigate.history.replace(f"/admin?tab={self._tabs.value}")
        await self.show()
