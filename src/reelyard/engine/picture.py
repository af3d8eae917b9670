"""Filter graphs for the picture (pure): whatever came in, one kind comes out.

A clip's clock starts at its first shown frame and never restarts: every filter that looks at
the time (rate conversion, text) sees the clip's clock, also in a segment cut from its middle. So a
segment's frames are those of the uncut clip, bit for bit.

Work is ordered by cost. Scaling, colour and the logo run once per source frame where the source
is slower than the film, and after the rate conversion where it is faster. A step that would
change nothing is not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from reelyard.domain.media import MediaFacts, MediaKind, Transfer, VideoFacts
from reelyard.domain.output import OutputForm
from reelyard.domain.timeline import FRAME_RATE, FrameRange, round_half_up

TEXT_FILE = "text.ass"
FONTS_DIR = "fonts"

LOGO_MARGIN = 10
"""Pixels of the film; a draft has as many fewer as it is smaller."""

LOGO_SHARE = 4
"""A logo may cover a quarter of the picture's width and of its height, no more."""

PREROLL = Fraction(1)
"""Seconds that a segment reads before it starts, beyond the longest gap between frames: enough
for leading pictures after an open GOP's key frame, which a decoder drops."""

TAIL_FRAMES = 2
"""Frames a clip's end may be short of its span by rounding; held from the last frame."""

SCALER = "bicubic+accurate_rnd+bitexact"
REFERENCE_WHITE_NITS = 203
# Every segment writes the same headers: square pixels said so (scale leaves 1281:1280 and the like
# behind), no side data (a source's HDR metadata would be written into the film), the same tags.
_TAGS = "setsar=1,sidedata=mode=delete,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"


@dataclass(frozen=True, slots=True)
class Box:
    """A size in pixels."""

    width: int
    height: int


def fit(video: VideoFacts, form: OutputForm) -> Box:
    """The size at which a picture fits the canvas, aspect kept, square pixels, even numbers."""
    scale = min(
        Fraction(form.width) / (video.width * video.sample_aspect_ratio),
        Fraction(form.height, video.height),
    )
    return Box(
        _even(video.width * video.sample_aspect_ratio * scale, form.width),
        _even(video.height * scale, form.height),
    )


def _even(length: Fraction, limit: int) -> int:
    return min(limit, max(2, 2 * round_half_up(length / 2)))


def logo_size(logo: VideoFacts, form: OutputForm) -> Box:
    """A logo's own size, or the largest within its share of the picture; in a draft, reduced."""
    scale = min(
        form.reduction,
        Fraction(form.width, LOGO_SHARE * logo.width),
        Fraction(form.height, LOGO_SHARE * logo.height),
    )
    return Box(*(max(1, round_half_up(side * scale)) for side in (logo.width, logo.height)))


def _up_to_even(length: int) -> int:
    return length + length % 2


def seek_before(facts: MediaFacts, start: Fraction, frames: FrameRange) -> Fraction | None:
    """Where FFmpeg should enter the source for a segment, in seconds from its container's start.

    None means from the beginning: there is nothing to skip, or the container can't be trusted to.
    """
    video = facts.video
    if not facts.seekable or facts.kind is MediaKind.STILL:
        return None
    shown = start + Fraction(frames.start, FRAME_RATE)
    target = shown - video.longest_interval * video.time_base - PREROLL
    if target <= 0:
        return None
    return video.first + target - facts.container_start


def moving_graph(
    facts: MediaFacts,
    form: OutputForm,
    start: Fraction,
    frames: FrameRange,
    *,
    logo: VideoFacts | None = None,
    text: bool = False,
) -> str:
    """The graph for ``frames`` of a clip that is shown from ``start`` seconds on.

    Input 0 is the clip, input 1 the logo. Ends in ``[picture]``.
    """
    video = facts.video
    head = clock(video, start, frames)
    if video.interlaced:
        head.append("bwdif=mode=send_frame:deint=interlaced")
    rate = constant_rate(frames)
    fast = video.frame_rate > FRAME_RATE
    still_work = fitting(video, form)
    first, second = (rate, still_work) if fast else (still_work, rate)
    tail = [f"ass=filename={TEXT_FILE}:fontsdir={FONTS_DIR}"] if text else []
    tail += finish(frames)
    if logo is None:
        return ",".join([*head, *first, *second, *tail]) + "[picture]"
    before, after = ([*head, *first, *second], tail) if fast else ([*head, *first], [*rate, *tail])
    return _with_logo(before, after, logo, form)


def clock(video: VideoFacts, start: Fraction, frames: FrameRange) -> list[str]:
    """Steps that give a source's frames the clip's clock, and drop those long before ``frames``."""
    steps = [f"[0:{video.stream_index}]setpts=PTS-{_origin(video, start)}"]
    if frames.start or start:
        steps.append(f"trim=start_pts={_earliest(video, frames.start)}")
    return steps


def constant_rate(frames: FrameRange) -> list[str]:
    """Steps from the source's rate to the film's, and to just ``frames``."""
    return [
        f"fps={FRAME_RATE}",
        f"tpad=stop={TAIL_FRAMES}:stop_mode=clone",
        f"trim=start_pts={frames.start}:end_pts={frames.end}",
    ]


def finish(frames: FrameRange) -> list[str]:
    """Steps that make a segment of the clip's frames: it begins at zero, with the usual headers."""
    return [*([f"setpts=PTS-{frames.start}"] if frames.start else []), _TAGS]


def still_graph(video: VideoFacts, form: OutputForm, frames: int) -> str:
    """The graph for a still shown for ``frames``: decoded and scaled once. Ends in ``[picture]``."""
    steps = [f"[0:{video.stream_index}]{_alpha(0, video)}trim=end_frame=1", *fitting(video, form)]
    steps += ["loop=loop=-1:size=1", f"settb=1/{FRAME_RATE}", "setpts=N", f"fps={FRAME_RATE}"]
    return ",".join([*steps, f"trim=end_pts={frames}", _TAGS]) + "[picture]"


def _alpha(number: int, still: VideoFacts) -> str:
    """Puts an alpha channel that is a stream of its own onto its picture."""
    return "" if still.alpha_index is None else f"[{number}:{still.alpha_index}]alphamerge,"


def _origin(video: VideoFacts, start: Fraction) -> int:
    """The tick of the source at which the clip's clock reads zero."""
    return video.first_tick + round_half_up(start / video.time_base)


def _earliest(video: VideoFacts, frame: int) -> int:
    """A tick of the clip's clock before which no source frame can be shown at ``frame``."""
    seconds = Fraction(frame - 2, FRAME_RATE) - video.longest_interval * video.time_base
    return math.floor(seconds / video.time_base)


def _with_logo(before: list[str], after: list[str], logo: VideoFacts, form: OutputForm) -> str:
    steps, x, y = logo_layer(logo, form)
    return (
        f"{','.join(steps)}[logo];"
        f"{','.join(before)}[clip];"
        f"[clip][logo]{','.join([f'overlay=x={x}:y={y}', *after])}[picture]"
    )


def logo_layer(logo: VideoFacts, form: OutputForm) -> tuple[list[str], int, int]:
    """Steps from input 1 to one frame to lay over the picture, and where it lies."""
    size = logo_size(logo, form)
    margin = round_half_up(LOGO_MARGIN * form.reduction)
    # Chroma is halved: a logo can only lie on even pixels. Transparent columns and rows make its
    # edges land exactly on the margin.
    left, above = (form.width - margin - size.width) % 2, margin % 2
    width, height = (_up_to_even(left + size.width), _up_to_even(above + size.height))
    scale = f"scale=w={size.width}:h={size.height}:flags={SCALER}"
    # The sides are padded while it is still RGB, where one pixel is one pixel.
    canvas = f"pad=w={width}:h={height}:x={left}:y={above}:color=black@0"
    convert = f"scale=flags={SCALER}:out_color_matrix=bt709:out_range=limited,format=yuva420p"
    first = f"[1:{logo.stream_index}]{_alpha(1, logo)}trim=end_frame=1"
    x, y = form.width - margin - size.width - left, margin - above
    return [first, "format=rgba", scale, canvas, convert], x, y


def fitting(video: VideoFacts, form: OutputForm) -> list[str]:
    """Filters that bring one frame to the canvas: 8-bit 4:2:0 BT.709 limited, centred on black."""
    box = fit(video, form)
    steps: list[str] = []
    if video.has_alpha:
        steps, video = _on_black(video)
    if video.colour.transfer is not Transfer.SDR:
        steps += _tone_mapping(video, box)
    elif video.colour.primaries in ("bt2020", "smpte431", "smpte432"):
        steps += _gamut_mapping(video, box)
    else:
        steps += _scaling(video, box)
    if (box.width, box.height) != (form.width, form.height):
        x, y = ((form.width - box.width) // 4 * 2, (form.height - box.height) // 4 * 2)
        steps.append(f"pad=w={form.width}:h={form.height}:x={x}:y={y}")
    return steps


def _scaling(video: VideoFacts, box: Box) -> list[str]:
    """Size, matrix, range and format in one pass of swscale; nothing where nothing changes."""
    colour = video.colour
    same_size = (video.width, video.height) == (box.width, box.height)
    same_colour = colour.matrix == "bt709" and not colour.full_range
    if same_size and same_colour and video.pixel_format == "yuv420p":
        return []
    size = "" if same_size else f"w={box.width}:h={box.height}:"
    read = "" if colour.matrix == "rgb" else f"in_color_matrix={colour.matrix}:"
    spread = "full" if colour.full_range else "limited"
    return [
        f"scale={size}flags={SCALER}:{read}in_range={spread}:"
        "out_color_matrix=bt709:out_range=limited",
        "format=yuv420p",
    ]


def _on_black(video: VideoFacts) -> tuple[list[str], VideoFacts]:
    """Composited on black, in RGB, where multiplying by alpha means just that; what it is then."""
    colour = video.colour
    steps = ["format=gbrap", "premultiply=inplace=1", "format=gbrp"]
    if colour.matrix != "rgb":
        spread = "full" if colour.full_range else "limited"
        read = f"in_color_matrix={colour.matrix}:in_range={spread}"
        steps.insert(0, f"scale=flags={SCALER}:{read}")
    opaque = replace(
        video,
        has_alpha=False,
        pixel_format="gbrp",
        colour=replace(colour, matrix="rgb", full_range=True),
    )
    return steps, opaque


def _zscale_in(video: VideoFacts, box: Box, transfer: str) -> str:
    """Into linear light, as floats. zscale sizes it on the way, so the rest has less to do."""
    colour = video.colour
    spread = "full" if colour.full_range else "limited"
    matrix = "gbr" if colour.matrix == "rgb" else colour.matrix
    # zscale takes no odd sizes where chroma is halved.
    odd = (video.width % 2 or video.height % 2) and colour.matrix != "rgb"
    whole = f"scale=flags={SCALER},format=yuv444p12," if odd else ""
    return (
        f"{whole}zscale=w={box.width}:h={box.height}:filter=bicubic:matrixin={matrix}:"
        f"primariesin={colour.primaries}:transferin={transfer}:rangein={spread}:"
        f"transfer=linear:npl={REFERENCE_WHITE_NITS if transfer in _HDR else 100},format=gbrpf32le"
    )


_HDR = {"smpte2084", "arib-std-b67"}
_ZSCALE_OUT = "zscale=transfer=bt709:matrix=bt709:primaries=bt709:range=limited,format=yuv420p"


def _tone_mapping(video: VideoFacts, box: Box) -> list[str]:
    """HDR to SDR: diffuse white (203 nits, BT.2408) stays white-ish, highlights are rolled off."""
    transfer = "smpte2084" if video.colour.transfer is Transfer.PQ else "arib-std-b67"
    peak = Fraction(video.colour.peak_nits, REFERENCE_WHITE_NITS)
    return [
        _zscale_in(video, box, transfer),
        "zscale=primaries=bt709",
        f"tonemap=tonemap=mobius:param=0.3:desat=0:peak={float(peak):.3f}",
        _ZSCALE_OUT,
    ]


def _gamut_mapping(video: VideoFacts, box: Box) -> list[str]:
    """Wide-gamut SDR: the primaries are converted in linear light."""
    return [_zscale_in(video, box, "bt709"), _ZSCALE_OUT]
