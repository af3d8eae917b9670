"""Which FFmpeg there is."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from reelyard.domain.errors import SettingsInvalid

from .ffmpeg import STALL_SECONDS, FFmpeg, environment
from .memory import Memory


def find_ffmpeg(
    setting: Path | None, memory: Memory, stall_seconds: float = STALL_SECONDS
) -> FFmpeg:
    """The FFmpeg that the setting names, or the one that came with imageio-ffmpeg."""
    executable = setting or _packaged()
    try:
        stat = executable.stat()
    except OSError as error:
        raise SettingsInvalid(f"there is no FFmpeg at {executable}", remedy=_REMEDY) from error
    name = ("ffmpeg", str(executable), str(stat.st_size), str(stat.st_mtime_ns))
    version = memory.recall(*name)
    if not isinstance(version, str):
        version = _version(executable)
        memory.keep(version, *name)
    return FFmpeg(executable, version, stall_seconds=stall_seconds)


_REMEDY = "Let REELYARD_FFMPEG name an FFmpeg, or unset it to use the packaged one"


def _packaged() -> Path:
    from importlib.resources import files

    folder = Path(str(files("imageio_ffmpeg") / "binaries"))
    found = sorted(path for path in folder.glob("ffmpeg-*") if path.suffix != ".md")
    if not found:
        raise SettingsInvalid("imageio-ffmpeg has no FFmpeg for this system", remedy=_REMEDY)
    return found[-1]


def _version(executable: Path) -> str:
    try:
        said = subprocess.run(
            [str(executable), "-version"],
            capture_output=True,
            check=True,
            timeout=30,
            env=environment(None),
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{executable} does not run as FFmpeg"
        raise SettingsInvalid(message, remedy=_REMEDY) from error
    version = said.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
    if not version.startswith("ffmpeg version"):
        raise SettingsInvalid(f"{executable} is no FFmpeg", remedy=_REMEDY)
    # Two builds of one version may hold other libraries: the rest of what it says tells them apart.
    return f"{version} [build {hashlib.sha256(said.stdout).hexdigest()[:12]}]"
