"""``make demo``: a real compilation from real (or made) clips, and where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from reelyard.bootstrap import Reelyard
from reelyard.settings import read_settings

from .material import CREDITS, REAL, items

OUT = Path(__file__).resolve().parents[1] / "out"


def main() -> int:
    OUT.mkdir(exist_ok=True)
    ffmpeg = Reelyard(read_settings()).ffmpeg.executable
    print("Getting the clips ready ...", flush=True)
    job = OUT / "demo.yaml"
    document = {
        "channel_name": "Around the World",
        "chapters": True,
        "loudness": True,
        "items": items(OUT / "clips", ffmpeg),
    }
    job.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    print(f"The job: {job}\n", flush=True)
    film = OUT / "around-the-world.mp4"
    done = subprocess.run([sys.executable, "-m", "reelyard", "render", str(job), "-o", str(film)])
    if done.returncode == 0 and REAL.is_dir():
        print(f"\n{CREDITS}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
