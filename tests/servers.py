"""Redis and PostgreSQL for tests: the real ones, each on a port and in a folder of its own.

A server answers on 127.0.0.1 unless another address of this machine is named, and belongs to the thread that started it: on Linux the kernel
ends it with that thread, so a test run that is killed leaves none behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import psycopg
import pytest
from filelock import FileLock, Timeout
from psycopg import sql

HOST = "127.0.0.1"
PATIENCE = 10.0  # seconds for a server to go
START_PATIENCE = (
    60.0  # and to come: after a kill PostgreSQL does again what it had not put away yet
)
ABANDONED = 3600.0  # seconds after which a folder that no process holds was left by a killed run

_PACKAGES = {  # Debian's, as `make servers` installs them
    "redis-server": "redis-tools", "postgres": "postgresql", "smbd": "samba", "smbclient": "smbclient",
    "pgbouncer": "pgbouncer", "ip": "iproute2", "cc": "gcc and libc6-dev",
}  # fmt: skip
TEMPORARY = Path(tempfile.gettempdir())
"""The system's folder for them, which `nobody` may enter, whatever is used in a test."""
_FOLDERS = "reelyard-postgres-"
_PR_SET_PDEATHSIG = 1


def missing(name: str) -> NoReturn:
    """Skip the test that needs a server this machine lacks; in CI no test may go missing."""
    message = f"{name} is not here; `make servers` installs Debian's {_PACKAGES[name]}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


class Server(ABC):
    """A process that keeps its port and its folder from one start to the next. ``host`` is where it answers."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self.host = host
        self.folder = folder
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._seat = _reserve(host)
        self.port: int = self._seat.getsockname()[1]
        if sys.platform != "linux":
            self._seat.close()  # elsewhere the server could not sit down beside it

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self._process is not None, "it was not started, or was ended"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.runs():
            raise RuntimeError(f"it runs already, as process {self.pid}")
        self._process = self._launch()
        give_up = time.monotonic() + START_PATIENCE
        while not self._answers():
            if time.monotonic() > give_up or not (self.runs() or self._held_up()):
                self.kill()
                raise RuntimeError(f"{type(self).__name__} does not start:\n{self._tail()}")
            if not self.runs():
                self._process = self._launch()
            time.sleep(0.02)

    @abstractmethod
    def stop(self) -> None:
        """End it the way it wants to be ended."""

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stop it for good and give its port back."""
        try:
            self.stop()
        finally:
            self._seat.close()

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _held_up(self) -> bool:
        """Whether it ended only because of something that passes."""
        return False

    def _spawn(
        self, argv: Sequence[object], death: signal.Signals, **identity: Any
    ) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                list(map(str, argv)), cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=_dies_with_parent(death), **identity,
            )  # fmt: skip

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"it had to be killed:\n{self._tail()}") from None

    def _tail(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])


class RedisServer(Server):
    """A Redis that writes every change down, as the farm's has to."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        # Debian keeps the program as redis-check-rdb in redis-tools; by its other name it serves.
        found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        self._program = found or missing("redis-server")
        super().__init__(folder, host)
        self._data = folder / "data"
        self._data.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def stop(self) -> None:
        """End it in order: what it was told is on the disk then."""
        self._end(signal.SIGTERM)

    def wipe(self) -> None:
        """Take its data away, as a lost disk would."""
        if self.runs():
            raise RuntimeError("it still runs")
        shutil.rmtree(self._data)
        self._data.mkdir()

    def _launch(self) -> subprocess.Popen[bytes]:
        options = {
            "bind": self.host, "port": str(self.port), "dir": str(self._data), "save": "",
            "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction",
            "protected-mode": "no",  # it only answers where it is told to
        }  # fmt: skip
        told = [part for name, value in options.items() for part in (f"--{name}", value)]
        return self._spawn(["redis-server", *told], signal.SIGKILL, executable=self._program)

    def _answers(self) -> bool:
        """Until its data is loaded it answers something else."""
        with suppress(OSError), socket.create_connection((self.host, self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64) == b"+PONG\r\n"
        return False


class PostgresServer(Server):
    """A PostgreSQL of many databases that never waits for the disk.

    Its folder lies beside pytest's, which only their owner may enter: PostgreSQL refuses to run
    as root, so where the tests do, it runs as ``nobody``.
    """

    user = "reelyard"

    def __init__(self, host: str = HOST, options: Mapping[str, str] | None = None) -> None:
        self._options = dict(options or {})
        self._programs = _postgres_programs() or missing("postgres")
        _remove_abandoned()
        super().__init__(Path(tempfile.mkdtemp(prefix=_FOLDERS, dir=TEMPORARY)), host)
        self.folder.chmod(0o755)
        self._lock = FileLock(self.folder / "lock")
        self._lock.acquire()
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        self._identity = nobody()
        if self._identity:
            os.chown(self._data, self._identity["user"], self._identity["group"])

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{self.user}@{self.host}:{self.port}/{name}"

    def create(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or as a copy of another, and return its URL."""
        source = sql.Identifier(template or "template1")
        self._tell(sql.SQL("CREATE DATABASE {} TEMPLATE {}"), sql.Identifier(name), source)
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._tell(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)"), sql.Identifier(name))

    def stop(self) -> None:
        """End it at once, with all its connections; it recovers at the next start."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """End it without a word, and all its processes: each would serve its connection for a moment."""
        own = self._stands_still().children(recursive=True) if self.runs() else []
        super().kill()
        for process in own:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        give_up = time.monotonic() + PATIENCE
        while any(map(_lives, own)):
            if time.monotonic() > give_up:
                raise RuntimeError(f"it does not die:\n{self._tail()}")
            time.sleep(0.005)

    def _stands_still(self) -> psutil.Process:
        """It starts no process any more."""
        process = psutil.Process(self.pid)
        process.suspend()
        while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
            time.sleep(0.001)
        return process

    def close(self) -> None:
        """Stop it for good and remove it from the disk."""
        try:
            super().close()
        finally:
            self._lock.release()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _launch(self) -> subprocess.Popen[bytes]:
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        options = {
            "listen_addresses": self.host, "port": str(self.port), "unix_socket_directories": "",
            "max_connections": "200", "fsync": "off", **self._options,
            # Each new database is several megabytes of log; after a kill little of it is to be done again.
            "max_wal_size": "64MB", "checkpoint_timeout": "30s",
        }  # fmt: skip
        told = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # Told to quit, not killed: it takes its processes and its shared memory along.
        argv = [self._programs / "postgres", "-D", self._data, *told]
        return self._spawn(argv, signal.SIGQUIT, **self._identity)

    def _initialise(self) -> None:
        """The locale C sorts by bytes, as SQLite does."""
        argv = [
            self._programs / "initdb", "--pgdata", self._data, "--username", self.user,
            "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync",
        ]  # fmt: skip
        if self._spawn(argv, signal.SIGTERM, **self._identity).wait() != 0:
            raise RuntimeError(f"initdb failed:\n{self._tail()}")
        if self.host != HOST:  # for the hosts of a network of the tests' own
            with (self._data / "pg_hba.conf").open("a", encoding="ascii") as rules:
                rules.write("host all all samenet trust\nhost replication all samenet trust\n")

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self._tell(sql.SQL("SELECT 1"))
            return True
        return False

    def _held_up(self) -> bool:
        """After a kill its own orphans need a moment to notice and leave."""
        return "shared memory block" in self._tail()

    def _tell(self, statement: sql.SQL, *names: sql.Identifier) -> None:
        with psycopg.connect(
            host=self.host, port=self.port, user=self.user, dbname="postgres", autocommit=True,
            connect_timeout=5,
        ) as connection:  # fmt: skip
            connection.execute(statement.format(*names))


def _lives(process: psutil.Process) -> bool:
    """Whether it does; one that only waits to be collected does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _reserve(host: str) -> socket.socket:
    """A socket on a free port that keeps everyone from it but a server.

    It never listens, so connecting is refused. Without it a stopped server's port could become
    the near end of some connection, even of one that looks for that very server.
    """
    seat = socket.socket()
    seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    seat.bind((host, 0))
    return seat


def _dies_with_parent(death: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes the server; it has changed its user by then."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: afterwards nothing may allocate
    parent = os.getpid()

    def request() -> None:
        prctl(_PR_SET_PDEATHSIG, death)
        if os.getppid() != parent:
            os._exit(1)  # it died before the request was made

    return request


def _postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps every version in one of its own."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    return newest.parent if newest else None


def nobody() -> dict[str, Any]:
    """How to start a process as ``nobody``, where the tests run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _remove_abandoned() -> None:
    """Remove what killed runs left: old folders of this user that no process holds any more."""
    for folder in TEMPORARY.glob(f"{_FOLDERS}*"):
        with suppress(OSError, Timeout):
            made = folder.lstat()
            if made.st_uid == os.geteuid() and made.st_mtime < time.time() - ABANDONED:
                with FileLock(folder / "lock", timeout=0):
                    shutil.rmtree(folder)
