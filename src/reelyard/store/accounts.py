"""People who may sign in, their sessions, and the keys of their programs. Secrets are here only as hashes."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reelyard.domain.access import Account, ApiToken, Role, Scope, Source
from reelyard.domain.errors import Conflict, NotFound, printable

from .clock import now
from .database import Database
from .moves import note
from .people import introduce, set_name
from .rows import Row, decoded, encoded, job_id_of
from .schema import accounts, api_tokens, sessions

_SEEN_EVERY = 60.0  # seconds: noting each request would be a write for each read


class Accounts:
    """The tables of accounts, sessions and API tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any(self) -> bool:
        """Whether anybody has an account, active or not: once there was one, nobody is let in unknown."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(sa.literal(1)).select_from(accounts).limit(1)) == 1

    def add(
        self, username: str, password_hash: str, role: Role, *, by: str | None = None
    ) -> Account:
        """Raises Conflict where somebody has that name."""
        user_id = str(uuid.uuid4())
        values = {
            "user_id": user_id, "username": encoded(username), "name_key": _key(username),
            "password_hash": password_hash, "role": role.value, "is_active": True,
            "created_at": now(),
        }  # fmt: skip
        try:
            with self._database.writing() as connection:
                connection.execute(sa.insert(accounts).values(**values))
                set_name(connection, user_id, username)
                note(connection, "account", f"{username} was added as {role}", by=by)
        except IntegrityError as error:
            raise Conflict(f"there is a {printable(username)} already",
                           remedy="Choose another name") from error  # fmt: skip
        return self.get(user_id)

    def adopt(self, user_id: str, names: Iterable[str], role: Role, claims_at: datetime) -> Account:
        """An account for somebody who comes from Supabase, called by the first of ``names`` that nobody has.

        Whoever has one keeps it.
        """
        for name in names:
            values = {
                "user_id": user_id, "username": encoded(name), "name_key": _key(name),
                "role": role.value, "is_active": True, "created_at": now(),
                "source": Source.SUPABASE.value, "claims_at": claims_at,
            }  # fmt: skip
            try:
                with self._database.writing() as connection:
                    connection.execute(sa.insert(accounts).values(**values))
                    introduce(connection, user_id, name)
                    note(connection, "account", f"{name} came from Supabase as {role}", by=name)
            except IntegrityError:
                # Somebody has that name; or they came twice at the same moment.
                if (known := self.find(user_id)) is not None:
                    return known
            else:
                return self.get(user_id)
        raise Conflict(f"all names like {printable(name)} are taken", remedy="Choose another name")

    def take_over(
        self, user_id: str, role: Role, claims_at: datetime, *, signs_in: bool = False
    ) -> Account:
        """What Supabase says of somebody's role, unless it said something newer; it counts whenever they sign in."""
        older = sa.or_(accounts.c.claims_at.is_(None), accounts.c.claims_at < claims_at)
        this = sa.and_(accounts.c.user_id == user_id, sa.true() if signs_in else older)
        with self._database.writing() as connection:
            before = _account(connection, user_id)
            values = {"role": role.value, "claims_at": claims_at}
            connection.execute(sa.update(accounts).where(this).values(**values))
            after = _account(connection, user_id)
            if after.role is not before.role:
                said = f"{after.username}: is {after.role} now, as Supabase says"
                note(connection, "account", said, by=after.username)
            return after

    def get(self, user_id: str) -> Account:
        """Raises NotFound."""
        with self._database.reading() as connection:
            return _account(connection, user_id)

    def find(self, user_id: str) -> Account | None:
        """The account, where there is one."""
        try:
            return self.get(user_id)
        except NotFound:
            return None

    def by_name(self, username: str) -> tuple[Account, str | None] | None:
        """Somebody's account and password's hash."""
        query = sa.select(accounts).where(accounts.c.name_key == _key(username))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else (_account_of(row), row.password_hash)

    def list(self) -> Sequence[Account]:
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(accounts).order_by(accounts.c.name_key))
            return [_account_of(row) for row in rows]

    def change(
        self,
        user_id: str,
        *,
        role: Role | None = None,
        is_active: bool | None = None,
        password_hash: str | None = None,
        by: str | None = None,
    ) -> Account:
        """Whoever is shut out, or gets another password, is signed out everywhere.

        Who is shut out loses all tokens, too; with another password they stay.

        Raises NotFound, or Conflict where nobody would be left to look after the farm.
        """
        given = {
            "role": role and role.value,
            "is_active": is_active,
            "password_hash": password_hash,
        }
        values = {name: value for name, value in given.items() if value is not None}
        with self._database.writing() as connection:
            account = _account(connection, user_id)
            if not values:
                return account
            # Locked first: of two admins who shut each other out, the second finds that out.
            connection.execute(
                sa.select(accounts.c.user_id).where(_ADMINS).order_by("user_id").with_for_update()
            ).all()
            connection.execute(
                sa.update(accounts).where(accounts.c.user_id == account.user_id).values(**values)
            )
            _check_admins(connection)
            if is_active is False or password_hash is not None:
                connection.execute(sa.delete(sessions).where(sessions.c.user_id == account.user_id))
            if is_active is False:
                connection.execute(
                    sa.update(api_tokens)
                    .where(
                        api_tokens.c.user_id == account.user_id, api_tokens.c.revoked_at.is_(None)
                    )
                    .values(revoked_at=now())
                )
            said = ", ".join(_said(name, value) for name, value in values.items())
            note(connection, "account", f"{account.username}: {said}", by=by)
            return _account(connection, user_id)

    # Sessions

    def open_session(self, user_id: str, token_hash: str, seconds: float) -> None:
        """Somebody has signed in, for so long."""
        with self._database.writing() as connection:
            connection.execute(
                sa.insert(sessions).values(
                    token_hash=token_hash, user_id=user_id, created_at=now(), seen_at=now(),
                    expires_at=now(seconds),
                )
            )  # fmt: skip
            this = accounts.c.user_id == user_id
            connection.execute(sa.update(accounts).where(this).values(signed_in_at=now()))
            connection.execute(sa.delete(sessions).where(sessions.c.expires_at < now()))
            account = _account(connection, user_id)
            note(connection, "sign_in", f"{account.username} signed in", by=account.username)

    def of_session(self, token_hash: str) -> Account | None:
        """Whose session it is; None where it has ended, or its person is shut out."""
        query = (
            sa.select(accounts, (sessions.c.seen_at < now(-_SEEN_EVERY)).label("stale"))
            .select_from(sessions.join(accounts, accounts.c.user_id == sessions.c.user_id))
            .where(
                sessions.c.token_hash == token_hash, sessions.c.expires_at > now(),
                accounts.c.is_active,
            )
        )  # fmt: skip
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if row.stale:
            self._seen(sessions, sessions.c.token_hash == token_hash, "seen_at")
        return _account_of(row)

    def close_session(self, token_hash: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.token_hash == token_hash))

    # Tokens

    def add_token(
        self,
        user_id: str,
        name: str,
        hint: str,
        token_hash: str,
        scopes: Collection[Scope],
        expires_at: datetime | None,
        *,
        by: str | None = None,
    ) -> ApiToken:
        token_id = str(uuid.uuid4())
        values = {
            "token_id": token_id, "user_id": user_id, "name": encoded(name), "hint": hint,
            "token_hash": token_hash, "scopes": [one.value for one in Scope if one in scopes],
            "created_at": now(), "expires_at": expires_at,
        }  # fmt: skip
        with self._database.writing() as connection:
            connection.execute(sa.insert(api_tokens).values(**values))
            note(connection, "token", f"token {name} ({hint}…) was made", by=by)
            row = connection.execute(_TOKENS.where(api_tokens.c.token_id == token_id)).one()
            return _token_of(row)

    def of_token(self, token_hash: str) -> tuple[Account, ApiToken] | None:
        """Whose token it is; None where it is revoked or expired, or its person is shut out."""
        query = _TOKENS.add_columns(
            sa.or_(
                api_tokens.c.used_at.is_(None), api_tokens.c.used_at < now(-_SEEN_EVERY)
            ).label("stale")
        ).where(
            api_tokens.c.token_hash == token_hash, api_tokens.c.revoked_at.is_(None),
            sa.or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > now()),
            accounts.c.is_active,
        )  # fmt: skip
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            account = _account(connection, row.user_id)
        if row.stale:
            self._seen(api_tokens, api_tokens.c.token_hash == token_hash, "used_at")
        return account, _token_of(row)

    def tokens(self, user_id: str | None = None) -> Sequence[ApiToken]:
        """Somebody's tokens, or everybody's; the newest first, revoked ones too."""
        query = _TOKENS.order_by(api_tokens.c.created_at.desc())
        if user_id is not None:
            query = query.where(api_tokens.c.user_id == user_id)
        with self._database.reading() as connection:
            return [_token_of(row) for row in connection.execute(query)]

    def revoke(self, token_id: str, user_id: str | None, *, by: str | None = None) -> ApiToken:
        """Have a token be worth nothing from now on; of this user only, if one is given.

        Raises NotFound.
        """
        wanted = job_id_of(token_id)
        conditions = [api_tokens.c.token_id == wanted]
        if user_id is not None:
            conditions.append(api_tokens.c.user_id == user_id)
        with self._database.writing() as connection:
            row = None if wanted is None else connection.execute(_TOKENS.where(*conditions)).first()
            if row is None:
                raise NotFound("there is no such token", remedy="List the tokens there are")
            if row.revoked_at is None:
                connection.execute(
                    sa.update(api_tokens).where(*conditions).values(revoked_at=now())
                )
                note(connection, "token", f"token {decoded(row.name)} was revoked", by=by)
            return _token_of(connection.execute(_TOKENS.where(*conditions)).one())

    def _seen(self, table: sa.Table, this: sa.ColumnElement[bool], column: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(table).where(this).values({column: now()}))


_TOKENS = sa.select(*api_tokens.c, accounts.c.username).select_from(
    api_tokens.join(accounts, accounts.c.user_id == api_tokens.c.user_id)
)


def _key(username: str) -> str:
    return encoded(username.casefold())


def _said(name: str, value: Any) -> str:
    """Of a password's hash nothing is said but that there is a new one."""
    said = {"password_hash": "new password", "is_active": "let in" if value is True else "shut out"}
    return said.get(name, f"is {value} now")


_ADMINS = sa.and_(accounts.c.role == Role.ADMIN.value, accounts.c.is_active)


def _check_admins(connection: sa.Connection) -> None:
    if connection.scalar(sa.select(sa.literal(1)).where(_ADMINS).limit(1)) is None:
        raise Conflict("nobody would be left to look after the farm",
                       remedy="Make somebody else an admin first")  # fmt: skip


def _account(connection: sa.Connection, user_id: str) -> Account:
    wanted = job_id_of(user_id)
    query = sa.select(accounts).where(accounts.c.user_id == wanted)
    row = None if wanted is None else connection.execute(query).first()
    if row is None:
        raise NotFound("there is no such user", remedy="List the users there are")
    return _account_of(row)


def _account_of(row: Row) -> Account:
    return Account(
        user_id=row.user_id,
        username=decoded(row.username),
        role=Role(row.role),
        is_active=row.is_active,
        source=Source(row.source),
        created_at=row.created_at,
        signed_in_at=row.signed_in_at,
        claims_at=row.claims_at,
    )


def _token_of(row: Row) -> ApiToken:
    return ApiToken(
        token_id=row.token_id,
        user_id=row.user_id,
        username=decoded(row.username),
        name=decoded(row.name),
        hint=row.hint,
        scopes=tuple(map(Scope, row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
    )
