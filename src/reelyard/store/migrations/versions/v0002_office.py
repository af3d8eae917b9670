"""What people who work with the farm need: accounts, templates, webhooks, pausing queues, looking through jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from reelyard.store.clock import UtcTime

revision = "0002"
down_revision = "0001"

_counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("client_metadata", sa.JSON(), nullable=True))
    op.add_column(
        "compilation_results", sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True)
    )
    op.execute(
        "UPDATE compilation_results SET user_id ="
        " (SELECT user_id FROM jobs WHERE jobs.job_id = compilation_results.job_id)"
    )
    _indexes()
    _queues()
    _accounts()
    _templates()
    _webhooks()


def _indexes() -> None:
    op.drop_index("ix_jobs_created_at", "jobs")
    op.create_index(
        "ix_jobs_looking", "jobs", ["created_at", "job_id", "user_id", "channel_name", "status"]
    )
    op.create_index("ix_jobs_user", "jobs", ["user_id", "created_at"])
    op.create_index("ix_jobs_channel", "jobs", ["channel_name", "created_at"])
    op.create_index("ix_jobs_status", "jobs", ["status", "created_at"])
    op.create_index("ix_jobs_done", "jobs", ["completed_at"])
    op.create_index("ix_jobs_frames", "jobs", ["frames"])
    op.create_index("ix_job_items_video_id", "job_items", ["video_id"])
    op.create_index("ix_job_items_path", "job_items", ["path"], postgresql_using="hash")
    op.create_index("ix_job_items_named", "job_items", ["named"], postgresql_using="hash")
    op.create_index("ix_compilation_results_timestamp", "compilation_results", ["timestamp"])


def _queues() -> None:
    op.create_table(
        "queues",
        sa.Column("queue_name", sa.String(length=32), nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=True),
        sa.Column("changed_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("queue_name", name="pk_queues"),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("signed_in_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_accounts"),
        sa.UniqueConstraint("name_key", name="uq_accounts_name_key"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sessions"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "api_tokens",
        sa.Column("token_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.String(length=16), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("used_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", name="pk_api_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_api_tokens_token_hash"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["accounts.user_id"], name="fk_api_tokens_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_api_tokens_user_id", "api_tokens", ["user_id"])


def _templates() -> None:
    op.create_table(
        "templates",
        sa.Column("template_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("channel_name", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("template_id", name="pk_templates"),
        sa.UniqueConstraint("channel_name", "name", name="uq_templates_channel_name_name"),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("channel_name", sa.Text(), nullable=True),
        sa.Column("everybody", sa.Boolean(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.job_id"], name="fk_webhooks_job_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_webhooks_job_id", "webhooks", ["job_id"])
    op.create_index("ix_webhooks_user_id", "webhooks", ["user_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", _counter, autoincrement=True, nullable=False),
        sa.Column("name", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("webhook_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("try_after", UtcTime(), nullable=True),
        sa.Column("delivered_at", UtcTime(), nullable=True),
        sa.Column("given_up_at", UtcTime(), nullable=True),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.UniqueConstraint("name", name="uq_webhook_deliveries_name"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.webhook_id"],
            name="fk_webhook_deliveries_webhook_id", ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_index(
        "ix_webhook_deliveries_due", "webhook_deliveries", ["delivered_at", "given_up_at", "id"]
    )
    op.create_index("ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id", "id"])
