"""API tokens: everybody's for admins, a person's own on their account's page."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from nicegui import ui

from reelyard.domain.access import ApiToken, Principal, Scope, usable_scopes
from reelyard.domain.errors import printable

from .admin_parts import act, cell, row, section, show_secret, tag
from .job_actions import confirm
from .job_look import tagged
from .visitor import Visitor
from .words import ago

_SCOPES = {
    Scope.READ: "read: look at jobs, queue, history",
    Scope.WRITE: "write: submit jobs, change one's own",
    Scope.MANAGE: "manage: the queue and the workers",
    Scope.ADMIN: "admin: people, settings, audit",
}
_DAYS = {30: "30 days", 90: "90 days", 365: "a year", 0: "for ever"}
_USE = "Programs send it with each request, as the header “Authorization: Bearer …”."


class Tokens:
    """The list; with a form for one's own."""

    def __init__(self, visitor: Visitor, everybody: bool) -> None:
        self._visitor = visitor
        self._access = visitor.office.access
        self._everybody = everybody
        title = "API tokens" if everybody else "Your API tokens"
        with section(title, "Keys for programs. A revoked one stops working at once."):
            self._home = ui.column().classes("full-width").style("gap: 0")
            if not everybody:
                self._form(visitor.principal())

    async def show(self) -> None:
        with self._home:
            found = await self._visitor.do(
                lambda who: self._access.tokens(who, everybody=self._everybody)
            )
        if found is not None:
            self._home.clear()
            with self._home:
                self._list(found)

    def _list(self, tokens: Collection[ApiToken]) -> None:
        if not tokens:
            ui.label("There is no token." if self._everybody else "You have no token.").classes(
                "ry-dim"
            )
        for one in tokens:
            self._row(one)

    def _row(self, one: ApiToken) -> None:
        state = _state(one)
        with row("token-row", faded=bool(state)):
            whose = f"{one.username} · " if self._everybody else ""
            cell(one.name, f"{whose}{one.hint}… · {', '.join(one.scopes)}")
            cell(_used(one), _ends(one), "ry-mid text-caption")
            if state:
                tag(state, "bad")
            else:
                act("Revoke", "token-revoke", "block").on_click(lambda: self._revoke(one))

    async def _revoke(self, one: ApiToken) -> None:
        with self._home:
            text = "Programs that use it are refused from now on. This can't be taken back."
            if not await confirm(f"Revoke {printable(one.name)}?", text, "Revoke"):
                return
            await self._visitor.do(
                lambda who: self._access.revoke_token(who, one.token_id), "Revoked"
            )
        await self.show()

    def _form(self, who: Principal) -> None:
        ui.separator()
        with ui.element("div").classes("ry-form"):
            name = ui.input("What is it for?", placeholder="upload script")
            tagged(name.props("outlined dense maxlength=60"), "token-name")
            scopes = ui.select(
                {one: _SCOPES[one] for one in usable_scopes(who.role)},
                label="It may", multiple=True, value=[Scope.READ],
            )  # fmt: skip
            scopes.props("outlined dense options-dense").classes("ry-two")
            tagged(scopes, "token-scopes")
            days = ui.select(_DAYS, label="It works for", value=90)
            tagged(days.props("outlined dense options-dense"), "token-days")
        make = ui.button("Make a token", icon="vpn_key")
        make.on_click(lambda: self._make(name, scopes.value, days.value or None))
        tagged(make.props("unelevated no-caps"), "token-make")

    async def _make(self, name: ui.input, scopes: Collection[Scope], days: int | None) -> None:
        with self._home:
            made = await self._visitor.do(
                lambda who: self._access.add_token(who, name.value or "", scopes, days)
            )
            if made is not None:
                name.set_value("")
                await show_secret(f"Token {printable(made[1].name)}", made[0], _USE)
        await self.show()


def _state(one: ApiToken) -> str:
    """Why it doesn't work any more; empty while it works."""
    if one.revoked_at is not None:
        return "Revoked"
    is_over = one.expires_at is not None and one.expires_at <= datetime.now(UTC)
    return "Expired" if is_over else ""


def _used(one: ApiToken) -> str:
    return "Never used" if one.used_at is None else f"Used {ago(one.used_at)}"


def _ends(one: ApiToken) -> str:
    return "never expires" if one.expires_at is None else f"until {one.expires_at:%Y-%m-%d}"
