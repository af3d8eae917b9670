"""What a database says of itself, for whoever examines it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from .clock import now
from .database import HEAD, Database


@dataclass(frozen=True, slots=True)
class Condition:
    """``kind`` with its version; ``schema``, the migration that it has.

    ``time`` is by its own clock, ``before`` and ``after`` by this machine's.
    """

    kind: str
    schema: str
    time: datetime
    before: datetime
    after: datetime


def condition(database: Database) -> Condition:
    """Brings it up to date, as whatever opens it does. Raises DatabaseUnavailable, SettingsInvalid."""
    with database.reading() as connection:
        before = datetime.now(UTC)
        time = connection.scalar(sa.select(now()))
        after = datetime.now(UTC)
        assert time is not None
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        kind = "PostgreSQL" if connection.dialect.name == "postgresql" else "SQLite"
        return Condition(f"{kind} {version}".strip(), HEAD, time, before, after)
