"""When an owner asks for help, and when it stops relying on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.help import (
    CLAIM_SECONDS,
    WORTH_SECONDS,
    OfferStanding,
    OfferState,
    worth_offering,
    worth_taking_over,
)
from reelyard.domain.timeline import FRAME_RATE

LONG = int(WORTH_SECONDS * FRAME_RATE)
CLAIMED = OfferStanding(
    key="k", position=1, part=0, frames=150, state=OfferState.CLAIMED, worker_id="pc2", frames_done=75,
    is_held=True, claimed_seconds=3.0,
)  # fmt: skip


def test_what_is_done_at_once_is_not_offered() -> None:
    """Helpers would come when it is over."""
    assert not worth_offering(LONG - 1, 10, at_once=2, speed=None)
    assert worth_offering(LONG, 10, at_once=2, speed=None)


def test_what_the_owner_makes_in_one_go_is_not_offered() -> None:
    """With as many segments as it makes at once there is nothing left for others."""
    assert not worth_offering(100 * LONG, 2, at_once=2, speed=None)
    assert worth_offering(100 * LONG, 3, at_once=2, speed=None)


@given(st.integers(1, 10**6), st.floats(0.1, 100))
def test_a_faster_owner_asks_later(frames: int, speed: float) -> None:
    """What a slow machine does alone, a faster one does as well."""
    if not worth_offering(frames, 9, at_once=1, speed=speed):
        assert not worth_offering(frames, 9, at_once=1, speed=2 * speed)


def test_a_claim_that_ran_out_is_taken_over() -> None:
    """Whatever its helper had done of it."""
    assert worth_taking_over(replace(CLAIMED, is_held=False), None)


def test_what_was_released_is_taken_over_and_what_is_done_is_not() -> None:
    """Nobody is at an open segment; a finished one only has to be brought."""
    assert worth_taking_over(replace(CLAIMED, state=OfferState.OPEN), None)
    assert not worth_taking_over(replace(CLAIMED, state=OfferState.DONE), 1000.0)


@pytest.mark.parametrize(
    ("own_speed", "taken"),
    [(None, False), (10.0, False), (100.0, False), (1000.0, True)],
)
def test_a_helper_is_left_alone_unless_the_owner_is_far_ahead(
    own_speed: float | None, taken: bool
) -> None:
    """The helper has three seconds to go: only who needs less than one goes ahead."""
    assert worth_taking_over(CLAIMED, own_speed) is taken


def test_a_helper_that_only_begins_is_given_time() -> None:
    """It may be copying the source; without a frame after a while it counts as stuck."""
    begun = replace(CLAIMED, frames_done=0)
    assert not worth_taking_over(begun, 75.0)
    assert worth_taking_over(replace(begun, claimed_seconds=4.1 + CLAIM_SECONDS), 75.0)
    assert not worth_taking_over(replace(begun, claimed_seconds=None), 75.0)
