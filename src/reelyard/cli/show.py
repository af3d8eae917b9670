"""What commands look like: bars and tables in a terminal, plain lines elsewhere, JSON on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reelyard.domain.plan import Plan, PlannedItem
from reelyard.domain.timeline import FRAME_RATE, clock, seconds_of
from reelyard.files.segment_cache import SegmentCache
from reelyard.services.doctor import Finding, Verdict
from reelyard.services.made import PICTURE_SUFFIX, SOUND_SUFFIX, TRACK_SUFFIX
from reelyard.services.planning import Prepared
from reelyard.services.progress import Progress, Stage, Watcher
from reelyard.services.render_job import Rendered

_LINE_EVERY = 10.0
"""Per cent between two lines where there is no terminal."""


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


@contextmanager
def progress_display(*, as_json: bool) -> Iterator[Watcher]:
    """Something that shows progress as it suits whoever reads stdout."""
    if as_json:
        yield _json_line
    elif sys.stderr.isatty():
        with _bar() as watcher:
            yield watcher
    else:
        yield _Lines()


def _json_line(progress: Progress) -> None:
    sys.stdout.write(json.dumps({"event": "progress", **asdict(progress)}) + "\n")
    sys.stdout.flush()


class _Lines:
    """A line for each stage and each ten per cent."""

    def __init__(self) -> None:
        self._shown = -_LINE_EVERY
        self._stage: Stage | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage is self._stage and progress.percent - self._shown < _LINE_EVERY:
            return
        self._stage, self._shown = progress.stage, progress.percent
        left = "" if progress.seconds_left is None else f", {_duration(progress.seconds_left)} left"
        speed = "" if progress.speed is None else f", {progress.speed:.2f}x"
        sys.stderr.write(f"{progress.percent:5.1f} %  {progress.stage}{speed}{left}\n")
        sys.stderr.flush()


@contextmanager
def _bar() -> Iterator[Watcher]:
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description:>9}"),
        rich_progress.BarColumn(bar_width=None),
        rich_progress.TextColumn("{task.percentage:5.1f} %"),
        rich_progress.TextColumn("{task.fields[speed]}"),
        rich_progress.TextColumn("{task.fields[left]}"),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("probing", total=100, speed="", left="")

        def watch(progress: Progress) -> None:
            bars.update(
                task,
                description=progress.stage,
                completed=progress.percent,
                speed="" if progress.speed is None else f"{progress.speed:.2f}x",
                left="" if progress.seconds_left is None else _duration(progress.seconds_left),
            )

        yield watch


def _duration(seconds: float) -> str:
    return clock(round(seconds) * FRAME_RATE)


def show_rendered(done: Rendered, *, as_json: bool) -> None:
    """What was made and where it is."""
    if as_json:
        sys.stdout.write(json.dumps({"event": "done", **rendered_as_json(done)}) + "\n")
        return
    console = _console()
    for warning in done.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    film, plan = done.film, done.plan
    only = "" if done.job.excerpt.is_whole else f" ({done.job.excerpt})"
    console.print(
        f"{clock(plan.frames)} of {plan.form.name}{only} in {done.seconds:.1f} s by "
        f"{plan.encoding.encoder}: {done.rendered} pieces rendered, {done.cached} from the cache; "
        f"{film.video_bit_rate / 1e6:.1f} Mb/s, {film.size / 1e6:.1f} MB"
    )
    rows = {"film": done.output, "report": done.report, "contact sheet": done.contact_sheet,
            "chapters": done.chapter_list, "log": done.log_folder}  # fmt: skip
    for name, path in rows.items():
        if path:
            console.print(f"{name:>13}: {escape(str(path))}", soft_wrap=True)


def rendered_as_json(done: Rendered) -> dict[str, Any]:
    return {
        "output": str(done.output),
        "report": str(done.report),
        "contact_sheet": str(done.contact_sheet),
        "chapters": str(done.chapter_list) if done.chapter_list else None,
        "log_folder": str(done.log_folder),
        **done.job.excerpt.fields,
        "encoder": done.plan.encoding.encoder,
        "frames": done.plan.frames,
        "seconds": round(done.seconds, 3),
        "rendered": done.rendered,
        "cached": done.cached,
        "warnings": list(done.warnings),
    }


def show_plan(prepared: Prepared, cache: SegmentCache) -> None:
    """The plan as a table, with what the cache holds of it."""
    plan = prepared.plan
    console = _console()
    table = Table(title=f"{escape(plan.channel_name)}: {plan.form.name}, {plan.encoding.encoder}")
    for name in ("#", "type", "starts", "seconds", "segments", "cached", "sound", "title"):
        left = name in ("type", "sound", "title")
        shrinks = name == "title"
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if shrinks else len(name),
            ratio=1 if shrinks else None,
        )
    for item in plan.items:
        held = sum(cache.holds(one.key, PICTURE_SUFFIX) for one in item.picture)
        table.add_row(
            str(item.position),
            item.item_type,
            clock(item.start),
            f"{float(seconds_of(item.frames)):.2f}",
            str(len(item.picture)),
            str(held),
            _sound_state(item, cache),
            escape(" ".join(item.title.split())),
        )
    console.print(table)
    for warning in prepared.warnings:
        console.print(f"[yellow]warning:[/] {escape(str(warning))}")
    if not prepared.job.excerpt.is_whole:
        skipped = (
            f"; {clock(prepared.skipped)} of its items are left out" if prepared.skipped else ""
        )
        console.print(f"not the whole film: {prepared.job.excerpt}{skipped}")
    console.print(f"{clock(plan.frames)}, {plan.frames} frames; cached: {_held(plan, cache)}")


def _sound_state(item: PlannedItem, cache: SegmentCache) -> str:
    if item.sound.recipe is None:
        return "silence"
    return "cached" if cache.holds(item.sound.key, SOUND_SUFFIX) else "to render"


def _held(plan: Plan, cache: SegmentCache) -> str:
    held = sum(len(one.frames) for one in plan.picture if cache.holds(one.key, PICTURE_SUFFIX))
    track = "sound" if cache.holds(plan.track_key, TRACK_SUFFIX) else "no sound"
    return f"{100 * held / plan.frames:.0f} % of the picture, {track}"


def plan_as_json(prepared: Prepared, cache: SegmentCache) -> dict[str, Any]:
    """The whole plan, with what the cache holds."""
    document = asdict(prepared.plan)
    for item in document["items"]:
        for segment in item["picture"]:
            segment["cached"] = cache.holds(segment["key"], PICTURE_SUFFIX)
        item["sound"]["cached"] = cache.holds(item["sound"]["key"], SOUND_SUFFIX)
    document["track_cached"] = cache.holds(prepared.plan.track_key, TRACK_SUFFIX)
    document["frames"] = prepared.plan.frames
    document |= prepared.job.excerpt.fields
    document["warnings"] = [str(warning) for warning in prepared.warnings]
    plain: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return plain


_MARKS = {
    Verdict.OK: "[green]ok[/]",
    Verdict.NOTE: "[yellow]note[/]",
    Verdict.FAILED: "[red]failed[/]",
}


def show_findings(findings: Sequence[Finding], settings: Mapping[str, str]) -> None:
    console = _console()
    for finding in findings:
        remedy = f" — {finding.remedy}" if finding.remedy else ""
        console.print(
            f"{_MARKS[finding.verdict]:>6} {finding.what}: {escape(finding.message + remedy)}"
        )
    console.print("\nSettings in force:")
    for name, value in settings.items():
        console.print(f"  {name} = {escape(value)}")


def findings_as_json(findings: Sequence[Finding], settings: Mapping[str, str]) -> dict[str, Any]:
    return {"findings": [asdict(finding) for finding in findings], "settings": dict(settings)}
