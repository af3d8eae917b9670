"""The draft: a small film of the list within seconds, played in the page."""

from __future__ import annotations

from nicegui import ui

from reelyard.domain.access import Principal
from reelyard.domain.errors import JobRejected, NotFound, NotSignedIn, ReelyardError
from reelyard.services.drafts import ITEM_SECONDS, Draft, DraftStatus

from .compose_list import Compilation
from .compose_page import Page, button, element, set_text
from .visitor import show_error, sign_in_address
from .words import clock, span


class DraftPanel:
    """There while there is a draft."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._draft: Draft | None = None
        self._of: Compilation | None = None
        self._film = ""
        with element("div", "ry-draft") as self._root:
            with ui.row().classes("full-width items-center no-wrap"):
                self._title = element(
                    "div", "text-weight-medium ry-draft-title", "Draft", role="status"
                )
                self._title.mark("draft-status").props["data-testid"] = "draft-status"
                ui.space()
                self._cancel = button("Cancel", "stop", self._stop, "draft-cancel", flat="yes")
                self._close = button("Close", "close", self._hide, "draft-close", flat="yes")
            self._progress = ui.linear_progress(value=0, show_value=False).props("instant-feedback")
            self._place = element("div")
        self._root.set_visibility(False)
        self._timer = ui.timer(0.5, self._look, active=False)

    async def resume(self) -> None:
        """Show the draft that there is already."""
        drafts = self._page.office.drafts
        try:
            found = await self._page.visitor.ask(drafts.latest)
        except ReelyardError:
            return
        if found is not None and found.status is not DraftStatus.CANCELLED:
            self._follow(found, self._page.now)

    async def begin(self, whole: bool) -> None:
        """Have a draft made of what there is now."""
        now = self._page.now
        document, office = now.to_document(), self._page.office
        document["channel_name"] = document["channel_name"].strip() or "draft"

        def call(who: Principal) -> Draft:
            job = office.jobs.to_draft(document)
            return office.drafts.begin(who, job, None if whole else ITEM_SECONDS)

        try:
            draft = await self._page.visitor.ask(call)
        except JobRejected as error:
            self._page.found(error.problems, now)
            ui.notify(
                "There are problems to solve first. They are beside their items.", type="negative"
            )
        except NotSignedIn:
            ui.navigate.to(sign_in_address("/"))
        except ReelyardError as error:
            show_error(error)
        else:
            self._follow(draft, now)

    def _follow(self, draft: Draft, of: Compilation) -> None:
        self._of = of
        self._film = ""
        self._place.clear()
        self._root.set_visibility(True)
        self._show(draft)
        if not draft.is_over:
            self._timer.activate()
            self._root.run_method("scrollIntoView", {"block": "nearest"})

    async def _look(self) -> None:
        if self._draft is None:
            return
        draft_id = self._draft.draft_id
        try:
            draft = await self._page.visitor.ask(
                lambda who: self._page.office.drafts.get(who, draft_id)
            )
        except NotFound:  # a new one took its place, in another tab perhaps
            self._timer.deactivate()
            await self.resume()
        except ReelyardError as error:
            set_text(self._title, str(error))
        else:
            self._show(draft)

    def _show(self, draft: Draft) -> None:
        self._draft = draft
        set_text(self._title, _said(draft))
        self._cancel.set_visibility(not draft.is_over)
        self._close.set_visibility(draft.is_over)
        self._progress.set_visibility(not draft.is_over)
        self._progress.set_value(draft.percent / 100)
        if not draft.is_over:
            return
        self._timer.deactivate()
        if draft.status is DraftStatus.DONE:
            self._play(draft)
        elif draft.problems and self._of is not None:
            self._page.found(draft.problems, self._of)

    def _play(self, draft: Draft) -> None:
        film = f"/api/v1/drafts/{draft.draft_id}/film"
        if film == self._film:
            return
        self._film = film
        self._place.clear()
        with self._place:
            ui.video(film).classes("ry-draft-film").mark("draft-film").props["data-testid"] = (
                "draft-film"
            )
            for one in draft.warnings[:20]:
                ui.label(one).classes("ry-dim text-caption")

    async def _stop(self) -> None:
        if self._draft is not None:
            draft_id = self._draft.draft_id
            await self._page.visitor.do(lambda who: self._page.office.drafts.cancel(who, draft_id))
            await self._look()

    def _hide(self) -> None:
        self._place.clear()
        self._film = ""
        self._root.set_visibility(False)


def _said(draft: Draft) -> str:
    if draft.status is DraftStatus.DONE:
        more = draft.skipped_seconds or 0
        rest = f"; the film has {clock(more)} more" if more >= 1 else ""
        return f"Draft of {clock(draft.seconds)}{rest}"
    if draft.status is DraftStatus.FAILED:
        why = "its problems are beside their items" if draft.problems else draft.message
        return f"There is no draft: {why}"
    if draft.status is DraftStatus.CANCELLED:
        return "The draft was cancelled"
    if draft.status is DraftStatus.WAITING:
        return "The draft waits for its turn"
    left = f", {span(draft.seconds_left)} left" if draft.seconds_left is not None else ""
    return f"Draft: {draft.stage.value}, {draft.percent:.0f} %{left}"
