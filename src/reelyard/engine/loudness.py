"""Reading the loudness meter (EBU R 128) out of what FFmpeg says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from reelyard.domain.errors import OutputRejected

from .ffmpeg import plain

_INTEGRATED = re.compile(r"I:\s+(\S+) LUFS")
_RANGE = re.compile(r"LRA:\s+(\S+) LU")
_PEAK = re.compile(r"Peak:\s+(\S+) dBFS")
QUIETEST = -70.0
"""What the meter shows for silence."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness (LUFS), loudness range (LU), true peak (dBTP)."""

    integrated: float
    range: float
    true_peak: float


def read_summary(lines: Iterable[str]) -> Loudness:
    """The last summary among FFmpeg's lines. Raises OutputRejected if there is none."""
    found = {"I": math.nan, "LRA": math.nan, "Peak": math.nan}
    for line in map(plain, lines):
        for name, pattern in (("I", _INTEGRATED), ("LRA", _RANGE), ("Peak", _PEAK)):
            if match := pattern.fullmatch(line):
                found[name] = max(QUIETEST, float(match[1].replace("nan", "-inf")))
    if math.isnan(found["I"]) or math.isnan(found["Peak"]):
        raise OutputRejected("FFmpeg showed no loudness summary", remedy="Run again")
    return Loudness(found["I"], found["LRA"], found["Peak"])
