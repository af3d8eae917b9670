"""Machines that share their segments: what one rendered the others don't, and none of them needs the store."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelyard.files.job_log import JobLog
from reelyard.files.segment_cache import SegmentCache
from reelyard.services.doctor import Verdict, store_finding
from reelyard.services.made import PICTURE_SUFFIX
from reelyard.services.progress import Progress, Stage
from reelyard.services.render_job import Rendered
from reelyard.services.segments import Segments
from tests.conftest import Clips, Studio
from tests.s3_server import S3Server

PARTS = 4


Items = list[dict[str, Any]]


@pytest.fixture(scope="module")
def items(clips: Clips) -> Items:
    """A clip of four segments, with sound."""
    return [{"item_type": "video", "path": str(clips.video("shared.mp4", seconds=2))}]


@dataclass(frozen=True)
class First:
    """What the first machine came to: its film, and what it left in the store."""

    rendered: Rendered
    film: bytes
    store: Path
    cache: SegmentCache


@pytest.fixture(scope="module")
def first(items: Items, tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("first")
    studio = machine(folder, "first", str(folder / "store"))
    rendered = studio.render(*items)
    return First(rendered, bytes_of(rendered), folder / "store", studio.reelyard().cache)


@pytest.fixture
def store(first: First, tmp_path: Path) -> Path:
    """The first machine's store, for one test alone."""
    return Path(shutil.copytree(first.store, tmp_path / "store"))


def machine(folder: Path, name: str, store: str, **settings: Any) -> Studio:
    """A machine with caches of its own."""
    (folder / name).mkdir(exist_ok=True)
    return SharingStudio(folder / name, {"segment_store": store, **settings})


class SharingStudio(Studio):
    """A studio whose settings are the same for each film."""

    def __init__(self, folder: Path, shared: dict[str, Any]) -> None:
        super().__init__(folder)
        object.__setattr__(self, "shared", shared)

    def settings(self, **changes: Any) -> Any:
        own: dict[str, Any] = self.__dict__["shared"]
        return super().settings(segment_seconds=0.5, **{**own, **changes})


def bytes_of(film: Rendered) -> bytes:
    return Path(str(film.output)).read_bytes()


def story(film: Rendered) -> str:
    return (film.log_folder / "job.log").read_text()


def bucket(s3: S3Server) -> str:
    name = f"b{uuid.uuid4().hex[:20]}"
    s3.bucket(name)
    return f"s3://{name}"


def row(s3: S3Server, root: str, **changes: Any) -> dict[str, Any]:
    """The row of a bucket in the table of shares, as it is written for an S3 that is not Amazon's."""
    return {"name": root, "endpoint": s3.url, "key": s3.key, "secret": s3.secret, **changes}


def test_the_second_machine_renders_nothing_and_its_film_has_the_same_bytes(
    tmp_path: Path, items: Items, first: First, store: Path
) -> None:
    assert first.rendered.cached == 0
    assert f"{PARTS + 2} were put there" in story(first.rendered)
    second = machine(tmp_path, "second", str(store)).render(*items)
    # The sound is there as a whole: its pieces are not asked for.
    assert (second.cached, second.rendered) == (PARTS + 1, 0)
    assert bytes_of(second) == first.film
    assert f"{PARTS + 1} segments came from there, 0 were put there" in story(second)
    again = machine(tmp_path, "second", str(store)).render(*items)
    assert again.rendered == 0 and "came from there" not in story(again), "it has its own now"
    changed = machine(tmp_path, "third", str(store)).render(*items, *items)
    assert changed.cached == PARTS + 1 and changed.rendered == 1, "all but the sound of the whole"


def test_the_same_in_a_bucket(tmp_path: Path, items: Items, first: First, s3: S3Server) -> None:
    root = bucket(s3)
    settings: dict[str, Any] = {"store": f"{root}/farm", "shares": [row(s3, root)]}
    one = machine(tmp_path, "one", **settings).render(*items)
    assert (one.cached, one.rendered) == (0, PARTS + 2)
    other = machine(tmp_path, "other", **settings).render(*items)
    assert (other.cached, other.rendered) == (PARTS + 1, 0)
    assert bytes_of(one) == bytes_of(other) == first.film


def test_a_damaged_segment_is_made_again(
    tmp_path: Path, items: Items, first: First, store: Path
) -> None:
    entry = sorted(store.glob(f"entries/*/*{PICTURE_SUFFIX}"))[0]
    whole = entry.read_bytes()
    entry.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    second = machine(tmp_path, "second", str(store)).render(*items)
    assert (second.cached, second.rendered) == (PARTS, 1)
    assert bytes_of(second) == first.film
    assert entry.read_bytes()[:1000] == whole[:1000], "and put there again"


def test_what_other_graphics_cards_wrote_differently_is_rendered_here(
    tmp_path: Path, items: Items, first: First, store: Path
) -> None:
    odd = list(first.rendered.plan.picture)[2]
    entry = first.cache.take(odd.key, PICTURE_SUFFIX, tmp_path / "odd.mp4")
    assert entry is not None
    facts = {**entry.note["facts"], "sets": "of another kind"}
    studio = machine(tmp_path, "second", str(store))
    shared = studio.reelyard().store
    assert shared and shared.put(odd.key, PICTURE_SUFFIX, tmp_path / "odd.mp4", facts)
    second = studio.render(*items)
    assert (second.cached, second.rendered) == (PARTS, 1)
    assert bytes_of(second) == first.film
    assert "rendering 1 segments of other machines again" in story(second)


def test_a_store_that_goes_in_the_middle_costs_nothing_but_a_note(
    tmp_path: Path, items: Items, s3: S3Server
) -> None:
    root = bucket(s3)
    gone = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.stage is Stage.RENDERING and progress.frames_done and not gone.is_set():
            gone.set()
            s3.stop()

    studio = machine(tmp_path, "first", root, shares=[row(s3, root)])
    try:
        film = studio.render(*items, watcher=watch)
    finally:
        s3.start() if gone.is_set() else None
    assert film.rendered == PARTS + 2 and film.output.exists()
    assert f"segment store {root}: could not connect" in story(film).lower()
    assert s3.secret not in story(film)


def test_wrong_credentials_cost_nothing_but_a_note(
    tmp_path: Path, clips: Clips, s3: S3Server
) -> None:
    root = bucket(s3)
    studio = machine(tmp_path, "first", root, shares=[row(s3, root, secret="wrong-but-secret")])
    film = studio.render({"item_type": "image", "path": clips.picture("a.png"), "duration": 0.5})
    assert film.rendered == 2
    assert "signature" in story(film) and "wrong-but-secret" not in story(film)
    shared = studio.reelyard().store
    assert shared is not None
    finding = store_finding(shared)
    assert finding.verdict is Verdict.FAILED and "goes on without it" in finding.remedy
    assert "wrong-but-secret" not in finding.message


def test_the_doctor_says_where_segments_are_shared(tmp_path: Path, s3: S3Server) -> None:
    root = bucket(s3)
    in_bucket: dict[str, Any] = {"store": root, "shares": [row(s3, root)]}
    for settings in ({"store": str(tmp_path / "folder")}, in_bucket):
        shared = machine(tmp_path, "first", **settings).reelyard().store
        assert shared is not None
        finding = store_finding(shared)
        assert finding.verdict is Verdict.OK and settings["store"] in finding.message


def test_a_finished_film_leaves_a_list_of_what_it_used(
    tmp_path: Path, items: Items, store: Path
) -> None:
    assert not (store / "uses").exists(), "the first one used nothing"
    machine(tmp_path, "second", str(store)).render(*items)
    lists = [json.loads(path.read_text()) for path in (store / "uses").iterdir()]
    assert [len(one) for one in lists] == [PARTS + 1]


def test_a_store_that_answers_slowly_is_not_asked_for_everything(
    tmp_path: Path, store: Path, first: First
) -> None:
    shared = machine(tmp_path, "second", str(store)).reelyard().store
    ticks = itertools.count(step=3)  # seconds that each answer takes
    with (
        closing(JobLog(tmp_path / "log", str)) as log,
        Segments(first.cache, shared, log, lambda: None, lambda: float(next(ticks))) as segments,
    ):
        for number in range(100):
            assert segments.take(f"{number:064}", PICTURE_SUFFIX, tmp_path / "into") is None
    assert next(ticks) == 3 * 2 * 7, "after 21 seconds it was left alone"
    assert "it took 21 s to say 7 times that it has nothing" in log_of(tmp_path)


def log_of(folder: Path) -> str:
    return (folder / "log" / "job.log").read_text()
