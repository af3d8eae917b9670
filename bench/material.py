"""What the benchmarks render: real clips where there are some, generated ones otherwise."""

from __future__ import annotations

import itertools
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


def _generated(folder: Path, ffmpeg: Path, number: int) -> Path:
    path = folder / f"generated-{number}.mp4"
    rate = (24, 25, 30, 50, 60)[number % 5]
    size = ("1280x720", "1920x1080", "854x480", "608x1080")[number % 4]
    picture = f"mandelbrot=size={size}:rate={rate}:start_scale={3 / (number + 1)}"
    tone = f"sine=frequency={220 + 20 * number}:duration=5"
    subprocess.run(
        [str(ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone,
         "-t", "5", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)],
        check=True,
    )  # fmt: skip
    return path
