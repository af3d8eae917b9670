"""Measuring films by decoding them: nothing here believes a container, and nothing uses Reelyard."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

FRAME_SAMPLES = 1600
SAMPLE_RATE = 48_000


@dataclass(frozen=True)
class Shot:
    """One decoded frame: its planes as coded (8 bits, 4:2:0)."""

    luma: Bytes
    blue: Bytes  # Cb
    red: Bytes  # Cr

    @property
    def size(self) -> tuple[int, int]:
        return self.luma.shape[1], self.luma.shape[0]

    def code(self, x: float, y: float, reach: int = 4) -> tuple[float, float, float]:
        """The mean Y, Cb, Cr around a point, given as shares of the width and height."""
        return (
            _around(self.luma, x, y, reach),
            _around(self.blue, x, y, max(1, reach // 2)),
            _around(self.red, x, y, max(1, reach // 2)),
        )

    def colour(self, x: float, y: float, reach: int = 4) -> tuple[int, int, int]:
        """The same as 8-bit RGB, by BT.709 in limited range."""
        return rgb(*self.code(x, y, reach))

    def picture(self) -> NDArray[np.int16]:
        """The whole frame as RGB, chroma repeated."""
        y = (self.luma.astype(float) - 16) / 219
        cb, cr = (
            (plane.repeat(2, 0).repeat(2, 1).astype(float) - 128) / 224
            for plane in (self.blue, self.red)
        )
        red = y + 1.5748 * cr
        blue = y + 1.8556 * cb
        green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
        stacked = np.stack([red, green, blue], axis=-1)
        return np.clip(np.rint(stacked * 255), 0, 255).astype(np.int16)


def _around(plane: Bytes, x: float, y: float, reach: int) -> float:
    height, width = plane.shape
    column, row = int(x * width), int(y * height)
    part = plane[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    return float(part.mean())


def rgb(y: float, cb: float, cr: float) -> tuple[int, int, int]:
    """BT.709 limited range as 8-bit RGB."""
    light, blue_part, red_part = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    red = light + 1.5748 * red_part
    blue = light + 1.8556 * blue_part
    green = (light - 0.2126 * red - 0.0722 * blue) / 0.7152
    clipped = (min(255, max(0, round(255 * part))) for part in (red, green, blue))
    return next(clipped), next(clipped), next(clipped)


WEIGHTS = {"bt709": (0.2126, 0.0722), "smpte170m": (0.299, 0.114), "bt2020nc": (0.2627, 0.0593)}


def coded(
    colour: tuple[int, int, int], matrix: str = "bt709", *, full: bool = False, bits: int = 8
) -> tuple[int, int, int]:
    """Y, Cb, Cr of an 8-bit RGB colour, as the standards have it."""
    kr, kb = WEIGHTS[matrix]
    red, green, blue = (part / 255 for part in colour)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))
    unit = 1 << (bits - 8)
    if full:
        top = (1 << bits) - 1
        return round(y * top), round(cb * top + 128 * unit), round(cr * top + 128 * unit)
    return (
        round((16 + 219 * y) * unit),
        round((128 + 224 * cb) * unit),
        round((128 + 224 * cr) * unit),
    )


def decoded(path: Path) -> Iterator[VideoFrame]:
    """All frames of a film's picture, in order."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield from container.decode(stream)


def shots(path: Path, numbers: Iterable[int]) -> dict[int, Shot]:
    """The frames with these numbers, counted as they are decoded."""
    wanted = set(numbers)
    last = max(wanted)
    found: dict[int, Shot] = {}
    for number, frame in enumerate(decoded(path)):
        if number in wanted:
            found[number] = shot(frame)
        if number >= last:
            break
    return found


def shot(frame: VideoFrame) -> Shot:
    return Shot(*(plane_of(frame, n) for n in range(3)))


def plane_of(frame: VideoFrame, number: int) -> Bytes:
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].copy()


def brightness(path: Path) -> Floats:
    """The mean luma in the middle of every frame."""
    means = []
    for frame in decoded(path):
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        middle = rows[plane.height * 3 // 8 : plane.height * 5 // 8 : 8]
        means.append(float(middle[:, plane.width * 7 // 16 : plane.width * 9 // 16].mean()))
    return np.array(means)


def frame_count(path: Path) -> int:
    return sum(1 for _ in decoded(path))


def frame_times(path: Path) -> list[float]:
    """When each frame is shown, in frames of 1/30 s."""
    found = []
    for frame in decoded(path):
        assert frame.pts is not None and frame.time_base is not None
        found.append(float(frame.pts * frame.time_base * 30))
    return found


def sound_of(path: Path) -> Floats:
    """All samples of a file's sound, as players play it: channels × samples between -1 and 1."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        channels = stream.channels
        assert stream.start_time in (None, 0), "the sound starts late"
    argv = [str(get_ffmpeg_exe()), "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0"]
    raw = subprocess.run([*argv, "-f", "f32le", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.float32).reshape(-1, channels).T.astype(np.float64)


def beeps(samples: Floats, *, level: float = 0.25, quiet: float = 0.12) -> list[int]:
    """The samples at which sound louder than ``level`` starts after ``quiet`` seconds without."""
    loud = np.flatnonzero(np.abs(samples).max(axis=0) > level)
    if not loud.size:
        return []
    starts = np.flatnonzero(np.diff(loud) > quiet * SAMPLE_RATE) + 1
    return [int(loud[0]), *(int(loud[n]) for n in starts)]


def flashes(light: Floats, *, level: float = 100) -> list[int]:
    """The frames that are bright after one that was not."""
    bright = light > level
    rising = bright & ~np.concatenate([[False], bright[:-1]])
    return [int(n) for n in np.flatnonzero(rising)]


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The first and last column and the first and last row in which anything is set."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    assert columns.size, "nothing is there"
    return int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])


def decibels(samples: Floats) -> float:
    """The mean power, in dB of full scale (a full-scale sine has -3)."""
    power = float(np.mean(samples**2))
    return -200.0 if power == 0 else 10 * float(np.log10(power))


def pitch(samples: Floats) -> float:
    """The strongest frequency in Hz, to a fraction of one."""
    window = samples * np.hanning(samples.size)
    size = 1 << 20
    spectrum = np.abs(np.fft.rfft(window, size))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / size
