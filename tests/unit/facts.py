"""Values for tests: a plain 1080p clip and what differs from it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from reelyard.domain.job import Item, ItemType, Job
from reelyard.domain.media import (
    AudioFacts,
    Colour,
    MediaFacts,
    MediaKind,
    Transfer,
    VideoFacts,
)
from reelyard.domain.plan import Encoding

BT709 = Colour(matrix="bt709", primaries="bt709", transfer=Transfer.SDR, full_range=False)

CLIP_VIDEO = VideoFacts(
    stream_index=0,
    codec="h264",
    width=1920,
    height=1080,
    sample_aspect_ratio=Fraction(1),
    rotation=0,
    pixel_format="yuv420p",
    bit_depth=8,
    has_alpha=False,
    interlaced=False,
    colour=BT709,
    time_base=Fraction(1, 15360),
    first_tick=0,
    end_tick=153600,
    frame_count=300,
    longest_interval=512,
    key_interval=512,
    variable_rate=False,
)
"""Ten seconds at 30 frames a second, as a film wants them."""

CLIP_AUDIO = AudioFacts(
    stream_index=1,
    codec="aac",
    channels=2,
    layout="stereo",
    sample_rate=48000,
    time_base=Fraction(1, 48000),
    first_tick=0,
    end_tick=480000,
)

CLIP = MediaFacts(
    path="/media/clip.mp4",
    fingerprint="c1" * 32,
    size=1_000_000,
    modified_ns=1,
    kind=MediaKind.MOVING,
    demuxer="mov,mp4,m4a,3gp,3g2,mj2",
    container_start=Fraction(0),
    seekable=True,
    video=CLIP_VIDEO,
    audio=CLIP_AUDIO,
)

STILL_VIDEO = replace(
    CLIP_VIDEO,
    codec="png",
    pixel_format="rgb24",
    colour=replace(BT709, matrix="rgb", full_range=True),
    time_base=Fraction(1, 25),
    end_tick=1,
    frame_count=1,
    longest_interval=1,
    key_interval=1,
)

STILL = replace(
    CLIP,
    path="/media/still.png",
    fingerprint="57" * 32,
    kind=MediaKind.STILL,
    demuxer="png_pipe",
    seekable=False,
    video=STILL_VIDEO,
    audio=None,
)

LOGO_VIDEO = replace(STILL_VIDEO, width=200, height=101, pixel_format="rgba", has_alpha=True)

LOGO = replace(STILL, path="/media/logo.png", fingerprint="10" * 32, video=LOGO_VIDEO)

X264_HD = Encoding(encoder="libx264", options=("-c:v", "libx264"), ffmpeg_version="ffmpeg 9")


def video(**changes: Any) -> VideoFacts:
    return replace(CLIP_VIDEO, **changes)


def colour(**changes: Any) -> Colour:
    return replace(BT709, **changes)


def clip(*, audio: AudioFacts | None = CLIP_AUDIO, **changes: Any) -> MediaFacts:
    """The plain clip with another picture (names of VideoFacts) or another sound."""
    return replace(CLIP, video=video(**changes), audio=audio)


def item(**changes: Any) -> Item:
    base = Item(position=1, item_type=ItemType.VIDEO, path="/media/clip.mp4", named="clip.mp4")
    return replace(base, **changes)


def job(*items: Item, **changes: Any) -> Job:
    base = Job(job_id="0" * 32, channel_name="Tests", items=items)
    return replace(base, **changes)
