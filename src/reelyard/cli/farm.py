"""The farm's commands: jobs and workers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reelyard.domain.errors import JobUnknown, SettingsInvalid, printable
from reelyard.domain.farm import HIGHEST_PRIORITY, LOWEST_PRIORITY, NORMAL_PRIORITY
from reelyard.domain.lifecycle import JobStatus, Order

from . import people
from .excerpt import Draft, Items, ItemSeconds, instead
from .late import local_username, read_settings
from .supabase import supabase

if TYPE_CHECKING:
    from reelyard.domain.farm import JobState
    from reelyard.farm.wiring import Farm
    from reelyard.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
JobName = Annotated[str, typer.Argument(help="The job's id, or how it begins.", metavar="JOB")]
WorkerName = Annotated[str, typer.Argument(help="pc1, or pc1@host.", metavar="WORKER")]
Priority = Annotated[
    int, typer.Option(min=LOWEST_PRIORITY, max=HIGHEST_PRIORITY, help="0 (last) to 9 (first).")
]
Host = Annotated[str | None, typer.Option(help="Where to listen; 127.0.0.1 if empty.")]
Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="8080 if empty.")]
_ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
_LOOK_SECONDS = 0.5
_LAST_WORDS = 1.5


def _farm() -> Farm:
    from reelyard.farm.wiring import Farm

    return Farm(read_settings())


@contextmanager
def _job(name: str) -> Iterator[tuple[Farm, str]]:
    farm = _farm()
    yield farm, farm.jobs.named(name)


def submit(
    job_file: Annotated[Path, typer.Argument(help="Job file, YAML or JSON.", metavar="JOB")],
    wait: Annotated[bool, typer.Option("--wait", help="Show progress until it is done.")] = False,
    priority: Priority = NORMAL_PRIORITY,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key is the same job.")
    ] = None,
    draft: Draft = None,
    item_seconds: ItemSeconds = None,
    items: Items = None,
    as_json: AsJson = False,
) -> None:
    """Check a job and put it into the farm's queue."""
    from reelyard.services.job_file import read_what_there_is

    from .show_farm import show_submitted

    farm = _farm()
    user = farm.profiles.local(local_username())
    read = read_what_there_is(job_file, instead(draft, item_seconds, items))
    done = farm.submit(read.job, user, priority=priority, key=key, problems=read.problems)
    show_submitted(done, as_json=as_json)
    if wait:
        _wait(farm, done.state.job_id, as_json=as_json)


def _wait(farm: Farm, job_id: str, *, as_json: bool) -> None:
    from .show_farm import follow, show_job

    state = follow(lambda: farm.jobs.state(job_id), as_json=as_json)
    show_job(state, as_json=as_json)
    if state.status is not JobStatus.COMPLETED:
        raise typer.Exit(1)


def status(
    job: Annotated[str | None, typer.Argument(help="A job's id, or how it begins.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print the table, and don't keep it moving.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show jobs and workers, live in a terminal; or one job with everything that happened to it."""
    from .show_farm import live_table, show_farm, show_job_in_full

    farm = _farm()
    if job is not None:
        job_id = farm.jobs.named(job)
        show_job_in_full(farm, farm.jobs.state(job_id), as_json=as_json)
    elif sys.stdout.isatty() and not once and not as_json:
        live_table(farm)
    else:
        show_farm(farm, as_json=as_json)


def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
) -> None:
    """Print a job's log."""
    with _job(job) as (farm, job_id):
        read: Callable[[], JobState] = lambda: farm.jobs.state(job_id)  # noqa: E731
        for line in _lines(read, follow):
            sys.stdout.write(line)
            sys.stdout.flush()


def _lines(read: Callable[[], JobState], follow: bool) -> Iterator[str]:
    place = 0
    told = False
    while True:
        state = read()
        over = state.status in _ENDED
        path = Path(state.log_folder) / "job.log" if state.log_folder else None
        if path is not None and path.exists():
            if over and follow:
                time.sleep(_LAST_WORDS)  # its worker writes a line or two after the row
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(place)
                yield from iter(file.readline, "")
                place = file.tell()
        elif over or not follow or path is not None:
            raise _no_log(state, path)
        elif not told:
            told = True
            sys.stderr.write("no log yet: the job waits for a worker\n")
        if over or not follow:
            return
        time.sleep(_LOOK_SECONDS)


def _no_log(state: JobState, path: Path | None) -> JobUnknown:
    if path is None:
        return JobUnknown(f"job {state.job_id} has no log: it is {state.status}",
                          remedy="logs -f waits for a job that is queued")  # fmt: skip
    return JobUnknown(f"the log is not on this machine: {path}",
                      remedy=f"Look on the machine of {state.worker_id}")  # fmt: skip


def cancel(job: JobName, as_json: AsJson = False) -> None:
    """Stop a job, wherever it is."""
    _change(job, lambda farm, job_id: farm.jobs.cancel(job_id, by=local_username()), as_json)


def retry(job: JobName, as_json: AsJson = False) -> None:
    """Queue a failed or cancelled job again; what was rendered is not rendered again."""

    def queue_again(farm: Farm, job_id: str) -> JobState:
        state = farm.jobs.retry(job_id, by=local_username())
        farm.wake(state)
        return state

    _change(job, queue_again, as_json)


def move(
    job: JobName,
    priority: Annotated[
        int | None,
        typer.Option(min=LOWEST_PRIORITY, max=HIGHEST_PRIORITY, help="0 (last) to 9 (first)."),
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Before all others.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move a queued job up or down."""
    if first == (priority is not None):
        raise SettingsInvalid("say where to", remedy="Give either --priority or --first")

    def change(farm: Farm, job_id: str) -> JobState:
        if priority is None:
            return farm.jobs.to_front(job_id, by=local_username())
        return farm.jobs.reprioritise(job_id, priority, by=local_username())

    _change(job, change, as_json)


def _change(job: str, change: Callable[[Farm, str], JobState], as_json: bool) -> None:
    from .show_farm import show_job

    with _job(job) as (farm, job_id):
        show_job(change(farm, job_id), as_json=as_json)


def workers(
    forget: Annotated[
        str | None, typer.Option(help="Drop a worker that is gone for good from the list.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who works on this farm."""
    from .show_farm import show_workers

    if forget is not None:
        farm = _farm()
        farm.workers.forget(farm.workers.named(forget))
    show_workers(_farm().workers.list(), as_json=as_json)


def drain(worker: WorkerName, as_json: AsJson = False) -> None:
    """Have a worker finish its job, take no other, and end."""
    _tell(worker, Order.DRAIN, as_json)


def pause(worker: WorkerName, as_json: AsJson = False) -> None:
    """Have a worker finish its job and take no other until it is resumed."""
    _tell(worker, Order.PAUSE, as_json)


def resume(worker: WorkerName, as_json: AsJson = False) -> None:
    """Have a paused worker take jobs again."""
    _tell(worker, Order.WORK, as_json)


def stop(worker: WorkerName, as_json: AsJson = False) -> None:
    """Have a worker hand its job back at once, and end."""
    _tell(worker, Order.STOP, as_json)


def _tell(worker: str, order: Order, as_json: bool) -> None:
    from .show_farm import show_workers

    farm = _farm()
    show_workers(
        [farm.workers.tell(farm.workers.named(worker), order, by=local_username())], as_json=as_json
    )


def worker(
    queues: Annotated[
        str,
        typer.Option("--queues", "-Q", help="4k_queue, gpu_queue, default_queue; all if empty."),
    ] = "",
    name: Annotated[str, typer.Option("--name", "-n", help="What this worker is called.")] = "pc1",
    pool: Annotated[
        str | None, typer.Option(help="prefork or threads; threads on Windows.")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="The number of its graphics card, or none; the first free one if left out."
        ),
    ] = None,
) -> None:
    """Work for the farm: take jobs from queues and render them, one at a time."""
    from reelyard.domain.routing import named_queues
    from reelyard.farm.up import run_worker

    run_worker(name, named_queues(queues), pool, gpu)


def up(
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, max=64, help="How many; one for each graphics card."),
    ] = None,
    host: Host = None,
    port: Port = None,
    server: Annotated[
        bool, typer.Option("--server/--no-server", help="With the API and the pages, or without.")
    ] = True,
) -> None:
    """Run the whole farm on this machine: broker, database, pages, workers. Ctrl-C ends it."""
    from reelyard.farm.up import run_all

    settings = _listening(host, port)
    if server:
        from reelyard.asgi import Site, check_address, listen

        check_address(settings, Site(settings).access)
        listen(settings).close()  # a port that is taken is said now, and not again and again
    run_all(settings, workers, with_server=server)


def serve(host: Host = None, port: Port = None) -> None:
    """Serve the API and the pages. Ctrl-C ends it."""
    from reelyard.asgi import serve as run

    run(_listening(host, port))


def _listening(host: str | None, port: int | None) -> Settings:
    given = {"host": host, "port": port}
    wanted = {name: value for name, value in given.items() if value is not None}
    return read_settings().model_copy(update=wanted)


library_app = typer.Typer(help="The local library of videos, by id.", no_args_is_help=True)


@library_app.command("scan")
def library_scan(
    folder: Annotated[Path, typer.Argument(help="A folder of clips.")], as_json: AsJson = False
) -> None:
    """Add every clip in a folder; its video_id is its file's name without the suffix."""
    from reelyard.services.scan import scan

    done = scan(folder, _farm().reelyard.shelf)
    if as_json:
        sys.stdout.write(json.dumps({"added": done.added, "ambiguous": done.ambiguous}) + "\n")
        return
    for name in map(printable, done.ambiguous):
        sys.stderr.write(f"warning: two files are called {name}: left out\n")
    sys.stdout.write(f"{done.added} videos are in the library\n")


@library_app.command("show")
def library_show(as_json: AsJson = False) -> None:
    """Show every video's id and file."""
    for video_id, path in _farm().reelyard.library.all().items():
        line = (
            json.dumps({"video_id": video_id, "path": path})
            if as_json
            else f"{printable(video_id)}\t{printable(path)}"
        )
        sys.stdout.write(line + "\n")


def register(app: typer.Typer) -> None:
    """Add these commands to ``app``."""
    for command in (submit, status, logs, cancel, retry, move, workers, drain, pause, resume, stop,
                    worker, up, serve, supabase):  # fmt: skip
        app.command()(command)
    app.add_typer(library_app, name="library")
    app.add_typer(people.user_app, name="user")
