"""What webhooks are told: written down in the transaction in which it happens, sent some time later."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from reelyard.domain.access import Role
from reelyard.domain.errors import printable
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import Event
from reelyard.domain.webhook import WebhookEvent

from .clock import now
from .rows import STATE_COLUMNS, WITH_NAMES, state_of
from .schema import accounts, jobs, webhook_deliveries, webhooks

NO_JOB = str(uuid.UUID(int=0))
"""Stands in the books for the job of a ping."""

_TOLD: Mapping[Event, WebhookEvent] = MappingProxyType({
    Event.CLAIM: WebhookEvent.STARTED,
    Event.COMPLETE: WebhookEvent.COMPLETED,
    Event.FAIL: WebhookEvent.FAILED,
    Event.CANCEL: WebhookEvent.CANCELLED,
})  # fmt: skip
_SEES_ALL = [role.value for role in Role if role.rank >= Role.MANAGER.rank]


def announce(connection: sa.Connection, event: Event, job_id: str) -> None:
    """Have all who want to know told what has just happened to a job, if this transaction succeeds."""
    told = _TOLD.get(event)
    if told is None:
        return
    receivers = _receivers(connection, told, job_id)
    if not receivers:
        return
    row = connection.execute(
        sa.select(*STATE_COLUMNS, now().label("now"))
        .select_from(WITH_NAMES)
        .where(jobs.c.job_id == job_id)
    ).one()
    post(connection, receivers, told, payload(told, row.now, state_of(row)), job_id)


def _receivers(connection: sa.Connection, told: WebhookEvent, job_id: str) -> Sequence[str]:
    """The webhooks that want to know, in one small query: every change of a job comes through here.

    They are locked against removal: an announcement to a webhook that is gone would undo the change
    that it announces.
    """
    anybody = sa.and_(
        webhooks.c.job_id.is_(None),
        sa.or_(webhooks.c.everybody, webhooks.c.user_id == jobs.c.user_id),
        sa.or_(webhooks.c.channel_name.is_(None), webhooks.c.channel_name == jobs.c.channel_name),
    )
    rows = connection.execute(
        sa.select(webhooks.c.webhook_id, webhooks.c.events)
        .select_from(
            webhooks.join(jobs, jobs.c.job_id == job_id).outerjoin(
                accounts, accounts.c.user_id == webhooks.c.user_id
            )
        )
        .where(
            webhooks.c.is_active,
            sa.or_(webhooks.c.job_id == job_id, anybody),
            _still_may_know(),
        )
        .order_by(webhooks.c.created_at, webhooks.c.webhook_id)
        .with_for_update(read=True, key_share=True, of=webhooks)
    )
    return [row.webhook_id for row in rows if told.value in row.events]


def _still_may_know() -> sa.ColumnElement[bool]:
    """Whose account was closed is told nothing more; whose rights shrank, only of their own jobs.

    Who works at the machine itself, or comes from elsewhere, has no account.
    """
    theirs = sa.or_(
        sa.not_(webhooks.c.everybody),
        webhooks.c.user_id == jobs.c.user_id,
        accounts.c.role.in_(_SEES_ALL),
    )
    return sa.or_(accounts.c.user_id.is_(None), sa.and_(accounts.c.is_active, theirs))


def post(
    connection: sa.Connection,
    receivers: Sequence[str],
    event: WebhookEvent,
    body: dict[str, Any],
    job_id: str = NO_JOB,
    **values: Any,
) -> Sequence[str]:
    """Write down what is to be sent to each of these webhooks; the deliveries' names."""
    rows = [{"webhook_id": one, "name": str(uuid.uuid4())} for one in receivers]
    connection.execute(
        sa.insert(webhook_deliveries).values(
            event=event.value, payload=body, job_id=job_id, created_at=now(), tries=0, **values
        ),
        rows,
    )
    return [row["name"] for row in rows]


def payload(event: WebhookEvent, at: datetime, state: JobState | None) -> dict[str, Any]:
    """What a receiver gets to read. A ping says nothing of any job."""
    return {
        "event": event.value,
        "at": at.isoformat(),
        "job": None if state is None else _job(state),
        "metadata": None if state is None else state.metadata,
    }


def _job(state: JobState) -> dict[str, Any]:
    return {
        "job_id": state.job_id,
        "status": state.status.value,
        "channel_name": _text(state.channel_name),
        "username": _text(state.username),
        "user_id": state.user_id,
        "queue": state.queue.value,
        "enable_4k": state.enable_4k,
        **state.excerpt.fields,
        "created_at": _iso(state.created_at),
        "started_at": _iso(state.started_at),
        "completed_at": _iso(state.completed_at),
        "output_path": state.output_path and _text(state.output_path),
        "final_duration": state.final_duration,
        "error_message": state.error_message,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _text(name: str) -> str:
    """The name, readable where it is no text: neither JSON nor PostgreSQL has it otherwise."""
    is_text = "\0" not in name and name.encode("utf-8", "ignore").decode() == name
    return name if is_text else printable(name)
