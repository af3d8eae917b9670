"""Who sees what through Supabase's REST API and live updates. Nobody changes anything there.

The public key makes one ``anon``, signing in makes one ``authenticated``; ``service_role`` is for
servers and may do everything. A person's role is ``reelyard_role`` in the ``app_metadata`` of their token, which
only the project's owner can write: operators have none and see what is theirs, managers and admins
see everybody's. That is what ``domain.access`` says; the rest, and every change, goes through Reelyard's own API,
which checks jobs before it takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import sqlalchemy as sa

from reelyard.domain.access import Role

from .schema import metadata

_OURS = "user_id = (SELECT auth.uid())"  # in a SELECT of its own it is asked once, not for each row
_STAFF = ", ".join(f"'{role}'" for role in Role if role.rank >= Role.MANAGER.rank)
_ALL = f"(SELECT auth.jwt() -> 'app_metadata' ->> 'reelyard_role') IN ({_STAFF})"

_POLICIES = ("reelyard_own", "reelyard_managers_and_admins")

OPEN: Mapping[str, str] = MappingProxyType(
    {
        "jobs": _OURS,
        "job_items": "EXISTS (SELECT FROM jobs WHERE jobs.job_id = job_items.job_id)",
        "compilation_results": _OURS,
        "profiles": _OURS,  # other people's names belong to jobs that are not shown either
    }
)
"""The tables that front ends read, each with what makes a row somebody's own."""


def close(connection: sa.Connection) -> None:
    """Shut every table to everybody but its owner and the servers' role."""
    for kind, names in (("TABLE", tables(connection)), ("SEQUENCE", _sequences(connection))):
        listed = ", ".join(names)
        _run(connection, f"REVOKE ALL ON {kind} {listed} FROM PUBLIC, anon, authenticated",
                         f"GRANT ALL ON {kind} {listed} TO service_role")  # fmt: skip
    # Not for all: it waits for everybody who uses the table.
    for name in connection.scalars(sa.text(_WITHOUT), {"tables": list(tables(connection))}).all():
        _run(connection, f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")


def open_to_people(connection: sa.Connection) -> None:
    """Let those who signed in read what is theirs, and managers and admins everything of its kind."""
    schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
    if not connection.scalar(sa.text(_ENTERED)):
        _run(connection, f"GRANT USAGE ON SCHEMA {schema} TO authenticated, service_role")
    for name in [one for one in tables(connection) if one in OPEN]:
        _run(connection, f"GRANT SELECT ON {name} TO authenticated")
        for policy, condition in zip(_POLICIES, (OPEN[name], _ALL), strict=True):
            _allow(connection, name, policy, condition)


def unguarded(connection: sa.Connection) -> Sequence[str]:
    """The tables that the public key opens, or that row level security does not guard."""
    return connection.scalars(sa.text(_UNGUARDED), {"tables": list(tables(connection))}).all()


def hidden(connection: sa.Connection) -> Sequence[str]:
    """The tables that front ends read of which people don't see what they should."""
    return connection.scalars(
        sa.text(_HIDDEN), {"tables": list(OPEN), "names": list(_POLICIES)}
    ).all()


def tables(connection: sa.Connection) -> Sequence[str]:
    """Reelyard's tables as far as they are there: an older migration knows fewer than the code."""
    known = {"tables": [*metadata.tables, "alembic_version"]}
    return connection.scalars(sa.text(_TABLES), known).all()


def _sequences(connection: sa.Connection) -> Sequence[str]:
    return connection.scalars(sa.text(_SEQUENCES), {"tables": list(tables(connection))}).all()


def _allow(connection: sa.Connection, table: str, name: str, condition: str) -> None:
    _run(
        connection,
        f"DROP POLICY IF EXISTS {name} ON {table}",
        f"CREATE POLICY {name} ON {table} FOR SELECT TO authenticated USING ({condition})",
    )


def _run(connection: sa.Connection, *statements: str) -> None:
    connection.exec_driver_sql("; ".join(statements))


_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind IN ('r', 'p')
  AND relname = ANY(:tables)
ORDER BY relname
"""
_WITHOUT = """
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relname = ANY(:tables)
  AND NOT relrowsecurity
ORDER BY relname
"""
_SEQUENCES = """
SELECT s.relname FROM pg_class s
JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
JOIN pg_class t ON t.oid = d.refobjid
WHERE s.relkind = 'S' AND t.relnamespace = CAST(current_schema() AS regnamespace)
  AND t.relname = ANY(:tables)
ORDER BY s.relname
"""
_ENTERED = """
SELECT has_schema_privilege('authenticated', current_schema(), 'USAGE')
   AND has_schema_privilege('service_role', current_schema(), 'USAGE')
"""
_UNGUARDED = """
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relname = ANY(:tables)
  AND (NOT relrowsecurity
       OR has_any_column_privilege('anon', oid, 'SELECT, INSERT, UPDATE')
       OR has_table_privilege('anon', oid, 'DELETE, TRUNCATE')
       OR has_any_column_privilege('authenticated', oid, 'INSERT, UPDATE')
       OR has_table_privilege('authenticated', oid, 'DELETE, TRUNCATE'))
ORDER BY relname
"""
_HIDDEN = """
SELECT relname FROM pg_class
WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relname = ANY(:tables)
  AND (NOT has_table_privilege('authenticated', oid, 'SELECT')
       OR 2 > (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid AND polname = ANY(:names)))
ORDER BY relname
"""
