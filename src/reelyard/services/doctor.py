"""Examining the machine: what works, what does not, what to do about it."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from reelyard.domain.errors import ReelyardError
from reelyard.domain.output import UHD
from reelyard.engine import encoders, fonts
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.memory import Memory
from reelyard.files.segment_store import SegmentStore
from reelyard.settings import Settings

from .examination import Look, examined
from .findings import Finding as Finding
from .findings import Verdict as Verdict
from .storage import storage_error

_FILTERS = ("ass", "zscale", "tonemap", "bwdif", "ebur128", "alimiter", "premultiply")
_ROOM = 10_000_000_000


def examine(
    settings: Settings,
    ffmpeg: Callable[[], FFmpeg],
    memory: Callable[[], Memory],
    try_out: Callable[[], None],
) -> list[Finding]:
    """Everything about this machine that rendering depends on; ``try_out`` renders a little film."""
    findings = list(_ffmpeg(ffmpeg))
    findings.append(_trial(try_out))
    findings += _fonts(settings.font_dirs, memory)
    findings += examined([
        Look("cache", lambda: [folder_finding("cache", settings.cache_dir, "REELYARD_CACHE_DIR")],
             "Let REELYARD_CACHE_DIR name a folder on a disk of this machine"),
        Look("logs", lambda: [folder_finding("logs", settings.log_dir, "REELYARD_LOG_DIR")],
             "Let REELYARD_LOG_DIR name another folder"),
        *(Look("media", partial(_root, root), f"Check what {root} lies on")
          for root in settings.media_roots),
    ])  # fmt: skip
    findings += _unknown(settings)
    return findings


def _ffmpeg(find: Callable[[], FFmpeg]) -> Iterator[Finding]:
    try:
        ffmpeg = find()
        known = ffmpeg.filters()
    except ReelyardError as error:
        yield Finding("FFmpeg", Verdict.FAILED, error.message, error.remedy)
        return
    yield Finding("FFmpeg", Verdict.OK, f"{ffmpeg.version} ({ffmpeg.executable})")
    lacking = [name for name in _FILTERS if name not in known]
    if lacking:
        yield Finding("filters", Verdict.FAILED, f"FFmpeg lacks {', '.join(lacking)}",
                      "Unset REELYARD_FFMPEG to use the packaged one")  # fmt: skip
    else:
        yield Finding("filters", Verdict.OK, "all that are used")
    yield from _encoders(ffmpeg)


def _trial(try_out: Callable[[], None]) -> Finding:
    begun = time.monotonic()
    try:
        try_out()
    except ReelyardError as error:
        return Finding("rendering", Verdict.FAILED, error.message, error.remedy)
    except OSError as error:
        failure = storage_error(error)
        return Finding("rendering", Verdict.FAILED, failure.message, failure.remedy)
    took = time.monotonic() - begun
    return Finding("rendering", Verdict.OK, f"one second of film, with all checks, in {took:.1f} s")


def _encoders(ffmpeg: FFmpeg) -> Iterator[Finding]:
    works = False
    for encoder in encoders.PREFERENCE:
        reason = encoders.try_encode(ffmpeg, encoder)
        in_4k = None if reason else encoders.try_encode(ffmpeg, encoder, UHD)
        works = works or reason is None
        if reason:
            yield Finding(encoder, Verdict.NOTE, f"does not work here: {reason}")
        elif in_4k:
            yield Finding(encoder, Verdict.NOTE, f"works in 1080p, not in 4K: {in_4k}")
        else:
            yield Finding(encoder, Verdict.OK, "works in 1080p and 4K")
    if not works:
        yield Finding("encoders", Verdict.FAILED, "none works", "Use the packaged FFmpeg")


def _fonts(folders: Sequence[Path], memory: Callable[[], Memory]) -> Iterator[Finding]:
    try:
        faces = fonts.catalogue(folders, memory())
    except ReelyardError as error:
        yield Finding("fonts", Verdict.FAILED, error.message, error.remedy)
        return
    if not faces:
        yield Finding("fonts", Verdict.FAILED, "none found", "Install the package fontpkg-anton")
        return
    names = ", ".join(dict.fromkeys(face.family for face in faces))
    points = len(frozenset().union(*(face.points for face in faces)))
    yield Finding("fonts", Verdict.OK, f"{names}: {points} characters")
    if not any(face.draws("\u6f22") for face in faces):
        yield Finding("fonts", Verdict.NOTE, "none draws Chinese, Japanese or Korean",
                      "Name a folder with such a font in REELYARD_FONT_DIRS if texts need it")  # fmt: skip


def folder_finding(name: str, folder: Path, setting: str, *, links: bool = True) -> Finding:
    """Whether a folder can be used, and how much room it has; ``links``: hard links are needed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor-{uuid.uuid4().hex}"
        probe.write_bytes(b"x")
        if links:
            os.link(probe, probe.with_suffix(".link"))
            probe.with_suffix(".link").unlink()
        probe.unlink()
    except OSError as error:
        return Finding(name, Verdict.FAILED, f"{folder}: {error.strerror}",
                       f"Let {setting} name a folder that can be written to")  # fmt: skip
    free = shutil.disk_usage(folder).free
    message = f"{folder}: {free / 1e9:.1f} GB free"
    if free < _ROOM:
        return Finding(
            name, Verdict.NOTE, message, "Make room: a film takes 9 GB an hour, in 4K 22"
        )
    return Finding(name, Verdict.OK, message)


def _unknown(settings: Settings) -> Iterator[Finding]:
    known = settings.shown()
    for name in sorted(name for name in os.environ if name.startswith("REELYARD_")):
        if name not in known and name != "REELYARD_CONFIG":
            yield Finding(
                "settings", Verdict.NOTE, f"{name} is not a setting", "Check its spelling"
            )


def _root(root: Path) -> Iterator[Finding]:
    if root.is_dir():
        yield Finding("media", Verdict.OK, str(root))
    else:
        yield Finding(
            "media", Verdict.FAILED, f"{root} is not there", "Correct REELYARD_MEDIA_ROOTS"
        )


def store_finding(store: SegmentStore) -> Finding:
    """What the doctor says of it: it can be written to, read and cleaned up from here."""
    try:
        seconds = store.try_out()
    except OSError as error:
        return Finding("segments", Verdict.FAILED,
                       f"{store.name} can't be used: {error.strerror or error}",
                       "Check REELYARD_SEGMENT_STORE and its share; rendering goes on without it")  # fmt: skip
    return Finding("segments", Verdict.OK, f"{store.name}, answers in {seconds * 1000:.0f} ms")
