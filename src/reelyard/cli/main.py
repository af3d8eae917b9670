"""``reelyard``: the commands.

Exit codes: 0 success, 1 failure, 2 bad input, 130 stopped. What a person reads goes to stderr where
it is about a failure; ``--json`` puts what a program reads on stdout, one JSON value a line.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reelyard.domain.errors import JobRejected, ReelyardError

from . import farm
from .excerpt import Draft, Items, ItemSeconds, instead
from .late import make_reelyard, read_settings

if TYPE_CHECKING:
    from reelyard.engine.ffmpeg import StopSignal

app = typer.Typer(
    help="Renders an ordered list of clips into one finished MP4.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(help="Look at the segment cache, or clear it.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")

JobFile = Annotated[Path, typer.Argument(help="Job file, YAML or JSON.", metavar="JOB")]
EncoderName = Annotated[
    str | None,
    typer.Option("--encoder", help="h264_nvenc or libx264; otherwise the best that works."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]


def main() -> None:
    """The entry point: every error that Reelyard knows becomes a line and an exit code."""
    as_json = "--json" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may be no text
    try:
        app()
    except ReelyardError as error:
        _show_error(error, as_json=as_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read stdout has seen enough. Python must not try to flush what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        from reelyard.services.storage import storage_error

        failure = storage_error(error)
        _show_error(failure, as_json=as_json)
        sys.exit(failure.exit_code)


def _show_error(error: ReelyardError, *, as_json: bool) -> None:
    if not as_json:
        sys.stderr.write(f"reelyard: {error}\n")
        return
    problems = error.problems if isinstance(error, JobRejected) else ()
    _say_json({
        "event": "error",
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "problems": [
            {"position": one.position, "field": one.field, "file": one.file, "code": one.code,
             "message": one.message, "remedy": one.remedy}
            for one in problems
        ],
    })  # fmt: skip


def _say(text: str = "") -> None:
    sys.stdout.write(text + "\n")


def _say_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


@app.command()
def render(
    job_file: JobFile,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The film to make, .mp4: a path, or on a share.")
    ],
    encoder: EncoderName = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, max=256, help="Segments at the same time.")
    ] = None,
    draft: Draft = None,
    item_seconds: ItemSeconds = None,
    items: Items = None,
    as_json: AsJson = False,
) -> None:
    """Render a job on this machine, without a farm."""
    from reelyard.services.job_file import read_job

    from .show import progress_display, show_rendered

    reelyard = make_reelyard(read_settings(), encoder, jobs)
    job = read_job(job_file, instead(draft, item_seconds, items))
    with stopping() as stop, progress_display(as_json=as_json) as watcher:
        done = reelyard.render_job(job, reelyard.films.find(output), watcher, stop, job_file)
    show_rendered(done, as_json=as_json)


@contextmanager
def stopping() -> Iterator[StopSignal]:
    """Ctrl-C and SIGTERM stop the job, and nothing else."""
    from reelyard.engine.ffmpeg import StopSignal

    stop = StopSignal()

    def on_signal(*_: object) -> None:
        stop.stop()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # Once stopped, what is left to do is cleaning up: nothing may break that off.
            signal.signal(number, signal.SIG_IGN if stop.is_set else handler)


@app.command()
def plan(
    job_file: JobFile,
    encoder: EncoderName = None,
    draft: Draft = None,
    item_seconds: ItemSeconds = None,
    items: Items = None,
    as_json: AsJson = False,
    ffmpeg: Annotated[
        bool, typer.Option("--ffmpeg", help="Print every FFmpeg command as a shell script.")
    ] = False,
) -> None:
    """Show how a job would be rendered, and what the cache holds of it."""
    from reelyard.services.job_file import read_job
    from reelyard.services.script import as_script

    from .show import plan_as_json, show_plan

    reelyard = make_reelyard(read_settings(), encoder)
    asked = read_job(job_file, instead(draft, item_seconds, items))
    with reelyard.bring(asked.wanted) as job:
        prepared = reelyard.planning.prepare(job)
    if ffmpeg:
        script = as_script(prepared.plan, reelyard.ffmpeg)
        _say_json({"script": script}) if as_json else _say(script)
    elif as_json:
        _say_json(plan_as_json(prepared, reelyard.cache))
    else:
        show_plan(prepared, reelyard.cache)


@cache_app.command("show")
def cache_show(as_json: AsJson = False) -> None:
    """How much is cached, and where."""
    reelyard = make_reelyard(read_settings())
    segments, copies = list(reelyard.cache.entries()), list(reelyard.copies.entries())
    found = {
        "folder": str(reelyard.cache.root),
        "entries": len(segments),
        "bytes": sum(entry.size for entry in segments),
        "limit": reelyard.cache.limit,
        "copies_folder": str(reelyard.copies.root),
        "copies": len(copies),
        "copies_bytes": sum(entry.size for entry in copies),
        "copies_limit": reelyard.copies.limit,
    }
    if as_json:
        _say_json(found)
        return
    _say(f"{found['folder']}: {found['entries']} files, {_gb(found['bytes'])}"
         f" of {_gb(found['limit'])}")  # fmt: skip
    if copies:
        _say(f"{found['copies_folder']}: {found['copies']} copies of sources, "
             f"{_gb(found['copies_bytes'])} of {_gb(found['copies_limit'])}")  # fmt: skip


def _gb(size: object) -> str:
    return f"{float(str(size)) / 1e9:.2f} GB"


@cache_app.command("clear")
def cache_clear(as_json: AsJson = False) -> None:
    """Drop every cached segment, copy and remembered fact. Running jobs keep what they use."""
    reelyard = make_reelyard(read_settings())
    dropped = reelyard.cache.clear() + reelyard.copies.clear()
    reelyard.memory.clear()
    if as_json:
        _say_json({"dropped": dropped})
    else:
        _say(f"dropped {dropped} files")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Test FFmpeg, encoders, fonts, disk, database, broker and server; show the settings in force."""
    from reelyard.asgi import check_server
    from reelyard.farm.checkup import looks
    from reelyard.farm.wiring import Farm
    from reelyard.services.cards import CARD_SECONDS, card_findings
    from reelyard.services.doctor import Verdict, examine
    from reelyard.services.examination import Look, examined

    from .show import findings_as_json, show_findings

    settings = read_settings()
    reelyard = make_reelyard(settings)
    findings = examine(settings, lambda: reelyard.ffmpeg, lambda: reelyard.memory, reelyard.try_out)
    cards = Look(
        "graphics cards",
        lambda: card_findings(
            reelyard.machine.cards(), sessions=settings.gpu_sessions, filters=settings.gpu_filters
        ),
        "Restart the machine, and install NVIDIA's driver again",
    )
    server = Look("server", lambda: check_server(settings))
    findings += examined([*looks(Farm(settings)), server])
    findings += examined([cards], CARD_SECONDS)
    if as_json:
        _say_json(findings_as_json(findings, settings.shown()))
    else:
        show_findings(findings, settings.shown())
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        raise typer.Exit(1)


farm.register(app)
