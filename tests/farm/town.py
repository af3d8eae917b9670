"""A whole farm as its owner has it: a server, its neighbours, and PCs that reach them over a network.

Each PC is a namespace with a cable of its own; what it is told is a file of settings, as on a real one. The
neighbours (Redis, PostgreSQL laid out as Supabase does it, Samba, BigQuery's calls) answer on the bridge.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from reelyard.farm.wiring import Farm
from reelyard.settings import Settings
from reelyard.system import posix
from tests import supabase_layout
from tests.bigquery_server import BigQueryServer
from tests.network import Host, Network
from tests.samba import SambaServer
from tests.servers import PostgresServer, RedisServer

T = TypeVar("T")
PATIENCE = 60.0
PASSWORD = "four dry pebbles"
LEASE_SECONDS = 5


def wait_for(find: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The first true thing that ``find`` returns; fails the test after ``seconds``."""
    ends_at = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)
    return found


@dataclass
class Machine:
    """One of the farm's machines: its files, and the processes of ours on it."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    host: Host | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "said.log"

    def write(self) -> Path:
        """Its file of settings, as TOML."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "reelyard.toml"
        path.write_text("".join(_toml(self.settings)), encoding="utf-8")
        return path

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "REELYARD" not in name}
        return kept | {"HOME": str(self.folder), "REELYARD_CONFIG": str(self.write())}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environ = self.environ()
        argv: Sequence[str] = [sys.executable, "-m", "reelyard", *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.host.argv(*argv) if self.host else argv, env=environ, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=posix.dies_with_parent(), start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str, typed: str = "") -> str:
        """What a command prints; it has to succeed."""
        argv: Sequence[str] = [sys.executable, "-m", "reelyard", *arguments]
        done = subprocess.run(
            self.host.argv(*argv) if self.host else argv, env=self.environ(), cwd=self.folder,
            input=typed, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _toml(settings: Mapping[str, Any]) -> Iterator[str]:
    tables = {name: rows for name, rows in settings.items() if isinstance(rows, list)}
    for name, value in settings.items():
        if name not in tables:
            yield f"{name} = {json.dumps(value)}\n"
    for name, rows in tables.items():
        for row in rows:
            yield f"\n[[{name}]]\n"
            yield from (f"{key} = {json.dumps(value)}\n" for key, value in row.items())


@dataclass
class Town:
    """All of it. ``videos`` and ``films`` are the share's folders as the SMB server's disk has them."""

    folder: Path
    network: Network
    redis: RedisServer
    postgres: PostgresServer
    samba: SambaServer
    bigquery: BigQueryServer
    machines: dict[str, Machine] = field(default_factory=dict)

    @cached_property
    def database_url(self) -> str:
        return supabase_layout.create(self.postgres, "town")

    @property
    def videos(self) -> Path:
        return self.samba.share() / "videos"

    @property
    def films(self) -> Path:
        return self.samba.share() / "films"

    def direct(self) -> dict[str, Any]:
        """The row of the share for a machine where it is mounted nowhere."""
        secret = self.folder / "smb.password"
        secret.write_text(self.samba.password + "\n")
        return {
            "name": "//nas/media", "host": self.samba.host, "port": self.samba.port,
            "user": self.samba.user, "password_file": str(secret),
        }  # fmt: skip

    def mounted(self) -> dict[str, Any]:
        """The row for a machine where the share is mounted; its disk stands in for a mount."""
        return {"name": "//nas/media", "drive": "M:", "folder": str(self.samba.share())}

    def machine(
        self, name: str, share: Mapping[str, Any], *, on_network: bool, **own: Any
    ) -> Machine:
        folder = self.folder / name
        settings = {
            "database_url": self.database_url,
            "redis_url": self.redis.url,
            "data_dir": str(folder / "data"),
            "cache_dir": str(folder / "cache"),
            "log_dir": str(folder / "logs"),
            "output_dir": r"\\nas\media\films",
            "encoder": "libx264",
            "jobs": 1,
            "lease_seconds": LEASE_SECONDS,
            "stall_seconds": 20,
            "catalogue": "bigquery",
            "bigquery_project": "town",
            "bigquery_endpoint": self.bigquery.url,
            **own,
            "shares": [dict(share)],
        }
        host = self.network.host() if on_network else None
        self.machines[name] = Machine(name, folder, settings, host)
        return self.machines[name]

    @cached_property
    def farm(self) -> Farm:
        """The test's own view of the farm's books."""
        own = {
            name: value
            for name, value in self.machines["server"].settings.items()
            if name != "shares"
        }
        return Farm(Settings(**own))

    def close(self) -> None:
        for machine in self.machines.values():
            if machine.host is not None:
                machine.host.plug()
            machine.close()
        if "farm" in vars(self):
            self.farm.reelyard.database.close()


@dataclass(frozen=True)
class Api:
    """The farm's API with a person's session."""

    url: str
    cookie: str

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Cookie": self.cookie}
        request = Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except HTTPError as error:
            raise AssertionError(
                f"{method} {path}: {error.code} {error.read().decode()}"
            ) from error


def sign_in(url: str, name: str) -> Api:
    said = json.dumps({"username": name, "password": PASSWORD}).encode()
    request = Request(f"{url}/api/v1/session", said, {"Content-Type": "application/json"})
    with urlopen(request, timeout=PATIENCE) as answer:
        return Api(url, answer.headers["Set-Cookie"].partition(";")[0])


@contextmanager
def open_town(folder: Path) -> Iterator[Town]:
    """The neighbours, started; machines come later."""
    with closing(Network()) as network:
        network.start()
        host = network.address
        with (
            closing(RedisServer(folder / "redis", host)) as redis,
            closing(PostgresServer(host, {"wal_level": "logical"})) as postgres,
            closing(SambaServer(folder / "samba", host)) as samba,
            closing(BigQueryServer(host)) as bigquery,
        ):
            for server in (redis, postgres, samba, bigquery):
                server.start()
            with closing(Town(folder, network, redis, postgres, samba, bigquery)) as town:
                yield town
