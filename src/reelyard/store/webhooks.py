"""Webhooks and what is to be sent to them.

A delivery may succeed and the note of it be lost, so a receiver may be told a thing twice: it knows it by
the delivery's name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from reelyard.domain.errors import NotFound, printable
from reelyard.domain.webhook import Delivery, Webhook, WebhookChanges, WebhookEvent, origin

from .announce import NO_JOB, payload, post
from .clock import now
from .database import Database
from .moves import note
from .rows import Row, decoded, encoded, job_id_of, storable
from .schema import webhook_deliveries, webhooks

_LARGEST = 2**63 - 1  # what a database takes for a number
_OPEN = (webhook_deliveries.c.delivered_at.is_(None), webhook_deliveries.c.given_up_at.is_(None))


def insert_webhook(connection: sa.Connection, webhook: Webhook) -> None:
    """Store a webhook in a running transaction: that in which its job is stored, after the job.

    Nobody can claim the job before that transaction ends, so the webhook misses nothing of it.
    """
    connection.execute(
        sa.insert(webhooks).values(
            webhook_id=webhook.webhook_id, user_id=webhook.user_id, job_id=webhook.job_id,
            channel_name=webhook.channel_name and encoded(webhook.channel_name),
            everybody=webhook.everybody, url=webhook.url, secret=webhook.secret,
            events=[one.value for one in webhook.events], is_active=webhook.is_active,
            created_at=now(),
        )
    )  # fmt: skip


class Webhooks:
    """The table of webhooks, and that of their deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, webhook: Webhook, *, by: str | None) -> Webhook:
        with self._database.writing() as connection:
            insert_webhook(connection, webhook)
            note(connection, "webhook", f"made for {webhook.receiver}", by=by)
        return self.get(webhook.webhook_id)

    def get(self, webhook_id: str) -> Webhook:
        """Raises NotFound."""
        query = sa.select(webhooks).where(webhooks.c.webhook_id == _known(webhook_id))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise _unknown(webhook_id)
        return _webhook(row)

    def list(self, user_id: str | None) -> Sequence[Webhook]:
        """Those of a user, or of all, but for those of single jobs; the oldest first."""
        query = sa.select(webhooks).where(webhooks.c.job_id.is_(None))
        if user_id is not None:
            query = query.where(webhooks.c.user_id == user_id)
        query = query.order_by(webhooks.c.created_at, webhooks.c.webhook_id)
        with self._database.reading() as connection:
            return [_webhook(row) for row in connection.execute(query)]

    def change(self, webhook_id: str, changes: WebhookChanges, *, by: str | None) -> Webhook:
        """Raises NotFound. What still waits for a webhook that is switched off is not sent."""
        before = self.get(webhook_id)
        with self._database.writing() as connection:
            if changes:
                connection.execute(
                    sa.update(webhooks)
                    .where(webhooks.c.webhook_id == before.webhook_id)
                    .values(**_stored(changes))
                )
            if changes.get("is_active") is False:
                _drop_open(connection, before.webhook_id)
            url = changes.get("url", before.url)
            names = ", ".join(sorted(changes)) or "nothing"
            note(connection, "webhook", f"{origin(url)}: changed {names}", by=by)
        return self.get(webhook_id)

    def switch_off(self, webhook_id: str, why: str) -> None:
        """The receiver wants no more."""
        webhook = self.get(webhook_id)
        with self._database.writing() as connection:
            this = webhooks.c.webhook_id == webhook.webhook_id
            connection.execute(sa.update(webhooks).where(this).values(is_active=False))
            _drop_open(connection, webhook.webhook_id)
            note(connection, "webhook", f"{webhook.receiver}: switched off, {why}")

    def remove(self, webhook_id: str, *, by: str | None) -> None:
        """Remove a webhook with all its deliveries. Raises NotFound."""
        webhook = self.get(webhook_id)
        with self._database.writing() as connection:
            this = webhooks.c.webhook_id == webhook.webhook_id
            connection.execute(sa.delete(webhooks).where(this))
            note(connection, "webhook", f"{webhook.receiver}: removed", by=by)

    # Deliveries

    def due(
        self, limit: int = 100, *, each: int = 4, but: Collection[str] = ()
    ) -> Sequence[tuple[Delivery, Webhook]]:
        """What to send now, the oldest first: at most ``each`` for a webhook, nothing for ``but``."""
        place = sa.func.row_number().over(
            partition_by=webhook_deliveries.c.webhook_id, order_by=webhook_deliveries.c.id
        )
        try_after = webhook_deliveries.c.try_after
        waiting = (
            sa.select(webhook_deliveries.c.id, place.label("place"))
            .join(webhooks, webhooks.c.webhook_id == webhook_deliveries.c.webhook_id)
            .where(
                *_OPEN,
                sa.or_(try_after.is_(None), try_after <= now()),
                webhooks.c.is_active,
                webhooks.c.webhook_id.not_in(sorted(but)),
            )
            .subquery()
        )
        query = (
            sa.select(webhook_deliveries)
            .join(waiting, waiting.c.id == webhook_deliveries.c.id)
            .where(waiting.c.place <= each)
            .order_by(webhook_deliveries.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            found = [_delivery(row) for row in connection.execute(query)]
            named = {one.webhook_id for one in found}
            rows = connection.execute(sa.select(webhooks).where(webhooks.c.webhook_id.in_(named)))
            known = {row.webhook_id: _webhook(row) for row in rows} if named else {}
        return [(one, known[one.webhook_id]) for one in found if one.webhook_id in known]

    def delivered(self, number: int, status_code: int) -> None:
        self._settle(number, delivered_at=now(), given_up_at=None, last_error=None,
                     status_code=status_code)  # fmt: skip

    def failed(
        self, number: int, status_code: int | None, reason: str, try_after_seconds: float | None
    ) -> None:
        """Try it again in so many seconds; None: not any more."""
        over = try_after_seconds is None
        self._settle(
            number, status_code=status_code, last_error=storable(reason),
            try_after=None if try_after_seconds is None else now(try_after_seconds),
            given_up_at=now() if over else None,
        )  # fmt: skip

    def _settle(self, number: int, **values: Any) -> None:
        with self._database.writing() as connection:
            connection.execute(
                sa.update(webhook_deliveries)
                .where(
                    webhook_deliveries.c.id == number, webhook_deliveries.c.delivered_at.is_(None)
                )
                .values(tries=webhook_deliveries.c.tries + 1, **{"try_after": None, **values})
            )

    def ping(self, webhook_id: str, wait: float) -> Delivery:
        """Something to try a webhook out with, for the caller to send; others leave it for ``wait`` s."""
        webhook_id = self.get(webhook_id).webhook_id
        with self._database.writing() as connection:
            at = connection.execute(sa.select(now().label("now"))).scalar_one()
            body = payload(WebhookEvent.PING, at, None)
            [name] = post(connection, [webhook_id], WebhookEvent.PING, body, try_after=now(wait))
            this = sa.select(webhook_deliveries).where(webhook_deliveries.c.name == name)
            return _delivery(connection.execute(this).one())

    def delivery(self, number: int) -> Delivery:
        """Raises NotFound."""
        query = sa.select(webhook_deliveries).where(webhook_deliveries.c.id == number)
        row = None
        if number <= _LARGEST:
            with self._database.reading() as connection:
                row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"there is no delivery {number}", remedy="List the webhook's deliveries")
        return _delivery(row)

    def deliveries(self, webhook_id: str, limit: int = 100) -> Sequence[Delivery]:
        """What was, and is to be, sent to a webhook, the newest first."""
        query = (
            sa.select(webhook_deliveries)
            .where(webhook_deliveries.c.webhook_id == _known(webhook_id))
            .order_by(webhook_deliveries.c.id.desc())
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_delivery(row) for row in connection.execute(query)]

    def again(self, number: int, *, by: str | None) -> Delivery:
        """Send it once more, whatever became of it, as if for the first time. Raises NotFound."""
        delivery = self.delivery(number)
        with self._database.writing() as connection:
            connection.execute(
                sa.update(webhook_deliveries)
                .where(webhook_deliveries.c.id == number)
                .values(tries=0, delivered_at=None, given_up_at=None, try_after=None)
            )
            note(connection, "webhook", f"{delivery.event} is sent again",
                 job_id=delivery.job_id, by=by)  # fmt: skip
        return self.delivery(number)

    def tidy(self, days: float) -> int:
        """Forget deliveries that ended so long ago, and what nobody will send; how many."""
        before = now(-days * 86_400)
        ended = sa.func.coalesce(
            webhook_deliveries.c.delivered_at, webhook_deliveries.c.given_up_at
        )
        silent = sa.select(webhooks.c.webhook_id).where(sa.not_(webhooks.c.is_active))
        stray = sa.and_(
            webhook_deliveries.c.webhook_id.in_(silent), webhook_deliveries.c.created_at < before
        )
        with self._database.writing() as connection:
            done = connection.execute(
                sa.delete(webhook_deliveries).where(sa.or_(ended < before, stray))
            )
            return int(done.rowcount)


def _drop_open(connection: sa.Connection, webhook_id: str) -> None:
    connection.execute(
        sa.update(webhook_deliveries)
        .where(webhook_deliveries.c.webhook_id == webhook_id, *_OPEN)
        .values(given_up_at=now(), last_error="the webhook was switched off")
    )


def _stored(changes: WebhookChanges) -> dict[str, Any]:
    values: dict[str, Any] = {**changes}
    if "events" in changes:
        values["events"] = [one.value for one in changes["events"]]
    if changes.get("channel_name"):
        values["channel_name"] = encoded(changes["channel_name"] or "")
    return values


def _webhook(row: Row) -> Webhook:
    found = {one.name: getattr(row, one.name) for one in fields(Webhook)}
    found["channel_name"] = row.channel_name and decoded(row.channel_name)
    found["events"] = tuple(map(WebhookEvent, row.events))
    return Webhook(**found)


def _delivery(row: Row) -> Delivery:
    found = {one.name: getattr(row, one.name) for one in fields(Delivery) if one.name != "number"}
    found["event"] = WebhookEvent(row.event)
    found["job_id"] = None if row.job_id == NO_JOB else row.job_id
    return Delivery(number=row.id, **found)


def _known(webhook_id: str) -> str:
    found = job_id_of(webhook_id)
    if found is None:
        raise _unknown(webhook_id)
    return found


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"there is no webhook {printable(webhook_id)}",
                    remedy="List the webhooks there are")  # fmt: skip
