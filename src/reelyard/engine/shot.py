"""A key frame of a clip, small: what the clip looks like, for the price of one decoded frame or three.

Opened as the probe opens it: only the ``file`` protocol, only demuxers on the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import dropwhile, islice
from pathlib import Path
from typing import BinaryIO

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from PIL import Image, ImageStat

from reelyard.domain.errors import BadMedia
from reelyard.domain.media import Transfer

from . import demuxers
from .colour import colour_of

Size = tuple[int, int]

MOST_PIXELS = 50_000_000
"""What is decoded for a small picture: 8K and more. A few bytes of PNG can claim any size."""
BACKGROUND = "#14161a"
"""Behind what can be seen through."""

_SECONDS = 2.5  # to open the file, and for each packet
_POSITIONS = (0.15, 0.4, 0.7)
_NEARLY_BLACK = 20.0  # mean of 0 to 255
_PACKETS = 600  # looked at for a key frame, and for a frame to come out
_FRAMES = 150  # decoded after the first key frame where nothing can be seen in any
_EACH = 10
_DIFFUSE_WHITE = 203.0  # nits
_QUARTERS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
_MATRICES = {"bt709": Colorspace.ITU709, "bt2020nc": Colorspace.BT2020, "fcc": Colorspace.FCC,
             "smpte240m": Colorspace.SMPTE240M}  # fmt: skip


def check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise BadMedia("the picture has no size", remedy="Export it again", reason="no_size")
    if width * height > MOST_PIXELS:
        raise BadMedia(f"{width}x{height} pixels are too many for a small picture of it",
                       remedy="Scale it down to see it here", reason="too_large")  # fmt: skip


def fitted(width: Fraction, height: int, box: Size) -> Size:
    scale = min(box[0] / width, Fraction(box[1], height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def opaque(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")


def shot(path: Path, demuxer: str | None, box: Size, check: Callable[[], None]) -> Image.Image:
    """The first of a few key frames that shows something; the brightest where none does."""
    found: list[tuple[float, Image.Image]] = []
    try:
        for frame, aspect in _frames(path, demuxer, check):
            picture = _picture(frame, aspect, box)
            light = ImageStat.Stat(picture.convert("L")).mean[0]
            found.append((light, picture))
            if light > _NEARLY_BLACK:
                break
    except BadMedia:
        if not found:
            raise
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        if not found:
            check()
            raise BadMedia("this is not a media file that can be used",
                           remedy="Export it again, as MP4 for example", reason="not_media") from error  # fmt: skip
    if not found:
        raise BadMedia("its picture can't be decoded", remedy="Export it again, as H.264 for example",
                       reason="undecodable")  # fmt: skip
    return max(found, key=lambda one: one[0])[1]


def _frames(
    path: Path, demuxer: str | None, check: Callable[[], None]
) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Frames to choose from, in the order in which they are tried, with their sample aspect ratio.

    Where no key frame will do, those at the beginning: many a short clip has one key frame only, and
    begins in the dark. The file is opened afresh for them, since a seek may miss its beginning.
    """
    with _opened(path, demuxer, check) as container:
        stream = _stream(container)
        places = _places(container, stream)
        for seconds in places:
            check()
            frame = _frame(container, stream, seconds, check)
            if frame is not None:
                yield frame, _aspect(stream)
        if not places:
            yield from _first_frames(container, check)
            return
    check()
    with _opened(path, demuxer, check) as container:
        yield from _first_frames(container, check)


def _first_frames(
    container: InputContainer, check: Callable[[], None]
) -> Iterator[tuple[VideoFrame, Fraction]]:
    """Every tenth frame or so from where the container is."""
    stream = _stream(container)
    for frame in islice(_from_start(container, stream, check), 0, _FRAMES, _EACH):
        yield frame, _aspect(stream)


def _from_start(
    container: InputContainer, stream: VideoStream, check: Callable[[], None]
) -> Iterator[VideoFrame]:
    for packet in _packets(container, stream, check):
        try:
            frames = stream.codec_context.decode(packet if packet.size else None)
        except av.error.FFmpegError:
            continue
        yield from frames


def _packets(
    container: InputContainer, stream: VideoStream, check: Callable[[], None]
) -> Iterator[Packet[VideoStream]]:
    """The next packets, as long as they can be read. Raises BadMedia for an encrypted one."""
    try:
        for packet in islice(container.demux(stream), _PACKETS):
            check()
            if packet.has_sidedata("encryption_info"):
                raise BadMedia("the file is encrypted", remedy="Export it without copy protection",
                               reason="encrypted")  # fmt: skip
            yield packet
    except av.error.FFmpegError:
        return  # what is here can't be read; elsewhere it may


class _Watched:
    """A file that looks at each read whether to go on: a seek in a broken file may read all of it."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self.read = self._read
        self.seek = file.seek
        self.tell = file.tell
        self._file = file
        self._check = check
        self._is_over = False

    def _read(self, size: int) -> bytes:
        if self._is_over:
            return b""
        self._is_over = True  # where the check raises: FFmpeg reads on for a while
        self._check()
        self._is_over = False
        return self._file.read(size)


@contextmanager
def _opened(path: Path, demuxer: str | None, check: Callable[[], None]) -> Iterator[InputContainer]:
    options = {
        "protocol_whitelist": demuxers.PROTOCOLS,
        "format_whitelist": demuxer or ",".join(demuxers.MOVING),
    }
    with (
        path.open("rb") as file,
        av.open(
            _Watched(file, check),
            "r",
            format=demuxer,
            container_options=options,
            options={"skip_frame": "all"},
            metadata_errors="replace",
            timeout=_SECONDS,
        ) as container,
    ):
        yield container


def _stream(container: InputContainer) -> VideoStream:
    """The picture that the probe would choose."""
    odd = Disposition.attached_pic | Disposition.timed_thumbnails
    pictures = [one for one in container.streams.video if not one.disposition & odd and _size(one)]
    if not pictures:
        raise BadMedia("there is no picture in it", remedy="Name a video or an image",
                       reason="no_picture")  # fmt: skip
    default = [one for one in pictures if one.disposition & Disposition.default]
    stream = max(default or pictures, key=_size)
    codec = stream.codec_context
    check_pixels(codec.width, codec.height)
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MOST_PIXELS)}  # where the header says less than there is
    return stream


def _size(stream: VideoStream) -> int:
    """0 where there is no decoder for it; PyAV gives such streams no codec context."""
    context: object = stream.codec_context
    return 0 if context is None else stream.codec_context.width * stream.codec_context.height


def _places(container: InputContainer, stream: VideoStream) -> Sequence[float]:
    """Seconds after the stream's start to look at, where its length is known."""
    length = float(Fraction(container.duration or 0, av.time_base))
    if stream.duration and stream.time_base:
        length = float(stream.duration * stream.time_base)
    # What a GIF calls a key frame is no whole picture.
    known = length > 0 and container.format.name != "gif"
    return [length * part for part in _POSITIONS] if known else []


def _frame(
    container: InputContainer, stream: VideoStream, seconds: float, check: Callable[[], None]
) -> VideoFrame | None:
    """The key frame at or before ``seconds``, or the next one that can be decoded."""
    codec = stream.codec_context
    if codec.is_open:
        codec.flush_buffers()
    start = (stream.start_time or 0) + int(seconds / (stream.time_base or Fraction(1, 1000)))
    try:
        container.seek(start, stream=stream)
    except av.error.FFmpegError:
        return None
    check()  # what has no index is searched through
    packets = dropwhile(lambda one: not one.is_keyframe, _packets(container, stream, check))
    return next((frames[0] for packet in packets if (frames := _decoded(stream, packet))), None)


def _decoded(stream: VideoStream, packet: Packet[VideoStream]) -> list[VideoFrame]:
    """A key frame is had at once, without the frames that a decoder holds back."""
    codec = stream.codec_context
    try:
        frames = codec.decode(packet if packet.size else None)
        if not frames and packet.is_keyframe and packet.size:
            frames = codec.decode(None)
            codec.flush_buffers()
    except av.error.FFmpegError:
        return []
    return frames


def _aspect(stream: VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, 10) <= aspect <= 10 else Fraction(1)


def _picture(frame: VideoFrame, aspect: Fraction, box: Size) -> Image.Image:
    """The frame as it is displayed: scaled by its sample aspect ratio, turned, opaque."""
    turn = _QUARTERS.get(int(frame.rotation) % 360)
    room = (box[1], box[0]) if int(frame.rotation) % 180 == 90 else box
    width, height = fitted(frame.width * aspect, frame.height, room)
    colour = colour_of(frame)
    see_through = any(part.is_alpha for part in frame.format.components)
    mode = "RGBA" if see_through or frame.format.name == "pal8" else "RGB"
    small = frame.reformat(
        width,
        height,
        format="rgba" if mode == "RGBA" else "rgb24",
        src_colorspace=_MATRICES.get(colour.matrix, Colorspace.ITU601),
        interpolation="AREA",
    )
    plane = small.planes[0]
    picture = Image.frombuffer(mode, (width, height), bytes(plane), "raw", mode, plane.line_size, 1)
    picture = opaque(picture)
    if colour.transfer is Transfer.PQ:
        picture = picture.point([_toned(value / 255) for value in range(256)] * 3)
    return picture.transpose(turn) if turn is not None else picture


def _toned(value: float) -> int:
    """About how a screen shows a PQ code value (0 to 1): bright light is bent, not cut."""
    power: float = value ** (32 / 2523)
    nits = 10_000 * (max(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
    light = 2 * nits / _DIFFUSE_WHITE
    shown: float = (light * (1 + light / 97) / (1 + light)) ** (1 / 2.2)
    return min(255, round(255 * shown))
