"""The encoders as data, and the test encode that finds which of them works here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reelyard.domain.errors import EncoderUnavailable, FFmpegFailed, GraphicsCardBusy
from reelyard.domain.output import GOP_FRAMES, HD, OutputForm
from reelyard.domain.plan import Encoding

from .ffmpeg import FFmpeg
from .nvenc import trouble

NVENC = "h264_nvenc"
X264 = "libx264"
PREFERENCE = (NVENC, X264)

_X264_TUNING = "cabac=1:8x8dct={dct}:bframes=2:b-adapt=0:deblock=0,0"
"""On top of ``ultrafast``: what profile Main asks for, B-frames and deblocking. Measured against
``veryfast`` at the target rate in docs/encoding.md: the same VMAF in under half the time."""


def video_options(encoder: str, form: OutputForm) -> tuple[str, ...]:
    """FFmpeg's options for an encoder and a form, rate control as in the system's table.

    libx264 gets one thread: with more, its rate control depends on timing, and so do the bytes.
    """
    own = _nvenc() if encoder == NVENC else _x264(form)
    rate = [
        *("-b:v", _mega(form.target_rate)),
        *("-maxrate", _mega(form.max_rate)),
        *("-bufsize", _mega(form.buffer_size)),
    ]
    shape = ["-profile:v", form.profile, "-level:v", form.level, "-g", str(GOP_FRAMES)]
    return ("-c:v", encoder, *own, *rate, *shape)


def _mega(bits: int) -> str:
    return f"{bits / 1_000_000:g}M"


def _x264(form: OutputForm) -> list[str]:
    tuning = _X264_TUNING.format(dct=int(form.profile == "high"))
    return ["-preset", "ultrafast", "-x264-params", tuning, "-threads", "1"]


def _nvenc() -> list[str]:
    quality = ["-preset", "p5", "-tune", "hq", "-rc", "vbr"]
    return [*quality, "-spatial-aq", "1", "-temporal-aq", "1", "-bf", "2", "-strict_gop", "1"]


def try_encode(ffmpeg: FFmpeg, encoder: str, form: OutputForm = HD) -> str | None:
    """None if a tenth of a second could be encoded; otherwise FFmpeg's last words."""
    source = f"color=c=gray:s={form.width}x{form.height}:r=30:d=0.1"
    argv = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", *video_options(encoder, form)]
    try:
        ffmpeg.run([*argv, "-f", "null", "-"])
    except FFmpegFailed as failure:
        return " / ".join(_reasons(failure.tail)) or failure.message
    return None


def _reasons(tail: Sequence[str]) -> list[str]:
    """What FFmpeg said first; and of a card's driver that is too old, how new it has to be."""
    return [
        line for n, line in enumerate(tail) if n == 0 or line.startswith("The minimum required")
    ]


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoder to use. ``passing``: a better one was kept from working by what may be over soon."""

    encoder: str
    passing: bool = False


def choose(ffmpeg: FFmpeg, wanted: str | None = None, form: OutputForm = HD) -> Choice:
    """The encoder that was asked for, or the best that proves to work for this form.

    Raises EncoderUnavailable with FFmpeg's own reason; GraphicsCardBusy where that may be over soon.
    """
    if wanted and wanted not in PREFERENCE:
        raise EncoderUnavailable(f"{wanted} is no encoder that is known here", remedy=_CHOICE)
    reasons = []
    busy: EncoderUnavailable | None = None
    for encoder in (wanted,) if wanted else PREFERENCE:
        reason = try_encode(ffmpeg, encoder, form)
        if reason is None:
            return Choice(encoder, passing=busy is not None)
        if isinstance(found := trouble([reason]), GraphicsCardBusy):
            busy = found
        reasons.append(f"{encoder} does not work here: {reason}")
    if busy is not None:
        raise busy
    raise EncoderUnavailable("; ".join(reasons), remedy=_REMEDY)


def find_encoder(ffmpeg: FFmpeg, wanted: str | None = None) -> str:
    """The encoder to use, by its name."""
    return choose(ffmpeg, wanted).encoder


_CHOICE = f"Choose one of {', '.join(PREFERENCE)}, with --encoder or REELYARD_ENCODER"
_REMEDY = "Leave --encoder and REELYARD_ENCODER out to use what works, or see reelyard doctor"


def encoding(encoder: str, form: OutputForm, ffmpeg: FFmpeg, device: str = "") -> Encoding:
    """``device``: the graphics card's model and driver, for an encoder that is one."""
    return Encoding(
        encoder=encoder,
        options=video_options(encoder, form),
        ffmpeg_version=ffmpeg.version,
        device=device if encoder == NVENC else "",
    )
