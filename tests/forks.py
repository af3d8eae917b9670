"""``reelyard`` in processes of its own, started by a fork of one that has imported the libraries."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from reelyard.system import posix

SERVER = Path(__file__).with_name("fork_server.py")


@dataclass(frozen=True)
class Server:
    """It ends when this process does."""

    process: subprocess.Popen[bytes]
    channel: socket.socket


@cache
def server() -> Server:
    """Started for the first that asks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", str(SERVER), str(theirs.fileno())],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            preexec_fn=posix.dies_with_parent(),
        )  # fmt: skip
    return Server(process, ours)


class Fork:
    """A process of ``reelyard``, with what ``subprocess.Popen`` has. Its stdin is empty.

    ``stdout`` and ``stderr`` are files to write to; without one, there is a pipe to read from.
    It is given no more than ``memory`` bytes of addresses; root, too, is refused what a file's mode
    forbids if it is ``powerless``.
    """

    def __init__(
        self,
        *arguments: object,
        environ: Mapping[str, str],
        folder: Path,
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
        own_session: bool = False,
        memory: int | None = None,
        powerless: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self._arguments = [str(one) for one in arguments]
        request = {"arguments": self._arguments, "environ": dict(environ),
                   "folder": str(folder), "own_session": own_session,
                   "memory": memory, "powerless": powerless}  # fmt: skip
        self._report, report = os.pipe()
        self.stdout, out = _stream(stdout)
        self.stderr, err = _stream(stderr)
        with Path(os.devnull).open("rb") as nothing:
            sent = [nothing.fileno(), out, err, report]
            socket.send_fds(server().channel, [json.dumps(request).encode()], sent)
        os.close(report)
        for ours, theirs in ((self.stdout, out), (self.stderr, err)):
            if ours is not None:
                os.close(theirs)
        self.pid = self._told()

    def _told(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            one = os.read(self._report, 1)
            assert one, "the server of forks has ended"
            line += one
        return int(line)

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ready, _, _ = select.select([self._report], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
            self.returncode = self._told()
            os.close(self._report)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it still says; it is killed when it takes longer."""
        watch = threading.Timer(timeout or threading.TIMEOUT_MAX, self.kill)
        watch.start()
        try:
            with ThreadPoolExecutor(2) as pool:  # it may fill one pipe before it ends the other
                out, err = pool.map(_read, (self.stdout, self.stderr))
            self.wait()
        finally:
            watch.cancel()
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


def _read(stream: IO[str] | None) -> str:
    return stream.read() if stream else ""


def _stream(file: IO[bytes] | None) -> tuple[IO[str] | None, int]:
    """What to read from, if anything, and what the process writes to."""
    if file is not None:
        return None, file.fileno()
    reads, writes = os.pipe()
    return os.fdopen(reads, encoding="utf-8", errors="surrogateescape"), writes
