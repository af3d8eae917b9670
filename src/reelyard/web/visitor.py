"""Who looks at a page, and how a page does something for them.

A page lives for hours: who its visitor is, is asked anew for everything that it does. Whatever fails is shown
with what to do about it; nothing fails silently.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

from fastapi import Request
from nicegui import Client, ui
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import FarmUnavailable, NotSignedIn, ReelyardError
from reelyard.services.live import LiveEvent
from reelyard.services.office import Office

_LOG = logging.getLogger(__name__)
SESSION_COOKIE = "reelyard_session"
_MOST_EVENTS = 500
T = TypeVar("T")


class Visitor:
    """The person at one page."""

    def __init__(self, office: Office, request: Request) -> None:
        self.office = office
        self.path = request.url.path
        self._secret = request.cookies.get(SESSION_COOKIE)
        self._who: Principal | None = None
        self.prefers_dark = {"dark": True, "light": False}.get(
            request.cookies.get("reelyard_look", "")
        )

    def principal(self) -> Principal:
        """Who it was when the page last asked; what a page shows goes by it, never what it does."""
        assert self._who is not None, "visitor_of has asked"
        return self._who

    def may(self, action: Action) -> bool:
        return self.principal().may(action)

    def identify(self) -> Principal:
        """Who it is now: an account may have been closed while the page was open. Raises NotSignedIn."""
        access = self.office.access
        self._who = access.by_session(self._secret) if self._secret else access.local()
        return self._who

    async def ask(self, call: Callable[[Principal], T]) -> T:
        """What a service answers; it is called in a thread. Raises ReelyardError."""
        return await run_in_threadpool(lambda: call(self.identify()))

    async def do(self, call: Callable[[Principal], T], done: str = "") -> T | None:
        """The same for a click: says ``done``, or shows what went wrong; None then."""
        try:
            answer = await self.ask(call)
        except NotSignedIn:
            ui.navigate.to(sign_in_address(self.path))
            return None
        except ReelyardError as error:
            show_error(error)
            return None
        if done:
            ui.notify(done, type="positive")
        return answer

    def on_live(self, handler: Callable[[Sequence[LiveEvent]], object], every: float = 0.5) -> None:
        """Have ``handler`` called in the page with what has happened, at most so often.

        Only what the visitor may see is passed on. It ends with the page.
        """
        happened: deque[LiveEvent] = deque(maxlen=_MOST_EVENTS)
        end = self.office.live.watch(happened.append)
        client: Client = ui.context.client
        client.on_delete(end)

        async def tell() -> None:
            news = [happened.popleft() for _ in range(len(happened))]
            if not news:
                return
            try:
                who = await self.ask(lambda principal: principal)
            except ReelyardError as error:
                _LOG.info("a page is told nothing more: %s", error)
                return
            theirs = [one for one in news if one.is_for(who)]
            if theirs:
                answer = handler(theirs)
                if hasattr(answer, "__await__"):
                    await answer

        ui.timer(every, tell)


def show_error(error: ReelyardError) -> None:
    """What went wrong, and what to do."""
    text = f"{error.message}. {error.remedy}." if error.remedy else f"{error.message}."
    ui.notify(text[:1].upper() + text[1:], type="negative", multi_line=True, timeout=8000,
              close_button="OK")  # fmt: skip


def sign_in_address(path: str) -> str:
    return f"/sign-in?to={quote(path, safe='/')}"


async def visitor_of(office: Office, request: Request) -> Visitor | Response:
    """The visitor of a page; or the way to sign in, or what keeps everybody out just now."""
    visitor = Visitor(office, request)
    try:
        await run_in_threadpool(visitor.identify)
    except NotSignedIn:
        return RedirectResponse(sign_in_address(request.url.path), status_code=303)
    except FarmUnavailable as error:
        _LOG.warning("a page can't be shown: %s", error)
        return HTMLResponse(_AWAY, status_code=503, headers={"Retry-After": "5"})
    return visitor


_AWAY = """<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>
<meta name=viewport content="width=device-width, initial-scale=1"><title>Reelyard</title>
<body style="font: 16px system-ui; max-width: 40em; margin: 15vh auto; padding: 0 1em">
<h1 style="font-size: 1.4em">The farm's database can't be reached just now</h1>
<p>Nothing is lost: jobs go on, and this page comes back by itself.</p>
<p>If it stays so, whoever looks after the server finds the reason in its log.</p>"""
