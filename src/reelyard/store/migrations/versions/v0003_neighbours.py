"""What the neighbours need: which results were recorded in BigQuery; and, on Supabase, what makes the tables its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from reelyard.store import supabase
from reelyard.store.clock import UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for column in (
        sa.Column("exported_at", UtcTime(), nullable=True),
        sa.Column("export_tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("export_after", UtcTime(), nullable=True),
        sa.Column("export_error", sa.Text(), nullable=True),
    ):
        op.add_column("compilation_results", column)
    op.create_index(
        "ix_compilation_results_exported_at", "compilation_results", ["exported_at", "timestamp"]
    )
    op.add_column(
        "accounts", sa.Column("source", sa.String(16), server_default="local", nullable=False)
    )
    op.add_column("accounts", sa.Column("claims_at", UtcTime(), nullable=True))
    supabase.apply(op.get_bind())
