"""A clip cut into segments shows the frames of the uncut clip, bit for bit.

Encoders look at what came before, so coded frames differ. What the graphs make is compared: every
frame's hash before it is encoded. The reference is one command that reads its source from the start.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.plan import Encoding, PictureRecipe, Plan, PlannedItem
from reelyard.engine import commands, render
from reelyard.engine.picture import FONTS_DIR, TEXT_FILE
from reelyard.engine.probe import probe
from reelyard.services.job_file import parse_job
from tests.conftest import Clips, Studio

from .measure import decoded, plane_of

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
TEST = "testsrc2=size=320x180:rate={rate}:duration={seconds}"


def plan_of(reelyard: Reelyard, folder: Path, *items: dict[str, Any], **options: Any) -> Plan:
    document = {"channel_name": "Cuts", "items": list(items), **options}
    job = parse_job(json.loads(json.dumps(document, default=str)), folder)
    return reelyard.planning.prepare(job).plan


def hashes(recipe: PictureRecipe, reelyard: Reelyard, folder: Path) -> list[str]:
    """The hash of each frame that a recipe's graph makes."""
    render.prepare(folder)
    if recipe.text:
        (folder / TEXT_FILE).write_text(recipe.text.document, encoding="utf-8")
        (folder / FONTS_DIR).mkdir(exist_ok=True)
        for n, font in enumerate(recipe.text.fonts):
            shutil.copyfile(font.path, folder / FONTS_DIR / f"{n}{Path(font.path).suffix}")
    raw = Encoding(encoder="rawvideo", options=("-c:v", "rawvideo"), ffmpeg_version="")
    argv = commands.picture(recipe, raw, "unused.mp4")
    argv = [*argv[: argv.index("-video_track_timescale")], "-f", "framemd5", "frames.md5"]
    reelyard.ffmpeg.run(argv, cwd=folder)
    rows = (folder / "frames.md5").read_text().splitlines()
    return [row.split(",")[-1].strip() for row in rows if not row.startswith("#")]


def pieces(item: PlannedItem, reelyard: Reelyard, folder: Path) -> list[str]:
    """The frames of an item, segment by segment."""
    found: list[str] = []
    for segment in item.picture:
        own = hashes(segment.recipe, reelyard, folder / f"{item.position}-{segment.part}")
        assert len(own) == len(segment.frames)
        found += own
    return found


def whole(item: PlannedItem, reelyard: Reelyard, folder: Path) -> list[str]:
    """The frames of an item that was planned as one segment, read from the source's start."""
    (segment,) = item.picture
    return hashes(replace(segment.recipe, seek=None), reelyard, folder / f"{item.position}-whole")


def assert_same(
    studio: Studio, *items: dict[str, Any], seconds: float = 0.7, draft: bool = False
) -> None:
    """Each item is the same in one piece and in several.

    Which frames a segment has, a draft shows as well: its graphs end in a smaller picture, that is all.
    """
    cut = studio.reelyard(segment_seconds=seconds)
    uncut = studio.reelyard(segment_seconds=3600)
    pairs = list(
        zip(
            plan_of(cut, studio.folder, *items, draft=draft).items,
            plan_of(uncut, studio.folder, *items, draft=draft).items,
            strict=True,
        )
    )

    def compare(pair: tuple[PlannedItem, PlannedItem]) -> str | None:
        inner, outer = pair
        assert len(inner.picture) > 1, f"{inner.named} is not cut"
        parts, reference = (
            pieces(inner, cut, studio.folder / "cut"),
            whole(outer, uncut, studio.folder / "uncut"),
        )
        wrong = [n for n, (a, b) in enumerate(zip(parts, reference, strict=True)) if a != b]
        return f"{inner.named}: frames {wrong[:12]} differ" if wrong else None

    with ThreadPoolExecutor(2) as pool:
        problems = [found for found in pool.map(compare, pairs) if found]
    assert not problems, "\n".join(problems)


def clip_of(clips: Clips, name: str, *options: str, rate: str = "30", seconds: float = 2.1) -> Path:
    source = TEST.format(rate=rate, seconds=seconds)
    return clips.make(f"cut-{name}", "-f", "lavfi", "-i", source, *options)


Maker = Callable[[Clips], Path]
HEVC_OPEN = "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:log-level=error"
MAKERS: dict[str, Maker] = {
    "h264-b-frames.mp4": lambda c: clip_of(c, "h264-b-frames.mp4", *X264, "-bf", "3", "-g", "24"),
    "h264-open-gop.mp4": lambda c: clip_of(
        c, "h264-open-gop.mp4", *X264, "-bf", "3", "-g", "12", "-x264-params", "open-gop=1"
    ),
    "h264-open-gop.mkv": lambda c: clip_of(
        c, "h264-open-gop.mkv", *X264, "-bf", "3", "-g", "12", "-x264-params", "open-gop=1",
        rate="24000/1001",
    ),
    "h264-intra-refresh.mp4": lambda c: clip_of(
        c, "h264-intra-refresh.mp4", *X264, "-g", "30", "-x264-params", "intra-refresh=1:bframes=0"
    ),
    "h264-one-key-frame.mp4": lambda c: clip_of(
        c, "h264-one-key-frame.mp4", *X264, "-g", "9999", rate="25"
    ),
    "hevc-b-frames.mp4": lambda c: clip_of(
        c, "hevc-b-frames.mp4", *X265, "-x265-params", "bframes=4:keyint=20:log-level=error"
    ),
    "hevc-open-gop.mp4": lambda c: clip_of(
        c, "hevc-open-gop.mp4", *X265, "-x265-params", HEVC_OPEN, rate="60000/1001"
    ),
    "hevc-open-gop.mkv": lambda c: clip_of(
        c, "hevc-open-gop.mkv", *X265, "-x265-params", HEVC_OPEN, rate="25"
    ),
    "h264.ts": lambda c: clip_of(c, "h264.ts", *X264, "-bf", "2", "-g", "15", rate="25"),
    "mpeg2.ts": lambda c: clip_of(c, "mpeg2.ts", "-c:v", "mpeg2video", "-bf", "2", "-q:v", "4"),
    "mpeg2.mpg": lambda c: clip_of(
        c, "mpeg2.mpg", "-c:v", "mpeg2video", "-bf", "2", "-q:v", "4", rate="25"
    ),
    "mpeg4.avi": lambda c: clip_of(
        c, "mpeg4.avi", "-c:v", "mpeg4", "-bf", "2", "-q:v", "4", rate="24000/1001"
    ),
    "h264.avi": lambda c: clip_of(c, "h264.avi", *X264, "-bf", "0", "-g", "15", rate="50"),
    "h264.flv": lambda c: clip_of(c, "h264.flv", *X264, "-bf", "2", "-g", "15", rate="25"),
    "vp9.webm": lambda c: clip_of(
        c, "vp9.webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "20",
        "-auto-alt-ref", "1", "-lag-in-frames", "10", rate="25",
    ),
    "vp8.webm": lambda c: clip_of(
        c, "vp8.webm", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8",
        "-auto-alt-ref", "1", "-lag-in-frames", "10", rate="24",
    ),
    "av1.mkv": lambda c: clip_of(
        c, "av1.mkv", "-c:v", "libsvtav1", "-preset", "12", "-g", "20", rate="24"
    ),
    "offset-10s.mkv": lambda c: clip_of(
        c, "offset-10s.mkv", *X264, "-bf", "2", "-output_ts_offset", "10", rate="25"
    ),
    "offset-10s.mp4": lambda c: clip_of(
        c, "offset-10s.mp4", *X264, "-bf", "2", "-output_ts_offset", "10", rate="30000/1001"
    ),
    "interlaced.mp4": lambda c: clip_of(
        c, "interlaced.mp4", "-vf", "interlace", *X264, "-flags", "+ilme+ildct", rate="50"
    ),
    "two-frames-a-second.mp4": lambda c: clip_of(
        c, "two-frames-a-second.mp4", *X264, rate="2", seconds=4
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_segments_hold_the_frames_of_the_uncut_clip(
    clips: Clips, studio: Studio, name: str
) -> None:
    assert_same(studio, {"item_type": "video", "path": MAKERS[name](clips)}, draft=True)


def gaps_clip(clips: Clips, suffix: str) -> Path:
    """Frames at 30 a second for a while, then nothing for several seconds, three times over."""
    times = "setpts='(N/30+if(gte(N,25),3.4,0)+if(gte(N,40),4.1,0)+if(gte(N,47),0.31,0))/TB'"
    return clips.make(
        f"gaps.{suffix}", "-f", "lavfi", "-i", TEST.format(rate=30, seconds=2),
        "-vf", f"settb=1/15360,{times}", "-fps_mode", "passthrough",
        *X264, "-bf", "2", "-g", "10",
    )  # fmt: skip


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_segments_of_a_clip_that_stands_still_for_seconds_hold_its_frames(
    clips: Clips, studio: Studio, suffix: str
) -> None:
    path = gaps_clip(clips, suffix)
    assert_same(studio, {"item_type": "video", "path": path}, seconds=1.5)


def test_text_in_segments_follows_the_clips_clock(clips: Clips, studio: Studio) -> None:
    path = clip_of(clips, "text.mp4", *X264, "-bf", "2", rate="25")
    logo = clips.picture("cut-logo.png", size="85x40")
    text = {"text_animation_text": "Twenty letters at 0.1 s", "logo_path": logo}
    assert_same(
        studio,
        {"item_type": "video", "path": path, **text},
        {"item_type": "video", "path": path, "start": 1.1, "end": 1.9, **text},
        seconds=0.5,
    )


@pytest.mark.parametrize("name", ["h264-open-gop.mp4", "hevc-open-gop.mkv", "h264.ts", "mpeg4.avi",
                                  "vp9.webm", "offset-10s.mp4"])  # fmt: skip
def test_trimmed_items_are_cut_at_the_same_frames(clips: Clips, studio: Studio, name: str) -> None:
    path = MAKERS[name](clips)
    assert_same(
        studio,
        {"item_type": "video", "path": path, "start": 0.4, "end": 1.2},
        {"item_type": "video", "path": path, "start": 1.27, "end": 2.05},
        seconds=0.5,
    )


@pytest.mark.parametrize("name", ["h264-b-frames.mp4", "h264-open-gop.mp4", "h264.ts", "offset-10s.mp4"])  # fmt: skip
def test_a_trim_at_a_whole_frame_shows_the_untrimmed_clips_frames(
    clips: Clips, studio: Studio, name: str
) -> None:
    path = MAKERS[name](clips)
    reelyard = studio.reelyard(segment_seconds=3600)
    item = {"item_type": "video", "path": path}
    plan = plan_of(reelyard, studio.folder, item, {**item, "start": 1.4, "end": 2})
    full = whole(plan.items[0], reelyard, studio.folder / "uncut")
    part = pieces(plan.items[1], reelyard, studio.folder / "cut")
    assert len(part) == 18
    assert part == full[42:60]


def test_every_real_clip_is_the_same_cut_and_uncut(
    clips: Clips, studio: Studio, real_media: Path | None
) -> None:
    """Late in each, so that every segment is reached by seeking where that is possible."""
    folder = real_media / "video" if real_media else None
    paths = sorted(folder.iterdir()) if folder else [make(clips) for make in MAKERS.values()]
    long: list[dict[str, Any]] = []
    short: list[dict[str, Any]] = []
    for path in paths:
        span = probe(path).video.span
        end = min(span, Fraction(5, 2))
        trim = {"start": float(end - Fraction(1, 2)), "end": float(end)} if span > 1 else {}
        item = {"item_type": "video", "path": path, **trim}
        (long if trim else short).append(item)
    assert_same(studio, *long, seconds=0.3, draft=True)
    if short:
        assert_same(studio, *short, seconds=0.15, draft=True)


def test_a_cut_film_shows_what_the_uncut_film_shows(clips: Clips, studio: Studio) -> None:
    """The finished films: hashes aside, no coded frame is another picture."""
    path = clip_of(clips, "film.mp4", *X264, "-bf", "3", rate="24000/1001", seconds=2)
    item = {"item_type": "video", "path": path, "text_animation_text": "Cut"}
    cut = studio.render(item, output="cut.mp4", settings={"segment_seconds": 0.4})
    uncut = studio.render(item, output="uncut.mp4")
    assert cut.rendered > uncut.rendered or len(cut.plan.items[0].picture) == 5
    count = 0
    for a, b in zip(decoded(cut.output), decoded(uncut.output), strict=True):
        difference = abs(plane_of(a, 0)[::3, ::3].astype(int) - plane_of(b, 0)[::3, ::3])
        assert difference.mean() < 2, f"frame {count}"
        count += 1
    assert count == 60
    with av.open(str(cut.output)) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert keys == 5
