"""The contact sheet: one frame of every item, numbered and named, on one JPEG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from reelyard.domain.errors import printable

from .checks import key_frame, opened

THUMB = (320, 180)
_GAP = 12
_CAPTION = 26
_WIDEST = 4000
_SMALLEST = 32
_DECODERS = 2
_BACKGROUND = "#14161a"
_INK = "#e8e6e3"


@dataclass(frozen=True, slots=True)
class Thumb:
    """One cell: a segment to take a frame from, roughly at ``frame``, and what to write below."""

    segment: Path
    frame: int
    caption: str


class Stamps(Protocol):
    """Keeps the small pictures of segments as JPEG, from one sheet to the next."""

    def recall(self, thumb: Thumb) -> bytes | None: ...

    def keep(self, thumb: Thumb, picture: bytes) -> None: ...


class NoStamps:
    """Keeps nothing."""

    def recall(self, thumb: Thumb) -> bytes | None:
        return None

    def keep(self, thumb: Thumb, picture: bytes) -> None:
        """It is not wanted."""


def contact_sheet(
    thumbs: Sequence[Thumb],
    font: Path,
    output: Path,
    check: Callable[[], None],
    stamps: Stamps | None = None,
) -> None:
    """Write the sheet as JPEG, about as wide as it is high, and never wider than ``_WIDEST``.

    With more items the pictures get smaller, so that neither the file nor memory grows without end.
    ``check`` is called before each picture and raises to stop it.
    """
    kept = stamps or NoStamps()

    def picture_of(thumb: Thumb) -> Image.Image:
        check()
        raw = kept.recall(thumb)
        if raw is None:
            raw = _jpeg(thumb)
            kept.keep(thumb, raw)
        picture = Image.open(io.BytesIO(raw))
        return picture.resize(size, Image.Resampling.BOX) if picture.size != size else picture

    columns = max(1, math.ceil(math.sqrt(len(thumbs) * (THUMB[1] + _CAPTION) / THUMB[0])))
    rows = math.ceil(len(thumbs) / columns)
    size = _thumb_size(columns)
    cell = (size[0] + _GAP, size[1] + _CAPTION + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    face = ImageFont.truetype(str(font), 16)
    with ThreadPoolExecutor(_DECODERS, "thumb") as pool:
        pictures = pool.map(picture_of, thumbs)
        for n, (thumb, picture) in enumerate(zip(thumbs, pictures, strict=True)):
            x = _GAP + n % columns * cell[0]
            y = _GAP + n // columns * cell[1]
            sheet.paste(picture, (x, y))
            caption = _fitted(draw, thumb.caption, face, size[0])
            draw.text((x, y + size[1] + 4), caption, fill=_INK, font=face)
    sheet.save(output, "JPEG", quality=88)


def _thumb_size(columns: int) -> tuple[int, int]:
    width = max(_SMALLEST, min(THUMB[0], _WIDEST // columns - _GAP))
    return width, width * THUMB[1] // THUMB[0]


def _jpeg(thumb: Thumb) -> bytes:
    """The last key frame at or before the frame asked for, small: one picture to decode."""
    made = io.BytesIO()
    _frame(thumb).save(made, "JPEG", quality=92)
    return made.getvalue()


def _frame(thumb: Thumb) -> Image.Image:
    with opened(thumb.segment) as container:
        frame = key_frame(container, thumb.frame)
        if frame is None:
            return Image.new("RGB", THUMB)
        small = frame.reformat(*THUMB, format="rgb24", interpolation="AREA")
        plane = small.planes[0]
        return Image.frombuffer("RGB", THUMB, bytes(plane), "raw", "RGB", plane.line_size, 1)


def _fitted(draw: ImageDraw.ImageDraw, text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """The caption on one line, cut to a cell's width."""
    text = printable(" ".join(text.split()))
    if draw.textlength(text, font=face) <= width:
        return text
    while text and draw.textlength(text + "…", font=face) > width:
        text = text[:-1]
    return text + "…"
