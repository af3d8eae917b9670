"""What happened to a job, in order, and who tried it."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from reelyard.domain.errors import printable
from reelyard.domain.farm import Attempt, AttemptOutcome, Happening

from .job_look import sentence, tagged
from .words import span

_TITLES = {
    "submit": "Submitted",
    "hand_back": "Back in the queue",
    "complete": "Completed",
    "fail": "Failed",
    "cancel": "Cancelled",
    "retry": "Queued again",
    "move": "Moved",
    "prefetch": "Files fetched ahead",
}
_BY_WORKER = {"claim": "Taken by {}", "reserve": "Kept in reserve by {}"}
_COLOURS = {"fail": "negative", "complete": "positive", "cancel": "grey-7", "hand_back": "warning"}
_OUTCOMES = {
    AttemptOutcome.RUNNING: "at it",
    AttemptOutcome.COMPLETED: "completed it",
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.LOST: "was not heard of again",
    AttemptOutcome.UNABLE: "could not do it then",
    AttemptOutcome.HANDED_BACK: "handed it back",
    AttemptOutcome.REFUSED: "found that it can't be made as it is",
    AttemptOutcome.CANCELLED: "was stopped by the cancelling",
}


class Story:
    """The card. Lines are added as things happen."""

    def __init__(self) -> None:
        self._told = 0
        with ui.card().classes("ry-card q-pa-md").style("gap: 8px") as card:
            title = ui.label("What happened").classes("text-subtitle1 text-weight-medium")
            title.props("role=heading aria-level=2")
            self._lines = ui.column().classes("full-width").style("gap: 0")
            self._tries = ui.column().classes("full-width").style("gap: 2px")
        tagged(card, "job-story")
        self._shown: list[tuple[int, AttemptOutcome]] = []

    def update(self, history: Sequence[Happening], attempts: Sequence[Attempt]) -> None:
        with self._lines:
            for happening in history[self._told :]:
                _line(happening)
        self._told = len(history)
        now = [(one.token, one.outcome) for one in attempts]
        if now != self._shown and len(attempts) > 1:
            self._tries.clear()
            with self._tries:
                ui.label("Tries").classes("text-weight-medium q-pt-sm")
                for number, attempt in enumerate(attempts, 1):
                    ui.label(_try(number, attempt)).classes("text-caption ry-plain ry-mono")
        self._shown = now


def _line(happening: Happening) -> None:
    with ui.row(wrap=False).classes("full-width items-start ry-story"):
        ui.icon("circle", size="9px", color=_COLOURS.get(happening.what, "primary")).classes(
            "q-mt-sm"
        ).props("aria-hidden=true")
        at = ui.label(f"{happening.at:%H:%M:%S}").classes("ry-mono ry-dim")
        at.props["title"] = f"{happening.at:%Y-%m-%d %H:%M:%S} UTC"
        with ui.column().style("gap: 0; min-width: 0"):
            ui.label(_title(happening))
            said = _said(happening)
            if said:
                ui.label(said).classes("ry-dim text-caption ry-plain")


def _title(happening: Happening) -> str:
    if happening.worker_id and happening.what in _BY_WORKER:
        return _BY_WORKER[happening.what].format(printable(happening.worker_id))
    title = _TITLES.get(happening.what, happening.what.replace("_", " ").capitalize())
    by = happening.actor or ""
    return f"{title} by {printable(by)}" if by else title


def _said(happening: Happening) -> str:
    lines = [printable(line) for line in happening.message.splitlines() if line.strip()]
    says_more = happening.what not in _BY_WORKER and lines not in (["cancelled"], ["queued again"])
    return "\n".join(map(sentence, lines)) if says_more else ""


def _try(number: int, attempt: Attempt) -> str:
    words = f"{number}. {printable(attempt.worker_id)} {_OUTCOMES[attempt.outcome]}"
    if attempt.ended_at is not None:
        words += f" after {span((attempt.ended_at - attempt.started_at).total_seconds())}"
    message = printable(attempt.message.splitlines()[0]) if attempt.message else ""
    return f"{words}: {message}" if message not in ("", "cancelled") else words


STORY_CSS = ".ry-story { gap: 10px; padding: 4px 0; font-size: 13.5px; line-height: 1.45; }"
