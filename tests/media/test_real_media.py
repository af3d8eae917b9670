"""Real clips and stills made by others; generated ones of the same kinds where there are none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelyard.engine.probe import probe
from tests.conftest import Clips, Studio

from .measure import FRAME_SAMPLES, Shot, decoded, shot, sound_of

LONGEST = 0.2


@dataclass(frozen=True)
class Known:
    """What is known of a source: as displayed, by somebody else's measurement."""

    path: Path
    aspect: Fraction
    seconds: float | None  # None: a still
    has_sound: bool
    frames: int


def known_of(folder: Path, entry: dict[str, Any]) -> Known:
    picture = entry["probe"]["video"][0]
    width, height = picture["w"], picture["h"]
    across, _, down = (picture["sar"] or "1:1").partition(":")
    aspect = Fraction(width, height) * Fraction(int(across) or 1, int(down) or 1)
    is_still = entry["file"].startswith(("image/", "logo/"))
    turned = (picture["rotation"] or 0) % 180 == 90
    if "exif6" in entry["file"] or "exif8" in entry["file"]:
        turned = True
    return Known(
        path=folder / entry["file"],
        aspect=1 / aspect if turned else aspect,
        seconds=None if is_still else picture["span"][1] - picture["span"][0],
        has_sound=bool(entry["probe"]["audio"]),
        frames=picture["packets"],
    )


def real(folder: Path) -> list[Known]:
    entries = json.loads((folder / "manifest.json").read_text())
    return [known_of(folder, entry) for entry in entries if entry["probe"]["video"]]


def made(clips: Clips) -> list[Known]:
    """Generated clips of the same kinds: codec, container, rate, shape, sound."""
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    kinds: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("hd.mp4", "1920x1080", "30", (*x264, "-ar", "44100")),
        ("hevc.mp4", "344x460", "30000/1001", ("-c:v", "libx265", "-x265-params", "log-level=error",
                                               "-preset", "ultrafast", "-pix_fmt", "yuv420p")),
        ("pcm.mov", "640x360", "50", (*x264, "-c:a", "pcm_s16le")),
        ("sixty.mp4", "640x360", "60", (*x264, "-ac", "6")),
        ("square.mp4", "300x300", "60", (*x264, "-an")),
        ("vp9.webm", "320x180", "25", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-an")),
        ("av1.webm", "480x200", "24", ("-c:v", "libsvtav1", "-preset", "12", "-an")),
        ("vp8.webm", "400x166", "24", ("-c:v", "libvpx", "-deadline", "realtime")),
        ("opus.mkv", "480x270", "25", (*x264, "-c:a", "libopus")),
        ("asp.avi", "960x400", "24000/1001", ("-c:v", "mpeg4", "-c:a", "libmp3lame")),
        ("odd-rate.mp4", "320x180", "179/6", (*x264, "-ac", "1")),
    ]  # fmt: skip
    found = []
    for name, size, rate, options in kinds:
        path = clips.video(f"kind-{name}", size=size, rate=rate, seconds=1, options=options)
        width, height = map(int, size.split("x"))
        frames = round(Fraction(rate))
        seconds = float(frames / Fraction(rate))
        found.append(Known(path, Fraction(width, height), seconds, "-an" not in options, frames))
    upright = clips.video("kind-upright.mp4", size="320x180", options=x264, seconds=1)
    sideways = clips.make(
        "kind-rot90.mov", "-display_rotation", "90", "-i", str(upright), "-c", "copy"
    )
    found.append(Known(sideways, Fraction(9, 16), 1.0, True, 30))
    for name in ("jpg", "png", "webp", "bmp"):
        path = clips.picture(f"kind-still.{name}", size="310x199")
        found.append(Known(path, Fraction(310, 199), None, False, 1))
    return found


@pytest.fixture(scope="module")
def known(clips: Clips, real_media: Path | None) -> list[Known]:
    return real(real_media) if real_media else made(clips)


def item_of(one: Known) -> dict[str, Any]:
    if one.seconds is None:
        return {"item_type": "image", "path": one.path, "duration": 0.2}
    start = round(min(one.seconds, 8) / 2, 2)
    trim = {"start": start, "end": start + LONGEST} if one.seconds > 1 else {}
    return {"item_type": "video", "path": one.path, **trim}


def test_every_clip_renders_with_its_length_shape_and_sound(
    studio: Studio, known: list[Known]
) -> None:
    film = studio.render(*map(item_of, known))
    assert [item.position for item in film.plan.items] == list(range(1, len(known) + 1))
    middles = {item.start + item.frames // 2: n for n, item in enumerate(film.plan.items)}
    shown: dict[int, Shot] = {}
    count = 0
    for number, frame in enumerate(decoded(film.output)):
        count += 1
        if number in middles:
            shown[middles[number]] = shot(frame)
    assert count == film.plan.frames
    samples = sound_of(film.output)
    assert samples.shape == (2, film.plan.frames * FRAME_SAMPLES)
    for n, (one, item) in enumerate(zip(known, film.plan.items, strict=True)):
        seconds = 0.2 if one.seconds is None else one.seconds
        if seconds > 1:
            seconds = LONGEST
        assert abs(item.frames - 30 * seconds) < 1, one.path.name
        assert_shape(shown[n], one)
        if not one.has_sound:
            begin, end = item.start * FRAME_SAMPLES, (item.start + item.frames) * FRAME_SAMPLES
            inside = samples[:, begin + 2400 : end - 2400]
            assert np.abs(inside).max() < 1e-3, f"{one.path.name} is not silent"


def assert_shape(frame: Shot, one: Known) -> None:
    """Bars outside the box that the picture has to fill; something inside."""
    box = min(Fraction(1920), 1080 * one.aspect), min(Fraction(1080), 1920 / one.aspect)
    left, top = (1920 - float(box[0])) / 2, (1080 - float(box[1])) / 2
    assert frame.luma[int(top) : int(1080 - top), int(left) : int(1920 - left)].std() > 1
    for bar in (
        frame.luma[:, : max(0, int(left) - 4)],
        frame.luma[:, min(1920, int(1920 - left) + 5) :],
        frame.luma[: max(0, int(top) - 4)],
        frame.luma[min(1080, int(1080 - top) + 5) :],
    ):
        assert bar.size == 0 or abs(bar.mean() - 16) < 0.5, one.path.name
        assert bar.size == 0 or bar.max() < 32, one.path.name


def test_every_clip_is_known_to_hold_the_frames_of_its_picture(known: list[Known]) -> None:
    """Over their whole lengths, without rendering them."""
    for one in known:
        facts = probe(one.path).video
        assert facts.frame_count == one.frames, one.path.name
        if one.seconds is not None:
            assert abs(float(facts.span) - one.seconds) < 0.05, one.path.name
        assert abs(facts.display_aspect_ratio / one.aspect - 1) < Fraction(1, 100), one.path.name
