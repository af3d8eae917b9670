"""What is said of the job as a whole."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from reelyard.domain.access import Action
from reelyard.domain.errors import ReelyardError
from reelyard.domain.farm import HIGHEST_PRIORITY, LOWEST_PRIORITY, NORMAL_PRIORITY
from reelyard.domain.job import OnBadItem

from .compose_page import Page, element

_SWITCHES = {"enable_4k": "4K", "loudness": "Even loudness", "chapters": "Chapters"}
_BAD = {OnBadItem.FAIL.value: "refuse the job", OnBadItem.SKIP.value: "leave it out"}
_PRIORITIES = {LOWEST_PRIORITY: "lowest", 3: "low", NORMAL_PRIORITY: "normal"}
_HIGHER = {7: "high", HIGHEST_PRIORITY: "highest"}


class SettingsForm:
    """Channel, form and manners of the job."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._fields: dict[str, Any] = {}
        with ui.row().classes("ry-settings items-center"):
            self._channel()
            bad = ui.select(_BAD, value="fail", label="A clip that can't be used")
            self._add("on_bad_item", bad, 180)
            priorities = dict(_PRIORITIES)
            if page.visitor.may(Action.ORDER_QUEUE):
                priorities |= _HIGHER
            chosen = ui.select(priorities, value=NORMAL_PRIORITY, label="Priority")
            self._add("priority", chosen, 110)
            with ui.row().classes("ry-switches items-center"):
                for name, label in _SWITCHES.items():
                    self._add(name, ui.switch(label).props("dense"))
        self.sync()

    def _channel(self) -> None:
        made = ui.input("Channel").props(
            "debounce=300 maxlength=200 list=ry-channels autocomplete=off"
        )
        self._add("channel_name", made.classes("ry-grow"), 160)
        self._known = element("datalist").props("id=ry-channels")

    def _add(self, name: str, field: Any, width: int = 0) -> None:
        field.mark(f"set-{name}")
        field.props["data-testid"] = f"set-{name}"
        if width:
            field.props("outlined dense options-dense").style(f"min-width: {width}px")
        self._fields[name] = field
        field.on_value_change(lambda: self._set(name, field.value))

    async def suggest(self) -> None:
        """Offer the channels that there were jobs for."""
        try:
            channels = await self._page.visitor.ask(self._page.office.history.channels)
        except ReelyardError:
            return  # a suggestion less; what is wrong is said by the check
        with self._known:
            for channel in channels[:200]:
                element("option", value=channel)

    def _set(self, name: str, value: Any) -> None:
        if name == "on_bad_item":
            value = OnBadItem(value)
        if name == "channel_name":
            value = value or ""
        if getattr(self._page.now.settings, name) != value:
            self._page.change(
                self._page.now.with_settings(**{name: value}), "change the settings", name
            )

    def sync(self) -> None:
        """Show the settings as they are, where somebody else has changed them."""
        for name, field in self._fields.items():
            value = getattr(self._page.now.settings, name)
            value = value.value if isinstance(value, OnBadItem) else value
            if name == "priority" and value not in field.options:
                value = NORMAL_PRIORITY
            if (field.value or "" if name == "channel_name" else field.value) != value:
                field.set_value(value)

    def show_problem(self, text: str) -> None:
        """What is wrong with the channel, beside it; nothing: nothing is."""
        field = self._fields["channel_name"]
        if bool(field.props.get("error")) != bool(text) or field.props.get("error-message") != text:
            field.props["error"] = bool(text)
            field.props["error-message"] = text
