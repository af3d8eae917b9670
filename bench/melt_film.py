"""The same compilation as an MLT document for ``melt``.

As Kdenlive and Shotcut, which are made of MLT, write theirs: one producer an item with its filters, one playlist, a
consumer that works on as many frames at once as there are cores and drops none. MLT scales and centres by itself. The
letters are the very same ASS document, drawn by libass. What differs: Debian's MLT brings a libx264 and an AAC encoder of
its own, older than the packaged FFmpeg's, and a logo is placed by its ``composite``, which knows no half-transparent black.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from reelyard.domain.output import HD, OutputForm
from reelyard.engine.encoders import X264, video_options

from .wanted import Wanted

_AAC = {"acodec": "aac", "ab": "320k", "ar": "48000", "channels": "2"}


def melt(wanted: Sequence[Wanted], folder: Path, output: Path) -> list[str]:
    """The command; the document and the texts are written into ``folder``."""
    document = folder / "film.mlt"
    Xml.ElementTree(_document(wanted, folder)).write(document, encoding="utf-8")
    options = {**_encoder(HD), **_AAC, "movflags": "+faststart", "rescale": "bicubic"}
    options |= {"real_time": f"-{os.cpu_count() or 1}", "terminate_on_pause": "1"}
    settings = [f"{name}={value}" for name, value in options.items()]
    return ["melt", "-silent", str(document), "-consumer", f"avformat:{output}", *settings]


def _encoder(form: OutputForm) -> dict[str, str]:
    """FFmpeg's options by their names there, which ``melt`` hands on."""
    given = list(video_options(X264, form))
    named = dict(zip(given[::2], given[1::2], strict=True))
    return {
        "vcodec": X264,
        "preset": named["-preset"],
        "x264-params": named["-x264-params"],
        "vb": named["-b:v"],
        "maxrate": named["-maxrate"],
        "bufsize": named["-bufsize"],
        "vprofile": form.profile,
        "level": form.level.replace(".", ""),
        "g": named["-g"],
        "bf": "2",
        "pix_fmt": "yuv420p",
        "threads": "0",
    }


def _document(wanted: Sequence[Wanted], folder: Path) -> Xml.Element:
    root = Xml.Element("mlt", LC_NUMERIC="C")
    Xml.SubElement(root, "profile", width="1920", height="1080", progressive="1", colorspace="709",
                   frame_rate_num="30", frame_rate_den="1", sample_aspect_num="1",
                   sample_aspect_den="1", display_aspect_num="16", display_aspect_den="9")  # fmt: skip
    producers = [_producer(root, number, one, folder) for number, one in enumerate(wanted)]
    playlist = Xml.SubElement(root, "playlist", id="film")
    for producer, one in zip(producers, wanted, strict=True):
        first = 0 if one.is_image else round(one.start * 30)
        Xml.SubElement(playlist, "entry", {"producer": producer, "in": str(first),
                                           "out": str(first + one.frames - 1)})  # fmt: skip
    return root


def _producer(root: Xml.Element, number: int, one: Wanted, folder: Path) -> str:
    name = f"item{number}"
    first = 0 if one.is_image else round(one.start * 30)
    reach = {"in": "0", "out": str(first + one.frames + 1)}
    producer = Xml.SubElement(root, "producer", {"id": name, **reach})
    _properties(producer, resource=one.path)
    if one.is_image:
        # melt's other reader of pictures wants a screen
        _properties(producer, mlt_service="pixbuf", ttl="1", length=str(one.frames + 2))
    else:
        _properties(producer, mlt_service="avformat")
    if one.logo_path:
        x = HD.width - 10 - one.logo_width
        where = f"{x}/10:{one.logo_width}x{one.logo_height}"
        mark = Xml.SubElement(producer, "filter")
        _properties(mlt_service := mark, mlt_service="watermark", resource=one.logo_path)
        for key, value in (("geometry", where), ("progressive", "1"), ("distort", "1")):
            Xml.SubElement(mlt_service, "property", name=f"composite.{key}").text = value
    if one.letters:
        text = folder / f"{number}.ass"
        text.write_text(one.letters, encoding="utf-8")
        drawn = Xml.SubElement(producer, "filter", {"in": str(first), "out": reach["out"]})
        _properties(drawn, mlt_service="avfilter.ass", position="filter")
        for key, value in (("filename", str(text)), ("fontsdir", str(folder / "fonts"))):
            Xml.SubElement(drawn, "property", name=f"av.{key}").text = value
    return name


def _properties(parent: Xml.Element, **values: str) -> None:
    for name, value in values.items():
        Xml.SubElement(parent, "property", name=name).text = value
