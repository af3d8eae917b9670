"""An FFmpeg that encodes a film's picture no faster than a given speed, and costs next to nothing while it waits.

It stands for a graphics card that does real time: with eight of them at work, this machine is still not the limit. It is a
program that runs the real FFmpeg with one filter more at the end of a segment's graph, which holds frames back until their
time has come. The frames are the same, and so are the bytes. Sound, joining and whatever is asked of FFmpeg pass unchanged,
so it has the same version and the same content keys.
"""

from __future__ import annotations

import shlex
from pathlib import Path

_PROGRAM = """\
#!/bin/sh
for one do
  case $one in
    ?*'[picture]') one="${{one%\\[picture\\]}}{filter}" ;;
  esac
  set -- "$@" "$one"
  shift
done
exec {ffmpeg} "$@"
"""


def throttled(ffmpeg: Path, speed: float, path: Path) -> Path:
    """Write the program to ``path``: ``speed`` seconds of film a second."""
    held = f",realtime=speed={speed:g}:limit=60[picture]"
    path.write_text(_PROGRAM.format(filter=held, ffmpeg=shlex.quote(str(ffmpeg))))
    path.chmod(0o755)
    return path
