"""A siding: one farm in this process, with workers that are called as services, on real files."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fsspec.implementations.local import LocalFileSystem

from reelyard.domain.farm import Capabilities, JobState
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.engine.ffmpeg import StopSignal
from reelyard.farm.wiring import Farm
from reelyard.files.job_log import JobLog
from reelyard.files.places import Places, Source
from reelyard.files.publishing import Place
from reelyard.services.fetch import Fetch
from reelyard.services.help import NO_HELP, Help
from reelyard.services.job_file import parse_job
from reelyard.services.output_folder import OutputFolder
from reelyard.services.progress import Progress, Watcher
from reelyard.services.queue import RecordingQueue
from reelyard.services.render_job import Publication, Rendered, RenderJob
from reelyard.services.submit import Submit, Submitted
from reelyard.services.sweep import Sweep
from reelyard.services.work import WorkOnJob
from reelyard.settings import Settings
from reelyard.store.database import Database
from reelyard.store.leases import Leases
from tests.conftest import Clips

T = TypeVar("T")
PATIENCE = 30.0
SOON = 2.0
"""Seconds in which a stopped job has ended."""
ABLE = Capabilities(
    version="1", ffmpeg="9", encoders=("libx264",), cores=2, memory=1 << 30, free_disk=1 << 40
)


def nothing(_: object = None) -> None:
    """Does nothing, and stops nothing."""


def wait_for(find: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first true thing that ``find`` returns; fails the test after ``seconds``."""
    ends_at = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Watched(RenderJob):
    """Renders, and tells each stage as it begins, and "claimed", "checked" (its folder), "permitted"."""

    told: Callable[[str], object] = nothing

    def render(
        self,
        job: Job,
        output: Place,
        log: JobLog,
        watcher: Watcher | None,
        stop: StopSignal,
        publication: Publication | None = None,
        help_: Help = NO_HELP,
    ) -> Rendered:
        seen: list[str] = []

        def watch(progress: Progress) -> None:
            if watcher is not None:
                watcher(progress)
            if progress.stage not in seen:
                seen.append(progress.stage)
                self.told(progress.stage)

        def permit() -> None:
            assert publication is not None
            publication.permit()
            self.told("permitted")

        assert publication is not None
        permitted = Publication(publication.token, permit)
        return super().render(job, output, log, watch, stop, permitted, help_)


class Share(LocalFileSystem):  # type: ignore[misc]
    """A share that tells of each file before it is opened."""

    cachable = False

    def __init__(self, before_open: Callable[[str], object] = nothing) -> None:
        super().__init__()
        self.before_open = before_open

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.before_open(path)
        return super()._open(path, mode, **options)


@dataclass(frozen=True, slots=True)
class ShareAt(Places):
    """Everything under the remote roots is read through one share."""

    share: Share = field(default_factory=Share)

    def remote(self, path: str) -> Source | None:
        found = Places(self.remote_roots, self.mounts).remote(path)
        return found and Source(self.share, found.path, found.named)


class TellingFolder(OutputFolder):
    """Tells when it was found to be there."""

    def __init__(self, folder: OutputFolder, told: Callable[[str], object]) -> None:
        self.folder = folder.folder
        self._own, self._told = folder, told

    def check(self) -> None:
        self._own.check()
        self._told("checked")


class Gate(Database):
    """A database that can be made to keep one worker waiting, as a machine that hangs does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.hangs = False

    def _bring_up_to_date(self) -> None:
        wait_for(lambda: not self.hangs, "the gate to open")
        super()._bring_up_to_date()


@dataclass
class Siding:
    """One farm. ``settings`` override its own."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    must_stop: Callable[[], bool] = lambda: False
    queue: RecordingQueue = field(default_factory=RecordingQueue)

    @cached_property
    def farm(self) -> Farm:
        own = {
            "cache_dir": self.folder / "cache",
            "log_dir": self.folder / "logs",
            "data_dir": self.folder / "data",
            "output_dir": self.out,
            "database_url": f"sqlite:///{self.folder / 'farm.db'}",
            "remote_roots": (self.share,),
            "redis_url": "redis://127.0.0.1:1/0",  # nobody is there
            "lease_seconds": 60.0,
            "encoder": "libx264",
            "jobs": 2,
        }
        made = Farm(Settings(**{**own, **self.settings}), lambda: self.must_stop())
        made.outputs.make()  # as a worker does when it starts
        return made

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @cached_property
    def share(self) -> Path:
        """A folder that sources are copied from."""
        path = self.folder / "share"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, *clips: Path) -> list[Path]:
        """Put clips on the share, each with a time of its own; where they are."""
        placed = [Path(shutil.copy2(clip, self.share)) for clip in clips]
        for number, path in enumerate(placed):
            os.utime(path, ns=(1, 1_600_000_000_000_000_000 + number))
        return placed

    def job(self, *items: dict[str, Any], **job: Any) -> Job:
        """A job as a job file has it."""
        document = {"channel_name": "Tests", "items": list(items), **job}
        return parse_job(json.loads(json.dumps(document, default=str)), self.folder)

    @property
    def submitting(self) -> Submit:
        return replace(self.farm.submit, queue=self.queue)

    @property
    def user(self) -> str:
        return self.farm.profiles.local("tester")

    def submit(self, *items: dict[str, Any], key: str | None = None, **job: Any) -> Submitted:
        return self.submitting(self.job(*items, **job), self.user, key=key)

    def film(self, *clips: Path, **job: Any) -> str:
        """Submit a film of these clips; the job's id."""
        items = ({"item_type": "video", "path": clip} for clip in clips)
        return self.submit(*items, **job).state.job_id

    def register(self, name: str = "pc1", *queues: Queue) -> None:
        """Have a worker of this name, alive, in the books."""
        self.farm.workers.register(
            name,
            name,
            host=socket.gethostname(),
            pid=1,
            queues=queues or tuple(Queue),
            capabilities=ABLE,
        )

    def worker(
        self,
        name: str = "pc1",
        told: Callable[[str], object] = nothing,
        *,
        share: Share | None = None,
        database: Database | None = None,
        time_limit: float = 600,
    ) -> WorkOnJob:
        """A worker that is registered. ``told`` hears each stage; ``database`` is its own way to it."""
        work = self.farm.work(name)
        render_job = work.render_job()
        values = {one.name: getattr(render_job, one.name) for one in fields(RenderJob)}

        def begin() -> RenderJob:
            told("claimed")
            return Watched(**values, told=told)

        made = replace(
            work,
            leases=Leases(database, work.leases.seconds) if database else work.leases,
            fetch=self.fetch(share) if share else work.fetch,
            render_job=begin,
            outputs=TellingFolder(work.outputs, told),
            time_limit=time_limit,
        )
        self.register(name)  # last: it counts as alive for as long as a lease holds
        return made

    def fetch(self, share: Share) -> Fetch:
        """Fetches through one share."""
        roots = self.farm.settings.remote_roots
        return replace(self.farm.fetch, places=ShareAt(roots, share=share))

    def sweep(self, **changes: Any) -> Sweep:
        """One with its own memory of what it saw."""
        return replace(self.farm.sweep, **{"queue": self.queue, **changes})

    def pins(self) -> list[tuple[str, str]]:
        """What is kept: for which job, by which worker."""
        found = []
        for pin in self.farm.fetch.copies.pins():
            for name in (one.worker_id for one in self.farm.workers.list()):
                pins = self.farm.pins(name)
                job_id = pins.job_of(pin)
                found += [(job_id, name)] if job_id and pins.of(job_id) == pin else []
        assert len(found) == len(self.farm.fetch.copies.pins())
        return found

    def state(self, job_id: str) -> JobState:
        return self.farm.jobs.state(job_id)

    def status(self, job_id: str) -> JobStatus:
        return self.state(job_id).status

    def output(self, job_id: str) -> Path:
        return self.out / f"Tests_{job_id}.mp4"

    def log_folder(self, job_id: str) -> Path:
        folder = self.state(job_id).log_folder
        assert folder is not None
        return Path(folder)

    def log(self, job_id: str) -> list[str]:
        """The lines of a job's log, without their times."""
        lines = (self.log_folder(job_id) / "job.log").read_text().splitlines()
        return [line.partition("Z  ")[2] or line for line in lines]

    def leftovers(self) -> list[Path]:
        """What only a job in the making may have lying about, and what its sources are kept by."""
        found = [path for path in self.out.rglob("*") if path.name.startswith(".")]
        cache = self.farm.settings.cache_dir
        return [
            *found,
            *(cache / "work").glob("*"),
            *(self.farm.settings.copies / "pins").glob("*"),
        ]

    def made(self) -> list[Path]:
        """All that is visible where films go."""
        return sorted(self.out.rglob("*"))

    def close(self) -> None:
        """Waits for what a sweep began beside it: it uses the database."""
        for thread in threading.enumerate():
            if thread.name == "clean up":
                thread.join(PATIENCE)
        self.farm.reelyard.database.close()


@dataclass
class Turn:
    """A worker's turn at a job, in a thread of its own."""

    work: WorkOnJob
    job_id: str
    status: JobStatus | None = None
    ended_at: float = 0.0
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.status = self.work(self.job_id, None)
        self.ended_at = time.monotonic()

    def ends(self, within: float = 60.0) -> JobStatus | None:
        self._thread.join(within)
        assert not self._thread.is_alive(), f"it did not end within {within} s"
        return self.status


def held_ffmpeg(folder: Path, ffmpeg: Path, *words: str) -> Path:
    """An FFmpeg that, while there is a file ``hold``, hangs when its command has all of the words.

    It says that it hangs by a file ``hangs``.
    """
    script = folder / "held-ffmpeg"
    hold, hangs = (shlex.quote(str(folder / name)) for name in ("hold", "hangs"))
    wanted = "\n".join(
        f'case "$*" in *{shlex.quote(word)}*) ;; *) held=0 ;; esac' for word in words
    )
    script.write_text(
        f"#!/bin/sh\nheld=1\n{wanted}\n"
        f"[ $held = 1 ] && [ -e {hold} ] && touch {hangs} && while [ -e {hold} ]; do sleep 0.05; done\n"
        f'exec {shlex.quote(str(ffmpeg))} "$@"\n'
    )
    script.chmod(0o755)
    (folder / "hold").touch()
    return script


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A farm's database before anything happened."""
    folder = tmp_path_factory.mktemp("empty")
    with closing(Siding(folder)) as one:
        assert one.farm.jobs.list() == []
    return folder / "farm.db"


@pytest.fixture
def siding(tmp_path: Path, _empty: Path) -> Iterator[Siding]:
    shutil.copy(_empty, tmp_path / "farm.db")
    with closing(Siding(tmp_path)) as one:
        yield one


@pytest.fixture(scope="session")
def clip(clips: Clips) -> Path:
    """A second of picture and sound."""
    return clips.video("siding.mp4", seconds=1)


@pytest.fixture(scope="session")
def other(clips: Clips) -> Path:
    """Another second."""
    return clips.video("siding-other.mp4", seconds=1, picture="smptebars")


@pytest.fixture(scope="session")
def _warm(tmp_path_factory: pytest.TempPathFactory, clip: Path, other: Path) -> Path:
    """The cache of a farm that made the films of ``clip`` and of both."""
    folder = tmp_path_factory.mktemp("warm")
    with closing(Siding(folder)) as one:
        for sources in ((clip,), (clip, other)):
            assert one.worker()(one.film(*sources), None) is JobStatus.COMPLETED
    return folder / "cache"


@pytest.fixture
def warm(siding: Siding, _warm: Path) -> Siding:
    """A siding whose cache has all that the films of ``clip``, and of ``clip`` and ``other``, need."""
    shutil.copytree(_warm, siding.folder / "cache", copy_function=os.link)
    return siding
