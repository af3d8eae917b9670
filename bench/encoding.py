"""``make bench-encoding``: which x264 settings are the fastest whose picture holds.

Each clip is composed as in a film, encoded at the target rate with one thread, and compared with the
composed frames themselves by VMAF. A setting holds if its mean is at least 95 and within 1 of
``veryfast`` on every clip.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from reelyard.bootstrap import Reelyard
from reelyard.domain.output import HD
from reelyard.domain.timeline import FrameRange
from reelyard.engine.commands import GRAPH_FLAGS
from reelyard.engine.encoders import X264, video_options
from reelyard.engine.picture import moving_graph
from reelyard.engine.probe import probe
from reelyard.settings import Settings

from .material import twenty

_FRAMES = 180
_EVERY = 3
_OURS = "ours"
_CANDIDATES = {
    "ultrafast + CABAC": ("ultrafast", "cabac=1"),
    _OURS: ("", ""),
    "superfast": ("superfast", ""),
    "veryfast": ("veryfast", ""),
}


@dataclass(frozen=True, slots=True)
class Score:
    """VMAF mean and 5th percentile, megabits a second, CPU seconds."""

    mean: float
    low: float
    rate: float
    cpu: float


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="reelyard-encoding-") as name:
        folder = Path(name)
        ffmpeg = Reelyard(Settings(cache_dir=folder / "cache", log_dir=folder)).ffmpeg.executable
        paths = {item["path"] for item in twenty(folder, ffmpeg) if item["item_type"] == "video"}
        print("| clip | setting | VMAF mean | 5 % | Mb/s | CPU s |\n|---|---|---|---|---|---|")
        for path in sorted(paths):
            for setting in _CANDIDATES:
                score = _score(folder, ffmpeg, Path(path), setting)
                print(f"| {Path(path).name} | {setting} | {score.mean:.2f} | {score.low:.2f} | "
                      f"{score.rate:.1f} | {score.cpu:.1f} |", flush=True)  # fmt: skip


def _score(folder: Path, ffmpeg: Path, path: Path, setting: str) -> Score:
    facts = probe(path)
    frames = min(_FRAMES, int(facts.video.span * 30))
    graph = GRAPH_FLAGS + moving_graph(facts, HD, Fraction(0), FrameRange(0, frames))
    source = ["-copyts", "-threads", "1", "-i", str(path)]
    made = folder / "made.mp4"
    before = os.times()
    _run(ffmpeg, [*source, "-filter_complex", graph, "-map", "[picture]", *_options(setting),
                  "-frames:v", str(frames), "-fps_mode", "passthrough", str(made)])  # fmt: skip
    after = os.times()
    log = folder / "vmaf.json"
    compare = (
        f"{graph.replace('[0:', '[1:')};[0:v]settb=1/30,setpts=N[a];"
        f"[picture]settb=1/30,setpts=N[b];[a][b]libvmaf=n_threads=2:n_subsample={_EVERY}:"
        f"shortest=1:log_fmt=json:log_path={log.name}"
    )
    _run(
        ffmpeg,
        ["-i", str(made), *source[1:], "-filter_complex", compare, "-f", "null", "-"],
        folder,
    )
    scores = sorted(frame["metrics"]["vmaf"] for frame in json.loads(log.read_text())["frames"])
    return Score(
        mean=sum(scores) / len(scores),
        low=scores[len(scores) // 20],
        rate=made.stat().st_size * 8 / (frames / 30) / 1e6,
        cpu=after.children_user - before.children_user,
    )


def _options(setting: str) -> list[str]:
    options = list(video_options(X264, HD))
    preset, parameters = _CANDIDATES[setting]
    if preset:
        options[options.index("-preset") + 1] = preset
        place = options.index("-x264-params")
        options[place : place + 2] = ["-x264-params", parameters] if parameters else []
    return options


def _run(ffmpeg: Path, arguments: list[str], folder: Path | None = None) -> None:
    argv = [str(ffmpeg), "-nostdin", "-v", "error", "-y", *arguments]
    subprocess.run(argv, check=True, cwd=folder)


if __name__ == "__main__":
    main()
