"""Filter graphs for the sound."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from reelyard.domain.media import AudioFacts, MediaFacts
from reelyard.engine.sound import (
    levelling_graph,
    loudness_gain,
    sound_graph,
    sound_seek,
    sounds_in,
)
from tests.unit.facts import CLIP, CLIP_AUDIO, clip

MONO = replace(
    CLIP_AUDIO, channels=1, layout="mono", sample_rate=44100, time_base=Fraction(1, 44100)
)
SURROUND = replace(CLIP_AUDIO, channels=6, layout="5.1")
END = (
    "aformat=sample_fmts=s16:sample_rates=48000:channel_layouts=stereo,"
    "apad=whole_len=480000,atrim=end_sample=480000[sound]"
)


def graph(audio: AudioFacts, start: Fraction = Fraction(0)) -> str:
    return sound_graph(clip(audio=audio), audio, start, 480_000)


def test_stereo_is_timed_resampled_and_made_exactly_as_long_as_the_picture() -> None:
    assert graph(CLIP_AUDIO) == (
        "[0:1]asetpts=round(PTS-0/1/TB),atrim=start_pts=0,aresample=48000:async=1000:first_pts=0,"
        + END
    )


def test_mono_is_heard_on_both_sides_at_full_level() -> None:
    assert graph(MONO) == (
        # pan takes the one channel as it is: a conversion would turn it down by 3 dB.
        "[0:1]asetpts=round(PTS-0/1/TB),atrim=start_pts=0,pan=stereo|c0=c0|c1=c0,"
        "aresample=48000:async=1000:first_pts=0," + END
    )


def test_surround_is_mixed_down_in_floats_and_limited() -> None:
    assert graph(SURROUND) == (
        "[0:1]asetpts=round(PTS-0/1/TB),atrim=start_pts=0,"
        "aresample=48000:async=1000:first_pts=0:ochl=stereo:osf=fltp,"
        "alimiter=limit=0.97:level=false:latency=true," + END
    )


def test_trimmed_sound_is_timed_in_its_own_ticks() -> None:
    assert graph(CLIP_AUDIO, Fraction(5, 2)).startswith("[0:1]asetpts=round(PTS-5/2/TB),")
    assert graph(MONO, Fraction(5, 2)).startswith("[0:1]asetpts=round(PTS-5/2/TB),")


def test_sound_is_timed_from_the_pictures_first_frame() -> None:
    """The picture begins a second after the container: what is heard before it is cut off."""
    late = clip(first_tick=15360, end_tick=15360 + 153600)
    assert sound_graph(late, CLIP_AUDIO, Fraction(0), 480_000).startswith(
        "[0:1]asetpts=round(PTS-1/1/TB),atrim=start_pts=0,"
    )


@pytest.mark.parametrize(
    ("begins", "ends", "heard"),
    [
        (0, 480_000, True),
        (0, 96_000, False),  # over when the item begins, at 2 s
        (0, 96_001, True),
        (192_000, 480_000, False),  # not begun when the item ends, at 4 s
        (191_999, 480_000, True),
        (-10, 0, False),
    ],
)
def test_an_item_is_silent_where_its_sound_lies_outside_of_it(
    begins: int, ends: int, heard: bool
) -> None:
    audio = replace(CLIP_AUDIO, first_tick=begins, end_tick=ends)
    assert sounds_in(audio, Fraction(1), Fraction(1), 60) is heard


@pytest.mark.parametrize(
    ("facts", "start", "seek"),
    [
        (CLIP, Fraction(0), None),
        (CLIP, Fraction(1), None),
        (CLIP, Fraction(5, 2), Fraction(3, 2)),  # a second before
        (replace(CLIP, seekable=False), Fraction(5, 2), None),
        (replace(CLIP, container_start=Fraction(-1)), Fraction(5, 2), Fraction(5, 2)),
        (clip(first_tick=153600, end_tick=307200), Fraction(5, 2), Fraction(23, 2)),
    ],
)
def test_trimmed_sound_is_entered_a_second_early(
    facts: MediaFacts, start: Fraction, seek: Fraction | None
) -> None:
    assert sound_seek(facts, start) == seek


@pytest.mark.parametrize(
    ("integrated", "gain"), [(-14.0, 0.0), (-23.0, 9.0), (-8.5, -5.5), (-60.0, 46.0), (-60.1, 0.0)]
)
def test_sound_is_brought_to_minus_14_lufs_but_silence_is_left_alone(
    integrated: float, gain: float
) -> None:
    assert loudness_gain(integrated) == pytest.approx(gain)


def test_levelling_limits_true_peaks_at_four_times_the_rate() -> None:
    assert levelling_graph(-3.456, 480_000) == (
        "[0:0]volume=-3.46dB:precision=float,aresample=192000,"
        "alimiter=limit=0.8414:level=false:latency=true,"  # -1.5 dB
        "aresample=48000," + END
    )
