"""Help with jobs: what their owners offer to other workers. And films that are drafts, or show some of the items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from reelyard.store import supabase
from reelyard.store.clock import UtcTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _offers()
    for column in (
        sa.Column("is_draft", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("item_seconds", sa.Double(), nullable=True),
        sa.Column("first_item", sa.Integer(), nullable=True),
        sa.Column("last_item", sa.Integer(), nullable=True),
    ):
        op.add_column("jobs", column)
    op.add_column("workers", sa.Column("helps", sa.Uuid(as_uuid=False), nullable=True))
    supabase.apply(op.get_bind())


def _offers() -> None:
    op.create_table(
        "offers",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("ffmpeg", sa.Text(), nullable=False),
        sa.Column("encoder", sa.String(32), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("meeting_places", sa.JSON(), nullable=False),
        sa.Column("offered_at", UtcTime(), nullable=False),
        sa.Column("invited_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name="pk_offers"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_offers_job_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "offered_segments",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("claim", sa.Integer(), nullable=False),
        sa.Column("claimed_until", UtcTime(), nullable=True),
        sa.Column("claimed_at", UtcTime(), nullable=True),
        sa.Column("done_at", UtcTime(), nullable=True),
        sa.Column("frames_done", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "key", name="pk_offered_segments"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_offered_segments_job_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_offered_segments_open", "offered_segments", ["job_id", "state", "frames"])
