"""What is handed over between machines: keys, terms, and the places where they meet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.domain.job import Job
from reelyard.domain.output import HD, UHD, draft_form
from reelyard.domain.plan import Encoding
from reelyard.files.segment_cache import SegmentCache
from reelyard.files.segment_store import SegmentStore
from reelyard.services.handover import found, meeting_places, misfit, offered, terms_of
from reelyard.services.job_file import parse_job
from tests.conftest import Clips, Studio

ENCODING = Encoding(encoder="libx264", options=("-crf", "18"), ffmpeg_version="9")


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """An object store, for all who ask in this process."""
    fs = MemoryFileSystem()
    yield fs
    fs.store.clear()


def job_of(studio: Studio, *items: dict[str, Any]) -> Job:
    document = {"channel_name": "Tests", "items": list(items)}
    return parse_job(json.loads(json.dumps(document, default=str)), studio.folder)


def folder_store(root: Path) -> SegmentStore:
    return SegmentStore(LocalFileSystem, str(root), 1 << 30, name="the store")


def test_a_cache_is_called_the_same_by_all_who_use_it(tmp_path: Path) -> None:
    """Also where they ask for the first time, at the same moment; another cache is called otherwise."""
    root = tmp_path / "not" / "made"
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: SegmentCache(root, 1).identity(), range(32)))
    assert len(names) == 1
    assert SegmentCache(tmp_path / "other", 1).identity() not in names


@pytest.mark.parametrize("damage", [b"", b"half of it", b"\xff" * 32])
def test_a_damaged_name_of_a_cache_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    cache = SegmentCache(tmp_path, 1)
    before = cache.identity()
    (tmp_path / "identity").write_bytes(damage)
    assert cache.identity() != before
    assert cache.identity() == SegmentCache(tmp_path, 1).identity()


def test_clearing_a_cache_keeps_its_name(tmp_path: Path) -> None:
    cache = SegmentCache(tmp_path, 1)
    before = cache.identity()
    cache.clear()
    cache.trim()
    assert cache.identity() == before


def test_a_store_is_called_the_same_wherever_it_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "store")
    names = {folder_store(tmp_path / one).identity() for one in ("store", "elsewhere")}
    assert len(names) == 1 and None not in names
    assert folder_store(tmp_path / "other").identity() not in names


def test_an_object_store_is_called_the_same_by_all(memory: MemoryFileSystem) -> None:
    def store(root: str) -> SegmentStore:
        return SegmentStore(lambda: memory, root, 1 << 30, name="the store")

    name = store("/bucket/segments").identity()
    assert name and store("/bucket/segments").identity() == name
    assert store("/bucket/others").identity() != name


def test_a_store_that_is_away_is_no_meeting_place(tmp_path: Path) -> None:
    def away() -> LocalFileSystem:
        raise OSError("no route to host")

    cache = SegmentCache(tmp_path, 1)
    store = SegmentStore(away, "/segments", 1, name="the store")
    assert store.identity() is None
    assert meeting_places(cache, store) == meeting_places(cache, None) == (
        f"cache {cache.identity()}",
    )  # fmt: skip


def test_machines_meet_in_the_store_or_in_the_cache(tmp_path: Path) -> None:
    def places(cache: str, store: str | None) -> set[str]:
        made = store and folder_store(tmp_path / store)
        return set(meeting_places(SegmentCache(tmp_path / cache, 1), made or None))

    assert places("a", None).isdisjoint(places("b", None))
    assert places("a", "store").isdisjoint(places("b", None))
    assert places("a", "store") & places("b", "store")
    assert places("a", None) & places("a", "store")


def test_equal_terms_fit() -> None:
    ours = terms_of(ENCODING, HD, ("cache a", "store s"))
    assert misfit(ours, terms_of(ENCODING, HD, ("cache b", "store s"))) == ""


@pytest.mark.parametrize(
    "other",
    [
        terms_of(replace(ENCODING, ffmpeg_version="10"), HD, ("s",)),
        terms_of(replace(ENCODING, encoder="h264_nvenc"), HD, ("s",)),
        terms_of(replace(ENCODING, options=("-crf", "19")), HD, ("s",)),
        terms_of(replace(ENCODING, device="a card"), HD, ("s",)),
        terms_of(ENCODING, UHD, ("s",)),
        terms_of(ENCODING, draft_form(HD), ("s",)),
        terms_of(ENCODING, HD, ("t",)),
        terms_of(ENCODING, HD, ()),
    ],
)
def test_whatever_changes_bytes_or_keeps_machines_apart_does_not_fit(other: object) -> None:
    assert misfit(terms_of(ENCODING, HD, ("s",)), other)  # type: ignore[arg-type]


def test_a_segment_of_the_film_is_found_in_a_plan_of_its_item_alone(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    """By its key, whatever comes before it in the film; an unknown key is not."""
    first, second = (clips.video(f"handed-{n}.mp4", seconds=n) for n in (1, 2))
    planning = studio.reelyard(segment_seconds=0.5).planning
    job = job_of(
        studio,
        {"item_type": "intro", "path": first},
        {"item_type": "video", "path": second, "text_animation_text": "Hello"},
        {"item_type": "image", "path": clips.picture("handed.png"), "duration": 1},
    )
    whole = planning.prepare(job).plan
    for item in whole.items:
        alone = replace(job, items=(job.items[item.position - 1],))
        (planned,) = planning.prepare(alone).plan.items
        for segment in item.picture:
            told = offered(segment)
            assert (told.position, told.part) == (segment.position, segment.part)
            again = found(planned, told.key)
            assert again is not None and again.recipe == segment.recipe
            assert told.frames == len(again.frames)
        assert found(planned, "0" * 64) is None


def test_what_the_processor_makes_instead_of_the_card_is_found_as_well(
    studio: Studio, clips: Clips
) -> None:
    job = job_of(studio, {"item_type": "intro", "path": clips.video("handed-1.mp4", seconds=1)})
    (item,) = studio.reelyard().planning.prepare(job).plan.items
    (spare,) = item.picture
    on_card = replace(spare, key="c" * 64, spare=spare)
    planned = replace(item, picture=(on_card,))
    assert found(planned, on_card.key) == on_card
    assert found(planned, spare.key) == spare
