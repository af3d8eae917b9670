"""Signing in with the email address and password of a Supabase project's user."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from reelyard.domain.errors import NotSignedIn, TooManyRequests, printable

from .supabase_project import Reply, unavailable

TOKEN_PATH = "/auth/v1/token?grant_type=password"  # noqa: S105 - an address
LONGEST_EMAIL = 254
_OK, _TOO_MANY = 200, 429
_USUAL_WAIT = 60


class Refusal(StrEnum):
    """Why somebody is not let in."""

    WRONG = "wrong"
    UNCONFIRMED = "unconfirmed"
    SECOND_FACTOR = "second-factor"
    BANNED = "banned"
    CAPTCHA = "captcha"


WORDS: Mapping[Refusal, tuple[str, str]] = {
    Refusal.WRONG: ("that name and password don't go together",
                    "Check both, or ask an admin for a new password"),
    Refusal.UNCONFIRMED: ("this email address has not been confirmed yet",
                          "Follow the link in the email that Supabase sent, then sign in"),
    Refusal.SECOND_FACTOR: ("this account is protected by a second factor, which this page can't ask for",
                            "Ask an admin for an account of the farm's own; programs may send the token of a full sign-in"),
    Refusal.BANNED: ("this user is banned in Supabase", "Ask who looks after the Supabase project"),
    Refusal.CAPTCHA: ("the Supabase project asks for a captcha, which this page can't show",
                      "Ask an admin for an account of the farm's"),
}  # fmt: skip
_REFUSALS = {
    "invalid_credentials": Refusal.WRONG,
    "invalid_grant": Refusal.WRONG,  # servers of before 2024
    "user_not_found": Refusal.WRONG,
    "validation_failed": Refusal.WRONG,
    "email_address_invalid": Refusal.WRONG,
    "email_not_confirmed": Refusal.UNCONFIRMED,
    "provider_email_needs_verification": Refusal.UNCONFIRMED,
    "user_banned": Refusal.BANNED,
    "insufficient_aal": Refusal.SECOND_FACTOR,
    "captcha_failed": Refusal.CAPTCHA,
}


class SignInRefused(NotSignedIn):
    """Supabase does not let somebody in."""

    def __init__(self, reason: Refusal) -> None:
        message, remedy = WORDS[reason]
        super().__init__(message, remedy=remedy)
        self.reason = reason


class Asks(Protocol):
    def post(self, path: str, document: Mapping[str, Any]) -> Reply:
        """Raises SupabaseUnavailable."""


class SupabaseSignIn:
    """The project's sign-in."""

    def __init__(self, project: Asks) -> None:
        self._project = project

    def token(self, email: str, password: str) -> str:
        """An access token of the user's, not looked at yet.

        Raises SignInRefused, TooManyRequests, SupabaseUnavailable.
        """
        reply = self._project.post(TOKEN_PATH, {"email": email.strip(), "password": password})
        token = reply.fields.get("access_token")
        if reply.status != _OK or not isinstance(token, str):
            raise _refused(reply)
        if _has_second_factor(reply.fields.get("user")):
            raise SignInRefused(Refusal.SECOND_FACTOR)
        return token


def _has_second_factor(user: Any) -> bool:
    """With one, a password alone is not all it takes to be signed in."""
    factors = user.get("factors") if isinstance(user, dict) else None
    return isinstance(factors, list) and any(
        isinstance(one, dict) and one.get("status") == "verified" for one in factors
    )


def _refused(reply: Reply) -> Exception:
    """Each generation of Supabase's server has put its code somewhere else."""
    codes = [reply.fields.get(name) for name in ("error_code", "code", "error")]
    code = next((one for one in codes if isinstance(one, str)), "")
    texts = [reply.fields.get(name) for name in ("error_description", "msg", "message")]
    said = next((one for one in texts if isinstance(one, str)), "")
    if reply.status == _TOO_MANY:
        given = reply.retry_after or ""
        wait = min(int(given), 3600) if given.isascii() and given.isdecimal() else _USUAL_WAIT
        return TooManyRequests("Supabase takes no more sign-ins from this server just now",
                               retry_after=wait, remedy="Try again in a minute")  # fmt: skip
    if code == "invalid_grant" and "not confirmed" in said.lower():
        return SignInRefused(Refusal.UNCONFIRMED)
    if code in _REFUSALS:
        return SignInRefused(_REFUSALS[code])
    what = printable(code or said)[:100] or "nothing that is understood"
    return unavailable(
        f"it answered {reply.status} to a sign-in ({what}); is REELYARD_SUPABASE_KEY right?"
    )
