"""Sources in object stores: copied from a real S3 server, whatever happens to it, and from anything else fsspec knows."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import pickle
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.domain.errors import SettingsInvalid
from reelyard.domain.share import Direct, Share
from reelyard.files.connections import Connection, Connections
from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.copying import BLOCK
from reelyard.files.guarded import Guarded
from reelyard.files.places import Source
from reelyard.settings import Settings
from tests.conftest import Clips, Studio
from tests.s3_server import SEEN_SECONDS, S3Server
from tests.unit.share import PLENTY, Stopped, bytes_of, nothing, stopping


class Bucket:
    """A folder in the server's bucket for one test, and how this machine gets there."""

    def __init__(self, server: S3Server, usual: Connections) -> None:
        self.server = server
        self.name = "sources"
        self.root = f"s3://{self.name}"
        self.own = uuid.uuid4().hex[:8]
        self.files = server.bucket(self.name) / self.own
        self.files.mkdir()
        self.usual = usual

    def put(self, name: str, size: int = 5000) -> None:
        (self.files / name).parent.mkdir(parents=True, exist_ok=True)
        self.write(name, bytes_of(name, size))

    def write(self, name: str, data: bytes) -> None:
        """Put an object there without asking the server."""
        (self.files / name).write_bytes(data)
        time.sleep(SEEN_SECONDS)

    def connections(self, **changes: Any) -> Connections:
        """New ones: they cost a fifth of a second."""
        return connections_to(self.server, self.root, **changes)

    def source(self, name: str, **changes: Any) -> Source:
        connections = self.connections(**changes) if changes else self.usual
        direct = Direct(Share(root=self.root), f"{self.own}/{name}")
        return connections.source(direct, direct.name)


def connections_to(server: S3Server, root: str, **changes: Any) -> Connections:
    given = {
        "user": server.key, "password": lambda: server.secret, "options": {"endpoint": server.url},
        **changes,
    }  # fmt: skip
    return Connections([Connection(root=root, **given)])


@pytest.fixture(scope="module")
def usual(s3: S3Server) -> Connections:
    """The connection that most tests use."""
    return connections_to(s3, "s3://sources")


@pytest.fixture
def bucket(s3: S3Server, usual: Connections) -> Bucket:
    return Bucket(s3, usual)


@pytest.fixture
def cache(tmp_path: Path) -> CopyCache:
    return CopyCache(tmp_path / "cache", PLENTY)


def copied(cache: CopyCache, source: Source, **options: Any) -> Copied:
    return cache.fetch(source, "job", options.pop("check", nothing), **options)


NAMES = [
    "two words.mp4", "übung 鳥.mp4", "'\"quoted\"'.mp4", "a#b?c%20d+e&f=g.mp4", "[a]*.mp4",
    "deep/er/a.mp4", "..a.mp4", "-rf.mp4", "a:b;c|d.mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name(bucket: Bucket, cache: CopyCache, name: str) -> None:
    bucket.put(name)
    found = copied(cache, bucket.source(name))
    assert found.path.read_bytes() == bytes_of(name) and found.path.suffix == ".mp4"


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1])
def test_any_size(bucket: Bucket, cache: CopyCache, size: int) -> None:
    bucket.put("a.mp4", size)
    found = copied(cache, bucket.source("a.mp4"))
    assert (found.copied, found.path.read_bytes()) == (size, bytes_of("a.mp4", size))
    assert copied(cache, bucket.source("a.mp4")).was_here


def test_five_at_once_over_one_connection(bucket: Bucket, cache: CopyCache) -> None:
    names = [f"{number}.mp4" for number in range(10)]
    for name in names:
        bucket.put(name, 1_000_000)

    def fetch(name: str) -> bytes:
        return copied(cache, bucket.source(name)).path.read_bytes()

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(fetch, names)) == [bytes_of(name, 1_000_000) for name in names]


def test_a_copy_that_broke_off_goes_on_where_it_was(bucket: Bucket, cache: CopyCache) -> None:
    bucket.put("a.mp4", 3 * BLOCK)
    with pytest.raises(Stopped):
        copied(cache, bucket.source("a.mp4"), check=stopping(5))
    found = copied(cache, bucket.source("a.mp4"))
    assert found.resumed and found.resumed + found.copied == 3 * BLOCK
    assert found.path.read_bytes() == bytes_of("a.mp4", 3 * BLOCK)


def test_a_server_that_dies_in_the_middle_and_comes_back(bucket: Bucket, cache: CopyCache) -> None:
    size = 5 * BLOCK
    bucket.put("a.mp4", size)
    source, server = bucket.source("a.mp4"), bucket.server

    def die_after_two_blocks(_: int, got: list[int] = [0]) -> None:  # noqa: B006
        got[0] += 1
        if got[0] == 4:
            server.kill()

    try:
        with pytest.raises(OSError) as failed:
            copied(cache, source, told=die_after_two_blocks)
    finally:
        server.start()
    assert failed.value.errno in (errno.EHOSTUNREACH, errno.EIO, errno.ECONNRESET)
    found = copied(cache, source)
    assert found.resumed >= 2 * BLOCK and found.path.read_bytes() == bytes_of("a.mp4", size)


def test_a_connection_that_breaks_in_between_is_made_anew(bucket: Bucket, cache: CopyCache) -> None:
    size = 5 * BLOCK
    bucket.put("a.mp4", size)
    server, pauses = bucket.server, [False]

    def restart_once(_: int) -> None:
        if not pauses[0]:
            pauses[0] = True
            server.kill()
            server.start()

    found = copied(cache, bucket.source("a.mp4"), told=restart_once)
    assert (found.resumed, found.copied) == (0, size), "the copy itself never broke off"
    assert found.path.read_bytes() == bytes_of("a.mp4", size)


def test_an_object_that_is_replaced_while_it_is_read_is_told(bucket: Bucket) -> None:
    bucket.put("a.mp4", 3 * BLOCK)
    source = bucket.source("a.mp4")
    with source.fs.open(source.path, "rb") as file:
        file.read(10)
        bucket.write("a.mp4", bytes_of("other", 3 * BLOCK))
        file.seek(BLOCK)
        with pytest.raises(OSError, match="changed while it was read"):
            file.read(10)


def test_a_changed_object_is_another_file(bucket: Bucket, cache: CopyCache) -> None:
    bucket.put("a.mp4")
    first = copied(cache, bucket.source("a.mp4"))
    bucket.write("a.mp4", bytes_of("other"))
    second = copied(cache, bucket.source("a.mp4"))
    assert second.path != first.path and second.path.read_bytes() == bytes_of("other")


ERRORS: dict[str, tuple[Callable[[Bucket], Source], int]] = {
    "missing": (lambda bucket: bucket.source("none.mp4"), errno.ENOENT),
    "a folder": (lambda bucket: bucket.source("deep"), errno.EISDIR),
    "no bucket": (
        lambda bucket: Source(bucket.source("a").fs, "no-such-bucket/a.mp4", "a"), errno.ENOENT,
    ),
    "wrong secret": (
        lambda bucket: bucket.source("deep/a.mp4", password=lambda: "wrong-secret"), errno.EACCES,
    ),
    "wrong key": (lambda bucket: bucket.source("deep/a.mp4", user="K123"), errno.EACCES),
    "nobody there": (
        lambda bucket: bucket.source("a.mp4", options={"endpoint": "http://127.0.0.1:9"}),
        errno.EHOSTUNREACH,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ERRORS)
def test_what_is_wrong_has_a_number_and_no_secret(
    bucket: Bucket, cache: CopyCache, what: str
) -> None:
    bucket.put("deep/a.mp4")
    source, number = ERRORS[what][0](bucket), ERRORS[what][1]
    with pytest.raises(OSError) as failed:
        copied(cache, source)
    assert failed.value.errno == number
    shown = f"{failed.value!r} {failed.value} {source!r} {source.fs!r}"
    assert bucket.server.secret not in shown and "wrong-secret" not in shown


def test_a_fork_makes_connections_of_its_own(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        bucket.put(name)

    def fetch(name: str) -> bytes:
        own = CopyCache(tmp_path / str(os.getpid()), PLENTY)
        return copied(own, bucket.source(name)).path.read_bytes()

    def child(results: Any) -> None:
        results.put(fetch("b.mp4"))

    assert fetch("a.mp4") == bytes_of("a.mp4")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=child, args=(results,))
    process.start()
    assert results.get(timeout=20) == bytes_of("b.mp4")
    process.join(20)
    assert process.exitcode == 0
    results.close()
    results.join_thread()
    assert fetch("b.mp4") == bytes_of("b.mp4"), "and the parent's still work"


def test_connections_that_are_let_go_of_close_without_a_word(
    bucket: Bucket, recwarn: pytest.WarningsRecorder
) -> None:
    bucket.put("a.mp4")
    bucket.source("a.mp4", domain="of its own").identity()
    gc.collect()
    assert not [str(one.message) for one in recwarn if "unclosed" in str(one.message).lower()]


def test_two_accounts_never_share_a_connection(bucket: Bucket) -> None:
    bucket.put("a.mp4")
    assert bucket.source("a.mp4").identity().size == 5000
    with pytest.raises(PermissionError):
        bucket.source("a.mp4", password=lambda: "another").identity()


def test_a_job_names_its_clips_by_bucket(studio: Studio, clips: Clips, bucket: Bucket) -> None:
    (bucket.files / "our clips").mkdir()
    bucket.write("our clips/ein Bild.png", clips.picture("s3.png").read_bytes())
    row = {
        "name": bucket.root, "endpoint": bucket.server.url, "key": bucket.server.key,
        "secret": bucket.server.secret,
    }  # fmt: skip
    name = f"{bucket.root}/{bucket.own}/our clips/ein Bild.png"
    item = {"item_type": "image", "path": name, "duration": 0.5}
    film = studio.render(item, settings={"shares": [row]})
    assert film.film.frames == 15
    assert bucket.server.secret not in (film.log_folder / "job.log").read_text()


# What people write in the table of shares


def made(**row: Any) -> Any:
    """The s3fs of a row, as it is set."""
    shares = Settings(shares=({"name": "s3://clips", **row},)).shares  # type: ignore[arg-type]
    connection = Connection(
        root=shares[0].name, user=shares[0].user, password=shares[0].secret,
        options=shares[0].connection_options,
    )  # fmt: skip
    fs = Connections([connection]).file_system(Share(root="s3://clips"))
    assert isinstance(fs, Guarded)
    return fs._fs


def test_rows_for_amazon_minio_and_the_machines_own_account(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    amazon = made(region="eu-central-1", key="AKIA", secret_file=str(secret))
    assert (amazon.key, amazon.secret, amazon.endpoint_url) == ("AKIA", "s3cret", None)
    assert amazon.client_kwargs == {"region_name": "eu-central-1"}
    minio = made(endpoint="http://minio.lan:9000/", user="reelyard", password="s3cret")
    assert (minio.key, minio.endpoint_url) == ("reelyard", "http://minio.lan:9000")
    own = made(options={"profile": "farm", "config_kwargs": {"read_timeout": 7}})
    assert (own.key, own.secret, own.kwargs) == (None, None, {"profile": "farm"})
    assert own.config_kwargs["read_timeout"] == 7 and own.config_kwargs["connect_timeout"] == 5


WRONG: dict[str, dict[str, Any]] = {
    "a key without its secret": {"key": "AKIA"},
    "two names for the key": {"key": "AKIA", "user": "AKIA", "secret": "s3cret"},
    "an endpoint without a protocol": {"endpoint": "minio.lan:9000"},
    "a user in the endpoint": {"endpoint": "http://me:s3cret@minio.lan"},
    "a host": {"host": "minio.lan"},
    "an endpoint among the options": {"options": {"endpoint": "minio.lan"}},
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_a_row_that_makes_no_sense_is_told(row: dict[str, Any]) -> None:
    with pytest.raises((SettingsInvalid, ValueError)) as told:
        connection = Settings(shares=({"name": "s3://clips", **row},)).shares[0]  # type: ignore[arg-type]
        Connections(
            [
                Connection(
                    root="s3://clips", host=connection.host, user=connection.user,
                    password=connection.secret, options=connection.connection_options,
                )
            ]
        ).file_system(Share(root="s3://clips"))  # fmt: skip
    if isinstance(told.value, SettingsInvalid):
        assert "s3://clips" in told.value.message and "s3cret" not in str(told.value)


# Anything else fsspec knows


class LibraryError(Exception):
    """What a driver's own library raises."""


class Attic(MemoryFileSystem):  # type: ignore[misc]
    """A store of some other kind: what is behind ``secret`` can't be reached."""

    protocol = "attic"
    store: dict[str, Any] = {}  # noqa: RUF012
    cachable = False

    def __init__(self, box: str, access_key: str = "", keys: Any = ()) -> None:
        super().__init__()
        if not box.isdigit():
            raise ValueError(f"no box {box} opens with {access_key} or {list(keys)}")
        self.box, self.access_key = box, access_key

    def info(self, path: str, **options: Any) -> Any:
        if "burnt" in path:
            raise LibraryError(f"the box {self.box} can't be opened\nwith {self.access_key}")
        if "slow" in path:
            raise type("ReadTimeout", (LibraryError,), {})("the attic is far away")
        if "far" in path:
            raise type("ReadTimeoutError", (IOError,), {})("the attic is far away")
        return super().info(path, **options)


@pytest.fixture
def attic() -> Callable[..., Source]:
    fsspec.register_implementation("attic", Attic, clobber=True)

    def source(name: str, **options: Any) -> Source:
        options = {"box": "7", "access_key": "s3cret-key", **options}
        row = Connection(root="attic://box", options=options)
        return Connections([row]).source(Direct(Share(root=row.root), name), f"attic://box/{name}")

    return source


def test_any_protocol_that_fsspec_knows_is_copied_from(
    attic: Callable[..., Source], cache: CopyCache
) -> None:
    Attic("7").pipe_file("/box/a b.mp4", bytes_of("attic", 2 * BLOCK))
    found = copied(cache, attic("a b.mp4"))
    assert found.path.read_bytes() == bytes_of("attic", 2 * BLOCK)
    assert copied(cache, attic("a b.mp4")).was_here


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("none.mp4", errno.ENOENT, "none.mp4"),
        ("burnt.mp4", errno.EIO, "the box 7 can't be opened with ***"),
        ("slow.mp4", errno.ETIMEDOUT, "the attic is far away"),
        ("far.mp4", errno.ETIMEDOUT, "the attic is far away"),
    ],
)
def test_what_its_library_raises_becomes_an_error_of_the_system(
    attic: Callable[..., Source], cache: CopyCache, name: str, number: int, text: str
) -> None:
    with pytest.raises(OSError) as failed:
        copied(cache, attic(name))
    assert failed.value.errno == number and text in str(failed.value)
    assert "s3cret-key" not in repr(failed.value) and failed.value.__cause__ is None


def test_options_that_a_driver_does_not_have_name_the_row(attic: Callable[..., Source]) -> None:
    with pytest.raises(SettingsInvalid, match="attic://box") as told:
        attic("a.mp4", colour="green")
    assert "REELYARD_SHARES" in told.value.remedy and "s3cret" not in str(told.value)


def test_what_a_driver_says_of_its_options_has_no_secrets_in_it(
    attic: Callable[..., Source],
) -> None:
    """Wherever among the options they are."""
    with pytest.raises(SettingsInvalid, match=r"no box x opens with \*\*\* or") as told:
        attic("a.mp4", box="x", keys=["an0ther", {"third": "th1rd"}])
    assert told.value.__cause__ is None
    for secret in ("s3cret", "an0ther", "th1rd"):
        assert secret not in str(told.value)


def test_a_driver_that_is_not_installed_is_named() -> None:
    row = Connection(root="sftp://attic", options={"host": "attic"})
    with pytest.raises(SettingsInvalid, match=r"sftp://attic.*paramiko"):
        Connections([row]).file_system(Share(root=row.root))


def test_nothing_of_a_connection_is_written_down(bucket: Bucket) -> None:
    fs = bucket.source("a.mp4").fs
    with pytest.raises(TypeError):
        pickle.dumps(fs)
    assert bucket.server.secret not in f"{fs!r} {fs.storage_options} {fs.storage_args}"
