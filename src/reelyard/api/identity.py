"""Who sends a request: a token in the header, a session's cookie, or the person at the machine."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from reelyard.domain.access import Principal
from reelyard.domain.errors import NotSignedIn
from reelyard.services.office import Office

SESSION_COOKIE = "reelyard_session"


def office_of(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def identify(office: Office, request: Request) -> Principal:
    """Raises NotSignedIn."""
    header = request.headers.get("authorization")
    if header is not None:
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            raise NotSignedIn("the Authorization header is not understood",
                              remedy="Send Bearer and a token")  # fmt: skip
        return office.access.by_token(secret.strip())
    cookie = request.cookies.get(SESSION_COOKIE)
    return office.access.by_session(cookie) if cookie else office.access.local()


def _principal(request: Request) -> Principal:
    return identify(office_of(request), request)


TheOffice = Annotated[Office, Depends(office_of)]
Who = Annotated[Principal, Depends(_principal)]
