"""A database's address, read: what PostgreSQL would not understand is taken out, or refused by name."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from reelyard.domain.errors import SettingsInvalid, printable

EXAMPLES = "Write sqlite:////folder/reelyard.db or postgresql://user:password@host:5432/name"

# What other programs' drivers are told in the address, as Supabase and its friends show it: about pools
# and prepared statements, which are settled here.
_OTHERS = frozenset({
    "pgbouncer", "connection_limit", "pool_timeout", "statement_cache_size", "prepared_statements",
    "supa",
})  # fmt: skip
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def parsed(url: str) -> sa.URL:
    """Raises SettingsInvalid."""
    try:
        read = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise SettingsInvalid("REELYARD_DATABASE_URL is no database address",
                              remedy=EXAMPLES) from error  # fmt: skip
    kind = read.get_backend_name()
    if "@" in (read.host or ""):
        raise SettingsInvalid("the password in REELYARD_DATABASE_URL holds an @",
                              remedy="Write %40 for each @ of a password")  # fmt: skip
    if kind in ("postgresql", "postgres"):
        return read.set(drivername="postgresql+psycopg").difference_update_query(_OTHERS)
    if kind != "sqlite":
        raise SettingsInvalid(f"REELYARD_DATABASE_URL names {kind}, which is not supported",
                              remedy=EXAMPLES)  # fmt: skip
    if read.database in (None, "", ":memory:"):
        raise SettingsInvalid("a database in memory is not shared by the farm's processes",
                              remedy=EXAMPLES)  # fmt: skip
    return read


def read_schema(url: sa.URL) -> tuple[sa.URL, str | None]:
    """The address without its ``schema``, and that: where in PostgreSQL the tables are.

    It is no parameter of PostgreSQL's: a search path among its ``options`` does not get through poolers.
    """
    if url.get_backend_name() == "sqlite":
        return url, None
    schema = url.query.get("schema")
    if schema is not None and not (isinstance(schema, str) and _SCHEMA.fullmatch(schema)):
        raise SettingsInvalid(
            "schema in REELYARD_DATABASE_URL is no name of a schema",
            remedy="Write small letters, digits and _, as in ?schema=reelyard",
        )
    return url.difference_update_query(["schema"]), schema


def refuse_unknown(url: sa.URL) -> None:
    """What libpq does not know it would refuse with each connection. Raises SettingsInvalid."""
    import psycopg

    known = {one.keyword.decode() for one in psycopg.pq.Conninfo.get_defaults()}
    if unknown := sorted(set(url.query) - known):
        raise SettingsInvalid(
            f"PostgreSQL knows no parameter {', '.join(map(printable, unknown))},"
            " which REELYARD_DATABASE_URL has",
            remedy="Take it out; sslmode, sslrootcert and schema may be there",
        )
