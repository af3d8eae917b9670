"""Signing in and out: plain forms, so that password managers work and a page needs no script for it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Annotated

from fastapi import FastAPI, Form, Request
from nicegui import ui
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from reelyard.domain.errors import (
    FarmUnavailable,
    NotSignedIn,
    ReelyardError,
    SupabaseUnavailable,
    TooManyRequests,
)
from reelyard.services.access import SESSION_SECONDS
from reelyard.services.office import Office
from reelyard.services.supabase_people import ShutOut
from reelyard.services.supabase_sign_in import WORDS, SignInRefused

from .frame import ACCENT
from .visitor import SESSION_COOKIE, Visitor

_LOG = logging.getLogger(__name__)
_AWAY = "away"
_WORDS = {
    **{
        reason.value: f"{said[:1].upper()}{said[1:]}. {do}." for reason, (said, do) in WORDS.items()
    },
    "wrong": "That name and password don't go together.",
    "out": "Your account is shut out of this farm. Ask an admin.",
    "often": "Too many tries. Wait a few minutes.",
    _AWAY: "The farm's database is away just now. Try again in a moment.",
    "supabase": "Supabase can't be asked just now. Try again in a moment; accounts of the farm's own work as ever.",
}
_Field = Annotated[str, Form()]


def register(app: FastAPI, office: Office) -> None:
    """The page, and the two places that its forms are sent to."""

    @app.post("/sign-in", include_in_schema=False)
    def sign_in(
        request: Request, username: _Field = "", password: _Field = "", to: _Field = "/"
    ) -> Response:
        address = request.client.host if request.client else ""
        try:
            secret = office.access.sign_in(username, password, address)
        except (NotSignedIn, TooManyRequests, FarmUnavailable) as error:
            if isinstance(error, SupabaseUnavailable):
                _LOG.warning("%s", error)
            return RedirectResponse(f"/sign-in?why={_why(error)}&to={local(to)}", status_code=303)
        answer = RedirectResponse(local(to), status_code=303)
        answer.set_cookie(
            SESSION_COOKIE, secret, max_age=SESSION_SECONDS, httponly=True, samesite="lax",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return answer

    @app.post("/sign-out", include_in_schema=False)
    def sign_out(request: Request) -> Response:
        with suppress(NotSignedIn):
            office.access.sign_out(Visitor(office, request).identify())
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    @ui.page("/sign-in", title="Sign in · Reelyard")
    async def page(request: Request, to: str = "/", why: str = "") -> Response | None:
        if why != _AWAY and await run_in_threadpool(lambda: office.access.is_open):
            return RedirectResponse("/", status_code=303)
        name = "Email or name" if office.access.takes_emails else "Name"
        _form(Visitor(office, request), name, local(to), _WORDS.get(why, ""))
        return None


def _why(error: ReelyardError) -> str:
    if isinstance(error, SignInRefused):
        return error.reason.value
    kinds = ((ShutOut, "out"), (NotSignedIn, "wrong"), (TooManyRequests, "often"),
             (SupabaseUnavailable, "supabase"))  # fmt: skip
    return next((why for kind, why in kinds if isinstance(error, kind)), _AWAY)


def _form(visitor: Visitor, name: str, to: str, wrong: str) -> None:
    ui.colors(primary=ACCENT)
    ui.dark_mode(visitor.prefers_dark)
    with ui.column().classes("full-width items-center justify-center").style("min-height: 90vh"):
        with ui.element("form").props("method=post action=/sign-in"):
            with ui.card().classes("q-pa-lg").style("width: min(360px, 92vw); gap: 12px"):
                ui.label("Reelyard").classes("text-h5 text-weight-bold")
                ui.input(name).props(
                    "outlined dense name=username autocomplete=username autofocus required"
                ).classes("full-width")
                ui.input("Password").props(
                    "outlined dense name=password type=password autocomplete=current-password required"
                ).classes("full-width")
                ui.element("input").props(f'type=hidden name=to value="{to}"')
                if wrong:
                    ui.label(wrong).classes("text-negative").props("role=alert")
                ui.button("Sign in").props("no-caps unelevated type=submit").classes("full-width")


def local(to: str) -> str:
    """Where to go on, on this site only."""
    is_path = to.startswith("/") and not to.startswith(("//", "/\\"))
    plain = all(char.isalnum() or char in "/-_." for char in to)
    return to if is_path and plain else "/"
