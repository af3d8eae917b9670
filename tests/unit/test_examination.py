"""The doctor looks at every neighbour for a bounded time, and says what to do."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.domain.errors import SettingsInvalid
from reelyard.farm.checkup import looks
from reelyard.farm.wiring import Farm
from reelyard.services.examination import Look, examined
from reelyard.services.findings import Finding, Verdict
from reelyard.services.neighbours import (
    clock,
    direct_share,
    exposed_secrets,
    holds_secrets,
    mounted_share,
)
from reelyard.settings import Settings
from reelyard.store.condition import condition
from reelyard.store.database import Database
from reelyard.system import posix

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fine(name: str) -> Look:
    return Look(name, lambda: [Finding(name, Verdict.OK, "fine")])


def test_one_that_hangs_holds_up_nobody() -> None:
    """The others are still found, in their order, and it is said of that one what to do."""
    let_go = threading.Event()

    def hang() -> Iterable[Finding]:
        let_go.wait(30)
        return []

    begun = time.monotonic()
    found = examined([fine("a"), Look("share", hang, "Look at the server"), fine("b")], seconds=0.3)
    took = time.monotonic() - begun
    let_go.set()

    assert [one.what for one in found] == ["a", "share", "b"]
    assert found[1] == Finding(
        "share", Verdict.FAILED, "did not answer within 0.3 s", "Look at the server"
    )
    assert took < 5


def test_all_begin_at_once() -> None:
    """Ten that take a while take no longer than one."""
    together = threading.Barrier(10, timeout=10)

    def wait_for_the_others() -> Iterator[Finding]:
        together.wait()
        yield Finding("one", Verdict.OK, "fine")

    found = examined([Look("one", wait_for_the_others) for _ in range(10)])
    assert [one.verdict for one in found] == [Verdict.OK] * 10


@pytest.mark.parametrize(("error", "message", "remedy"), [
    (SettingsInvalid("no such row", remedy="Add it"), "no such row", "Add it"),
    (ConnectionRefusedError(111, "Connection refused", "//media"), "Connection refused (//media)", "Start it"),
    (RuntimeError("odd"), "RuntimeError: odd", "Start it"),
], ids=["ours", "the system's", "unexpected"])  # fmt: skip
def test_whatever_fails_is_a_line_with_a_remedy(
    error: Exception, message: str, remedy: str
) -> None:
    def fail() -> Iterable[Finding]:
        raise error

    assert examined([Look("it", fail, "Start it")]) == [
        Finding("it", Verdict.FAILED, message, remedy)
    ]


def test_a_mounted_share_is_listed_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    [gone] = mounted_share("//media/videos", folder)
    assert gone.verdict is Verdict.FAILED and "REELYARD_SHARES" in gone.remedy

    folder.mkdir()
    [empty] = mounted_share("//media/videos", folder)
    assert empty.verdict is Verdict.NOTE and "not mounted" in empty.remedy

    (folder / "a.mp4").write_text("x")
    (folder / "more").mkdir()
    [found] = mounted_share("//media/videos", folder)
    assert (found.what, found.verdict) == ("share //media/videos", Verdict.OK)
    assert found.message == f"at {folder}, 2 entries, one file read"


def test_a_share_behind_a_connection_is_listed_and_read() -> None:
    files = MemoryFileSystem()
    files.pipe("/examined/a.mp4", b"x")
    try:
        [found] = direct_share("s3://clips", files, "/examined")
        assert found.message == "through a connection, 1 entries, one file read"
    finally:
        files.rm("/examined", recursive=True)
    with pytest.raises(FileNotFoundError):
        list(direct_share("s3://clips", files, "/nothing/there"))


@pytest.mark.parametrize(("ahead", "verdict", "said"), [
    (0, Verdict.OK, "within seconds"), (4, Verdict.OK, "within seconds"),
    (90, Verdict.NOTE, "90 s ahead of"), (-3600, Verdict.NOTE, "3600 s behind"),
])  # fmt: skip
def test_a_wrong_clock_is_noticed(ahead: int, verdict: Verdict, said: str) -> None:
    found = clock(NOON, NOON + timedelta(seconds=ahead), NOON + timedelta(seconds=ahead))
    assert found.verdict is verdict and said in found.message


def test_a_slow_answer_is_no_wrong_clock() -> None:
    found = clock(NOON, NOON - timedelta(seconds=20), NOON + timedelta(seconds=1))
    assert found.verdict is Verdict.OK


def test_the_database_tells_its_kind_its_schema_and_its_time(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        found = condition(database)

    assert found.kind.startswith(("PostgreSQL 1", "SQLite 3"))
    assert found.schema.isdigit()
    assert clock(found.time, found.before, found.after).verdict is Verdict.OK


@pytest.mark.parametrize(("written", "secret"), [
    ({"database_url": "postgresql://farm:pw@db/farm"}, True),
    ({"database_url": "postgresql://db/farm", "port": 8080}, False),
    ({"redis_url": "redis://:pw@db:6379/0"}, True),
    ({"supabase_jwt_secret": "x" * 32}, True),
    ({"shares": [{"name": "//a/b", "user": "u"}]}, False),
    ({"shares": [{"name": "//a/b"}, {"name": "//a/c", "password": "pw"}]}, True),
    ({"shares": [{"name": "s3://a", "options": {"secret": "pw"}}]}, True),
])  # fmt: skip
def test_passwords_in_the_file_are_seen(written: dict[str, Any], secret: bool) -> None:
    assert holds_secrets(written) is secret


def test_secrets_that_everybody_can_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    """What it says to do helps, typed as it is said."""
    file, key, password = (tmp_path / name for name in ("reelyard.toml", "it's a key.json", "pw"))
    for path in (file, key, password):
        path.write_text("secret")
        path.chmod(0o644)
    settings = Settings.model_validate({
        "bigquery_credentials": key,
        "shares": [{"name": "//a/b", "user": "u", "password_file": password}],
    })  # fmt: skip
    written = {"redis_url": "redis://:pw@db:6379/0"}

    def examine() -> list[Finding]:
        return list(exposed_secrets(settings, file, written, posix.exposed_to, posix.protection))

    found = examine()
    assert {one.message.partition(" can ")[0] for one in found} == {
        str(one) for one in (file, key, password)
    }
    assert {one.verdict for one in found} == {Verdict.NOTE}
    for one in found:
        subprocess.run(["sh", "-c", one.remedy], check=True)
    assert examine() == []


def test_a_file_without_secrets_may_be_read_by_everybody(tmp_path: Path) -> None:
    file = tmp_path / "reelyard.toml"
    file.write_text("port = 8080")
    file.chmod(0o644)

    assert not list(
        exposed_secrets(Settings(), file, {"port": 8080}, posix.exposed_to, posix.protection)
    )


def test_a_server_that_takes_the_call_and_says_nothing_does_not_hang_the_doctor(
    tmp_path: Path,
) -> None:
    """As a share behind a firewall that drops, or a server in the middle of dying."""
    with closing(create_server(("127.0.0.1", 0))) as silent:
        settings = Settings.model_validate({
            "data_dir": tmp_path / "data",
            "shares": [{"name": "//media/videos", "host": "127.0.0.1", "user": "u", "password": "pw",
                        "port": silent.getsockname()[1]}],
        })  # fmt: skip
        own = [one for one in looks(Farm(settings)) if one.what.startswith("share")]
        [found] = examined(own, seconds=0.5)

    assert found.verdict is Verdict.FAILED and found.message == "did not answer within 0.5 s"
    assert "REELYARD_SHARES" in found.remedy


def test_each_neighbour_in_the_settings_has_a_look(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    settings = Settings.model_validate({
        "data_dir": tmp_path / "data", "redis_url": "redis://127.0.0.1:1/0",
        "shares": [{"name": "//media/videos", "folder": tmp_path / "media"}],
        "segment_store": "//media/videos/segments", "cache_dir": tmp_path / "cache",
    })  # fmt: skip
    farm = Farm(settings)
    with closing(farm.reelyard.database):
        found = examined(looks(farm))

    assert {
        "films",
        "segments",
        "share //media/videos",
        "database",
        "clock",
        "broker",
    } <= {one.what for one in found}
    failed = {one.what: one for one in found if one.verdict is Verdict.FAILED}
    assert set(failed) == {"broker"} and failed["broker"].remedy
