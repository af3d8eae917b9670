"""Jobs as people and programs handle them, each by what they may."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.errors import (
    JobConflict,
    JobRejected,
    JobUnknown,
    NotAllowed,
    NotFound,
    OutputUnusable,
    ReelyardError,
)
from reelyard.domain.farm import Finished, Submission
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import JobQuery
from reelyard.domain.routing import Queue
from reelyard.services.desk import JobDesk
from reelyard.services.job_views import FILES, LOGS, Wanted
from reelyard.store.search import Search

from .conftest import Siding

MINUTE = 60 * 30


@dataclass(frozen=True)
class Desk:
    siding: Siding

    @cached_property
    def jobs(self) -> JobDesk:
        farm, siding = self.siding.farm, self.siding
        return JobDesk(submitting=siding.submitting, jobs=farm.jobs, queues=farm.queues,
                       search=Search(farm.reelyard.database), workers=farm.workers,
                       queue=siding.queue, folder=siding.folder)  # fmt: skip

    def who(self, name: str, role: Role = Role.OPERATOR, *scopes: Scope) -> Principal:
        return Principal(user_id=self.siding.farm.profiles.local(name), username=name, role=role,
                         scopes=frozenset(scopes) if scopes else None)  # fmt: skip

    @cached_property
    def ann(self) -> Principal:
        return self.who("ann")

    @cached_property
    def ben(self) -> Principal:
        return self.who("ben")

    @cached_property
    def mia(self) -> Principal:
        return self.who("mia", Role.MANAGER)

    def store(self, owner: Principal, frames: int = MINUTE, priority: int = 5, **job: Any) -> str:
        made = self.siding.job({"item_type": "video", "path": "/clips/a.mp4"}, **job)
        asked = Submission(user_id=owner.user_id, frames=frames, priority=priority)
        return self.siding.farm.jobs.add(made, asked).job_id

    def film(self, owner: Principal) -> tuple[str, Path]:
        """A completed job, with its film and all beside it."""
        self.siding.register()
        job_id = self.store(owner, priority=9)
        claim = self.siding.farm.leases.claim("pc1", job_id, None)
        assert claim is not None
        film = self.siding.out / f"Tests_{job_id}.mp4"
        for suffix in FILES.values():
            film.with_suffix(suffix).write_bytes(suffix.encode())
        logs = self.siding.folder / "joblogs" / job_id
        logs.mkdir(parents=True)
        for name in LOGS:
            (logs / name).write_text(name)
        assert self.siding.farm.leases.started(claim.lease, str(logs), str(film))
        assert self.siding.farm.leases.complete(claim.lease, Finished(str(film), 1.0, 1.0, 1, ()))
        return job_id, film


@pytest.fixture
def desk(siding: Siding) -> Desk:
    return Desk(siding)


def clip_job(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "channel_name": "Tests",
        "items": [{"item_type": "video", "path": str(path)}],
        **changes,
    }


def test_a_job_is_checked_and_then_submitted(desk: Desk, clip: Path) -> None:
    checked = desk.jobs.check(desk.ann, clip_job(clip))
    assert (checked.problems, checked.queue, checked.seconds) == ((), Queue.DEFAULT, 1.0)
    assert checked.items == {1: 1.0}
    assert checked.largest > 0
    assert (checked.starts_in, checked.done_in) == (None, None), "nobody is there to take it"
    assert desk.siding.farm.jobs.list() == []
    desk.siding.register()
    desk.store(desk.ben)
    checked = desk.jobs.check(desk.ann, clip_job(clip))
    assert checked.starts_in == pytest.approx(60)
    done = desk.jobs.submit(desk.ann, clip_job(clip), Wanted(metadata={"order": 7}))
    assert done.is_new
    assert (done.state.username, done.state.metadata) == ("ann", {"order": 7})
    assert desk.siding.queue.sent == [(done.state.job_id, Queue.DEFAULT)]
    assert desk.siding.farm.jobs.history(done.state.job_id)[0].actor == "ann"


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_stored(desk: Desk) -> None:
    document = {
        "channel_name": "Tests",
        "items": [{"item_type": "video", "path": "/no/a.mp4"}, {"item_type": "x", "path": "b"}],
    }
    checked = desk.jobs.check(desk.ann, document)
    assert {one.position for one in checked.problems} == {1, 2}
    with pytest.raises(JobRejected) as refused:
        desk.jobs.submit(desk.ann, document, Wanted())
    assert {one.position for one in refused.value.problems} == {1, 2}
    nothings: list[object] = [None, [], "x", 7, {}]
    for nothing in nothings:
        assert desk.jobs.check(desk.ann, nothing).problems
    assert desk.siding.farm.jobs.list() == []


def test_only_managers_submit_above_the_normal_priority(desk: Desk, clip: Path) -> None:
    with pytest.raises(NotAllowed):
        desk.jobs.submit(desk.ann, clip_job(clip), Wanted(priority=6))
    assert desk.jobs.submit(desk.ann, clip_job(clip), Wanted(priority=2)).state.priority == 2
    assert desk.jobs.submit(desk.mia, clip_job(clip), Wanted(priority=9)).state.priority == 9
    with pytest.raises(NotAllowed):
        desk.jobs.submit(desk.who("ann", Role.ADMIN, Scope.READ), clip_job(clip), Wanted())


def test_somebody_elses_job_is_to_an_operator_no_job_at_all(desk: Desk) -> None:
    job_id, _ = desk.film(desk.ann)
    waiting = desk.store(desk.ann)
    jobs, ben = desk.jobs, desk.ben
    before = desk.siding.farm.jobs.list()
    for call in (
        lambda: jobs.state(ben, job_id),
        lambda: jobs.detail(ben, job_id),
        lambda: jobs.document(ben, job_id),
        lambda: jobs.file(ben, job_id, "output"),
        lambda: jobs.log(ben, job_id, "job.log"),
        lambda: jobs.cancel(ben, waiting),
        lambda: jobs.retry(ben, job_id),
        lambda: jobs.prioritise(ben, waiting, 1),
        lambda: jobs.remove(ben, job_id, with_film=True),
    ):
        with pytest.raises(JobUnknown) as refused:
            call()
        assert not isinstance(refused.value, JobConflict)
    assert desk.siding.farm.jobs.list() == before
    assert jobs.list(ben, JobQuery()).rows == []
    assert jobs.list(ben, JobQuery(user_id=desk.ann.user_id, username="ann")).rows == []
    assert jobs.whole(ben).lines == []
    assert len(jobs.list(desk.mia, JobQuery()).rows) == 2
    assert jobs.state(desk.mia, job_id).username == "ann"


def test_operators_keep_their_hands_off_the_order_of_the_queue(desk: Desk) -> None:
    one, other = desk.store(desk.ann), desk.store(desk.ann)
    high = desk.store(desk.ann, priority=8)
    for call in (
        lambda: desk.jobs.to_front(desk.ann, one),
        lambda: desk.jobs.put_before(desk.ann, other, one),
        lambda: desk.jobs.prioritise(desk.ann, one, 6),
        lambda: desk.jobs.prioritise(desk.ann, high, 1),
        lambda: desk.jobs.pause_queue(desk.ann, Queue.DEFAULT, True),
    ):
        with pytest.raises(NotAllowed):
            call()
    assert desk.jobs.prioritise(desk.ann, one, 1).priority == 1
    assert desk.jobs.to_front(desk.mia, one).priority == 9
    desk.jobs.put_before(desk.mia, other, one)
    lines = [line.state.job_id for line in desk.jobs.whole(desk.mia).lines]
    assert lines == [other, one, high]


def test_a_waiting_job_knows_who_comes_first_and_when_its_turn_is(desk: Desk) -> None:
    desk.siding.register()
    first, second = desk.store(desk.ben), desk.store(desk.ann)
    detail = desk.jobs.detail(desk.ann, second)
    assert (detail.ahead, detail.starts_in, detail.done_in) == (1, 60, 120)
    assert [one.what for one in detail.history] == ["submit"]
    whole = desk.jobs.whole(desk.ann)
    [line] = whole.lines
    assert (line.state.job_id, line.ahead, line.done_in) == (second, 1, 120)
    view = next(one for one in whole.queues if one.queue is Queue.DEFAULT)
    assert (view.waiting, view.running, view.seconds_left) == (2, 0, 120)
    assert whole.seconds_left == 120
    desk.jobs.cancel(desk.mia, first)
    assert desk.jobs.detail(desk.ann, second).ahead == 0
    assert desk.jobs.detail(desk.mia, first).ahead is None


def test_jobs_of_a_paused_queue_have_no_estimate_and_what_runs_goes_on(desk: Desk) -> None:
    desk.siding.register()
    running, waiting = desk.store(desk.ann), desk.store(desk.ann)
    large = desk.store(desk.ann, enable_4k=True)
    assert desk.siding.farm.leases.claim("pc1", running, None)
    stopped = desk.jobs.pause_queue(desk.mia, Queue.DEFAULT, True)
    assert (stopped.is_paused, stopped.by) == (True, "mia")
    whole = desk.jobs.whole(desk.ann)
    outlook = {line.state.job_id: (line.starts_in, line.done_in) for line in whole.lines}
    assert outlook[waiting] == (None, None)
    assert outlook[running] == (None, 60)
    assert outlook[large][0] == 60
    assert whole.seconds_left is None
    views = {one.queue: one for one in whole.queues}
    assert views[Queue.DEFAULT].pause.is_paused
    assert views[Queue.DEFAULT].seconds_left is None
    assert views[Queue.UHD].seconds_left is not None
    assert views[Queue.GPU].seconds_left == 0
    desk.jobs.pause_queue(desk.mia, Queue.DEFAULT, False)
    assert desk.jobs.detail(desk.ann, waiting).starts_in == 60


def test_a_job_comes_back_as_the_document_of_another_one_like_it(desk: Desk, clip: Path) -> None:
    asked = clip_job(clip, enable_4k=True, loudness=True)
    asked["items"][0] |= {"start": 0.1, "end": 0.7, "text_animation_text": "hi {\\b1}"}
    first = desk.jobs.submit(desk.ann, asked, Wanted()).state
    document = json.loads(json.dumps(desk.jobs.document(desk.ann, first.job_id)))
    second = desk.jobs.submit(desk.ann, document, Wanted()).state
    assert second.job_id != first.job_id
    assert desk.jobs.document(desk.ann, second.job_id) == document
    assert second.frames == first.frames


def test_a_films_files_and_logs_are_found_while_they_are_there(desk: Desk) -> None:
    job_id, film = desk.film(desk.ann)
    for kind, suffix in FILES.items():
        assert desk.jobs.file(desk.ann, job_id, kind) == film.with_suffix(suffix)
    for name in LOGS:
        assert desk.jobs.log(desk.ann, job_id, name).read_text() == name
    for name in ("", "../job.log", "other.log", "\0"):
        with pytest.raises(NotFound):
            desk.jobs.log(desk.ann, job_id, name)
    film.unlink()
    with pytest.raises(NotFound, match="not where the server can read it"):
        desk.jobs.file(desk.ann, job_id, "output")
    waiting = desk.store(desk.ann)
    with pytest.raises(NotFound, match="it is queued"):
        desk.jobs.file(desk.ann, waiting, "output")
    with pytest.raises(NotFound, match="no log yet"):
        desk.jobs.log(desk.ann, waiting, "job.log")


def test_a_job_is_cancelled_and_queued_again(desk: Desk) -> None:
    job_id = desk.store(desk.ann)
    assert desk.jobs.cancel(desk.ann, job_id).status is JobStatus.CANCELLED
    with pytest.raises(JobConflict):
        desk.jobs.cancel(desk.ann, job_id)
    assert desk.jobs.retry(desk.mia, job_id).status is JobStatus.QUEUED
    assert desk.siding.queue.sent == [(job_id, Queue.DEFAULT)]
    assert [one.actor for one in desk.siding.farm.jobs.history(job_id)] == [None, "ann", "mia"]


def test_an_ended_job_is_removed_and_its_film_only_if_that_is_wanted(desk: Desk) -> None:
    kept_id, kept = desk.film(desk.ann)
    gone_id, gone = desk.film(desk.ann)
    desk.jobs.remove(desk.ann, kept_id)
    desk.jobs.remove(desk.ann, gone_id, with_film=True)
    assert kept.exists()
    assert not any(gone.with_suffix(suffix).exists() for suffix in FILES.values())
    assert not [path for path in desk.siding.out.iterdir() if path.name.startswith(".")]
    for job_id in (kept_id, gone_id):
        with pytest.raises(JobUnknown):
            desk.jobs.state(desk.ann, job_id)


def test_a_job_that_runs_or_waits_is_not_removed_nor_its_film(desk: Desk) -> None:
    waiting = desk.store(desk.ann)
    desk.siding.register()
    running = desk.store(desk.ann, priority=9)
    claim = desk.siding.farm.leases.claim("pc1", running, None)
    assert claim is not None
    film = desk.siding.out / "film.mp4"
    film.write_bytes(b"of an earlier turn")
    desk.siding.farm.leases.started(claim.lease, "/logs", str(film))
    for job_id in (waiting, running):
        with pytest.raises(JobConflict):
            desk.jobs.remove(desk.ann, job_id, with_film=True)
    assert film.exists()
    assert desk.siding.farm.leases.beat(claim.lease, stage="rendering", progress=1).holds


def test_a_film_that_cant_be_removed_keeps_its_job(desk: Desk) -> None:
    job_id, film = desk.film(desk.ann)
    away = film.parent.rename(film.parent.with_name("away"))
    with pytest.raises(OutputUnusable, match="can't be reached"):
        desk.jobs.remove(desk.ann, job_id, with_film=True)
    assert desk.jobs.state(desk.ann, job_id).status is JobStatus.COMPLETED
    away.rename(film.parent)
    assert film.exists()


def test_ids_that_are_none_are_unknown(desk: Desk) -> None:
    for job_id in ("", "x", "\0", "\ud800", "../..", "0" * 36):
        for call in (desk.jobs.detail, desk.jobs.cancel, desk.jobs.retry, desk.jobs.remove):
            with pytest.raises(ReelyardError) as refused:
                call(desk.mia, job_id)
            assert isinstance(refused.value, JobUnknown)
