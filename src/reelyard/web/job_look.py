"""How jobs look on the pages: their status, how far they are, and what a stage is called."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from reelyard.domain.errors import ReelyardError
from reelyard.domain.farm import JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE

from .words import clock, span, speed

_STAGES = {
    "claimed": "getting ready",
    "copying": "copying the clips",
    "probing": "looking at the clips",
    "rendering": "rendering",
    "joining": "joining the film",
    "verifying": "checking the film",
    "publishing": "publishing",
}
_NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
"""A transparent dot, for a clip that can't be shown: no browser's sign of a broken picture."""
JOB_CSS = """
.ry-chip { display: inline-block; min-width: 92px; padding: 1px 8px; border-radius: 10px; font-size: 12px;
  line-height: 18px; text-align: center; font-weight: 500; background: var(--ry-soft); color: inherit; }
.ry-chip[data-status=processing] { background: #2f6fed; color: #fff; }
.ry-chip[data-status=completed] { background: #1c7c45; color: #fff; }
.ry-chip[data-status=failed] { background: #b3261e; color: #fff; }
.ry-chip[data-status=cancelled] { background: #6b7280; color: #fff; }
.ry-chip[data-status=queued] { border: 1px solid var(--ry-line); line-height: 16px; }
.ry-line { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; min-width: 0; }
.ry-link { color: inherit; text-decoration: none; font-weight: 500; } .ry-link:hover { text-decoration: underline; }
.ry-bar { flex: 1 1 auto; min-width: 40px; }
.ry-percent { width: 40px; text-align: right; flex: none; }
.ry-note { width: 100%; border-left: 3px solid #b26a00; background: var(--ry-soft); padding: 8px 12px; border-radius: 4px; }
.ry-note.is-bad { border-color: #b3261e; } .ry-note.is-good { border-color: #1c7c45; }
.ry-code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12.5px; background: var(--ry-soft);
  padding: 1px 5px; border-radius: 4px; overflow-wrap: anywhere; }
.ry-unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.ry-plain { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def tagged(element: Element, hook: str) -> Element:
    """Name an element for browser tests."""
    element.props["data-testid"] = hook
    return element


class Chip:
    """A job's status."""

    def __init__(self, status: JobStatus) -> None:
        self._label = ui.label().classes("ry-chip")
        tagged(self._label, "job-status")
        self._shown: JobStatus | None = None
        self.set(status)

    def set(self, status: JobStatus) -> None:
        if status is not self._shown:
            self._shown = status
            self._label.props["data-status"] = status.value
            self._label.set_text(status.value.capitalize())


class Bar:
    """How far a job is. Its per cents have a place of their own: nothing moves when they grow."""

    def __init__(self, size: str = "8px") -> None:
        with ui.row(wrap=False).classes("items-center full-width").style("gap: 8px") as self.root:
            self._bar = ui.linear_progress(0, show_value=False, size=size)
            self._bar.props("rounded aria-label=Progress").classes("ry-bar")
            self._percent = ui.label().classes("ry-mono ry-percent text-caption")
        tagged(self._bar, "job-progress")
        tagged(self._percent, "job-percent")

    def set(self, percent: float) -> None:
        self._bar.set_value(round(percent / 100, 4))
        self._percent.set_text(f"{int(percent)} %")


def stage_words(stage: str, made: float | None) -> str:
    """What a running job is at, and how fast."""
    words = _STAGES.get(stage, stage)
    return f"{words} · {speed(made)}" if made and stage == "rendering" else words


def length(state: JobState) -> str:
    """How long the film is, or is to be."""
    known = state.final_duration
    return clock(float(state.frames / FRAME_RATE) if known is None else known)


def facts(state: JobState) -> str:
    """A job in a few words."""
    items = f"{state.items} item{'s' if state.items != 1 else ''}"
    only = "" if state.excerpt.is_whole else f"{state.excerpt} · "
    size = " · 4K" if state.enable_4k and not state.excerpt.is_draft else ""
    return f"{only}{items} · {length(state)}{size} · {state.username}"


def took(state: JobState) -> float | None:
    """Seconds from the start to the end of the last attempt."""
    if state.started_at is None or state.completed_at is None:
        return None
    return (state.completed_at - state.started_at).total_seconds()


def moment(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def about(seconds: float | None, after: str) -> str:
    """An estimate: ``about 5 min left``."""
    if seconds is None:
        return ""
    return f"a moment {after}" if seconds < 1 else f"about {span(seconds)} {after}"


def api(job_id: str, what: str) -> str:
    """Where the API has something of a job."""
    return f"/api/v1/jobs/{quote(job_id, safe='')}/{what}"


def picture(source: str) -> Element:
    """A small picture of fixed size, fetched when it comes into sight. Says nothing to who can't see it."""
    image = ui.element("img").classes("ry-thumb")
    image.props["src"] = source
    image.props('loading=lazy alt="" decoding=async')
    image.on("error", js_handler=f"(event) => {{ event.target.src = '{_NOTHING}' }}")
    return image


def clip_picture(path: str) -> Element:
    """The same of a clip, which may have any name."""
    named = quote(path.encode("utf-8", "surrogateescape"), safe="")
    return picture(f"/api/v1/library/thumbnail?path={named}&width=160")


def file_name(path: str | None) -> str:
    return "" if path is None else Path(path).name


def trouble(error: ReelyardError) -> None:
    """What a page shows where its content can't be."""
    with ui.column().classes("ry-note is-bad").style("gap: 2px").props("role=alert"):
        ui.label(sentence(error.message)).classes("text-weight-medium ry-plain")
        if error.remedy:
            ui.label(sentence(error.remedy)).classes("ry-plain")


def sentence(text: str) -> str:
    """The text as a sentence."""
    plain = text.strip()
    ended = plain if plain.endswith((".", "!", "?", "…")) else f"{plain}."
    return ended[:1].upper() + ended[1:]
