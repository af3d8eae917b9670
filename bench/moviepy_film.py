"""The same compilation written for MoviePy 2. Runs in MoviePy's own environment: ``python moviepy_film.py SCRIPT.json``.

As its users write it, and as its documentation advises: FFmpeg scales while it reads (``target_resolution``), clips
are composed on a black canvas, chained, and written once with x264's own threads. What it can't do, or not in
reasonable time:

* letters fade in for 150 ms: one picture for each number of letters is shown instead, without the fade;
* a source's frame is found by its number and rate, so clips with a variable frame rate are only about right;
* frames pass through RGB and a pipe, so chroma is scaled twice.

It has an FFmpeg of its own, 7.0.2: it reads what FFmpeg says of a file, and does not understand all of FFmpeg 9.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from moviepy import (  # type: ignore[import-not-found,unused-ignore]
    CompositeVideoClip,
    ImageClip,
    TextClip,
    VideoFileClip,
    concatenate_videoclips,
)

LETTER, SHOWN, CYCLE = 0.1, 10.0, 20.0
MARGIN, BORDER = 40, 4


def item(one: dict[str, Any], size: tuple[int, int]) -> Any:
    box = (one["width"], one["height"])
    if one["item_type"] == "image":
        clip = ImageClip(one["path"]).resized(box).with_duration(one["seconds"])
    else:
        clip = VideoFileClip(one["path"], target_resolution=box, resize_algorithm="bicubic",
                              audio_fps=48_000)  # fmt: skip
        start = one["start"]
        clip = clip.subclipped(start, min(start + one["seconds"], clip.duration))
    layers = [clip.with_position("center")]
    if one["logo_path"]:
        logo = ImageClip(one["logo_path"]).resized((one["logo_width"], one["logo_height"]))
        corner = (size[0] - 10 - one["logo_width"], 10)
        layers.append(logo.with_position(corner).with_duration(clip.duration))
    if one["text"]:
        layers += letters(one["text"], one["font"], clip.duration, size)
    if len(layers) == 1 and box == size:
        return clip
    return CompositeVideoClip(layers, size=size, bg_color=(0, 0, 0)).with_duration(clip.duration)


def letters(text: str, font: str, seconds: float, size: tuple[int, int]) -> list[Any]:
    shown = [picture(text[: count + 1], font) for count in range(len(text))]
    left = size[0] - MARGIN - shown[-1].size[0]
    clips = []
    for cycle in range(int(seconds // CYCLE) + 1):
        for count, one in enumerate(shown):
            begins = cycle * CYCLE + count * LETTER
            ends = cycle * CYCLE + SHOWN if count == len(shown) - 1 else begins + LETTER
            if begins < seconds:
                place = one.with_start(begins).with_end(min(ends, seconds))
                clips.append(place.with_position((left, MARGIN)))
    return clips


def picture(text: str, font: str) -> Any:
    return TextClip(font=font, text=text, font_size=50, color="yellow", stroke_color="black",
                    stroke_width=BORDER, margin=(BORDER, BORDER))  # fmt: skip


def main(script: Path) -> None:
    wanted = json.loads(script.read_text())
    size = (wanted["width"], wanted["height"])
    film = concatenate_videoclips([item(one, size) for one in wanted["items"]], method="chain")
    film.write_videofile(
        wanted["output"], fps=30, codec="libx264", preset="ultrafast", audio_codec="aac",
        audio_fps=48_000, audio_bitrate="320k", ffmpeg_params=wanted["ffmpeg_params"], logger=None,
        temp_audiofile_path=str(script.parent),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
