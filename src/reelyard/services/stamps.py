"""Small pictures of segments, kept beside them in the cache: a contact sheet decodes each segment once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reelyard.engine.sheet import Thumb
from reelyard.files.segment_cache import SegmentCache


@dataclass(frozen=True, slots=True)
class SegmentStamps:
    """``keys``: the content keys of the segments, by where a sheet finds them."""

    cache: SegmentCache
    keys: Mapping[Path, str]

    def recall(self, thumb: Thumb) -> bytes | None:
        return self.cache.stamp(self.keys[thumb.segment], thumb.segment.suffix)

    def keep(self, thumb: Thumb, picture: bytes) -> None:
        self.cache.keep_stamp(self.keys[thumb.segment], thumb.segment.suffix, picture)
