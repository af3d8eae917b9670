"""How good a film of the rivals is, whoever made it: VMAF, and whether pictures and sound are where they belong.

Of each item a short run of pictures from its middle is decoded from the film and compared with the same pictures of the source,
fitted to the canvas and never encoded. Only the lower part is compared: logo and letters lie above it. First each
picture is found among the source's neighbouring ones, so that a film that is a few pictures off is told to be just that, and
its VMAF still says how good its pictures are. Where a source has not the film's rate, which of two neighbours is shown is a matter
of rounding: one picture more or less is not counted as off there, and clips with more than 30 pictures a second, of which
some are never shown, are left out. VMAF also looks at motion, so the ends of a run, which have no neighbours, are not
counted.

The sound of each item is laid over the source's own until they match best; how far it had to be moved is how far it is off.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from reelyard.domain.output import HD
from reelyard.domain.timeline import FRAME_RATE, SAMPLE_RATE, FrameRange
from reelyard.engine.commands import GRAPH_FLAGS
from reelyard.engine.picture import moving_graph, seek_before, still_graph

from .wanted import Wanted

RUN = 8
"""Pictures of an item that are compared."""

_AROUND = 10
_TOP = 300
_HEIGHT = HD.height - _TOP
_CLEARLY = 0.9  # so much smaller an error has to be for another picture to be the one
_STILL = 0.3  # mean difference of grey levels below which two pictures are the same
_HEARD = SAMPLE_RATE
_MOVED = SAMPLE_RATE // 4
_QUIET = 0.003
_MATCHES = 0.6
_AS_GOOD = 0.98

Frames = np.ndarray[Any, np.dtype[np.uint8]]
Samples = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Run:
    """Pictures of a source: of a film's frame ``first`` and those after it; ``around`` more at both ends."""

    first: int
    frames: Frames
    around: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What was found. ``frames_off`` is frames too many; ``pictures_off`` of ``pictures`` are another than they should be.

    ``sound_ms``: how far off the worst item's sound is; ``sound_off_ms``: how much longer the sound is than the picture.
    """

    vmaf: float
    vmaf_low: float
    frames_off: int
    pictures: int
    pictures_off: int
    worst_picture: int
    sounds: int
    sound_ms: float
    sound_off_ms: float
    size: int


class Judge:
    """Compares films of one compilation. What it takes from the sources is kept in ``folder``."""

    def __init__(self, items: Sequence[Wanted], folder: Path, ffmpeg: Path) -> None:
        self._items = [one for one in items if one.frames > RUN + 2 and not _is_fast(one)]
        self._frames = sum(one.frames for one in items)
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._runs: dict[int, Run] = {}
        self._heard: dict[int, Samples] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, film: Path) -> Quality:
        scores: list[float] = []
        off: list[int] = []
        for one in self._items:
            source = self._run(one)
            shown = _pictures(film, source.first, len(source.frames) - 2 * source.around)
            places = [_place(source, number, frame) for number, frame in enumerate(shown)]
            moved = [place - source.around - number for number, place in enumerate(places)]
            off += [0 if abs(by) <= _rounding(one) else by for by in moved]
            scores += self._vmaf(source.frames[places], shown)
        late = [ms for one in self._items if (ms := self._sound(one, film)) is not None]
        frames, seconds = _lengths(film)
        return Quality(
            vmaf=float(np.mean(scores)),
            vmaf_low=float(np.percentile(scores, 5)),
            frames_off=frames - self._frames,
            pictures=len(off),
            pictures_off=sum(one != 0 for one in off),
            worst_picture=max(off, key=abs),
            sounds=len(late),
            sound_ms=max(late, key=abs, default=0.0),
            sound_off_ms=(seconds - self._frames / FRAME_RATE) * 1000,
            size=film.stat().st_size,
        )

    # Pictures

    def _run(self, one: Wanted) -> Run:
        """The source's pictures in the item's middle, fitted, never encoded."""
        if one.first not in self._runs:
            middle = one.frames // 2 - RUN // 2
            around = min(_AROUND, middle, one.frames - middle - RUN)
            wanted = FrameRange(middle - around, middle + RUN + around)
            self._runs[one.first] = Run(one.first + middle, self._fitted(one, wanted), around)
        return self._runs[one.first]

    def _fitted(self, one: Wanted, frames: FrameRange) -> Frames:
        facts, start = one.gathered.facts, one.gathered.item.start or Fraction(0)
        if one.is_image:
            graph, seek = still_graph(facts.video, HD, len(frames)), None
        else:
            graph, seek = moving_graph(facts, HD, start, frames), seek_before(facts, start, frames)
        graph = graph.removesuffix("[picture]") + f",crop={HD.width}:{_HEIGHT}:0:{_TOP}[picture]"
        enter = [] if seek is None else ["-noaccurate_seek", "-ss", f"{float(seek):.6f}"]
        arguments = ["-copyts", *enter, "-i", one.path, "-filter_complex", GRAPH_FLAGS + graph,
                     "-map", "[picture]", "-frames:v", str(len(frames)), "-fps_mode", "passthrough",
                     "-f", "rawvideo", "-"]  # fmt: skip
        made = np.frombuffer(self._out(arguments), np.uint8)
        return made.reshape(len(frames), _HEIGHT * 3 // 2, HD.width)

    def _out(self, arguments: Sequence[str]) -> bytes:
        argv = [str(self._ffmpeg), "-nostdin", "-v", "error", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, cwd=self._folder).stdout

    def _vmaf(self, right: Frames, shown: Frames) -> list[float]:
        (self._folder / "right.yuv").write_bytes(right.tobytes())
        (self._folder / "shown.yuv").write_bytes(shown.tobytes())
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{HD.width}x{_HEIGHT}", "-r", "30"]
        self._out([*raw, "-i", "shown.yuv", *raw, "-i", "right.yuv", "-lavfi",
                   "libvmaf=n_threads=2:log_fmt=json:log_path=vmaf.json", "-f", "null", "-"])  # fmt: skip
        frames = json.loads((self._folder / "vmaf.json").read_text())["frames"]
        return [float(frame["metrics"]["vmaf"]) for frame in frames[1:-1]]

    # Sound

    def _sound(self, one: Wanted, film: Path) -> float | None:
        """Milliseconds by which an item's sound comes late; None where it has none to go by."""
        facts = one.gathered.facts
        if facts.audio is None or one.is_image or one.frames < FRAME_RATE * 5 // 2:
            return None
        half = one.frames / FRAME_RATE / 2 - 0.5
        if one.first not in self._heard:
            begin = float(facts.video.first - facts.container_start) + one.start + half
            self._heard[one.first] = self._samples(Path(one.path), begin, _HEARD)
        source = self._heard[one.first]
        early = (
            one.first / FRAME_RATE + half - _MOVED / SAMPLE_RATE
        )  # not before the film: half is over 0.7
        played = self._samples(film, early, _HEARD + 2 * _MOVED)
        if source.std() < _QUIET or len(played) < _HEARD + 2 * _MOVED:
            return None
        place, likeness = _lag(source, played)
        return (place - _MOVED) / SAMPLE_RATE * 1000 if likeness > _MATCHES else None

    def _samples(self, path: Path, begin: float, count: int) -> Samples:
        """A second of a file's sound from ``begin`` on, by the file's own times, both channels together."""
        # Not every container can be entered in the middle exactly enough for sound; the others are decoded from the start.
        enter = max(0.0, begin - 5) if path.suffix == ".mp4" else 0.0
        graph = (
            f"[0:a:0]atrim=start={max(0.0, begin - enter):.6f},asetpts=PTS-STARTPTS,aresample=48000,"
            "aformat=channel_layouts=stereo,pan=mono|c0=.5*c0+.5*c1[a]"
        )
        raw = self._out(["-ss", f"{enter:.6f}", "-i", str(path), "-filter_complex", graph, "-map", "[a]",
                         "-t", f"{count / SAMPLE_RATE:.6f}", "-f", "f32le", "-"])  # fmt: skip
        return np.frombuffer(raw, np.float32)[:count]


def _is_fast(one: Wanted) -> bool:
    return not one.is_image and one.gathered.facts.video.frame_rate > FRAME_RATE * 1.02


def _rounding(one: Wanted) -> int:
    """By how many pictures one way of rounding times may differ from another."""
    return 0 if one.is_image or one.gathered.facts.video.frame_rate == FRAME_RATE else 1


def _pictures(film: Path, first: int, count: int) -> Frames:
    """What a film shows from its frame ``first`` on, by the times of its pictures; what is not there is black."""
    found = np.zeros((count, _HEIGHT * 3 // 2, HD.width), np.uint8)
    found[:, _HEIGHT:] = 128
    for number, frame in _decoded(film, first):
        if number >= first + count:
            break
        if number >= first:
            found[number - first :] = _lower(frame)
    return found


def _decoded(film: Path, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        assert stream.time_base is not None
        container.seek(
            int(Fraction(max(0, first - 2), FRAME_RATE) / stream.time_base), stream=stream
        )
        for frame in container.decode(stream):
            if frame.pts is not None:
                yield round(frame.pts * stream.time_base * FRAME_RATE), frame


def _lower(frame: av.VideoFrame) -> Frames:
    whole = (
        frame.to_ndarray(format="yuv420p") if frame.format.name != "yuv420p" else frame.to_ndarray()
    )
    height, width = HD.height, HD.width
    luma = whole[_TOP:height]
    chroma = whole[height:].reshape(2, height // 2, width // 2)[:, _TOP // 2 :]
    return np.concatenate([luma, chroma.reshape(-1, width)])


def _place(source: Run, number: int, shown: Frames) -> int:
    """Which of the source's pictures this is: the one that it should be, unless another is clearly nearer."""
    grey = shown[:_HEIGHT:4, ::4].astype(np.int16)
    errors = np.abs(source.frames[:, :_HEIGHT:4, ::4] - grey).mean(axis=(1, 2))
    right = number + source.around
    best = int(errors.argmin())
    same = errors[right] - errors[best] < _STILL or errors[best] > _CLEARLY * errors[right]
    return right if same else best


def _lag(source: Samples, played: Samples) -> tuple[int, float]:
    """Where in ``played`` the source lies, and how alike they are there; of places as good as each other, the right one."""
    size = 1 << (len(played) + len(source)).bit_length()
    spectrum = np.fft.rfft(played, size) * np.conj(np.fft.rfft(source, size))
    found = np.fft.irfft(spectrum, size)[: len(played) - len(source) + 1]
    power = np.concatenate([[0.0], np.cumsum(played.astype(np.float64) ** 2)])
    loud = np.sqrt(power[len(source) :] - power[: -len(source)]) * np.linalg.norm(source)
    alike = found / (loud + 1e-6)
    best = float(alike.max())
    places = np.flatnonzero(alike >= _AS_GOOD * best)
    place = int(places[np.abs(places - _MOVED).argmin()])
    return place, best


def _lengths(film: Path) -> tuple[int, float]:
    """Pictures, and seconds of sound as it is played."""
    with av.open(str(film)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        frames = sum(1 for packet in container.demux(video) if packet.size)
        assert audio.duration is not None and audio.time_base is not None
        return frames, float(audio.duration * audio.time_base)
