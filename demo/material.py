"""The demo's clips: real ones where there are some, otherwise made with FFmpeg and Pillow."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from reelyard.engine.fonts import packaged

REAL = Path(__file__).resolve().parents[2] / "shared" / "media"
CREDITS = (
    "Clips: Big Buck Bunny and Tears of Steel (c) Blender Foundation, CC BY 3.0; example photos by "
    "Nextcloud, CC BY; LiveKit logo, CC BY 4.0; others as their sources state."
)
_LOGO = "logo/livekit-1024.png"
_SMALL_LOGO = "logo/shaka-trans.png"  # text lies in the same corner, below it

_REAL_ITEMS: tuple[dict[str, Any], ...] = (
    {"item_type": "intro", "path": "video/card-preroll-5s.mp4", "end": 3},
    {"item_type": "video", "path": "video/1080p30-park.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "Morning in the park"},
    {"item_type": "video", "path": "video/720p2997-dog.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "The best catcher in town"},
    {"item_type": "transition", "path": "video/card-midroll-5s.mp4", "end": 1.5},
    {"item_type": "video", "path": "video/480p2997-gopro-cliffs.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "Over the cliffs", "start": 1, "end": 9},
    {"item_type": "image", "path": "image/vineyard-1920x1281.jpg", "duration": 4},
    {"item_type": "video", "path": "video/portrait-street-hevc-vfr.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "Прогулка по городу"},
    {"item_type": "video", "path": "video/720p24-juggle-noaudio.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "Juggling, without a sound", "end": 8},
    {"item_type": "transition", "path": "video/card-midroll-5s.mp4", "end": 1.5},
    {"item_type": "video", "path": "video/1080p60-bunny-51.mp4", "logo_path": _LOGO},
    {"item_type": "video", "path": "video/1920x800-tears-av1.webm", "start": 2, "end": 9},
    {"item_type": "image", "path": "image/exif6-landscape.jpg", "duration": 3},
    {"item_type": "video", "path": "video/480p43-friday.mp4", "logo_path": _SMALL_LOGO,
     "text_animation_text": "His Girl Friday, 1940"},
    {"item_type": "outro", "path": "video/card-postroll-5s.mp4", "end": 4},
)  # fmt: skip


def items(folder: Path, ffmpeg: Path) -> list[dict[str, Any]]:
    """The demo's items; made ones lie in ``folder``."""
    if REAL.is_dir():
        return [_placed(item) for item in _REAL_ITEMS]
    return _Workshop(folder, ffmpeg).items()


def _placed(item: dict[str, Any]) -> dict[str, Any]:
    paths = {key: str(REAL / value) for key, value in item.items() if key.endswith("path")}
    return {**item, **paths}


class _Workshop:
    """Makes clips of several sizes, rates and kinds. What is there already is not made again."""

    def __init__(self, folder: Path, ffmpeg: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ffmpeg = ffmpeg

    def items(self) -> list[dict[str, Any]]:
        logo = str(self._logo())
        sound = "aevalsrc='0.2*sin(2*PI*{hz}*t)*exp(-3*mod(t,0.5))|0.2*sin(3*PI*{hz}*t)*exp(-3*mod(t,0.5))'"
        low, high, still = sound.format(hz=220), sound.format(hz=330), self._still()
        card = "gradients=s=1280x720:r=25:c0=0x102040:c1=0x4060c0:speed=0.02"
        wipe = "gradients=s=1280x720:r=25:c0=0xd04010:c1=0xffd23f:speed=0.2"
        close = "gradients=s=1280x720:r=25:c0=0x0c3010:c1=0x40c060:speed=0.02"
        zoom = "mandelbrot=size=1280x720:rate=30000/1001:start_scale=2.5:end_pts=300"
        life = "life=size=480x270:rate=24:mold=12:ratio=0.15:death_color=#3a1f5d:life_color=#ffd23f"
        cells = "cellauto=size=540x960:rate=25:rule=110:scroll=1"
        plasma = "gradients=s=1920x1080:r=60:n=5:speed=0.05:type=spiral"
        return [
            {"item_type": "intro", "path": self._clip("intro.mp4", card, low, 3)},
            {"item_type": "video", "path": self._clip("zoom.mp4", zoom, high, 9),
             "logo_path": logo, "text_animation_text": "Into the Mandelbrot set"},
            {"item_type": "transition", "path": self._clip("wipe.mp4", wipe, high, 1)},
            {"item_type": "video", "path": self._clip("life.mp4", life, None, 8),
             "logo_path": logo, "text_animation_text": "Life, without a sound"},
            {"item_type": "image", "path": still, "duration": 4},
            {"item_type": "video", "path": self._clip("cells.mp4", cells, low, 7),
             "logo_path": logo, "text_animation_text": "Правило 110"},
            {"item_type": "transition", "path": self._clip("wipe.mp4", wipe, high, 1)},
            {"item_type": "video", "path": self._clip("spiral.mp4", plasma, low, 6),
             "text_animation_text": "Sixty frames a second"},
            {"item_type": "outro", "path": self._clip("outro.mp4", close, low, 3)},
        ]  # fmt: skip

    def _clip(self, name: str, picture: str, sound: str | None, seconds: float) -> str:
        path = self._folder / name
        if not path.exists():
            source = ["-f", "lavfi", "-i", picture]
            source += ["-f", "lavfi", "-i", sound, "-c:a", "aac"] if sound else []
            coding = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
            making = path.with_name(f"making-{name}")
            self._run([*source, *coding, "-t", str(seconds), str(making)])
            making.replace(path)
        return str(path)

    def _run(self, arguments: list[str]) -> None:
        subprocess.run([str(self._ffmpeg), "-v", "error", "-y", *arguments], check=True)

    def _logo(self) -> Path:
        path = self._folder / "logo.png"
        logo = Image.new("RGBA", (120, 34), (0, 0, 0, 0))
        draw = ImageDraw.Draw(logo)
        draw.rounded_rectangle((0, 0, 119, 33), 8, fill=(200, 30, 60, 220))
        face = ImageFont.truetype(str(packaged("fontpkg-anton")[0]), 22)
        draw.text((60, 17), "REEL", fill="white", font=face, anchor="mm")
        logo.save(path)
        return path

    def _still(self) -> str:
        path = self._folder / "still.jpg"
        still = Image.radial_gradient("L").resize((1600, 1200))
        Image.merge(
            "RGB", (still, still.rotate(90), still.transpose(Image.Transpose.ROTATE_180))
        ).save(path)
        return str(path)
