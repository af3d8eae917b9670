"""The copy cache: what it keeps, for whom and for how long; room, pins, upkeep."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from fsspec.implementations.local import LocalFileSystem

from reelyard.files.copy_cache import CopyCache
from reelyard.files.copying import BLOCK
from reelyard.files.places import Identity, Source
from tests.unit.share import (
    DAY,
    READ,
    SMALL,
    beside,
    broken_off,
    bytes_of,
    files,
    get,
    nothing,
    place,
    room,
    stopping,
)


def test_what_is_pinned_survives_until_the_last_pin_is_gone(cache: CopyCache, nas: Path) -> None:
    tight = CopyCache(cache.root, 0)
    source = place(nas, "a.mp4")
    get(tight, source, "one"), get(tight, source, "two"), get(tight, place(nas, "b.mp4"), "two")
    get(tight, source, "one")
    assert tight.pins() == ["one", "two"]
    assert tight.trim() == 0 and tight.make_room(1) == 0
    tight.unpin("two")
    assert tight.trim() == SMALL
    assert tight.holds(source.identity()) and get(tight, source, "one").was_here
    tight.unpin("one")
    tight.unpin("one")
    assert tight.pins() == [] and tight.trim() == SMALL
    assert not list(tight.entries()) and not get(tight, source).was_here


def test_a_copy_made_again_is_pinned_again(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    get(cache, source, "one").path.unlink()
    entry = get(cache, source, "one").path
    (pin,) = (path for path in (cache.root / "pins").rglob("*") if path.is_file())
    assert pin.samefile(entry)


def test_a_pin_is_no_second_copy(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    assert get(cache, source).path.stat().st_nlink == 2
    (folder,) = (cache.root / "pins").iterdir()
    before = folder.stat().st_mtime_ns
    time.sleep(0.01)
    assert get(cache, source).path.stat().st_nlink == 2
    assert folder.stat().st_mtime_ns == before, "it was not pinned for a moment"


PINS = ["a", "A b", ".", "..", "../x", "a/b", "a_b", "a%2Fb", "ä\n", "\udcff", "*", ".hidden"]


def test_any_name_of_a_pin_is_that_pin_only(cache: CopyCache, nas: Path) -> None:
    for pin in PINS:
        get(cache, place(nas, "a.mp4"), pin)
    assert cache.pins() == sorted(PINS)
    for done, pin in enumerate(PINS, 1):
        cache.unpin(pin)
        assert cache.pins() == sorted(PINS[done:])
    assert CopyCache(cache.root, 0).trim() == SMALL
    with pytest.raises(ValueError, match="name"):
        cache.unpin("")


def test_pins_where_there_are_no_hard_links(cache: CopyCache, nas: Path) -> None:
    elsewhere = Path(f"/dev/shm/reelyard-test-{os.getpid()}")
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == nas.stat().st_dev:
        pytest.skip("there is no second file system here")
    elsewhere.mkdir()
    try:
        cache.root.mkdir()
        (cache.root / "pins").symlink_to(elsewhere)
        source = place(nas, "a.mp4")
        for _ in range(2):
            assert get(cache, source).path.stat().st_nlink == 1
        tight = CopyCache(cache.root, 0)
        assert tight.trim() == 0
        tight.unpin("job")
        assert tight.trim() == SMALL
    finally:
        shutil.rmtree(elsewhere)


def test_the_least_recently_used_go_first(cache: CopyCache, nas: Path) -> None:
    small = CopyCache(cache.root, 3 * SMALL)
    sources = {name: place(nas, f"{name}.mp4") for name in "abcde"}
    for name in "abcde":
        get(cache, sources[name], name)
    get(cache, sources["a"], "a")  # which makes it the latest
    for name in "abde":
        cache.unpin(name)
    assert small.trim() == 2 * SMALL
    assert [name for name in "abcde" if small.holds(sources[name].identity())] == ["a", "c", "e"]
    assert small.trim() == 0
    assert len([path for path in files(cache) if path.suffix == ".json"]) == 3
    assert small.make_room(room(small) + SMALL) == SMALL  # and not one more
    assert not small.holds(sources["e"].identity()) and small.holds(sources["a"].identity())


def test_room_is_made_before_copying(cache: CopyCache, nas: Path) -> None:
    tight = CopyCache(cache.root, 2 * SMALL)
    sources = [place(nas, f"{name}.mp4") for name in "abc"]
    for source in sources[:2]:
        get(tight, source)
    tight.unpin("job")
    held: list[list[bool]] = []
    sources[2].fs.before_read = lambda _: held.append([tight.holds(s.identity()) for s in sources])
    get(tight, sources[2])
    assert held == [[False, True, False]]
    assert tight.make_room(room(tight)) == 0
    assert tight.make_room(room(tight) + 1) == SMALL
    assert not tight.holds(sources[1].identity()) and tight.holds(sources[2].identity())


def test_what_is_left_of_a_copy_counts_and_is_not_made_room_for_twice(
    cache: CopyCache, nas: Path
) -> None:
    tight = CopyCache(cache.root, 2 * BLOCK)
    source = place(nas, "a.mp4", 2 * BLOCK - SMALL)
    other = place(nas, "b.mp4", SMALL)
    get(tight, other)
    tight.unpin("job")
    broken_off(tight, source, 3)
    get(tight, source)
    assert tight.holds(other.identity())


def test_a_part_takes_its_room_too(cache: CopyCache, nas: Path) -> None:
    tight = CopyCache(cache.root, 3 * READ + SMALL)
    other = place(nas, "b.mp4")
    get(tight, other)
    tight.unpin("job")
    broken_off(tight, place(nas, "a.mp4", 2 * BLOCK), 3)
    assert not tight.holds(other.identity())
    get(tight, other)
    tight.unpin("job")
    assert tight.trim() == 0 and tight.make_room(room(tight)) == 0
    assert tight.make_room(room(tight) + 1) == SMALL


def test_a_disk_without_room_is_said_before_copying(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    os.truncate(source.path, cache.free_bytes() + (1 << 30))  # a hole: takes no room itself
    with pytest.raises(OSError) as error:
        cache.fetch(source, "job", stopping(1))
    assert error.value.errno == errno.ENOSPC and not source.fs.reads


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """The system refuses to make a file longer than this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_is_refused_is_an_error_and_the_part_stays(
    cache: CopyCache, nas: Path
) -> None:
    source = place(nas, "a.mp4", 3 * BLOCK)
    with files_limited_to(3 * BLOCK - 1000), pytest.raises(OSError) as error:
        cache.fetch(source, "job", nothing)  # the last write is taken in part
    assert error.value.errno == errno.EFBIG
    assert get(cache, source).resumed == 2 * BLOCK


_ON_A_SMALL_DISK = """
import errno, sys
from pathlib import Path
from tests.unit.test_copy_cache import BLOCK, PLENTY, CopyCache, get, nothing, place
disk, nas = Path(sys.argv[1]), Path(sys.argv[2])
cache = CopyCache(disk / "cache", PLENTY)
source = place(nas, "a.mp4", 2 * BLOCK)
ballast = disk / "ballast"
def fill(bytes_told):
    if not ballast.exists():  # room there was, but somebody else takes it
        ballast.write_bytes(bytes(cache.free_bytes() - BLOCK))
try:
    cache.fetch(source, "job", nothing, fill)
except OSError as error:
    assert error.errno == errno.ENOSPC, error
else:
    raise SystemExit("it was no small disk")
assert cache.free_bytes() > BLOCK, "the part is in everybody's way"
ballast.unlink()
assert get(cache, source).copied == 2 * BLOCK
cache.unpin("job")
other = place(nas, "b.mp4", 2 * BLOCK)
assert get(cache, other).copied == 2 * BLOCK, "room is made on the disk too"
assert not cache.holds(source.identity())
"""


def test_a_disk_that_fills_up_is_given_its_room_back(tmp_path: Path, nas: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=30m none "$0"'
    if not shutil.which("unshare") or subprocess.run([*own, mount, str(disk)]).returncode:
        pytest.skip("no disk of one's own can be mounted here")
    python = [sys.executable, "-c", _ON_A_SMALL_DISK, str(disk), str(nas)]
    subprocess.run([*own, f'{mount} && exec "$@"', str(disk), *python], check=True)


def aged(path: Path, seconds: float = DAY + 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"half")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_what_nobody_finished_goes_after_a_day(cache: CopyCache, nas: Path) -> None:
    entry = get(cache, place(nas, "a.mp4")).path
    folder = entry.parent
    old = [
        aged(folder / f"{'0' * 64}.mp4{ending}")
        for ending in ("", ".part", ".blocks", ".lock")
    ]  # fmt: skip
    old += [aged(folder / f"{'1' * 64}.mp4.json"), aged(folder / f".{'1' * 64}.mp4.json.2.part")]
    old += [aged(beside(entry, ".part"))]
    fresh = [aged(folder / f"{'2' * 64}.mp4{end}", DAY - 60) for end in (".part", ".blocks", "")]
    aged(entry), aged(beside(entry, ".json"))
    assert cache.trim() == 4 * len(old)
    assert not [path for path in old if path.exists()]
    assert all(path.exists() for path in fresh)
    assert cache.holds(place(nas, "a.mp4").identity())


def test_what_somebody_is_at_is_not_swept(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    part = broken_off(cache, source, 3)
    lock = part.with_suffix(".lock")
    note = part.with_name(f".{part.stem}.json.0a1b.part")  # as it is being written
    for path in (part, part.with_suffix(".blocks"), lock, note):
        aged(path)
    with FileLock(lock):
        assert cache.trim() == 0 and cache.clear() == 0
        assert part.exists() and lock.exists() and note.exists()
    assert cache.trim() == 3 * READ + 32 + 4
    assert not part.exists()


def test_what_somebody_is_at_is_not_evicted(cache: CopyCache, nas: Path) -> None:
    tight = CopyCache(cache.root, 0)
    entry = get(tight, place(nas, "a.mp4")).path
    tight.unpin("job")
    with FileLock(beside(entry, ".lock")):  # about to pin it
        assert tight.trim() == 0 and tight.clear() == 0
    assert tight.trim() == SMALL


def test_bytes_in_use_are_not_swept_for_want_of_a_note(cache: CopyCache, nas: Path) -> None:
    entry = get(cache, place(nas, "a.mp4")).path
    beside(entry, ".json").unlink()
    aged(entry)
    assert cache.trim() == 0 and entry.exists()
    cache.unpin("job")
    assert cache.trim() == SMALL and not entry.exists()


def test_clearing_leaves_what_is_in_use(cache: CopyCache, nas: Path) -> None:
    assert cache.clear() == 0
    kept = get(cache, place(nas, "kept.mp4"), "running").path
    for name in "abc":
        get(cache, place(nas, f"{name}.mp4"), "over")
    broken_off(cache, place(nas, "d.mp4", 2 * BLOCK), 2)
    cache.unpin("over")
    assert cache.clear() == 3
    assert set(files(cache)) == {kept, beside(kept, ".json")}
    cache.unpin("running")
    assert cache.clear() == 1 and not files(cache)


def test_trimming_and_clearing_do_not_disturb_a_copy(cache: CopyCache, nas: Path) -> None:
    tight = CopyCache(cache.root, 0)
    source = place(nas, "a.mp4", 2 * BLOCK)
    source.fs.before_read = lambda _: (tight.trim(), tight.clear())
    assert get(tight, source).copied == 2 * BLOCK


def busy(root: Path, nas: Path, seed: int, seconds: float) -> None:
    """What a worker does to a cache that others use. Ends with an error if it met one."""
    cache = CopyCache(root, 4 * SMALL)
    dice = random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pin, name = f"job {seed}", f"{dice.randrange(12)}.mp4"
        source = Source(LocalFileSystem(), str(nas / name), name)
        path = cache.fetch(source, pin, nothing).path
        if dice.random() < 0.1:
            cache.clear()
        cache.trim()
        time.sleep(dice.random() / 500)
        assert path.read_bytes() == bytes_of(name), "it went while it was pinned"
        cache.unpin(pin)


def test_processes_share_a_cache(cache: CopyCache, nas: Path) -> None:
    for name in range(12):
        place(nas, f"{name}.mp4")
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=busy, args=(cache.root, nas, seed, 0.6)) for seed in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * 4
    assert cache.pins() == []
    CopyCache(cache.root, 4 * SMALL).trim()
    assert sum(entry.size for entry in cache.entries()) <= 4 * SMALL
    assert not any(path.name.endswith((".part", ".blocks")) for path in files(cache))


def test_an_identity_has_one_place(cache: CopyCache) -> None:
    places = {
        cache.path(Identity(path, size, version))
        for path in ("/a", "/a1", "/\udcff", "/\ud800", '/a","1')
        for size in (1, 11)
        for version in ("", "1", "11", "1,1")
    }
    assert len(places) == 5 * 2 * 4
    assert cache.path(Identity("/a", 1, "v", 5)) == cache.path(Identity("/a", 1, "v", 6))
