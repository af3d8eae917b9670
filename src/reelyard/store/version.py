"""At which migration a database is, and whether it is ours to migrate."""

from __future__ import annotations

import sqlalchemy as sa

from reelyard.domain.errors import SettingsInvalid

from .schema import metadata


def version(connection: sa.Connection) -> str | None:
    """The migration that the database is at; None where there was none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def refuse_foreign_version(found: str, head: str) -> None:
    """Raises SettingsInvalid where ``head``, the newest migration known here, is older, or it is another program's."""
    if not (found.isdigit() and len(found) == len(head)):
        raise SettingsInvalid(
            f"another program's alembic_version ({found}) is in this database", remedy=_OWN_PLACE
        )
    if found > head:
        raise SettingsInvalid(
            f"the database is of a newer Reelyard ({found}; this one knows {head})",
            remedy="Update Reelyard on this machine",
        )


def refuse_foreign_tables(connection: sa.Connection) -> None:
    """Before the first migration none of its tables may be there: they would be somebody else's.

    Raises SettingsInvalid.
    """
    known = sa.inspect(connection)
    taken = [name for name in sorted(metadata.tables) if known.has_table(name)]
    if taken:
        raise SettingsInvalid(
            f"the database has tables that Reelyard did not make: {', '.join(taken)}",
            remedy=_OWN_PLACE,
        )


_OWN_PLACE = (
    "Give Reelyard a database of its own, or in PostgreSQL a schema:"
    " add ?schema=reelyard to REELYARD_DATABASE_URL"
)
