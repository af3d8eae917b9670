"""What is always in sight: how long, how many, how large, when; and the buttons to draft and submit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui

from .compose_check import Checker
from .compose_excerpt import ExcerptChoice
from .compose_page import Page, button, element, set_text
from .words import clock, size, span

_FACTS = (("length", "Length"), ("items", "Items"), ("size", "Size at most"), ("queue", "Queue"),
          ("starts", "Starts in"), ("done", "Done in"))  # fmt: skip


class Bar:
    """The bar below the list."""

    def __init__(self, page: Page, draft: Callable[[bool], Awaitable[None]],
                 submit: Callable[[], Awaitable[None]]) -> None:  # fmt: skip
        self._page = page
        self._draft_call = draft
        self._facts: dict[str, ui.element] = {}
        with element("div", "ry-bar"):
            with element("div", "ry-facts"):
                for name, label in _FACTS:
                    self._fact(name, label)
            with element("div", "ry-actions"):
                self._why = element("span", "ry-why ry-dim", "", role="status")
                self._why.props["data-testid"] = "status"
                self._why.mark("status")
                self._whole = ui.switch("Whole clips").props("dense").mark("draft-whole")
                self._whole.props["data-testid"] = "draft-whole"
                with self._whole:
                    ui.tooltip("A draft shows 5 seconds of each clip, or all of it")
                self.draft = button("Draft", "movie", self._begin_draft, "draft").props("outline")
                self.excerpt = ExcerptChoice(page)
                self.submit = button("Submit", "send", submit, "submit")

    def _fact(self, name: str, label: str) -> None:
        with element("div", f"ry-fact ry-fact-{name}"):
            element("div", "ry-dim ry-fact-label", label)
            made = element("div", "ry-mono ry-fact-value", "–").mark(f"total-{name}")
            made.props["data-testid"] = f"total-{name}"
            self._facts[name] = made

    async def _begin_draft(self) -> None:
        await self._draft_call(bool(self._whole.value))

    def show(self, checker: Checker) -> None:
        """Bring all of it up to date."""
        checked, rows, wanted = checker.checked, self._page.now.rows, self._page.now.wanted
        well = checked is not None and not checked.problems
        some = f"{len(wanted)} of " if len(wanted) < len(rows) else ""
        set_text(self._facts["items"], f"{some}{len(rows)}")
        self.excerpt.sync()
        set_text(
            self._facts["length"], clock(checked.seconds) if checked and well else self._added_up()
        )
        if checked and well:
            set_text(self._facts["size"], size(checked.largest))
            set_text(
                self._facts["queue"], str(checked.queue).replace("_", " ") if checked.queue else "–"
            )
            set_text(self._facts["starts"], _when(checked.starts_in))
            set_text(self._facts["done"], _when(checked.done_in))
        elif not checker.is_waiting or not rows:
            for name in ("size", "queue", "starts", "done"):
                set_text(self._facts[name], "–")
        why = self._reason(checker)
        set_text(self._why, why or ("Checking …" if checker.is_waiting else "Ready"))
        cannot = bool(why) or self._page.bench.is_submitting
        if self.submit.enabled == cannot:
            self.submit.set_enabled(not cannot)
        if self.draft.enabled != bool(rows):
            self.draft.set_enabled(bool(rows))

    def _added_up(self) -> str:
        most = self._page.now.settings.excerpt.item_seconds
        lengths = [self._page.length(row) for row in self._page.now.wanted]
        known = [
            one if most is None else min(one, float(most)) for one in lengths if one is not None
        ]
        return clock(sum(known)) + ("" if len(known) == len(lengths) else " +")

    def _reason(self, checker: Checker) -> str:
        """Why it can't be submitted as it is, if so."""
        if not self._page.now.rows:
            return "Add a clip first"
        if not self._page.now.settings.channel_name.strip():
            return "Choose a channel first"
        if checker.failure is not None:
            error = checker.failure
            return f"It can't be checked: {error.message}. {error.remedy}."
        count = len(self._page.problems)
        if count and not checker.is_waiting:
            return "1 problem to solve first" if count == 1 else f"{count} problems to solve first"
        return ""


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "no worker"
    return "now" if seconds < 1 else span(seconds)
