"""A job comes back from the database as it was stored, whatever its names and texts hold."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelyard.domain.excerpt import Excerpt
from reelyard.domain.job import Item, ItemType, Job, OnBadItem
from reelyard.domain.routing import queue_for

from .conftest import CLIP, Books, job

names = st.one_of(
    st.text(min_size=1, max_size=30),
    st.binary(min_size=1, max_size=30).map(os.fsdecode),
    st.text(max_size=10).map("file://{}".format),
    st.text(alphabet="\0\n\r\t %\\'\"/:;é\u2028\ufffe\udcff\U0001f600", min_size=1, max_size=10),
    st.binary(max_size=10).map(lambda raw: "file://%FF" + os.fsdecode(raw)),
)
seconds = st.one_of(
    st.none(),
    st.sampled_from(["4.1", "0.1", "1e-07", "0.30000000000000004", "86400.0", "29.97", "1e+16"]),
    st.floats(min_value=1e-9, max_value=86_400, allow_subnormal=False).map(str),
).map(lambda written: None if written is None else Fraction(written))


@st.composite
def items(draw: st.DrawFn, position: int) -> Item:
    by_id = draw(st.booleans())
    return Item(
        position=position,
        item_type=draw(st.sampled_from(ItemType)),
        path="" if by_id else draw(names),
        named=draw(names),
        video_id=draw(names) if by_id else None,
        duration=draw(seconds),
        start=draw(seconds),
        end=draw(seconds),
        logo_path=draw(st.none() | names),
        text=draw(st.none() | names),
    )


@st.composite
def excerpts(draw: st.DrawFn, positions: list[int]) -> Excerpt:
    first, last = sorted(draw(st.lists(st.sampled_from(positions), min_size=2, max_size=2)))
    return Excerpt(
        is_draft=draw(st.booleans()),
        item_seconds=draw(seconds),
        first_item=draw(st.sampled_from([None, first])),
        last_item=draw(st.sampled_from([None, last])),
    )


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    positions = sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=3)))
    return job(
        *(draw(items(position)) for position in positions),
        channel_name=draw(names),
        enable_4k=draw(st.booleans()),
        on_bad_item=draw(st.sampled_from(OnBadItem)),
        loudness=draw(st.booleans()),
        chapters=draw(st.booleans()),
        excerpt=draw(excerpts(positions)),
    )


@settings(deadline=None, max_examples=60,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
@given(asked=jobs())
def test_any_job_comes_back_as_it_was_stored(books: Books, asked: Job) -> None:
    asked = replace(asked, job_id=job().job_id)  # while it shrinks, one example comes many times
    books.submit(asked)
    assert books.jobs.job(asked.job_id) == asked
    state = books.state(asked.job_id)
    assert state.channel_name == asked.channel_name
    assert (state.queue, state.items) == (queue_for(asked), len(asked.wanted.items))
    assert state.excerpt == asked.excerpt


@pytest.mark.parametrize("written", ["4.1", "0.1", "12.345", "86399.999", "1e-05"])
def test_a_time_stays_the_decimal_number_that_was_written(books: Books, written: str) -> None:
    asked = job(replace(CLIP, start=Fraction(0), end=Fraction(written)))
    books.submit(asked)
    [item] = books.jobs.job(asked.job_id).items
    assert (item.start, item.end) == (Fraction(0), Fraction(written))


@pytest.mark.parametrize("text", ["half \ud83d a pair", "\udc00", "a\udcff\ud800", "\ud83d\ude00"])
def test_half_a_pair_of_surrogates_is_stored_as_something_that_can_be_shown(
    books: Books, text: str
) -> None:
    """No file is called that, and no letter looks like it; but it must break nothing."""
    asked = job(replace(CLIP, text=text), channel_name=text)
    books.submit(asked)
    stored = books.jobs.job(asked.job_id)
    [item] = stored.items
    shown = text.encode("utf-8", "backslashreplace").decode()
    assert stored.channel_name == shown
    assert item.text == shown
    assert books.state(asked.job_id).channel_name == shown


def test_items_come_in_the_order_of_their_positions(books: Books) -> None:
    items = [replace(CLIP, position=position) for position in (30, 2, 11)]
    asked = job(*items)
    books.submit(asked)
    assert [item.position for item in books.jobs.job(asked.job_id).items] == [2, 11, 30]
