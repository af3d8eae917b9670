"""What is done to single rows: by their buttons, by keys, by the fields below them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from .compose_edit import PickLogo, RowEditor
from .compose_page import Page
from .compose_rows import RowList, type_of


class RowActs:
    """Does it, and knows whose fields are shown and which row was selected last."""

    def __init__(self, page: Page, pick_logo: PickLogo, picked: Callable[[], None]) -> None:
        self._page = page
        self._pick_logo = pick_logo
        self._picked = picked
        self._editor: tuple[int, RowEditor, ui.element] | None = None
        self._last_picked: int | None = None
        self.rows = RowList(page, self._do)

    def sync(self) -> None:
        """Show the rows and the open fields as they are now."""
        if self._editor is not None and self._page.now.row(self._editor[0]) is None:
            self._close_editor()
        self.rows.sync()
        if self._editor is not None and (row := self._page.now.row(self._editor[0])) is not None:
            self._editor[1].show(row)

    def _do(self, act: str, row_id: int, value: Any, with_shift: bool) -> None:
        """Something was done to a row."""
        page, row = self._page, self._page.now.row(row_id)
        if row is None:
            return
        if act in ("up", "down"):
            page.change(page.now.step(row_id, -1 if act == "up" else 1), f"move {row.name}")
            self.rows.focus(row_id)
        elif act == "remove":
            at = page.now.index(row_id) or 0
            page.change(page.now.remove([row_id]), f"remove {row.name}")
            if page.now.rows:
                self.rows.focus(page.now.rows[min(at, len(page.now.rows) - 1)].row_id)
        elif act == "copy":
            page.change(page.now.duplicate([row_id]), f"duplicate {row.name}")
        elif act == "type" and (item_type := type_of(value)) is not None:
            page.change(page.now.set_type([row_id], item_type), f"set the type of {row.name}")
        elif act == "open":
            self._open(row_id)
        elif act == "pick":
            self._pick(row_id, value, with_shift)

    def _pick(self, row_id: int, value: Any, with_shift: bool) -> None:
        """Select a row or not; with Shift all from the last one on."""
        ids = [row.row_id for row in self._page.now.rows]
        wanted = value if isinstance(value, bool) else row_id not in self._page.selected
        rows = {row_id}
        if with_shift and self._last_picked in ids:
            begin, end = sorted((ids.index(self._last_picked), ids.index(row_id)))
            rows = set(ids[begin : end + 1])
        self._last_picked = row_id
        self._page.selected = self._page.selected | rows if wanted else self._page.selected - rows
        self.rows.show_lengths()
        self._picked()

    def _open(self, row_id: int) -> None:
        """Show a row's fields, or no more."""
        was = self._close_editor()
        view, row = self.rows.view(row_id), self._page.now.row(row_id)
        if was == row_id or view is None or row is None:
            return
        made: list[RowEditor] = []
        place = view.open(lambda: made.append(RowEditor(self._page, row, self._pick_logo)))
        self._editor = (row_id, made[0], place)

    def _close_editor(self) -> int | None:
        if self._editor is None:
            return None
        row_id, _, place = self._editor
        if not place.is_deleted:
            place.delete()
        self._editor = None
        return row_id
