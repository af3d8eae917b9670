"""Examining a job whose files lie on shares without a mount: within limits, and what is beyond them is the worker's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.domain.errors import Cancelled, JobRejected, Problem, SourcesUnavailable
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.share import Direct
from reelyard.files.places import Source
from reelyard.services.bring import Bring
from reelyard.services.budget import Limits
from reelyard.services.submit import Submit, Submitted
from reelyard.settings import ShareSetting
from tests.conftest import Clips

from .conftest import PATIENCE, Siding, wait_for

NO_TIME = Limits(seconds=0.0, size=1 << 40)
NO_ROOM = Limits(seconds=PATIENCE, size=10)
ONE_SECOND = Limits(seconds=1.0, size=1 << 40)
Make = Callable[..., Siding]
Item = dict[str, Any]


class Slow(MemoryFileSystem):  # type: ignore[misc]
    """A store that hands out no file before it is let; ``asked`` counts who wanted one."""

    def __init__(self) -> None:
        super().__init__(skip_instance_cache=True)
        self.goes = threading.Event()
        self.asked = 0

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        self.asked += 1
        assert self.goes.wait(PATIENCE)
        return super()._open(path, mode, **options)


@dataclass(frozen=True)
class Connected:
    """Reaches all shares through one store."""

    fs: MemoryFileSystem

    def source(self, direct: Direct, named: str) -> Source:
        return Source(self.fs, "/clips/" + direct.path, named)


@dataclass
class Counted:
    """A catalogue that knows these, and remembers what it was asked."""

    known: Mapping[str, str]
    asked: list[set[str]] = field(default_factory=list)

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        self.asked.append(set(video_ids))
        return {one: self.known[one] for one in video_ids if one in self.known}


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    files = MemoryFileSystem(skip_instance_cache=True)
    yield files
    files.store.clear()


@pytest.fixture
def pc1(tmp_path: Path, store: MemoryFileSystem) -> Iterator[Siding]:
    """A machine with one share that it reaches through a connection."""
    made = Siding(tmp_path / "pc1", {"shares": (ShareSetting(name="memory://clips"),)})
    yield made
    made.close()


@pytest.fixture
def clip(clips: Clips) -> Path:
    return clips.video("shares.mp4", seconds=1)


def put(store: MemoryFileSystem, name: str, data: bytes) -> Item:
    """A file of the store; the item that shows it."""
    with closing(store.open(f"/clips/{name}", "wb")) as file:
        file.write(data)
    return {"item_type": "video", "path": f"memory://clips/{name}"}


def within(siding: Siding, limits: Limits, **changes: Any) -> Submit:
    """Submits jobs that are examined within these limits."""
    submit = siding.submitting
    return replace(submit, bring=replace(submit.bring, examination=limits, **changes))


def through(bring: Bring, fs: MemoryFileSystem) -> Bring:
    places = replace(bring.fetch.places, connections=Connected(fs))
    return replace(bring, fetch=replace(bring.fetch, places=places))


def submitted(siding: Siding, submit: Submit, *items: Item, **job: Any) -> Submitted:
    return submit(siding.job(*items, **job), siding.user)


def left(done: Submitted) -> list[tuple[int | None, str]]:
    return [(one.position, one.message) for one in done.warnings if one.code == "not_examined"]


def test_within_the_limits_everything_is_looked_at_before_the_job_is_queued(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    good, bad = put(store, "a.mp4", clip.read_bytes()), put(store, "b.mp4", b"no film at all")
    assert left(submitted(pc1, pc1.submitting, good)) == []
    with pytest.raises(JobRejected) as refusal:
        submitted(pc1, pc1.submitting, good, bad)
    assert [one.position for one in refusal.value.problems] == [2]


@pytest.mark.parametrize("limits", [NO_TIME, NO_ROOM])
def test_what_is_beyond_the_limits_is_said_and_left_to_the_worker(
    pc1: Siding, store: MemoryFileSystem, clip: Path, limits: Limits
) -> None:
    items = put(store, "a.mp4", clip.read_bytes()), {"item_type": "video", "path": clip}
    done = submitted(pc1, within(pc1, limits), *items)
    assert [position for position, _ in left(done)] == [1]
    assert "its file lies on a share" in left(done)[0][1]
    assert any("item 1" in line for line in done.state.warnings)
    assert done.state.frames == 60  # one second is known, and the other item's taken to be alike
    assert pc1.leftovers() == []


def test_a_job_of_which_nothing_could_be_looked_at_is_queued_all_the_same(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    one = put(store, "a.mp4", clip.read_bytes())
    submit = within(pc1, NO_TIME)
    done = submitted(pc1, submit, one, {**one, "end": 0.5})
    assert [position for position, _ in left(done)] == [1, 2]
    assert done.state.frames == 60 * 30 + 15  # a minute where nothing is known
    checked = submit.preflight(pc1.job(one))
    assert (checked.plan.frames, checked.guessed, len(checked.warnings)) == (0, 1800, 1)


def test_a_bad_clip_that_was_not_looked_at_ends_as_the_job_says(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    items = put(store, "bad.mp4", b"no film"), put(store, "good.mp4", clip.read_bytes())
    strict = submitted(pc1, within(pc1, NO_TIME), *items).state.job_id
    lenient = submitted(pc1, within(pc1, NO_TIME), *items, on_bad_item="skip").state.job_id
    assert pc1.worker()(strict, None) is JobStatus.FAILED
    assert "item 1" in (pc1.state(strict).error_message or "")
    assert pc1.worker()(lenient, None) is JobStatus.COMPLETED


def test_what_is_known_to_be_wrong_still_turns_the_job_down(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    one = put(store, "a.mp4", clip.read_bytes())
    wrong = {"item_type": "video", "path": "/nowhere.mp4"}
    with pytest.raises(JobRejected) as refusal:
        submitted(pc1, within(pc1, NO_TIME), one, wrong)
    assert [one.position for one in refusal.value.problems] == [2]
    done = submitted(pc1, within(pc1, NO_TIME), one, wrong, on_bad_item="skip")
    assert [(one.position, one.code) for one in done.warnings] == [
        (2, "missing"),
        (1, "not_examined"),
    ]


def test_problems_of_the_document_are_told_together_with_what_was_found(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    one = put(store, "a.mp4", clip.read_bytes())
    known = Problem(code="typo", message="no such field", remedy="Correct it")
    with pytest.raises(JobRejected) as refusal:
        within(pc1, NO_TIME).preflight(pc1.job(one), [known])
    assert refusal.value.problems == (known,)


def test_copies_that_take_too_long_are_stopped_and_gone_on_with_next_time(
    pc1: Siding, clip: Path
) -> None:
    """The request comes back, though the share does not answer; what is there by then counts next time."""
    slow = Slow()
    one = put_slowly(slow, clip)
    submit = within(pc1, ONE_SECOND)
    submit = replace(submit, bring=through(submit.bring, slow))
    assert [position for position, _ in left(submitted(pc1, submit, one))] == [1]
    assert slow.asked == 1
    slow.goes.set()
    assert left(submitted(pc1, submit, one)) == []
    asked = slow.asked
    assert left(submitted(pc1, submit, one)) == []
    assert slow.asked == asked  # it is here
    slow.store.clear()


def put_slowly(slow: Slow, clip: Path) -> Item:
    slow.goes.set()
    item = put(slow, "a.mp4", clip.read_bytes())
    slow.goes.clear()
    slow.asked = 0
    return item


def test_nothing_is_copied_for_who_has_left(pc1: Siding, clip: Path) -> None:
    slow = Slow()
    one = put_slowly(slow, clip)
    submit = replace(pc1.submitting, bring=through(pc1.submitting.bring, slow))

    def leave() -> None:
        if slow.asked:
            raise Cancelled("nobody waits for the answer any more")

    with pytest.raises(Cancelled, match="nobody waits"):
        submit(pc1.job(one), pc1.user, check=leave)
    slow.goes.set()
    assert pc1.farm.jobs.list() == []
    wait_for(lambda: not pc1.farm.fetch.copies.pins(), "the copies to be let go of")
    slow.store.clear()


def test_where_many_are_examined_the_next_one_does_not_wait_longer_than_its_time(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    one = put(store, "a.mp4", clip.read_bytes())
    nobody = threading.Semaphore(0)
    done = submitted(pc1, within(pc1, ONE_SECOND, turns=nobody), one)
    assert [position for position, _ in left(done)] == [1]
    local = {"item_type": "video", "path": clip}
    assert left(submitted(pc1, within(pc1, NO_TIME, turns=nobody), local)) == []


def test_a_draft_does_not_keep_the_others_waiting_for_its_files(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    job = pc1.job(put(store, "a.mp4", clip.read_bytes()))
    bring = pc1.farm.reelyard.bring
    with bring.for_draft(job) as here:
        assert Path(here.items[0].path).read_bytes() == clip.read_bytes()
    other = pc1.job(put(store, "b.mp4", clip.read_bytes()))
    with (
        pytest.raises(SourcesUnavailable, match="takes too long for a draft"),
        replace(bring, draft=NO_ROOM).for_draft(other),
    ):
        raise AssertionError("there is nothing to make a draft of")
    assert pc1.leftovers() == []


def test_the_catalogue_is_asked_once_of_a_job_also_for_what_it_does_not_know(
    pc1: Siding, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, "a.mp4", clip.read_bytes())
    catalogue = Counted({"a": "memory://clips/a.mp4", "b": str(clip)})
    submit = pc1.submitting
    submit = replace(
        submit,
        planning=replace(submit.planning, catalogue=lambda: catalogue),
        bring=replace(submit.bring, catalogue=lambda: catalogue),
    )
    items = [{"item_type": "video", "video_id": one} for one in ("a", "who", "b")]
    with pytest.raises(JobRejected) as refusal:
        submitted(pc1, submit, *items)
    assert [(one.position, one.code) for one in refusal.value.problems] == [(2, "unknown_video")]
    assert catalogue.asked == [{"a", "b", "who"}]
