"""One owner at a time: messages that come five times, workers that come back after their lease expired."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from reelyard.domain.farm import AttemptOutcome, Submission
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.services.job_file import parse_job
from reelyard.store.outbox import Outbox
from reelyard.store.schema import metadata, outbox
from tests.conftest import Clips

from .yard import WorkerProcess, Yard, wait_for

COPIES = 5
ROWS = ("jobs", "job_items", "job_attempts", "job_segments", "compilation_results", "events")


def film_files(yard: Yard, job_id: str) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything that was published for a job: inode, times and bytes."""
    out = yard.folder / "out"
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_ctime_ns,
                    path.read_bytes())
        for path in sorted(out.iterdir()) if job_id in path.name
    }  # fmt: skip


def rows(yard: Yard, job_id: str) -> dict[str, list[str]]:
    """All that the database says about a job."""
    found = {}
    with yard.farm.reelyard.database.reading() as connection:
        for table in ROWS:
            columns = metadata.tables[table].c
            query = sa.select(*columns).where(columns.job_id == job_id)
            found[table] = sorted(map(repr, connection.execute(query)))
        posted = sa.select(outbox).where(outbox.c.name.like(f"{job_id}:%"))
        found["outbox"] = sorted(map(repr, connection.execute(posted)))
    return found


def settled(yard: Yard, job_id: str) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """What there is of a completed job once its result has been delivered."""
    assert len(yard.results(job_id)) == 1
    wait_for(lambda: not Outbox(yard.farm.reelyard.database).due(), "the delivery to be noted")
    return rows(yard, job_id), film_files(yard, job_id)


def commands(yard: Yard, job_id: str) -> Counter[str]:
    """How often each FFmpeg command was run for a job, whatever folder it ran in."""
    said = yard.log_so_far(job_id, "ffmpeg_cmd.txt").splitlines()
    return Counter(line.partition(" && ")[2] or line for line in said)


@pytest.fixture
def trio(database_url: str, tmp_path: Path) -> Iterator[Yard]:
    """Three workers, on either database; the broker is in nobody's hands but ours."""
    made = Yard(tmp_path / "yard", database_url, lease_seconds=60)
    with closing(made) as yard, yard.broker_kept():
        for name in ("pc1", "pc2", "pc3"):
            yard.start(name, wait=name == "pc1")
        wait_for(lambda: all(" ready." in one.said() for one in yard.started), "all three")
        yield yard


def test_a_message_that_comes_five_times_at_once_is_one_render(trio: Yard, clips: Clips) -> None:
    """To three workers who wait for one, and once more when all is done."""
    clip = clips.video("five.mp4", seconds=2)
    items = [{"item_type": "video", "path": str(clip), "end": 1}]
    job = parse_job({"channel_name": "Yard", "items": items}, trio.folder)
    user = trio.farm.profiles.local("tester")
    trio.farm.jobs.add(job, Submission(user_id=user, frames=30))
    together = threading.Barrier(COPIES)

    def send() -> None:
        together.wait()
        trio.farm.sender.send(job.job_id, Queue.DEFAULT)

    senders = [threading.Thread(target=send) for _ in range(COPIES)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    state = trio.wait_for_end(job.job_id)
    assert state.status is JobStatus.COMPLETED, state
    wait_for(lambda: said(trio, "nothing to take") == COPIES - 1, "the other four to be seen")
    before = settled(trio, job.job_id)
    trio.farm.sender.send(job.job_id, Queue.DEFAULT)
    wait_for(lambda: said(trio, "nothing to take") == COPIES, "one more to be turned away")
    wait_for(lambda: waiting(trio) == 0, "every message to be acknowledged")
    assert settled(trio, job.job_id) == before
    assert trio.outcomes(job.job_id) == [(state.worker_id, AttemptOutcome.COMPLETED)]
    assert state.token == 1
    assert set(commands(trio, job.job_id).values()) == {1}
    assert trio.log_so_far(job.job_id).count("taken by") == 1
    assert len(film_files(trio, job.job_id)) == 3
    took = [one for one in trio.started if " received" in one.said()]
    assert len(took) >= 2, "no two workers had it"


def said(yard: Yard, words: str) -> int:
    """How often the workers said this."""
    return sum(one.said().count(words) for one in yard.started)


def waiting(yard: Yard) -> int:
    """Messages that somebody has still to take, or to acknowledge."""
    broker = yard.farm.embedded
    assert broker is not None
    with closing(redis.Redis(unix_socket_path=str(broker.socket))) as client:
        queued = [client.llen(queue.value) for queue in Queue]
        return sum(map(int, [*queued, client.hlen("unacked")]))


class Frozen:
    """A job whose worker is stopped in the middle of it, as by SIGSTOP or a laptop's lid."""

    def __init__(self, yard: Yard, clips: Clips) -> None:
        self.yard = yard
        self.still = {"item_type": "image", "duration": 0.2, "path": clips.picture("frozen.png")}
        clip = clips.video("frozen.mp4", seconds=1.5)
        self.job_id = yard.submit({"item_type": "video", "path": clip})

    @cached_property
    def worker(self) -> WorkerProcess:
        """Who has it when this is first asked."""
        return self.yard.worker(self.yard.state(self.job_id).worker_id)

    def wait_for_log(self, words: str) -> None:
        wait_for(lambda: words in self.yard.log_so_far(self.job_id), words, every=0.005)

    def freeze_at(self, gate: Gate) -> None:
        wait_for(gate.waits, "the worker to be at the gate", every=0.005)
        self.worker.freeze()
        gate.open()

    def check(self) -> None:
        """Another worker completes the job; this one wakes up, writes nothing, and takes the next."""
        yard, job_id = self.yard, self.job_id
        state = yard.wait_for_end(job_id)
        assert state.status is JobStatus.COMPLETED, state
        assert state.worker_id != self.worker.name
        assert yard.outcomes(job_id) == [
            (self.worker.name, AttemptOutcome.LOST), (state.worker_id, AttemptOutcome.COMPLETED)
        ]  # fmt: skip
        before = settled(yard, job_id)
        self.worker.thaw()
        self.wait_for_log("somebody else has the job")
        wait_for(lambda: not yard.leftovers(), "its work folder to be gone")
        assert yard.ffmpegs() == []
        yard.farm.workers.tell(str(state.worker_id), Order.PAUSE)
        done = yard.wait_for_end(yard.submit(self.still))
        assert (done.status, done.worker_id) == (JobStatus.COMPLETED, self.worker.name)
        assert settled(yard, job_id) == before
        assert yard.leftovers() == []


@contextmanager
def pair(folder: Path, database_url: str) -> Iterator[Yard]:
    """Two workers; whoever of them is frozen, the broker is not."""
    with closing(Yard(folder, database_url, lease_seconds=2)) as yard, yard.broker_kept():
        yard.start("pc1")
        yard.start("pc2")
        yield yard


@contextmanager
def no_writer(yard: Yard) -> Iterator[None]:
    """Nobody is in the middle of a write, and nobody begins one.

    On SQLite there is one writer at a time: frozen in the middle it would hold up the whole farm,
    and a farm on SQLite is one machine, where everything freezes or nothing does.
    """
    with yard.farm.reelyard.database.writing():
        yield


def test_a_worker_frozen_while_it_renders_can_write_nothing(tmp_path: Path, clips: Clips) -> None:
    folder = tmp_path / "yard"
    with pair(folder, f"sqlite:///{folder / 'farm.db'}") as yard:
        one = Frozen(yard, clips)
        one.wait_for_log(" planned ")
        wait_for(yard.ffmpegs, "FFmpeg to run")
        with no_writer(yard):
            one.worker.freeze()
        one.check()


def test_a_worker_frozen_before_it_may_publish_can_not(tmp_path: Path, clips: Clips) -> None:
    """All is staged, and nobody has begun the job anew: it is the database that says no."""
    folder = tmp_path / "yard"
    with pair(folder, f"sqlite:///{folder / 'farm.db'}") as yard:
        one = Frozen(yard, clips)
        one.wait_for_log(" joined ")
        other = next(each.name for each in yard.started if each is not one.worker)
        yard.farm.workers.tell(other, Order.PAUSE)
        with no_writer(yard):
            wait_for(lambda: list((folder / "out").glob(".*/*.mp4")), "the film to be staged")
            one.worker.freeze()
        yard.wait_until(one.job_id, lambda state: state.status is JobStatus.QUEUED, "expiry")
        one.worker.thaw()
        one.wait_for_log("somebody else has the job")
        state = yard.wait_for_end(one.job_id)  # it takes the job again, for want of others
        assert yard.outcomes(one.job_id) == [
            (one.worker.name, AttemptOutcome.LOST), (one.worker.name, AttemptOutcome.COMPLETED)
        ], state  # fmt: skip
        first = yard.log_so_far(one.job_id).rpartition("taken by")[0]
        assert "published" not in first
        assert len(settled(yard, one.job_id)[1]) == 3
        assert yard.leftovers() == []


class Gate:
    """Has PostgreSQL wait at a certain change until we let it go on; made by a trigger of ours."""

    def __init__(self, url: str, when: str, *, at_commit: bool) -> None:
        self.engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        self.connection = self.engine.connect()
        kind = "CONSTRAINT TRIGGER" if at_commit else "TRIGGER"
        deferred = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
        for statement in (
            "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$",
            f"CREATE {kind} gate AFTER UPDATE ON jobs {deferred}"
            f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION gate()",
            "SELECT pg_advisory_lock(7)",
        ):
            self.connection.execute(sa.text(statement))

    def waits(self) -> bool:
        """Whether somebody stands at the gate."""
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(self.connection.scalar(sa.text(query)) == 1)

    def open(self) -> None:
        """For those who wait and for all who come."""
        self.connection.execute(sa.text("SELECT pg_advisory_unlock(7)"))
        wait_for(lambda: not self.waits(), "the gate to be passed")

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()


BEGUN = "OLD.log_folder IS NULL AND NEW.log_folder IS NOT NULL"
BEATS = "NEW.lease_until > OLD.lease_until"
PERMITTED = f"{BEATS} AND NEW.stage = 'publishing' AND NEW.progress = OLD.progress"
COMPLETED = "NEW.status = 'completed'"


@pytest.fixture
def gated(tmp_path: Path, postgres_url: str) -> Iterator[Callable[..., tuple[Yard, Gate]]]:
    with ExitStack() as stack:
        yard = stack.enter_context(pair(tmp_path / "yard", postgres_url))

        def make(when: str, *, at_commit: bool) -> tuple[Yard, Gate]:
            gate = Gate(postgres_url, when, at_commit=at_commit)
            return yard, stack.enter_context(closing(gate))

        yield make


Gated = Callable[..., tuple[Yard, Gate]]


def test_a_worker_frozen_at_the_start_of_its_turn_removes_nothing(
    gated: Gated, clips: Clips
) -> None:
    """It wakes up about to tidy up what earlier turns left, when a later one has published."""
    yard, gate = gated(BEGUN, at_commit=True)
    one = Frozen(yard, clips)
    one.freeze_at(gate)
    one.check()


def test_a_worker_frozen_between_permission_and_publishing_can_not_publish(
    gated: Gated, clips: Clips
) -> None:
    """The permission is committed, and it learns that only when another worker has published."""
    yard, gate = gated(PERMITTED, at_commit=True)
    one = Frozen(yard, clips)
    one.freeze_at(gate)
    wait_for(lambda: yard.state(one.job_id).stage == "publishing", "the permission to be committed")
    assert film_files(yard, one.job_id) == {}
    one.check()


def test_a_worker_frozen_in_the_middle_of_a_write_does_not_hold_up_the_farm(
    gated: Gated, clips: Clips
) -> None:
    """Its transaction is open, and the job's row locked, until the server ends that."""
    yard, gate = gated(BEATS, at_commit=False)
    one = Frozen(yard, clips)
    one.freeze_at(gate)
    one.check()


def test_a_worker_frozen_while_it_closes_the_books_has_closed_them(
    gated: Gated, clips: Clips
) -> None:
    """Nobody does the job again; when it wakes up it finds that all is done, and goes on."""
    yard, gate = gated(COMPLETED, at_commit=True)
    one = Frozen(yard, clips)
    one.freeze_at(gate)
    state = yard.wait_for_end(one.job_id)
    before = settled(yard, one.job_id)
    assert yard.outcomes(one.job_id) == [(one.worker.name, AttemptOutcome.COMPLETED)]
    one.worker.thaw()
    other = next(name for name in ("pc1@yard", "pc2@yard") if name != state.worker_id)
    yard.farm.workers.tell(other, Order.PAUSE)
    done = yard.wait_for_end(yard.submit(one.still))
    assert (done.status, done.worker_id) == (JobStatus.COMPLETED, one.worker.name)
    assert settled(yard, one.job_id) == before


def test_a_worker_killed_between_publishing_and_the_books_has_not_done_the_job(
    gated: Gated, clips: Clips
) -> None:
    """The film is there, nobody is told so; another worker publishes the same again."""
    yard, gate = gated(COMPLETED, at_commit=False)
    one = Frozen(yard, clips)
    wait_for(gate.waits, "the worker to be at the gate", every=0.005)
    assert yard.state(one.job_id).status is JobStatus.PROCESSING
    first = film_files(yard, one.job_id)
    one.worker.kill()
    gate.open()
    state = yard.wait_for_end(one.job_id)
    assert yard.outcomes(one.job_id) == [
        (one.worker.name, AttemptOutcome.LOST), (state.worker_id, AttemptOutcome.COMPLETED)
    ]  # fmt: skip
    second = settled(yard, one.job_id)[1]
    film = f"Yard_{one.job_id}.mp4"
    assert len(first) == len(second) == 3
    assert first[film][3] == second[film][3]
    assert yard.leftovers() == []
