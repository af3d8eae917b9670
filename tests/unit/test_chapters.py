"""Chapters in the file and in a description."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reelyard.domain.chapters import (
    Chapter,
    chapters_of,
    ffmetadata,
    tiled,
    youtube_list,
    youtube_shows,
)
from reelyard.domain.job import ItemType
from reelyard.domain.plan import PlannedItem, SoundSegment

TITLES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
NASTY = st.text(st.sampled_from(list("[]CHAPTER=;#\\\n\r\0\x0b ab")), min_size=1, max_size=30)


def planned(kind: ItemType, start: int, frames: int, title: str = "t") -> PlannedItem:
    silence = SoundSegment(key="k", position=1, samples=frames * 1600, recipe=None)
    return PlannedItem(
        position=1,
        item_type=kind,
        title=title,
        named="n",
        start=start,
        frames=frames,
        picture=(),
        sound=silence,
    )


def read_back(document: str) -> list[tuple[str, int, int]]:
    """The chapters (title, start, end) as FFmpeg's own reader finds them."""
    with av.open(io.BytesIO(document.encode()), format="ffmetadata") as container:
        return [
            (one["metadata"].get("title", ""), one["start"], one["end"])
            for one in container.chapters()
        ]


def test_only_video_items_make_chapters() -> None:
    items = [
        planned(ItemType.INTRO, 0, 90),
        planned(ItemType.VIDEO, 90, 300, "Park"),
        planned(ItemType.TRANSITION, 390, 30),
        planned(ItemType.IMAGE, 420, 150),
        planned(ItemType.VIDEO, 570, 60, "Lake"),
        planned(ItemType.OUTRO, 630, 90),
    ]
    assert chapters_of(items) == (Chapter("Park", 90, 390), Chapter("Lake", 570, 630))


def test_chapters_in_a_file_lie_side_by_side_from_the_first_frame_to_the_last() -> None:
    loose = (Chapter("Park", 90, 390), Chapter("Lake", 570, 630))
    assert tiled(loose, 720) == (Chapter("Park", 0, 570), Chapter("Lake", 570, 720))


def test_a_film_without_videos_has_no_chapters() -> None:
    assert chapters_of([planned(ItemType.IMAGE, 0, 90)]) == ()
    assert tiled((), 90) == ()
    assert ffmetadata(()) == ";FFMETADATA1\n"


def test_chapters_are_written_in_ffmpegs_format() -> None:
    assert ffmetadata([Chapter("A = B; #1 \\ C", 0, 90), Chapter("Lake", 90, 120)]) == (
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/30\nSTART=0\nEND=90\ntitle=A \\= B\\; \\#1 \\\\ C\n"
        "[CHAPTER]\nTIMEBASE=1/30\nSTART=90\nEND=120\ntitle=Lake\n"
    )


@given(st.lists(st.one_of(TITLES, NASTY), min_size=1, max_size=5))
@example(["A\0[CHAPTER]\0title"])  # FFmpeg ends a line at a zero byte too
@example(["ends in a backslash\\", "next"])  # FFmpeg takes the line's end for escaped
@example(["a\n[CHAPTER]\nSTART=5"])
def test_ffmpeg_reads_the_same_chapters_whatever_their_titles_are(titles: list[str]) -> None:
    chapters = [Chapter(title, n * 30, n * 30 + 30) for n, title in enumerate(titles)]
    found = read_back(ffmetadata(chapters))
    assert [(start, end) for _, start, end in found] == [(one.start, one.end) for one in chapters]
    for title, (shown, _, _) in zip(titles, found, strict=True):
        assert "".join(shown.split()) == "".join(title.replace("\0", "").split())


def test_a_description_begins_at_zero_with_an_opening_of_its_own() -> None:
    listing = youtube_list([Chapter("Park", 300, 900), Chapter("Lake", 900, 1500)])
    assert listing == "0:00 Intro\n0:10 Park\n0:30 Lake\n"


def test_an_opening_too_short_for_a_chapter_belongs_to_the_first() -> None:
    assert youtube_list([Chapter("Park", 299, 900)]) == "0:00 Park\n"


def test_the_opening_can_have_another_name() -> None:
    assert youtube_list([Chapter("Park", 300, 900)], "Vorspann").startswith("0:00 Vorspann\n")


def test_a_chapter_that_would_be_too_short_is_joined_to_the_one_before() -> None:
    chapters = [Chapter("A", 0, 90), Chapter("B", 90, 400), Chapter("C", 400, 800)]
    assert youtube_list(chapters) == "0:00 A / B\n0:13 C\n"


def test_a_title_stays_on_its_line() -> None:
    assert youtube_list([Chapter("A\n0:05 B", 0, 900)]) == "0:00 A 0:05 B\n"


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=20), st.integers(0, 1000))
def test_all_chapters_in_a_description_start_at_least_ten_seconds_apart(
    lengths: list[int], opening: int
) -> None:
    chapters = []
    start = opening
    for length in lengths:
        chapters.append(Chapter("t", start, start + length))
        start += length
    starts = [
        sum(int(part) * 60**n for n, part in enumerate(reversed(line.split()[0].split(":"))))
        for line in youtube_list(chapters).splitlines()
    ]
    assert starts[0] == 0
    assert all(b - a >= 10 for a, b in pairwise(starts))


@pytest.mark.parametrize(("count", "shows"), [(0, False), (2, False), (3, True)])
def test_youtube_wants_three_chapters(count: int, shows: bool) -> None:
    listing = youtube_list([Chapter("t", n * 900, n * 900 + 900) for n in range(count)])
    assert youtube_shows(listing) is shows


def test_a_last_chapter_that_is_too_short_joins_the_one_before() -> None:
    chapters = [Chapter("A", 0, 600), Chapter("B", 600, 1200), Chapter("C", 1200, 1499)]
    assert youtube_list(chapters) == "0:00 A\n0:20 B / C\n"
