"""Filter graphs for the sound (pure): each item's sound, exactly as long as its picture.

Everything is timed on the clip's clock (zero at its first shown frame): sound that starts later
is preceded by silence, sound that starts earlier loses what lies before the picture, gaps are
filled and a drifting clock is corrected by timestamps.
"""

from __future__ import annotations

from fractions import Fraction

from reelyard.domain.media import AudioFacts, MediaFacts
from reelyard.domain.output import AUDIO_BIT_RATE
from reelyard.domain.timeline import SAMPLE_RATE, seconds_of

SEEK_MARGIN = Fraction(1)
STRETCH = 1000
"""Samples a second by which drifting sound may be stretched to meet its timestamps (2 %)."""

LOUDNESS_TARGET = -14.0
"""LUFS, what YouTube plays at."""

TRUE_PEAK_LIMIT = -1.0
"""dBTP."""

LIMITER_CEILING = TRUE_PEAK_LIMIT - 0.5
"""AAC overshoots a little; half a decibel keeps the decoded film below the limit."""

SILENCE = -60.0
"""LUFS. Nothing quieter is made louder: it would only raise the noise."""

TRACK_OPTIONS = ("-c:a", "aac", "-b:a", str(AUDIO_BIT_RATE), "-ar", str(SAMPLE_RATE), "-ac", "2")


def sounds_in(audio: AudioFacts, video_start: Fraction, start: Fraction, frames: int) -> bool:
    """Whether any of the sound lies within the item; otherwise the item is silent."""
    begin = video_start + start
    return audio.first < begin + seconds_of(frames) and audio.end > begin


def sound_seek(facts: MediaFacts, start: Fraction) -> Fraction | None:
    """Where to enter the source for its sound, in seconds from the container's start."""
    if not facts.seekable or start <= SEEK_MARGIN:
        return None
    return facts.video.first + start - SEEK_MARGIN - facts.container_start


def sound_graph(facts: MediaFacts, audio: AudioFacts, start: Fraction, samples: int) -> str:
    """The graph for one item's sound: 16-bit stereo, 48 kHz, ``samples`` long. Ends in ``[sound]``."""
    # In seconds: whatever the container's ticks, FFmpeg counts decoded sound in samples.
    origin = facts.video.first + start
    clock = f"asetpts=round(PTS-{origin.numerator}/{origin.denominator}/TB)"
    steps = [f"[0:{audio.stream_index}]{clock}", "atrim=start_pts=0"]
    if audio.channels == 1:
        steps.append("pan=stereo|c0=c0|c1=c0")
    mix = ":ochl=stereo:osf=fltp" if audio.channels > 2 else ""
    steps.append(f"aresample={SAMPLE_RATE}:async={STRETCH}:first_pts=0{mix}")
    if audio.channels > 2:
        # Mixed in floats, so that nothing is turned down to make room; peaks are limited instead.
        steps.append("alimiter=limit=0.97:level=false:latency=true")
    steps += _exactly(samples)
    return ",".join(steps) + "[sound]"


def _exactly(samples: int) -> list[str]:
    return [
        f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}:channel_layouts=stereo",
        f"apad=whole_len={samples}",
        f"atrim=end_sample={samples}",
    ]


def loudness_gain(integrated: float) -> float:
    """Decibels that bring a sound of ``integrated`` LUFS to the target; 0 for (near) silence."""
    return 0.0 if integrated < SILENCE else LOUDNESS_TARGET - integrated


def levelling_graph(gain: float, samples: int) -> str:
    """Gain, then a true-peak limiter: it works at four times the rate, where peaks show."""
    ceiling = 10 ** (LIMITER_CEILING / 20)
    steps = [
        f"[0:0]volume={gain:.2f}dB:precision=float",
        f"aresample={4 * SAMPLE_RATE}",
        f"alimiter=limit={ceiling:.4f}:level=false:latency=true",
        f"aresample={SAMPLE_RATE}",
        *_exactly(samples),
    ]
    return ",".join(steps) + "[sound]"
