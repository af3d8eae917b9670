"""Law 1: picture and sound are never a frame apart, at item 1 or item 60. Measured by decoding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Clips, LocalFilm, Studio

from .measure import (
    FRAME_SAMPLES,
    beeps,
    brightness,
    flashes,
    frame_count,
    frame_times,
    sound_of,
)

PCM = ("-c:a", "pcm_s16le")
AAC = ("-c:a", "aac", "-b:a", "128k")


@dataclass(frozen=True)
class Kind:
    """A clip of a kind, with a flash and a beep that start at the same moment."""

    name: str
    rate: str = "30"
    size: str = "320x180"
    frames: int = 20
    flash: int = 8  # the frame that is the first bright one
    sound_rate: int = 48_000
    channels: int = 1
    sound: tuple[str, ...] = AAC
    coding: tuple[str, ...] = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

    @property
    def seconds_a_frame(self) -> float:
        over, _, under = self.rate.partition("/")
        return int(under or 1) / int(over)

    @property
    def moment(self) -> float:
        return self.flash * self.seconds_a_frame


def flash_clip(
    clips: Clips, kind: Kind, *, picture_at: float = 0, sound_at: float = 0,
    sound_seconds: float | None = None, options: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """The clip; its picture and its sound may start at other times than 0.

    The beep comes ``kind.moment`` after the first frame in any case.
    """
    seconds = kind.frames * kind.seconds_a_frame
    picture = (
        f"color=black:s={kind.size}:r={kind.rate}:d={seconds},"
        f"drawbox=c=white:t=fill:enable='between(n,{kind.flash},{kind.flash + 5})'"
    )
    at = kind.moment + picture_at - sound_at
    tone = f"0.7*sin(2*PI*1000*(t-{at}))*between(t,{at},{at + 0.1})"
    tones = "|".join([tone] * kind.channels)
    lasts = sound_seconds or seconds + picture_at - sound_at
    sound = f"aevalsrc='{tones}':s={kind.sound_rate}:d={lasts}"
    return clips.make(
        kind.name,
        *("-itsoffset", str(picture_at), "-f", "lavfi", "-i", picture),
        *("-itsoffset", str(sound_at), "-f", "lavfi", "-i", sound),
        *kind.coding, *kind.sound, *options,
    )  # fmt: skip


KINDS = (
    Kind("s-23976.mp4", "24000/1001", "640x360", 17, 7, 44_100, 2),
    Kind("s-24.mkv", "24", "320x240", 16, 5, 48_000, 1, ("-c:a", "libopus")),
    Kind("s-25.mp4", "25", "322x182", 18, 9, 44_100, 1),
    Kind("s-2997.mov", "30000/1001", "180x320", 22, 11, 48_000, 2, PCM),
    Kind("s-30.mp4", "30", "1920x1080", 17, 6, 48_000, 2),
    Kind("s-50.mp4", "50", "426x240", 31, 13, 44_100, 2),
    Kind("s-5994.mp4", "60000/1001", "320x180", 41, 21, 48_000, 1),
    Kind("s-60.avi", "60", "320x180", 37, 15, 44_100, 2, PCM,
         ("-c:v", "mpeg4", "-q:v", "3")),
    Kind("s-25.ts", "25", "320x180", 16, 6, 48_000, 2),
    Kind("s-15.webm", "15", "320x180", 11, 4, 48_000, 2, ("-c:a", "libopus"),
         ("-c:v", "libvpx", "-b:v", "500k", "-deadline", "realtime")),
)  # fmt: skip


def vfr_clip(clips: Clips) -> tuple[Path, float]:
    """A clip of variable rate (30 and 15 frames a second by turns); flash and beep at 0.4 s."""
    picture = (
        "color=black:s=320x180:r=30:d=0.6,drawbox=c=white:t=fill:enable='between(n,12,16)',"
        "select='lt(n,6)+not(mod(n,2))'"
    )
    sound = "aevalsrc='0.7*sin(2*PI*1000*(t-0.4))*between(t,0.4,0.5)':s=48000:d=0.6"
    path = clips.make(
        "s-vfr.mp4", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound,
        "-fps_mode", "passthrough", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac",
    )  # fmt: skip
    return path, 0.4


def assert_in_step(film: LocalFilm, moments: dict[int, float]) -> None:
    """Each item in ``moments`` flashes and beeps then (seconds into it), together; no other does."""
    light, samples = brightness(film.output), sound_of(film.output)
    assert light.size == film.plan.frames
    assert samples.shape == (2, film.plan.frames * FRAME_SAMPLES)
    seen, heard = flashes(light), beeps(samples)
    due = [
        item.start + moments[item.position] * 30
        for item in film.plan.items
        if item.position in moments
    ]
    assert len(seen) == len(due), f"{len(seen)} flashes instead of {len(due)}"
    assert len(heard) == len(due), f"{len(heard)} beeps instead of {len(due)}"
    for wanted, frame, sample in zip(due, seen, heard, strict=True):
        assert abs(frame - wanted) < 1, f"flash at frame {frame}, due at {wanted:.2f}"
        assert abs(sample / FRAME_SAMPLES - wanted) < 1, (
            f"beep at {sample / FRAME_SAMPLES}, due {wanted}"
        )
        assert abs(sample / FRAME_SAMPLES - frame) < 1, (
            f"flash at {frame}, beep at {sample / FRAME_SAMPLES:.2f}"
        )


def test_sixty_mixed_items_stay_in_step_from_first_to_last(clips: Clips, studio: Studio) -> None:
    flashing = [(flash_clip(clips, kind), kind.moment) for kind in KINDS] + [vfr_clip(clips)]
    silent = clips.make(
        "s-silent.mp4", "-f", "lavfi", "-i", "color=0x202020:s=320x180:r=25:d=0.5", *KINDS[0].coding
    )
    still = clips.make(
        "s-dark.png", "-f", "lavfi", "-i", "color=0x202020:s=301x199", "-frames:v", "1"
    )
    items: list[dict[str, Any]] = []
    moments: dict[int, float] = {}
    while len(items) < 60:
        n = len(items)
        if n % 6 == 3:
            items.append({"item_type": "image", "path": still, "duration": 0.21 + n / 100})
        elif n % 6 == 5:
            items.append({"item_type": "transition", "path": silent})
        else:
            path, moment = flashing[(n * 7) % len(flashing)]
            items.append({"item_type": "video", "path": path})
            moments[n + 1] = moment
    assert {1, 31} <= moments.keys() and max(moments) >= 59
    film = studio.render(*items)
    assert_in_step(film, moments)


def test_the_film_has_exactly_the_frames_and_samples_of_its_plan(
    clips: Clips, studio: Studio
) -> None:
    paths = [flash_clip(clips, kind) for kind in KINDS[:4]]
    still = clips.picture("count.png")
    film = studio.render(
        *({"item_type": "video", "path": path} for path in paths),
        {"item_type": "image", "path": still, "duration": 0.333},
        settings={"segment_seconds": 0.3},
    )
    assert film.plan.frames == frame_count(film.output)
    assert frame_times(film.output) == list(range(film.plan.frames))
    assert sound_of(film.output).shape[1] == film.plan.frames * 1600
    # 17/23.976 s, 16/24 s, 18/25 s, 22/29.97 s, 0.333 s
    assert [item.frames for item in film.plan.items] == [21, 20, 22, 22, 10]


def moved(name: str, sound: tuple[str, ...] = AAC) -> Kind:
    """45 frames at 25 a second; flash and beep at 1.2 s."""
    return Kind(name, "25", frames=45, flash=30, sound=sound)


# Drafts from here on: when something is seen and heard is the same in a small picture.

OFFSETS = [(0, 0.4), (0.6, 0), (10, 10), (10, 10.3), (10.5, 10)]
OFFSET_NAMES = ["sound-later", "sound-earlier", "at-10s", "at-10s-later", "at-10s-earlier"]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize(("picture_at", "sound_at"), OFFSETS, ids=OFFSET_NAMES)
def test_sync_within_a_clip_survives_where_its_streams_start(
    clips: Clips, studio: Studio, suffix: str, picture_at: float, sound_at: float
) -> None:
    kind = moved(f"offset-{picture_at}-{sound_at}.{suffix}", PCM if suffix == "mov" else AAC)
    path = flash_clip(clips, kind, picture_at=picture_at, sound_at=sound_at)
    film = studio.render({"item_type": "video", "path": path}, draft=True)
    assert film.plan.frames == 54
    assert_in_step(film, {1: 1.2})


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sync_survives_an_offset_start_that_is_trimmed_away(
    clips: Clips, studio: Studio, suffix: str
) -> None:
    kind = Kind(f"offset-trim.{suffix}", "25", frames=100, flash=80)  # at 3.2 s
    path = flash_clip(clips, kind, picture_at=10.5, sound_at=10)
    film = studio.render({"item_type": "video", "path": path, "start": 2.4, "end": 3.6}, draft=True)
    assert film.plan.frames == 36
    assert_in_step(film, {1: 0.8})


@pytest.mark.parametrize("seconds", [1.4, 3.0], ids=["shorter", "longer"])
def test_sound_of_another_length_than_its_picture_moves_nothing_after_it(
    clips: Clips, studio: Studio, seconds: float
) -> None:
    path = flash_clip(clips, moved(f"length-{seconds}.mp4"), sound_seconds=seconds)
    film = studio.render(*[{"item_type": "video", "path": path}] * 3, draft=True)
    assert film.plan.frames == 3 * 54
    assert_in_step(film, {1: 1.2, 2: 1.2, 3: 1.2})


@pytest.mark.parametrize("drift", [1.008, 0.992], ids=["slow-clock", "fast-clock"])
def test_sound_whose_clock_drifts_is_kept_with_its_picture(
    clips: Clips, studio: Studio, drift: float
) -> None:
    """The recorder's clock is 0.8 % off: over 12 s it would part sound and picture by 3 frames."""
    moments = (1.0, 6.0, 11.0)
    on = "+".join(f"between(n,{25 * m:.0f},{25 * m + 4:.0f})" for m in moments)
    picture = f"color=black:s=160x90:r=25:d=12,drawbox=c=white:t=fill:enable='{on}'"
    gate = "+".join(f"between(t,{m / drift},{m / drift + 0.1})" for m in moments)
    sound = f"aevalsrc='0.7*sin(2*PI*1000*t)*({gate})':s=48000:d={12 / drift},asetpts=PTS*{drift}"
    path = clips.make(
        f"drift-{drift}.mkv", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound,
        *KINDS[0].coding, *PCM,
    )  # fmt: skip
    film = studio.render({"item_type": "video", "path": path}, draft=True)
    light, samples = brightness(film.output), sound_of(film.output)
    seen, heard = flashes(light), beeps(samples)
    assert seen == [30, 180, 330]
    assert len(heard) == 3
    for frame, sample in zip(seen, heard, strict=True):
        assert abs(sample / FRAME_SAMPLES - frame) < 1
