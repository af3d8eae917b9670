"""What the benchmarks render: real clips where there are some, generated ones otherwise."""

from __future__ import annotations

import itertools
import math
import subprocess
from pathlib import Path
from typing import Any

REAL = Path(__file__).resolve().parents[2] / "shared" / "media"

_REAL_ITEMS: tuple[dict[str, Any], ...] = (
    {"item_type": "intro", "path": "video/card-preroll-5s.mp4"},
    {"item_type": "video", "path": "video/1080p30-park.mp4", "logo_path": "logo/livekit-1024.png",
     "text_animation_text": "Morning in the park"},
    {"item_type": "video", "path": "video/720p2997-dog.mp4", "logo_path": "logo/livekit-1024.png",
     "text_animation_text": "Good dog"},
    {"item_type": "transition", "path": "video/card-midroll-5s.mp4", "end": 2},
    {"item_type": "video", "path": "video/480p2997-gopro-cliffs.mp4", "end": 8},
    {"item_type": "video", "path": "video/1080p30-sky-timelapse.mp4",
     "logo_path": "logo/shaka-trans.png"},
    {"item_type": "image", "path": "image/vineyard-1920x1281.jpg", "duration": 4},
    {"item_type": "video", "path": "video/720p2997-butterfly.mp4",
     "logo_path": "logo/livekit-1024.png", "text_animation_text": "Butterfly"},
    {"item_type": "video", "path": "video/1920x800-tears-av1.webm", "end": 6},
    {"item_type": "video", "path": "video/portrait-street-hevc-vfr.mp4"},
    {"item_type": "video", "path": "video/960x540-flower.mp4", "text_animation_text": "Flower"},
    {"item_type": "video", "path": "video/960x540-25-highway.mp4"},
    {"item_type": "transition", "path": "video/card-midroll-5s.mp4", "start": 1, "end": 3},
    {"item_type": "video", "path": "video/720p24-juggle-noaudio.mp4", "end": 6},
    {"item_type": "video", "path": "video/1080p60-bunny-51.mp4"},
    {"item_type": "video", "path": "video/720p2997-coffee.mp4", "end": 6},
    {"item_type": "image", "path": "image/steps-portrait-1200x1800.jpg", "duration": 3},
    {"item_type": "video", "path": "video/720p-ducks.mp4", "text_animation_text": "Ducks"},
    {"item_type": "video", "path": "video/rot180-720p.mp4"},
    {"item_type": "outro", "path": "video/card-postroll-5s.mp4"},
)  # fmt: skip


def twenty(folder: Path, ffmpeg: Path) -> list[dict[str, Any]]:
    """Twenty mixed items, about 1 min 40 s."""
    if REAL.is_dir():
        return [_placed(item, REAL) for item in _REAL_ITEMS]
    clips = [_generated(folder, ffmpeg, n) for n in range(20)]
    return [{"item_type": "video", "path": str(clip)} for clip in clips]


FORTY_SECONDS = 600
"""What the forty last together, to a few seconds."""

_LOGO = "logo/livekit-1024.png"
_CARD = "video/card-midroll-5s.mp4"
_TEARS, _BUNNY = "video/800x332-tears-vp8-70s.webm", "video/480p24-bunny-51-30s.mp4"
_MEETING, _BOTTLES = "video/720p25-meeting-vp9.webm", "video/540p-bottles-2983-40s.mp4"
_FIELD, _AV1 = "video/270p25-bunny-opus-33s.mkv", "video/1920x800-tears-av1.webm"

# type, path, from, to, logo, text. Footage that comes twice has other letters or another logo on it, so that nothing is
# given to whoever keeps what was rendered.
_REAL_FORTY: tuple[tuple[str, str, float, float, str | None, str | None], ...] = (
    ("intro", "video/card-preroll-5s.mp4", 0, 5, None, None),
    ("video", "video/1080p30-park.mp4", 0, 5.7, _LOGO, "Morning in the park"),
    ("video", _TEARS, 0, 34.5, _LOGO, "Somewhere in Amsterdam"),
    ("video", "video/720p2997-dog.mp4", 0, 9.6, _LOGO, "Good dog"),
    ("video", _MEETING, 0, 30, None, "The Monday meeting"),
    ("transition", _CARD, 0, 2, None, None),
    ("video", "video/480p2997-gopro-cliffs.mp4", 0, 12, _LOGO, None),
    ("video", _BUNNY, 0, 30, _LOGO, "A rabbit wakes up"),
    ("image", "image/vineyard-1920x1281.jpg", 0, 9, None, None),
    ("video", "video/720p2997-butterfly.mp4", 0, 7.5, _LOGO, "Butterfly"),
    ("video", _AV1, 0, 16.6, None, None),
    ("video", "video/portrait-street-hevc-vfr.mp4", 0, 5, None, "On the street"),
    ("video", _BOTTLES, 0, 39.5, _LOGO, None),
    ("transition", _CARD, 1, 3, None, None),
    ("video", "video/960x540-flower.mp4", 0, 5, _LOGO, "Flower"),
    ("video", "video/square-1200-60fps-noaudio.mp4", 0, 16.9, None, "Lines"),
    ("video", "video/720p24-juggle-noaudio.mp4", 0, 10.2, _LOGO, None),
    ("video", _FIELD, 0, 32, _LOGO, "In the meadow"),
    ("image", "image/steps-portrait-1200x1800.jpg", 0, 9, None, None),
    ("video", "video/720p2997-coffee.mp4", 0, 9.5, _LOGO, "Coffee first"),
    ("video", "video/1080p30-hevc-card-timecode.mp4", 0, 10, None, None),
    ("video", "video/960x540-25-highway.mp4", 0, 8.8, _LOGO, None),
    ("transition", _CARD, 0.5, 3, None, None),
    ("video", "video/portrait-phone-540x960-noaudio.mp4", 0, 14, None, "From a phone"),
    ("video", _TEARS, 20, 54, "logo/shaka-trans.png", "Battle"),
    ("video", "video/480p43-friday.mp4", 0, 6.1, None, "His Girl Friday"),
    ("video", "video/720p-ducks.mp4", 0, 3.6, _LOGO, "Ducks"),
    ("image", "image/birdie-422-1600x1067.jpg", 0, 9, None, None),
    ("video", _MEETING, 0, 37.5, _LOGO, "Any other business"),
    ("video", "video/1080p30-sky-timelapse.mp4", 0, 3.5, _LOGO, None),
    ("transition", _CARD, 2, 5, None, None),
    ("video", _BOTTLES, 0, 39.5, None, "Ten green bottles"),
    ("video", "video/rot180-720p.mp4", 0, 4.9, _LOGO, "Upside down"),
    ("video", _BUNNY, 0, 30, "logo/shaka-trans.png", None),
    ("video", _FIELD, 0, 32, None, "Meadow again"),
    ("image", "image/tree.webp", 0, 9, None, None),
    ("video", _TEARS, 32, 70, _LOGO, None),
    ("video", _AV1, 0, 16.6, _LOGO, "Tears of steel"),
    ("video", "video/1080p60-bunny-51.mp4", 0, 2, _LOGO, "Hop"),
    ("outro", "video/card-postroll-5s.mp4", 0, 5, None, None),
)


def forty(folder: Path, ffmpeg: Path, seconds: float = FORTY_SECONDS) -> list[dict[str, Any]]:
    """Forty mixed items: intro, clips with logo and text, transitions, stills, outro.

    For a film of less than ten minutes each item is shorter.
    """
    share = min(1.0, seconds / FORTY_SECONDS)
    if REAL.is_dir():
        rows = _REAL_FORTY
        return [_placed(_item(*row, share), REAL) for row in rows]
    logo = _generated_logo(folder, ffmpeg)
    longest = math.ceil(share * FORTY_SECONDS / 40) + 1
    clips = [_generated(folder, ffmpeg, n, longest) for n in range(20)]
    return [
        _item("video", str(clips[n % 20]), 0.5 * (n // 20), FORTY_SECONDS / 40 + 0.5 * (n // 20),
              str(logo) if n % 3 else None, f"Clip number {n}" if n % 2 else None, share)
        for n in range(40)
    ]  # fmt: skip


def _item(
    kind: str, path: str, start: float, end: float, logo: str | None, text: str | None, share: float
) -> dict[str, Any]:
    length = max(0.5, round((end - start) * share, 1))
    if kind == "image":
        return {"item_type": kind, "path": path, "duration": length}
    item: dict[str, Any] = {"item_type": kind, "path": path, "end": round(start + length, 1)}
    own = {"start": start, "logo_path": logo, "text_animation_text": text}
    return {**item, **{name: value for name, value in own.items() if value}}


def _generated_logo(folder: Path, ffmpeg: Path) -> Path:
    path = folder / "generated-logo.png"
    picture = "color=c=orange@0.8:s=400x300,format=rgba"
    subprocess.run(
        [str(ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-frames:v", "1", str(path)],
        check=True,
    )  # fmt: skip
    return path


def _placed(item: dict[str, Any], root: Path) -> dict[str, Any]:
    paths = {key: str(root / value) for key, value in item.items() if key.endswith("path")}
    return {**item, **paths}


def short_items(count: int, folder: Path, ffmpeg: Path) -> list[dict[str, Any]]:
    """``count`` different short items: the same clips, each trimmed a little differently."""
    clips = [item for item in twenty(folder, ffmpeg) if item["item_type"] == "video"]
    return [
        {"item_type": "video", "path": item["path"], "start": round(0.01 * n, 2),
         "end": round(0.01 * n + 0.5, 2)}
        for n, item in zip(range(count), itertools.cycle(clips), strict=False)
    ]  # fmt: skip


def _generated(folder: Path, ffmpeg: Path, number: int, seconds: int = 5) -> Path:
    path = folder / f"generated-{number}.mp4"
    rate = (24, 25, 30, 50, 60)[number % 5]
    size = ("1280x720", "1920x1080", "854x480", "608x1080")[number % 4]
    moving = f"mandelbrot=size={size}:rate={rate}:start_scale={3 / (number + 1)}"
    long = (
        f"testsrc2=size={size}:rate={rate},hue=h={18 * number}"  # made in less time than it lasts
    )
    picture = moving if seconds <= 5 else long
    tone = f"sine=frequency={220 + 20 * number}:duration={seconds}"
    subprocess.run(
        [str(ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone,
         "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)],
        check=True,
    )  # fmt: skip
    return path
