"""New compilation: find clips, put them in order, see what becomes of it, submit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.errors import JobRejected, NotSignedIn, ReelyardError
from reelyard.services.clips import Clip, ListedClip
from reelyard.services.job_views import Wanted
from reelyard.services.office import Office

from .compose_bar import Bar
from .compose_bench import Benches
from .compose_check import Checker
from .compose_draft import DraftPanel
from .compose_edit import RowEditor, SelectionBar
from .compose_finder import Finder
from .compose_list import Compilation, row_of_clip
from .compose_look import CSS
from .compose_page import Page, button, element, set_prop, set_text
from .compose_paste import PasteDialog, UploadDialog
from .compose_rows import RowList, note, type_of
from .compose_settings import SettingsForm
from .compose_templates import Templates
from .frame import frame
from .visitor import show_error, sign_in_address, visitor_of

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
        visitor = visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        ui.add_css(CSS)
        with frame(visitor, "New compilation") as who:
            built = Compose(Page(visitor, benches.of(who.user_id)))
        await ui.context.client.connected(timeout=30)
        await built.start(like, template)
        return None


class Compose:
    """The page, put together."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._editor: tuple[int, RowEditor, ui.element] | None = None
        self._last_picked: int | None = None
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
        self._rows = RowList(self._page, self._do)
        self._bar = Bar(self._page, self._draft.begin, self._submit)
        self._checker = Checker(self._page, self._show_checked)

    async def start(self, like: str, template: str) -> None:
        """What takes a moment, once the page is there."""
        if like or template:
            ui.navigate.history.replace("/")  # loading it again must not begin it again
        if like:
            await self._begin_like(like)
        if template:
            await self._templates.use_by_id(template)
        if self._page.now.rows:
            self._checker.touch()
        await self._draft.resume()
        await self._settings.suggest()
        await self._finder.start()

    async def _begin_like(self, job_id: str) -> None:
        office = self._page.office
        document = await self._page.visitor.do(lambda who: office.jobs.document(who, job_id))
        if document is None:
            return
        had_some = bool(self._page.now.rows)
        made = await self._with_paths(self._page.now.from_document(document))
        self._page.change(made, "begin with a job's list")
        if had_some:
            ui.notify("The list was replaced by the job's. Undo brings yours back.", timeout=8000)

    async def _with_paths(self, made: Compilation) -> Compilation:
        """Videos that were named by their ids, with the files that they have now."""
        ids = list(dict.fromkeys(row.video_id for row in made.rows if row.video_id))
        library = self._page.office.library
        listed: Sequence[ListedClip] | None = None
        if ids:
            listed = await self._page.visitor.do(
                lambda who: library.resolve_list(who, "\n".join(ids))
            )
        found = {one.clip.video_id: one.clip for one in listed or () if one.clip is not None}
        for row in made.rows:
            if (clip := found.get(row.video_id)) is not None and row.video_id:
                made = made.change(
                    [row.row_id], path=row_of_clip(clip).path, name=row_of_clip(clip).name
                )
        return made

    # What is done to the list

    def _add(self, clips: Sequence[Clip]) -> None:
        if clips:
            what = (
                f"add {len(clips)} clips" if len(clips) > 1 else f"add {row_of_clip(clips[0]).name}"
            )
            self._page.change(self._page.now.add(map(row_of_clip, clips)), what)

    def _do(self, act: str, row_id: int, value: Any, with_shift: bool) -> None:
        """Something was done to a row."""
        page, row = self._page, self._page.now.row(row_id)
        if row is None:
            return
        if act in ("up", "down"):
            page.change(page.now.step(row_id, -1 if act == "up" else 1), f"move {row.name}")
            self._rows.focus(row_id)
        elif act == "remove":
            at = page.now.index(row_id) or 0
            page.change(page.now.remove([row_id]), f"remove {row.name}")
            if page.now.rows:
                self._rows.focus(page.now.rows[min(at, len(page.now.rows) - 1)].row_id)
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
        self._rows.show_lengths()
        self._selection.sync()

    def _open(self, row_id: int) -> None:
        """Show a row's fields, or no more."""
        was = self._close_editor()
        view, row = self._rows.view(row_id), self._page.now.row(row_id)
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

    async def _pick_logo(self) -> str | None:
        self._logos.open()
        if not self._logo_started:
            self._logo_started = True
            await self._logo_finder.start()
        picked: str | None = await self._logos
        return picked

    _logo_started = False

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
        if self._editor is not None and bench.now.row(self._editor[0]) is None:
            self._close_editor()
        self._rows.sync()
        if self._editor is not None and (row := bench.now.row(self._editor[0])) is not None:
            self._editor[1].show(row)
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

    async def _submit(self) -> None:
        """Once, however often it is clicked."""
        page, bench = self._page, self._page.bench
        if bench.is_submitting:
            return
        bench.is_submitting = True
        self._bar.submit.props(add="loading")
        self._bar.show(self._checker)
        now, wanted = page.now, Wanted(priority=page.now.settings.priority, key=bench.key())
        try:
            done = await page.visitor.ask(
                lambda who: page.office.jobs.submit(who, now.to_document(), wanted)
            )
        except JobRejected as error:
            page.found(error.problems, now)
            ui.notify(
                "The job was not submitted: there are problems beside their items.", type="negative"
            )
        except NotSignedIn:
            ui.navigate.to(sign_in_address("/"))
        except ReelyardError as error:
            show_error(error)
        else:
            bench.submitted()
            ui.navigate.to(f"/jobs/{done.state.job_id}")
        finally:
            bench.is_submitting = False
            self._bar.submit.props(remove="loading")
            self._bar.show(self._checker)
