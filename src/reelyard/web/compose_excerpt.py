"""What is to be rendered of the list: all of it, a draft, or some of the items."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from nicegui import ui

from reelyard.domain.excerpt import LONGEST_ITEM_SECONDS, WHOLE, Excerpt
from reelyard.services.job_file import MOST_ITEMS

from .compose_page import Page, button
from .compose_time import seconds_from, written


class ExcerptChoice:
    """A button that says what is chosen, and the dialog behind it. Each change counts as soon as it makes sense."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._dialog = self._build_dialog()
        self._button = button("Whole film", "crop", self._dialog.open, "excerpt", flat="yes")
        self._button.props["aria-haspopup"] = "dialog"
        with self._button:
            ui.tooltip("What Submit renders: all of the film, a draft of it, or some of its items")
        self.sync()

    @property
    def _now(self) -> Excerpt:
        return self._page.now.settings.excerpt

    def _build_dialog(self) -> ui.dialog:
        with ui.dialog() as dialog, ui.card().classes("ry-dialog"):
            ui.label("What is rendered").classes("text-h6").props("role=heading aria-level=2")
            self._draft = ui.switch("A draft: 640 × 360, for a quick look")
            _mark(self._draft, "excerpt-draft").on_value_change(self._change_draft)
            self._seconds = _field("Seconds of each clip; empty: all of it", "excerpt-seconds", _wrong_seconds)  # fmt: skip
            self._seconds.on_value_change(self._change_seconds)
            with ui.row().classes("full-width no-wrap"):
                self._first = _field("From item; empty: the first", "excerpt-first", _wrong_item)
                self._last = _field("To item; empty: the last", "excerpt-last", _wrong_item)
            self._first.on_value_change(lambda: self._change_item("first_item", self._first))
            self._last.on_value_change(lambda: self._change_item("last_item", self._last))
            ui.label(
                "What is rendered of an item here is not rendered again for the whole film. "
                "A draft has pieces of its own. Neither is counted as a compilation, and your list stays."
            ).classes("ry-dim text-caption")
            with ui.row().classes("full-width justify-end"):
                button("The whole film", "", self._reset, "excerpt-whole", flat="yes")
                button("Close", "", dialog.close, "excerpt-close")
        return dialog

    def _change(self, excerpt: Excerpt) -> None:
        if excerpt != self._now:
            self._page.change(
                self._page.now.with_settings(excerpt=excerpt), "choose what is rendered", "excerpt"
            )

    def _change_draft(self) -> None:
        is_draft = bool(self._draft.value)
        if is_draft != self._now.is_draft:
            seconds = self._now.item_seconds if is_draft else None
            self._change(replace(self._now, is_draft=is_draft, item_seconds=seconds))

    def _change_seconds(self) -> None:
        if self._now.is_draft and _wrong_seconds(self._seconds.value) is None:
            given = seconds_from(self._seconds.value)
            seconds = None if given is None else Fraction(str(given))
            self._change(replace(self._now, item_seconds=seconds))

    def _change_item(self, name: str, field: ui.input) -> None:
        if _wrong_item(field.value) is None:
            position = int(field.value) if (field.value or "").strip() else None
            changes: dict[str, Any] = {name: position}
            self._change(replace(self._now, **changes))

    def _reset(self) -> None:
        self._change(WHOLE)
        self._dialog.close()

    def sync(self) -> None:
        """Show what is chosen, where somebody else has changed it."""
        chosen = self._now
        text = str(chosen) or "Whole film"
        if self._button.text != text[:1].upper() + text[1:]:
            self._button.set_text(text[:1].upper() + text[1:])
        if self._draft.value != chosen.is_draft:
            self._draft.set_value(chosen.is_draft)
        if self._seconds.enabled != chosen.is_draft:
            self._seconds.set_enabled(chosen.is_draft)
        seconds = None if chosen.item_seconds is None else float(chosen.item_seconds)
        if _wrong_seconds(self._seconds.value) is None and seconds_from(self._seconds.value) != seconds:  # fmt: skip
            self._seconds.set_value(written(seconds))
        for field, position in ((self._first, chosen.first_item), (self._last, chosen.last_item)):
            if _wrong_item(field.value) is None and (field.value or "").strip() != _said(position):
                field.set_value(_said(position))


def _field(label: str, mark: str, validation: Any) -> ui.input:
    made = ui.input(label, validation=validation)
    made.props("outlined dense debounce=400").classes("full-width")
    _mark(made, mark)
    return made


def _mark(made: Any, mark: str) -> Any:
    made.mark(mark).props["data-testid"] = mark
    return made


def _said(position: int | None) -> str:
    return "" if position is None else str(position)


def _wrong_item(text: str | None) -> str | None:
    said = (text or "").strip()
    if not said or (said.isascii() and said.isdigit() and 1 <= int(said) <= MOST_ITEMS):
        return None
    return "Write the number of an item"


def _wrong_seconds(text: str | None) -> str | None:
    try:
        seconds = seconds_from(text)
    except ValueError:
        return "Write seconds: 5 or 2.5"
    if seconds is None or 0 < seconds <= LONGEST_ITEM_SECONDS:
        return None
    return f"Write more than 0, and at most {LONGEST_ITEM_SECONDS}"
