"""A farm for tests: real workers as processes of their own, a database, a broker, clips that take a while."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import psutil

from reelyard.domain.farm import AttemptOutcome, JobState, Result
from reelyard.domain.lifecycle import JobStatus
from reelyard.farm.wiring import Farm
from reelyard.services.job_file import parse_job
from reelyard.settings import Settings
from reelyard.system import posix
from tests.forks import Fork

T = TypeVar("T")
ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
PATIENCE = 60.0


def wait_for(find: Callable[[], T], what: str, seconds: float = PATIENCE, every: float = 0.05) -> T:
    """The first true thing that ``find`` returns; fails the test after ``seconds``."""
    ends_at = time.monotonic() + seconds
    while True:
        found = find()
        if found:
            return found
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain for {what}"
        time.sleep(every)


class WorkerProcess:
    """A worker with all its processes; ``name`` is its worker_id."""

    def __init__(self, name: str, process: Fork | subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """The worker's process and all that came from it."""
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: int) -> None:
        """To the worker's main process only."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power cut does: SIGKILL to the main process; what it leaves behind dies with it."""
        family = self.family()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(_runs, family)), f"everything of {self.name} to be gone", 5)

    def freeze(self) -> None:
        """SIGSTOP to everything of it."""
        wait_for(self._is_frozen, f"{self.name} to stop", every=0.001)

    def _is_frozen(self) -> bool:
        """Whether all of it stood still already; some may end, and start others, until it does."""
        running = []
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                if one.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                    running.append(one)
                    one.send_signal(signal.SIGSTOP)
        return not running

    def thaw(self) -> None:
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)

    def end(self, seconds: float = 30) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.kill()


def started_anew(
    argv: Sequence[str], environ: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """A process in which nothing was imported before."""
    with log.open("ab") as file:
        return subprocess.Popen(
            argv, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            preexec_fn=posix.dies_with_parent(), start_new_session=True,
        )  # fmt: skip


def _forked(environ: dict[str, str], log: Path, *arguments: str) -> Fork:
    with log.open("ab") as file:
        return Fork(
            *arguments, environ=environ, folder=Path.cwd(), stdout=file, stderr=file,
            own_session=True,
        )  # fmt: skip


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        names = [process.cwd(), *process.cmdline()] if "ffmpeg" in process.name() else []
        return any(str(folder) in name for name in names)
    except psutil.Error:
        return False


def runs(process: psutil.Process) -> bool:
    """Whether a process does; one that only waits to be collected does not."""
    return _runs(process)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass
class Yard:
    """One farm. ``own`` overrides settings (names without the prefix) for every process."""

    folder: Path
    database_url: str
    redis_url: str | None = None
    lease_seconds: float = 3.0
    own: dict[str, str] = field(default_factory=dict)
    started: list[WorkerProcess] = field(default_factory=list)

    def environ(self, **more: str) -> dict[str, str]:
        """The settings, as environment variables."""
        settings = {
            "data_dir": str(self.folder / "data"),
            "cache_dir": str(self.folder / "cache"),
            "log_dir": str(self.folder / "logs"),
            "output_dir": str(self.folder / "out"),
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "lease_seconds": str(self.lease_seconds),
            "encoder": "libx264",
            **self.own,
            **more,
        }
        kept = {name: value for name, value in os.environ.items() if "REELYARD" not in name}
        named = {f"REELYARD_{key.upper()}": value for key, value in settings.items() if value}
        return {**kept, **named}

    @cached_property
    def farm(self) -> Farm:
        """This process's own view of the farm; its parts can be called as services."""
        values = {
            name.removeprefix("REELYARD_").lower(): value
            for name, value in self.environ().items()
            if name.startswith("REELYARD_")
        }
        return Farm(Settings(**values))  # type: ignore[arg-type]

    def start(
        self, name: str, queues: str = "", *, how: str = "reelyard", pool: str = "prefork",
        wait: bool = True, **own: str,
    ) -> WorkerProcess:  # fmt: skip
        """Start a worker, by the product's command or by Celery's own."""
        node = f"{name}@yard"
        listens = queues or "4k_queue,gpu_queue,default_queue"
        self.folder.mkdir(parents=True, exist_ok=True)
        log, environ = self.folder / f"{name}.{len(self.started)}.log", self.environ(**own)
        process: Fork | subprocess.Popen[bytes]
        if how == "celery":
            argv = [sys.executable, "-m", "celery", "-A", "reelyard.farm.celery_app", "worker",
                    "-Q", listens, "--concurrency=1", "-n", node, "-P", pool, "-l", "info"]  # fmt: skip
            process = started_anew(argv, environ, log)
        else:
            process = _forked(
                environ, log, "worker", "--queues", listens, "--name", node, "--pool", pool
            )
        worker = WorkerProcess(node, process, log)
        self.started.append(worker)
        if wait:
            wait_for(lambda: " ready." in worker.said(), f"{name} to be ready: {worker.log}")
        return worker

    def submit(self, *items: dict[str, Any], key: str | None = None, priority: int = 5,
               **job: Any) -> str:  # fmt: skip
        """Submit a job as a job file has it; its id."""
        farm = self.farm
        document = {"channel_name": "Yard", "items": list(items), **job}
        parsed = parse_job(json.loads(json.dumps(document, default=str)), self.folder)
        user = farm.profiles.local("tester")
        return farm.submit(parsed, user, priority=priority, key=key).state.job_id

    def state(self, job_id: str) -> JobState:
        return self.farm.jobs.state(job_id)

    def wait_until(
        self, job_id: str, is_so: Callable[[JobState], bool], what: str, seconds: float = PATIENCE
    ) -> JobState:
        """The job's state once it is so."""
        jobs = self.farm.jobs

        def look() -> JobState | None:
            state = jobs.state(job_id)
            return state if is_so(state) else None

        found = wait_for(look, what, seconds)
        assert found is not None
        return found

    def wait_for_end(self, job_id: str, seconds: float = PATIENCE) -> JobState:
        return self.wait_until(
            job_id, lambda state: state.status in ENDED, f"job {job_id} to end", seconds
        )

    def job_log(self, job_id: str) -> str:
        folder = self.state(job_id).log_folder
        assert folder is not None
        return (Path(folder) / "job.log").read_text()

    @contextmanager
    def broker_kept(self) -> Iterator[None]:
        """The embedded broker runs in this process, as in ``reelyard up``: it outlives any worker."""
        broker = self.farm.embedded
        assert broker is not None
        broker.guard()
        try:
            yield
        finally:
            broker.release()

    def worker(self, worker_id: str | None) -> WorkerProcess:
        """The process that was last started under this name."""
        return next(one for one in reversed(self.started) if one.name == worker_id)

    def log_so_far(self, job_id: str, name: str = "job.log") -> str:
        """A file of the job's log, empty before there is one. Asks no database."""
        found = list((self.folder / "logs").glob(f"*/*/jobs/*_{job_id}/{name}"))
        return found[0].read_text() if found else ""

    def outcomes(self, job_id: str) -> list[tuple[str, AttemptOutcome]]:
        """Whose turn it was at the job, and how that ended, the first one first."""
        return [(one.worker_id, one.outcome) for one in self.farm.jobs.attempts(job_id)]

    def results(self, job_id: str) -> list[Result]:
        """The job's rows of ``compilation_results``, once there is one."""
        found = self.farm.results
        return wait_for(
            lambda: [one for one in found.list() if one.job_id == job_id], f"a result of {job_id}"
        )

    def ffmpegs(self) -> list[psutil.Process]:
        """Every FFmpeg that works for this farm, whoever its parent is."""
        return [one for one in psutil.process_iter() if _works_in(one, self.folder)]

    def leftovers(self) -> list[Path]:
        """What only a job in the making may have lying about: stagings, parts, work folders."""
        out, work = self.folder / "out", self.folder / "cache" / "work"
        found = (
            [path for path in out.rglob("*") if path.name.startswith(".")] if out.exists() else []
        )
        return [*found, *(work.iterdir() if work.exists() else [])]

    def close(self) -> None:
        for worker in self.started:
            worker.close()
        self.farm.reelyard.database.close()
