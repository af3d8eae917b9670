"""Reading FFmpeg's loudness meter."""

from __future__ import annotations

import math
import subprocess

import pytest

from reelyard.domain.errors import OutputRejected
from reelyard.engine import commands
from reelyard.engine.loudness import Loudness, read_summary
from tests.conftest import Clips

SUMMARY = """\
[Parsed_ebur128_0 @ 0x55] [info] Summary:
[Parsed_ebur128_0 @ 0x55] [info]
[Parsed_ebur128_0 @ 0x55] [info]   Integrated loudness:
[Parsed_ebur128_0 @ 0x55] [info]     I:         {integrated} LUFS
[Parsed_ebur128_0 @ 0x55] [info]     Threshold: -33.5 LUFS
[Parsed_ebur128_0 @ 0x55] [info]   Loudness range:
[Parsed_ebur128_0 @ 0x55] [info]     LRA:         4.5 LU
[Parsed_ebur128_0 @ 0x55] [info]     Threshold: -43.5 LUFS
[Parsed_ebur128_0 @ 0x55] [info]     LRA low:   -30.0 LUFS
[Parsed_ebur128_0 @ 0x55] [info]     LRA high:  -21.0 LUFS
[Parsed_ebur128_0 @ 0x55] [info]   True peak:
[Parsed_ebur128_0 @ 0x55] [info]     Peak:       {peak} dBFS
"""


def summary(integrated: str = "-23.5", peak: str = "-1.2") -> list[str]:
    return SUMMARY.format(integrated=integrated, peak=peak).splitlines()


def test_a_summary_is_read() -> None:
    assert read_summary(summary()) == Loudness(-23.5, 4.5, -1.2)


def test_the_last_of_several_summaries_counts() -> None:
    assert read_summary([*summary("-10.0"), "something else", *summary("-20.0")]).integrated == -20


@pytest.mark.parametrize("silent", ["-inf", "nan", "-120.7"])
def test_silence_is_as_quiet_as_the_meter_goes(silent: str) -> None:
    assert read_summary(summary(silent, silent)) == Loudness(-70.0, 4.5, -70.0)


@pytest.mark.parametrize("lines", [[], ["no summary here"], summary()[:5], summary()[6:]])
def test_a_missing_or_broken_off_summary_is_an_error(lines: list[str]) -> None:
    with pytest.raises(OutputRejected, match="no loudness summary"):
        read_summary(lines)


def test_what_ffmpeg_really_says_is_read(clips: Clips) -> None:
    """A tone of -20 dBFS on both sides has its peak there and is about as loud."""
    raw = clips.make(
        "tone.pcm", "-f", "lavfi", "-i", "sine=1000:r=48000:d=2,volume=-2dB,pan=stereo|c0=c0|c1=c0",
        "-f", "s16le",
    )  # fmt: skip
    argv = [str(clips.ffmpeg), "-hide_banner", "-nostdin", *commands.measure(str(raw))]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    found = read_summary(said.splitlines())
    assert found.true_peak == pytest.approx(-20, abs=0.3)
    assert found.integrated == pytest.approx(-20, abs=0.3)
    assert math.isfinite(found.range)
