"""Filter graphs for the graphics card's frames (pure): decoded, scaled and overlaid where they are encoded.

The steps that decide which frame is shown when are the very ones of the processor's graphs: they look at
times only, and pass the card's frames on. What differs is what touches pixels, and its order: all of it is
cheap there, so it runs before the rate conversion, and a decoder's few surfaces are free again at once.

The card's scaler neither converts matrix or range nor maps tones, and its other filters know 8-bit 4:2:0 only.
Clips that need more are prepared by the processor and encoded by the card all the same.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection
from fractions import Fraction

from reelyard.domain.job import Item, ItemType
from reelyard.domain.media import MediaFacts, MediaKind, Transfer, VideoFacts
from reelyard.domain.output import OutputForm
from reelyard.domain.timeline import FRAME_RATE, FrameRange

from .picture import (
    FONTS_DIR,
    SCALER,
    TEXT_FILE,
    clock,
    constant_rate,
    finish,
    fit,
    logo_layer,
)
from .text import letters

SMALLEST, LARGEST = 160, 4096
"""Sides that every decoder of every card takes: the oldest take no more, AV1's take no less than 128."""

_CANVAS_WIDTH, _CANVAS_HEIGHT = 1920, 1080
_MARGIN, _LINE, _BESIDE = 40, 50, 20
_LETTER = 100
"""A text's own measures, see ``text``: pixels of its canvas; no plain letter is wider than two lines are high."""

_PLAIN_LETTERS = frozenset({"Lu", "Ll", "Nd", "Po", "Ps", "Pe", "Pd", "Zs", "Sc", "Sm"})
_PLAIN_BELOW = 0x0590  # Latin, Greek, Cyrillic: one glyph each, within its line


def by_processor(item: Item, facts: MediaFacts, decodes: Collection[str]) -> str | None:
    """Why the processor has to prepare an item's picture; None if the graphics card can.

    ``decodes`` names the codecs that the card proved to decode.
    """
    video = facts.video
    colour = video.colour
    sides = (video.width, video.height)
    reasons = (
        (facts.kind is MediaKind.STILL or item.item_type is ItemType.IMAGE, "it is a still"),
        (video.has_alpha or video.decoder is not None, "it is transparent in places"),
        (video.rotation != 0, f"it is rotated by {video.rotation} degrees"),
        (video.interlaced, "it is interlaced"),
        (colour.transfer is not Transfer.SDR, "it is HDR"),
        (video.bit_depth > 8, f"it has {video.bit_depth} bits a colour"),
        (colour.full_range, "its colours have the full range"),
        (colour.matrix != "bt709", f"its colours are coded by {colour.matrix}, not BT.709"),
        (colour.primaries in ("bt2020", "smpte431", "smpte432"), "its colours are a wide gamut's"),
        (video.pixel_format != "yuv420p", f"its pixel format is {video.pixel_format}"),
        (any(side % 2 for side in sides), "its size is odd"),
        (min(sides) < SMALLEST or max(sides) > LARGEST, "its size is none for the card's decoder"),
        (video.codec not in decodes, f"the graphics card does not decode {video.codec}"),
    )  # fmt: skip
    return next((reason for applies, reason in reasons if applies), None)


def card_graph(
    facts: MediaFacts,
    form: OutputForm,
    start: Fraction,
    frames: FrameRange,
    *,
    logo: VideoFacts | None = None,
    text: str | None = None,
) -> str:
    """As ``picture.moving_graph``, for frames that input 0 delivers on the card. ``text``: its letters."""
    parts = []
    steps = [*clock(facts.video, start, frames), *_fitting(facts.video, form)]
    if logo is not None:
        layer, x, y = logo_layer(logo, form)
        parts += [f"{','.join([*layer, 'hwupload'])}[logo]", f"{','.join(steps)}[clip]"]
        steps = [f"[clip][logo]overlay_cuda=x={x}:y={y}:eval=init"]
    steps += constant_rate(frames)
    if text is not None:
        parts += [f"{','.join(_text_layer(text, form, frames))}[text]", f"{','.join(steps)}[bare]"]
        steps = ["[bare][text]overlay_cuda=x=0:y=0:eval=init"]
    return ";".join([*parts, ",".join([*steps, *finish(frames)]) + "[picture]"])


def _fitting(video: VideoFacts, form: OutputForm) -> list[str]:
    """Size, 4:2:0 in planes (which the overlays want; decoders deliver NV12), and the black around it."""
    box = fit(video, form)
    same = (video.width, video.height) == (box.width, box.height)
    size = "interp_algo=nearest" if same else f"w={box.width}:h={box.height}:interp_algo=bicubic"
    steps = [f"scale_cuda={size}:format=yuv420p"]
    if (box.width, box.height) != (form.width, form.height):
        x, y = ((form.width - box.width) // 4 * 2, (form.height - box.height) // 4 * 2)
        steps.append(f"pad_cuda=w={form.width}:h={form.height}:x={x}:y={y}")
    return steps


def _text_layer(text: str, form: OutputForm, frames: FrameRange) -> list[str]:
    """The text alone, on the clip's clock: drawn by the processor on nothing, cut to its strip, uploaded.

    What libass draws on nothing is darkened by its own transparency, as if it had been laid on black; that
    is undone, because the card's overlay does it again.
    """
    return [
        f"color=c=black@0:s={form.width}x{form.height}:r={FRAME_RATE},format=gbrap",
        f"trim=end_frame={len(frames)}",
        *([f"setpts=PTS+{frames.start}"] if frames.start else []),
        f"ass=filename={TEXT_FILE}:fontsdir={FONTS_DIR}:alpha=1",
        f"crop=w={form.width}:h={strip_height(text, form)}:x=0:y=0",
        "unpremultiply=inplace=1",
        f"scale=flags={SCALER}:out_color_matrix=bt709:out_range=limited,format=yuva420p",
        "hwupload",
    ]


def strip_height(text: str, form: OutputForm) -> int:
    """So many lines from the top hold all that a text draws; all of them where that can't be told."""
    shown = letters(text)
    if not all(_is_plain(letter) for letter in shown):
        return form.height
    # Two neighbouring lines hold more than one line's width together, or they would be one.
    lines = 2 * len(shown) * _LETTER // (_CANVAS_WIDTH - 2 * _MARGIN) + 1
    height = _MARGIN + lines * _LINE + _BESIDE
    return min(form.height, 2 * math.ceil(Fraction(height * form.height, 2 * _CANVAS_HEIGHT)))


def _is_plain(letter: str) -> bool:
    return (
        len(letter) == 1
        and ord(letter) < _PLAIN_BELOW
        and unicodedata.category(letter) in _PLAIN_LETTERS
    )
