"""What came of making a film's pieces, and what the pieces' files are called."""

from __future__ import annotations

from dataclasses import dataclass, field

from reelyard.domain.errors import Problem
from reelyard.domain.plan import PictureSegment
from reelyard.engine.loudness import Loudness

PICTURE_SUFFIX = ".mp4"
SOUND_SUFFIX = ".pcm"
TRACK_SUFFIX = ".m4a"


@dataclass(slots=True)
class Made:
    """What came of it. ``bad`` names items whose sources turned out to be unusable.

    ``parameter_sets`` are those of each segment's picture; ``brought`` are segments that other machines rendered, now or
    before. ``helped`` has the workers that rendered segments for this job, by key. ``instead`` has the keys of segments
    that the processor made after all, by those of the plan; ``refused`` says of their items why.
    """

    cached: set[str] = field(default_factory=set)
    rendered: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)
    helped: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    bad: list[Problem] = field(default_factory=list)
    parameter_sets: dict[str, str] = field(default_factory=dict)
    loudness: Loudness | None = None
    instead: dict[str, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def key(self, segment: PictureSegment) -> str:
        """The key of what was made for a segment of the plan."""
        return self.instead.get(segment.key, segment.key)


def segment_name(segment: PictureSegment) -> str:
    return f"{segment.key[:32]}{PICTURE_SUFFIX}"
