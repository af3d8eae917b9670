"""Filter graphs for the picture: golden graphs, and the geometry behind them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.media import Transfer, VideoFacts
from reelyard.domain.output import HD, UHD, OutputForm
from reelyard.domain.timeline import FrameRange
from reelyard.engine.picture import (
    Box,
    fit,
    logo_size,
    moving_graph,
    seek_before,
    still_graph,
)
from tests.unit.facts import (
    CLIP,
    LOGO_VIDEO,
    STILL,
    STILL_VIDEO,
    clip,
    colour,
    video,
)

WHOLE = FrameRange(0, 300)
START = Fraction(0)
HOW = "flags=bicubic+accurate_rnd+bitexact"
TO_709 = "out_color_matrix=bt709:out_range=limited"
RATE = "fps=30,tpad=stop=2:stop_mode=clone,trim=start_pts=0:end_pts=300"
TAGS = "setsar=1,sidedata=mode=delete,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709[picture]"

SHAPES = st.builds(
    lambda width, height, sar: video(width=width, height=height, sample_aspect_ratio=sar),
    st.integers(1, 8192),
    st.integers(1, 8192),
    st.fractions(Fraction(1, 4), 4, max_denominator=200),
)
FORMS = st.sampled_from([HD, UHD])


# Geometry


@given(SHAPES, FORMS)
def test_a_fitted_picture_lies_within_the_canvas_and_touches_it(
    shape: VideoFacts, form: OutputForm
) -> None:
    box = fit(shape, form)
    assert 2 <= box.width <= form.width
    assert 2 <= box.height <= form.height
    assert box.width == form.width or box.height == form.height


@given(SHAPES, FORMS)
def test_a_fitted_picture_is_even(shape: VideoFacts, form: OutputForm) -> None:
    box = fit(shape, form)
    assert (box.width % 2, box.height % 2) == (0, 0)


@given(SHAPES, FORMS)
def test_a_fitted_picture_keeps_its_aspect_within_a_pixel(
    shape: VideoFacts, form: OutputForm
) -> None:
    """The side that does not touch the canvas is at most one pixel off its exact length."""
    box = fit(shape, form)
    aspect = shape.display_aspect_ratio
    wide = aspect >= Fraction(form.width, form.height)
    exact = form.width / aspect if wide else form.height * aspect
    assert abs((box.height if wide else box.width) - exact) <= 1 or exact < 2


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        (video(), Box(1920, 1080)),
        (video(width=640, height=480), Box(1440, 1080)),
        (video(width=1080, height=1920), Box(608, 1080)),
        (video(width=2560, height=1080), Box(1920, 810)),
        (video(width=720, height=576, sample_aspect_ratio=Fraction(64, 45)), Box(1920, 1080)),
        (video(width=1, height=8000), Box(2, 1080)),
        (video(width=8000, height=1), Box(1920, 2)),
    ],
)
def test_pictures_of_all_shapes_fit_the_canvas(shape: VideoFacts, box: Box) -> None:
    assert fit(shape, HD) == box


@pytest.mark.parametrize(
    ("width", "height", "form", "box"),
    [
        (200, 101, HD, Box(200, 101)),
        (200, 101, UHD, Box(200, 101)),
        (1000, 100, HD, Box(480, 48)),
        (100, 1000, HD, Box(27, 270)),
        (4000, 3000, UHD, Box(720, 540)),
        (100_000, 1, HD, Box(480, 1)),
    ],
)
def test_a_logo_keeps_its_size_up_to_a_quarter_of_the_picture(
    width: int, height: int, form: OutputForm, box: Box
) -> None:
    assert logo_size(video(width=width, height=height), form) == box


# Golden graphs


def test_a_clip_that_is_right_already_is_neither_scaled_nor_converted() -> None:
    assert moving_graph(CLIP, HD, START, WHOLE) == f"[0:0]setpts=PTS-0,{RATE},{TAGS}"


def test_720p_at_2997_with_logo_and_text() -> None:
    small = clip(
        width=1280,
        height=720,
        time_base=Fraction(1, 30000),
        end_tick=300300,
        longest_interval=1001,
        colour=colour(matrix="smpte170m"),
    )
    assert moving_graph(small, HD, START, WHOLE, logo=LOGO_VIDEO, text=True) == (
        # The logo is 101 pixels high: a transparent row makes it even, in RGB.
        f"[1:0]trim=end_frame=1,format=rgba,scale=w=200:h=101:{HOW},pad=w=200:h=102:x=0:y=0:color=black@0,"
        f"scale={HOW}:{TO_709},format=yuva420p[logo];"
        # Scaled and laid over before the rate conversion: the source is the slower one.
        f"[0:0]setpts=PTS-0,scale=w=1920:h=1080:{HOW}:in_color_matrix=smpte170m:"
        f"in_range=limited:{TO_709},format=yuv420p[clip];"
        # 1920 - 200 - 10 from the left, 10 from the top. Text last, once per frame of the film.
        f"[clip][logo]overlay=x=1710:y=10,{RATE},ass=filename=text.ass:fontsdir=fonts,{TAGS}"
    )


def test_an_odd_logo_ends_exactly_ten_pixels_from_the_right_edge() -> None:
    odd = video(width=75, height=40)
    graph = moving_graph(CLIP, HD, START, WHOLE, logo=odd)
    # Padded on its left: 1834 + 76 = 1910.
    assert "pad=w=76:h=40:x=1:y=0:color=black@0" in graph
    assert "overlay=x=1834:y=10" in graph


def test_60_fps_is_thinned_out_before_anything_is_worked_on() -> None:
    fast = clip(frame_count=600, longest_interval=256, width=1280, height=720)
    assert moving_graph(fast, HD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,{RATE},scale=w=1920:h=1080:{HOW}:in_color_matrix=bt709:"
        f"in_range=limited:{TO_709},format=yuv420p,{TAGS}"
    )


def test_60_fps_gets_its_logo_after_it_was_thinned_out() -> None:
    fast = clip(frame_count=600, longest_interval=256)
    graph = moving_graph(fast, HD, START, WHOLE, logo=LOGO_VIDEO)
    assert graph.endswith(f";[0:0]setpts=PTS-0,{RATE}[clip];[clip][logo]overlay=x=1710:y=10,{TAGS}")


PHONE = clip(
    stream_index=2,
    width=1080,
    height=1920,
    pixel_format="yuvj420p",
    colour=colour(full_range=True),
    time_base=Fraction(1, 90000),
    first_tick=9000,
    end_tick=9000 + 40 * 90000,
    frame_count=1100,
    longest_interval=9000,
    variable_rate=True,
)
"""A portrait clip of variable frame rate, 40 s from 0.1 s on, gaps of up to 0.1 s, full range."""


def test_a_second_part_of_a_variable_clip_keeps_the_clips_clock() -> None:
    part = FrameRange(600, 1125)
    assert moving_graph(PHONE, HD, Fraction(5, 2), part) == (
        # 2.5 s into a picture that begins at 0.1 s: 2.6 s * 90 000 ticks.
        "[0:2]setpts=PTS-234000,"
        # Two frames and the longest gap before frame 600: (598 / 30 - 0.1) * 90 000.
        "trim=start_pts=1785000,"
        f"scale=w=608:h=1080:{HOW}:in_color_matrix=bt709:in_range=full:{TO_709},"
        "format=yuv420p,pad=w=1920:h=1080:x=656:y=0,"
        # The clip's own frame numbers, then the segment's.
        "fps=30,tpad=stop=2:stop_mode=clone,trim=start_pts=600:end_pts=1125,"
        f"setpts=PTS-600,{TAGS}"
    )


def test_text_in_a_second_part_is_drawn_on_the_clips_clock() -> None:
    graph = moving_graph(PHONE, HD, START, FrameRange(600, 1125), text=True)
    assert graph.index("ass=filename") < graph.index("setpts=PTS-600")


def test_interlaced_anamorphic_pal_becomes_progressive_and_square() -> None:
    pal = clip(
        width=720,
        height=576,
        sample_aspect_ratio=Fraction(16, 15),
        interlaced=True,
        time_base=Fraction(1, 25),
        end_tick=250,
        frame_count=250,
        longest_interval=1,
        colour=colour(matrix="bt470bg"),
    )
    assert moving_graph(pal, HD, START, WHOLE) == (
        "[0:0]setpts=PTS-0,bwdif=mode=send_frame:deint=interlaced,"
        f"scale=w=1440:h=1080:{HOW}:in_color_matrix=bt470bg:in_range=limited:{TO_709},"
        f"format=yuv420p,pad=w=1920:h=1080:x=240:y=0,{RATE},{TAGS}"
    )


def test_pq_is_tone_mapped_from_its_own_peak() -> None:
    hdr10 = clip(
        width=3840,
        height=2160,
        pixel_format="yuv420p10le",
        bit_depth=10,
        colour=colour(matrix="bt2020nc", primaries="bt2020", transfer=Transfer.PQ, peak_nits=4000),
    )
    assert moving_graph(hdr10, HD, START, WHOLE) == (
        "[0:0]setpts=PTS-0,"
        "zscale=w=1920:h=1080:filter=bicubic:matrixin=bt2020nc:primariesin=bt2020:"
        "transferin=smpte2084:rangein=limited:transfer=linear:npl=203,format=gbrpf32le,"
        "zscale=primaries=bt709,"
        "tonemap=tonemap=mobius:param=0.3:desat=0:peak=19.704,"  # 4000 / 203 nits
        "zscale=transfer=bt709:matrix=bt709:primaries=bt709:range=limited,format=yuv420p,"
        f"{RATE},{TAGS}"
    )


def test_hlg_is_tone_mapped_as_a_thousand_nits() -> None:
    hlg = clip(
        width=3840,
        height=2160,
        pixel_format="yuv420p10le",
        bit_depth=10,
        colour=colour(matrix="bt2020nc", primaries="bt2020", transfer=Transfer.HLG),
    )
    assert moving_graph(hlg, UHD, START, WHOLE) == (
        "[0:0]setpts=PTS-0,"
        "zscale=w=3840:h=2160:filter=bicubic:matrixin=bt2020nc:primariesin=bt2020:"
        "transferin=arib-std-b67:rangein=limited:transfer=linear:npl=203,format=gbrpf32le,"
        "zscale=primaries=bt709,"
        "tonemap=tonemap=mobius:param=0.3:desat=0:peak=4.926,"  # 1000 / 203 nits
        "zscale=transfer=bt709:matrix=bt709:primaries=bt709:range=limited,format=yuv420p,"
        f"{RATE},{TAGS}"
    )


@pytest.mark.parametrize("primaries", ["bt2020", "smpte431", "smpte432"])
def test_wide_gamut_is_converted_in_linear_light_and_not_tone_mapped(primaries: str) -> None:
    p3 = clip(
        pixel_format="gbrp", colour=colour(matrix="rgb", primaries=primaries, full_range=True)
    )
    assert moving_graph(p3, HD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,zscale=w=1920:h=1080:filter=bicubic:matrixin=gbr:"
        f"primariesin={primaries}:transferin=bt709:rangein=full:transfer=linear:npl=100,"
        "format=gbrpf32le,"
        "zscale=transfer=bt709:matrix=bt709:primaries=bt709:range=limited,format=yuv420p,"
        f"{RATE},{TAGS}"
    )


def test_a_transparent_picture_is_laid_on_black() -> None:
    transparent = clip(width=1000, height=1000, has_alpha=True, pixel_format="yuva444p10le")
    assert moving_graph(transparent, HD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,scale={HOW}:in_color_matrix=bt709:in_range=limited,format=gbrap,"
        f"premultiply=inplace=1,format=gbrp,scale=w=1080:h=1080:{HOW}:in_range=full:{TO_709},"
        "format=yuv420p,"
        f"pad=w=1920:h=1080:x=420:y=0,{RATE},{TAGS}"
    )


def test_a_transparent_rgb_picture_has_no_matrix_to_undo() -> None:
    transparent = clip(
        has_alpha=True, pixel_format="rgba", colour=colour(matrix="rgb", full_range=True)
    )
    assert moving_graph(transparent, HD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,format=gbrap,premultiply=inplace=1,format=gbrp,"
        f"scale={HOW}:in_range=full:{TO_709},format=yuv420p,{RATE},{TAGS}"
    )


def test_a_transparent_wide_gamut_picture_is_laid_on_black_and_mapped() -> None:
    graph = moving_graph(
        clip(
            has_alpha=True,
            pixel_format="rgba",
            colour=colour(matrix="rgb", primaries="smpte432", full_range=True),
        ),
        HD,
        START,
        WHOLE,
    )
    assert "premultiply=inplace=1,format=gbrp,zscale=" in graph
    assert "matrixin=gbr:primariesin=smpte432" in graph


def test_full_range_yuv_with_alpha_is_read_as_full_range() -> None:
    transparent = clip(has_alpha=True, pixel_format="yuva420p", colour=colour(full_range=True))
    assert "in_color_matrix=bt709:in_range=full,format=gbrap" in moving_graph(
        transparent, HD, START, WHOLE
    )


def test_1080p_in_a_4k_film_is_scaled_up() -> None:
    assert moving_graph(CLIP, UHD, START, WHOLE) == (
        f"[0:0]setpts=PTS-0,scale=w=3840:h=2160:{HOW}:in_color_matrix=bt709:in_range=limited:"
        f"{TO_709},format=yuv420p,{RATE},{TAGS}"
    )


def test_a_logo_in_a_4k_film_lies_ten_pixels_from_its_edges_too() -> None:
    graph = moving_graph(CLIP, UHD, START, WHOLE, logo=LOGO_VIDEO)
    assert "overlay=x=3630:y=10," in graph  # 3840 - 200 - 10


@pytest.mark.parametrize(
    "changes",
    [
        {"pixel_format": "yuv422p"},
        {"pixel_format": "yuv420p10le", "bit_depth": 10},
        {"colour": colour(full_range=True)},
        {"colour": colour(matrix="smpte170m")},
    ],
)
def test_any_difference_in_format_range_or_matrix_is_converted_without_scaling(
    changes: dict[str, Any],
) -> None:
    graph = moving_graph(clip(**changes), HD, START, WHOLE)
    assert f"setpts=PTS-0,scale={HOW}:in_color_matrix=" in graph
    assert graph.endswith(f"{TO_709},format=yuv420p,{RATE},{TAGS}")


def test_a_still_is_decoded_and_scaled_once_and_repeated() -> None:
    assert still_graph(STILL_VIDEO, HD, 150) == (
        f"[0:0]trim=end_frame=1,scale={HOW}:in_range=full:{TO_709},format=yuv420p,"
        "loop=loop=-1:size=1,settb=1/30,setpts=N,fps=30,"
        f"trim=end_pts=150,{TAGS}"
    )


def test_a_small_jpeg_in_a_4k_film() -> None:
    jpeg = video(
        width=1280,
        height=720,
        pixel_format="yuvj444p",
        colour=colour(matrix="smpte170m", full_range=True),
    )
    assert still_graph(jpeg, UHD, 90) == (
        f"[0:0]trim=end_frame=1,scale=w=3840:h=2160:{HOW}:in_color_matrix=smpte170m:"
        f"in_range=full:{TO_709},format=yuv420p,loop=loop=-1:size=1,settb=1/30,setpts=N,fps=30,"
        f"trim=end_pts=90,{TAGS}"
    )


# Seeking


def test_a_first_part_is_read_from_the_beginning() -> None:
    assert seek_before(CLIP, START, WHOLE) is None


def test_a_later_part_is_entered_a_second_and_the_longest_gap_before_it() -> None:
    # 2.5 + 20 - 1 - 0.1 s into a picture that begins at 0.1 s.
    assert seek_before(PHONE, Fraction(5, 2), FrameRange(600, 1125)) == Fraction("21.5")


def test_a_seek_counts_from_the_containers_start() -> None:
    late = clip(first_tick=153600, end_tick=2 * 153600)
    shifted = replace(late, container_start=Fraction(9))
    # The picture begins at 10 s, the container at 9 s.
    assert seek_before(shifted, Fraction(5), FrameRange(0, 30)) == (
        10 + 5 - 1 - Fraction(512, 15360) - 9
    )


def test_what_has_no_index_is_read_from_the_beginning() -> None:
    unseekable = replace(PHONE, seekable=False)
    assert seek_before(unseekable, Fraction(5, 2), FrameRange(600, 1125)) is None


def test_a_still_is_never_entered_in_its_middle() -> None:
    still = replace(STILL, seekable=True)
    assert seek_before(still, Fraction(9), FrameRange(300, 600)) is None


@given(
    start=st.fractions(0, 100, max_denominator=1000),
    first=st.integers(0, 3000),
    origin=st.integers(0, 10**6),
    gap=st.integers(1, 20_000),
)
def test_a_seek_never_lands_after_a_frame_that_the_graph_keeps(
    start: Fraction, first: int, origin: int, gap: int
) -> None:
    facts = clip(first_tick=origin, end_tick=origin + 10**7, longest_interval=gap)
    frames = FrameRange(first, first + 30)
    seek = seek_before(facts, start, frames)
    if seek is None:
        return
    tick = facts.video.time_base
    for part in moving_graph(facts, HD, start, frames).split(","):
        if part.startswith("trim=start_pts=") and "end_pts" not in part:
            earliest = int(part.removeprefix("trim=start_pts=")) * tick
            # On the clip's clock, half a tick for the rounding of its origin.
            assert seek - facts.video.first - start <= earliest + tick / 2
