"""New compilation: find clips, put them in order, see what becomes of it, submit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.services.clips import Clip
from reelyard.services.office import Office

from .compose_acts import RowActs
from .compose_bar import Bar
from .compose_bench import Benches
from .compose_check import Checker
from .compose_draft import DraftPanel
from .compose_edit import SelectionBar
from .compose_finder import Finder
from .compose_like import begin_like
from .compose_look import CSS
from .compose_page import Page, button, element, set_prop, set_text
from .compose_paste import PasteDialog, UploadDialog
from .compose_row import row_of_clip
from .compose_rows import note
from .compose_send import Sender
from .compose_settings import SettingsForm
from .compose_templates import Templates
from .frame import frame
from .visitor import visitor_of

_ON_KEY = """(e) => {
    if (!(e.ctrlKey || e.metaKey) || e.altKey || e.target.matches('input:not([type=checkbox]), textarea')) return;
    const act = {z: e.shiftKey ? 'redo' : 'undo', Z: 'redo', y: 'redo'}[e.key];
    if (act) { e.preventDefault(); emit(act); }
}"""


def register(office: Office) -> None:
    """The page. What is being built is kept for everybody while the server runs."""
    benches = Benches()

    @ui.page("/")
    async def page(request: Request, like: str = "", template: str = "") -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        ui.add_css(CSS)
        with frame(visitor, "New compilation") as who:
            built = Compose(Page(visitor, benches.of(who.user_id)))
        await ui.context.client.connected(timeout=30)
        if not ui.context.client.is_deleted:
            await built.start(like, template)
        return None


class Compose:
    """The page, put together."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._logo_started = False
        self._tabs: dict[str, ui.element] = {}
        page.refresh = self._refresh
        page.show_findings = self._show_findings
        self._dialogs()
        with element("div", "ry-compose") as self._root:
            self._root.props["data-pane"] = "list"
            self._root.on("keydown", self._key, js_handler=_ON_KEY)
            self._panes()
            with element("section", "ry-pane-find"):
                self._find()
            with element("section", "ry-pane-list"):
                self._build()
        self._refresh()
        ui.context.client.on_delete(page.bench.watch(self._changed))

    def _dialogs(self) -> None:
        visitor = self._page.visitor
        self._paste = PasteDialog(visitor, self._add)
        self._upload = UploadDialog(visitor, self._add)
        with ui.dialog() as self._logos, ui.card().classes("ry-dialog ry-dialog-wide"):
            ui.label("Choose a logo").classes("text-h6")
            self._logo_finder = Finder(visitor, self._logo_picked, {}, kind="image", many=False)
            with ui.row().classes("full-width justify-end"):
                button("Close", "", self._logos.close, "logo-close", flat="yes")

    def _panes(self) -> None:
        """On a phone one half is shown at a time."""
        with element("div", "ry-panes", role="tablist"):
            for name, label in (("find", "Find clips"), ("list", "The list")):
                made = element("button", "ry-pane-tab", label, type="button", role="tab")
                made.props.update({"data-testid": f"pane-{name}", "data-name": name})
                self._tabs[name] = made
                made.mark(f"pane-{name}").on("click", partial(self._show_pane, name), args=[])

    def _show_pane(self, name: str) -> None:
        set_prop(self._root, "data-pane", name)

    def _find(self) -> None:
        with ui.row().classes("items-center full-width no-wrap").style("gap: 6px"):
            ui.label("Clips").classes("text-subtitle1 text-weight-medium").props(
                "role=heading aria-level=2"
            )
            ui.space()
            button("Paste a list", "content_paste", self._paste.open, "paste", flat="yes")
            button("Upload", "upload", self._upload.open, "upload-open", flat="yes")
        self._finder = Finder(self._page.visitor, self._add, self._page.bench.seconds)

    def _build(self) -> None:
        with ui.row().classes("items-center full-width").style("gap: 6px"):
            ui.label("The list").classes("text-subtitle1 text-weight-medium").props(
                "role=heading aria-level=2"
            )
            ui.space()
            self._undo = button("Undo", "undo", self._page.bench.undo, "undo", flat="yes")
            self._redo = button("Redo", "redo", self._page.bench.redo, "redo", flat="yes")
            for made, name in ((self._undo, "Undo"), (self._redo, "Redo")):
                made.classes("ry-short").props["aria-label"] = name
            self._templates = Templates(self._page)
            again = button("Start over", "restart_alt", self._start_over, "start-over", flat="yes")
            again.classes("ry-short").props["aria-label"] = "Start over"
            again.props["title"] = "Start over: an empty list"
        self._settings = SettingsForm(self._page)
        self._own = element("div", "ry-notes", role="status")
        self._draft = DraftPanel(self._page)
        self._selection = SelectionBar(self._page, self._pick_logo)
        self._acts = RowActs(self._page, self._pick_logo, self._selection.sync)
        self._rows = self._acts.rows
        self._bar = Bar(self._page, self._draft.begin, Sender(self._page, self._show_sending))
        self._checker = Checker(self._page, self._show_checked)

    async def start(self, like: str, template: str) -> None:
        """What takes a moment, once the page is there."""
        if like or template:
            ui.navigate.history.replace("/")  # loading it again must not begin it again
        if like:
            await begin_like(self._page, like)
        if template:
            await self._templates.use_by_id(template)
        if self._page.now.rows:
            self._checker.touch()
        await self._draft.resume()
        await self._settings.suggest()
        await self._finder.start()

    # What is done to the list

    def _add(self, clips: Sequence[Clip]) -> None:
        if clips:
            what = (
                f"add {len(clips)} clips" if len(clips) > 1 else f"add {row_of_clip(clips[0]).name}"
            )
            self._page.change(self._page.now.add(map(row_of_clip, clips)), what)

    async def _pick_logo(self) -> str | None:
        self._logos.open()
        if not self._logo_started:
            self._logo_started = True
            await self._logo_finder.start()
        picked: str | None = await self._logos
        return picked

    def _logo_picked(self, clips: Sequence[Clip]) -> None:
        self._logos.submit(row_of_clip(clips[0]).path)

    def _start_over(self) -> None:
        self._page.change(self._page.now.cleared(), "start over")
        ui.notify("The list is empty. Undo brings it back.")

    def _key(self, e: Any) -> None:
        if e.args == "undo":
            self._page.bench.undo()
        elif e.args == "redo":
            self._page.bench.redo()

    # What is shown

    def _changed(self) -> None:
        """The compilation is another one, by this page or by another one of the same person."""
        self._refresh()
        self._checker.touch()

    def _refresh(self) -> None:
        bench = self._page.bench
        self._acts.sync()
        self._settings.sync()
        self._selection.sync()
        self._finder.show_counts(Counter(row.path or "" for row in bench.now.rows))
        for made, what, word in (
            (self._undo, bench.can_undo, "Undo"),
            (self._redo, bench.can_redo, "Redo"),
        ):
            if made.enabled != bool(what):
                made.set_enabled(bool(what))
            set_prop(made, "title", f"{word}: {what}" if what else f"{word}: nothing")
        count = len(bench.now.rows)
        set_text(self._tabs["list"], f"The list ({count})" if count else "The list")
        self._bar.show(self._checker)

    def _show_checked(self) -> None:
        self._rows.show_lengths()
        self._bar.show(self._checker)

    def _show_sending(self, begins: bool) -> None:
        self._bar.submit.props(add="loading") if begins else self._bar.submit.props(
            remove="loading"
        )
        self._bar.show(self._checker)

    def _show_findings(self) -> None:
        """Problems beside their items; the job's own above the list."""
        self._rows.show_problems()
        own = self._page.findings.get(None, ())
        self._own.clear()
        channel = [one for one in own if one.field == "channel_name"]
        wants_channel = channel and not self._page.now.settings.channel_name.strip()
        with self._own:
            for one in own:
                if one.field != "channel_name" or not wants_channel:
                    note(one)
        self._bar.show(self._checker)
