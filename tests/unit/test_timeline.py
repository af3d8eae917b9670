"""Whole frames, whole samples, half-open ranges."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.timeline import (
    FrameRange,
    clock,
    cut,
    frames_in,
    round_half_up,
    samples_in,
    seconds_of,
)


def test_one_frame_is_exactly_1600_samples() -> None:
    assert samples_in(1) == 1600
    assert samples_in(30) == 48_000


@given(st.lists(st.integers(1, 10**6), max_size=50))
def test_samples_of_a_sum_are_the_sum_of_samples(frames: list[int]) -> None:
    assert samples_in(sum(frames)) == sum(map(samples_in, frames))


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (4, 3)])
def test_a_range_of_frames_is_never_empty_or_backwards(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range of frames"):
        FrameRange(start, end)


def test_a_range_counts_its_frames_without_its_end() -> None:
    assert len(FrameRange(10, 15)) == 5


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (Fraction(1, 2), 1),
        (Fraction(3, 2), 2),
        (Fraction(5, 2), 3),
        (Fraction(-1, 2), 0),
        (Fraction(49, 100), 0),
        (Fraction(-51, 100), -1),
    ],
)
def test_halves_are_rounded_up(value: Fraction, whole: int) -> None:
    assert round_half_up(value) == whole


@pytest.mark.parametrize(
    ("seconds", "frames"),
    [
        (Fraction(0), 1),
        (Fraction(1, 1000), 1),
        (Fraction(5), 150),
        (Fraction(1001, 1000), 30),
        (Fraction("4.1"), 123),
        (Fraction("0.05"), 2),  # one frame and a half
    ],
)
def test_a_span_fills_the_nearest_number_of_frames(seconds: Fraction, frames: int) -> None:
    assert frames_in(seconds) == frames


@given(st.fractions(min_value=0, max_value=10**6))
def test_a_span_is_at_most_half_a_frame_off_and_never_nothing(seconds: Fraction) -> None:
    frames = frames_in(seconds)
    assert frames >= 1
    assert frames == 1 or abs(seconds_of(frames) - seconds) <= Fraction(1, 60)


@given(st.integers(1, 10**9))
def test_frames_survive_the_way_over_seconds(frames: int) -> None:
    assert frames_in(seconds_of(frames)) == frames


@given(st.integers(1, 20_000), st.integers(1, 2_000))
def test_a_cut_loses_no_frame_and_is_as_even_as_can_be(frames: int, limit: int) -> None:
    pieces = cut(frames, limit)
    assert pieces[0].start == 0
    assert pieces[-1].end == frames
    assert all(a.end == b.start for a, b in pairwise(pieces))
    lengths = [len(piece) for piece in pieces]
    assert max(lengths) <= limit
    assert max(lengths) - min(lengths) <= 1
    assert limit * (len(pieces) - 1) < frames  # one piece less would not do


def test_what_fits_is_not_cut() -> None:
    assert cut(600, 600) == (FrameRange(0, 600),)


def test_one_frame_too_many_makes_two_halves() -> None:
    assert cut(601, 600) == (FrameRange(0, 300), FrameRange(300, 601))


@pytest.mark.parametrize(("frames", "limit"), [(0, 10), (-1, 10), (10, 0)])
def test_nothing_can_not_be_cut(frames: int, limit: int) -> None:
    with pytest.raises(ValueError, match="can't cut"):
        cut(frames, limit)


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (0, "0:00"),
        (29, "0:00"),
        (30, "0:01"),
        (75 * 30, "1:15"),
        (3599 * 30 + 29, "59:59"),
        (3600 * 30, "1:00:00"),
        (3675 * 30, "1:01:15"),
        (100 * 3600 * 30, "100:00:00"),
    ],
)
def test_the_clock_shows_whole_seconds(frames: int, shown: str) -> None:
    assert clock(frames) == shown
