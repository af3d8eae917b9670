"""Who makes what of a film: its segments in order, as something to look at.

Of a finished film all segments are known. Of one in the making it is those that its owner offered: the rest was there
before, or is made by the owner alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from reelyard.domain.farm import JobState, SegmentRow
from reelyard.domain.help import OfferStanding, OfferState


class PieceState(StrEnum):
    """What became of a piece."""

    OPEN = "open"
    MAKING = "making"
    MADE = "made"
    CACHED = "cached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment, or neighbours of one worker and state. ``done`` of its frames are made.

    ``part`` counts the segments of an item from 0; ``last`` and ``last_part`` are those of the last neighbour.
    """

    position: int
    part: int
    frames: int
    state: PieceState
    worker_id: str | None
    done: int
    segments: int = 1
    last: int = 0
    last_part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A worker, with what it has made of a film and what it is making. ``share`` is of all frames shown."""

    worker_id: str
    is_owner: bool
    segments: int
    frames: int
    share: float
    making: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A film's making. The owner comes first, then who made the most."""

    pieces: Sequence[Piece]
    makers: Sequence[Maker]
    cached: int
    frames: int

    @property
    def helpers(self) -> Sequence[Maker]:
        return [one for one in self.makers if not one.is_owner]

    @property
    def open(self) -> int:
        """Segments that nobody is at."""
        return sum(one.state is PieceState.OPEN for one in self.pieces)


def making(
    state: JobState,
    segments: Sequence[tuple[SegmentRow, str]],
    offered: Sequence[OfferStanding],
) -> Making:
    """Of what is known of a job; ``segments`` where it is done, ``offered`` while it runs."""
    pieces = [_made(*one) for one in segments] or [_offered(one) for one in offered]
    frames = sum(one.frames for one in pieces)
    owner = state.worker_id or ""
    names = dict.fromkeys(one.worker_id for one in pieces if one.worker_id is not None)
    makers = [_maker(name, owner, pieces, frames) for name in names if _counts(name, pieces)]
    return Making(
        pieces=pieces,
        makers=sorted(makers, key=lambda one: (not one.is_owner, -one.frames, one.worker_id)),
        cached=sum(one.state is PieceState.CACHED for one in pieces),
        frames=frames,
    )


def _counts(name: str, pieces: Iterable[Piece]) -> bool:
    return any(one.worker_id == name and one.state is not PieceState.CACHED for one in pieces)


def _maker(name: str, owner: str, pieces: Sequence[Piece], frames: int) -> Maker:
    own = [one for one in pieces if one.worker_id == name]
    made = [one for one in own if one.state is PieceState.MADE]
    done = sum(one.frames for one in made)
    return Maker(
        worker_id=name,
        is_owner=name == owner,
        segments=len(made),
        frames=done,
        share=done / frames if frames else 0.0,
        making=tuple(one for one in own if one.state is PieceState.MAKING),
    )


def blocks(pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The pieces with neighbours of one worker and state in one; what is in the making stays by itself."""
    found: list[Piece] = []
    for _, run in groupby(enumerate(pieces), lambda one: _kind(*one)):
        found.append(_merged([one for _, one in run]))
    return found


def _kind(place: int, piece: Piece) -> tuple[object, ...]:
    alone = place if piece.state is PieceState.MAKING else None
    whose = None if piece.state is PieceState.CACHED else piece.worker_id
    return piece.state, whose, alone


def _merged(run: Sequence[Piece]) -> Piece:
    first, last = run[0], run[-1]
    return Piece(
        position=first.position,
        part=first.part,
        frames=sum(one.frames for one in run),
        state=first.state,
        worker_id=first.worker_id,
        done=sum(one.done for one in run),
        segments=len(run),
        last=last.position,
        last_part=last.part,
    )


def _made(row: SegmentRow, worker: str) -> Piece:
    state = PieceState.CACHED if row.cached else PieceState.MADE
    return Piece(position=row.position, part=row.part, frames=row.frames, state=state,
                 worker_id=worker, done=row.frames, last=row.position, last_part=row.part)  # fmt: skip


def _offered(one: OfferStanding) -> Piece:
    """What is claimed and not renewed is anybody's."""
    state, worker, done = PieceState.OPEN, None, 0
    if one.state is OfferState.DONE:
        state, worker, done = PieceState.MADE, one.worker_id, one.frames
    elif one.is_held:
        state, worker, done = PieceState.MAKING, one.worker_id, one.frames_done
    return Piece(position=one.position, part=one.part, frames=one.frames, state=state,
                 worker_id=worker, done=done, last=one.position, last_part=one.part)  # fmt: skip
