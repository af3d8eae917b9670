"""Changing rows: the fields of one row below it, and those of many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from reelyard.domain.job import ItemType

from .compose_list import Compilation
from .compose_page import TYPES, Page, button
from .compose_row import Row
from .compose_time import seconds_from, written

_WRONG_TIME = "Write seconds or minutes: 12.5 or 1:05"
PickLogo = Callable[[], Awaitable[str | None]]


def time_input(label: str, value: float | None, mark: str) -> ui.input:
    made = ui.input(label, value=written(value), validation=_wrong_time)
    made.props("outlined dense debounce=400 hide-bottom-space").classes("ry-time").mark(mark)
    made.props["data-testid"] = mark
    return made


def _wrong_time(text: str) -> str | None:
    try:
        seconds_from(text)
    except ValueError:
        return _WRONG_TIME
    return None


class RowEditor:
    """The fields of one row. Each change is kept as soon as it makes sense."""

    def __init__(self, page: Page, row: Row, pick_logo: PickLogo) -> None:
        self._page = page
        self._row_id = row.row_id
        self._pick_logo = pick_logo
        with ui.row().classes("ry-editor items-start"):
            self._start = self._time("Start", "start", row.start)
            self._end = self._time("End", "end", row.end)
            self._duration = self._time("Shown for", "duration", row.duration)
            self._logo = self._text("Logo", "logo_path", row.logo_path)
            with self._logo.add_slot("append"):
                choose = ui.button(icon="image_search", on_click=self._choose_logo)
                choose.props('flat dense round size=sm aria-label="Choose a logo"')
            self._said = self._text("Text that appears", "text", row.text)
        self.show(row)

    def _time(self, label: str, name: str, value: float | None) -> ui.input:
        made = time_input(label, value, f"edit-{name}")

        def changed() -> None:
            if _wrong_time(made.value) is None:
                self._set(name, seconds_from(made.value))

        made.on_value_change(changed)
        return made

    def _text(self, label: str, name: str, value: str | None) -> ui.input:
        made = ui.input(label, value=value or "")
        made.props("outlined dense debounce=400 clearable maxlength=2000").classes("ry-wide")
        made.mark(f"edit-{name}").props["data-testid"] = f"edit-{name}"
        made.on_value_change(lambda: self._set(name, made.value or None))
        return made

    def _set(self, name: str, value: float | str | None) -> None:
        row = self._page.now.row(self._row_id)
        if row is not None and getattr(row, name) != value:
            self._page.set([self._row_id], f"change {row.name}", f"{self._row_id}:{name}", **{name: value})  # fmt: skip

    async def _choose_logo(self) -> None:
        if path := await self._pick_logo():
            self._logo.set_value(path)

    def show(self, row: Row) -> None:
        """The fields that its type has, as they are now."""
        for field, shown in ((self._start, not row.is_image), (self._end, not row.is_image),
                             (self._duration, row.is_image), (self._logo, row.is_video),
                             (self._said, row.is_video)):  # fmt: skip
            if field.visible != shown:
                field.set_visibility(shown)
        for field, value in ((self._start, row.start), (self._end, row.end), (self._duration, row.duration)):  # fmt: skip
            if _wrong_time(field.value) is None and seconds_from(field.value) != value:
                field.set_value(written(value))
        for field, text in ((self._logo, row.logo_path), (self._said, row.text)):
            if (field.value or None) != text:
                field.set_value(text or "")


class SelectionBar:
    """What can be done to all selected rows at once; there while some are selected."""

    def __init__(self, page: Page, pick_logo: PickLogo) -> None:
        self._page = page
        self._pick_logo = pick_logo
        with ui.row().classes("ry-selection items-center"):
            self._count = ui.label().classes("ry-mono").mark("selected-count")
            self._count.props["role"] = "status"
            with ui.row().classes("items-center").style("gap: 4px") as self._buttons:
                with button("Type", "category", lambda: None, "bulk-type", flat="yes"):
                    with ui.menu().props("auto-close"):
                        for one, name in TYPES.items():
                            ui.menu_item(name, on_click=partial(self._set_type, one))
                button("Logo, text, length", "tune", self._ask, "bulk-style", flat="yes")
                button("Duplicate", "content_copy", self._duplicate, "bulk-duplicate", flat="yes")
                button("Remove", "delete_outline", self._remove, "bulk-remove", flat="yes")
                button("None", "deselect", self._none, "select-none", flat="yes")
            ui.space()
            button("Select all", "select_all", self._all, "select-all", flat="yes")
        self._dialog = self._build_dialog()

    def sync(self) -> None:
        count = len(self._page.selected)
        self._count.set_text(f"{count} selected" if count else "Select rows to change many at once")
        if self._buttons.visible != bool(count):
            self._buttons.set_visibility(bool(count))

    def _build_dialog(self) -> ui.dialog:
        with ui.dialog() as dialog, ui.card().classes("ry-dialog"):
            ui.label("All selected items").classes("text-h6")
            ui.label("What stays empty is left as it is.").classes("ry-dim")
            self._logo = ui.input("Logo of the videos").props("outlined dense clearable").classes("full-width")  # fmt: skip
            self._logo.mark("bulk-logo").props["data-testid"] = "bulk-logo"
            with self._logo.add_slot("append"):
                choose = ui.button(icon="image_search", on_click=self._choose_logo)
                choose.props('flat dense round size=sm aria-label="Choose a logo"')
            self._text = ui.input("Text on the videos").props("outlined dense clearable maxlength=2000")  # fmt: skip
            self._text.classes("full-width").mark("bulk-text").props["data-testid"] = "bulk-text"
            self._still = time_input("Images are shown for", None, "bulk-still")
            self._still.classes("full-width")
            with ui.row().classes("full-width"):
                button("Take logos away", "", lambda: self._clear("logo_path"), "bulk-no-logo", flat="yes")  # fmt: skip
                button("Take texts away", "", lambda: self._clear("text"), "bulk-no-text", flat="yes")  # fmt: skip
            with ui.row().classes("full-width justify-end"):
                button("Close", "", dialog.close, "bulk-close", flat="yes")
                button("Set", "", self._set_style, "bulk-set")
        return dialog

    def _ask(self) -> None:
        for one in (self._logo, self._text, self._still):
            one.set_value("")
        self._dialog.open()

    async def _choose_logo(self) -> None:
        if path := await self._pick_logo():
            self._logo.set_value(path)

    def _set_type(self, item_type: ItemType) -> None:
        count = len(self._page.selected)
        self._page.change(self._page.now.set_type(self._page.selected, item_type), f"set the type of {count}")  # fmt: skip

    def _set_style(self) -> None:
        if _wrong_time(self._still.value) is not None:
            return
        made, rows = self._page.now, self._page.selected
        if logo := (self._logo.value or "").strip():
            made = made.set_on_videos(rows, logo_path=logo)
        if text := (self._text.value or "").strip():
            made = made.set_on_videos(rows, text=text)
        if (seconds := seconds_from(self._still.value)) is not None:
            made = made.set_on_images(rows, seconds)
        self._tell_and_change(made)

    def _clear(self, name: str) -> None:
        self._tell_and_change(self._page.now.set_on_videos(self._page.selected, **{name: None}))

    def _tell_and_change(self, made: Compilation) -> None:
        before = self._page.now
        count = sum(one != other for one, other in zip(before.rows, made.rows, strict=True))
        self._dialog.close()
        self._page.change(made, f"change {count} items")
        rest = len(self._page.selected) - count
        ui.notify(f"{count} items changed" + (f"; the other {rest} are of another type, or were so already" if rest else ""))  # fmt: skip

    def _duplicate(self) -> None:
        self._page.change(self._page.now.duplicate(self._page.selected), "duplicate")

    def _remove(self) -> None:
        count = len(self._page.selected)
        self._page.change(self._page.now.remove(self._page.selected), f"remove {count}")

    def _all(self) -> None:
        self._page.selected = {row.row_id for row in self._page.now.rows}
        self._page.refresh()

    def _none(self) -> None:
        self._page.selected = set()
        self._page.refresh()
