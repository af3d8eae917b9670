"""Exact time: whole frames, whole samples, fractions of seconds, half-open ranges.

Everything that leaves Reelyard runs at 30 frames and 48 000 samples a second, so one frame is
exactly 1 600 samples and no rounding can ever add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

FRAME_RATE = 30
SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE


@dataclass(frozen=True, slots=True)
class FrameRange:
    """The frames ``start <= n < end`` of an item, counted from its first shown frame."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"not a range of frames: {self.start}..{self.end}")

    def __len__(self) -> int:
        return self.end - self.start


def round_half_up(value: Fraction) -> int:
    """The nearest whole number; a half goes up (Python's round() would go to the even one)."""
    return math.floor(value + Fraction(1, 2))


def frames_in(seconds: Fraction) -> int:
    """How many frames a span fills: the nearest number, and at least one."""
    return max(1, round_half_up(seconds * FRAME_RATE))


def samples_in(frames: int) -> int:
    return frames * SAMPLES_PER_FRAME


def seconds_of(frames: int) -> Fraction:
    return Fraction(frames, FRAME_RATE)


def cut(frames: int, limit: int) -> tuple[FrameRange, ...]:
    """Cut ``frames`` into the fewest ranges of at most ``limit`` frames, as equal as can be."""
    if frames < 1 or limit < 1:
        raise ValueError(f"can't cut {frames} frames into pieces of {limit}")
    pieces = -(-frames // limit)
    edges = [frames * n // pieces for n in range(pieces + 1)]
    return tuple(FrameRange(a, b) for a, b in pairwise(edges))


def clock(frames: int) -> str:
    """``75 * 30`` frames as ``1:15``, ``3675 * 30`` as ``1:01:15``: whole seconds, rounded down."""
    seconds = frames // FRAME_RATE
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
