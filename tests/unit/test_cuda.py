"""Graphs for the graphics card's frames: golden, and which clips are the processor's."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.job import Item, ItemType
from reelyard.domain.media import Transfer
from reelyard.domain.output import HD, UHD
from reelyard.domain.timeline import FrameRange
from reelyard.engine.cuda import by_processor, card_graph, strip_height
from reelyard.engine.picture import moving_graph
from tests.unit.facts import LOGO_VIDEO, STILL, clip, colour

WHOLE = FrameRange(0, 300)
START = Fraction(0)
RATE = "fps=30,tpad=stop=2:stop_mode=clone,trim=start_pts=0:end_pts=300"
TAGS = "setsar=1,sidedata=mode=delete,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709[picture]"
HOW = "flags=bicubic+accurate_rnd+bitexact"
DECODES = ("h264", "hevc")
ITEM = Item(position=1, item_type=ItemType.VIDEO, path="/a.mp4", named="a.mp4")


def test_a_clip_of_the_films_size_is_only_repacked() -> None:
    assert card_graph(clip(width=1920, height=1080), HD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,scale_cuda=interp_algo=nearest:format=yuv420p,{RATE},{TAGS}"
    )


def test_a_clip_of_another_shape_is_scaled_and_padded_on_the_card() -> None:
    assert card_graph(clip(width=1280, height=960), HD, START, WHOLE) == (
        "[0:0]setpts=PTS-0,scale_cuda=w=1440:h=1080:interp_algo=bicubic:format=yuv420p,"
        f"pad_cuda=w=1920:h=1080:x=240:y=0,{RATE},{TAGS}"
    )


def test_a_logo_is_uploaded_once_and_a_text_as_its_strip() -> None:
    piece = FrameRange(45, 90)
    graph = card_graph(clip(width=1920, height=1080), HD, START, piece, logo=LOGO_VIDEO, text="Hi")
    width, height = LOGO_VIDEO.width, LOGO_VIDEO.height
    logo = re.escape(
        f"[1:{LOGO_VIDEO.stream_index}]trim=end_frame=1,format=rgba,scale=w={width}:h={height}:{HOW},"
    )
    assert re.match(logo, graph)
    layers = graph.split(";")
    assert layers[0].endswith("format=yuva420p,hwupload[logo]")
    assert layers[2] == (
        "color=c=black@0:s=1920x1080:r=30,format=gbrap,trim=end_frame=45,setpts=PTS+45,"
        "ass=filename=text.ass:fontsdir=fonts:alpha=1,crop=w=1920:h=110:x=0:y=0,unpremultiply=inplace=1,"
        f"scale={HOW}:out_color_matrix=bt709:out_range=limited,format=yuva420p,hwupload[text]"
    )
    assert layers[4] == f"[bare][text]overlay_cuda=x=0:y=0:eval=init,setpts=PTS-45,{TAGS}"


@given(
    st.integers(0, 40),
    st.integers(1, 40),
    st.fractions(0, 4, max_denominator=7),
    st.sampled_from([Fraction(24), Fraction(30), Fraction(60)]),
)
def test_the_steps_that_choose_frames_are_those_of_the_processors_graph(
    start: int, count: int, trimmed: Fraction, rate: Fraction
) -> None:
    """In the same order with the same figures: only what touches pixels stands elsewhere."""
    facts = clip(width=1280, height=720, frame_count=int(10 * rate))
    piece = FrameRange(start, start + count)
    times = re.compile(r"(?<![a-z])(?:setpts|trim|fps|tpad)=[^,\[;]*")
    on_card = times.findall(card_graph(facts, HD, trimmed, piece))
    assert on_card == times.findall(moving_graph(facts, HD, trimmed, piece))


# Which clips are the processor's


def test_an_ordinary_clip_is_the_cards() -> None:
    assert by_processor(ITEM, clip(width=1280, height=720), DECODES) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"has_alpha": True}, "it is transparent in places"),
        ({"decoder": "libvpx-vp9"}, "it is transparent in places"),
        ({"rotation": 90}, "it is rotated by 90 degrees"),
        ({"interlaced": True}, "it is interlaced"),
        ({"colour": colour(transfer=Transfer.PQ)}, "it is HDR"),
        ({"bit_depth": 10}, "it has 10 bits a colour"),
        ({"colour": colour(full_range=True)}, "its colours have the full range"),
        ({"colour": colour(matrix="smpte170m")}, "its colours are coded by smpte170m, not BT.709"),
        ({"colour": colour(primaries="bt2020")}, "its colours are a wide gamut's"),
        ({"pixel_format": "yuv422p"}, "its pixel format is yuv422p"),
        ({"width": 1279}, "its size is odd"),
        ({"width": 128}, "its size is none for the card's decoder"),
        ({"height": 4320}, "its size is none for the card's decoder"),
        ({"codec": "prores"}, "the graphics card does not decode prores"),
    ],
)
def test_what_the_card_can_not_do_is_said(changes: dict[str, Any], reason: str) -> None:
    facts = clip(**{"width": 1280, "height": 720, **changes})
    assert by_processor(ITEM, facts, DECODES) == reason


def test_stills_are_the_processors() -> None:
    assert by_processor(ITEM, STILL, DECODES) == "it is a still"
    image = replace(ITEM, item_type=ItemType.IMAGE)
    assert by_processor(image, clip(width=1280, height=720), DECODES) == "it is a still"


# The strip


def test_a_plain_text_takes_a_strip_of_its_lines() -> None:
    assert strip_height("Hi", HD) == 110
    assert strip_height("Hi", UHD) == 220
    assert strip_height("x" * 99, HD) == 610


@pytest.mark.parametrize(
    "text", ["caf\u00e9\u0301", "\u6f22\u5b57", "\ufdfd", "a\u2014b", "\U0001f600"]
)
def test_a_text_of_letters_that_may_be_large_takes_the_whole_picture(text: str) -> None:
    """Piled-up accents, ligatures as long as a sentence: nothing of them is cut off."""
    assert strip_height(text, HD) == 1080


@given(st.text("abc WM.", min_size=1, max_size=400))
def test_a_strip_is_even_and_within_the_picture(text: str) -> None:
    for form in (HD, UHD):
        height = strip_height(text, form)
        assert height % 2 == 0
        assert 0 < height <= form.height
