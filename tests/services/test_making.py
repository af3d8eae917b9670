"""Who makes what of a film, as the pages and the API show it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from reelyard.domain.farm import JobState, SegmentRow
from reelyard.domain.help import OfferStanding, OfferState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.services.making import Making, Piece, PieceState, blocks, making

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def state(**changes: Any) -> JobState:
    known: dict[str, Any] = {
        "job_id": "j", "user_id": "u", "username": "ann", "channel_name": "Trains", "enable_4k": False,
        "status": JobStatus.PROCESSING, "queue": Queue.DEFAULT, "priority": 5, "frames": 900, "items": 3,
        "progress": 0.0, "stage": "", "token": 1, "attempts": 0, "created_at": NOW, "queued_at": NOW,
        "worker_id": "a",
    }  # fmt: skip
    return JobState(**{**known, **changes})


def row(number: int, by: str, *, cached: bool = False, frames: int = 100) -> tuple[SegmentRow, str]:
    return SegmentRow(number // 2 + 1, number % 2, f"{number}", frames, cached), by


def offer(number: int, state: OfferState, by: str | None = None, *, frames_done: int = 0,
          is_held: bool = False) -> OfferStanding:  # fmt: skip
    return OfferStanding(key=f"{number}", position=number + 1, part=0, frames=100, state=state,
                         worker_id=by, frames_done=frames_done, is_held=is_held)  # fmt: skip


def told(found: Making) -> list[tuple[str, int, int]]:
    return [(one.worker_id, one.segments, one.frames) for one in found.makers]


def seen(pieces: list[Piece]) -> list[tuple[PieceState, str | None, int, int]]:
    return [(one.state, one.worker_id, one.segments, one.frames) for one in pieces]


def test_of_a_finished_film_the_owner_comes_first_and_then_who_made_the_most() -> None:
    rows = [row(0, "b"), row(1, "c"), row(2, "c"), row(3, "a"), row(4, "z", cached=True)]
    found = making(state(status=JobStatus.COMPLETED), rows, [])
    assert told(found) == [("a", 1, 100), ("c", 2, 200), ("b", 1, 100)]
    assert [one.share for one in found.makers] == [0.2, 0.4, 0.2]
    assert [one.worker_id for one in found.helpers] == ["c", "b"]
    assert (found.cached, found.open, found.frames) == (1, 0, 500)


def test_of_a_film_in_the_making_what_is_offered_is_shown_as_it_stands() -> None:
    """A claim that ran out is nobody's, and who has made nothing yet is a helper all the same."""
    found = making(state(), [], [
        offer(0, OfferState.DONE, "b", frames_done=100),
        offer(1, OfferState.CLAIMED, "c", frames_done=40, is_held=True),
        offer(2, OfferState.CLAIMED, "d", frames_done=90),
        offer(3, OfferState.OPEN),
        offer(4, OfferState.CLAIMED, "a", frames_done=10, is_held=True),
    ])  # fmt: skip
    assert told(found) == [("a", 0, 0), ("b", 1, 100), ("c", 0, 0)]
    assert [(one.position, one.done) for one in found.makers[2].making] == [(2, 40)]
    assert [one.state for one in found.pieces] == [
        PieceState.MADE, PieceState.MAKING, PieceState.OPEN, PieceState.OPEN, PieceState.MAKING,
    ]  # fmt: skip
    assert found.open == 2


def test_neighbours_of_one_worker_and_state_are_one_block_but_for_those_in_the_making() -> None:
    rows = [row(0, "a"), row(1, "a"), row(2, "b"), row(3, "x", cached=True),
            row(4, "y", cached=True), row(5, "b")]  # fmt: skip
    pieces = making(state(status=JobStatus.COMPLETED), rows, []).pieces
    shown = list(blocks(pieces))
    assert seen(shown) == [
        (PieceState.MADE, "a", 2, 200), (PieceState.MADE, "b", 1, 100),
        (PieceState.CACHED, "x", 2, 200), (PieceState.MADE, "b", 1, 100),
    ]  # fmt: skip
    assert (shown[2].position, shown[2].part, shown[2].last, shown[2].last_part) == (2, 1, 3, 0)
    held = [offer(n, OfferState.CLAIMED, "b", is_held=True) for n in range(2)]
    free = [offer(n, OfferState.OPEN) for n in range(2, 5)]
    assert [one.segments for one in blocks(making(state(), [], [*held, *free]).pieces)] == [1, 1, 3]


def test_where_nothing_is_known_nothing_is_shown() -> None:
    found = making(state(), [], [])
    assert (list(found.pieces), list(found.makers), found.frames) == ([], [], 0)
    assert list(blocks(found.pieces)) == []
