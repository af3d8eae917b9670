"""While a job renders, the files of the next one are copied; and nothing is lost where that fails."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from reelyard.domain.farm import AttemptOutcome, Happening, JobState
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.files.copy_cache import CopyCache
from reelyard.files.places import Places
from reelyard.services.job_file import parse_job
from reelyard.services.queue import RecordingQueue
from tests.conftest import Clips

from .yard import Yard, wait_for

ALL_HERE = r"copied 0 files, 0\.0 MB .*; {} were here already, 0 are on this machine's own disks"
TAKEN_FROM_THE_BUSY = 10.0  # seconds
_NUMBERS = count()


class Gate:
    """An FFmpeg for ``REELYARD_FFMPEG`` that can be held and slowed down, and its job with it."""

    def __init__(self, folder: Path, ffmpeg: Path) -> None:
        folder.mkdir(parents=True)
        self.ffmpeg = folder / "ffmpeg"
        self._shut, self._held = folder / "ffmpeg.shut", folder / "ffmpeg.held"
        self._slow = folder / "ffmpeg.slow"
        self.ffmpeg.write_text(
            "#!/bin/sh\n"
            'while [ -e "$0.shut" ]; do : > "$0.held"; sleep 0.02; done\n'
            '[ -e "$0.slow" ] && set -- -readrate $(cat "$0.slow") -readrate_initial_burst 0 "$@"\n'
            f'exec {shlex.quote(str(ffmpeg))} "$@"\n'
        )
        self.ffmpeg.chmod(0o755)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """No FFmpeg gets any further within this block."""
        self._held.unlink(missing_ok=True)
        self._shut.touch()
        try:
            yield
        finally:
            self.open()

    def open(self) -> None:
        self._shut.unlink(missing_ok=True)

    def wait_for_one(self) -> None:
        """Until somebody's FFmpeg waits."""
        wait_for(self._held.exists, "an FFmpeg to be held")

    @contextmanager
    def slowed(self, rate: float) -> Iterator[None]:
        """An FFmpeg that starts within this block reads its source at ``rate`` times its own pace."""
        self._slow.write_text(str(rate))
        try:
            yield
        finally:
            self._slow.unlink()


class Share:
    """A folder that the farm takes for a share: what lies in it is copied before it is used."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.folder = folder
        self._clip = clip
        folder.mkdir(parents=True)
        shutil.copy(clip, folder / "other.mp4")  # a share of which one file is gone isn't empty

    def clip(self, padding: int = 64) -> Path:
        """A clip that nobody has seen, with ``padding`` bytes of no meaning."""
        path = self.folder / f"clip{next(_NUMBERS)}.mp4"
        shutil.copy(self._clip, path)
        pad(path, padding)
        return path

    @contextmanager
    def away(self) -> Iterator[None]:
        """The share is not there within this block."""
        elsewhere = self.folder.with_name("elsewhere")
        self.folder.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self.folder)


def pad(path: Path, size: int) -> None:
    """Add a box to an MP4 that players skip, other in each file and in each megabyte."""
    with path.open("ab") as file:
        file.write((size + 8).to_bytes(4, "big") + b"free")
        begin = file.tell()
        file.truncate(begin + size)
    with path.open("r+b") as file:
        for at in range(begin, begin + size, 1 << 20):
            file.seek(at)
            file.write(os.urandom(min(64, begin + size - at)))


def spoil(path: Path) -> None:
    """Have other bytes in a file that looks the same: whoever reads it from now on is found out."""
    before = path.stat()
    path.write_bytes(os.urandom(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def copy_of(copies: Path, source: Path) -> Path:
    """Where the copy of a source, as it is now, is or would be in a folder of copies."""
    found = Places([source.parent]).remote(str(source))
    assert found is not None
    return CopyCache(copies, 1 << 40).path(found.identity())


def video(*paths: Path) -> list[dict[str, str]]:
    return [{"item_type": "video", "path": str(path)} for path in paths]


def submit_unsent(yard: Yard, *items: dict[str, str]) -> JobState:
    """A job that is stored, and its message not sent yet."""
    farm = yard.farm
    submit = replace(farm.submit, queue=RecordingQueue())
    job = parse_job({"channel_name": "Yard", "items": list(items)}, yard.folder)
    return submit(job, farm.profiles.local("tester")).state


def happened(yard: Yard, job_id: str, what: str) -> Sequence[Happening]:
    return [one for one in yard.farm.jobs.history(job_id) if one.what == what]


def at(yard: Yard, job_id: str, what: str) -> datetime:
    """When the one thing of this kind happened to a job."""
    (one,) = happened(yard, job_id, what)
    return one.at


def prefetched(yard: Yard, job_id: str, said: str = "prefetched: ") -> Happening:
    """The job's line of history, once there is one; it begins with ``said``."""
    (found,) = wait_for(lambda: happened(yard, job_id, "prefetch"), f"{job_id} to be prefetched")
    assert found.message.startswith(said)
    return found


def completed(yard: Yard, *job_ids: str) -> None:
    for job_id in job_ids:
        state = yard.wait_for_end(job_id)
        assert (state.status, state.attempts) == (JobStatus.COMPLETED, 0), state


@dataclass(frozen=True)
class Station:
    """A worker that can be held at its job, and a share. Made once for several tests."""

    yard: Yard
    gate: Gate
    share: Share


@contextmanager
def station(folder: Path, clips: Clips, pool: str, **own: str) -> Iterator[Station]:
    """A farm of one worker, pc1. ``own`` are its settings."""
    clip = clips.video("blink.mp4", seconds=0.4)
    gate, share = Gate(folder / "gate", clips.ffmpeg), Share(folder / "share", clip)
    settings = {"remote_roots": str(share.folder), "ffmpeg": str(gate.ffmpeg), **own}
    yard = Yard(folder / "yard", f"sqlite:///{folder / 'yard' / 'farm.db'}", own=settings)
    with closing(yard):
        yard.start("pc1", pool=pool)
        assert (
            yard.farm.reelyard.machine.working_encoder()
        )  # remembered: the first FFmpeg of a job renders
        yield Station(yard, gate, share)


def settle(yard: Yard) -> None:
    """Leave nothing to the next test: no job, and no message about one."""
    for state in yard.farm.jobs.list((JobStatus.QUEUED, JobStatus.PROCESSING)):
        yard.farm.jobs.cancel(state.job_id)
    assert yard.farm.embedded is not None
    with Redis(unix_socket_path=str(yard.farm.embedded.socket)) as broker:
        wait_for(lambda: not broker.exists("unacked", *Queue), "all messages to be used up")


@pytest.fixture(scope="module", params=["prefork", "threads"])
def lone_for_all(
    request: pytest.FixtureRequest, clips: Clips, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Station]:
    with station(tmp_path_factory.mktemp("lone"), clips, request.param) as one:
        yield one


@pytest.fixture
def lone(lone_for_all: Station) -> Iterator[Station]:
    """One worker, with either of Celery's pools, that has nothing to do."""
    yield lone_for_all
    settle(lone_for_all.yard)


def test_the_next_job_has_nothing_to_copy(lone: Station) -> None:
    yard = lone.yard
    sources = lone.share.clip(), lone.share.clip()
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        second = yard.submit(*video(*sources))
        assert "copied 2 files" in prefetched(yard, second).message
        for source in sources:
            spoil(source)
    completed(yard, first, second)
    assert re.search(ALL_HERE.format(2), yard.job_log(second))
    assert at(yard, first, "claim") < at(yard, second, "prefetch") < at(yard, first, "complete")
    assert happened(yard, first, "prefetch") == []


def test_a_job_that_arrives_in_the_middle_of_another_is_prefetched(lone: Station) -> None:
    yard = lone.yard
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        lone.gate.wait_for_one()
        second = yard.submit(*video(lone.share.clip()))
        assert "copied 1 files" in prefetched(yard, second).message
        assert yard.state(first).status is JobStatus.PROCESSING
    completed(yard, first, second)
    assert re.search(ALL_HERE.format(1), yard.job_log(second))


def test_messages_that_come_twice_make_nobody_copy_twice(lone: Station) -> None:
    yard = lone.yard
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        states = [submit_unsent(yard, *video(lone.share.clip())) for _ in range(2)]
        for state in (states[0], *states, *states):
            yard.farm.sender.send(state.job_id, state.queue)
        prefetched(yard, states[0].job_id)
    jobs = [first, *(state.job_id for state in states)]
    completed(yard, *jobs)
    for job_id in jobs:
        assert len(happened(yard, job_id, "claim")) == 1
        assert len(happened(yard, job_id, "prefetch")) <= 1


def test_a_spare_message_that_means_nothing_keeps_no_job_from_being_prefetched(
    lone: Station,
) -> None:
    """A worker is handed one message more than it works on, and that one may be about no job at all."""
    yard = lone.yard
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        lone.gate.wait_for_one()
        yard.farm.sender.send(first, yard.state(first).queue)
        second = yard.submit(*video(lone.share.clip()))
        prefetched(yard, second)
        assert yard.state(first).status is JobStatus.PROCESSING
    completed(yard, first, second)


def test_a_prefetch_that_finds_a_file_missing_harms_nothing(lone: Station) -> None:
    yard = lone.yard
    missing, there = lone.share.clip(), lone.share.clip()
    aside = missing.with_suffix(".aside")
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        lone.gate.wait_for_one()
        second = submit_unsent(yard, *video(missing, there))
        missing.rename(aside)
        yard.farm.sender.send(second.job_id, second.queue)
        assert "copied 1 files" in (said := prefetched(yard, second.job_id).message)
        assert said.endswith("1 are missing")
        aside.rename(missing)
    completed(yard, first, second.job_id)
    assert re.search("copied 1 files.* 1 were here already", yard.job_log(second.job_id))


def test_a_prefetch_from_a_share_that_is_gone_harms_nothing(lone: Station) -> None:
    yard = lone.yard
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        lone.gate.wait_for_one()
        second = submit_unsent(yard, *video(lone.share.clip()))
        with lone.share.away():
            yard.farm.sender.send(second.job_id, second.queue)
            said = prefetched(yard, second.job_id, "prefetch failed: ").message
            assert str(lone.share.folder) in said
            assert yard.state(first).status is JobStatus.PROCESSING
    completed(yard, first, second.job_id)
    assert "copied 1 files" in yard.job_log(second.job_id)


def test_a_share_that_goes_after_the_prefetch_holds_the_job_up_until_it_is_back(
    lone: Station,
) -> None:
    """Whether a copy is still its source's can't be seen without the share."""
    yard = lone.yard
    with lone.gate.shut():
        first = yard.submit(*video(lone.share.clip()))
        second = yard.submit(*video(lone.share.clip()))
        prefetched(yard, second)
        with lone.share.away():
            lone.gate.open()
            yard.wait_until(second, lambda state: bool(state.waiting_for), "the job to wait")
            assert str(lone.share.folder) in (yard.state(second).waiting_for or "")
    completed(yard, first, second)
    assert re.search(ALL_HERE.format(1), yard.job_log(second))


@dataclass(frozen=True)
class Pair:
    """Two workers, each with a gate and copies of its own."""

    yard: Yard
    share: Share
    gates: dict[str, Gate]

    def holds(self, worker_id: str, source: Path) -> bool:
        """Whether a worker keeps its copy of a source for a job."""
        name = copy_of(self.copies(worker_id), source).name
        return any((self.copies(worker_id) / "pins").glob(f"*/{name}"))

    def copies(self, worker_id: str) -> Path:
        return self.yard.folder / f"copies of {worker_id}"


@pytest.fixture(scope="module")
def pair_for_all(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    share = Share(folder / "share", clips.video("blink.mp4", seconds=0.4))
    gates = {f"{name}@yard": Gate(folder / name, clips.ffmpeg) for name in ("pc1", "pc2")}
    yard = Yard(folder / "yard", f"sqlite:///{folder / 'yard' / 'farm.db'}",
                own={"remote_roots": str(share.folder)})  # fmt: skip
    both = Pair(yard, share, gates)
    with closing(yard):
        workers = []
        for worker_id, gate in gates.items():
            own = {"ffmpeg": str(gate.ffmpeg), "copy_dir": str(both.copies(worker_id))}
            workers.append(yard.start(worker_id.partition("@")[0], wait=False, **own))
        wait_for(lambda: all(" ready." in one.said() for one in workers), "both to be ready")
        yield both


@pytest.fixture
def pair(pair_for_all: Pair) -> Iterator[Pair]:
    """Two workers that have nothing to do."""
    yield pair_for_all
    for worker_id in pair_for_all.gates:
        pair_for_all.yard.farm.workers.tell(worker_id, Order.WORK)
    settle(pair_for_all.yard)


def test_a_prefetched_job_may_be_taken_by_another_worker(pair: Pair) -> None:
    yard, (one, two) = pair.yard, pair.gates
    at_work, next_one = pair.share.clip(), pair.share.clip()
    yard.farm.workers.tell(two, Order.PAUSE)
    with pair.gates[one].shut():
        first = yard.submit(*video(at_work))
        pair.gates[one].wait_for_one()
        second = yard.submit(*video(next_one))
        assert prefetched(yard, second).worker_id == one
        assert pair.holds(one, next_one)
        yard.farm.workers.tell(two, Order.WORK)
        yard.wait_until(
            second, lambda state: state.worker_id == two, "the idle one to take it",
            TAKEN_FROM_THE_BUSY,
        )  # fmt: skip
        completed(yard, second)
        wait_for(lambda: not pair.holds(one, next_one), "the copies to be let go of")
        assert pair.holds(one, at_work)
    completed(yard, first)
    assert yard.outcomes(second) == [(two, AttemptOutcome.COMPLETED)]
    assert "copied 1 files" in yard.job_log(second)
    assert not pair.holds(two, next_one)
    wait_for(lambda: not pair.holds(one, at_work), "nothing to be held")


def test_two_busy_workers_prefetch_for_two_jobs(pair: Pair) -> None:
    yard, (one, two) = pair.yard, pair.gates
    with pair.gates[one].shut(), pair.gates[two].shut():
        running = [yard.submit(*video(pair.share.clip())) for _ in range(2)]
        for gate in pair.gates.values():
            gate.wait_for_one()
        third = yard.submit(*video(pair.share.clip()))
        by_one = prefetched(yard, third)
        soon = by_one.at + timedelta(seconds=yard.lease_seconds / 2)
        wait_for(lambda: all(worker.seen_at > soon for worker in yard.farm.workers.list()),
                 "both to have looked for a job to prefetch twice")  # fmt: skip
        fourth = yard.submit(*video(pair.share.clip()))
        assert {by_one.worker_id, prefetched(yard, fourth).worker_id} == {one, two}
    completed(yard, *running, third, fourth)
    assert at(yard, third, "prefetch") == by_one.at
