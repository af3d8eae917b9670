"""What people and programs do with webhooks, each by what they may.

Somebody else's webhook is, to an operator, no webhook at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Unpack

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import Conflict, NotAllowed, NotFound, RequestInvalid, printable
from reelyard.domain.query import MOST_AT_ONCE
from reelyard.domain.webhook import JOB_EVENTS, Delivery, Webhook, WebhookChanges, WebhookEvent
from reelyard.store.webhooks import Webhooks

from .webhook_address import check_url
from .webhook_delivery import Courier
from .webhook_signature import check_secret, new_secret

MOST_WEBHOOKS = 50
"""Of one user: each is looked at whenever a job changes."""
_LONGEST_CHANNEL = 200
_PING_SECONDS = 60.0  # after which others send a ping whose sender was killed


@dataclass(frozen=True, kw_only=True)
class WebhookDesk:
    """The use cases. A webhook's secret is shown once, by what makes it."""

    webhooks: Webhooks
    send: Courier
    allowed_hosts: tuple[str, ...] = ()

    def create(
        self,
        principal: Principal,
        url: str,
        events: Iterable[WebhookEvent] = JOB_EVENTS,
        channel_name: str | None = None,
        everybody: bool = False,
    ) -> Webhook:
        """A new webhook, with its secret. Raises NotAllowed, RequestInvalid, Conflict."""
        principal.allow(Action.WEBHOOKS)
        if everybody and not principal.changes_all:
            raise NotAllowed("an operator is told of their own jobs only",
                             remedy="Leave everybody out, or ask a manager")  # fmt: skip
        webhook = replace(
            self._new(principal, url, events, new_secret()),
            channel_name=_channel(channel_name),
            everybody=everybody,
        )
        if len(self.webhooks.list(principal.user_id)) >= MOST_WEBHOOKS:
            raise Conflict(f"you have {MOST_WEBHOOKS} webhooks already",
                           remedy="Remove one that you don't need")  # fmt: skip
        return self.webhooks.add(webhook, by=principal.username)

    def for_job(
        self,
        principal: Principal,
        job_id: str,
        url: str,
        events: Iterable[WebhookEvent] = JOB_EVENTS,
        secret: str | None = None,
    ) -> Webhook:
        """The webhook of a job that is about to be submitted, checked and not stored.

        It goes into the books in the transaction that stores the job (``insert_webhook``, called by
        ``Jobs.add`` for a ``Submission`` with a webhook), so nobody can claim the job before it is there.
        ``secret`` is the submitter's own; without one there is a new one. Raises RequestInvalid.
        """
        principal.allow(Action.WEBHOOKS)
        own = new_secret() if secret is None else check_secret(secret)
        return replace(self._new(principal, url, events, own), job_id=job_id)

    def _new(
        self, principal: Principal, url: str, events: Iterable[WebhookEvent], secret: str
    ) -> Webhook:
        return Webhook(
            webhook_id=str(uuid.uuid4()), user_id=principal.user_id,
            url=check_url(url, self.allowed_hosts), secret=secret, events=_events(events),
            created_at=datetime.now(UTC),
        )  # fmt: skip

    def list(self, principal: Principal) -> Sequence[Webhook]:
        """Theirs, or everybody's for who sees all; none of those of single jobs."""
        principal.allow(Action.WEBHOOKS)
        whose = None if principal.sees_all else principal.user_id
        return [_without_secret(one) for one in self.webhooks.list(whose)]

    def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """Raises NotFound."""
        return _without_secret(self._theirs(principal, webhook_id))

    def change(
        self, principal: Principal, webhook_id: str, **changes: Unpack[WebhookChanges]
    ) -> Webhook:
        """Change what is named. Raises NotFound, RequestInvalid."""
        before = self._to_change(principal, webhook_id)
        if "url" in changes:
            changes["url"] = check_url(changes["url"], self.allowed_hosts)
        if "events" in changes:
            changes["events"] = _events(changes["events"])
        if "channel_name" in changes:
            changes["channel_name"] = _channel(changes["channel_name"])
        return _without_secret(
            self.webhooks.change(before.webhook_id, changes, by=principal.username)
        )

    def remove(self, principal: Principal, webhook_id: str) -> None:
        """Raises NotFound."""
        webhook = self._to_change(principal, webhook_id)
        self.webhooks.remove(webhook.webhook_id, by=principal.username)

    def test(self, principal: Principal, webhook_id: str) -> Delivery:
        """Send a ``ping`` now, once, also to a webhook that is switched off; what came of it."""
        webhook = self._to_change(principal, webhook_id)
        ping = self.webhooks.ping(webhook.webhook_id, _PING_SECONDS)
        self.send(ping, webhook)
        return self.webhooks.delivery(ping.number)

    def deliveries(
        self, principal: Principal, webhook_id: str, limit: int = 50
    ) -> Sequence[Delivery]:
        """The newest first. Raises NotFound."""
        webhook = self._theirs(principal, webhook_id)
        return self.webhooks.deliveries(webhook.webhook_id, max(1, min(limit, MOST_AT_ONCE)))

    def again(self, principal: Principal, webhook_id: str, number: int) -> Delivery:
        """Have a delivery sent once more. Raises NotFound, and Conflict for one switched off."""
        webhook = self._to_change(principal, webhook_id)
        if self.webhooks.delivery(number).webhook_id != webhook.webhook_id:
            raise NotFound(f"there is no delivery {number} of this webhook",
                           remedy="List the webhook's deliveries")  # fmt: skip
        if not webhook.is_active:
            raise Conflict("this webhook is switched off", remedy="Switch it on first")
        return self.webhooks.again(number, by=principal.username)

    def _to_change(self, principal: Principal, webhook_id: str) -> Webhook:
        webhook = self._theirs(principal, webhook_id)
        principal.allow_change(webhook.user_id)
        return webhook

    def _theirs(self, principal: Principal, webhook_id: str) -> Webhook:
        principal.allow(Action.WEBHOOKS)
        webhook = self.webhooks.get(webhook_id)
        if not principal.sees(webhook.user_id):
            raise NotFound(f"there is no webhook {printable(webhook_id)}",
                           remedy="List the webhooks there are")  # fmt: skip
        return webhook


def _events(wanted: Iterable[WebhookEvent]) -> tuple[WebhookEvent, ...]:
    """Each one once, in the order of a job's life. Raises RequestInvalid."""
    events = set(wanted)
    if not events or not events <= set(JOB_EVENTS):
        raise RequestInvalid("a webhook needs something to be told of",
                             remedy=f"Choose from {', '.join(JOB_EVENTS)}", field="events")  # fmt: skip
    return tuple(one for one in JOB_EVENTS if one in events)


def _channel(name: str | None) -> str | None:
    """The name as jobs have it. Raises RequestInvalid."""
    name = None if name is None else name.strip()
    if name is not None and not 0 < len(name) <= _LONGEST_CHANNEL:
        raise RequestInvalid("this is no channel's name", remedy="Leave it out for all channels",
                             field="channel_name")  # fmt: skip
    return name


def _without_secret(webhook: Webhook) -> Webhook:
    return replace(webhook, secret="")
