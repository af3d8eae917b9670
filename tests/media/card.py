"""Graphics cards for tests: one in software, which every machine with a C compiler has; and the machine's own.

The one in software is libraries that FFmpeg loads in place of NVIDIA's (``software_cuda.c``, ``software_nvenc.c``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from reelyard.engine.ffmpeg import FFmpeg, Said
from tests.servers import missing

SOURCES = {"libcuda.so.1": "software_cuda.c", "libnvidia-encode.so.1": "software_nvenc.c"}


@dataclass(frozen=True)
class SoftwareCard:
    """A folder of libraries. Its encoder refuses everything, and it has no decoder."""

    folder: Path

    def bound(self, ffmpeg: FFmpeg, **environment: str) -> FFmpeg:
        """The FFmpeg that finds this card."""
        return ffmpeg.bound({"LD_LIBRARY_PATH": str(self.folder), **environment})


def build(folder: Path) -> SoftwareCard:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        missing("cc")
    for library, source in SOURCES.items():
        path = Path(__file__).parent / source
        argv = [compiler, "-shared", "-fPIC", "-O2", "-w", "-o", str(folder / library), str(path)]
        subprocess.run(argv, check=True)
    return SoftwareCard(folder)


class ProcessorAsCard(FFmpeg):
    """Does what the card is asked for with the processor's filters of the same kind, and with libx264."""

    WORDS = (
        (r"scale_cuda=interp_algo=nearest:format=yuv420p", "format=yuv420p"),
        (r"scale_cuda=(\w+=\d+:\w+=\d+):interp_algo=bicubic:format=(\w+)", r"scale=\1,format=\2"),
        (r"(pad|overlay)_cuda=", r"\1="),
        (r"hwupload", "null"),
    )
    OPTIONS = ("-init_hw_device", "-filter_hw_device", "-hwaccel", "-hwaccel_device",
               "-hwaccel_output_format", "-extra_hw_frames")  # fmt: skip

    ENCODER = ("-preset", "-tune", "-rc", "-spatial-aq", "-temporal-aq", "-strict_gop")
    INSTEAD = ("libx264", "-preset", "ultrafast", "-x264-params", "cabac=1", "-threads", "1")

    encodes = True

    def bound(self, binding: Mapping[str, str]) -> FFmpeg:
        return ProcessorAsCard(self.executable, self.version, binding=binding)

    def run(self, arguments: Sequence[str], **options: Any) -> Said:
        words = list(arguments)
        if "h264_nvenc" in words and self.encodes:
            for option in self.ENCODER:
                at = words.index(option)
                del words[at : at + 2]
            at = words.index("h264_nvenc")
            words[at : at + 1] = self.INSTEAD
        for option in self.OPTIONS:
            if option in words:
                at = words.index(option)
                del words[at : at + 2]
        if "-filter_complex" in words:
            at = words.index("-filter_complex") + 1
            for ours, theirs in self.WORDS:
                words[at] = re.sub(ours, theirs, words[at])
        return super().run(words, **options)


@dataclass(frozen=True)
class Shown:
    """Decoded frames and when they are shown, in seconds."""

    times: list[Fraction]
    frames: list[NDArray[np.uint8]]


def decoded(path: Path) -> Shown:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return Shown(
            [Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in frames],
            [np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8) for frame in frames],
        )


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """PSNR in decibels; 100 where nothing differs."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return 100.0 if error == 0 else 10 * float(np.log10(255**2 / error))
