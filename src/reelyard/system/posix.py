"""Linux and its relatives: the one module with calls that Windows' Python lacks."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .this_system import NVIDIA

assert sys.platform != "win32"  # mypy reads no further there

_PR_SET_PDEATHSIG = 1
_OTHERS = 0o004


def start(argv: Sequence[str], *, hidden: bool = False, **options: Any) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, to be killed with the thread that started it. None has a window."""
    return subprocess.Popen(
        list(argv), start_new_session=True, preexec_fn=dies_with_parent(), **options
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


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that runs, and its group, at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # ended between the look at it and the kill


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()


def end_this_process() -> None:
    """As if somebody had told it to end: its main thread is woken for it."""
    os.kill(os.getpid(), signal.SIGTERM)


def around_forks(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Have the process that forks call these."""
    os.register_at_fork(before=before, after_in_parent=after)


def cores() -> int:
    """The cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux knows which ones
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def exposed_to(path: Path) -> str | None:
    """Who may read a file that nobody named: None if only its owner and its group may."""
    return "every user of this machine" if path.stat().st_mode & _OTHERS else None


def user() -> int:
    """The number of the user that this process is."""
    return os.getuid()


def protection(path: Path) -> str:
    """What to do that nobody else may read a file."""
    return f"chmod o-rwx {shlex.quote(str(path))}"


def graphics_driver() -> str:
    """Which driver of NVIDIA's runs; ``none`` where none does."""
    try:
        return (NVIDIA / "version").read_text()
    except OSError:
        return "none"


def on_network(path: str) -> bool:
    """Whether a path lies on a drive that is a share; here mounts are looked at instead."""
    return False
