"""The users of a Supabase project as people of the farm.

Each gets an account when first seen, whichever way they come. It has no password; its role is what the newest of
their tokens says; its name is theirs alone and stays, because uploads and the audit go by it. So they can be shut out
here like everybody, and API tokens, sessions and webhooks have somebody whom they belong to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reelyard.domain.access import Account, Principal, Scope, Source
from reelyard.domain.errors import NotSignedIn
from reelyard.store.accounts import Accounts
from reelyard.store.people import Profiles
from reelyard.store.rows import UNKNOWN_USER

from .supabase_sign_in import LONGEST_EMAIL, Refusal, SignInRefused, SupabaseSignIn
from .supabase_tokens import SupabaseTokens, SupabaseUser

LONGEST_NAME = 60
_MOST_NAMESAKES = 20
_NAMELESS = "user"


class ShutOut(NotSignedIn):
    """Supabase knows them, and an admin of the farm doesn't want them."""


@dataclass(frozen=True, kw_only=True)
class SupabasePeople:
    """``sign_in`` is None where the project's key is not known: tokens are taken all the same."""

    accounts: Accounts
    profiles: Profiles
    tokens: SupabaseTokens
    sign_in: SupabaseSignIn | None = None

    def by_token(self, token: str) -> Principal:
        """Who sends one of Supabase's access tokens. Raises NotSignedIn, SupabaseUnavailable."""
        account = self._account(self.tokens.verify(token))
        # All scopes and not None: a token that lasts an hour must not make one that lasts for years.
        return Principal(user_id=account.user_id, username=account.username, role=account.role,
                         scopes=frozenset(Scope))  # fmt: skip

    def by_password(self, email: str, password: str) -> Account:
        """Raises NotSignedIn, TooManyRequests, SupabaseUnavailable."""
        assert self.sign_in is not None
        if len(email) > LONGEST_EMAIL or not password:
            raise SignInRefused(Refusal.WRONG)
        user = self.tokens.verify(self.sign_in.token(email, password))
        return self._account(user, signs_in=True)

    def _account(self, user: SupabaseUser, *, signs_in: bool = False) -> Account:
        """Theirs, made or brought up to date. Raises NotSignedIn for who is shut out."""
        account = self.accounts.find(user.user_id)
        if account is None:
            account = self.accounts.adopt(
                user.user_id, self._names(user), user.role, user.issued_at
            )
        elif account.source is Source.SUPABASE and account.is_active:
            is_news = account.claims_at is None or account.claims_at < user.issued_at
            if is_news or (signs_in and account.role is not user.role):
                account = self.accounts.take_over(
                    user.user_id, user.role, user.issued_at, signs_in=signs_in
                )
        if not account.is_active:
            raise ShutOut("your account is shut out of this farm", remedy="Ask an admin")
        return account

    def _names(self, user: SupabaseUser) -> Iterator[str]:
        """What the account may be called, the best first."""
        wanted = self.profiles.username(user.user_id)
        if wanted == UNKNOWN_USER:
            wanted = user.email.partition("@")[0]
        name = "".join(char for char in wanted if char.isprintable()).strip()[:LONGEST_NAME].strip()
        if not name or name.casefold() == UNKNOWN_USER:
            name = _NAMELESS
        yield name
        for number in range(2, _MOST_NAMESAKES):
            mark = f" {number}"
            yield name[: LONGEST_NAME - len(mark)] + mark
        yield f"{_NAMELESS} {user.user_id}"
