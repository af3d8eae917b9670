"""Sources that real cameras and people make, and that programs like this one stumble over."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest
from PIL import Image

from reelyard.domain.errors import JobRejected
from reelyard.engine.sheet import Thumb, contact_sheet
from reelyard.files.job_log import safe_name
from reelyard.services.made import PICTURE_SUFFIX
from tests.conftest import Clips, Studio

from .measure import shots

CAPTION_FONT = "fontpkg-noto-sans"


@pytest.mark.parametrize("size", ["854x480", "320x240", "162x92", "1366x768", "200x1000"])
def test_every_size_becomes_square_pixels(clips: Clips, studio: Studio, size: str) -> None:
    clip = clips.video(f"square-{size}.mp4", size=size, seconds=0.2)
    done = studio.render({"item_type": "video", "path": clip})
    with av.open(str(done.output)) as film:
        assert film.streams.video[0].sample_aspect_ratio == 1


def test_all_segments_of_a_film_have_the_same_headers(clips: Clips, studio: Studio) -> None:
    sizes = ["854x480", "320x240", "1920x1080", "608x1080"]
    items = [{"item_type": "video", "path": clips.video(f"headers-{size}.mp4", size=size, seconds=0.2)}
             for size in sizes]  # fmt: skip
    done = studio.render(*items, {"item_type": "image", "path": clips.picture("headers.png")})
    cache = studio.reelyard().cache
    headers = set()
    for segment in done.plan.picture:
        with av.open(str(cache.path(segment.key, PICTURE_SUFFIX))) as part:
            headers.add(part.streams.video[0].codec_context.extradata)
    assert len(headers) == 1


def test_text_on_a_sound_clip_is_nothing_to_remark_upon(clips: Clips, studio: Studio) -> None:
    clip = clips.video("remark.mp4", seconds=0.5)
    done = studio.render({"item_type": "video", "path": clip, "text_animation_text": "Hello"})
    assert json.loads(done.report.read_text())["items"][0]["notes"] == []


def test_a_clip_whose_size_changes_on_the_way_keeps_its_length(
    clips: Clips, studio: Studio
) -> None:
    wide = clips.video("wide.ts", size="320x180", seconds=0.5, sound=False)
    narrow = clips.make(
        "narrow.ts", "-f", "lavfi", "-i", "testsrc2=s=160x120:d=0.5:r=30", "-c:v", "libx264",
        "-output_ts_offset", "0.5",
    )  # fmt: skip
    both = clips.folder / "both.ts"
    both.write_bytes(wide.read_bytes() + narrow.read_bytes())
    done = studio.render({"item_type": "video", "path": both})
    assert 28 <= done.film.frames <= 30


def test_odd_sizes_in_hdr_and_wide_gamut_render(clips: Clips, studio: Studio) -> None:
    tags = "setparams=color_primaries=bt2020:color_trc={}:colorspace=bt2020nc"
    made = [
        clips.make(
            f"odd-{curve}.mp4", "-f", "lavfi", "-i", "testsrc2=s=161x91:r=30:d=0.2", "-vf",
            f"format=yuv420p10le,{tags.format(curve)}", "-c:v", "libx265", "-x265-params",
            "log-level=none",
        )
        for curve in ("smpte2084", "arib-std-b67", "bt709")
    ]  # fmt: skip
    done = studio.render(*({"item_type": "video", "path": path} for path in made))
    assert done.film.frames == 18


def test_a_gif_and_an_avif_are_logos_too(clips: Clips, studio: Studio) -> None:
    """The left half of each is transparent, the right half green."""
    clip = clips.make(
        "black.mp4", "-f", "lavfi", "-i", "color=black:s=128x72:r=30:d=0.2", "-c:v", "libx264"
    )
    picture = Image.new("RGBA", (80, 80), (255, 0, 0, 0))
    picture.paste((0, 255, 0, 255), (40, 0, 80, 80))
    paths = [clips.folder / f"half.{suffix}" for suffix in ("png", "gif", "avif")]
    for path in paths:
        picture.save(path)
    done = studio.render(
        *({"item_type": "video", "path": clip, "logo_path": path, "end": 0.1} for path in paths)
    )
    for frame in shots(done.output, [1, 4, 7]).values():
        clear = frame.colour((1830 + 20) / 1920, 50 / 1080)
        solid = frame.colour((1830 + 60) / 1920, 50 / 1080)
        assert max(clear) < 24
        assert solid[1] > 200 and max(solid[0], solid[2]) < 40


@pytest.mark.parametrize("track", ["picture", "sound"])
def test_a_codec_that_nothing_can_decode_is_said_in_words(
    clips: Clips, studio: Studio, track: str
) -> None:
    clip = clips.video("known.mov", seconds=0.3).read_bytes()
    unknown = clips.folder / f"unknown-{track}.mov"
    tag = b"avc1" if track == "picture" else b"mp4a"
    unknown.write_bytes(clip.replace(tag, b"zzzz"))
    if track == "sound":  # the picture is there all the same
        assert studio.render({"item_type": "video", "path": unknown}).film.frames == 9
        return
    with pytest.raises(JobRejected) as refused:
        studio.render({"item_type": "video", "path": unknown})
    assert refused.value.problems[0].position == 1


def test_a_channel_may_have_a_long_name_in_any_script(clips: Clips, studio: Studio) -> None:
    clip = clips.video("name.mp4", seconds=0.1)
    done = studio.render({"item_type": "video", "path": clip}, channel_name="频道" * 100)
    assert (done.log_folder / "job.log").exists()
    assert len(safe_name("频" * 500).encode()) <= 120


def test_a_file_that_is_no_font_is_passed_by(clips: Clips, studio: Studio, tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    (fonts / "broken.ttf").write_bytes(b"no font")
    (fonts / "gone.ttf").symlink_to(tmp_path / "nowhere")
    clip = clips.video("fonts.mp4", seconds=0.1)
    item = {"item_type": "video", "path": clip, "text_animation_text": "Hi"}
    assert studio.render(item, settings={"font_dirs": (fonts,)}).film.frames == 3


def test_a_contact_sheet_of_thousands_stays_a_picture(clips: Clips, tmp_path: Path) -> None:
    from reelyard.engine.fonts import packaged

    clip = clips.video("thumb.mp4", size="64x36", seconds=0.1, sound=False)
    sheet = tmp_path / "sheet.jpg"
    thumbs = [Thumb(clip, 0, f"{n} item") for n in range(2500)]
    contact_sheet(thumbs, packaged(CAPTION_FONT)[0], sheet, lambda: None)
    with Image.open(sheet) as picture:
        assert max(picture.size) < 8000


class Album:
    """Keeps small pictures in memory, by their segments."""

    def __init__(self) -> None:
        self.pictures: dict[Path, bytes] = {}

    def recall(self, thumb: Thumb) -> bytes | None:
        return self.pictures.get(thumb.segment)

    def keep(self, thumb: Thumb, picture: bytes) -> None:
        self.pictures[thumb.segment] = picture


def test_a_contact_sheet_of_kept_pictures_needs_no_segments(clips: Clips, tmp_path: Path) -> None:
    """And is the same sheet, byte for byte."""
    from reelyard.engine.fonts import packaged

    clip = clips.video("kept-thumb.mp4", size="640x360", seconds=0.2, sound=False)
    away = tmp_path / "segment.mp4"
    away.write_bytes(clip.read_bytes())
    thumbs = [Thumb(away, 3, f"{n} item") for n in range(3)]
    sheets = [tmp_path / "first.jpg", tmp_path / "second.jpg"]
    album = Album()
    for sheet in sheets:
        contact_sheet(thumbs, packaged(CAPTION_FONT)[0], sheet, lambda: None, album)
        away.unlink(missing_ok=True)
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    with Image.open(sheets[0]) as picture:
        colours = picture.crop((12, 12, 332, 192)).getcolors(1 << 16)
        assert colours is None or len(colours) > 100, "it shows the clip"
