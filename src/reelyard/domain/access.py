"""Who may what. One table says, for each thing that can be done, which role and which scope it takes.

A role is a person's: operators see and change their own jobs, managers everybody's, admins look after
people and settings as well. A scope is an API token's: what of its owner's rights the token carries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from .errors import NotAllowed


class Role(StrEnum):
    """What a person is, from the least rights to the most."""

    OPERATOR = "operator"
    MANAGER = "manager"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


class Scope(StrEnum):
    """What an API token is good for."""

    READ = "read"  # look
    WRITE = "write"  # submit, and change one's own
    MANAGE = "manage"  # other people's, the queue and the workers
    ADMIN = "admin"  # people, settings, audit


class Source(StrEnum):
    """Who knows a person's password."""

    LOCAL = "local"
    SUPABASE = "supabase"


class Action(StrEnum):
    """Everything that can be done, by the API or in the pages."""

    SEE_JOBS = "see jobs"
    SUBMIT = "submit jobs"
    CHANGE_JOBS = "change jobs"
    SEE_QUEUE = "see the queue"
    ORDER_QUEUE = "put the queue in order"
    SEE_HISTORY = "see the history"
    SEE_WORKERS = "see the workers"
    ORDER_WORKERS = "give orders to workers"
    SEE_LIBRARY = "see the library"
    UPLOAD = "upload files"
    SEE_TEMPLATES = "see templates"
    CHANGE_TEMPLATES = "change templates"
    DRAFT = "make drafts"
    WEBHOOKS = "look after webhooks"
    OWN_ACCOUNT = "look after their own account"
    SEE_METRICS = "see the farm's metrics"
    ADMINISTER = "look after people and settings"


GRANTS: Mapping[Action, tuple[Role, Scope]] = MappingProxyType({
    Action.SEE_JOBS: (Role.OPERATOR, Scope.READ),
    Action.SUBMIT: (Role.OPERATOR, Scope.WRITE),
    Action.CHANGE_JOBS: (Role.OPERATOR, Scope.WRITE),
    Action.SEE_QUEUE: (Role.OPERATOR, Scope.READ),
    Action.ORDER_QUEUE: (Role.MANAGER, Scope.MANAGE),
    Action.SEE_HISTORY: (Role.OPERATOR, Scope.READ),
    Action.SEE_WORKERS: (Role.OPERATOR, Scope.READ),
    Action.ORDER_WORKERS: (Role.MANAGER, Scope.MANAGE),
    Action.SEE_LIBRARY: (Role.OPERATOR, Scope.READ),
    Action.UPLOAD: (Role.OPERATOR, Scope.WRITE),
    Action.SEE_TEMPLATES: (Role.OPERATOR, Scope.READ),
    Action.CHANGE_TEMPLATES: (Role.OPERATOR, Scope.WRITE),
    Action.DRAFT: (Role.OPERATOR, Scope.WRITE),
    Action.WEBHOOKS: (Role.OPERATOR, Scope.WRITE),
    Action.OWN_ACCOUNT: (Role.OPERATOR, Scope.WRITE),
    Action.SEE_METRICS: (Role.MANAGER, Scope.READ),
    Action.ADMINISTER: (Role.ADMIN, Scope.ADMIN),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. ``scopes`` is None for a person at the page or at the machine: all of them.

    Whoever comes with one of Supabase's tokens has all of them named: what it takes a person at the page for, such a
    token is not enough for.

    ``session`` is the hash of the session that the person came with, if any.
    """

    user_id: str
    username: str
    role: Role
    scopes: frozenset[Scope] | None = None
    session: str | None = None

    @property
    def sees_all(self) -> bool:
        """Whether other people's jobs are theirs to see."""
        return self.role.rank >= Role.MANAGER.rank

    @property
    def changes_all(self) -> bool:
        """Whether they may change other people's things as well; a token needs the scope for it."""
        return self.sees_all and (self.scopes is None or Scope.MANAGE in self.scopes)

    def may(self, action: Action) -> bool:
        role, scope = GRANTS[action]
        has_scope = self.scopes is None or scope in self.scopes
        return self.role.rank >= role.rank and has_scope

    def sees(self, owner_id: str) -> bool:
        """Whether something of ``owner_id`` is theirs to see."""
        return self.sees_all or self.user_id == owner_id

    def allow_change(self, owner_id: str) -> None:
        """Raises NotAllowed for something of ``owner_id`` that they see and may not change."""
        if self.user_id != owner_id and not self.changes_all:
            raise NotAllowed("this token changes nothing of other people",
                             remedy=f"Use a token with the scope {Scope.MANAGE}")  # fmt: skip

    def allow(self, action: Action) -> None:
        """Raises NotAllowed."""
        if self.may(action):
            return
        role, scope = GRANTS[action]
        if self.role.rank < role.rank:
            raise NotAllowed(f"{_article(self.role)} can't {action}",
                             remedy=f"Ask {_article(role)}")  # fmt: skip
        raise NotAllowed(f"this token can't {action}",
                         remedy=f"Use a token with the scope {scope}")  # fmt: skip


def _article(role: Role) -> str:
    return f"{'a' if role is Role.MANAGER else 'an'} {role}"


def usable_scopes(role: Role) -> Collection[Scope]:
    """The scopes that mean something in the hands of this role."""
    return [
        scope
        for scope in Scope
        if any(role.rank >= least.rank and scope is one for least, one in GRANTS.values())
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may sign in.

    ``claims_at`` is when the newest of Supabase's tokens was issued that the role was taken from.
    """

    user_id: str
    username: str
    role: Role
    is_active: bool
    source: Source
    created_at: datetime
    signed_in_at: datetime | None
    claims_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A program's key, without what is secret of it. ``hint`` is how the key begins."""

    token_id: str
    user_id: str
    username: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None
