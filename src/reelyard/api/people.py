"""People: signing in and out, accounts, tokens; settings in force, and who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from reelyard.domain.access import Action
from reelyard.domain.query import MOST_AT_ONCE
from reelyard.services.access import SESSION_SECONDS

from .identity import SESSION_COOKIE, TheOffice, Who
from .schemas import HappeningOut, outs
from .schemas_office import (
    AccountChange,
    AccountIn,
    AccountOut,
    AuditOut,
    NewTokenOut,
    PasswordChange,
    SignIn,
    TokenIn,
    TokenOut,
    WhoOut,
)

router = APIRouter()


@router.get("/session", tags=["session"])
def who_am_i(office: TheOffice, who: Who) -> WhoOut:
    """Who you are here, and what you may."""
    scopes = None if who.scopes is None else sorted(who.scopes)
    return WhoOut(user_id=who.user_id, username=who.username, role=who.role, scopes=scopes,
                  is_open=office.access.is_open)  # fmt: skip


@router.post("/session", status_code=204, tags=["session"])
def sign_in(office: TheOffice, request: Request, response: Response, given: SignIn) -> None:
    """Sign in; the session is a cookie that scripts can't read."""
    address = request.client.host if request.client else ""
    secret = office.access.sign_in(given.username, given.password, address)
    response.set_cookie(SESSION_COOKIE, secret, max_age=SESSION_SECONDS, httponly=True,
                        samesite="lax", secure=request.url.scheme == "https")  # fmt: skip


@router.delete("/session", status_code=204, tags=["session"])
def sign_out(office: TheOffice, who: Who, response: Response) -> None:
    """End the session."""
    office.access.sign_out(who)
    response.delete_cookie(SESSION_COOKIE)


@router.put("/session/password", status_code=204, tags=["session"])
def change_password(office: TheOffice, who: Who, given: PasswordChange) -> None:
    """Choose another password. All sessions end."""
    office.access.change_own_password(who, given.old_password, given.new_password)


@router.get("/tokens", tags=["tokens"])
def list_tokens(office: TheOffice, who: Who, everybody: bool = False) -> list[TokenOut]:
    """Your tokens, or everybody's (admins); their secrets are not known to anybody."""
    return outs(TokenOut, list(office.access.tokens(who, everybody=everybody)))


@router.post("/tokens", status_code=201, tags=["tokens"])
def add_token(office: TheOffice, who: Who, wish: TokenIn) -> NewTokenOut:
    """Make a token. Its secret is in this answer, and nowhere else."""
    secret, token = office.access.add_token(who, wish.name, wish.scopes, wish.days)
    return NewTokenOut(secret=secret, token=TokenOut.model_validate(token))


@router.delete("/tokens/{token_id}", tags=["tokens"])
def revoke_token(office: TheOffice, who: Who, token_id: str) -> TokenOut:
    """Have a token be worth nothing from now on: one of yours, or anybody's (admins)."""
    return TokenOut.model_validate(office.access.revoke_token(who, token_id))


@router.get("/users", tags=["administration"])
def list_users(office: TheOffice, who: Who) -> list[AccountOut]:
    """Everybody who may sign in, or might."""
    return outs(AccountOut, list(office.access.users(who)))


@router.post("/users", status_code=201, tags=["administration"])
def add_user(office: TheOffice, who: Who, wish: AccountIn) -> AccountOut:
    """Add somebody. The first account has to be an admin's; from then on everybody signs in."""
    found = office.access.add_user(who, wish.username, wish.password, wish.role)
    return AccountOut.model_validate(found)


@router.patch("/users/{user_id}", tags=["administration"])
def change_user(office: TheOffice, who: Who, user_id: str, wish: AccountChange) -> AccountOut:
    """Give somebody another role or password, shut them out, or let them in again."""
    found = office.access.change_user(who, user_id, role=wish.role, is_active=wish.is_active,
                                      password=wish.password)  # fmt: skip
    return AccountOut.model_validate(found)


@router.get("/settings", tags=["administration"])
def settings(office: TheOffice, who: Who) -> dict[str, str]:
    """The settings in force, without passwords."""
    return dict(office.admin.settings(who))


@router.get("/audit", tags=["administration"])
def audit(
    office: TheOffice,
    who: Who,
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 100,
    before: Annotated[int | None, Query(ge=1, le=1 << 62)] = None,
    actor: Annotated[str | None, Query(max_length=200)] = None,
) -> list[AuditOut]:
    """Who did what, the latest first; `before` is the number from which to go on."""
    who.allow(Action.ADMINISTER)
    found = office.admin.audit(who, limit, before, actor)
    return [AuditOut(number=n, entry=HappeningOut.model_validate(one)) for n, one in found]
