"""What a webhook was told, and what came of it; to be sent once more."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.webhook import Delivery, Webhook

from .admin_parts import act, cell, row, tag
from .job_look import tagged
from .visitor import Visitor
from .words import ago


class Deliveries:
    """A dialog with the newest deliveries of one webhook."""

    def __init__(self, visitor: Visitor, webhook: Webhook) -> None:
        self._visitor = visitor
        self._webhook = webhook
        with ui.dialog() as self._dialog, ui.card().style("width: min(720px, 94vw)"):
            ui.label("Deliveries").classes("text-h6").props("role=heading aria-level=2")
            ui.label(printable(webhook.receiver)).classes("ry-dim")
            self._box = ui.column().classes("full-width").style("gap: 0; min-height: 120px")
            tagged(self._box, "deliveries")
            with ui.row().classes("full-width justify-end"):
                again = ui.button("Look again", icon="refresh", on_click=self._read)
                again.props("flat no-caps")
                ui.button("Close", on_click=self._dialog.close).props("unelevated no-caps")

    async def show(self) -> None:
        """Until it is closed."""
        await self._read()
        await self._dialog
        self._dialog.delete()

    async def _read(self) -> None:
        hook = self._webhook.webhook_id
        found = await self._visitor.do(
            lambda who: self._visitor.office.webhooks.deliveries(who, hook)
        )
        if found is not None and not self._box.is_deleted:
            self._box.clear()
            with self._box:
                self._list(found)

    def _list(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            ui.label("It was told nothing yet. “Test” sends it a ping.").classes("ry-dim")
        for one in deliveries:
            self._row(one)

    def _row(self, one: Delivery) -> None:
        with row("delivery-row"):
            tries = f"{one.tries} tr{'y' if one.tries == 1 else 'ies'}"
            cell(one.event, f"{ago(one.created_at)} · {tries} · {outcome(one)}")
            tag(*_state(one))
            if one.job_id is not None:
                ui.link("Job", f"/jobs/{one.job_id}").classes("text-caption")
                act("Send again", "delivery-again", "replay").on_click(lambda: self._again(one))

    async def _again(self, one: Delivery) -> None:
        hook = self._webhook.webhook_id
        with self._box:
            await self._visitor.do(
                lambda who: self._visitor.office.webhooks.again(who, hook, one.number),
                "It is sent again within seconds",
            )
        await self._read()


def outcome(one: Delivery) -> str:
    """What the receiver answered, or why nothing got there."""
    if one.delivered_at is not None:
        return f"delivered, answered {one.status_code}" if one.status_code else "delivered"
    if one.last_error:
        return one.last_error
    return f"answered {one.status_code}" if one.status_code else "not sent yet"


def _state(one: Delivery) -> tuple[str, str]:
    if one.delivered_at is not None:
        return "Delivered", "good"
    return ("Given up", "bad") if one.given_up_at is not None else ("Waits", "")
