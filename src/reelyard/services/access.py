"""Who is asking: people by name and password, browsers by session, programs by token.

While nobody has an account, whoever sits at the machine may do everything, and nobody else anything. Where a Supabase
project is named, its users are people here as well, beside those who have accounts of the farm's own.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from pwdlib import PasswordHash

from reelyard.domain.access import (
    Account,
    Action,
    ApiToken,
    Principal,
    Role,
    Scope,
    Source,
    usable_scopes,
)
from reelyard.domain.errors import NotAllowed, NotSignedIn, RequestInvalid, printable
from reelyard.store.accounts import Accounts
from reelyard.store.people import Profiles
from reelyard.store.rows import UNKNOWN_USER

from .supabase_people import LONGEST_NAME, SupabasePeople
from .supabase_sign_in import Refusal, SignInRefused
from .supabase_tokens import looks_like_one
from .throttle import Throttle

SESSION_SECONDS = 14 * 24 * 3600
SUPABASE_SESSION_SECONDS = 12 * 3600
"""Shorter: whoever is removed or banned in Supabase is out of the pages by the next day."""
TOKEN_PREFIX = "reelyard_"  # noqa: S105 - tells what a leaked key belongs to
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
_HINT = len(TOKEN_PREFIX) + 4


@dataclass(frozen=True)
class Access:
    """The use cases. ``local_username`` is called so who works at the machine itself."""

    accounts: Accounts
    profiles: Profiles
    local_username: str
    hasher: Callable[[], PasswordHash] = PasswordHash.recommended
    supabase: SupabasePeople | None = None

    @cached_property
    def _hasher(self) -> PasswordHash:
        return self.hasher()

    @cached_property
    def _by_name(self) -> Throttle:
        """Of wrong tries with a name, from one address: others can't lock its owner out."""
        return Throttle("5/minute", "30/hour")

    @cached_property
    def _by_address(self) -> Throttle:
        return Throttle("20/minute", "200/hour")

    @cached_property
    def _one_at_a_time(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def _nobodys(self) -> str:
        """Checked where nobody has the name, so that the answer takes as long."""
        return self._hasher.hash(secrets.token_urlsafe())

    @cached_property
    def _closed(self) -> threading.Event:
        return threading.Event()

    @property
    def is_open(self) -> bool:
        """Whether nobody has an account yet. Accounts are never removed, so it is asked until there is one.

        Where Supabase's users are people here, it never is.
        """
        if self.supabase is not None:
            return False
        if not self._closed.is_set() and self.accounts.any():
            self._closed.set()
        return not self._closed.is_set()

    def local(self) -> Principal:
        """The person at the machine. Raises NotSignedIn once there are accounts."""
        if not self.is_open:
            raise _signed_out()
        user_id = self.profiles.local(self.local_username)
        return Principal(user_id=user_id, username=self.local_username, role=Role.ADMIN)

    @property
    def takes_emails(self) -> bool:
        """Whether Supabase's users can sign in to the pages."""
        return self.supabase is not None and self.supabase.sign_in is not None

    def sign_in(self, username: str, password: str, address: str) -> str:
        """The secret of a new session. Raises NotSignedIn, TooManyRequests or SupabaseUnavailable."""
        supabase = self._supabase_for(username)
        if supabase is not None:
            account = self._checked_there(supabase, username, password, address)
            seconds = SUPABASE_SESSION_SECONDS
        else:
            with self._one_at_a_time:  # else many tries at once pass before the first is counted
                account = self._checked(username, password, address)
            seconds = SESSION_SECONDS
        secret = secrets.token_urlsafe(32)
        self.accounts.open_session(account.user_id, digest(secret), seconds)
        return secret

    def _supabase_for(self, username: str) -> SupabasePeople | None:
        """Who checks the password of an email address, unless somebody's account here is called so."""
        if "@" not in username or not self.takes_emails:
            return None
        known = self.accounts.by_name(username)
        return None if known is not None and known[0].source is Source.LOCAL else self.supabase

    def _checked_there(
        self, supabase: SupabasePeople, email: str, password: str, address: str
    ) -> Account:
        name = email.strip().casefold()[:LONGEST_NAME]
        with self._by_address.trying(address), self._by_name.trying(name, address):
            try:
                if len(password) > LONGEST_PASSWORD:
                    raise SignInRefused(Refusal.WRONG)
                return supabase.by_password(email, password)
            except NotSignedIn:
                self._by_address.count(address)
                self._by_name.count(name, address)
                raise

    def _checked(self, username: str, password: str, address: str) -> Account:
        name = username.casefold()[:LONGEST_NAME]
        self._by_address.check(address)
        self._by_name.check(name, address)
        known = self.accounts.by_name(username)
        stored = known[1] if known else None
        right = self._hasher.verify(password[: LONGEST_PASSWORD + 1], stored or self._nobodys)
        if known is None or stored is None or not right or not known[0].is_active:
            self._by_address.count(address)
            self._by_name.count(name, address)
            raise NotSignedIn("that name and password don't go together",
                              remedy="Check both, or ask an admin for a new password")  # fmt: skip
        return known[0]

    def sign_out(self, principal: Principal) -> None:
        if principal.session is not None:
            self.accounts.close_session(principal.session)

    def by_session(self, secret: str) -> Principal:
        """Raises NotSignedIn."""
        session = digest(secret)
        account = self.accounts.of_session(session)
        if account is None:
            raise _signed_out()
        return Principal(
            user_id=account.user_id, username=account.username, role=account.role, session=session
        )

    def by_token(self, secret: str) -> Principal:
        """Raises NotSignedIn, or SupabaseUnavailable for one of Supabase's."""
        if self.supabase is not None and looks_like_one(secret):
            return self.supabase.by_token(secret)
        known = self.accounts.of_token(digest(secret))
        if known is None:
            raise NotSignedIn("that token is not known, revoked or expired",
                              remedy="Make a new one")  # fmt: skip
        account, token = known
        return Principal(user_id=account.user_id, username=account.username, role=account.role,
                         scopes=frozenset(token.scopes))  # fmt: skip

    # People

    def users(self, principal: Principal) -> Collection[Account]:
        principal.allow(Action.ADMINISTER)
        return self.accounts.list()

    def add_user(
        self, principal: Principal, username: str, password: str, role: Role
    ) -> Account:  # fmt: skip
        """The first account has to be an admin's. Raises RequestInvalid, Conflict."""
        principal.allow(Action.ADMINISTER)
        name = check_name(username)
        check_password(password, name)
        if role is not Role.ADMIN and self.is_open:
            raise RequestInvalid("the first account has to be an admin's", field="role",
                                 remedy="Make an admin first: from then on people sign in")  # fmt: skip
        return self.accounts.add(name, self._hasher.hash(password), role, by=principal.username)

    def change_user(
        self,
        principal: Principal,
        user_id: str,
        *,
        role: Role | None = None,
        is_active: bool | None = None,
        password: str | None = None,
    ) -> Account:
        """Raises NotFound, RequestInvalid, Conflict."""
        principal.allow(Action.ADMINISTER)
        hashed = None
        if password is not None:
            account = self.accounts.get(user_id)
            _check_source(account)
            check_password(password, account.username)
            hashed = self._hasher.hash(password)
        return self.accounts.change(
            user_id, role=role, is_active=is_active, password_hash=hashed, by=principal.username
        )

    def change_own_password(self, principal: Principal, old: str, new: str) -> None:
        """Signs the person out everywhere. Raises RequestInvalid, NotAllowed, TooManyRequests."""
        principal.allow(Action.OWN_ACCOUNT)
        if principal.session is None:
            raise NotAllowed("only a person who signed in can change a password",
                             remedy="Sign in to the pages")  # fmt: skip
        self._by_name.check(principal.user_id)
        known = self.accounts.by_name(principal.username)
        if known is not None:
            _check_source(known[0])
        if known is None or not self._hasher.verify(old[: LONGEST_PASSWORD + 1], known[1] or ""):
            self._by_name.count(principal.user_id)
            raise RequestInvalid("that is not the password you have now", field="old_password",
                                 remedy="Ask an admin for a new one")  # fmt: skip
        check_password(new, principal.username)
        self.accounts.change(
            principal.user_id, password_hash=self._hasher.hash(new), by=principal.username
        )

    def own_account(self, principal: Principal) -> Account | None:
        """The account of who asks; None at the machine, while nobody has one."""
        return self.accounts.find(principal.user_id)

    # Tokens

    def tokens(self, principal: Principal, *, everybody: bool = False) -> Collection[ApiToken]:
        principal.allow(Action.ADMINISTER if everybody else Action.OWN_ACCOUNT)
        return self.accounts.tokens(None if everybody else principal.user_id)

    def add_token(
        self,
        principal: Principal,
        name: str,
        scopes: Collection[Scope],
        days: int | None = None,
    ) -> tuple[str, ApiToken]:
        """A new token and its secret, which is shown this once. It carries no more than its maker has.

        Raises RequestInvalid, NotAllowed.
        """
        principal.allow(Action.OWN_ACCOUNT)
        if principal.scopes is not None:
            raise NotAllowed("a token makes no tokens", remedy="Sign in to the pages to make one")
        if self.is_open:
            raise RequestInvalid("tokens belong to accounts, and nobody has one yet",
                                 remedy="Add an admin first; until then no token is needed")  # fmt: skip
        if not scopes:
            raise RequestInvalid("a token needs a scope", field="scopes",
                                 remedy=f"Give it one of {', '.join(Scope)}")  # fmt: skip
        beyond = [one for one in Scope if one in scopes and not _has(principal, one)]
        if beyond:
            raise NotAllowed(f"you can't give away {', '.join(beyond)}",
                             remedy="Leave that scope out")  # fmt: skip
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
        token = self.accounts.add_token(
            principal.user_id, name.strip()[:LONGEST_NAME] or "token", secret[:_HINT],
            digest(secret), scopes, ends, by=principal.username,
        )  # fmt: skip
        return secret, token

    def revoke_token(self, principal: Principal, token_id: str) -> ApiToken:
        """Raises NotFound."""
        principal.allow(Action.OWN_ACCOUNT)
        own = None if principal.may(Action.ADMINISTER) else principal.user_id
        return self.accounts.revoke(token_id, own, by=principal.username)


def _check_source(account: Account) -> None:
    """Raises RequestInvalid."""
    if account.source is Source.SUPABASE:
        raise RequestInvalid(f"the password of {printable(account.username)} is kept by Supabase",
                             field="password", remedy="Change it there")  # fmt: skip


def _has(principal: Principal, scope: Scope) -> bool:
    held = principal.scopes is None or scope in principal.scopes
    return held and scope in usable_scopes(principal.role)


def _signed_out() -> NotSignedIn:
    return NotSignedIn("you are not signed in", remedy="Sign in, or send a token")


def digest(secret: str) -> str:
    """SHA-256: these secrets are long and random, so nothing slower is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_name(username: str) -> str:
    """The name as it is kept. Raises RequestInvalid."""
    name = username.strip()
    if name.casefold() == UNKNOWN_USER:
        raise RequestInvalid("nobody is called unknown: jobs whose user isn't known are",
                             field="username", remedy="Choose another name")  # fmt: skip
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != username.strip():
        raise RequestInvalid("that can't be a user's name", field="username",
                             remedy=f"Use 1 to {LONGEST_NAME} characters that can be seen")  # fmt: skip
    return name


def check_password(password: str, username: str) -> None:
    """Raises RequestInvalid."""
    remedy = f"Use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; a few words do well"
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise RequestInvalid("the password is too short or too long", field="password",
                             remedy=remedy)  # fmt: skip
    if len(set(password)) < 4 or username.casefold() in password.casefold():
        raise RequestInvalid("the password is too easy to guess", field="password", remedy=remedy)
