"""Jobs that have just ended, below the queue: to be looked at, or queued again."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus

from .job_actions import CAN_RETRY, JobActions
from .job_look import Chip, api, facts, picture, tagged, took
from .words import ago, span

ENDED_CSS = """
.ry-ended { width: 100%; display: grid; align-items: center; column-gap: 12px; padding: 6px 4px; min-height: 66px;
  grid-template-columns: 96px minmax(0, 1fr) 110px minmax(0, 1fr) 130px; border-top: 1px solid var(--ry-line); }
.ry-ended:first-child { border-top: none; } .ry-ended .ry-thumb { width: 96px; }
@media (max-width: 900px) {
  .ry-ended { grid-template-columns: 72px minmax(0, 1fr) auto; row-gap: 6px; }
  .ry-ended .ry-thumb { width: 72px; } .ry-ended-said { grid-column: 1 / 3; }
}
"""


class EndedJobs:
    """The card; it is there only while there is something in it."""

    def __init__(self, actions: JobActions) -> None:
        self._actions = actions
        self._shown: list[tuple[str, JobStatus, int]] | None = None
        self._times: dict[str, ui.label] = {}
        self._card = ui.card().classes("ry-card q-pa-md").style("gap: 8px")
        tagged(self._card, "ended")
        with self._card:
            title = ui.label("Ended just now").classes("text-subtitle1 text-weight-medium")
            title.props("role=heading aria-level=2")
            self._list = ui.column().classes("full-width").style("gap: 0")
            ui.link("Everything that was made: History", "/history").classes("text-caption")

    def update(self, jobs: Sequence[JobState]) -> None:
        self._card.set_visibility(bool(jobs))
        now = [(one.job_id, one.status, one.token) for one in jobs]
        if now != self._shown:
            self._shown = now
            self._times.clear()
            self._list.clear()
            with self._list:
                for state in jobs:
                    self._row(state)
        for state in jobs:
            self._times[state.job_id].set_text(ago(state.completed_at))

    def _row(self, state: JobState) -> None:
        with ui.element("div").classes("ry-ended") as row:
            picture(api(state.job_id, "thumbnail"))
            with ui.column().style("gap: 2px; min-width: 0"):
                link = ui.link(printable(state.channel_name), f"/jobs/{state.job_id}")
                tagged(link.classes("ry-link ry-line full-width"), "job-link")
                ui.label(facts(state)).classes("ry-dim text-caption ry-line ry-mono full-width")
            Chip(state.status)
            with ui.column().classes("ry-ended-said").style("gap: 2px; min-width: 0"):
                self._times[state.job_id] = ui.label().classes("text-caption ry-mono")
                said = ui.label(_said(state)).classes("text-caption ry-dim ry-line full-width")
                said.props["title"] = _said(state)
            with ui.row().classes("justify-end"):
                if state.status in CAN_RETRY:
                    again = ui.button("Queue again", on_click=lambda: self._actions.retry(state))
                    tagged(again.props("flat no-caps dense"), "job-retry")
        tagged(row, "ended-row").props["data-job"] = state.job_id


def _said(state: JobState) -> str:
    if state.status is JobStatus.FAILED and state.error_message:
        return printable(state.error_message.splitlines()[0])
    seconds = took(state)
    if state.status is JobStatus.COMPLETED and seconds is not None:
        return f"made in {span(seconds)} by {state.worker_id}"
    return ""
