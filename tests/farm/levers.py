"""What a test pulls to have a farm where it wants it: jobs held in the making, commands, processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus
from tests.forks import Fork

from .yard import WorkerProcess, Yard, wait_for


def video(clip: Path, **more: Any) -> dict[str, Any]:
    """An item of a job."""
    return {"item_type": "video", "path": clip, **more}


def job_file(yard: Yard, clip: Path) -> Path:
    """A job of this one clip."""
    yard.folder.mkdir(exist_ok=True)
    path = yard.folder / f"{clip.stem}.json"
    path.write_text(json.dumps({"channel_name": "Orders", "items": [video(clip)]}, default=str))
    return path


def hold(yard: Yard, worker: WorkerProcess | None = None) -> list[psutil.Process]:
    """Stop the FFmpegs of the job in the making, or of that worker's: it stays there until they
    are ``let_go``."""

    def catch() -> list[psutil.Process]:
        own = None if worker is None else worker.family()
        return [one for one in yard.ffmpegs() if (own is None or one in own) and _stands(one)]

    return wait_for(catch, "an FFmpeg to hold", every=0.005)


def _stands(process: psutil.Process) -> bool:
    """Stop it; False if it has ended instead."""
    ends = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    try:
        process.suspend()
        wait_for(lambda: process.status() in ends, f"{process} to stand still", every=0.001)
        return _is_stopped(process)
    except psutil.NoSuchProcess:
        return False


def stopped(yard: Yard) -> list[psutil.Process]:
    """The FFmpegs that stand still."""
    return [one for one in yard.ffmpegs() if _is_stopped(one)]


def let_go(held: list[psutil.Process]) -> None:
    for one in held:
        with suppress(psutil.NoSuchProcess):
            one.resume()


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def command(yard: Yard, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What the real command line answers."""
    with Fork(*arguments, environ=yard.environ(), folder=yard.folder) as process:
        out, err = process.communicate(60)
    return subprocess.CompletedProcess(list(map(str, arguments)), process.wait(), out, err)


def told(yard: Yard, *arguments: object) -> list[Any]:
    """The JSON values, one a line, of a command that has to succeed."""
    done = command(yard, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def running(yard: Yard, *arguments: object) -> Iterator[Fork]:
    """A command that goes on beside the test; its stdout can be read."""
    with (
        Path(os.devnull).open("ab") as nowhere,
        Fork(*arguments, environ=yard.environ(), folder=yard.folder, stderr=nowhere) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@dataclass(frozen=True)
class OwnFFmpeg:
    """A worker's own FFmpeg: it works until it is told to fail, or to stop at the joint."""

    script: Path

    @classmethod
    def made(cls, folder: Path, real: Path) -> OwnFFmpeg:
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "ffmpeg"
        script.write_text(f"""#!/bin/sh
case " $* " in
  *" -f lavfi "*|*" -version "*|*" -filters "*) fails={script}.fails-always ;;
  *) fails={script}.fails ;;
esac
if [ -e "$fails" ]; then echo "[fatal] the device is lost" >&2; exit 187; fi
case "$*" in *film.mp4*) if [ -e {script}.stops ]; then kill -STOP $$; fi ;; esac
exec {real} "$@"
""")
        script.chmod(0o755)
        return cls(script)

    def fail(self, *, always: bool = False) -> None:
        """Whatever looks at a file fails from now on, or everything."""
        Path(f"{self.script}.fails").touch()
        if always:
            Path(f"{self.script}.fails-always").touch()

    def stop_at_the_joint(self) -> None:
        """It is there, and does nothing."""
        Path(f"{self.script}.stops").touch()

    def work(self) -> None:
        for name in (".fails", ".fails-always", ".stops"):
            Path(f"{self.script}{name}").unlink(missing_ok=True)


def ready(*workers: WorkerProcess) -> None:
    """Returns when all of them are."""
    for one in workers:
        wait_for(lambda: " ready." in one.said(), f"{one.name} to be ready: {one.log}")  # noqa: B023


def processes_of(*workers: WorkerProcess) -> dict[str, list[int]]:
    """Each worker's own Python processes, by their ids."""
    return {
        one.name: [each.pid for each in one.family() if each.name().startswith("python")]
        for one in workers
    }


def done_once(yard: Yard, *jobs: str) -> list[str]:
    """All these jobs complete in one attempt each, with one result; who did them."""
    for job_id in jobs:
        state = yard.wait_for_end(job_id)
        assert state.status is JobStatus.COMPLETED, state
        outcomes = yard.outcomes(job_id)
        assert [outcome for _, outcome in outcomes] == [AttemptOutcome.COMPLETED], outcomes
        assert len(yard.results(job_id)) == 1
    return [str(yard.state(job_id).worker_id) for job_id in jobs]


def nothing_left(yard: Yard) -> None:
    """Nobody works on anything, and nothing says that somebody did."""
    wait_for(lambda: not (yard.leftovers() or yard.ffmpegs()), "everything to be gone", 5)
    assert not yard.farm.fetch.copies.pins()
