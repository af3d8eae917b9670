"""Checks on what was made, before anyone sees it: FFmpeg's exit code proves nothing.

All are done in process on packets; only single frames are decoded. ``OutputRejected`` says what
does not match.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelyard.domain.chapters import Chapter, plain_title
from reelyard.domain.errors import OutputRejected
from reelyard.domain.output import OutputForm
from reelyard.domain.timeline import FRAME_RATE, SAMPLE_RATE, round_half_up, samples_in

_PROFILES = {"main": {"Main"}, "high": {"High"}}
_BT709 = 1
_LIMITED = 1
_PIXEL_FORMAT = "yuv420p"
_UNPOLISHED = {"skip_loop_filter": "all"}
"""Deblocking can't fail, and nobody looks at these frames but as small as a stamp."""


def _go_on() -> None:
    """Nothing stops this check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """What was measured of a picture: ``frame_bytes`` in decoding order."""

    width: int
    height: int
    profile: str
    level: int
    frames: int
    frame_bytes: Sequence[int]
    parameter_sets: str  # hash of SPS and PPS


def check_segment(path: Path, form: OutputForm, frames: int) -> PictureFacts:
    """A segment's form, its frames one by one, and its first frame decoded."""
    with _opened(path) as container:
        facts, keys, _ = _measure(container, path, frames)
        _check_form(facts, form, path)
        if keys[0] != 0:
            raise _rejected(path, "does not start with a key frame")
        _decode_first(container, path)
    _boxes(path)
    return facts


def opened(path: Path) -> InputContainer:
    """A file of our own making, opened without decoding anything of it: that is done once, later."""
    options = {"protocol_whitelist": "file"}
    return av.open(f"file:{path}", container_options=options, options={"skip_frame": "all"})


def _opened(path: Path) -> InputContainer:
    try:
        return opened(path)
    except (av.error.FFmpegError, OSError) as error:
        raise _rejected(path, f"can't be read: {error}") from error


def _measure(
    container: InputContainer, path: Path, frames: int, check: Callable[[], None] = _go_on
) -> tuple[PictureFacts, list[int], int]:
    """The picture's facts, its key frames' numbers, and the bytes of sound; every frame is where it belongs.

    The file is read once.
    """
    if not container.streams.video:
        raise _rejected(path, "has no picture")
    stream = container.streams.video[0]
    sound = container.streams.audio[:1]
    grid = _Grid(stream, path)
    sound_bytes = 0
    for packet in _packets(container, [stream, *sound], path):
        check()
        if packet.stream_index == stream.index:
            grid.add(packet)
        else:
            sound_bytes += packet.size
    if not grid.keys or sorted(grid.times) != list(range(frames)):
        raise _rejected(path, f"holds {len(grid.times)} frames instead of {frames}")
    return _facts(stream, grid.sizes), sorted(grid.keys), sound_bytes


class _Grid:
    """The frames of a picture: their numbers, their bytes, in decoding order."""

    def __init__(self, stream: VideoStream, path: Path) -> None:
        self._path = path
        self._frames, self._ticks = (
            (stream.time_base or Fraction(1)) * FRAME_RATE
        ).as_integer_ratio()
        self.times: list[int] = []
        self.sizes: list[int] = []
        self.keys: list[int] = []

    def add(self, packet: Packet[Any]) -> None:
        if packet.pts is None:
            return
        number, off = divmod(packet.pts * self._frames, self._ticks)
        if off or packet.is_corrupt:
            raise _rejected(
                self._path, f"has a frame off the grid, at {number + off / self._ticks:.3f}"
            )
        self.times.append(number)
        self.sizes.append(packet.size)
        if packet.is_keyframe:
            self.keys.append(number)


def _packets(
    container: InputContainer, streams: Sequence[VideoStream | AudioStream], path: Path
) -> Iterator[Packet[Any]]:
    try:
        yield from container.demux(streams)
    except av.error.FFmpegError as error:
        raise _rejected(path, f"breaks off: {error}") from error


def _facts(stream: VideoStream, sizes: list[int]) -> PictureFacts:
    codec = stream.codec_context
    return PictureFacts(
        width=codec.width,
        height=codec.height,
        profile=str(codec.profile),
        level=int(codec.level or 0),
        frames=len(sizes),
        frame_bytes=tuple(sizes),
        parameter_sets=hashlib.sha256(codec.extradata or b"").hexdigest(),
    )


def _check_form(facts: PictureFacts, form: OutputForm, path: Path) -> None:
    wanted = {
        "size": ((form.width, form.height), (facts.width, facts.height)),
        "level": (round(float(form.level) * 10), facts.level),
    }
    for name, (target, found) in wanted.items():
        if target != found:
            raise _rejected(path, f"has {name} {found} instead of {target}")
    if facts.profile not in _PROFILES[form.profile]:
        raise _rejected(path, f"has profile {facts.profile} instead of {form.profile}")


def _decode_first(container: InputContainer, path: Path) -> None:
    """Decode the first frame and look at what it is and how it says it is coded."""
    try:
        frame = key_frame(container, 0)
    except av.error.FFmpegError as error:
        raise _rejected(path, f"can't be decoded: {error}") from error
    if frame is None:
        raise _rejected(path, "can't be decoded")
    if frame.format.name not in (_PIXEL_FORMAT, "yuvj420p"):
        raise _rejected(path, f"has pixel format {frame.format.name} instead of {_PIXEL_FORMAT}")
    if container.streams.video[0].sample_aspect_ratio != 1:
        raise _rejected(path, "has no square pixels")
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc)
    if {int(tag) for tag in tags} != {_BT709} or int(frame.color_range) != _LIMITED:
        raise _rejected(path, "is not tagged as BT.709 limited range")


def key_frame(container: InputContainer, number: int) -> VideoFrame | None:
    """The last key frame at or before frame ``number``: one packet in, one picture out."""
    stream = container.streams.video[0]
    codec = stream.codec_context
    if codec.is_open:
        codec.flush_buffers()
    else:
        codec.thread_count = 1
        codec.options = _UNPOLISHED
    container.seek(int(number / FRAME_RATE / (stream.time_base or Fraction(1))), stream=stream)
    packet = next((one for one in container.demux(stream) if one.is_keyframe), None)
    if packet is None:
        return None
    frames = [*codec.decode(packet), *codec.decode(None)]
    codec.flush_buffers()
    return frames[0] if frames else None


def check_track(path: Path, samples: int) -> None:
    """The film's encoded sound: its length, sample rate and channels."""
    with _opened(path) as container:
        found = _samples(container, path)
        sound = container.streams.audio[0]
        for _ in _packets(container, [sound], path):
            continue  # to its end
        if found != samples:
            raise _rejected(path, f"has {found} samples of sound instead of {samples}")
        _check_sound_form(sound.codec_context.sample_rate, sound.channels, path)


def _check_sound_form(sample_rate: int, channels: int, path: Path) -> None:
    if (sample_rate, channels) != (SAMPLE_RATE, 2):
        raise _rejected(path, f"has sound of {sample_rate} Hz, {channels} channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFacts:
    """What was measured of a finished film. Rates in bits a second, durations in seconds."""

    width: int
    height: int
    profile: str
    level: str
    pixel_format: str
    frames: int
    frame_rate: str
    duration: float
    samples: int
    audio_video_difference: float
    video_bit_rate: int
    peak_bit_rate: int
    buffer_underflows: int
    audio_codec: str
    audio_bit_rate: int
    sample_rate: int
    channels: int
    chapters: int
    moov_first: bool
    size: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_film(
    path: Path,
    form: OutputForm,
    frames: int,
    chapters: Sequence[Chapter],
    check: Callable[[], None] = _go_on,
    segments: int = 1,
) -> FilmFacts:
    """The whole film against its plan: frames, samples, form, order of boxes, first and last frame.

    It was joined from so many ``segments``. ``check`` is called for every packet; it may raise to stop.
    """
    with _opened(path) as container:
        picture, keys, audio_bytes = _measure(container, path, frames, check)
        _check_form(picture, form, path)
        _decode_first(container, path)
        _decode_last(container, keys[-1], frames, path)
        samples = _samples(container, path)
        if samples != samples_in(frames):
            raise _rejected(path, f"has {samples} samples of sound instead of {samples_in(frames)}")
        _check_chapters(container, chapters, path)
        sound = container.streams.audio[0]
        boxes = _boxes(path)
        seconds = Fraction(frames, FRAME_RATE)
        facts = FilmFacts(
            width=picture.width,
            height=picture.height,
            profile=picture.profile,
            level=f"{picture.level / 10:.1f}",
            pixel_format=_PIXEL_FORMAT,
            frames=frames,
            frame_rate=str(FRAME_RATE),
            duration=float(seconds),
            samples=samples,
            audio_video_difference=float(Fraction(samples, SAMPLE_RATE) - seconds),
            video_bit_rate=round(8 * sum(picture.frame_bytes) / seconds),
            peak_bit_rate=peak_rate(picture.frame_bytes),
            buffer_underflows=underflows(picture.frame_bytes, form),
            audio_codec=f"{sound.codec_context.name} {sound.codec_context.profile}",
            audio_bit_rate=round(8 * audio_bytes / seconds),
            sample_rate=sound.codec_context.sample_rate,
            channels=sound.channels,
            chapters=len(chapters),
            moov_first=boxes.index("moov") < boxes.index("mdat"),
            size=path.stat().st_size,
        )
    _check_delivery(facts, form, path, segments)
    return facts


def _check_chapters(container: InputContainer, chapters: Sequence[Chapter], path: Path) -> None:
    found = [
        (
            str(one["metadata"].get("title", "")).rstrip(),
            round_half_up(one["start"] * (one["time_base"] or Fraction(0)) * FRAME_RATE),
        )
        for one in container.chapters()
    ]
    wanted = [(plain_title(one.title), one.start) for one in chapters]
    if found != wanted:
        raise _rejected(path, f"has chapters {found} instead of {wanted}")


def _check_delivery(facts: FilmFacts, form: OutputForm, path: Path, segments: int) -> None:
    _check_sound_form(facts.sample_rate, facts.channels, path)
    if not facts.moov_first:
        raise _rejected(path, "has its index at the end")
    # Each segment may spend a whole buffer beside its rate; what comes late of it is a warning.
    if facts.video_bit_rate > form.max_rate + form.buffer_size * segments / facts.duration:
        raise _rejected(path, f"has {facts.video_bit_rate} b/s, more than {form.max_rate}")


def _decode_last(container: InputContainer, key: int, frames: int, path: Path) -> None:
    """Decode from the last key frame to the end: the last frame has to come out."""
    stream = container.streams.video[0]
    tick = (stream.time_base or Fraction(1)) * FRAME_RATE
    stream.codec_context.flush_buffers()
    container.seek(int(key / tick), stream=stream)
    last = -1
    try:
        for frame in container.decode(stream):
            last = int((frame.pts or 0) * tick)
    except av.error.FFmpegError as error:
        raise _rejected(path, f"can't be decoded to its end: {error}") from error
    if last != frames - 1:
        raise _rejected(path, f"decodes to frame {last} instead of {frames - 1}")


def _samples(container: InputContainer, path: Path) -> int:
    """Samples of sound by the track's own edit list."""
    if not container.streams.audio:
        raise _rejected(path, "has no sound")
    sound = container.streams.audio[0]
    if sound.duration is None or sound.time_base is None:
        raise _rejected(path, "has sound of unknown length")
    return int(sound.duration * sound.time_base * SAMPLE_RATE)


def peak_rate(frame_bytes: Sequence[int], window: int = FRAME_RATE) -> int:
    """The most bits in any one second."""
    total = best = sum(frame_bytes[:window])
    for n in range(window, len(frame_bytes)):
        total += frame_bytes[n] - frame_bytes[n - window]
        best = max(best, total)
    return best * 8


def underflows(frame_bytes: Sequence[int], form: OutputForm) -> int:
    """Frames that a decoder with the form's buffer, filled at its maximum rate, would wait for."""
    level = form.buffer_size * 9 // 10
    waits = 0
    for size in frame_bytes:
        level -= size * 8
        if level < 0:
            waits += 1
            level = 0
        level = min(form.buffer_size, level + form.max_rate // FRAME_RATE)
    return waits


def _boxes(path: Path) -> list[str]:
    """The file's top-level boxes in order. They end where the file does, or it was cut."""
    found: list[str] = []
    end = 0
    length = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            if size < 8:
                break
            found.append(head[4:8].decode("latin-1"))
            end += size
            file.seek(end)
    if end != length or not {"moov", "mdat"} <= set(found):
        raise _rejected(path, f"is cut off: {length} bytes instead of {end}")
    return found


def _rejected(path: Path, message: str) -> OutputRejected:
    return OutputRejected(f"{path.name} {message}", remedy="Run again; if it stays so, report it")
