"""Help with a job: segments that its owner offers to workers that have nothing else to do.

The owner renders its segments itself and offers those that no cache has. A helper claims one at a time by
compare-and-set, renders it, puts it where the owner finds it, and takes the next. Nothing rests on it: a segment is
the same bytes whoever makes it, so a claim that nobody renews is simply taken over, and a segment that two made is
one segment. Helpers that write other bytes (another encoder, another FFmpeg) compute another key, and don't join.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .timeline import FRAME_RATE

CLAIM_SECONDS = 6.0
"""A claim that was not renewed for so long may be taken over. It may be short: what is made twice harms nobody."""

WORTH_SECONDS = 8.0
"""A job whose owner is done in less asks nobody: helpers would come when it is over."""


class OfferState(StrEnum):
    """Where an offered segment stands."""

    OPEN = "open"
    CLAIMED = "claimed"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedSegment:
    """One segment for others. They plan its item themselves, and find the key among what they planned."""

    key: str
    position: int
    part: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What has to be the same for the bytes to be, and where segments are handed over.

    ``terms`` is JSON of the encoding and the film's form. ``meeting_places`` name caches and stores; a helper shares
    one of them with the owner.
    """

    ffmpeg: str
    encoder: str
    terms: str
    meeting_places: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A job that a worker may help with. ``token`` is its owner's."""

    job_id: str
    token: int
    owner: str
    channel_name: str
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentClaim:
    """The right to make one offered segment, until it is not renewed. ``number`` is its fencing token."""

    job_id: str
    token: int
    worker_id: str
    number: int
    segment: OfferedSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferStanding:
    """An offered segment as it stands. ``is_held``: its claim has not run out.

    ``claimed_seconds`` is how long ago it was claimed.
    """

    key: str
    position: int
    part: int
    frames: int
    state: OfferState
    worker_id: str | None
    frames_done: int
    is_held: bool
    claimed_seconds: float | None = None
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HelperStanding:
    """What a helper's heartbeat learns: which of its claims still hold (by key), and whether to go.

    ``leaves`` says why it is to leave at once; empty where it may stay.
    """

    holds: frozenset[str]
    leaves: str = ""


def worth_offering(frames: int, segments: int, at_once: int, speed: float | None) -> bool:
    """Whether others should be asked: ``frames`` in so many ``segments`` are to be rendered.

    ``speed`` is the owner's, in seconds of film a second, where it is known.
    """
    return segments > at_once and frames / FRAME_RATE / (speed or 1.0) >= WORTH_SECONDS


def worth_taking_over(one: OfferStanding, own_speed: float | None) -> bool:
    """Whether an owner that has nothing else to do makes a segment that a helper is at.

    ``own_speed`` is in frames a second for one segment. A claim that has run out: always. One that is held: only if the
    owner would be done well before the helper.
    """
    if one.state is not OfferState.CLAIMED:
        return one.state is OfferState.OPEN
    if not one.is_held:
        return True
    if not own_speed or not one.claimed_seconds:
        return False
    theirs = one.frames_done / one.claimed_seconds
    own_seconds = one.frames / own_speed
    if not theirs:
        return one.claimed_seconds > 2 * own_seconds + CLAIM_SECONDS
    return (one.frames - one.frames_done) / theirs > 2 * own_seconds + 1.0
