"""Prefetching: while a worker is busy, the files of the job that it takes next are copied."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from reelyard.domain.farm import Lease
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.farm.wiring import Farm
from reelyard.services.prefetch import Prefetch, release_unused
from tests.servers import PostgresServer

from .conftest import Share, Siding, wait_for


def busy(siding: Siding, name: str, clip: Path) -> Lease:
    """Have a worker take a job, and be in the middle of it."""
    siding.register(name)
    claim = siding.farm.leases.claim(name, siding.film(clip), None)
    assert claim is not None
    return claim.lease


def prefetch(siding: Siding, name: str = "pc1", share: Share | None = None) -> Prefetch:
    made = siding.farm.prefetch(name)
    return replace(made, fetch=siding.fetch(share)) if share else made


def told(siding: Siding, job_id: str) -> list[str]:
    """What a job's history says of prefetching."""
    return [one.message for one in siding.farm.jobs.history(job_id) if one.what == "prefetch"]


def pins(siding: Siding) -> list[tuple[str, str]]:
    return siding.pins()


def test_the_next_job_starts_with_nothing_to_copy(warm: Siding, clip: Path) -> None:
    lease = busy(warm, "pc1", clip)
    warm.farm.reelyard.library.add({"park": str(warm.put(clip)[0])})
    job_id = warm.submit({"item_type": "video", "video_id": "park"}).state.job_id
    prefetch(warm)()
    state = warm.state(job_id)
    assert (state.reserved_by, state.status) == ("pc1", JobStatus.QUEUED)
    (note,) = told(warm, job_id)
    assert note.startswith("prefetched: copied 1 files, ") and "MB/s" in note
    assert pins(warm) == [(job_id, "pc1")]
    warm.farm.leases.hand_back(lease, "done with it")
    warm.farm.jobs.cancel(lease.job_id)
    assert warm.worker()(job_id, None) is JobStatus.COMPLETED
    assert any(line.startswith("copied 0 files") for line in warm.log(job_id))
    assert pins(warm) == []


def test_a_worker_that_has_nothing_to_do_prefetches_nothing(warm: Siding, clip: Path) -> None:
    """It would take the job itself."""
    job_id = warm.film(*warm.put(clip))
    prefetch(warm)()  # not even known
    warm.register()
    prefetch(warm)()
    assert (warm.state(job_id).reserved_by, told(warm, job_id), pins(warm)) == (None, [], [])


@pytest.mark.parametrize("order", [Order.PAUSE, Order.DRAIN, Order.STOP])
def test_a_worker_that_takes_no_more_prefetches_nothing(
    warm: Siding, clip: Path, order: Order
) -> None:
    busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    warm.farm.workers.tell("pc1", order)
    prefetch(warm)()
    assert (warm.state(job_id).reserved_by, pins(warm)) == (None, [])


def test_a_message_that_came_before_the_job_was_begun_waits_for_that(
    warm: Siding, clip: Path
) -> None:
    warm.register()
    first, second = warm.film(clip), warm.film(*warm.put(clip))
    thread = threading.Thread(target=prefetch(warm).when_busy)
    thread.start()
    assert told(warm, second) == []
    assert warm.farm.leases.claim("pc1", first, None) is not None
    thread.join(10)
    assert len(told(warm, second)) == 1


def test_a_worker_that_ends_does_not_wait(warm: Siding, clip: Path) -> None:
    warm.register()
    job_id = warm.film(*warm.put(clip))
    made = prefetch(warm)
    thread = threading.Thread(target=made.when_busy)
    thread.start()
    begun = time.monotonic()
    made.ended.set()
    thread.join(10)
    assert time.monotonic() - begun < 2
    assert pins(warm) == [] and warm.state(job_id).reserved_by is None


def test_no_job_is_prefetched_twice(warm: Siding, clip: Path, other: Path) -> None:
    """Not by one worker, and not by two."""
    for name in ("pc1", "pc2"):
        busy(warm, name, clip)
    second, third = (warm.film(path) for path in warm.put(clip, other))
    opened: list[str] = []
    share = Share(opened.append)
    for name in ("pc1", "pc1", "pc2", "pc1", "pc2"):
        prefetch(warm, name, share)()
    assert [Path(path).name for path in opened] == [clip.name, other.name]
    assert [warm.state(one).reserved_by for one in (second, third)] == ["pc1", "pc2"]
    assert [len(told(warm, one)) for one in (second, third)] == [1, 1]


def test_messages_that_come_at_once_lead_to_one_copy(warm: Siding, clip: Path) -> None:
    busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    opened: list[str] = []

    def slowly(path: str) -> None:
        opened.append(path)
        time.sleep(0.5)

    made = prefetch(warm, share=Share(slowly))
    threads = [threading.Thread(target=made.when_busy) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), len(told(warm, job_id))) == (1, 1)


def test_a_job_is_prefetched_from_each_queue_that_the_worker_listens_to(
    warm: Siding, clip: Path
) -> None:
    busy(warm, "pc1", clip)
    warm.register("pc2", Queue.DEFAULT)
    uhd = warm.film(*warm.put(clip), enable_4k=True)
    prefetch(warm)()
    assert warm.state(uhd).reserved_by == "pc1"


def test_a_job_that_no_worker_of_its_kind_may_take_is_left(warm: Siding, clip: Path) -> None:
    warm.register("pc2", Queue.DEFAULT)
    assert warm.farm.leases.claim("pc2", warm.film(clip), None) is not None
    uhd = warm.film(*warm.put(clip), enable_4k=True)
    prefetch(warm, "pc2")()
    assert (warm.state(uhd).reserved_by, pins(warm)) == (None, [])


def test_a_job_moved_to_the_front_is_the_next(warm: Siding, clip: Path, other: Path) -> None:
    busy(warm, "pc1", clip)
    second, third = (warm.film(path) for path in warm.put(clip, other))
    prefetch(warm)()
    warm.farm.jobs.to_front(third)
    prefetch(warm)()
    assert [warm.state(one).reserved_by for one in (second, third)] == [None, "pc1"]
    assert len(told(warm, third)) == 1


def test_a_prefetch_that_fails_harms_nothing(warm: Siding, clip: Path) -> None:
    lease = busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    away = warm.share.rename(warm.folder / "away")
    prefetch(warm)()
    (note,) = told(warm, job_id)
    assert note.startswith("prefetch failed: ") and str(warm.share) in note
    state = warm.state(job_id)
    assert (state.status, state.attempts, state.waiting_for) == (JobStatus.QUEUED, 0, None)
    prefetch(warm)()  # it is not tried again and again
    assert len(told(warm, job_id)) == 1
    away.rename(warm.share)
    warm.farm.jobs.cancel(lease.job_id)
    assert warm.worker()(job_id, None) is JobStatus.COMPLETED
    assert any(line.startswith("copied 1 files") for line in warm.log(job_id))


def test_an_id_that_nobody_knows_is_the_jobs_own_affair(warm: Siding, clip: Path) -> None:
    busy(warm, "pc1", clip)
    library = warm.farm.reelyard.library
    library.add({"park": str(clip)})
    job_id = warm.submit({"item_type": "video", "video_id": "park"}).state.job_id
    with warm.farm.reelyard.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM library")
    prefetch(warm)()
    assert warm.status(job_id) is JobStatus.QUEUED


def test_a_prefetch_ends_with_its_worker(warm: Siding, clip: Path) -> None:
    busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    made = prefetch(warm)
    made.ended.set()
    made()
    assert (told(warm, job_id), pins(warm)) == ([], [])


def test_a_job_that_another_worker_took_is_not_copied_any_further(warm: Siding, clip: Path) -> None:
    """Or that was cancelled: within two seconds nobody reads its files any more."""
    busy(warm, "pc1", clip)
    sources = [warm.share / f"{n}.mp4" for n in range(60)]
    for path in sources:
        path.hardlink_to(clip)
    job_id = warm.film(*sources)
    opened: list[str] = []

    def slowly(path: str) -> None:
        opened.append(path)
        time.sleep(0.5)

    thread = threading.Thread(target=prefetch(warm, share=Share(slowly)))
    thread.start()
    wait_for(lambda: opened, "the first copy")
    warm.farm.jobs.cancel(job_id)
    thread.join(10)
    assert not thread.is_alive() and len(opened) < 40
    assert (told(warm, job_id), pins(warm)) == ([], [])


def test_a_reserved_job_is_taken_by_whoever_is_free(warm: Siding, clip: Path) -> None:
    busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    prefetch(warm)()
    assert warm.state(job_id).reserved_by == "pc1"
    assert warm.worker("pc2")(job_id, None) is JobStatus.COMPLETED
    assert warm.state(job_id).worker_id == "pc2"
    assert pins(warm) == [(job_id, "pc1")]  # until its worker looks
    release(warm, "pc1")
    assert pins(warm) == []


def test_the_reserve_of_a_worker_that_left_is_anybodys(warm: Siding, clip: Path) -> None:
    for name in ("pc1", "pc2"):
        busy(warm, name, clip)
    job_id = warm.film(*warm.put(clip))
    prefetch(warm)()
    warm.farm.workers.leave("pc1", "pc1")
    prefetch(warm, "pc2")()
    assert warm.state(job_id).reserved_by == "pc2"


def test_without_the_database_nothing_is_prefetched_and_nothing_breaks(
    warm: Siding, clip: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    warm.settings["database_url"] = postgres_url
    busy(warm, "pc1", clip)
    job_id = warm.film(*warm.put(clip))
    postgres.stop()
    try:
        prefetch(warm)()
        prefetch(warm).when_busy()
    finally:
        postgres.start()
    prefetch(warm)()
    assert len(told(warm, job_id)) == 1
    warm.close()


def release(siding: Siding, name: str) -> None:
    farm = siding.farm
    release_unused(farm.pins(name), farm.jobs, farm.fetch)


def test_only_what_nobody_needs_is_let_go_of(warm: Siding, clip: Path) -> None:
    """One folder of copies may serve several workers, and several farms."""
    (source,) = warm.put(clip)
    names = ["has", "in reserve", "of pc2", "free", "done", "cancelled"]
    ids = {name: warm.film(source) for name in names}
    warm.register("pc1")
    warm.register("pc2")
    claim = warm.farm.leases.claim
    assert claim("pc1", ids["has"], None)
    prefetch(warm)()
    assert warm.state(ids["in reserve"]).reserved_by == "pc1"
    assert (taken := claim("pc2", ids["of pc2"], None)) and taken.lease.job_id == ids["of pc2"]
    warm.farm.jobs.cancel(ids["cancelled"])
    warm.farm.jobs.cancel(ids["done"])
    ids["unknown"] = warm.job({"item_type": "video", "path": source}).job_id
    job = warm.job({"item_type": "video", "path": source})
    for job_id in ids.values():
        for worker in ("pc1", "pc2"):
            warm.farm.fetch(job, warm.farm.pins(worker).of(job_id), lambda: None)
    another = {"database_url": "sqlite:////another/farm.db"}
    settings = warm.farm.settings.model_copy(update=another)
    foreign = [Farm(settings).pins("pc1").of(ids["done"]), "anybody's"]
    for pin in foreign:
        warm.farm.fetch(job, pin, lambda: None)
    release(warm, "pc1")
    kept = {pin for pin in warm.farm.fetch.copies.pins() if pin not in foreign}
    of_pc1 = {warm.farm.pins("pc1").of(ids[name]) for name in ("has", "in reserve")}
    # Of another worker's, those whose jobs are over.
    of_pc2 = {
        warm.farm.pins("pc2").of(ids[name]) for name in ("has", "in reserve", "of pc2", "free")
    }
    assert kept == of_pc1 | of_pc2
    assert set(foreign) <= set(warm.farm.fetch.copies.pins())
