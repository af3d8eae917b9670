"""The way it is done without Reelyard: one FFmpeg graph that opens every input at once.

Same encoder settings, same output form, same clips, logos and texts; FFmpeg's usual threading.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from reelyard.domain.job import Item, ItemType, Job
from reelyard.domain.media import MediaFacts
from reelyard.domain.output import output_form
from reelyard.domain.timeline import seconds_of
from reelyard.engine.encoders import X264, video_options
from reelyard.engine.fonts import Face, overlay
from reelyard.engine.planner import Gathered, shown_frames
from reelyard.engine.sound import TRACK_OPTIONS


def one_graph(
    job: Job, gathered: Sequence[Gathered], faces: Sequence[Face], folder: Path, output: Path
) -> list[str]:
    """FFmpeg's arguments for the whole job at once; texts are written into ``folder``."""
    form = output_form(enable_4k=job.enable_4k)
    inputs: list[str] = []
    graph: list[str] = []
    count = 0
    for number, one in enumerate(gathered):
        item, seconds = one.item, _seconds(one.item, one.facts)
        main = count
        inputs += [*_trim(item), "-i", item.path]
        count += 1
        picture = f"[{main}:v:0]"
        fitted = (
            f"fps=30,scale={form.width}:{form.height}:force_original_aspect_ratio=decrease:"
            f"force_divisible_by=2:out_color_matrix=bt709:out_range=limited,"
            f"pad={form.width}:{form.height}:-1:-1,setsar=1,format=yuv420p"
        )
        if item.logo_path:
            inputs += ["-i", item.logo_path]
            # The logo has to be brought to the picture's own colours: FFmpeg would otherwise give the picture the logo's.
            graph.append(
                f"[{count}:v]format=rgba,scale='min(iw,{form.width // 4})':'min(ih,{form.height // 4})':"
                "force_original_aspect_ratio=decrease,scale=out_color_matrix=bt709:out_range=limited,"
                f"format=yuva420p[l{number}]"
            )
            graph.append(f"{picture}{fitted}[c{number}]")
            fitted = "overlay=W-w-10:10"
            picture = f"[c{number}][l{number}]"
            count += 1
        if item.text:
            (folder / f"{number}.ass").write_text(overlay(item.text, seconds, faces).document)
            fitted += f",ass={number}.ass:fontsdir=fonts"
        graph.append(
            f"{picture}{fitted},trim=duration={float(seconds)},setpts=PTS-STARTPTS[v{number}]"
        )
        sound = (
            "anullsrc=r=48000:cl=stereo"
            if one.facts.audio is None
            else f"[{main}:a:0]aresample=48000"
        )
        graph.append(
            f"{sound},aformat=sample_fmts=fltp:channel_layouts=stereo,apad,"
            f"atrim=duration={float(seconds)},asetpts=PTS-STARTPTS[a{number}]"
        )
    pads = "".join(f"[v{n}][a{n}]" for n in range(len(gathered)))
    graph.append(f"{pads}concat=n={len(gathered)}:v=1:a=1[v][a]")
    options = list(video_options(X264, form))
    threads = options.index("-threads")
    del options[threads : threads + 2]  # one encoder may use all cores
    return [
        *inputs, "-filter_complex", ";".join(graph), "-map", "[v]", "-map", "[a]", "-r", "30",
        *options, *TRACK_OPTIONS, "-movflags", "+faststart", "-y", str(output),
    ]  # fmt: skip


def _seconds(item: Item, facts: MediaFacts) -> Fraction:
    if item.item_type is ItemType.IMAGE:
        return item.still_seconds
    return seconds_of(shown_frames(item, facts))


def _trim(item: Item) -> list[str]:
    if item.item_type is ItemType.IMAGE:
        return ["-loop", "1", "-framerate", "30", "-t", str(float(item.still_seconds))]
    start = [] if item.start is None else ["-ss", str(float(item.start))]
    end = [] if item.end is None else ["-to", str(float(item.end))]
    return [*start, *end]
