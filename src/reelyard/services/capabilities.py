"""What this machine can do, found out by trying."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

import psutil

from reelyard.domain.farm import Capabilities
from reelyard.domain.output import HD, UHD, OutputForm
from reelyard.engine import encoders
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.gpus import Gpu


def capabilities(
    ffmpeg: FFmpeg,
    disk: Path,
    gpu: Gpu | None = None,
    decodes: Callable[[], Iterable[str]] = tuple,
) -> Capabilities:
    """Try every encoder, and look at the machine. ``disk`` is where segments are kept.

    ``decodes`` proves which codecs the card decodes, and is asked only where it encodes.
    """
    works = _working(ffmpeg, encoders.PREFERENCE, HD)
    return Capabilities(
        version=version("reelyard"),
        ffmpeg=ffmpeg.version,
        encoders=works,
        cores=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        free_disk=free_disk(disk),
        encoders_4k=_working(ffmpeg, works, UHD),
        graphics_card=gpu.name if gpu else "",
        driver=gpu.driver if gpu else "",
        decodes=tuple(sorted(decodes())) if encoders.NVENC in works else (),
    )


def _working(ffmpeg: FFmpeg, names: Iterable[str], form: OutputForm) -> tuple[str, ...]:
    return tuple(
        name
        for name in names
        # A processor that encodes 1080p encodes 4K, only slower; a card has limits.
        if (form == UHD and name == encoders.X264)
        or encoders.try_encode(ffmpeg, name, form) is None
    )


def free_disk(folder: Path) -> int:
    """Bytes that are free where ``folder`` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
