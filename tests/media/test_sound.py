"""What is heard in a finished film: silence, levels, pitch, joints, loudness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Clips, LocalFilm, Studio

from .measure import FRAME_SAMPLES, SAMPLE_RATE, Floats, decibels, pitch, sound_of

DARK = "color=0x303030:s=128x72:r=30:d={seconds}"
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
PCM = ("-c:a", "pcm_s16le")
AAC = ("-c:a", "aac", "-b:a", "192k")


def sounding(
    clips: Clips, name: str, expression: str, *coding: str, rate: int = 48_000,
    layout: str = "", seconds: float = 1,
) -> Path:  # fmt: skip
    """A dark clip with the sound of an expression per channel (``|`` between them)."""
    channels = f":c={layout}" if layout else ""
    return clips.make(
        f"sound-{name}",
        *("-f", "lavfi", "-i", DARK.format(seconds=seconds)),
        *("-f", "lavfi", "-i", f"aevalsrc='{expression}':s={rate}:d={seconds}{channels}"),
        *X264, *(coding or PCM),
    )  # fmt: skip


def item(path: Path, **trim: float) -> dict[str, object]:
    return {"item_type": "video", "path": path, **trim}


def heard(studio: Studio, *items: dict[str, Any], **job: Any) -> LocalFilm:
    """A draft: its picture is small, its sound is the film's."""
    return studio.render(*items, draft=True, **job)


def parts(film: LocalFilm) -> list[Floats]:
    """The film's sound, item by item."""
    samples = sound_of(film.output)
    assert samples.shape == (2, film.plan.frames * FRAME_SAMPLES)
    return [
        samples[:, one.start * FRAME_SAMPLES : (one.start + one.frames) * FRAME_SAMPLES]
        for one in film.plan.items
    ]


def inner(samples: Floats, margin: int = 4096) -> Floats:
    return samples[:, margin:-margin]


def test_stills_and_silent_clips_are_silent_for_exactly_their_length(
    clips: Clips, studio: Studio
) -> None:
    still = {"item_type": "image", "path": clips.picture("quiet.png"), "duration": 0.7}
    mute = clips.video("mute.mp4", rate="24", seconds=0.5, sound=False)
    film = studio.render(still, item(mute))
    samples = sound_of(film.output)
    assert samples.shape == (2, (21 + 15) * FRAME_SAMPLES)
    assert not samples.any()


def test_silence_between_sounds_is_digital_silence(clips: Clips, studio: Studio) -> None:
    tone = sounding(clips, "loud.mov", "0.8*sin(2*PI*500*t)", seconds=0.5)
    still = {"item_type": "image", "path": clips.picture("quiet.png"), "duration": 0.5}
    before, between, after = parts(heard(studio, item(tone), still, item(tone)))
    assert np.abs(inner(between)).max() < 1e-4
    assert decibels(before) > -10 and decibels(after) > -10


def test_mono_goes_to_both_sides_at_its_own_level(clips: Clips, studio: Studio) -> None:
    paths = [
        sounding(clips, "mono.mov", "0.5*sin(2*PI*997*t)", seconds=0.6),
        sounding(clips, "mono.mp4", "0.5*sin(2*PI*997*t)", *AAC, rate=44_100, seconds=0.6),
    ]
    for samples in parts(heard(studio, *map(item, paths))):
        left, right = inner(samples)
        assert np.abs(left - right).max() < 0.01
        assert abs(decibels(left) - 20 * np.log10(0.5 / np.sqrt(2))) < 0.3


def test_the_two_sides_of_stereo_stay_apart(clips: Clips, studio: Studio) -> None:
    stereo = "0.5*sin(2*PI*997*t)|0.25*sin(2*PI*1500*t)"
    path = sounding(clips, "stereo.mov", stereo, layout="stereo", seconds=0.6)
    (samples,) = parts(heard(studio, item(path)))
    left, right = inner(samples)
    assert abs(pitch(left) - 997) < 0.5 and abs(pitch(right) - 1500) < 0.5
    assert abs(decibels(left) - decibels(right) - 6.02) < 0.3


@pytest.mark.parametrize("coding", [PCM, AAC], ids=["pcm", "aac"])
def test_dialogue_of_surround_sound_is_heard_on_both_sides(
    clips: Clips, studio: Studio, coding: tuple[str, ...]
) -> None:
    path = sounding(
        clips, f"dialogue-{coding[1]}.mov", "0|0|0.5*sin(2*PI*800*t)|0|0|0", *coding,
        layout="5.1", seconds=0.6,
    )  # fmt: skip
    (samples,) = parts(heard(studio, item(path)))
    left, right = inner(samples)
    source = 20 * np.log10(0.5 / np.sqrt(2))
    for side in (left, right):
        assert abs(pitch(side) - 800) < 0.5
        assert source - 7 < decibels(side) < source + 0.5
    assert np.abs(left - right).max() < 0.02


def test_loud_surround_sound_does_not_clip(clips: Clips, studio: Studio) -> None:
    loud = "|".join(f"0.9*sin(2*PI*{freq}*t)" for freq in (300, 300, 300, 50, 300, 300))
    path = sounding(clips, "loud-51.mov", loud, layout="5.1", seconds=0.8)
    (samples,) = parts(heard(studio, item(path)))
    kept = inner(samples, 9600)
    assert np.abs(kept).max() < 1
    assert decibels(kept) > -12
    # A clipped sine has strong odd harmonics; a limited one hardly any.
    spectrum = np.abs(np.fft.rfft(kept[0] * np.hanning(kept.shape[1])))
    bin_of = kept.shape[1] / SAMPLE_RATE
    third = spectrum[round(900 * bin_of) - 3 : round(900 * bin_of) + 4].max()
    first = spectrum[round(300 * bin_of) - 3 : round(300 * bin_of) + 4].max()
    assert third < first / 30


@pytest.mark.parametrize("rate", [8_000, 22_050, 32_000, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_and_level_at_any_sample_rate(
    clips: Clips, studio: Studio, rate: int
) -> None:
    path = sounding(clips, f"pitch-{rate}.mov", "0.4*sin(2*PI*997*t)", rate=rate)
    (samples,) = parts(heard(studio, item(path)))
    left = inner(samples)[0]
    assert abs(pitch(left) - 997) < 0.3
    assert abs(decibels(left) - 20 * np.log10(0.4 / np.sqrt(2))) < 0.3


@pytest.mark.parametrize(
    ("name", "coding", "rate"),
    [("joint.mov", PCM, 48_000), ("joint-441.mov", PCM, 44_100), ("joint.mp4", AAC, 48_000),
     ("joint-441.mp4", AAC, 44_100), ("joint.mkv", PCM, 48_000), ("joint-441.mkv", AAC, 44_100),
     ("joint.ts", AAC, 48_000)],
)  # fmt: skip
def test_a_tone_that_is_cut_and_joined_again_goes_on_without_a_click(
    clips: Clips, studio: Studio, name: str, coding: tuple[str, ...], rate: int
) -> None:
    path = sounding(clips, name, "0.5*sin(2*PI*441*t)", *coding, rate=rate, seconds=3)
    film = heard(studio, item(path, end=1), item(path, start=1, end=2), item(path, start=2))
    left = sound_of(film.output)[0]
    usual = departure(left, SAMPLE_RATE // 2)
    assert usual < 0.01
    for second in (1, 2):
        found = departure(left, second * SAMPLE_RATE)
        assert found < 0.03, f"a click of {found:.3f} at {second} s"


def departure(samples: Floats, middle: int, reach: int = 2400) -> float:
    """How far the samples around a place depart from the 441 Hz sine that fits them best."""
    part = samples[middle - reach : middle + reach]
    angle = 2 * np.pi * 441 * np.arange(part.size) / SAMPLE_RATE
    base = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    fitted, *_ = np.linalg.lstsq(base, part, rcond=None)
    assert np.hypot(*fitted) > 0.4
    return float(np.abs(part - base @ fitted).max())


# Loudness


def k_weighted(samples: Floats) -> Floats:
    """The two filters of ITU-R BS.1770 for 48 kHz, applied to the spectrum."""
    size = 1 << int(np.ceil(np.log2(samples.shape[1] + SAMPLE_RATE)))
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    spectrum = np.fft.rfft(samples, size) * shelf * high_pass
    weighted: Floats = np.fft.irfft(spectrum, size)[:, : samples.shape[1]]
    return weighted


def integrated(samples: Floats) -> float:
    """Integrated loudness in LUFS, by BS.1770: blocks of 400 ms, two gates."""
    weighted = k_weighted(samples)
    block, hop = 19_200, 4_800
    starts = range(0, weighted.shape[1] - block + 1, hop)
    powers = np.array([np.mean(weighted[:, s : s + block] ** 2, axis=1).sum() for s in starts])
    loud = powers[-0.691 + 10 * np.log10(powers + 1e-12) > -70]
    gate = -0.691 + 10 * np.log10(loud.mean()) - 10
    louder = loud[-0.691 + 10 * np.log10(loud) > gate]
    return float(-0.691 + 10 * np.log10(louder.mean()))


def true_peak(samples: Floats) -> float:
    """The highest peak, between the samples too (at four times the rate), in dBTP."""
    size = samples.shape[1]
    padded = np.zeros(2 * size + 1, complex)
    best = 0.0
    for channel in samples:
        spectrum = np.fft.rfft(channel)
        padded[:] = 0
        padded[: size // 2 + 1] = spectrum[: size // 2 + 1]
        best = max(best, float(np.abs(np.fft.irfft(padded, 4 * size)).max()) * 4)
    return -200.0 if best == 0 else 20 * float(np.log10(best))


NOISE = "(random(0)-0.5)"
LOUDNESSES = {
    "quiet": f"0.02*{NOISE}",
    "tone": "0.9*sin(2*PI*1000*t)|0.9*sin(2*PI*1000*t)",
    "wave": "(0.05+0.04*sin(2*PI*0.5*t))*sin(2*PI*300*t)",
    "middle": f"0.4*{NOISE}|0.4*{NOISE}",
}


def test_loudness_evens_items_out_and_keeps_peaks_below_the_limit(
    clips: Clips, studio: Studio
) -> None:
    paths = [
        sounding(clips, f"level-{name}.mov", expression, seconds=3)
        for name, expression in LOUDNESSES.items()
    ]
    peaks = "0.95*sin(2*PI*997*t)*lt(mod(t,0.5),0.01)+0.01*sin(2*PI*200*t)"
    paths.append(sounding(clips, "level-peaks.mov", peaks, seconds=3))
    film = studio.render(*map(item, paths), loudness=True)
    found = parts(film)
    for name, samples in zip(LOUDNESSES, found[:-1], strict=True):
        assert abs(integrated(samples) + 14) <= 1, name
    assert true_peak(sound_of(film.output)) <= -1


def test_loudness_leaves_silence_silent(clips: Clips, studio: Studio) -> None:
    silent = sounding(clips, "level-silent.mov", "0", seconds=1)
    hiss = sounding(clips, "level-hiss.mov", "0.0005*(random(0)-0.5)", seconds=1)
    tone = sounding(clips, "level-soft.mov", "0.05*sin(2*PI*997*t)", seconds=1)
    first, noise, last = parts(heard(studio, item(silent), item(hiss), item(tone), loudness=True))
    assert np.abs(first[:, :-4096]).max() < 1e-4
    assert decibels(inner(noise)) < -65
    assert abs(integrated(last) + 14) <= 1


def test_without_loudness_levels_stay_as_they_are(clips: Clips, studio: Studio) -> None:
    soft = sounding(clips, "as-is.mov", "0.05*sin(2*PI*997*t)", seconds=0.6)
    (samples,) = parts(heard(studio, item(soft)))
    assert abs(decibels(inner(samples)) - 20 * np.log10(0.05 / np.sqrt(2))) < 0.3
