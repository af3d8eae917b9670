"""Reading a file to its end: where its packets lie in time, and its first frame.

Claims of the container don't come in here: a span is what the packets say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelyard.domain.errors import BadMedia

_DECODE_TRIES = 100


@dataclass(slots=True)
class Span:
    """What a stream's packets hold, in ticks."""

    first: int
    end: int
    count: int
    longest: int
    shortest: int
    tick: Fraction

    @property
    def end_seconds(self) -> Fraction:
        return self.end * self.tick


@dataclass(slots=True)
class Content:
    """What reading a file to its end came to: spans by stream, its first frame, why it broke off.

    ``key_interval`` is in ticks of the picture.
    """

    spans: dict[int, Span]
    frame: VideoFrame
    broken: str | None
    key_interval: int


def read_all(
    container: InputContainer,
    video: VideoStream,
    audio: AudioStream | None,
    check: Callable[[], None],
) -> Content:
    """Read every packet of the chosen streams; a file that breaks off ends where it breaks."""
    streams = [video, *([audio] if audio else [])]
    times: dict[int, list[tuple[int, int]]] = {stream.index: [] for stream in streams}
    keys: list[int] = []
    first = _FirstFrame(video)
    broken: str | None = None
    try:
        for packet in container.demux(streams):
            check()
            if packet.stream_index == video.index and not packet.is_corrupt:
                first.feed(packet)
            if packet.size == 0 or packet.is_corrupt or packet.is_discard:
                continue
            pts = packet.pts if packet.pts is not None else packet.dts
            if pts is not None:
                times[packet.stream_index].append((pts, packet.duration or 0))
                if packet.is_keyframe and packet.stream_index == video.index:
                    keys.append(pts)
    except av.error.FFmpegError as error:
        broken = error.strerror  # what is there counts; it is compared with what was promised
    if not times[video.index]:
        raise BadMedia(
            "there is not a single frame in it", remedy="Export it again", reason="no_frames"
        )
    ticks = {stream.index: stream.time_base or Fraction(1, 1000) for stream in streams}
    spans = {index: _span(found, ticks[index]) for index, found in times.items() if found}
    return Content(spans, first.frame(), broken, _longest_gap(keys, spans[video.index]))


def _longest_gap(keys: list[int], span: Span) -> int:
    """Ticks between two key frames at most; a clip that has one only is read from there to its end."""
    edges = sorted({span.first, *keys, span.end})
    return max(b - a for a, b in pairwise(edges))


class _FirstFrame:
    """Decodes one frame out of the first packets: proof that it can be done, and what only it knows."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._frame: VideoFrame | None = None
        self._failures: list[av.error.FFmpegError] = []
        self._asked = False
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"skip_loop_filter": "all"}  # nobody looks at its pixels

    def feed(self, packet: Packet[Any]) -> None:
        """Raises BadMedia for an encrypted packet; others are decoded until there is a frame."""
        if packet.is_keyframe and packet.has_sidedata("encryption_info"):
            raise BadMedia("the file is encrypted", remedy="Export it without copy protection",
                           reason="encrypted")  # fmt: skip
        if self._frame or len(self._failures) > _DECODE_TRIES:
            return
        try:
            frames = self._decode(packet)
        except av.error.FFmpegError as error:
            self._failures.append(error)
            return
        self._frame = frames[0] if frames else None

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        """The first packet's frame is asked for at once: a decoder holds it back until it has seen those
        that might be shown before it, which costs as much as they do."""
        codec = self._stream.codec_context
        frames = codec.decode(packet if packet.size else None)
        if frames or self._asked or not packet.size:
            return frames
        self._asked = True
        frames = codec.decode(None)
        codec.flush_buffers()
        return frames or codec.decode(packet)

    def frame(self) -> VideoFrame:
        if self._frame is None:
            cause = self._failures[0] if self._failures else None
            raise BadMedia("its picture can't be decoded", remedy="Export it again, as H.264 for example",
                           reason="undecodable") from cause  # fmt: skip
        return self._frame


def _span(times: list[tuple[int, int]], tick: Fraction) -> Span:
    times.sort()
    gaps = [b[0] - a[0] for a, b in pairwise(times)]
    usual = sorted(gaps)[len(gaps) // 2] if gaps else 0
    last_pts, last_duration = times[-1]
    duration = last_duration or usual or 1
    return Span(
        first=times[0][0],
        end=last_pts + duration,
        count=len(times),
        longest=max([*gaps, duration]),
        shortest=min(gaps, default=duration),
        tick=tick,
    )
