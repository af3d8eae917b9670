"""Starting and ending processes, the same on every system.

A process that is started here is in a group of its own and ends with us, however we end: on Linux with the thread
that started it, on Windows with this process. So a killed Reelyard leaves no FFmpeg behind.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from .this_system import this_system

TERMINAL_CLOSED: Sequence[signal.Signals] = tuple(
    getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What a process gets whose terminal was closed; on Windows also what asks it to end."""
TOLD_TO_END: Sequence[signal.Signals] = (signal.SIGTERM, *TERMINAL_CLOSED)
"""Beside Ctrl-C."""


def start(
    argv: Sequence[str], *, cwd: Path | None = None, output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program of ours, without stdin. It says what it says into ``output``, or where we do."""
    return this_system().start(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )


def spawn(
    argv: Sequence[str], *, cwd: Path | None, environment: Mapping[str, str], feed: bool
) -> subprocess.Popen[bytes]:
    """Start a program to be listened to: stdout and stderr piped, stdin piped or closed."""
    return this_system().start(
        argv,
        hidden=True,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0 if feed else -1,
    )


def die_with_parent() -> None:
    """Have this process killed when its parent dies, where the system can do that."""
    this_system().die_with_parent()


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Tell a process to end in good order. One that is gone already is fine."""
    if process.poll() is None:
        this_system().ask_to_end(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group at once. One that is gone already is fine."""
    if process.poll() is None:
        this_system().kill(process)


def end_this_process() -> None:
    """As if somebody had told it to end, from any thread."""
    this_system().end_this_process()


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
