"""Supabase: a PostgreSQL whose tables browsers can reach.

Its REST API and its live updates let everybody who has the project's public key at the tables in the
schema ``public``. So all of Reelyard's are closed there, but for the few that front ends read, and of
those everybody sees what is theirs (``supabase_policies``); people who sign up get a name
(``supabase_people``); and changes of jobs are published to whoever listens.

The farm itself connects as the tables' owner, for whom row level security does not count.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from reelyard.domain.errors import SettingsInvalid

from .database import Database
from .supabase_people import follow_users, follows_users
from .supabase_policies import close, hidden, open_to_people, unguarded

PUBLISHED = ("jobs", "job_items")
_NOT_ALLOWED = "42501"


class Supabase:
    """What a database has of Supabase."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_there(self) -> bool:
        with self._database.reading() as connection:
            return is_supabase(connection)

    def apply(self) -> bool:
        """As ``apply``, for a database that was moved to Supabase after it had been made."""
        with self._database.writing() as connection:
            return apply(connection)

    def shortcomings(self) -> list[str]:
        """What is not as ``apply`` leaves it; nothing where this is no Supabase."""
        with self._database.reading() as connection:
            return list(_shortcomings(connection)) if is_supabase(connection) else []


def is_supabase(connection: sa.Connection) -> bool:
    """Whether there are Supabase's users, and the roles that its REST API takes."""
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.scalar(sa.text(_IS_SUPABASE)))


# Asked of the catalogue: it answers those as well who may not enter the schema.
_IS_SUPABASE = """
SELECT (SELECT count(*) FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role')) = 3
   AND EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'auth' AND c.relname = 'users')
   AND EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
               WHERE n.nspname = 'auth' AND p.proname = 'jwt')
"""


def apply(connection: sa.Connection) -> bool:
    """Make Reelyard's tables at home on Supabase. False, and nothing done, where this is none.

    Every migration that makes tables ends with this: what is there already stays as it is. Raises
    SettingsInvalid where the role may not.
    """
    if not is_supabase(connection):
        return False
    role = connection.scalar(sa.text("SELECT current_user"))
    try:
        close(connection)
        open_to_people(connection)
        follow_users(connection)
        _publish(connection)
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
            raise
        raise SettingsInvalid(
            f"the role {role} may not set Reelyard up on Supabase: {_first_line(error)}",
            remedy="Connect as the role that owns the tables and may reach auth.users: postgres",
        ) from error
    return True


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]


def _publish(connection: sa.Connection) -> None:
    """Put jobs and their items among what Supabase tells listeners of."""
    everything = connection.scalar(_EVERYTHING)
    if everything is None:
        connection.exec_driver_sql("CREATE PUBLICATION supabase_realtime")
    missing = [] if everything else _unpublished(connection)
    if missing:
        listed = ", ".join(missing)
        connection.exec_driver_sql(f"ALTER PUBLICATION supabase_realtime ADD TABLE {listed}")


_EVERYTHING = sa.text("SELECT puballtables FROM pg_publication WHERE pubname = 'supabase_realtime'")
_NAMES = sa.text(
    "SELECT tablename FROM pg_publication_tables"
    " WHERE pubname = 'supabase_realtime' AND schemaname = current_schema()"
)


def _unpublished(connection: sa.Connection) -> list[str]:
    known = set(connection.scalars(_NAMES))
    return [name for name in PUBLISHED if name not in known]


def _shortcomings(connection: sa.Connection) -> Iterator[str]:
    if tables := unguarded(connection):
        yield f"whoever has the project's public key can get at {', '.join(tables)}"
    if tables := hidden(connection):
        yield f"people who signed in see nothing of {', '.join(tables)}"
    if not follows_users(connection):
        yield "people who sign up get no name"
    if tables := _unpublished(connection):
        yield f"front ends hear nothing of changes in {', '.join(tables)}"
