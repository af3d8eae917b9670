"""Webhooks: made, tried out, looked at and removed; everybody's for admins, one's own on the account's page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from nicegui import ui

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import printable
from reelyard.domain.webhook import JOB_EVENTS, Webhook, WebhookEvent

from .admin_deliveries import Deliveries, outcome
from .admin_parts import act, cell, row, section, show_secret, tag
from .job_actions import confirm
from .job_look import tagged
from .visitor import Visitor

_TEXT = "An address of yours that is told when jobs start, are completed, fail or are cancelled."
_USE = "Each call is signed with it, so that the receiver can tell that it comes from here."


class Hooks:
    """The list and the form under it."""

    def __init__(self, visitor: Visitor, everybody: bool) -> None:
        self._visitor = visitor
        self._webhooks = visitor.office.webhooks
        self._everybody = everybody
        self._names: Mapping[str, str] = {}
        with section("Webhooks" if everybody else "Your webhooks", _TEXT):
            self._home = ui.column().classes("full-width").style("gap: 0")
            self._form(visitor.principal().sees_all)

    async def show(self) -> None:
        with self._home:
            found = await self._visitor.do(self._read)
        if found is None:
            return
        hooks, self._names = found
        self._home.clear()
        with self._home:
            if not hooks:
                ui.label("There is no webhook.").classes("ry-dim")
            for one in hooks:
                self._row(one)

    def _read(self, who: Principal) -> tuple[Sequence[Webhook], Mapping[str, str]]:
        found = self._webhooks.list(who)
        if not self._everybody:
            return [one for one in found if one.user_id == who.user_id], {}
        access = self._visitor.office.access
        people = access.users(who) if who.may(Action.ADMINISTER) else ()
        return found, {one.user_id: one.username for one in people}

    def _row(self, one: Webhook) -> None:
        with row("webhook-row", faded=not one.is_active) as element:
            element.props["data-webhook"] = one.webhook_id
            cell(one.url, self._about(one))
            if not one.is_active:
                tag("Off", "bad")
            with ui.element("div").classes("ry-acts"):
                test = act("Test", "webhook-test", "send")
                test.on_click(lambda: self._test(one, test))
                act("Deliveries", "webhook-deliveries", "list").on_click(lambda: self._look(one))
                name = "Switch off" if one.is_active else "Switch on"
                act(name, "webhook-switch", "power_settings_new").on_click(
                    lambda: self._switch(one)
                )
                act("Remove", "webhook-remove", "delete").on_click(lambda: self._remove(one))

    def _about(self, one: Webhook) -> str:
        told = ", ".join(event.removeprefix("job.") for event in one.events)
        jobs = "everybody's jobs" if one.everybody else "own jobs"
        channel = one.channel_name or "all channels"
        owner = f"{self._names.get(one.user_id, 'this machine')} · " if self._everybody else ""
        return f"{owner}{told} · {jobs} · {channel}"

    def _form(self, sees_all: bool) -> None:
        ui.separator()
        with ui.element("div").classes("ry-form"):
            url = ui.input("Address", placeholder="https://example.org/reelyard")
            tagged(url.props("outlined dense type=url").classes("ry-two"), "webhook-url")
            events = ui.select(
                {one: one.removeprefix("job.").capitalize() for one in JOB_EVENTS},
                label="Told when a job is", multiple=True, value=list(JOB_EVENTS),
            )  # fmt: skip
            tagged(events.props("outlined dense options-dense").classes("ry-two"), "webhook-events")
            channel = ui.input("Channel", placeholder="all channels").props("outlined dense")
            tagged(channel, "webhook-channel")
            everybody = ui.checkbox("Other people's jobs too")
            everybody.set_visibility(sees_all)
            tagged(everybody, "webhook-everybody")
        make = ui.button("Make a webhook", icon="add_link")
        make.on_click(lambda: self._make(url, events.value, channel.value, bool(everybody.value)))
        tagged(make.props("unelevated no-caps"), "webhook-make")

    async def _make(
        self, url: ui.input, events: Collection[WebhookEvent], channel: str, everybody: bool
    ) -> None:
        with self._home:
            made = await self._visitor.do(
                lambda who: self._webhooks.create(
                    who,
                    (url.value or "").strip(),
                    events,
                    (channel or "").strip() or None,
                    everybody,
                )
            )
            if made is not None:
                url.set_value("")
                await show_secret("The webhook's secret", made.secret, _USE)
        await self.show()

    async def _test(self, one: Webhook, button: ui.button) -> None:
        button.props("loading")
        with self._home:
            sent = await self._visitor.do(lambda who: self._webhooks.test(who, one.webhook_id))
            if sent is not None:
                good = sent.delivered_at is not None
                ui.notify(
                    f"{printable(one.receiver)}: {printable(outcome(sent))}",
                    type="positive" if good else "negative", multi_line=True,
                )  # fmt: skip
        if not button.is_deleted:
            button.props(remove="loading")

    async def _look(self, one: Webhook) -> None:
        with self._home:
            await Deliveries(self._visitor, one).show()

    async def _switch(self, one: Webhook) -> None:
        wanted = not one.is_active
        with self._home:
            await self._visitor.do(
                lambda who: self._webhooks.change(who, one.webhook_id, is_active=wanted),
                "Switched on" if wanted else "Switched off",
            )
        await self.show()

    async def _remove(self, one: Webhook) -> None:
        with self._home:
            text = f"{printable(one.url)}\nIt is told nothing more, and its deliveries are dropped."
            if not await confirm("Remove the webhook?", text, "Remove"):
                return
            await self._visitor.do(
                lambda who: self._webhooks.remove(who, one.webhook_id), "Removed"
            )
        await self.show()
