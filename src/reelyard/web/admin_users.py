"""People who may sign in: added, given roles and passwords, shut out and let in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from nicegui import ui

from reelyard.domain.access import Account, Principal, Role, Source
from reelyard.domain.errors import printable

from .admin_parts import act, cell, password_field, row, section, tag
from .frame import empty
from .job_actions import confirm
from .job_look import tagged
from .visitor import Visitor
from .words import ago

ROLES = {
    Role.OPERATOR: "Operator: sees and changes their own jobs",
    Role.MANAGER: "Manager: everybody's jobs, the queue and the workers",
    Role.ADMIN: "Admin: people and settings as well",
}
_FIRST = (
    "Nobody has an account yet. Whoever works at this machine may do everything, and nobody else can "
    "reach the pages. The first account has to be an admin's. From the moment it is there, everybody "
    "signs in, you too: keep the name and the password."
)
_SUPABASE = (
    "Who comes from Supabase changes the password there, and has the role that Supabase says (app_metadata, "
    "reelyard_role) from the next sign-in on, whatever it is changed to here."
)
_PASSWORD = "10 characters or more; a few words do well."  # noqa: S105 - a hint


class Users:
    """The list and the form under it."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._access = visitor.office.access
        self._home = ui.column().classes("full-width").style("gap: 16px")

    async def show(self) -> None:
        """Read everybody and draw the part anew."""
        with self._home:
            found = await self._visitor.do(self._access.users)
        if found is None:
            return
        self._home.clear()
        with self._home:
            if not found:
                empty("group", "This farm is open", _FIRST)
            else:
                self._list(found)
            self._form(is_first=not found)

    def _list(self, accounts: Collection[Account]) -> None:
        text = "Who is shut out is signed out at once; their tokens stop working too."
        if any(one.source is Source.SUPABASE for one in accounts):
            text += f" {_SUPABASE}"
        with section("People", text):
            with ui.column().classes("full-width").style("gap: 0"):
                for one in accounts:
                    self._row(one)

    def _row(self, one: Account) -> None:
        with row("user-row", faded=not one.is_active) as element:
            element.props["data-user"] = printable(one.username)
            cell(one.username, f"{_seen(one)} · added {one.created_at:%Y-%m-%d}")
            if one.source is Source.SUPABASE:
                tagged(tag("Supabase"), "user-source")
            tag("May sign in" if one.is_active else "Shut out", "" if one.is_active else "bad")
            role = ui.select(
                {role: role.capitalize() for role in Role}, value=one.role,
                on_change=lambda event: self._role(one, event.value),
            )  # fmt: skip
            role.props("outlined dense options-dense").style("width: 130px")
            role.props["aria-label"] = f"Role of {printable(one.username)}"
            tagged(role, "user-role")
            with ui.element("div").classes("ry-acts"):
                if one.source is Source.LOCAL:
                    act("New password", "user-password", "key").on_click(
                        lambda: self._password(one)
                    )
                if one.is_active:
                    act("Shut out", "user-shut-out", "block").on_click(lambda: self._shut_out(one))
                else:
                    act("Let in", "user-let-in", "login").on_click(lambda: self._let_in(one))

    def _form(self, is_first: bool) -> None:
        title = "Make the first account" if is_first else "Add somebody"
        with section(title, "" if is_first else _PASSWORD):
            with ui.element("div").classes("ry-form"):
                name = ui.input("Name").props("outlined dense autocomplete=off maxlength=60")
                tagged(name, "user-name")
                password = password_field("Password", "user-new-password")
                choices = {Role.ADMIN: ROLES[Role.ADMIN]} if is_first else ROLES
                role = ui.select(choices, label="Role", value=next(iter(choices)))
                tagged(
                    role.props("outlined dense options-dense").classes("ry-two"), "user-new-role"
                )
            if is_first:
                ui.label(_PASSWORD).classes("ry-dim text-caption")
            add = ui.button("Make the account" if is_first else "Add", icon="person_add")
            tagged(add.props("unelevated no-caps"), "user-add")
            add.on_click(lambda: self._add(name.value, password.value, role.value, is_first))

    async def _add(self, name: str, password: str, role: Role, is_first: bool) -> None:
        with self._home:
            done = await self._visitor.do(
                lambda who: self._access.add_user(who, name, password, role),
                f"{printable(name)} was added",
            )
            if done is None:
                return
            if is_first:
                ui.navigate.to("/sign-in?to=/admin")
                return
        await self.show()

    async def _role(self, one: Account, role: Role) -> None:
        if role is not one.role:
            until = ", until Supabase says otherwise" if one.source is Source.SUPABASE else ""
            said = f"{printable(one.username)} is {role} now{until}"
            await self._change(
                lambda who: self._access.change_user(who, one.user_id, role=role), said
            )

    async def _shut_out(self, one: Account) -> None:
        name = printable(one.username)
        text = "They are signed out everywhere and their tokens stop working. Their jobs stay, also those that wait."
        with self._home:
            sure = await confirm(f"Shut {name} out?", text, "Shut out")
        if sure:
            await self._change(
                lambda who: self._access.change_user(who, one.user_id, is_active=False),
                f"{name} is shut out",
            )

    async def _let_in(self, one: Account) -> None:
        await self._change(
            lambda who: self._access.change_user(who, one.user_id, is_active=True),
            f"{printable(one.username)} may sign in again",
        )

    async def _password(self, one: Account) -> None:
        with self._home:
            given = await _ask_password(printable(one.username))
        if given:
            await self._change(
                lambda who: self._access.change_user(who, one.user_id, password=given),
                f"{printable(one.username)} has a new password",
            )

    async def _change(self, call: Callable[[Principal], Any], said: str) -> None:
        """What is shown afterwards is what is so, also where it failed."""
        with self._home:
            await self._visitor.do(call, said)
        await self.show()


def _seen(one: Account) -> str:
    return "Never signed in" if one.signed_in_at is None else f"Signed in {ago(one.signed_in_at)}"


async def _ask_password(name: str) -> str:
    with ui.dialog() as dialog, ui.card().style("width: min(420px, 92vw)"):
        ui.label(f"A new password for {name}").classes("text-h6")
        ui.label(f"They are signed out everywhere. {_PASSWORD}").classes("ry-dim")
        field = password_field("New password", "user-next-password").classes("full-width")
        with ui.row().classes("full-width justify-end"):
            ui.button("Back", on_click=lambda: dialog.submit("")).props("flat no-caps")
            done = ui.button("Set it", on_click=lambda: dialog.submit(field.value))
            tagged(done.props("unelevated no-caps"), "user-password-set")
    answer = await dialog
    dialog.delete()
    return answer if isinstance(answer, str) else ""
