"""The jobs that were found: a page of them at a time, kept as they are while the page is open."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from reelyard.domain.errors import JobUnknown, ReelyardError, printable
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import JobQuery, Page
from reelyard.services.live import LiveEvent

from .frame import empty
from .history_search import Wanted
from .job_look import Chip, api, length, picture, tagged, took
from .visitor import Visitor
from .words import span

ROWS_CSS = """
.ry-hrow { display: grid; align-items: center; gap: 12px; width: 100%; padding: 6px 10px; color: inherit;
  grid-template-columns: 96px minmax(150px, 1fr) 100px 64px 126px 84px 100px 150px; text-decoration: none;
  border-bottom: 1px solid var(--ry-line); min-height: 68px; }
a.ry-hrow:hover { background: var(--ry-soft); } a.ry-hrow:focus-visible { outline-offset: -2px; }
.ry-hrow .ry-thumb { width: 96px; } .ry-hrow > * { min-width: 0; }
.ry-hhead { min-height: 0; font-size: 12px; color: var(--ry-dim); }
.ry-end { text-align: right; } .ry-narrow { display: none; }
.ry-bad { color: #b3261e; } body.body--dark .ry-bad { color: #f2a29c; }
@media (max-width: 1000px) {
  .ry-hrow { grid-template-columns: 88px minmax(0, 1fr); gap: 4px 10px; align-items: start; }
  .ry-hrow .ry-thumb { width: 88px; grid-row: span 2; margin-top: 3px; } .ry-hrow .ry-chip { justify-self: start; } .ry-hrow .ry-wide, .ry-hhead { display: none; } .ry-narrow { display: block; }
}
"""
_READ_AGAIN = 20  # at most so many rows at a time


class Row:
    """One job; a link to everything about it."""

    def __init__(self, state: JobState) -> None:
        self.root = ui.link(target=f"/jobs/{state.job_id}").classes("ry-hrow")
        tagged(self.root, "history-row").props["data-job"] = state.job_id
        with self.root:
            picture(api(state.job_id, "thumbnail"))
            with ui.column().style("gap: 1px"):
                ui.label(printable(state.channel_name)).classes(
                    "ry-line text-weight-medium full-width"
                )
                self._facts = ui.label().classes("ry-line ry-dim text-caption full-width ry-narrow")
                self._note = ui.label().classes("ry-line text-caption full-width")
            self._chip = Chip(state.status)
            cells = [_cell("ry-end"), _cell(), _cell("ry-end"), _cell(), _cell()]
            self._length, self._when, self._took, self._who, self._worker = cells
        self.show(state)

    def show(self, state: JobState) -> None:
        self._chip.set(state.status)
        when, ran = f"{state.created_at:%Y-%m-%d %H:%M}", took(state)
        self._length.set_text(length(state))
        self._when.set_text(when)
        self._took.set_text("–" if ran is None else span(ran))
        self._who.set_text(printable(state.username))
        self._worker.set_text(state.worker_id or "–")
        self._facts.set_text(f"{length(state)} · {when} · {printable(state.username)}")
        self._note.set_text(_note(state))
        self._note.classes(add="ry-bad" if _failed(state) else "ry-dim",
                           remove="ry-dim" if _failed(state) else "ry-bad")  # fmt: skip


def _cell(classes: str = "") -> ui.label:
    return ui.label().classes(f"ry-line ry-mono ry-wide {classes}")


def _failed(state: JobState) -> bool:
    return state.status is JobStatus.FAILED


def _note(state: JobState) -> str:
    """What it is of a film, if not all; then why it failed or waits, in its first line."""
    only = [] if state.excerpt.is_whole else [str(state.excerpt)]
    said = state.error_message if _failed(state) else state.waiting_for
    lines = (said or "").strip().splitlines()
    if lines:
        return " · ".join([*only, printable(lines[0])])
    extra = ["4K"] if state.enable_4k and not state.excerpt.is_draft else []
    return " · ".join([*only, f"{state.items} item{'s' if state.items != 1 else ''}", *extra])


class Rows:
    """The list, with a button that gets more of it."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._wanted = Wanted()
        self._cursor: str | None = None
        self._rows: dict[str, Row] = {}
        self._turn = 0
        self.head = ui.row().classes("items-center full-width").style("min-height: 36px")
        with self.head:
            self._heading()
        with ui.card().classes("ry-card").style("padding: 0; gap: 0; min-height: 220px"):
            _heads()
            self._box = ui.column().classes("full-width").style("gap: 0")
            tagged(self._box, "history-rows")
        self._more = ui.button("More", icon="expand_more", on_click=self.more)
        self._more.props("outline no-caps").classes("self-center")
        tagged(self._more, "history-more").set_visibility(False)

    def _heading(self) -> None:
        """How many there are. What comes and goes has its place here, so that the rows stay."""
        self._said = ui.label().classes("ry-dim text-caption").props("role=status aria-live=polite")
        tagged(self._said, "history-count")
        self._new = ui.button("There are new jobs: show them", icon="arrow_upward")
        self._new.props("flat no-caps dense").on_click(lambda: self.show(self._wanted))
        tagged(self._new, "history-new").set_visibility(False)

    async def show(self, wanted: Wanted) -> None:
        """The first page of what is wanted. Of two searches at a time the later one counts."""
        self._turn += 1
        turn = self._turn
        page = await self._ask(wanted.query())
        if page is None or turn != self._turn:
            return
        self._wanted = wanted
        self._rows.clear()
        self._box.clear()
        self._new.set_visibility(False)
        self._add(page)
        if not page.rows:
            self._nothing(wanted)

    async def more(self) -> None:
        """The following page, under what is there."""
        turn = self._turn
        self._more.disable()
        page = await self._ask(self._wanted.query(self._cursor))
        self._more.enable()
        if page is not None and turn == self._turn:
            self._add(page)

    async def heard(self, events: Sequence[LiveEvent]) -> None:
        """Something happened to jobs: those that are shown are read again."""
        jobs = {one.job_id for one in events if one.kind == "job" and one.job_id}
        if any(one.kind == "job" and one.data["what"] == "submit" for one in events):
            self._new.set_visibility(bool(jobs - self._rows.keys()))
        for job_id in list(jobs & self._rows.keys())[:_READ_AGAIN]:
            await self._read_again(job_id)

    async def _read_again(self, job_id: str) -> None:
        try:
            state = await self._visitor.ask(
                lambda who: self._visitor.office.jobs.state(who, job_id)
            )
        except JobUnknown:
            gone = self._rows.pop(job_id, None)
            if gone is not None:
                gone.root.delete()
            return
        except ReelyardError as error:
            self._said.set_text(f"This is not up to date: {printable(error.message)}")
            return
        row = self._rows.get(job_id)
        if row is not None:
            row.show(state)

    async def _ask(self, query: JobQuery) -> Page[JobState] | None:
        return await self._visitor.do(lambda who: self._visitor.office.jobs.list(who, query))

    def _add(self, page: Page[JobState]) -> None:
        with self._box:
            for state in page.rows:
                if state.job_id not in self._rows:  # it may have moved while it was paged
                    self._rows[state.job_id] = Row(state)
        self._cursor = page.cursor
        self._more.set_visibility(page.cursor is not None)
        count = len(self._rows)
        self._said.set_text(
            f"The first {count} jobs; there are more" if page.cursor else _jobs(count)
        )

    def _nothing(self, wanted: Wanted) -> None:
        with self._box:
            if wanted.is_narrow:
                empty("search_off", "No job is like that",
                      "Take away a filter, or look for a part of the name only.")  # fmt: skip
            else:
                empty("history", "Nothing was made yet",
                      "Every compilation that is submitted stays here, with its film and its log.")  # fmt: skip


def _heads() -> None:
    with ui.element("div").classes("ry-hrow ry-hhead").props("aria-hidden=true"):
        for name in ("", "Channel", "Status"):
            ui.label(name)
        ui.label("Length").classes("ry-end")
        ui.label("Submitted (UTC)")
        ui.label("Took").classes("ry-end")
        ui.label("Who")
        ui.label("Worker")


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}" if count else "No jobs"
