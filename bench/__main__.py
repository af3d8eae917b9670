"""``make bench``: ratios, measured side by side in one run.

    a  Reelyard against one FFmpeg graph: wall time, CPU time; peak memory at 120 and at 10 items
    b  a second render with everything cached, against the first
    c  one item of twenty changed, against the first
    d  seconds from the command to the first FFmpeg
    e  CPU time of everything that is not FFmpeg, against FFmpeg's own
    f–j  the farm (``bench/farm.py``)
    k–l  the API over many jobs (``bench/api.py``)
    m–o  being watched by many (``bench/watch.py``)
    p–s  an SMB share, against ``smbclient`` (``bench/smb.py``)
    t  a film of forty items against one graph, MoviePy and ``melt`` (``bench/rivals.py``)
    u–v  a farm of up to eight workers that help each other (``bench/scaling.py``)
    w–z  nothing is rendered twice: shared clips, a killed render, 400 items (``bench/sharing.py``)

A part that fails says so, and the others go on; the exit code is 1 then.

Ratios hold on a noisy machine; the seconds beside them are this run's only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reelyard.bootstrap import Reelyard
from reelyard.engine.ffmpeg import environment
from reelyard.engine.fonts import catalogue
from reelyard.services.gather import gather
from reelyard.services.job_file import parse_job
from reelyard.settings import Settings

from .api import api
from .farm import farm
from .material import short_items, twenty
from .measure import Measured, measure
from .one_graph import one_graph
from .rivals import Rivals, rivals
from .scaling import scaling
from .sharing import sharing
from .smb import smb
from .watch import watched

AVERAGE_ITEM = 10
"""The item whose length is nearest to the average of all twenty."""


class Bench:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(cache_dir=folder / "plan", log_dir=folder / "logs")
        self.reelyard = Reelyard(self.settings, "libx264")
        self.ffmpeg = self.reelyard.ffmpeg.executable

    def job(self, name: str, items: list[dict[str, Any]]) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"channel_name": "Bench", "items": items}))
        return path

    def reelyard_run(self, job: Path, cache: str) -> Measured:
        argv = [sys.executable, "-m", "reelyard", "render", str(job), "-o", str(self.output(job)),
                "--encoder", "libx264"]  # fmt: skip
        own = {
            "REELYARD_CACHE_DIR": str(self.folder / cache),
            "REELYARD_LOG_DIR": str(self.folder / "logs"),
        }
        return measure(argv, self.folder, own)

    def output(self, job: Path) -> Path:
        return self.folder / f"{job.stem}.mp4"

    def graph_run(self, job: Path) -> Measured:
        parsed = parse_job(json.loads(job.read_text()), self.folder)
        faces = catalogue((), self.reelyard.memory)
        gathered, problems = gather(parsed, self.reelyard.planning.prober, faces)
        if problems:
            raise SystemExit(problems)
        work = self.folder / "graph"
        fonts = work / "fonts"
        fonts.mkdir(parents=True, exist_ok=True)
        for face in faces:
            shutil.copy(face.font.path, fonts)
        (work / "fonts.conf").write_text("<fontconfig></fontconfig>")
        arguments = one_graph(parsed, gathered, faces, work, self.folder / "graph.mp4")
        argv = [str(self.ffmpeg), "-nostdin", "-hide_banner", "-v", "warning", *arguments]
        return measure(argv, work, environment(work))

    def fresh(self, cache: str) -> str:
        shutil.rmtree(self.folder / cache, ignore_errors=True)
        return cache

    def copy(self, cache: str) -> str:
        """A copy of a cache, to be changed."""
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / cache, self.folder / "copy")
        return "copy"

    def own_share(self, job: Path, run: Measured) -> float:
        """CPU time that is not FFmpeg's, as a share of FFmpeg's."""
        report = json.loads(self.output(job).with_suffix(".report.json").read_text())
        ffmpeg = float(report["cpu_seconds"]["ffmpeg"])
        return (run.cpu - ffmpeg) / ffmpeg


def show(name: str, ratio: float, goal: float, detail: str) -> None:
    mark = "meets" if ratio <= goal else "MISSES"
    print(f"{name:<44} {ratio:6.3f}   {mark} {goal:<5}  ({detail})", flush=True)


def median(runs: int, one: Callable[[], float]) -> float:
    return statistics.median(one() for _ in range(runs))


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench")
    arguments.add_argument("--runs", type=int, default=3, help="pairs for (a), (f), (m), (p)")
    arguments.add_argument("--only", choices=tuple(_PARTS), action="append", help="one part of it")
    arguments.add_argument(
        "--minutes",
        type=float,
        help="of film, for rivals, scaling and sharing; otherwise each its own",
    )
    arguments.add_argument("--chart", type=Path, help="where rivals draws its chart, an SVG")
    given = arguments.parse_args()
    failed = []
    for name in given.only or _PARTS:
        with tempfile.TemporaryDirectory(prefix="reelyard-bench-") as folder:
            try:
                _PARTS[name](Bench(Path(folder)), given)
            except (SystemExit, Exception) as failure:  # noqa: BLE001 - told, and the next one's turn
                traceback.print_exc()
                print(f"{name} FAILED: {failure}", flush=True)
                failed.append(name)
    sys.exit(bool(failed))


def _engine(bench: Bench, given: argparse.Namespace) -> None:
    speed(bench, given.runs)
    memory(bench)


def _farm(bench: Bench, given: argparse.Namespace) -> None:
    farm(bench.folder, bench.ffmpeg, given.runs)


def _api(bench: Bench, given: argparse.Namespace) -> None:
    api(bench.folder / "api")


def _watch(bench: Bench, given: argparse.Namespace) -> None:
    watched(bench.folder / "watch", bench.ffmpeg, given.runs)


def _smb(bench: Bench, given: argparse.Namespace) -> None:
    smb(bench.folder / "smb", given.runs)


def _rivals(bench: Bench, given: argparse.Namespace) -> None:
    def render(job: Path) -> tuple[Measured, Path]:
        return bench.reelyard_run(job, bench.fresh("cache")), bench.output(job)

    rivals(Rivals(bench.folder / "rivals", bench.reelyard, render, given.minutes), given.chart)


def _scaling(bench: Bench, given: argparse.Namespace) -> None:
    scaling(bench.folder / "scaling", bench.ffmpeg, given.minutes)


def _sharing(bench: Bench, given: argparse.Namespace) -> None:
    sharing(bench.folder / "sharing", bench.ffmpeg, given.minutes)


_PARTS: dict[str, Callable[[Bench, argparse.Namespace], None]] = {
    "engine": _engine,
    "farm": _farm,
    "api": _api,
    "watch": _watch,
    "smb": _smb,
    "rivals": _rivals,
    "scaling": _scaling,
    "sharing": _sharing,
}


def speed(bench: Bench, runs: int) -> None:
    items = twenty(bench.folder, bench.ffmpeg)
    job = bench.job("twenty", items)
    print(f"{len(items)} items; {runs} pairs, medians\n", flush=True)
    pairs = []
    for _ in range(runs):
        ours = bench.reelyard_run(job, bench.fresh("cache"))
        share = bench.own_share(job, ours)
        pairs.append((ours, bench.graph_run(job), share))
    wall = statistics.median(ours.wall / graph.wall for ours, graph, _ in pairs)
    cpu = statistics.median(ours.cpu / graph.cpu for ours, graph, _ in pairs)
    first, graph, _ = pairs[-1]
    show("a  wall time against one graph", wall, 1.0, f"{first.wall:.1f} s, {graph.wall:.1f} s")
    show("a  CPU time against one graph", cpu, 1.0, f"{first.cpu:.1f} s, {graph.cpu:.1f} s")
    show("a  peak memory against one graph", first.peak / graph.peak, 1.0,
         f"{first.peak / 1e6:.0f} MB, {graph.peak / 1e6:.0f} MB")  # fmt: skip
    warm = median(runs, lambda: bench.reelyard_run(job, "cache").wall)
    show("b  second render, all cached", warm / first.wall, 0.05, f"{warm:.2f} s")
    changed = [dict(item) for item in items]
    changed[AVERAGE_ITEM]["text_animation_text"] = "Changed"
    other = bench.job("changed", changed)
    again = median(runs, lambda: bench.reelyard_run(other, bench.copy("cache")).wall)
    show("c  one item of twenty changed", again / first.wall, 0.12, f"{again:.2f} s")
    start = median(runs, lambda: bench.reelyard_run(job, bench.fresh("cache")).first_ffmpeg or 99)
    show("d  seconds to the first FFmpeg", start, 0.7, "nothing remembered")
    share = statistics.median(share for _, _, share in pairs)
    show("e  CPU beyond FFmpeg's own", share, 0.05, "of FFmpeg's")


def memory(bench: Bench) -> None:
    few = bench.job("ten", short_items(10, bench.folder, bench.ffmpeg))
    many = bench.job("hundred-twenty", short_items(120, bench.folder, bench.ffmpeg))
    small = bench.reelyard_run(few, bench.fresh("cache"))
    large = bench.reelyard_run(many, bench.fresh("cache"))
    graph = bench.graph_run(many)
    show("a  peak memory, 120 items against 10", large.peak / small.peak, 1.2,
         f"{large.peak / 1e6:.0f} MB, {small.peak / 1e6:.0f} MB; one graph {graph.peak / 1e6:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
