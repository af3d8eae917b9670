"""Drafts and ranges of items: how they are asked for, what is refused, where they wait, what they are called."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.cli.excerpt import instead, item_range
from reelyard.domain.errors import JobRejected, SettingsInvalid
from reelyard.domain.excerpt import WHOLE, Excerpt
from reelyard.domain.job import ItemType
from reelyard.domain.routing import Queue, queue_for
from reelyard.services.job_file import look_through, parse_job, read_job
from reelyard.services.job_views import as_document
from reelyard.services.submit import job_digest
from reelyard.web.compose_bench import Bench
from reelyard.web.compose_list import Compilation
from tests.unit.facts import item, job

FOLDER = Path("/jobs")
CLIP: dict[str, Any] = {"item_type": "video", "path": "a.mp4"}


def document(count: int = 5, **fields: Any) -> dict[str, Any]:
    return {"channel_name": "Tests", "items": [CLIP] * count, **fields}


def placed(*positions: int, **fields: Any) -> dict[str, Any]:
    """A list whose items have these positions."""
    return document(**fields) | {"items": [{**CLIP, "position": one} for one in positions]}


def problems(what: object) -> set[tuple[str, str | None]]:
    with pytest.raises(JobRejected) as caught:
        parse_job(what, FOLDER)
    return {(one.code, one.field) for one in caught.value.problems}


def excerpts() -> st.SearchStrategy[Excerpt]:
    positions = st.none() | st.integers(1, 12)
    return st.builds(
        Excerpt,
        is_draft=st.booleans(),
        item_seconds=st.none() | st.integers(1, 3600_000).map(lambda one: Fraction(one, 1000)),
        first_item=positions,
        last_item=positions,
    )


# How they are asked for


def test_a_job_that_says_nothing_is_the_whole_film() -> None:
    asked = parse_job(document(), FOLDER)
    assert (asked.excerpt, asked.wanted) == (WHOLE, asked)
    assert (str(WHOLE), WHOLE.suffix, WHOLE.is_whole) == ("", "", True)


def test_a_job_file_asks_for_a_draft_of_some_items() -> None:
    asked = parse_job(document(draft=True, item_seconds=2.5, first_item=2, last_item=4), FOLDER)
    assert asked.excerpt == Excerpt(
        is_draft=True, item_seconds=Fraction(5, 2), first_item=2, last_item=4
    )
    assert len(asked.items) == 5, "the others are still known"


@given(excerpt=excerpts(), positions=st.sets(st.integers(1, 12), min_size=1))
def test_a_range_is_accepted_exactly_where_it_lies_in_the_list_and_holds_an_item(
    excerpt: Excerpt, positions: set[int]
) -> None:
    """And then the job has its items, under their own positions, and can be written down and read again."""
    fields = {name: value for name, value in excerpt.fields.items() if value is not None}
    first, last = excerpt.first_item, excerpt.last_item
    bounds = [one for one in (first, last) if one is not None]
    inside = [one for one in positions if (first or 1) <= one <= (last or 12)]
    allowed = all(min(positions) <= one <= max(positions) for one in bounds) and bool(inside)
    if excerpt.item_seconds is not None and not excerpt.is_draft:
        allowed = False
    reading = look_through(placed(*sorted(positions), **fields), FOLDER)
    assert (not reading.problems) == allowed
    if not allowed:
        return
    assert reading.job.excerpt == excerpt
    assert [one.position for one in reading.job.wanted.items] == sorted(inside)
    assert reading.job.wanted.wanted == reading.job.wanted
    again = parse_job(as_document(reading.job), FOLDER)
    places = [at for at, one in enumerate(sorted(positions), 1) if one in inside]
    assert [one.position for one in again.wanted.items] == places, "counted anew"
    assert (again.excerpt.is_draft, again.excerpt.item_seconds) == (
        excerpt.is_draft,
        excerpt.item_seconds,
    )
    if positions == set(range(1, len(positions) + 1)):
        assert again.excerpt == excerpt


@given(excerpt=excerpts(), positions=st.sets(st.integers(1, 12)))
def test_counting_anew_leaves_the_same_items(excerpt: Excerpt, positions: set[int]) -> None:
    """A range that holds none of them stays as it is, to be refused by its own words."""
    order = sorted(positions)
    anew = excerpt.renumbered(order)
    inside = [position for position in order if excerpt.has(position)]
    assert [position for at, position in enumerate(order, 1) if anew.has(at)] == inside or (
        not inside and anew == excerpt
    )


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (document(first_item=6), "range_outside", "first_item"),
        (document(last_item=6), "range_outside", "last_item"),
        (document(first_item=2, last_item=99), "range_outside", "last_item"),
        (placed(3, 4, first_item=1), "range_outside", "first_item"),
        (document(first_item=4, last_item=2), "range_reversed", "last_item"),
        (placed(1, 2, 8, first_item=4, last_item=6), "range_empty", "first_item"),
        (document(item_seconds=5), "drafts_only", "item_seconds"),
        (document(draft=True, item_seconds=0), "greater_than", "item_seconds"),
        (document(draft=True, item_seconds=3601), "less_than_equal", "item_seconds"),
        (document(draft=True, item_seconds="inf"), "finite_number", "item_seconds"),
        (document(draft="perhaps"), "bool_parsing", "draft"),
        (document(first_item=0), "greater_than_equal", "first_item"),
        (document(first_item=1.5), "int_from_float", "first_item"),
        (document(items_from=1), "extra_forbidden", "items_from"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(asked: object, code: str, field: str) -> None:
    assert problems(asked) == {(code, field)}


def test_a_range_that_is_wrong_is_told_with_everything_else() -> None:
    asked = document(first_item=9, item_seconds=5)
    asked["items"] = [CLIP, {"item_type": "image", "path": "a.png", "end": 5}]
    assert problems(asked) == {
        ("range_outside", "first_item"),
        ("drafts_only", "item_seconds"),
        ("not_for_images", "end"),
    }


def test_the_words_of_a_refusal_say_what_there_is() -> None:
    with pytest.raises(JobRejected) as caught:
        parse_job(placed(3, 4, 9, last_item=12), FOLDER)
    (one,) = caught.value.problems
    assert (one.message, one.remedy) == (
        "is 12, and the items are 3 to 9",
        "Name a position from 3 to 9",
    )


# At the command line


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("3-7", (3, 7)), (" 3 – 7 ", (3, 7)), ("3-", (3, None)), ("-7", (None, 7)),
        ("5", (5, 5)), ("all", (None, None)), ("7-3", (7, 3)),
    ],
)  # fmt: skip
def test_items_are_named_as_people_write_ranges(
    text: str, positions: tuple[int | None, int | None]
) -> None:
    assert item_range(text) == positions


@pytest.mark.parametrize(
    "text", ["", "-", "a-b", "3-7-9", "1,2", "3.5", "--", "+3", "٣", "9999999999"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="names no items"):
        item_range(text)


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "channel_name: Tests\ndraft: true\nitem_seconds: 2\nfirst_item: 2\nlast_item: 3\n"
        "items: [{item_type: video, path: a.mp4}, {item_type: video, path: b.mp4},\n"
        "        {item_type: video, path: c.mp4}]\n"
    )
    assert str(read_job(path, instead(None, None, None)).excerpt) == (
        "draft of 2 s of each item, items 2-3"
    )
    assert read_job(path, instead(False, None, "all")).excerpt == WHOLE
    assert str(read_job(path, instead(None, 0.5, "-1")).excerpt) == (
        "draft of 0.5 s of each item, items to 1"
    )
    with pytest.raises(JobRejected, match="the items are 1 to 3"):
        read_job(path, instead(None, None, "3-4"))


# What they are called


@pytest.mark.parametrize(
    ("excerpt", "words", "suffix"),
    [
        (Excerpt(is_draft=True), "draft", "_draft"),
        (Excerpt(is_draft=True, item_seconds=Fraction(5)), "draft of 5 s of each item", "_draft"),
        (Excerpt(first_item=3, last_item=7), "items 3-7", "_items_3-7"),
        (Excerpt(first_item=3), "items from 3", "_items_from_3"),
        (Excerpt(last_item=7), "items to 7", "_items_to_7"),
        (Excerpt(first_item=3, last_item=3), "item 3", "_item_3"),
        (Excerpt(is_draft=True, last_item=7), "draft, items to 7", "_draft_items_to_7"),
    ],
)
def test_people_see_what_it_is(excerpt: Excerpt, words: str, suffix: str) -> None:
    assert (str(excerpt), excerpt.suffix, excerpt.is_whole) == (words, suffix, False)


@given(one=excerpts(), other=excerpts())
def test_only_films_of_the_same_items_are_called_the_same(one: Excerpt, other: Excerpt) -> None:
    def shown(excerpt: Excerpt) -> tuple[object, ...]:
        return excerpt.is_draft, excerpt.first_item, excerpt.last_item

    assert (one.suffix == other.suffix) == (shown(one) == shown(other))


# Where they wait, and what they are


def test_a_draft_is_for_any_machine() -> None:
    """It is of 360 lines and made by libx264 whatever its film is."""
    heavy = [item(text="Hello")] * 60
    assert queue_for(job(*heavy, enable_4k=True)) is Queue.UHD
    draft = job(*heavy, enable_4k=True, excerpt=Excerpt(is_draft=True))
    assert queue_for(draft) is Queue.DEFAULT
    assert "4k_output" not in draft.features


@given(count=st.integers(1, 80), first=st.integers(1, 80), last=st.integers(1, 80))
def test_only_the_items_of_a_range_make_it_heavy(count: int, first: int, last: int) -> None:
    items = [item(position=one) for one in range(1, count + 1)]
    part = job(*items, excerpt=Excerpt(first_item=first, last_item=last))
    videos = len(range(first, min(last, count) + 1))
    assert queue_for(part) is (Queue.GPU if videos > 50 else Queue.DEFAULT)


def test_text_outside_of_the_range_counts_for_nothing() -> None:
    items = [item(position=1, text="Hello"), item(position=2)]
    assert queue_for(job(*items, excerpt=Excerpt(first_item=2))) is Queue.DEFAULT
    assert queue_for(job(*items, excerpt=Excerpt(last_item=1))) is Queue.GPU
    assert queue_for(job(*items, enable_4k=True, excerpt=Excerpt(first_item=2))) is Queue.UHD


def test_results_of_a_range_count_its_items_only() -> None:
    items = [item(position=1, logo_path="/logo.png"), item(position=2)]
    items.append(item(position=3, item_type=ItemType.OUTRO))
    part = job(*items, excerpt=Excerpt(first_item=2)).wanted
    assert (part.video_count, part.features) == (1, ())


def test_a_draft_has_no_list_of_chapters() -> None:
    assert job(item(), chapters=True).wanted.chapters
    assert not job(item(), chapters=True, excerpt=Excerpt(is_draft=True)).wanted.chapters


def test_the_same_list_as_a_draft_is_another_job() -> None:
    """And a whole film is the one that it was before there were drafts."""
    kinds: list[dict[str, Any]] = [
        {},
        {"draft": True},
        {"draft": True, "item_seconds": 5},
        {"last_item": 3},
    ]
    digests = [job_digest(parse_job(document(**kind), FOLDER)) for kind in kinds]
    assert len(set(digests)) == len(kinds)
    whole = job(item())
    assert job_digest(whole) == ("4cdd5f7bdbc9217cd95d0a40badab0e3876abd87e98ea65287ed8f3276e719d8")


# On the page


def test_a_compilation_on_the_page_keeps_what_was_chosen() -> None:
    asked = parse_job(document(draft=True, item_seconds=2.5, first_item=2, last_item=4), FOLDER)
    shown = Compilation().from_document(as_document(asked))
    assert shown.settings.excerpt == asked.excerpt
    assert [row.row_id for row in shown.wanted] == [2, 3, 4]
    assert parse_job(shown.to_document(), FOLDER).excerpt == asked.excerpt


@pytest.mark.parametrize(("excerpt", "left"), [(WHOLE, 0), (Excerpt(is_draft=True), 2)])
def test_after_a_draft_the_list_stays_for_its_film(excerpt: Excerpt, left: int) -> None:
    bench = Bench()
    made = Compilation().from_document(document(2))
    bench.change(made.with_settings(excerpt=excerpt), "begin")
    key = bench.key()
    bench.submitted()
    assert (len(bench.now.rows), bench.now.settings.excerpt) == (left, WHOLE)
    assert bench.key() != key
