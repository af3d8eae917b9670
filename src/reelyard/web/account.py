"""A person's own account: who they are here, their password, their programs' keys, their webhooks."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.access import Principal, Source
from reelyard.domain.errors import printable
from reelyard.services.office import Office

from .admin_parts import ADMIN_CSS, password_field, section
from .admin_tokens import Tokens
from .admin_users import ROLES
from .admin_webhooks import Hooks
from .frame import frame
from .job_look import JOB_CSS, tagged
from .visitor import Visitor, visitor_of


def register(office: Office) -> None:
    @ui.page("/account")
    async def page(request: Request) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        own = await visitor.do(office.access.own_account)
        with frame(visitor, "Your account") as who:
            ui.add_css(JOB_CSS + ADMIN_CSS)
            _who(who)
            tokens = None
            if who.session is None:
                _nobody()
            else:
                if own is not None and own.source is Source.SUPABASE:
                    _elsewhere()
                else:
                    _Password(visitor)
                tokens = Tokens(visitor, everybody=False)
            hooks = Hooks(visitor, everybody=False)
        if tokens is not None:
            await tokens.show()
        await hooks.show()
        return None


def _who(who: Principal) -> None:
    with section(printable(who.username)):
        tagged(ui.label(ROLES[who.role]), "account-role")


def _nobody() -> None:
    with section("No account is needed yet"):
        ui.label("Whoever works at this machine may do everything. Passwords and tokens belong to "
                 "accounts; an admin makes the first one under Administration.")  # fmt: skip
        ui.link("To the users", "/admin?tab=users")


def _elsewhere() -> None:
    with section("Your password"):
        text = "You sign in with Supabase: it keeps your password, and it is changed there. Your role comes from there, too."
        tagged(ui.label(text), "password-elsewhere")


class _Password:
    """The form for a new password."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        text = "You are signed out everywhere, here too, and sign in with the new one."
        with section("Change your password", text):
            with ui.element("div").classes("ry-form"):
                self._old = password_field("Current password", "password-old")
                self._old.props("autocomplete=current-password")
                self._new = password_field("New password", "password-new")
                self._again = password_field("The new one again", "password-again")
            change = ui.button("Change it", icon="key", on_click=self._change)
            tagged(change.props("unelevated no-caps"), "password-change")

    async def _change(self) -> None:
        old, new = self._old.value or "", self._new.value or ""
        if new != self._again.value:
            ui.notify("The two new passwords differ. Type the new one twice.", type="negative")
            return

        def change(who: Principal) -> bool:
            self._visitor.office.access.change_own_password(who, old, new)
            return True

        if await self._visitor.do(change, "You have a new password"):
            ui.navigate.to("/sign-in?to=/account")
