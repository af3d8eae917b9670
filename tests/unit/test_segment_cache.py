"""The segment cache: gives out what was put in or nothing, whatever happens to it meanwhile."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reelyard.files.segment_cache import SegmentCache

SUFFIX = ".mp4"
PLENTY = 1 << 30


def key_of(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def bytes_of(name: object, size: int = 5000) -> bytes:
    """What belongs under a name: the same in every process."""
    return random.Random(str(name)).randbytes(size)


@pytest.fixture
def cache(tmp_path: Path) -> SegmentCache:
    return SegmentCache(tmp_path / "cache", PLENTY)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def put(cache: SegmentCache, work: Path, name: object, used: float | None = None) -> Path:
    """Add an entry; the caller's own link to it."""
    made = work / f"{uuid.uuid4().hex}{SUFFIX}"
    made.write_bytes(bytes_of(name))
    cache.add(key_of(name), SUFFIX, made, {"notes": [f"about {name}"]})
    if used is not None:
        note = cache.path(key_of(name), SUFFIX)
        os.utime(note.with_name(note.name + ".json"), (used, used))
    return made


def get(cache: SegmentCache, work: Path, name: object) -> bytes | None:
    """The bytes that the cache gives out, which are the right ones or none."""
    link = work / f"{uuid.uuid4().hex}{SUFFIX}"
    entry = cache.take(key_of(name), SUFFIX, link)
    if entry is None:
        assert not link.exists()
        return None
    assert entry.note["facts"] == {"notes": [f"about {name}"]}
    assert entry.key == key_of(name)
    found = link.read_bytes()
    link.unlink()
    return found


def files(cache: SegmentCache) -> list[Path]:
    return [path for path in (cache.root / "entries").rglob("*") if path.is_file()]


def test_gives_out_what_was_put_in(cache: SegmentCache, work: Path) -> None:
    assert get(cache, work, "a") is None and not cache.holds(key_of("a"), SUFFIX)
    put(cache, work, "a")
    assert cache.holds(key_of("a"), SUFFIX) and not cache.holds(key_of("a"), ".pcm")
    assert get(cache, work, "a") == bytes_of("a")
    assert get(cache, work, "b") is None


def test_adding_keeps_the_callers_own_file(cache: SegmentCache, work: Path) -> None:
    made = put(cache, work, "a")
    cache.clear()
    assert made.read_bytes() == bytes_of("a")


def test_adding_the_same_twice_leaves_one_entry(cache: SegmentCache, work: Path) -> None:
    put(cache, work, "a")
    put(cache, work, "a")
    assert len(list(cache.entries())) == 1 and len(files(cache)) == 2


def test_the_least_recently_used_go_first(cache: SegmentCache, work: Path) -> None:
    small = SegmentCache(cache.root, 3 * 5000)
    for used, name in enumerate("abcde", 1_000_000):
        put(small, work, name, used)
    assert get(small, work, "a") == bytes_of("a")  # which makes it the latest
    assert small.trim() == 2 * 5000
    assert [name for name in "abcde" if small.holds(key_of(name), SUFFIX)] == ["a", "d", "e"]
    assert small.trim() == 0


def test_nothing_is_dropped_within_the_limit(cache: SegmentCache, work: Path) -> None:
    exact = SegmentCache(cache.root, 2 * 5000)
    put(exact, work, "a"), put(exact, work, "b")
    assert exact.trim() == 0 and len(list(exact.entries())) == 2


def test_an_evicted_entry_stays_whole_for_whoever_took_it(cache: SegmentCache, work: Path) -> None:
    put(cache, work, "a")
    link = work / "mine.mp4"
    assert cache.take(key_of("a"), SUFFIX, link)
    SegmentCache(cache.root, 0).trim()
    assert get(cache, work, "a") is None
    assert link.read_bytes() == bytes_of("a")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "a bit flipped": lambda entry, _: entry.write_bytes(flipped(entry.read_bytes(), 2500)),
    "cut short": lambda entry, _: os.truncate(entry, 100),
    "emptied": lambda entry, _: os.truncate(entry, 0),
    "grown": lambda entry, _: entry.write_bytes(entry.read_bytes() + b"x"),
    "bytes gone": lambda entry, _: entry.unlink(),
    "note gone": lambda _, note: note.unlink(),
    "note empty": lambda _, note: note.write_bytes(b""),
    "note cut short": lambda _, note: os.truncate(note, 40),
    "note is no text": lambda _, note: note.write_bytes(b"\xff\x00\xfe"),
    "note is a list": lambda _, note: note.write_text("[]"),
    "note is null": lambda _, note: note.write_text("null"),
    "note without facts": lambda _, note: note.write_text('{"size": 5000}'),
    "note nested too deep": lambda _, note: note.write_text("[" * 100_000),
    "note of another": lambda _, note: note.write_text('{"size": 5000, "sha256": "0"}'),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_entry_is_not_given_out_and_can_be_made_again(
    cache: SegmentCache, work: Path, how: str
) -> None:
    put(cache, work, "a").unlink()
    put(cache, work, "b")
    entry = cache.path(key_of("a"), SUFFIX)
    DAMAGE[how](entry, entry.with_name(entry.name + ".json"))
    assert get(cache, work, "a") is None
    assert not cache.holds(key_of("a"), SUFFIX)
    assert {one.key for one in cache.entries()} == {key_of("b")}
    put(cache, work, "a")
    assert get(cache, work, "a") == bytes_of("a")
    assert get(cache, work, "b") == bytes_of("b")


def test_no_flipped_bit_of_a_note_changes_what_is_given_out(
    cache: SegmentCache, work: Path
) -> None:
    put(cache, work, "a")
    entry = cache.path(key_of("a"), SUFFIX)
    note = entry.with_name(entry.name + ".json")
    whole = note.read_bytes()
    for at in range(len(whole)):
        put(cache, work, "a").unlink()
        note.write_bytes(flipped(whole, at))
        assert get(cache, work, "a") in (bytes_of("a"), None)


def test_what_a_killed_process_left_is_swept_once_it_is_old(
    cache: SegmentCache, work: Path
) -> None:
    put(cache, work, "a")
    folder = cache.path(key_of("a"), SUFFIX).parent
    left = [folder / ".old.mp4.1.2.part", folder / f"{'0' * 64}.mp4", folder / ".old.json.3.part"]
    fresh = [folder / ".new.mp4.1.2.part", folder / f"{'1' * 64}.mp4"]
    for path in [*left, *fresh]:
        path.write_bytes(b"half")
    for path in left:
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    cache.trim()
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in fresh), "somebody may be writing them just now"
    assert get(cache, work, "a") == bytes_of("a")


def stamp_file(cache: SegmentCache, name: object) -> Path:
    entry = cache.path(key_of(name), SUFFIX)
    return entry.with_name(entry.name + ".stamp")


def test_a_small_picture_is_kept_beside_an_entry_and_goes_with_it(
    cache: SegmentCache, work: Path
) -> None:
    put(cache, work, "a")
    assert cache.stamp(key_of("a"), SUFFIX) is None
    cache.keep_stamp(key_of("a"), SUFFIX, b"small")
    assert cache.stamp(key_of("a"), SUFFIX) == b"small"
    assert len(list(cache.entries())) == 1
    assert SegmentCache(cache.root, 0).trim() == 5000
    assert cache.stamp(key_of("a"), SUFFIX) is None and not files(cache)


def test_a_small_picture_of_nothing_is_not_kept(cache: SegmentCache, work: Path) -> None:
    put(cache, work, "a")
    cache.keep_stamp(key_of("b"), SUFFIX, b"small")
    assert cache.stamp(key_of("b"), SUFFIX) is None and len(files(cache)) == 2


def test_a_damaged_small_picture_is_not_given_out(cache: SegmentCache, work: Path) -> None:
    put(cache, work, "a")
    cache.keep_stamp(key_of("a"), SUFFIX, b"small")
    whole = stamp_file(cache, "a").read_bytes()
    for damaged in [*(flipped(whole, at) for at in range(len(whole))), b"", whole[:20]]:
        stamp_file(cache, "a").write_bytes(damaged)
        assert cache.stamp(key_of("a"), SUFFIX) is None
    assert get(cache, work, "a") == bytes_of("a")


def test_a_small_picture_whose_entry_is_gone_is_swept_once_it_is_old(
    cache: SegmentCache, work: Path
) -> None:
    for name in "ab":
        put(cache, work, name)
        cache.keep_stamp(key_of(name), SUFFIX, b"small")
        cache.path(key_of(name), SUFFIX).unlink()
    os.utime(stamp_file(cache, "a"), (time.time() - 7200, time.time() - 7200))
    cache.trim()
    assert not stamp_file(cache, "a").exists() and stamp_file(cache, "b").exists()


def test_making_room_spares_what_is_to_be_kept(cache: SegmentCache, work: Path) -> None:
    for age, name in enumerate("abc"):
        put(cache, work, name, used=1000 + age)
    assert cache.make_room(5000, keep={key_of("a")}) == 5000
    assert {one.key for one in cache.entries()} == {key_of("a"), key_of("c")}


def test_what_is_no_folder_among_the_entries_is_left_alone(cache: SegmentCache, work: Path) -> None:
    put(cache, work, "a")
    stray = cache.root / "entries" / ".DS_Store"
    stray.write_bytes(b"somebody looked at it")
    assert cache.trim() == 0 and stray.exists()


def test_clearing_leaves_nothing_and_says_how_much_there_was(
    cache: SegmentCache, work: Path
) -> None:
    assert cache.clear() == 0
    for name in "abc":
        put(cache, work, name)
    assert cache.clear() == 3
    assert not list(cache.entries()) and not files(cache)


def busy(root: Path, work: Path, seed: int, seconds: float, deed: str) -> None:
    """What a process does to a cache that it shares with others. Ends with an error if it met one."""
    cache = SegmentCache(root, 10 * 5000)
    dice = random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        name = dice.randrange(25)
        if deed == "trim" and dice.random() < 0.3:
            cache.trim()
        elif deed == "clear" and dice.random() < 0.5:
            cache.clear()
        elif (found := get(cache, work, name)) is None:
            put(cache, work, name).unlink()
        else:
            assert found == bytes_of(name)


@pytest.mark.parametrize("deed", ["trim", "clear"])
def test_processes_share_a_cache(tmp_path: Path, work: Path, deed: str) -> None:
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=busy, args=(tmp_path / "cache", work, seed, 3.0, deed))
        for seed in range(4)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    cache = SegmentCache(tmp_path / "cache", 10 * 5000)
    cache.trim()
    assert sum(entry.size for entry in cache.entries()) <= cache.limit
    assert not any(path.name.endswith(".part") for path in files(cache))


_ADDER = """
import sys
from pathlib import Path
from tests.unit.test_segment_cache import SegmentCache, put
cache, work = SegmentCache(Path(sys.argv[1]), 1 << 30), Path(sys.argv[2])
print("go", flush=True)
for name in range(10_000):
    put(cache, work, name % 40).unlink()
"""


def test_killed_in_the_middle_of_adding_leaves_a_cache_that_works(
    cache: SegmentCache, work: Path
) -> None:
    dice = random.Random(5)
    for _ in range(6):
        argv = [sys.executable, "-c", _ADDER, str(cache.root), str(work)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        with process:
            assert process.stdout and process.stdout.readline() == b"go\n"
            time.sleep(dice.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        given_out = [get(cache, work, name) for name in range(40)]
        assert all(found in (bytes_of(name), None) for name, found in enumerate(given_out))
    assert any(get(cache, work, name) for name in range(40))
    for name in range(40):
        put(cache, work, name)
        assert get(cache, work, name) == bytes_of(name)
    cache.clear()
    left = {path.name.endswith(".part") for path in files(cache)}
    assert left <= {True}  # a temporary name may be somebody's who is still writing


class CacheLife(RuleBasedStateMachine):
    """Whatever is done in whatever order, the cache holds what a dictionary would, or less."""

    names = st.integers(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.held: list[int] = []  # in order of use

    @initialize(entries=st.integers(1, 4))
    def open(self, entries: int) -> None:
        self.work = self.folder / "work"
        self.work.mkdir()
        self.cache = SegmentCache(self.folder / "cache", entries * 5000)
        self.room = entries
        self.clock = 1_000_000.0

    def _use(self, name: int) -> None:
        self.held = [one for one in self.held if one != name] + [name]
        entry = self.cache.path(key_of(name), SUFFIX)
        self.clock += 1
        os.utime(entry.with_name(entry.name + ".json"), (self.clock, self.clock))

    @rule(name=names)
    def add(self, name: int) -> None:
        put(self.cache, self.work, name).unlink()
        self._use(name)

    @rule(name=names)
    def take(self, name: int) -> None:
        found = get(self.cache, self.work, name)
        assert found == (bytes_of(name) if name in self.held else None)
        if found:
            self._use(name)

    @rule()
    def trim(self) -> None:
        dropped = max(0, len(self.held) - self.room)
        assert self.cache.trim() == dropped * 5000
        self.held = self.held[dropped:]

    @rule()
    def clear(self) -> None:
        assert self.cache.clear() == len(self.held)
        self.held = []

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.held))
        entry = self.cache.path(key_of(name), SUFFIX)
        entry.write_bytes(flipped(entry.read_bytes(), data.draw(st.integers(0, 4999))))
        assert get(self.cache, self.work, name) is None
        self.held.remove(name)

    @invariant()
    def holds_what_it_should(self) -> None:
        if hasattr(self, "cache"):
            assert {one.key for one in self.cache.entries()} == set(map(key_of, self.held))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


CacheLife.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestCacheLife = CacheLife.TestCase
