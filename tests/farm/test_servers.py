"""The servers that other tests rely on do what those tests take for granted."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.servers import ABANDONED, HOST, TEMPORARY, PostgresServer, RedisServer

SOON = 10.0


def runs(pid: int) -> bool:
    """Whether a process does; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def ask(url: str, statement: str) -> object:
    """What a statement returns, in a transaction and over a connection of its own."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar_one() if result.returns_rows else None
    finally:
        engine.dispose()


def test_redis_remembers_over_a_stop_and_a_kill(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("film", "kept")
        redis_server.stop()
        with pytest.raises(redis.ConnectionError):
            client.get("film")
        redis_server.start()
        assert client.get("film") == b"kept"
        redis_server.kill()
        redis_server.start()
        assert client.get("film") == b"kept"


def test_a_wiped_redis_is_empty(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("film", "lost")
        with pytest.raises(RuntimeError, match="still runs"):
            redis_server.wipe()
        redis_server.kill()
        redis_server.wipe()
        redis_server.start()
        assert client.get("film") is None


def test_redis_is_set_up_as_the_farm_needs_it(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        told = client.config_get("appendonly", "appendfsync", "save", "maxmemory-policy", "bind")
    assert told == {
        "appendonly": "yes", "appendfsync": "everysec", "save": "",
        "maxmemory-policy": "noeviction", "bind": HOST,
    }  # fmt: skip


def test_two_redis_servers_know_nothing_of_each_other(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with closing(RedisServer(tmp_path / "other")) as other:
        other.start()
        assert other.port != redis_server.port
        with (
            redis.Redis.from_url(redis_server.url) as here,
            redis.Redis.from_url(other.url) as there,
        ):
            here.set("film", "here")
            assert there.get("film") is None


def test_a_closed_redis_is_gone(tmp_path: Path) -> None:
    with closing(RedisServer(tmp_path)) as server:
        server.start()
        pid = server.pid
        assert runs(pid)
    assert not runs(pid)


def test_a_redis_that_can_not_start_says_why(tmp_path: Path) -> None:
    with closing(RedisServer(tmp_path)) as server:
        (tmp_path / "data").rmdir()
        with pytest.raises(RuntimeError, match=r"(?s)does not start.*No such file or directory"):
            server.start()
        assert not server.runs()


def test_a_database_lives_until_it_is_dropped(postgres: PostgresServer) -> None:
    url = postgres.create("test-lives")
    ask(url, "CREATE TABLE film (name text)")
    ask(url, "INSERT INTO film VALUES ('Straße')")
    copy = postgres.create("test-copy", template="test-lives")
    postgres.drop("test-lives")
    with pytest.raises(psycopg.errors.OperationalError, match="does not exist"):
        psycopg.connect(url.replace("+psycopg", "")).close()
    assert ask(copy, "SELECT name FROM film") == "Straße"
    postgres.drop("test-copy")


def test_a_database_is_dropped_under_an_open_connection(postgres: PostgresServer) -> None:
    url = postgres.create("test-open").replace("+psycopg", "")
    with closing(psycopg.connect(url)) as connection:
        postgres.drop("test-open")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgres_keeps_what_was_committed(
    postgres: PostgresServer, postgres_url: str, end: str
) -> None:
    ask(postgres_url, "CREATE TABLE film AS SELECT 1 AS id")
    port = postgres.port
    with closing(psycopg.connect(postgres_url.replace("+psycopg", ""))) as connection:
        getattr(postgres, end)()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(postgres_url.replace("+psycopg", "")).close()
    postgres.start()
    assert postgres.port == port
    assert ask(postgres_url, "SELECT id FROM film") == 1


def test_a_closed_postgres_is_gone(postgres: PostgresServer) -> None:
    with closing(PostgresServer()) as other:
        other.start()
        assert other.port != postgres.port
        pid = other.pid
        assert runs(pid)
    assert not runs(pid)
    assert not other.folder.exists()


def test_a_database_url_leads_to_a_database(database_url: str) -> None:
    ask(database_url, "CREATE TABLE film AS SELECT 1 AS id")
    assert ask(database_url, "SELECT count(*) FROM film") == 1


HELD = """
import sys, time
from pathlib import Path
from tests.servers import PostgresServer, RedisServer
server = RedisServer(Path(sys.argv[2])) if sys.argv[1] == "redis" else PostgresServer()
server.start()
print(server.pid, server.folder, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_killed_test_run_leaves_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    request.getfixturevalue("redis_server" if kind == "redis" else "postgres")
    argv = [sys.executable, "-c", HELD, kind, str(tmp_path / "held")]
    root = Path(__file__).parents[2]
    own = {**os.environ, "TMPDIR": str(TEMPORARY)}
    with subprocess.Popen(argv, cwd=root, env=own, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert runs(int(pid))
        run.kill()
    give_up = time.monotonic() + SOON
    while runs(int(pid)):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    if kind == "postgres":
        long_ago = time.time() - ABANDONED - 60
        os.utime(folder, (long_ago, long_ago))
        PostgresServer().close()  # the next one tidies up
        assert not Path(folder).exists()


def test_a_running_server_keeps_its_folder_however_old(postgres: PostgresServer) -> None:
    os.utime(postgres.folder, (0, 0))
    PostgresServer().close()
    assert postgres.folder.exists()


def test_a_missing_server_is_skipped_at_home_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"make servers.*redis-tools"):
        RedisServer(tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"make servers.*redis-tools"):
        RedisServer(tmp_path)
