"""Starting and ending processes: all that differs between operating systems is here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

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
        else {"start_new_session": True, "preexec_fn": dies_with_parent()}
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


def dies_with_parent() -> Callable[[], None] | None:
    """What a new process has to do to be killed with the thread that started it, where that works."""
    return _death_request(os.getpid())


def _death_request(parent: int) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # looked up before a fork: afterwards nothing may allocate

    def request() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before the request was made

    return request


def die_with_parent() -> None:
    """Have this process killed when its parent dies, where the system can do that."""
    request = _death_request(os.getppid())
    if request is not None:
        request()


def is_running(pid: int) -> bool:
    """Whether there is a process of this number that has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill_children() -> None:
    """End every process that this one has started, and theirs, at once."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


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
