"""Probing: what a source really is and holds, measured over its packets with PyAV.

A container's claims are compared with what is there, never believed. One frame is decoded, for
what only a frame knows (rotation, field order, colour) and as proof that it can be. Nothing but the
file itself is opened: the ``file`` protocol, and only demuxers on the list.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelyard.domain.errors import BadMedia
from reelyard.domain.media import AudioFacts, MediaFacts, MediaKind, VideoFacts

from . import demuxers
from .colour import colour_of
from .packets import Content, Span, read_all

MOST_PIXELS = 16_384 * 8_192
LONGEST_SIDE = 16_384
LONGEST_SECONDS = 24 * 3600
_BLOCK = 1 << 20

SHORT_BY = Fraction(1, 2)
"""Seconds of picture that may be missing from what the header claims; at least 2 % of the claim."""


def _go_on() -> None:
    """Nothing stops this probe."""


def probe(path: Path, check: Callable[[], None] = _go_on) -> MediaFacts:
    """The facts of one file. Raises BadMedia with what is wrong and what to do about it.

    ``check`` is called again and again while a long file is read; it may raise to stop that.
    """
    before = _stat(path)
    if before.st_size == 0:
        raise BadMedia("the file is empty", remedy="Copy it again", reason="empty")
    head, fingerprint = _fingerprint(path, check)
    still = demuxers.still_demuxer(head)
    if still is None and (words := demuxers.disguise(head)):
        raise BadMedia(f"this is {words}", remedy="Name a media file", reason="not_media")
    facts = _read(path, before, fingerprint, still, check)
    if changed(path, before.st_size, before.st_mtime_ns):
        raise _changed()
    return facts


def changed(path: Path, size: int, modified_ns: int) -> bool:
    """Whether the file is no longer the one with that size and time."""
    now = _stat(path)
    return (now.st_size, now.st_mtime_ns) != (size, modified_ns)


def _changed() -> BadMedia:
    return BadMedia(
        "the file changed while it was read",
        remedy="Wait until it is fully copied, then run again",
        reason="changed",
    )


def _stat(path: Path) -> os.stat_result:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise BadMedia(
            "there is no such file", remedy="Check the path", reason="missing"
        ) from error
    except (OSError, ValueError) as error:
        raise BadMedia(f"can't be reached ({error})", remedy="Check the path", reason="unreachable") from error  # fmt: skip
    if not path.is_file():
        raise BadMedia("is not a file", remedy="Name a media file", reason="not_a_file")
    return found


def head_of(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(demuxers.HEAD_BYTES)


def _fingerprint(path: Path, check: Callable[[], None]) -> tuple[bytes, str]:
    """The first bytes, and a hash of all of them."""
    digest = hashlib.sha256()
    head = b""
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                check()
                head = head or block[: demuxers.HEAD_BYTES]
                digest.update(block)
    except OSError as error:
        raise BadMedia(f"can't be read ({error.strerror})", remedy="Check who may read it, and the disk",
                       reason="unreadable") from error  # fmt: skip
    return head, digest.hexdigest()


def _read(
    path: Path,
    stat: os.stat_result,
    fingerprint: str,
    still: str | None,
    check: Callable[[], None],
) -> MediaFacts:
    if still and still != "mov":
        _check_still_size(path)
    with _opened(path, still) as container:
        stream = _picture_stream(container)
        _check_size(stream)
        kind = MediaKind.STILL if still else MediaKind.MOVING
        audio = _sound_stream(container) if kind is MediaKind.MOVING else None
        content = read_all(container, stream, audio, check)
        spans = content.spans
        video = _video_facts(stream, content, kind)
        warnings = [] if still else _check_complete(container, stream, video, spans.values())
        if content.broken:
            warnings.append(f"reading it ended early: {content.broken}")
        return MediaFacts(
            path=str(path),
            fingerprint=fingerprint,
            size=stat.st_size,
            modified_ns=stat.st_mtime_ns,
            kind=kind,
            demuxer=still or container.format.name,
            container_start=Fraction(container.start_time or 0, av.time_base),
            seekable=not still and _can_seek(container),
            video=video,
            audio=_audio_facts(audio, spans.get(audio.index) if audio else None),
            warnings=tuple(warnings),
        )


def _can_seek(container: InputContainer) -> bool:
    return not demuxers.SEEKABLE.isdisjoint(container.format.name.split(","))


def _opened(path: Path, still: str | None) -> InputContainer:
    allowed = still or ",".join(demuxers.MOVING)
    try:
        return av.open(
            f"file:{path}",
            format=still,
            container_options={
                "protocol_whitelist": demuxers.PROTOCOLS,
                "format_whitelist": allowed,
            },
            options={"skip_frame": "all"},  # opening decodes nothing: one frame is, and just once
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as error:
        if b"ftyp" in head_of(path)[4:8]:
            raise BadMedia("it is cut off: the index that an MP4 ends with is missing",
                           remedy="Copy it again", reason="truncated") from error  # fmt: skip
        raise BadMedia("this is not a media file that can be used",
                       remedy="Export it again, as MP4 for example", reason="not_media") from error  # fmt: skip


def _check_still_size(path: Path) -> None:
    """Read a still's size from its header and decode it, before FFmpeg gets to see it."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and looked at before anything is decoded
    try:
        with Image.open(path) as image:
            _check_pixels(*image.size)
            image.load()
    except UnidentifiedImageError:
        return  # a kind that Pillow does not know; FFmpeg may
    except (OSError, SyntaxError, ValueError) as error:
        raise BadMedia(f"the picture is damaged ({error})", remedy="Export it again",
                       reason="damaged") from error  # fmt: skip


def _check_size(stream: VideoStream) -> None:
    _check_pixels(stream.codec_context.width, stream.codec_context.height)


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadMedia("the picture has no size", remedy="Export it again", reason="no_size")
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise _too_large(f"{width}x{height} pixels are more than can be used")


def _too_large(message: str) -> BadMedia:
    return BadMedia(
        message, remedy=f"Scale it down to {LONGEST_SIDE} a side at most", reason="too_large"
    )


def _picture_stream(container: InputContainer) -> VideoStream:
    pictures = [
        stream
        for stream in container.streams.video
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
        and _decodable(stream)
    ]
    if not pictures:
        raise BadMedia("there is no picture in it", remedy="Name a video or an image",
                       reason="no_picture")  # fmt: skip
    default = [stream for stream in pictures if stream.disposition & Disposition.default]
    return max(default or pictures, key=lambda s: s.codec_context.width * s.codec_context.height)


def _decodable(stream: VideoStream | AudioStream) -> bool:
    """Whether there is a decoder for it; PyAV gives other streams no codec context."""
    context: object = stream.codec_context
    return context is not None


def _sound_stream(container: InputContainer) -> AudioStream | None:
    sounds = [
        stream
        for stream in container.streams.audio
        if _decodable(stream) and stream.codec_context.sample_rate
    ]
    default = [stream for stream in sounds if stream.disposition & Disposition.default]
    candidates = default or sounds
    return max(candidates, key=lambda stream: stream.channels) if candidates else None


def _video_facts(stream: VideoStream, content: Content, kind: MediaKind) -> VideoFacts:
    frame, span = content.frame, content.spans[stream.index]
    rotation = int(frame.rotation) % 360
    width, height = frame.width, frame.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if rotation in (90, 270):
        width, height = height, width
        aspect = 1 / aspect if aspect else aspect
    assert stream.time_base is not None
    codec = stream.codec_context
    tick = stream.time_base
    decoder = _ALPHA_DECODERS.get(codec.name) if stream.metadata.get("alpha_mode") == "1" else None
    alpha = _alpha_index(stream) if kind is MediaKind.STILL else None
    return VideoFacts(
        stream_index=stream.index,
        codec=codec.name,
        width=width,
        height=height,
        sample_aspect_ratio=_sane_aspect(aspect),
        rotation=rotation,
        pixel_format=frame.format.name,
        bit_depth=max(part.bits for part in frame.format.components),
        # A CMYK JPEG decodes to four planes; its fourth is no alpha.
        has_alpha=(_has_alpha(frame) and codec.name != "mjpeg")
        or decoder is not None
        or alpha is not None,
        interlaced=bool(frame.interlaced_frame) or codec.field_order in _INTERLACED,
        colour=colour_of(frame),
        time_base=tick,
        first_tick=span.first,
        end_tick=span.end if kind is MediaKind.MOVING else span.first + 1,
        frame_count=span.count,
        longest_interval=span.longest,
        key_interval=content.key_interval,
        decoder=decoder,
        alpha_index=alpha,
        variable_rate=(span.longest - span.shortest) * tick > Fraction(1, 200) and span.count > 2,
    )


_INTERLACED = frozenset({2, 3, 4, 5})  # FFmpeg's AVFieldOrder: top or bottom first
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def _alpha_index(picture: VideoStream) -> int | None:
    """The stream that holds an AVIF's alpha channel: a second, grey picture of the same size."""
    size = (picture.codec_context.width, picture.codec_context.height)
    for stream in filter(_decodable, picture.container.streams.video):
        same_size = (stream.codec_context.width, stream.codec_context.height) == size
        if stream.index != picture.index and same_size and stream.metadata.get("title") == "Alpha":
            return stream.index
    return None


def _sane_aspect(aspect: Fraction) -> Fraction:
    return aspect if Fraction(1, 10) <= aspect <= 10 else Fraction(1)


def _has_alpha(frame: VideoFrame) -> bool:
    return any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8"


def _audio_facts(stream: AudioStream | None, span: Span | None) -> AudioFacts | None:
    if stream is None or span is None or stream.time_base is None:
        return None
    codec = stream.codec_context
    return AudioFacts(
        stream_index=stream.index,
        codec=codec.name,
        channels=stream.channels,
        layout=stream.layout.name,
        sample_rate=codec.sample_rate,
        time_base=stream.time_base,
        first_tick=span.first,
        end_tick=span.end,
    )


def _check_complete(
    container: InputContainer, stream: VideoStream, video: VideoFacts, spans: Iterable[Span]
) -> list[str]:
    """Raises BadMedia if the header promises more than the file holds; returns warnings."""
    if video.span > LONGEST_SECONDS:
        raise BadMedia(f"it lasts {float(video.span) / 3600:.0f} hours",
                       remedy="Nothing over 24 hours is rendered", reason="too_long")  # fmt: skip
    promised, held = _claim(container, stream, video, spans)
    if promised - held > max(SHORT_BY, promised / 50):
        raise BadMedia(
            f"it is cut off: it promises {float(promised):.2f} s and holds {float(held):.2f} s",
            remedy="Copy it again, or set on_bad_item: skip to leave it out",
            reason="truncated",
        )
    return ["variable frame rate"] if video.variable_rate else []


def _claim(
    container: InputContainer, stream: VideoStream, video: VideoFacts, spans: Iterable[Span]
) -> tuple[Fraction, Fraction]:
    """What the header promises and what is there, in seconds: of the picture where it says."""
    if stream.duration and stream.time_base:
        # Matroska counts a duration from zero, MP4 from the first frame.
        return stream.duration * stream.time_base, max(video.span, video.end_tick * video.time_base)
    return Fraction(container.duration or 0, av.time_base), max(s.end_seconds for s in spans)
