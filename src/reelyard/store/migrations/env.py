"""Run by Alembic, with the connection that ``store.database`` hands over."""

from __future__ import annotations

from alembic import context

from reelyard.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can't alter a table in place
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()
