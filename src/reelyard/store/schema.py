"""The tables. ``migrations/`` makes them; a test holds the two against each other."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
)

from .clock import UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = Uuid(as_uuid=False)
_Counter = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts in INTEGER keys only

profiles = Table(
    "profiles",
    metadata,
    Column("user_id", _Id, primary_key=True),
    Column("username", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", _Id, primary_key=True),
    Column("user_id", _Id, nullable=False),
    Column("channel_name", Text, nullable=False),
    Column("enable_4k", Boolean, nullable=False),
    Column("on_bad_item", String(16), nullable=False),
    Column("loudness", Boolean, nullable=False),
    Column("chapters", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("progress", Double, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("speed", Double),
    Column("seconds_left", Double),
    Column("worker_id", Text),
    Column("queue_name", String(32), nullable=False),
    Column("task_id", Text),  # Celery's, of the message that led to the claim
    Column("created_at", UtcTime, nullable=False),
    Column("queued_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("output_path", Text),
    Column("final_duration", Double),
    Column("error_message", Text),
    # Its turn: higher priorities first, then lower places.
    Column("priority", Integer, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("not_before", UtcTime),
    Column("waiting_for", Text),
    Column("waiting_since", UtcTime),
    Column("reserved_by", Text),
    Column("sent_at", UtcTime),  # when a worker was last woken for it
    # Its owner: nothing is written without the newest token.
    Column("token", Integer, nullable=False),
    Column("lease_until", UtcTime),
    Column("attempts", Integer, nullable=False),  # failed ones since it was last queued by a person
    Column("round_token", Integer, nullable=False),  # attempts up to this token are forgiven
    Column("frames", BigInteger, nullable=False),
    Column("item_count", Integer, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("log_folder", Text),
    Column("idempotency_key", Text),
    Column("digest", String(64), nullable=False),
    Column("client_metadata", JSON),  # the submitter's own; comes back in webhooks
    # What of the film is wanted: a small one, the first seconds of each item, a range of items.
    Column("is_draft", Boolean, nullable=False, server_default=false()),
    Column("item_seconds", Double),
    Column("first_item", Integer),
    Column("last_item", Integer),
    UniqueConstraint("user_id", "idempotency_key"),
    Index("ix_jobs_turn", "status", "queue_name", "priority", "place"),
    # For looking through them: a page of any of these orders is read from its index. In the first one is
    # also what texts are looked for in, so that rows that don't have them need not be read.
    Index("ix_jobs_looking", "created_at", "job_id", "user_id", "channel_name", "status"),
    Index("ix_jobs_user", "user_id", "created_at"),
    Index("ix_jobs_channel", "channel_name", "created_at"),
    Index("ix_jobs_status", "status", "created_at"),
    Index("ix_jobs_done", "completed_at"),
    Index("ix_jobs_frames", "frames"),
    Index("ix_jobs_place", "place"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_type", String(16), nullable=False),
    Column("video_id", Text),
    Column("path", Text),
    Column("named", Text, nullable=False),
    Column("duration", Double),
    Column("start", Double),
    Column("end", Double),
    Column("logo_path", Text),
    Column("text_animation_text", Text),
    Index("ix_job_items_video_id", "video_id"),
    # A path may be longer than what PostgreSQL's trees take.
    Index("ix_job_items_path", "path", postgresql_using="hash"),
    Index("ix_job_items_named", "named", postgresql_using="hash"),
)

job_attempts = Table(
    "job_attempts",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("token", Integer, primary_key=True),
    Column("worker_id", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("message", Text),
    Column("figures", JSON, nullable=False),
)

job_segments = Table(
    "job_segments",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("frames", Integer, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("worker_id", Text, nullable=False),
)

# What the owner of a running job offers to workers that have nothing to do. Gone when its attempt ends.
offers = Table(
    "offers",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("token", Integer, nullable=False),  # the owner's; an offer of an older one is void
    Column("worker_id", Text, nullable=False),  # the owner
    Column("ffmpeg", Text, nullable=False),
    Column("encoder", String(32), nullable=False),
    Column("terms", Text, nullable=False),  # the encoding and the film's form, as JSON
    Column(
        "meeting_places", JSON, nullable=False
    ),  # caches and stores that the owner takes segments from
    Column("offered_at", UtcTime, nullable=False),
    Column("invited_at", UtcTime),  # when workers were last told
)

offered_segments = Table(
    "offered_segments",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # a domain OfferState
    Column("worker_id", Text),  # whose claim it is, or who made it
    Column(
        "claim", Integer, nullable=False
    ),  # grows with every claim; nothing is written without the newest
    Column("claimed_until", UtcTime),
    Column("claimed_at", UtcTime),
    Column("done_at", UtcTime),
    Column("frames_done", Integer, nullable=False),
    Index("ix_offered_segments_open", "job_id", "state", "frames"),
)

events = Table(
    "events",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("what", String(32), nullable=False),
    Column("job_id", _Id),
    Column("worker_id", Text),
    Column("actor", Text),  # the person, where one did it
    Column("message", Text, nullable=False),
    Index("ix_events_job_id_id", "job_id", "id"),
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", Text, primary_key=True),
    Column("instance", String(32), nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("queues", JSON, nullable=False),
    Column("is_online", Boolean, nullable=False),
    Column("command", String(16), nullable=False),  # a domain Order; "order" is SQL's own word
    Column("job_id", _Id),
    Column("failures", Integer, nullable=False),  # in a row
    Column("quarantine", Text),
    Column("speed", Double),
    Column("speed_4k", Double),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("capabilities", JSON, nullable=False),
    Column("helps", _Id),  # the job of another worker that it renders segments of
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("name", Text, nullable=False, unique=True),  # delivering it twice is once
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("delivered_at", UtcTime),
    Column("tries", Integer, nullable=False),
    Column("try_after", UtcTime),
    Column("last_error", Text),
    Index("ix_outbox_delivered_at_id", "delivered_at", "id"),
)

compilation_results = Table(
    "compilation_results",
    metadata,
    Column("name", Text, primary_key=True),  # the outbox entry that it came from
    Column("job_id", _Id, nullable=False, index=True),
    Column("username", Text, nullable=False),
    Column("channel_name", Text, nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("video_count", Integer, nullable=False),
    Column("total_duration", Double, nullable=False),
    Column("output_path", Text),
    Column("worker_id", Text),
    Column("features_used", JSON, nullable=False),
    Column("processing_time", Double, nullable=False),
    Column("status", String(16), nullable=False),
    Column("user_id", _Id),  # whose job it was; names may change hands
    # Whether it has been recorded in BigQuery as well, where that is wanted.
    Column("exported_at", UtcTime),
    Column("export_tries", Integer, nullable=False, server_default="0"),
    Column("export_after", UtcTime),
    Column("export_error", Text),
    Index("ix_compilation_results_timestamp", "timestamp"),
    Index("ix_compilation_results_exported_at", "exported_at", "timestamp"),
)

library = Table(
    "library",
    metadata,
    Column("video_id", Text, primary_key=True),
    Column("path", Text, nullable=False),
)

duties = Table(
    "duties",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", UtcTime, nullable=False),
)

queues = Table(
    "queues",
    metadata,
    Column("queue_name", String(32), primary_key=True),
    Column("is_paused", Boolean, nullable=False),
    Column("changed_by", Text),
    Column("changed_at", UtcTime, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("user_id", _Id, primary_key=True),
    Column("username", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),  # as it is compared: case folded
    Column("password_hash", Text),
    Column("role", String(16), nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("signed_in_at", UtcTime),
    Column("source", String(16), nullable=False, server_default="local"),
    Column("claims_at", UtcTime),  # when the newest token was issued that the role is from
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("user_id", _Id, ForeignKey("accounts.user_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Index("ix_sessions_user_id", "user_id"),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("token_id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("accounts.user_id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hint", String(16), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("used_at", UtcTime),
    Column("revoked_at", UtcTime),
    Index("ix_api_tokens_user_id", "user_id"),
)

templates = Table(
    "templates",
    metadata,
    Column("template_id", _Id, primary_key=True),
    Column("channel_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("updated_by", Text),
    UniqueConstraint("channel_name", "name"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", _Id, primary_key=True),
    Column("user_id", _Id, nullable=False),
    Column("job_id", _Id, ForeignKey("jobs.job_id", ondelete="CASCADE")),
    Column("channel_name", Text),
    Column("everybody", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("ix_webhooks_job_id", "job_id"),
    Index("ix_webhooks_user_id", "user_id"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", _Counter, primary_key=True, autoincrement=True),
    Column("name", _Id, nullable=False, unique=True),  # the receiver tells a second delivery by it
    Column(
        "webhook_id", _Id, ForeignKey("webhooks.webhook_id", ondelete="CASCADE"), nullable=False
    ),
    Column("job_id", _Id, nullable=False),
    Column("event", String(32), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("try_after", UtcTime),
    Column("delivered_at", UtcTime),
    Column("given_up_at", UtcTime),
    Column("status_code", Integer),
    Column("last_error", Text),
    Index("ix_webhook_deliveries_due", "delivered_at", "given_up_at", "id"),
    Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
)
