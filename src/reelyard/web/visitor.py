"""Who looks at a page, and how a page does something for them.

A page lives for hours: who its visitor is, is asked anew for everything that it does. Whatever fails is shown
with what to do about it; nothing fails silently.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar, cast
from urllib.parse import quote

from fastapi import Request
from nicegui import Client, run, ui
from starlette.responses import RedirectResponse, Response

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import NotSignedIn, ReelyardError
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
        self.prefers_dark = {"dark": True, "light": False}.get(
            request.cookies.get("reelyard_look", "")
        )

    def principal(self) -> Principal:
        """Raises NotSignedIn: an account may have been closed while the page was open."""
        if self._secret:
            return self.office.access.by_session(self._secret)
        return self.office.access.local()

    def may(self, action: Action) -> bool:
        return self.principal().may(action)

    async def ask(self, call: Callable[[Principal], T]) -> T:
        """What a service answers; it is called in a thread. Raises ReelyardError."""
        answer = await run.io_bound(lambda: call(self.principal()))
        return cast(T, answer)  # None instead only while the server ends

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


def visitor_of(office: Office, request: Request) -> Visitor | Response:
    """The visitor of a page, or the way to sign in."""
    visitor = Visitor(office, request)
    try:
        visitor.principal()
    except NotSignedIn:
        return RedirectResponse(sign_in_address(request.url.path), status_code=303)
    return visitor
