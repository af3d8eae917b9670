"""PgBouncer for tests: the real one in front of a PostgreSQL, pooling sessions or transactions."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from typing import Literal

import psycopg

from tests.servers import HOST, PostgresServer, Server, missing, nobody


class PgBouncer(Server):
    """Each database is to be had under its name, for these roles and PostgreSQL's own. Its files lie with PostgreSQL's.

    ``options`` are lines of its configuration; without any it is as strict as it comes from Debian.
    """

    def __init__(
        self,
        postgres: PostgresServer,
        mode: Literal["session", "transaction"],
        roles: Collection[str],
        host: str = HOST,
        **options: str,
    ) -> None:
        # Debian keeps it where only root looks.
        found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        self._program = found or missing("pgbouncer")
        folder = postgres.folder / f"pgbouncer-{mode}"
        folder.mkdir(exist_ok=True)
        super().__init__(folder, host)
        self._postgres = postgres
        self._roles = {postgres.user, *roles}
        self._options = {"pool_mode": mode, **options}

    def url(self, name: str, role: str) -> str:
        """A database's address behind it."""
        return f"postgresql+psycopg://{role}@{self.host}:{self.port}/{name}"

    def stop(self) -> None:
        """End it at once, with all connections."""
        self._end(signal.SIGTERM)

    def _launch(self) -> subprocess.Popen[bytes]:
        users = self.folder / "users.txt"
        users.write_text("".join(f'"{role}" ""\n' for role in self._roles))
        options = {
            "listen_addr": self.host, "listen_port": str(self.port), "unix_socket_dir": "",
            "auth_type": "trust", "auth_file": str(users), **self._options,
        }  # fmt: skip
        lines = [f"{name} = {value}" for name, value in options.items()]
        behind = f"* = host={self._postgres.host} port={self._postgres.port}"
        settings = self.folder / "pgbouncer.ini"
        settings.write_text("\n".join(["[databases]", behind, "[pgbouncer]", *lines, ""]))
        # It refuses to run as root, too.
        return self._spawn([self._program, settings], signal.SIGTERM, **nobody())

    def _answers(self) -> bool:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(
                host=self.host, port=self.port, user=self._postgres.user, dbname="postgres",
                autocommit=True, connect_timeout=5,
            ) as connection,
        ):  # fmt: skip
            connection.execute("SELECT 1")
            return True
        return False
