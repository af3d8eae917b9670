"""Drafts are films in small: everything is where it is in the film, measured by decoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import av
import pytest
from PIL import Image

from reelyard.domain.errors import JobRejected
from reelyard.services.job_file import parse_job
from tests.conftest import Clips, LocalFilm, Studio

from .measure import (
    FRAME_SAMPLES,
    beeps,
    brightness,
    extent,
    flashes,
    frame_count,
    frame_times,
    shots,
    sound_of,
)
from .test_overlay import ink, logo, plain


def draft(
    studio: Studio, *items: dict[str, Any], frames: int | None = None, **job: Any
) -> LocalFilm:
    """A draft of these items that shows at most so many frames of each."""
    document = {"channel_name": "Tests", "items": list(items), **job}
    renderer = studio.reelyard(data_dir=studio.folder / "data").draft_renderer(frames)
    parsed = parse_job(json.loads(json.dumps(document, default=str)), studio.folder)
    return cast(LocalFilm, renderer(parsed, studio.folder / "draft.mp4"))


def flash_clip(clips: Clips, rate: str = "25") -> Path:
    """2.6 seconds; at 0.6 s and 1.6 s a flash of 0.2 s, and a beep with it."""
    shown = "between(mod(t,1),0.599,0.799)"
    picture = f"color=black:s=1280x720:r={rate}:d=2.6,drawbox=c=white:t=fill:enable='{shown}'"
    tone = "aevalsrc='0.7*sin(2*PI*1000*t)*between(mod(t,1),0.6,0.7)':s=44100:d=2.6"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone)
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac")
    return clips.make(f"draft-flash-{rate}.mp4", *inputs, *coding)


def test_a_draft_is_small_and_has_exactly_its_frames_and_samples(
    clips: Clips, studio: Studio
) -> None:
    """Long items are cut, short ones and short images are not."""
    items = (
        {"item_type": "intro", "path": flash_clip(clips)},
        {"item_type": "video", "path": clips.video("draft-short.mp4", seconds=0.5)},
        {"item_type": "image", "path": clips.picture("draft-still.png"), "duration": 0.4},
        {"item_type": "image", "path": clips.picture("draft-still.png"), "duration": 9},
    )
    made = draft(studio, *items, frames=30)

    assert [item.frames for item in made.plan.items] == [30, 15, 12, 30]
    assert made.skipped == (78 - 30) + (270 - 30)
    assert frame_times(made.output) == list(range(87))
    assert sound_of(made.output).shape == (2, 87 * FRAME_SAMPLES)
    with av.open(str(made.output)) as film:
        codec = film.streams.video[0].codec_context
        shape = (codec.width, codec.height, codec.profile, codec.level, codec.pix_fmt)
    assert shape == (640, 360, "Main", 30, "yuv420p")


@pytest.mark.parametrize("rate", ["25", "60"])
def test_a_drafts_picture_and_sound_are_in_step_from_the_items_own_start(
    rate: str, clips: Clips, studio: Studio
) -> None:
    """The cut takes the first seconds after the trim; the next item follows without a gap."""
    path = flash_clip(clips, rate)
    made = draft(
        studio,
        {"item_type": "video", "path": path, "start": 0.4, "end": 2.4},
        {"item_type": "video", "path": path},
        frames=30,
    )
    assert flashes(brightness(made.output)) == [6, 48]
    for beep, at in zip(beeps(sound_of(made.output)), (0.2, 1.6), strict=True):
        assert abs(beep - 48_000 * at) < FRAME_SAMPLES


def test_a_draft_without_a_limit_shows_all(clips: Clips, studio: Studio) -> None:
    made = draft(studio, {"item_type": "video", "path": flash_clip(clips)})
    assert (frame_count(made.output), made.skipped) == (78, 0)


def with_logo(clips: Clips, studio: Studio, size: tuple[int, int], **job: Any) -> tuple[int, ...]:
    path = logo(clips, f"draft-{size[0]}x{size[1]}", size, (255, 255, 255))
    clip = plain(clips, "black")
    made = draft(studio, {"item_type": "video", "path": clip, "logo_path": path}, **job)
    left, right, top, bottom = extent(shots(made.output, [3])[3].luma > 126)
    return 639 - right, top, right - left + 1, bottom - top + 1


@pytest.mark.parametrize(
    ("size", "four_k", "lies"),
    [
        ((300, 120), False, (3, 3, 100, 40)),
        ((255, 63), False, (3, 3, 85, 21)),
        ((1024, 1024), False, (3, 3, 90, 90)),
        ((300, 120), True, (2, 2, 50, 20)),
    ],
    ids=["plain", "odd", "too-large", "4k"],
)
def test_a_logo_keeps_its_margin_and_its_share_of_the_picture(
    size: tuple[int, int],
    four_k: bool,
    lies: tuple[int, ...],
    clips: Clips,
    studio: Studio,
) -> None:
    """Pixels from the right and from the top, width, height: a third or a sixth of the film's."""
    found = with_logo(clips, studio, size, enable_4k=four_k)
    assert max(abs(a - b) for a, b in zip(found, lies, strict=True)) <= 1
    assert found[:2] == lies[:2]


def test_text_is_where_the_film_has_it(clips: Clips, studio: Studio) -> None:
    """Top right, 40 px of 1920 from the edges, as large as in the film for its size."""
    item = {
        "item_type": "video",
        "path": plain(clips, "gray", 1.5, 10),
        "text_animation_text": "HUM",
    }
    small = draft(studio, item)
    film = studio.render(item)
    letters = [extent(ink(shots(one.output, [44])[44])) for one in (small, film)]
    assert max(abs(a - b / 3) for a, b in zip(*letters, strict=True)) <= 1.5


def test_a_portrait_clip_is_centred_on_black(clips: Clips, studio: Studio) -> None:
    path = clips.folder / "draft-portrait.png"
    Image.new("RGB", (900, 1600), "white").save(path)
    made = draft(studio, {"item_type": "image", "path": path, "duration": 0.1})
    left, right, top, bottom = extent(shots(made.output, [1])[1].luma > 126)
    assert (top, bottom) == (0, 359)
    assert abs(left + right - 639) <= 2
    assert abs((right - left + 1) - 360 * 900 / 1600) <= 1.5


def test_the_jobs_own_trims_are_checked_as_for_the_film(clips: Clips, studio: Studio) -> None:
    """A draft that cuts before the mistake does not hide it."""
    item = {"item_type": "video", "path": clips.video("draft-short.mp4", seconds=0.5), "end": 7}
    with pytest.raises(JobRejected) as refused:
        draft(studio, item, frames=3)
    assert [one.code for one in refused.value.problems] == ["trim_outside"]


def test_forty_very_short_noisy_items_are_no_reason_to_refuse_a_draft(
    clips: Clips, studio: Studio
) -> None:
    """Each segment may spend a whole buffer, so such a draft takes more than its rate."""
    noise = "nullsrc=s=640x360:r=30:d=0.4,geq=random(1)*255:128:128"
    coding = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "5", "-pix_fmt", "yuv420p")
    path = clips.make("draft-noise.mp4", "-f", "lavfi", "-i", noise, *coding)
    made = draft(studio, *({"item_type": "video", "path": path} for _ in range(40)), frames=6)
    assert frame_count(made.output) == 240
    assert made.film.video_bit_rate > made.plan.form.max_rate
    assert made.warnings == ()


def test_a_draft_needs_no_graphics_card(studio: Studio, clips: Clips) -> None:
    """Not even where the films are made with one."""
    reelyard = studio.reelyard(encoder="h264_nvenc", data_dir=studio.folder / "data")
    document = {"items": [{"item_type": "image", "path": str(clips.picture("draft-still.png"))}]}
    job = parse_job({"channel_name": "Tests", **document}, studio.folder)
    encoding = reelyard.draft_workshop(job, item_frames=None).encoding
    assert encoding.encoder == "libx264"
    options = " ".join(encoding.options)
    assert "-preset ultrafast" in options
    assert "-b:v 1M -maxrate 1.5M -bufsize 2M -profile:v main -level:v 3.0" in options
