"""What a finished film is: the one kind of output, in its two sizes.

The figures match an Adobe Premiere Pro export for YouTube; a film is measured against them.
"""

from __future__ import annotations

from dataclasses import dataclass

AUDIO_BIT_RATE = 320_000
GOP_FRAMES = 60
"""Two seconds between key frames at most: seeking stays quick, and so does checking a film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """Size (pixels), rate control (bits, bits a second), H.264 profile and level."""

    name: str
    width: int
    height: int
    target_rate: int
    max_rate: int
    buffer_size: int
    profile: str
    level: str


HD = OutputForm(
    name="1080p",
    width=1920,
    height=1080,
    target_rate=16_000_000,
    max_rate=20_000_000,
    buffer_size=24_000_000,
    profile="main",
    level="4.1",
)
UHD = OutputForm(
    name="4K",
    width=3840,
    height=2160,
    target_rate=40_000_000,
    max_rate=50_000_000,
    buffer_size=60_000_000,
    profile="high",
    level="5.1",
)


def output_form(*, enable_4k: bool) -> OutputForm:
    return UHD if enable_4k else HD
