"""How the farm looks in a terminal, and as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reelyard.domain.errors import DatabaseUnavailable, printable
from reelyard.domain.estimate import Estimate
from reelyard.domain.farm import JobState, Worker
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.timeline import FRAME_RATE, clock
from reelyard.services.making import Making, making
from reelyard.services.outlook import outlook
from reelyard.services.progress import Progress, Stage
from reelyard.services.submit import Submitted

from .show import progress_display

if TYPE_CHECKING:
    from reelyard.farm.wiring import Farm

_LOOK_SECONDS = 0.5
_WAITING = (JobStatus.QUEUED, JobStatus.PROCESSING)
_ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
_SHOWN = 30
_COLOURS = {
    JobStatus.QUEUED: "cyan",
    JobStatus.PROCESSING: "yellow",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "dim",
}


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")
    sys.stdout.flush()


def _console() -> Console:
    return Console(highlight=False)


def show_submitted(done: Submitted, *, as_json: bool) -> None:
    if as_json:
        _say({
            "event": "submitted", "job_id": done.state.job_id, "status": done.state.status,
            "queue": done.state.queue, "message": done.message, "is_new": done.is_new,
            "warnings": [str(one) for one in done.warnings],
        })  # fmt: skip
        return
    console = Console(highlight=False, soft_wrap=True)
    for warning in done.warnings:
        console.print(f"[yellow]warning:[/] {escape(str(warning))}")
    console.print(f"job {done.state.job_id}: {escape(done.message)}")


def follow(read: Callable[[], JobState], *, as_json: bool) -> JobState:
    """Show a job's progress until it ends; its state then."""
    begun = time.monotonic()
    said: str | None = None
    with progress_display(as_json=as_json) as watcher:
        while True:
            try:
                state = read()
            except DatabaseUnavailable as error:  # the job goes on all the same
                said = _say_once(error.message, said)
                time.sleep(_LOOK_SECONDS)
                continue
            if state.waiting_for:
                said = _say_once(state.waiting_for, said)
            watcher(_progress(state, time.monotonic() - begun))
            if state.status in _ENDED:
                return state
            time.sleep(_LOOK_SECONDS)


def _say_once(what: str, said: str | None) -> str:
    if what != said:
        sys.stderr.write(f"waiting: {printable(what)}\n")
    return what


def _progress(state: JobState, elapsed: float) -> Progress:
    return Progress(
        stage=_stage(state),
        percent=state.progress,
        frames_done=round(state.frames * state.progress / 100),
        frames_total=state.frames,
        speed=state.speed,
        seconds_left=state.seconds_left,
        elapsed=elapsed,
    )


def _stage(state: JobState) -> Stage:
    if state.status is JobStatus.QUEUED:
        return Stage.QUEUED
    try:
        return Stage(state.stage)
    except ValueError:
        return Stage.PROBING


def job_as_json(state: JobState) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(state), default=_plain))
    del found["excerpt"]
    return found | state.excerpt.fields


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def show_job(state: JobState, *, as_json: bool) -> None:
    """One job in a few lines."""
    if as_json:
        _say({"event": "job", **job_as_json(state)})
        return
    console = Console(highlight=False, soft_wrap=True)
    colour = _COLOURS[state.status]
    only = "" if state.excerpt.is_whole else f" ({state.excerpt})"
    console.print(
        f"job {state.job_id}: [{colour}]{state.status}[/], {escape(printable(state.channel_name))}, "
        f"{clock(state.frames)} of film{only} in {state.queue}, priority {state.priority}"
    )
    rows = {"worker": state.worker_id, "film": state.output_path, "log": state.log_folder,
            "waiting for": state.waiting_for, "reason": state.error_message}  # fmt: skip
    for name, value in rows.items():
        if value and (name != "film" or state.status is JobStatus.COMPLETED):
            console.print(f"{name:>12}: {escape(_lines(value))}")


def _lines(text: str) -> str:
    """The text with its later lines below its first."""
    return f"\n{'':>14}".join(map(printable, text.splitlines()))


def show_job_in_full(farm: Farm, state: JobState, *, as_json: bool) -> None:
    """One job with its attempts and history."""
    attempts = farm.jobs.attempts(state.job_id)
    history = farm.jobs.history(state.job_id)
    left = _outlook(farm).jobs.get(state.job_id)
    is_running = state.status is JobStatus.PROCESSING
    offered = farm.jobs.offered(state.job_id) if is_running else ()
    made = making(state, farm.jobs.segments(state.job_id), offered)
    if as_json:
        extra = {"attempts": [asdict(one) for one in attempts],
                 "history": [asdict(one) for one in history],
                 "segments": [{**asdict(one), "worker_id": by}
                              for one, by in farm.jobs.segments(state.job_id)],
                 "helpers": [asdict(one) for one in made.helpers] if is_running else [],
                 "done_in": left}  # fmt: skip
        _say({**job_as_json(state), **json.loads(json.dumps(extra, default=_plain))})
        return
    show_job(state, as_json=False)
    console = Console(highlight=False, soft_wrap=True)
    if state.status in _WAITING:
        console.print(f"{'progress':>12}: {state.progress:.1f} % {state.stage}")
        console.print(f"{'done in':>12}: {_duration(left)}")
    for name, text in _makers(made, is_running=is_running):
        console.print(f"{name:>12}: {escape(text)}")
    for warning in state.warnings:
        console.print(f"{'warning':>12}: {escape(printable(warning))}")
    for one in history:
        by = ", ".join(printable(name) for name in (one.worker_id, one.actor) if name)
        who = escape(f" ({by})") if by else ""
        console.print(
            f"{one.at:%Y-%m-%d %H:%M:%S}  {one.what:<10} {escape(_lines(one.message))}{who}"
        )


def _makers(made: Making, *, is_running: bool) -> Iterable[tuple[str, str]]:
    """Who has made how much, where it is more than one worker."""
    if made.helpers:
        for one in made.makers:
            now = ", ".join(
                f"{piece.position}.{piece.part + 1} ({100 * piece.done // piece.frames} %)"
                for piece in one.making
            )
            count = f"{one.segments} segment{'s' if one.segments != 1 else ''}"
            at = f", is at {now}" if now else ""
            yield (
                "made by" if one.is_owner or not is_running else "helped by",
                f"{printable(one.worker_id)}: {count}, {100 * one.share:.0f} %{at}",
            )


def _outlook(farm: Farm) -> Estimate:
    return outlook(farm.jobs.ahead(), farm.workers.list(), farm.queues.paused())


def show_farm(farm: Farm, *, as_json: bool) -> None:
    """All that waits and runs, the last that ended, and the workers."""
    if not as_json:
        _console().print(_farm_table(farm))
        return
    active = farm.jobs.list(_WAITING, limit=100_000)
    workers = farm.workers.list()
    ahead = outlook(farm.jobs.ahead(), workers, farm.queues.paused())
    recent = farm.jobs.list(_ENDED, limit=_SHOWN, newest_first=True)
    backlog = farm.exports.backlog()
    _say({
        "jobs": [{**job_as_json(one), "done_in": ahead.jobs.get(one.job_id)} for one in active],
        "recent": [job_as_json(one) for one in recent],
        "workers": [worker_as_json(one) for one in workers],
        "counts": farm.jobs.counts(),
        "all_done_in": ahead.whole,
        "results": {"waiting": backlog.waiting if backlog.is_used else 0, "error": backlog.error},
    })  # fmt: skip


def live_table(farm: Farm) -> None:
    """The same, moving, until Ctrl-C."""
    with Live(_farm_table(farm), console=_console(), auto_refresh=False, screen=False) as live:
        try:
            while True:
                time.sleep(1.0)
                try:
                    live.update(_farm_table(farm), refresh=True)
                except DatabaseUnavailable as error:
                    live.update(escape(f"waiting: {printable(error.message)}"), refresh=True)
        except KeyboardInterrupt:
            return


def _farm_table(farm: Farm) -> Group:
    running = farm.jobs.list([JobStatus.PROCESSING], limit=_SHOWN)
    active = [*running, *farm.jobs.list([JobStatus.QUEUED], limit=_SHOWN)]
    workers = farm.workers.list()
    waiting = farm.jobs.ahead()
    ahead = outlook(waiting, workers, farm.queues.paused())
    recent = farm.jobs.list(_ENDED, limit=5, newest_first=True)
    table = Table(title="jobs", title_justify="left", expand=True)
    for name in ("job", "channel", "state", "progress", "done in", "worker", ""):
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if not name else None)
    for state in [*active[:_SHOWN], *recent]:
        table.add_row(*_job_row(state, ahead.jobs.get(state.job_id)))
    more = len(waiting) - min(_SHOWN, len(active))
    counts = farm.jobs.counts()
    words = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no jobs yet"
    done = "" if not active else f"; all done in {_duration(ahead.whole)}"
    lines = [f"{more} more wait"] if more > 0 else []
    lines += _unrecorded(farm)
    return Group(table, *lines, f"{words}{done}", workers_table(workers))


def _unrecorded(farm: Farm) -> list[str]:
    """What BigQuery has not taken yet, if anything."""
    backlog = farm.exports.backlog()
    if not backlog.failing:
        return []
    return [
        escape(f"{backlog.waiting} results wait for BigQuery: {printable(backlog.error or '')}")
    ]


def _job_row(state: JobState, left: float | None) -> Iterable[Any]:
    colour = _COLOURS[state.status]
    running = state.status is JobStatus.PROCESSING
    said = state.waiting_for or state.error_message or state.output_path
    note = "; ".join(filter(None, (str(state.excerpt), said)))
    stage = f" {state.stage}" if running else ""
    bar = ProgressBar(total=100, completed=state.progress, width=16) if running else ""
    return (
        state.job_id[:8],
        escape(printable(state.channel_name)),
        Text(f"{state.status}{stage}", style=colour),
        bar,
        _duration(left) if state.status in _WAITING else "",
        escape(printable(state.worker_id or "")),
        escape(printable(note)),
    )


def worker_as_json(worker: Worker) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asdict(worker), default=_plain))
    return found


def show_workers(workers: Sequence[Worker], *, as_json: bool) -> None:
    if as_json:
        for worker in workers:
            _say(worker_as_json(worker))
        return
    _console().print(workers_table(workers))


def workers_table(workers: Sequence[Worker]) -> Table | str:
    if not workers:
        return "no workers: start one with reelyard up, or reelyard worker"
    table = Table(title="workers", title_justify="left", expand=True)
    for name in ("worker", "state", "job", "queues", "encoder", "speed", "free", "seen"):
        table.add_column(name, no_wrap=name != "queues", overflow="ellipsis")
    now = datetime.now(UTC)
    for one in workers:
        able = one.capabilities
        speed = "" if one.speed is None else f"{one.speed:.2f}x"
        table.add_row(
            escape(printable(one.worker_id)), _worker_state(one),
            (one.job_id or one.helps or "")[:8],
            " ".join(queue.removesuffix("_queue") for queue in one.queues),
            (able.encoders or ("none",))[0], speed, f"{able.free_disk / 1e9:.0f} GB",
            f"{max(0.0, (now - one.seen_at).total_seconds()):.0f} s ago",
        )  # fmt: skip
    return table


def _worker_state(worker: Worker) -> Text:
    if worker.quarantine is not None:
        return Text("quarantined", style="red")
    told = "" if worker.order == "work" or not worker.is_alive else f", told to {worker.order}"
    style = "dim" if not worker.is_alive else "green"
    state = "helping" if worker.helps and worker.job_id is None else worker.state
    return Text(f"{state}{told}", style=style)


def _duration(seconds: float | None) -> str:
    return "?" if seconds is None else clock(round(seconds) * FRAME_RATE)
