"""Sources on shares: copied five at a time, whole or not at all, from where a copy broke off."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reelyard.domain.farm import AttemptOutcome, JobState
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.files.copy_cache import CopyCache
from reelyard.services.fetch import COPIES_AT_ONCE
from tests.conftest import Clips

from .test_prefetch import (
    ALL_HERE,
    Station,
    completed,
    copy_of,
    pad,
    prefetched,
    settle,
    station,
    video,
)
from .yard import Yard, wait_for

MB = 1_000_000
PC1 = "pc1@yard"
GIVEN_UP_AFTER = 1.8  # seconds


@pytest.fixture(scope="module")
def roomy_for_all(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with station(tmp_path_factory.mktemp("roomy"), clips, "prefork") as one:
        yield one


@pytest.fixture
def roomy(roomy_for_all: Station) -> Iterator[Station]:
    """A worker with nothing to do, and room for all copies."""
    yield roomy_for_all
    settle(roomy_for_all.yard)


@pytest.fixture
def doomed(clips: Clips, tmp_path: Path) -> Iterator[Station]:
    """A worker that may be killed."""
    with station(tmp_path / "doomed", clips, "prefork") as one:
        yield one


@pytest.fixture
def tight(clips: Clips, tmp_path: Path) -> Iterator[Station]:
    """A worker with room for 20 MB of copies, of a farm where nothing waits for long."""
    hours = str(GIVEN_UP_AFTER / 3600)
    with station(
        tmp_path / "tight", clips, "prefork", copy_limit_gb="0.02", wait_hours=hours
    ) as one:
        yield one


@contextmanager
def nobody_at_work(yard: Yard) -> Iterator[None]:
    """What is submitted within this block isn't begun before its end."""
    yard.farm.workers.tell(PC1, Order.PAUSE)
    try:
        yield
    finally:
        yard.farm.workers.tell(PC1, Order.WORK)


def home(yard: Yard) -> Path:
    """Where the copies are."""
    return yard.folder / "cache"


def copies(yard: Yard) -> CopyCache:
    return CopyCache(home(yard), 1 << 40)


def parts(yard: Yard) -> list[Path]:
    """The copies under way."""
    return list((home(yard) / "copies").glob("*/*.part"))


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def frozen_while_copying(yard: Yard, source: Path, size: int) -> Iterator[None]:
    """The worker stands still within this block, with ``size`` bytes of ``source`` copied, but not all."""
    entry = copy_of(home(yard), source)
    part = entry.with_name(f"{entry.name}.part")
    worker = yard.worker(PC1)
    family = worker.family()
    wait_for(lambda: size_of(part) >= size, "the copy to be under way", every=0.001)
    for process in family:
        process.suspend()
    try:
        assert size <= size_of(part) < size_of(source)
        yield
    finally:
        worker.thaw()


def one_failed(yard: Yard, job_id: str) -> JobState:
    state = yard.wait_for_end(job_id)
    assert state.status is JobStatus.FAILED, state
    return state


def test_five_files_are_copied_at_a_time(roomy: Station) -> None:
    yard = roomy.yard
    sources = [roomy.share.clip(24 * MB) for _ in range(7)]
    job_id = yard.submit(*video(*sources))
    at_once = []

    def is_copied() -> bool:
        at_once.append(len(parts(yard)))
        return yard.state(job_id).stage not in ("", "claimed", "copying")

    wait_for(is_copied, "all to be copied", every=0.002)
    assert max(at_once) == COPIES_AT_ONCE == 5
    completed(yard, job_id)
    log = yard.job_log(job_id)
    assert re.search(r"copied 7 files, 168\.\d MB in \d+\.\d+ s \(\d+\.\d MB/s\)", log)
    for source in sources:
        size = source.stat().st_size
        assert re.search(rf"copied {re.escape(str(source))}: {size} bytes at \d+\.\d MB/s\n", log)
        assert filecmp.cmp(copy_of(home(yard), source), source, shallow=False)


def test_what_is_here_and_has_not_changed_is_not_copied_again(roomy: Station, clips: Clips) -> None:
    yard = roomy.yard
    logo = roomy.share.folder / "logo.png"
    shutil.copy(clips.picture("logo.png", size="64x36"), logo)
    at_home = clips.video("at home.mp4", seconds=0.4)
    clip = roomy.share.clip()
    items = [{**one, "logo_path": str(logo)} for one in video(clip, clip, at_home)]
    for copied, here in ((2, 0), (0, 2)):
        job_id = yard.submit(*items)
        completed(yard, job_id)
        assert re.search(
            f"copied {copied} files.* {here} were here already, 1 are on", yard.job_log(job_id)
        )
    pad(clip, 64)
    job_id = yard.submit(*items)
    completed(yard, job_id)
    assert re.search("copied 1 files.* 1 were here already, 1 are on", yard.job_log(job_id))


def test_every_file_that_is_missing_is_named(roomy: Station) -> None:
    yard = roomy.yard
    sources = [roomy.share.clip() for _ in range(3)]
    with nobody_at_work(yard):
        job_id = yard.submit(*video(*sources))
        for gone in sources[1:]:
            gone.unlink()
    reason = one_failed(yard, job_id).error_message or ""
    log = yard.job_log(job_id)
    for gone in sources[1:]:
        assert str(gone) in reason
        assert f"copy failed: {gone}" in log
    assert str(sources[0]) not in reason


def test_a_copy_goes_on_where_its_worker_was_killed(doomed: Station) -> None:
    yard = doomed.yard
    source = doomed.share.clip(320 * MB)
    size = source.stat().st_size
    job_id = yard.submit(*video(source))
    with frozen_while_copying(yard, source, 64 * MB):
        (part,) = parts(yard)
        was = part.stat().st_size
        yard.worker(PC1).kill()
    yard.start("pc1")
    state = yard.wait_for_end(job_id)
    assert state.status is JobStatus.COMPLETED, state
    said = re.search(
        rf"copied .*: {size} bytes at .*, (\d+) from an earlier try\n", yard.job_log(job_id)
    )
    assert said is not None
    assert was - (8 << 20) <= int(said[1]) <= was  # all but the block of 8 MiB that it was at
    assert filecmp.cmp(copy_of(home(yard), source), source, shallow=False)
    assert yard.leftovers() == [] == parts(yard)
    assert copies(yard).pins() == []


def test_nothing_is_kept_for_a_worker_that_does_not_come_back(doomed: Station) -> None:
    yard = doomed.yard
    with doomed.gate.shut():
        job_id = yard.submit(*video(doomed.share.clip()))
        doomed.gate.wait_for_one()
        assert copies(yard).pins() != []
        yard.worker(PC1).kill()
    yard.start("pc2")
    state = yard.wait_for_end(job_id)
    assert (state.status, state.worker_id) == (JobStatus.COMPLETED, "pc2@yard")
    assert re.search(ALL_HERE.format(1), yard.job_log(job_id))
    wait_for(lambda: copies(yard).pins() == [], "all copies to be let go of")


def test_a_job_waits_for_a_share_that_goes_while_it_copies(roomy: Station) -> None:
    yard = roomy.yard
    source = roomy.share.clip(96 * MB)
    job_id = yard.submit(*video(source))
    with ExitStack() as block:
        with frozen_while_copying(yard, source, 24 * MB):
            block.enter_context(roomy.share.away())
        state = yard.wait_until(job_id, lambda one: one.waiting_for is not None, "it to wait")
        assert state.status is JobStatus.QUEUED
        assert str(roomy.share.folder) in (state.waiting_for or "")
        yard.wait_until(job_id, lambda one: one.token > state.token, "it to try again")
        yard.wait_until(job_id, lambda one: one.status is JobStatus.QUEUED, "it to wait again")
    completed(yard, job_id)
    assert yard.state(job_id).waiting_for is None
    outcomes = [one.outcome for one in yard.farm.jobs.attempts(job_id)]
    assert set(outcomes[:-1]) == {AttemptOutcome.UNABLE}
    assert filecmp.cmp(copy_of(home(yard), source), source, shallow=False)
    assert " from an earlier try" in yard.job_log(job_id)


def test_a_source_that_is_replaced_before_it_is_copied(roomy: Station, clips: Clips) -> None:
    yard = roomy.yard
    source = roomy.share.clip()
    with nobody_at_work(yard):
        job_id = yard.submit(*video(source))
        shutil.copy(clips.video("longer.mp4", seconds=0.8), source)
    completed(yard, job_id)
    assert yard.state(job_id).final_duration == pytest.approx(0.8)


def test_a_source_that_is_written_to_while_it_is_copied_is_copied_anew(
    roomy: Station, clips: Clips
) -> None:
    yard = roomy.yard
    source = roomy.share.clip(96 * MB)
    job_id = yard.submit(*video(source))
    old = copy_of(home(yard), source)
    with frozen_while_copying(yard, source, 24 * MB):
        with source.open("r+b") as file:
            file.write(clips.video("longer.mp4", seconds=0.8).read_bytes())
            file.truncate()
        pad(source, 96 * MB)
    completed(yard, job_id)
    assert yard.state(job_id).final_duration == pytest.approx(0.8)
    assert filecmp.cmp(copy_of(home(yard), source), source, shallow=False)
    assert not old.exists()
    assert parts(yard) == []
    assert f"{source.name} changed while it was copied" in yard.job_log(job_id)


def test_copies_in_use_stay_whatever_the_limit(tight: Station) -> None:
    """Each of the copies takes more than half of what all may take."""
    yard = tight.yard
    sources = [tight.share.clip(12 * MB) for _ in range(4)]
    earlier, used, wanted, later = sources
    completed(yard, yard.submit(*video(earlier)))
    assert copy_of(home(yard), earlier).exists()
    with tight.gate.shut():
        first = yard.submit(*video(used))
        tight.gate.wait_for_one()
        assert [copy_of(home(yard), one).exists() for one in sources] == [False, True, False, False]
        second = yard.submit(*video(wanted))
        prefetched(yard, second)
        assert [copy_of(home(yard), one).exists() for one in sources] == [False, True, True, False]
    completed(yard, first, second)
    assert re.search(ALL_HERE.format(1), yard.job_log(second))
    completed(yard, yard.submit(*video(later)))
    assert copy_of(home(yard), later).exists()
    assert sum(entry.size for entry in copies(yard).entries()) <= 20 * MB


def test_a_job_that_waits_too_long_fails_with_the_reason(tight: Station) -> None:
    yard = tight.yard
    with ExitStack() as block:
        with nobody_at_work(yard):
            job_id = yard.submit(*video(tight.share.clip()))
            block.enter_context(tight.share.away())
        state = one_failed(yard, job_id)
    assert state.attempts == 0
    assert (state.error_message or "").startswith("gave up waiting: ")
    assert str(tight.share.folder) in (state.error_message or "")
    first = yard.farm.jobs.attempts(job_id)[0]
    assert first.ended_at is not None
    assert state.completed_at is not None
    assert (state.completed_at - first.ended_at).total_seconds() > GIVEN_UP_AFTER
