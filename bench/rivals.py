"""Reelyard against what people make such films with otherwise, side by side in one run.

t  a compilation of forty mixed items (two minutes; with ``--minutes 10`` all of the same forty) by Reelyard, by one
   FFmpeg graph with the same settings, by MoviePy and by MLT's ``melt``: wall and CPU time, peak memory of all processes,
   VMAF, size, and whether pictures and sound are where they belong

Each one's way is in ``one_graph.py``, ``moviepy_film.py`` and ``melt_film.py``, with what it can't do; how the films are
compared in ``quality.py``. What is not installed is left out: ``make rivals`` brings MoviePy, in an environment of its own
(it wants an older Pillow than Reelyard), and ``melt``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av

from reelyard.bootstrap import Reelyard
from reelyard.domain.output import HD
from reelyard.engine.encoders import X264, video_options
from reelyard.engine.ffmpeg import environment
from reelyard.engine.fonts import catalogue
from reelyard.services.gather import gather
from reelyard.services.job_file import parse_job

from .chart import Panel, chart
from .material import forty
from .measure import Measured, measure
from .melt_film import melt
from .one_graph import one_graph
from .quality import Judge, Quality
from .wanted import Wanted, wanted

OURS = "Reelyard"
MINUTES = 2.0
"""Of film, where nobody says otherwise: MoviePy takes its time."""

MOVIEPY = Path(__file__).resolve().parents[1] / ".venv" / "rivals" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Row:
    """One rival's film."""

    name: str
    run: Measured
    quality: Quality


class Rivals:
    """One compilation and everybody's way to it."""

    def __init__(self, folder: Path, reelyard: Reelyard, render: Callable[[Path], tuple[Measured, Path]],
                 minutes: float | None) -> None:  # fmt: skip
        self.folder = folder
        folder.mkdir(parents=True)
        self._render = render
        self.ffmpeg = reelyard.ffmpeg.executable
        items = forty(folder, self.ffmpeg, (minutes or MINUTES) * 60)
        self.job = folder / "forty.json"
        self.job.write_text(json.dumps({"channel_name": "Bench", "items": items}))
        self._parsed = parse_job(json.loads(self.job.read_text()), folder)
        self._faces = catalogue((), reelyard.memory)
        self._gathered, problems = gather(self._parsed, reelyard.planning.prober, self._faces)
        if problems:
            raise SystemExit(problems)
        self.wanted: list[Wanted] = wanted(self._gathered, self._faces)

    @property
    def all(self) -> list[tuple[str, Callable[[], tuple[Measured, Path]]]]:
        """Who is here."""
        found = [(OURS, lambda: self._render(self.job)), ("one FFmpeg graph", self._one_graph)]
        if shutil.which("melt"):
            found.append(("melt (MLT)", self._melt))
        if MOVIEPY.exists():
            found.append(("MoviePy", self._moviepy))
        return found

    def _work(self, name: str) -> Path:
        work = self.folder / name
        fonts = work / "fonts"
        fonts.mkdir(parents=True)
        for face in self._faces:
            shutil.copy(face.font.path, fonts)
        (work / "fonts.conf").write_text("<fontconfig></fontconfig>")
        return work

    def _one_graph(self) -> tuple[Measured, Path]:
        work, film = self._work("graph"), self.folder / "graph.mp4"
        arguments = one_graph(self._parsed, self._gathered, self._faces, work, film)
        argv = [str(self.ffmpeg), "-nostdin", "-hide_banner", "-v", "warning", *arguments]
        return measure(argv, work, environment(work)), film

    def _melt(self) -> tuple[Measured, Path]:
        work, film = self._work("melt"), self.folder / "melt.mp4"
        argv = melt(self.wanted, work, film)
        return measure(argv, work, {"FONTCONFIG_FILE": str(work / "fonts.conf")}), film

    def _moviepy(self) -> tuple[Measured, Path]:
        work, film = self._work("moviepy"), self.folder / "moviepy.mp4"
        script = work / "film.json"
        script.write_text(json.dumps(self._for_moviepy(film)))
        program = Path(__file__).with_name("moviepy_film.py")
        argv = [str(MOVIEPY), str(program), str(script)]
        return measure(argv, work, {}), film

    def _for_moviepy(self, film: Path) -> dict[str, Any]:
        given = list(video_options(X264, HD))
        named = dict(zip(given[::2], given[1::2], strict=True))
        for chosen in ("-c:v", "-preset", "-threads"):
            del named[chosen]
        own = [part for pair in named.items() for part in pair]
        tags = "scale=out_color_matrix=bt709:out_range=limited,format=yuv420p,setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
        items = [
            {
                name: value
                for name, value in asdict(one).items()
                if name not in ("gathered", "letters")
            }
            | {"seconds": one.frames / 30}
            for one in self.wanted
        ]
        return {"width": HD.width, "height": HD.height, "items": items, "output": str(film),
                "ffmpeg_params": [*own, "-vf", tags, "-movflags", "+faststart"]}  # fmt: skip


def rivals(them: Rivals, picture: Path | None) -> None:
    """Run all of it, print the table, and draw the chart into ``picture``."""
    frames = sum(one.frames for one in them.wanted)
    print(f"\nRivals: {len(them.wanted)} items, {frames / 1800:.1f} minutes of film\n", flush=True)
    judge = Judge(them.wanted, them.folder / "judge", them.ffmpeg)
    rows: list[Row] = []
    failed = []
    for name, make in them.all:
        try:
            rows.append(_row(name, make, judge))
        except (
            SystemExit,
            OSError,
            ValueError,
            subprocess.SubprocessError,
            av.FFmpegError,
        ) as failure:
            print(f"{name} FAILED: {failure}", flush=True)
            failed.append(name)
        else:
            print(_said(rows[-1], rows[0]), flush=True)
    if not rows:
        raise SystemExit("nobody made a film")
    print("\n" + "\n".join(table(rows)), flush=True)
    if picture is not None:
        picture.write_text(drawn(rows, frames / 1800))
        print(f"\nThe chart: {picture}", flush=True)
    if failed:
        raise SystemExit(f"{', '.join(failed)} made no film")


def _row(name: str, make: Callable[[], tuple[Measured, Path]], judge: Judge) -> Row:
    run, film = make()
    print(f"   {name}: made in {run.wall:.0f} s; looking at it ...", flush=True)
    begun = time.monotonic()
    row = Row(name, run, judge(film))
    print(f"   looked at for {time.monotonic() - begun:.0f} s", flush=True)
    film.unlink()
    return row


def _said(row: Row, ours: Row) -> str:
    wall, cpu, peak = (
        getattr(ours.run, one) / getattr(row.run, one) for one in ("wall", "cpu", "peak")
    )
    return (
        f"t  {OURS} against {row.name:<18} wall {wall:.3f}, CPU {cpu:.3f}, memory {peak:.3f}   "
        f"({row.run.wall:.1f} s, {row.run.cpu:.1f} s, {row.run.peak / 1e6:.0f} MB)"
    )


def table(rows: Sequence[Row]) -> list[str]:
    """As ``docs/performance.md`` has it."""
    lines = [
        "| | wall | CPU | peak memory | VMAF mean (worst 5 %) | size | frames | pictures off | sound off | sound longer |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        q, run = row.quality, row.run
        frames = "exact" if q.frames_off == 0 else f"{q.frames_off:+d}"
        pictures = f"{q.pictures_off} of {q.pictures}" + (
            f", worst {q.worst_picture:+d}" if q.pictures_off else ""
        )
        lines.append(
            f"| {row.name} | {run.wall:.0f} s | {run.cpu:.0f} s | {run.peak / 1e6:.0f} MB | "
            f"{q.vmaf:.1f} ({q.vmaf_low:.1f}) | {q.size / 1e6:.0f} MB | {frames} | {pictures} | "
            f"{f'{q.sound_ms:+.1f} ms' if q.sounds else '–'} | {q.sound_off_ms:+.1f} ms |"
        )
    return lines


def drawn(rows: Sequence[Row], minutes: float) -> str:
    """The chart."""

    def panel(title: str, note: str, form: str, value: Callable[[Row], float]) -> Panel:
        return Panel(title, note, [(row.name, value(row)) for row in rows], form)

    return chart(
        f"A film of {minutes:.0f} minutes from forty clips, on {os.cpu_count()} cores",
        [
            panel("Wall time", "seconds, less is better", "{:.0f} s", lambda one: one.run.wall),
            panel("CPU time", "seconds of all processes, less is better", "{:.0f} s",
                  lambda one: one.run.cpu),
            panel("Peak memory", "of all processes, less is better", "{:.0f} MB",
                  lambda one: one.run.peak / 1e6),
            panel("VMAF", "mean; 100 is the source, more is better", "{:.1f}",
                  lambda one: one.quality.vmaf),
            panel("File size", "all were given 16 Mb/s at most", "{:.0f} MB",
                  lambda one: one.quality.size / 1e6),
            panel("Pictures off", "other pictures than the source has there, less is better", "{:.1f} %",
                  lambda one: 100 * one.quality.pictures_off / one.quality.pictures),
        ],
        OURS,
    )  # fmt: skip
