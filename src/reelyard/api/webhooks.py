"""Webhooks: addresses that are told of what happens to jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from reelyard.domain.query import MOST_AT_ONCE
from reelyard.domain.webhook import JOB_EVENTS, WebhookChanges, WebhookEvent

from .identity import TheOffice, Who
from .schemas import FromState, Strict, Text, outs

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
Url = Annotated[str, Field(max_length=2000)]
Number = Annotated[int, Query(ge=1, le=MOST_AT_ONCE)]


class WebhookIn(Strict):
    """``channel_name``: of this channel's jobs only; ``everybody``: of other people's too (managers)."""

    url: Url
    events: list[WebhookEvent] = Field(default=list(JOB_EVENTS))
    channel_name: Annotated[str, Field(max_length=200)] | None = None
    everybody: bool = False


class WebhookChange(Strict):
    url: Url | None = None
    events: list[WebhookEvent] | None = None
    channel_name: Annotated[str, Field(max_length=200)] | None = None
    is_active: bool | None = None


class WebhookOut(FromState):
    webhook_id: str
    user_id: str
    url: str
    events: list[WebhookEvent]
    channel_name: Text | None
    everybody: bool
    is_active: bool
    created_at: datetime


class NewWebhookOut(WebhookOut):
    """The secret that signs is shown this once."""

    secret: str


class DeliveryOut(FromState):
    number: int
    name: str
    webhook_id: str
    job_id: str | None
    event: WebhookEvent
    payload: dict[str, Any]
    created_at: datetime
    tries: int
    delivered_at: datetime | None
    given_up_at: datetime | None
    try_after: datetime | None
    status_code: int | None
    last_error: Text | None


@router.get("")
def list_webhooks(office: TheOffice, who: Who) -> list[WebhookOut]:
    """Your webhooks; managers see everybody's. Those of single jobs are not among them."""
    return outs(WebhookOut, office.webhooks.list(who))


@router.post("", status_code=201)
def add_webhook(office: TheOffice, who: Who, wish: WebhookIn) -> NewWebhookOut:
    """Have an address be told of your jobs. What is sent is signed as Standard Webhooks says."""
    made = office.webhooks.create(who, wish.url, wish.events, wish.channel_name, wish.everybody)
    return NewWebhookOut.model_validate(made)


@router.get("/{webhook_id}")
def get_webhook(office: TheOffice, who: Who, webhook_id: str) -> WebhookOut:
    """One webhook."""
    return WebhookOut.model_validate(office.webhooks.get(who, webhook_id))


@router.patch("/{webhook_id}")
def change_webhook(
    office: TheOffice, who: Who, webhook_id: str, wish: WebhookChange
) -> WebhookOut:  # fmt: skip
    """Change what is named, and leave the rest."""
    changes: WebhookChanges = wish.model_dump(exclude_unset=True)  # type: ignore[assignment]
    for name in ("url", "events", "is_active"):
        if changes.get(name, ...) is None:
            del changes[name]  # type: ignore[misc]
    return WebhookOut.model_validate(office.webhooks.change(who, webhook_id, **changes))


@router.delete("/{webhook_id}", status_code=204)
def remove_webhook(office: TheOffice, who: Who, webhook_id: str) -> None:
    """Remove a webhook; what it was still to be told is not sent."""
    office.webhooks.remove(who, webhook_id)


@router.post("/{webhook_id}/test")
def ping_webhook(office: TheOffice, who: Who, webhook_id: str) -> DeliveryOut:
    """Send a ping now; what came of it."""
    return DeliveryOut.model_validate(office.webhooks.test(who, webhook_id))


@router.get("/{webhook_id}/deliveries")
def list_deliveries(
    office: TheOffice, who: Who, webhook_id: str, limit: Number = 50
) -> list[DeliveryOut]:
    """What it was told, the latest first."""
    return outs(DeliveryOut, office.webhooks.deliveries(who, webhook_id, limit))


@router.post("/{webhook_id}/deliveries/{number}/again")
def deliver_again(
    office: TheOffice, who: Who, webhook_id: str, number: Annotated[int, Field(ge=1, le=1 << 62)]
) -> DeliveryOut:
    """Have a delivery sent once more."""
    return DeliveryOut.model_validate(office.webhooks.again(who, webhook_id, number))
