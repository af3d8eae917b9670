"""The segment store: what one machine put there another one gets, whole, and nobody is ever held up by it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from reelyard.domain.share import Share
from reelyard.files.breaker import Breaker, NotAsked
from reelyard.files.connections import Connection, Connections
from reelyard.files.segment_store import SegmentStore
from reelyard.files.store_upkeep import Upkeep
from tests.s3_server import SEEN_SECONDS, S3Server

SUFFIX = ".mp4"
PLENTY = 1 << 40


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def bytes_of(name: object, size: int = 5000) -> bytes:
    some = random.Random(str(name)).randbytes(min(size, 1_000_000))
    return (some * (size // 1_000_000 + 1))[:size]


class Place:
    """Where a store is, seen from the side: ``files`` is the folder behind it."""

    def __init__(self, fs: Callable[[], AbstractFileSystem], root: str, files: Path) -> None:
        self.fs, self.root, self.files = fs, root, files

    def store(self, limit: int = PLENTY, seconds: float = 20.0, **options: Any) -> SegmentStore:
        """The store as another machine has it."""
        return SegmentStore(self.fs, self.root, limit, name="the store", seconds=seconds, **options)

    def entry(self, name: object) -> Path:
        return self.files / "entries" / key_of(name)[:2] / f"{key_of(name)}{SUFFIX}"

    def entries(self) -> set[str]:
        return {path.stem for path in self.files.glob("entries/*/*")}


BUCKET = "stores"


def in_bucket(server: S3Server, secret: str) -> Callable[[], AbstractFileSystem]:
    root = f"s3://{BUCKET}"
    options = {"endpoint": server.url}
    row = Connection(root=root, user=server.key, password=lambda: secret, options=options)
    connections = Connections([row])
    return lambda: connections.file_system(Share(root=root))


@pytest.fixture(scope="module")
def usual(s3: S3Server) -> Callable[[], AbstractFileSystem]:
    """The connection that most tests use: a new one costs a fifth of a second."""
    s3.bucket(BUCKET)
    return in_bucket(s3, s3.secret)


@pytest.fixture
def in_s3(s3: S3Server, usual: Callable[[], AbstractFileSystem]) -> Place:
    own = uuid.uuid4().hex
    return Place(usual, f"{BUCKET}/{own}", s3.files / BUCKET / own)


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store in a folder, and one in a bucket."""
    if request.param == "folder":
        (tmp_path / "share").mkdir()
        return Place(LocalFileSystem, str(tmp_path / "share"), tmp_path / "share")
    found: Place = request.getfixturevalue("in_s3")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return Place(LocalFileSystem, str(tmp_path / "share"), tmp_path / "share")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def put(store: SegmentStore, work: Path, name: object, size: int = 5000) -> bool:
    made = work / f"{uuid.uuid4().hex}{SUFFIX}"
    made.write_bytes(bytes_of(name, size))
    done = store.put(key_of(name), SUFFIX, made, {"notes": [f"about {name}"]})
    assert made.read_bytes() == bytes_of(name, size), "the file is still the caller's own"
    made.unlink()
    return done


def get(store: SegmentStore, work: Path, name: object, size: int = 5000) -> bool:
    """Whether the store has it; what it gives out is right."""
    into = work / f"{uuid.uuid4().hex}{SUFFIX}"
    facts = store.get(key_of(name), SUFFIX, into)
    if facts is None:
        assert not list(work.iterdir()), "nothing is left behind"
        return False
    assert facts == {"notes": [f"about {name}"]}
    assert into.read_bytes() == bytes_of(name, size)
    into.unlink()
    return True


def test_another_machine_gets_what_one_put(place: Place, work: Path) -> None:
    here, there = place.store(), place.store()
    assert not get(there, work, "a")
    assert put(here, work, "a") and put(here, work, "empty", 0)
    assert get(there, work, "a") and get(there, work, "empty", 0)
    assert not get(there, work, "b")
    assert place.store().get(key_of("a"), ".pcm", work / "other") is None
    assert here.trouble is None and there.trouble is None


def test_an_entry_of_many_megabytes_comes_whole(place: Place, work: Path) -> None:
    size = 40_000_003
    assert put(place.store(), work, "large", size)
    assert get(place.store(), work, "large", size)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": lambda data: data[:2500] + bytes([data[2500] ^ 1]) + data[2501:],
    "a bit of the note flipped": lambda data: data[:-60] + bytes([data[-60] ^ 1]) + data[-59:],
    "cut short": lambda data: data[:100],
    "without its end": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "grown": lambda data: data + b"x",
    "a length that leads nowhere": lambda data: data[:-26] + b"\xff" * 8 + data[-18:],
    "a web page": lambda data: b"<html>sign in to the hotel's network</html>",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_entry_is_dropped_and_can_be_put_again(
    folder: Place, work: Path, how: str
) -> None:
    store = folder.store()
    put(store, work, "a"), put(store, work, "b")
    entry = folder.entry("a")
    entry.write_bytes(DAMAGE[how](entry.read_bytes()))
    assert not get(store, work, "a")
    assert not entry.exists() and store.trouble is None
    assert put(store, work, "a") and get(store, work, "a") and get(store, work, "b")


def test_an_entry_under_anothers_name_is_not_taken_for_it(folder: Place, work: Path) -> None:
    store = folder.store()
    put(store, work, "a"), put(store, work, "b")
    folder.entry("a").replace(folder.entry("b"))
    assert not get(store, work, "b")


def test_the_least_recently_used_go_first_and_use_on_any_machine_counts(
    place: Place, work: Path
) -> None:
    store = place.store()
    for name in "abcdef":
        put(store, work, name)
        put_at = time.time() - 1000 + ord(name)
        os.utime(place.entry(name), (put_at, put_at))
    time.sleep(SEEN_SECONDS)
    place.store().used([f"{key_of('a')}{SUFFIX}"])
    place.store().used([f"{key_of('b')}{SUFFIX}", f"{key_of('unknown')}{SUFFIX}"])
    size = place.entry("a").stat().st_size
    assert place.store(3 * size).trim(now=True) == 3 * size
    assert place.entries() == {key_of(name) for name in "abf"}
    lists = list((place.files / "uses").iterdir())
    assert len(lists) == 1, "the lists were made one"
    assert set(json.loads(lists[0].read_text())) == {f"{key_of(n)}{SUFFIX}" for n in "ab"}
    assert place.store(2 * size).trim(now=True) == size
    assert place.entries() == {key_of(name) for name in "ab"}, "the list still says so"
    assert place.store(2 * size).trim(now=True) == 0


def test_one_machine_trims_in_an_hour(place: Place, work: Path) -> None:
    put(place.store(), work, "a")
    stores = [place.store(limit=0) for _ in range(4)]
    assert [store.trim() for store in stores].count(None) == 3
    assert place.entries() == set()
    put(stores[0], work, "b")
    assert stores[1].trim() is None
    long_ago = time.time() - 4000
    os.utime(place.files / "trimmed", (long_ago, long_ago))
    time.sleep(SEEN_SECONDS)
    assert stores[2].trim()


def test_machines_that_trim_at_once_drop_no_more_than_one_would(place: Place, work: Path) -> None:
    for name in range(30):
        put(place.store(), work, name)
    size = place.entry(0).stat().st_size  # others are a byte longer
    with ThreadPoolExecutor(4) as pool:
        freed = list(pool.map(lambda _: place.store(21 * size).trim(now=True), range(4)))
    assert None not in freed
    assert len(place.entries()) == 20


def test_machines_that_put_get_and_trim_at_once_see_only_what_is_whole(
    place: Place, work: Path
) -> None:
    size = 6000
    until = time.monotonic() + 0.8

    def machine(seed: int) -> int:
        store, dice, own = place.store(8 * size), random.Random(seed), work / str(seed)
        own.mkdir()
        done = 0
        while time.monotonic() < until:
            name = dice.randrange(12)
            if not get(store, own, name):
                assert put(store, own, name), store.trouble
            if dice.random() < 0.1:
                assert store.trim(now=True) is not None, store.trouble
            done += 1
        assert store.trouble is None
        return done

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(machine, range(4))) > 0
    assert not [name for name in place.entries() if name.endswith(".part")]


def test_what_a_killed_machine_left_is_removed_after_a_day(folder: Place, work: Path) -> None:
    store = folder.store()
    put(store, work, "a")
    parent = folder.entry("a").parent
    old, new = parent / ".old.mp4.1.part", parent / ".new.mp4.1.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert store.trim(now=True) == 0
    assert not old.exists() and new.exists() and get(store, work, "a")


def test_a_share_that_is_not_mounted_is_not_taken_for_the_store(
    folder: Place, work: Path, tmp_path: Path
) -> None:
    remembered: list[str] = []
    memory: dict[str, Any] = {
        "recall": lambda: remembered[-1] if remembered else None, "keep": remembered.append,
    }  # fmt: skip
    store = folder.store(**memory)
    assert put(store, work, "a")
    folder.files.rename(tmp_path / "away")
    folder.files.mkdir()
    assert not get(store, work, "a")
    assert not put(store, work, "b")
    assert not put(folder.store(**memory), work, "b"), "nor by a process that begins now"
    assert store.trouble and "mounted" in store.trouble
    assert list(folder.files.iterdir()) == [], "nothing was written to this machine's own disk"
    folder.files.rmdir()
    (tmp_path / "away").rename(folder.files)
    assert get(folder.store(**memory), work, "a") and len(remembered) == 1


def test_a_folder_that_was_the_store_before_its_share_was_mounted_is_not_taken_again(
    folder: Place, work: Path, tmp_path: Path
) -> None:
    """The worker was first started without the share, and the share is away again now."""
    remembered: list[Any] = []
    memory: dict[str, Any] = {
        "recall": lambda: remembered[-1] if remembered else None, "keep": remembered.append,
    }  # fmt: skip
    assert put(folder.store(**memory), work, "a")
    below, share = tmp_path / "below", tmp_path / "mounted"
    folder.files.rename(below)
    share.mkdir()
    share.rename(folder.files)
    assert put(folder.store(), work, "b")  # another machine's
    assert get(folder.store(**memory), work, "b")
    folder.files.rename(share)
    below.rename(folder.files)
    unmounted = folder.store(**memory)
    assert not put(unmounted, work, "c")
    assert unmounted.trouble and "mounted" in unmounted.trouble
    folder.files.rename(below)
    share.rename(folder.files)
    assert get(folder.store(**memory), work, "b")


def test_what_earlier_versions_remembered_of_a_folder_holds(folder: Place, work: Path) -> None:
    assert put(folder.store(), work, "a")
    mark = (folder.files / "this-is-reelyards").read_text()
    kept: list[Any] = []
    assert get(folder.store(recall=lambda: mark, keep=kept.append), work, "a")
    assert kept == []


class Slow(LocalFileSystem):  # type: ignore[misc]
    """A share that hangs until it is told to go on."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.asked = 0

    def get_file(self, *arguments: Any, **options: Any) -> None:
        self.asked += 1
        self.goes_on.wait(30)
        super().get_file(*arguments, **options)

    put_file = get_file


@pytest.fixture
def hanging(folder: Place, work: Path) -> Iterator[Slow]:
    put(folder.store(), work, "a")
    slow = Slow()
    yield slow
    slow.goes_on.set()


def test_a_store_that_hangs_is_given_up_and_not_asked_again_for_a_while(
    folder: Place, work: Path, hanging: Slow
) -> None:
    store = SegmentStore(lambda: hanging, folder.root, PLENTY, name="the store", seconds=0.3)
    begun = time.monotonic()
    assert store.get(key_of("a"), SUFFIX, work / "a") is None
    assert 0.25 < time.monotonic() - begun < 2
    assert "no answer within 0.3 seconds" in str(store.trouble)
    begun = time.monotonic()
    assert not any(store.get(key_of("a"), SUFFIX, work / "a") for _ in range(100))
    made = work / "b"
    made.write_bytes(b"b")
    assert not store.put(key_of("b"), SUFFIX, made, {})
    assert time.monotonic() - begun < 0.5 and hanging.asked == 1


class Odd(LocalFileSystem):  # type: ignore[misc]
    """A share whose driver raises what is no error of the system."""

    cachable = False

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        raise RuntimeError("the answer makes no sense")

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        raise ValueError("the answer makes no sense")


def test_whatever_a_driver_raises_costs_no_job_anything(folder: Place, work: Path) -> None:
    made = work / "a"
    made.write_bytes(b"a")
    for call in ("get", "put"):
        store = SegmentStore(Odd, folder.root, PLENTY, name="the store")
        if call == "get":
            assert store.get(key_of("a"), SUFFIX, work / "b") is None
        else:
            assert not store.put(key_of("a"), SUFFIX, made, {})
        assert "the answer makes no sense" in str(store.trouble)


class Stopped(Exception):
    """Somebody stopped the job."""


def test_a_job_that_is_stopped_does_not_wait_for_the_store(
    folder: Place, work: Path, hanging: Slow
) -> None:
    def stopped() -> None:
        raise Stopped

    store = SegmentStore(lambda: hanging, folder.root, PLENTY, name="the store")
    begun = time.monotonic()
    with pytest.raises(Stopped):
        store.get(key_of("a"), SUFFIX, work / "a", stopped)
    assert time.monotonic() - begun < 1 and store.trouble is None


def test_a_server_that_goes_is_told_once_and_asked_again_when_it_is_back(
    s3: S3Server, in_s3: Place, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = in_s3.store()
    assert put(store, work, "a")
    s3.stop()
    try:
        with caplog.at_level(logging.WARNING):
            assert not get(store, work, "a")
            assert not any(get(store, work, "a") or put(store, work, "b") for _ in range(20))
    finally:
        s3.start()
    assert len(caplog.records) == 1 and "can't be used just now" in caplog.text
    assert store.trouble and "connect" in store.trouble.lower()
    assert s3.secret not in caplog.text + store.trouble
    assert get(in_s3.store(), work, "a")


def test_a_wrong_secret_is_told_without_the_secret(
    s3: S3Server, work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(in_bucket(s3, "wrong-but-secret"), BUCKET, s3.files / BUCKET)
    store = place.store()
    assert not get(store, work, "a") and not put(store, work, "a")
    assert store.trouble and "signature" in store.trouble
    assert "wrong-but-secret" not in caplog.text + store.trouble + repr(place.fs())
    with pytest.raises(OSError):
        store.try_out()


def test_a_bucket_that_is_not_there_is_told_at_the_first_put(
    s3: S3Server, in_s3: Place, work: Path
) -> None:
    place = Place(in_s3.fs, "no-such-bucket", s3.files)
    store = place.store()
    assert not get(store, work, "a") and not put(store, work, "a")
    with pytest.raises(FileNotFoundError):
        store.try_out()


def test_settings_that_are_wrong_cost_no_job_anything(work: Path) -> None:
    row = Connection(root="foo://bar")
    connections = Connections([row])
    store = SegmentStore(
        lambda: connections.file_system(Share(root="foo://bar")), "bar", PLENTY, name="foo://bar"
    )
    assert not get(store, work, "a") and not put(store, work, "a")
    assert store.trouble and "foo" in store.trouble


def test_trying_it_out_leaves_nothing(place: Place) -> None:
    assert place.store().try_out() < 5
    assert place.entries() == set()


def test_entries_that_cannot_be_removed_are_not_tried_one_by_one(folder: Place, work: Path) -> None:
    for name in range(40):
        put(folder.store(), work, name)

    class Stubborn(LocalFileSystem):  # type: ignore[misc]
        cachable = False
        tries = 0

        def rm_file(self, path: str) -> None:
            self.tries += 1
            raise PermissionError(13, "no")

    stubborn = Stubborn()
    with pytest.raises(PermissionError):
        Upkeep(stubborn, folder.root, lambda *_: None).trim(0)
    assert stubborn.tries < 30


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fails() -> None:
    raise OSError(5, "it is broken")


def test_after_each_failure_it_is_left_alone_for_longer() -> None:
    clock = Clock()
    breaker = Breaker(20, clock)
    waited = []
    for _ in range(7):
        with pytest.raises(OSError, match="broken"):
            breaker.call(fails)
        begun = clock.now
        while breaker.is_open:
            with pytest.raises(NotAsked):
                breaker.call(fails)
            clock.now += 10
        waited.append(clock.now - begun)
    assert waited == [30, 60, 120, 240, 480, 600, 600]
    assert breaker.trouble == "it is broken"
    assert breaker.call(lambda: 1) == 1
    assert not breaker.trouble
    assert not breaker.is_open


def test_many_failures_at_once_count_as_one() -> None:
    clock, gate = Clock(), threading.Barrier(5)
    breaker = Breaker(20, clock)

    def fail() -> None:
        gate.wait()
        fails()

    def call(_: int) -> None:
        with pytest.raises(OSError, match="broken"):
            breaker.call(fail)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(call, range(5)))
    clock.now = 30
    assert not breaker.is_open


def test_what_is_not_there_is_an_answer() -> None:
    breaker = Breaker(20)

    def missing() -> None:
        raise FileNotFoundError(2, "missing")

    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            breaker.call(missing)
    assert breaker.trouble is None
