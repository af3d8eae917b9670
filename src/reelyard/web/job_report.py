"""What was measured of a film beside what it should be, with a verdict for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nicegui import ui

from reelyard.domain.errors import printable

from .job_look import tagged
from .job_read import JobView
from .words import clock, size

_TOLERANCE = 0.15
_LONGEST_DIFFERENCE = 0.001


class Verdict(StrEnum):
    """``LESS`` needs no action: the film is simple."""

    RIGHT = "right"
    LESS = "less, and enough"
    WRONG = "look at it"
    NONE = ""


_ICONS = {
    Verdict.RIGHT: ("check_circle", "positive"),
    Verdict.LESS: ("check_circle_outline", "positive"),
    Verdict.WRONG: ("error", "negative"),
    Verdict.NONE: ("info", "grey-6"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured."""

    name: str
    wanted: str
    found: str
    verdict: Verdict


def rows(report: Mapping[str, Any], planned_seconds: float) -> list[Row]:
    """All of them; none for a report that lacks its figures."""
    try:
        return list(_rows(report["target"], report["measured"], planned_seconds))
    except (KeyError, TypeError, ValueError):
        return []


def _rows(
    target: Mapping[str, Any], film: Mapping[str, Any], planned_seconds: float
) -> Iterator[Row]:
    yield _same("Size", _pixels(target), _pixels(film))
    yield _same("Frame rate", "30 a second", f"{film['frame_rate']} a second")
    yield _same("Length", clock(planned_seconds), clock(film["duration"]),
                is_same=abs(planned_seconds - film["duration"]) < 1 / 60)  # fmt: skip
    yield _rate("Bit rate of the picture", target["video_bit_rate"], film["video_bit_rate"])
    yield Row("Highest bit rate", "", _megabits(film["peak_bit_rate"]), Verdict.NONE)
    late = film["buffer_underflows"]
    yield _same("Frames that come late", "0", str(late))
    yield _same("Profile", target["profile"].capitalize(), film["profile"])
    yield _same("Level", target["level"], film["level"])
    yield _same("Pixels", "yuv420p", film["pixel_format"])
    yield _same("Sound", "48 kHz, stereo", _sound(film))
    yield _rate("Bit rate of the sound", target["audio_bit_rate"], film["audio_bit_rate"])
    apart = abs(film["audio_video_difference"])
    yield _same("Sound and picture apart", "0 ms", f"{1000 * apart:g} ms",
                is_same=apart < _LONGEST_DIFFERENCE)  # fmt: skip
    yield _same("Starts before it is loaded", "yes", "yes" if film["moov_first"] else "no")
    yield Row("File", "", size(film["size"]), Verdict.NONE)


def _same(name: str, wanted: str, found: str, *, is_same: bool | None = None) -> Row:
    right = wanted == found if is_same is None else is_same
    return Row(name, wanted, found, Verdict.RIGHT if right else Verdict.WRONG)


def _rate(name: str, wanted: int, found: int) -> Row:
    share = found / wanted
    verdict = Verdict.RIGHT
    if share > 1 + _TOLERANCE:
        verdict = Verdict.WRONG
    elif share < 1 - _TOLERANCE:
        verdict = Verdict.LESS
    return Row(name, f"about {_megabits(wanted)}", _megabits(found), verdict)


def _megabits(rate: float) -> str:
    return f"{rate / 1e6:.1f} Mb/s" if rate >= 1e6 else f"{int(rate / 1e3)} kb/s"


def _pixels(form: Mapping[str, Any]) -> str:
    return f"{form['width']} × {form['height']}"


def _sound(film: Mapping[str, Any]) -> str:
    channels = {1: "mono", 2: "stereo"}.get(film["channels"], f"{film['channels']} channels")
    return f"{film['sample_rate'] / 1000:g} kHz, {channels}"


def build(view: JobView) -> None:
    """The table, with what the report remarks."""
    found = rows(view.report, view.detail.state.frames / 30)
    if not found:
        return
    with ui.card().classes("ry-card q-pa-md").style("gap: 8px"):
        wrong = sum(row.verdict is Verdict.WRONG for row in found)
        title = "Measured: as it should be" if not wrong else f"Measured: {wrong} to look at"
        heading = ui.label(title).classes("text-subtitle1 text-weight-medium")
        heading.props("role=heading aria-level=2")
        with ui.element("table").classes("ry-table") as table:
            _head()
            with ui.element("tbody"):
                for row in found:
                    _line(row)
        tagged(table, "report")
        made = _made(view.report)
        if made:
            ui.label(made).classes("text-caption ry-dim ry-plain")
        for remark in view.report.get("remarks", []):
            ui.label(str(remark)).classes("text-caption ry-dim ry-plain")


def _head() -> None:
    with ui.element("thead"), ui.element("tr"):
        for name in ("", "Target", "Measured", "Verdict"):
            with ui.element("th").props("scope=col"):
                ui.label(name)


def _line(row: Row) -> None:
    icon, colour = _ICONS[row.verdict]
    with ui.element("tr") as line:
        with ui.element("th").props("scope=row"):
            ui.label(row.name)
        for text in (row.wanted, row.found):
            with ui.element("td"):
                ui.label(printable(text)).classes("ry-mono")
        with ui.element("td"), ui.row(wrap=False).classes("items-center").style("gap: 4px"):
            if row.verdict is not Verdict.NONE:
                ui.icon(icon, color=colour, size="18px").props("aria-hidden=true")
                ui.label(row.verdict.value)
    line.props["data-verdict"] = row.verdict.name.lower()


def _made(report: Mapping[str, Any]) -> str:
    """By what it was made, and how much of it was there already."""
    cache = report.get("cache")
    words = [printable(str(report["encoder"]))] if report.get("encoder") else []
    if report.get("ffmpeg"):
        version = str(report["ffmpeg"]).removeprefix("ffmpeg version ").split(" ")[0]
        words.append(f"FFmpeg {printable(version)}")
    if isinstance(cache, dict):
        words.append(
            f"{cache.get('taken', 0)} pieces from the cache, {cache.get('rendered', 0)} rendered"
        )
    return " · ".join(words)


REPORT_CSS = """
.ry-table { width: 100%; border-collapse: collapse; font-size: 13px; }
.ry-table th, .ry-table td { text-align: left; padding: 5px 8px 5px 0; border-bottom: 1px solid var(--ry-line);
  font-weight: 400; vertical-align: top; }
.ry-table thead th { color: var(--ry-dim); font-size: 12px; } .ry-table tbody th { color: var(--ry-dim); }
.ry-table tr[data-verdict=wrong] td { font-weight: 600; }
"""
