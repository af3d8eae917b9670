"""What this machine can do, found out by trying."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import psutil

from reelyard.domain.farm import Capabilities
from reelyard.engine import encoders
from reelyard.engine.ffmpeg import FFmpeg


def capabilities(ffmpeg: FFmpeg, disk: Path) -> Capabilities:
    """Try every encoder, and look at the machine. ``disk`` is where segments are kept."""
    works = tuple(name for name in encoders.PREFERENCE if encoders.try_encode(ffmpeg, name) is None)
    return Capabilities(
        version=version("reelyard"),
        ffmpeg=ffmpeg.version,
        encoders=works,
        cores=os.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        free_disk=free_disk(disk),
    )


def free_disk(folder: Path) -> int:
    """Bytes that are free where ``folder`` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
