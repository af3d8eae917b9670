"""What a finished film is: the one kind of output, in its two sizes, and the draft of one.

The figures match an Adobe Premiere Pro export for YouTube; a film is measured against them. A draft
is a film like any other, only small: it shows what was asked for within seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

AUDIO_BIT_RATE = 320_000
GOP_FRAMES = 60
"""Two seconds between key frames at most: seeking stays quick, and so does checking a film."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """Size (pixels), rate control (bits, bits a second), H.264 profile and level.

    ``film_width`` is the width of the film that a draft stands for; None where this is the film.
    """

    name: str
    width: int
    height: int
    target_rate: int
    max_rate: int
    buffer_size: int
    profile: str
    level: str
    film_width: int | None = None

    @property
    def is_draft(self) -> bool:
        return self.film_width is not None

    @property
    def reduction(self) -> Fraction:
        """What is given in pixels of the film is this much smaller here."""
        return Fraction(self.width, self.film_width or self.width)


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
DRAFT = OutputForm(
    name="360p draft",
    width=640,
    height=360,
    target_rate=1_000_000,
    max_rate=1_500_000,
    buffer_size=2_000_000,
    profile="main",
    level="3.0",
    film_width=HD.width,
)


def output_form(*, enable_4k: bool) -> OutputForm:
    return UHD if enable_4k else HD


def draft_form(film: OutputForm) -> OutputForm:
    """A draft of a film of this form. A logo of so many pixels is smaller in a larger film."""
    return replace(DRAFT, film_width=film.width)
