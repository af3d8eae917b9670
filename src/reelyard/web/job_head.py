"""A job's page, at the top: what it is at, why it failed, what to do next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from nicegui import ui

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import printable
from reelyard.domain.farm import AttemptOutcome, JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.job_views import JobDetail

from .job_actions import ACTIVE, CAN_RETRY, JobActions
from .job_look import (
    Bar,
    Chip,
    about,
    api,
    facts,
    file_name,
    moment,
    sentence,
    stage_words,
    tagged,
    took,
)
from .job_read import JobView
from .words import size, span


class Head:
    """Built for one state of a job; ``update`` and ``progress`` move what moves within it."""

    def __init__(self, view: JobView, actions: JobActions, who: Principal) -> None:
        self._actions = actions
        self._state = view.detail.state
        self._can_order = who.may(Action.ORDER_QUEUE)
        self._can_submit = who.may(Action.SUBMIT)
        if self._state.status is JobStatus.FAILED:
            _reason(view.detail)
        with ui.card().classes("ry-card q-pa-md").style("gap: 10px"):
            with ui.row().classes("items-center full-width").style("gap: 12px"):
                Chip(self._state.status)
                self._about = ui.label().classes("ry-mono")
            if self._state.status is JobStatus.PROCESSING:
                self._bar = Bar("10px")
                self._stage = tagged_label("job-stage")
            self._next = ui.label().classes("ry-plain ry-mono")
            tagged(self._next, "job-next").props("role=status")
            self._facts(view)
            self._buttons(view)
        self.update(view)

    def update(self, view: JobView) -> None:
        state = self._state = view.detail.state
        self._about.set_text(facts(state))
        self._next.set_text(next_words(view))
        if state.status is JobStatus.PROCESSING:
            self._show(state.progress, state.stage, state.speed)
        self._place.set_text(_place_words(state))

    def progress(self, data: dict[str, Any]) -> None:
        """What a live event says."""
        if self._state.status is JobStatus.PROCESSING:
            self._show(data["progress"], data["stage"], data["speed"])
            self._next.set_text(
                _running_words(data["worker_id"], data["seconds_left"], data["helpers"])
            )

    def _show(self, percent: float, stage: str, speed: float | None) -> None:
        self._bar.set(percent)
        self._stage.set_text(stage_words(stage, speed))

    def _facts(self, view: JobView) -> None:
        state = view.detail.state
        with ui.element("dl").classes("ry-facts"):
            if not state.excerpt.is_whole:
                tagged(_fact("Excerpt", str(state.excerpt)), "job-excerpt")
            self._place = _fact("Queue", _place_words(state))
            _fact("Submitted", f"{moment(state.created_at)} by {printable(state.username)}")
            if state.started_at is not None:
                _fact("Started", moment(state.started_at))
            if state.completed_at is not None:
                seconds = took(state)
                after = f", after {span(seconds)}" if seconds is not None else ""
                _fact("Ended", f"{moment(state.completed_at)}{after}")
            if state.worker_id:
                _fact("Worker", printable(state.worker_id))
            if state.status is JobStatus.COMPLETED and state.output_path:
                kept = view.report.get("measured", {}).get("size")
                _fact("Film", printable(state.output_path) + (f", {size(kept)}" if kept else ""))
            _fact("Job", state.job_id)

    def _buttons(self, view: JobView) -> None:
        state = view.detail.state
        with ui.row().classes("items-center").style("gap: 6px"):
            if view.has_film:
                film = ui.button("Download", icon="download").props("unelevated no-caps")
                film.props["href"] = api(state.job_id, "output")
                film.props["download"] = file_name(state.output_path)
                tagged(film, "job-download")
            if state.status in CAN_RETRY:
                self._button("Queue again", "replay", "job-retry", self._actions.retry)
            if self._can_submit:
                like = f"/?like={state.job_id}"
                another = ui.button("Make another like this", icon="content_copy",
                                    on_click=lambda: ui.navigate.to(like))  # fmt: skip
                tagged(another.props("flat no-caps"), "job-like")
            if state.status is JobStatus.QUEUED:
                if self._can_order:
                    self._button("To the front", "vertical_align_top", "job-front",
                                 self._actions.to_front)  # fmt: skip
                self._button("Priority", "low_priority", "job-priority", self._actions.prioritise)
            if state.status in ACTIVE:
                self._button("Cancel", "close", "job-cancel", self._actions.cancel)
            else:
                self._button("Remove", "delete_outline", "job-remove", self._actions.remove)

    def _button(
        self, text: str, icon: str, hook: str, call: Callable[[JobState], Awaitable[None]]
    ) -> None:
        button = ui.button(text, icon=icon, on_click=lambda: call(self._state))
        tagged(button.props("flat no-caps"), hook)


def tagged_label(hook: str) -> ui.label:
    label = ui.label().classes("ry-mono text-caption ry-dim").style("min-height: 20px")
    tagged(label, hook)
    return label


def _fact(name: str, text: str) -> ui.label:
    with ui.element("dt"):
        ui.label(name)
    with ui.element("dd"):
        return ui.label(text).classes("ry-plain")


def _place_words(state: JobState) -> str:
    return f"{state.queue}, priority {state.priority}"


def next_words(view: JobView) -> str:
    """What a job waits for, or what its people can do now."""
    detail, state = view.detail, view.detail.state
    if state.status is JobStatus.QUEUED:
        return _waiting_words(detail)
    if state.status is JobStatus.PROCESSING:
        helpers = [one.worker_id for one in detail.making.helpers]
        return _running_words(state.worker_id, detail.done_in, helpers)
    if state.status is JobStatus.CANCELLED:
        return (
            "Cancelled. Finished pieces are in the cache: queued again, it renders only the rest."
        )
    if state.status is JobStatus.FAILED:
        return advice(detail)
    if view.missing is not None:
        return f"Completed, but {view.missing.message}. {sentence(view.missing.remedy)}"
    return "The film is ready: look at it below, and download it."


def _waiting_words(detail: JobDetail) -> str:
    state = detail.state
    if state.waiting_for:
        return f"Held up: {sentence(printable(state.waiting_for))} It is tried again by itself."
    before = "" if detail.ahead is None else _before(detail.ahead)
    if detail.starts_in is None:
        return f"Waits in {state.queue}{before}. When it starts can't be told: see the queue."
    soon = detail.starts_in < 1
    start = "Starts now" if soon else f"Starts in about {span(detail.starts_in)}"
    done = f", {about(detail.done_in, 'until it is done')}" if detail.done_in is not None else ""
    return f"Waits in {state.queue}{before}. {start}{done}."


def _before(ahead: int) -> str:
    if ahead == 0:
        return ", the next one"
    return f", {ahead} job{'s' if ahead != 1 else ''} before it"


def _running_words(worker: str | None, seconds: float | None, helpers: Iterable[str]) -> str:
    left = about(seconds, "left") or "time left: not known yet"
    names = sorted(map(printable, helpers))
    who = printable(worker or "A worker")
    with_ = (
        f" with the help of {' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}"
        if names
        else ""
    )
    return f"{who} works on it{with_}, {left}. You can close this page meanwhile."


def _reason(detail: JobDetail) -> None:
    """Why it failed, before anything else."""
    text = detail.state.error_message or "nobody wrote down why"
    with ui.column().classes("ry-note is-bad").style("gap: 4px") as note:
        ui.label("This job failed").classes("text-weight-medium").props("role=heading aria-level=2")
        for line in text.splitlines():
            ui.label(sentence(printable(line))).classes("ry-plain")
    tagged(note, "job-reason").props("role=alert")


def advice(detail: JobDetail) -> str:
    """What to do about a failure."""
    outcome = detail.attempts[-1].outcome if detail.attempts else None
    if outcome is AttemptOutcome.REFUSED:
        return (
            "The reason lies in the job or its files. Put the files right and queue it again, or make "
            "another one like this and change it there."
        )
    if outcome is AttemptOutcome.LOST:
        return "Its workers were not heard of again. See whether they run, then queue it again."
    if outcome is AttemptOutcome.FAILED:
        failed = sum(one.outcome is AttemptOutcome.FAILED for one in detail.attempts)
        return (
            f"{failed} {'tries' if failed != 1 else 'try'} failed. The logs below have FFmpeg's own words. Queue it again "
            "when the cause is gone."
        )
    return "Queue it again when the cause is gone."


FACTS_CSS = """
.ry-facts { display: grid; grid-template-columns: 100px minmax(0, 1fr); gap: 2px 12px; margin: 0; font-size: 13px; width: 100%; }
.ry-facts dt { color: var(--ry-dim); } .ry-facts dd { margin: 0; min-width: 0; font-variant-numeric: tabular-nums; }
"""
