"""What a film is to be, as every rival is told: each item's place, length, fitted size, logo and letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from reelyard.domain.job import ItemType
from reelyard.domain.output import HD
from reelyard.domain.timeline import FRAME_RATE
from reelyard.engine.fonts import Face, overlay
from reelyard.engine.picture import fit, logo_size
from reelyard.engine.planner import Gathered, item_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One item. ``first`` is its first frame in the film; ``start`` where its clip is entered, in seconds."""

    gathered: Gathered
    item_type: str
    path: str
    first: int
    frames: int
    start: float
    width: int
    height: int
    logo_path: str | None
    logo_width: int
    logo_height: int
    text: str | None
    letters: str | None  # an ASS document
    font: str | None

    @property
    def is_image(self) -> bool:
        return self.item_type == ItemType.IMAGE


def wanted(gathered: Sequence[Gathered], faces: Sequence[Face]) -> list[Wanted]:
    """What the film is to be, item by item."""
    found: list[Wanted] = []
    for one in gathered:
        first = found[-1].first + found[-1].frames if found else 0
        found.append(_wanted(one, faces, first))
    return found


def _wanted(one: Gathered, faces: Sequence[Face], first: int) -> Wanted:
    item, box = one.item, fit(one.facts.video, HD)
    frames = item_frames(item, one.facts)
    logo = logo_size(one.logo.video, HD) if one.logo else None
    text = overlay(item.text, Fraction(frames, FRAME_RATE), tuple(faces)) if item.text else None
    return Wanted(
        gathered=one,
        item_type=item.item_type,
        path=item.path,
        first=first,
        frames=frames,
        start=float(item.start or 0),
        width=box.width,
        height=box.height,
        logo_path=item.logo_path,
        logo_width=logo.width if logo else 0,
        logo_height=logo.height if logo else 0,
        text=item.text,
        letters=text.document if text else None,
        font=text.fonts[0].path if text else None,
    )
