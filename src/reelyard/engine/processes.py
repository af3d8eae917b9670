"""Starting and ending processes: all that differs between operating systems is here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def spawn(
    argv: Sequence[str], *, cwd: Path | None, environment: Mapping[str, str], feed: bool
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, stdout and stderr piped, stdin piped or closed.

    On Linux the kernel ends it when the thread that started it dies, however that comes about;
    so a killed Reelyard leaves no FFmpeg behind.
    """
    own_group = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if sys.platform == "win32"
        else {"start_new_session": True, "preexec_fn": _dies_with_parent()}
    )
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0 if feed else -1,
        **own_group,
    )


def _dies_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: afterwards nothing may allocate
    parent = os.getpid()

    def request() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before the request was made

    return request


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group at once. One that is gone already is fine."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # ended between the poll and the kill
