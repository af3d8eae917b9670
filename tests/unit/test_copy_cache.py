"""The copy cache: what it gives out is the source, whole, whatever stopped it before."""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.copying import BLOCK
from reelyard.files.places import Identity, Source

PLENTY = 1 << 40
READ = 4 << 20
SMALL = 5000
DAY = 24 * 3600


@lru_cache(maxsize=32)
def bytes_of(name: object, size: int = SMALL) -> bytes:
    """What belongs under a name: the same in every process."""
    return random.Random(os.fsencode(str(name))).randbytes(size)


def nothing() -> None:
    """A check that never stops anything."""


class Stopped(Exception):
    """Somebody stopped it."""


class Reader:
    """A file on a share: tells the share of each read before it is done."""

    def __init__(self, file: Any, share: Share) -> None:
        self.file, self.share = file, share

    def read(self, length: int) -> bytes:
        self.share.on_read(self.file.tell(), length)
        data: bytes = self.file.read(min(length, max(0, self.share.ends_at - self.file.tell())))
        return data

    def seek(self, offset: int) -> int:
        return int(self.file.seek(offset))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class Share(LocalFileSystem):  # type: ignore[misc]
    """A slow share. ``reads`` has the offset and length of each read; ``journal`` lists them too."""

    cachable = False

    def __init__(self, delay: float = 0, journal: Path | None = None) -> None:
        super().__init__()
        self.delay, self.journal = delay, journal
        self.ends_at = PLENTY
        self.reads: list[tuple[int, int]] = []
        self.before_read: Callable[[int], object] = lambda _: None

    def on_read(self, offset: int, length: int) -> None:
        self.reads.append((offset, length))
        if self.journal:
            with self.journal.open("a") as file:
                file.write(f"{offset}\n")
        self.before_read(offset)
        time.sleep(self.delay)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Reader:
        return Reader(super()._open(path, mode, **options), self)


@pytest.fixture
def cache(tmp_path: Path) -> CopyCache:
    return CopyCache(tmp_path / "cache", PLENTY)


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    folder = tmp_path / "nas"
    folder.mkdir()
    return folder


def place(nas: Path, name: str, size: int = SMALL, fs: Share | None = None) -> Source:
    """Put a file on the share."""
    path = nas / name
    path.write_bytes(bytes_of(name, size))
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    return Source(fs or Share(), str(path), name)


def get(cache: CopyCache, source: Source, pin: str = "job", **options: Any) -> Copied:
    """Fetch, and see that it is what the source has."""
    found = cache.fetch(source, pin, options.pop("check", nothing), **options)
    assert found.path.read_bytes() == Path(source.path).read_bytes()
    assert found.size == found.path.stat().st_size
    assert found.path == cache.path(source.identity()) and cache.holds(source.identity())
    return found


def files(cache: CopyCache) -> list[Path]:
    return [path for path in (cache.root / "copies").rglob("*") if path.is_file()]


def room(cache: CopyCache) -> int:
    """What still fits the limit, in bytes."""
    small = (".json", ".blocks", ".lock")
    return cache.limit - sum(one.stat().st_size for one in files(cache) if one.suffix not in small)


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def stopping(reads: int) -> Callable[[], None]:
    """A check that raises once it has been asked more than so many times."""
    calls = itertools.count()

    def check() -> None:
        if next(calls) > reads:
            raise Stopped

    return check


def broken_off(cache: CopyCache, source: Source, reads: int) -> Path:
    """Stop a copy after so many reads; the part."""
    with pytest.raises(Stopped):
        cache.fetch(source, "job", stopping(reads))
    source.fs.reads.clear()
    return beside(cache.path(source.identity()), ".part")


def test_copies_once_and_then_has_it(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "clip.MP4", BLOCK + 1000)
    assert not cache.holds(source.identity())
    told: list[int] = []
    first = get(cache, source, told=told.append)
    assert (first.copied, first.resumed, first.was_here) == (BLOCK + 1000, 0, False)
    assert told == [READ, READ, 1000] and first.seconds > 0
    assert first.path.is_relative_to(cache.root / "copies") and first.path.suffix == ".mp4"
    assert first.path.stat().st_mtime_ns == Path(source.path).stat().st_mtime_ns
    source.fs.reads.clear()
    again = get(cache, source, told=told.append)
    assert (again.copied, again.resumed, again.was_here) == (0, 0, True)
    assert again.path == first.path and not source.fs.reads and len(told) == 3
    ends = {path.name.removeprefix(first.path.name) for path in files(cache)}
    assert ends == {"", ".json", ".lock"}


SIZES = [0, 1, READ, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5]


@pytest.mark.parametrize("size", SIZES)
def test_any_size(cache: CopyCache, nas: Path, size: int) -> None:
    source = place(nas, "a.mp4", size)
    assert get(cache, source).copied == size
    assert get(cache, source).was_here
    assert sum(length for _, length in source.fs.reads) == size


NAMES = [
    "two words.mp4", "übung 鳥.mp4", "line\nbreak.mp4", os.fsdecode(b"\xff\xfe.mp4"),
    "[a]*?.mp4", "'\"\\.mp4", "-.mp4", "a::b.mp4", ".mp4", "x" * 251 + ".mp4",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name(cache: CopyCache, nas: Path, name: str) -> None:
    source = place(nas, name)
    assert get(cache, source, pin=name[:60]).copied == SMALL
    assert get(cache, source).was_here
    cache.unpin(name[:60])
    assert cache.pins() == ["job"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.mp4", ".mp4"), ("a.b.MKV", ".mkv"), ("a", ""), ("a.", ""), ("a.t t", ""), ("a.é", ""),
        ("a.abcdefghi", ""), ("a.part", ""), ("a.json", ""), ("a.lock", ""), ("a.BLOCKS", ""),
        ("a.jsonl", ".jsonl"), ("a.mp4?x=1", ""), ("a.mp4\n", ""),
    ],
)  # fmt: skip
def test_an_ordinary_ending_is_kept(cache: CopyCache, nas: Path, name: str, suffix: str) -> None:
    source = place(nas, name)
    assert get(cache, source).path.name[64:] == suffix
    assert len(list(cache.entries())) == 1 and get(cache, source).was_here
    assert cache.trim() == 0 and get(cache, source).was_here


def test_copies_from_any_file_system(cache: CopyCache) -> None:
    fs = MemoryFileSystem(global_store=False, skip_instance_cache=True)
    source = Source(fs, "/clips/a.mp4", "a.mp4")
    for version in ("one", "two"):
        fs.pipe_file("/clips/a.mp4", bytes_of(version, BLOCK + 7))
        found = cache.fetch(source, "job", nothing)
        assert found.path.read_bytes() == bytes_of(version, BLOCK + 7)
        assert cache.fetch(source, "job", nothing).was_here
    assert len(list(cache.entries())) == 2


def test_another_version_is_another_copy(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    old = get(cache, source)
    Path(source.path).write_bytes(bytes_of("new"))
    new = get(cache, source)
    assert not new.was_here and new.path != old.path
    assert old.path.read_bytes() == bytes_of("a.mp4")


def test_a_later_copy_has_the_same_path_size_and_time(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    facts = [(found.path, found.size, found.path.stat().st_mtime_ns)
             for found in (get(cache, source), _again(cache, source))]  # fmt: skip
    assert facts[0] == facts[1]


def _again(cache: CopyCache, source: Source) -> Copied:
    cache.unpin("job")
    cache.clear()
    time.sleep(0.01)
    found = get(cache, source)
    assert not found.was_here
    return found


def test_what_is_not_there_is_an_error_of_the_system(cache: CopyCache, nas: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cache.fetch(Source(Share(), str(nas / "gone.mp4"), "gone"), "job", nothing)
    with pytest.raises(IsADirectoryError):
        cache.fetch(Source(Share(), str(nas), "nas"), "job", nothing)
    assert not files(cache) and not cache.pins()


def test_a_stop_is_heard_within_a_read_and_keeps_the_part(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 3 * BLOCK)
    stop = threading.Event()
    source.fs.before_read = lambda offset: stop.set() if offset == BLOCK + READ else None

    def check() -> None:
        if stop.is_set():
            raise Stopped

    with pytest.raises(Stopped):
        cache.fetch(source, "job", check)
    assert source.fs.reads[-1] == (BLOCK + READ, READ), "it went on reading"
    assert not cache.holds(source.identity()) and not cache.pins()
    stop.clear()
    source.fs.reads.clear()
    found = get(cache, source, check=check)
    assert (found.resumed, found.copied) == (2 * BLOCK, BLOCK)
    assert source.fs.reads[0] == (2 * BLOCK, READ)


def test_a_stop_while_it_is_read_back_loses_nothing(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    broken_off(cache, source, 6)
    found = get(cache, source)
    assert (found.resumed, found.copied) == (2 * BLOCK, 0)


def test_a_stop_before_it_begins(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    get(cache, source)
    with pytest.raises(Stopped):
        cache.fetch(source, "job", stopping(-1))


_SLOW = """
import sys
from pathlib import Path
from tests.unit.test_copy_cache import CopyCache, Share, Source, nothing, PLENTY
source = Source(Share(delay=0.03), sys.argv[2], "a")
CopyCache(Path(sys.argv[1]), PLENTY).fetch(source, "killed", nothing, lambda n: print(n, flush=True))
"""


def test_killed_in_the_middle_it_goes_on_there(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 3 * BLOCK + 11)
    argv = [sys.executable, "-c", _SLOW, str(cache.root), source.path]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(3):
            assert int(process.stdout.readline()) == READ
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not cache.holds(source.identity())
    found = get(cache, source)
    assert found.resumed in (BLOCK, 2 * BLOCK)
    assert found.copied == found.size - found.resumed
    assert source.fs.reads[0][0] == found.resumed


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def zeroed(path: Path) -> None:
    size = path.stat().st_size
    emptied(path)
    os.truncate(path, size)


#: What happens to a part of three blocks and a half, and to its digests; the blocks that are left.
PART_DAMAGE: dict[str, tuple[Callable[[Path, Path], object], int]] = {
    "nothing": (lambda part, _: None, 3),
    "first block": (lambda part, _: flip(part, 0), 0),
    "second block": (lambda part, _: flip(part, BLOCK), 1),
    "last byte of the third block": (lambda part, _: flip(part, 3 * BLOCK - 1), 2),
    "beyond whole blocks": (lambda part, _: flip(part, 3 * BLOCK), 3),
    "cut in the second block": (lambda part, _: os.truncate(part, 2 * BLOCK - 1), 1),
    "cut to two blocks": (lambda part, _: os.truncate(part, 2 * BLOCK), 2),
    "zeros as after a power cut": (lambda part, _: zeroed(part), 0),
    "longer than the source": (lambda part, _: os.truncate(part, 9 * BLOCK), 3),
    "part gone": (lambda part, _: part.unlink(), 0),
    "digests gone": (lambda _, blocks: blocks.unlink(), 0),
    "digests empty": (lambda _, blocks: emptied(blocks), 0),
    "digests cut": (lambda _, blocks: os.truncate(blocks, 2 * 32 + 31), 2),
    "digests wrong": (lambda _, blocks: flip(blocks, 40), 1),
    "digests of more": (lambda _, blocks: blocks.write_bytes(blocks.read_bytes() + b"x" * 320), 3),
}  # fmt: skip


@pytest.mark.parametrize("how", PART_DAMAGE)
def test_a_damaged_part_is_kept_up_to_the_damage(cache: CopyCache, nas: Path, how: str) -> None:
    source = place(nas, "a.mp4", 4 * BLOCK + 5)
    part = broken_off(cache, source, 7)
    assert part.stat().st_size == 7 * READ
    deed, left = PART_DAMAGE[how]
    deed(part, part.with_suffix(".blocks"))
    found = get(cache, source)
    assert (found.resumed, found.copied) == (left * BLOCK, found.size - left * BLOCK)
    assert not part.exists() and not part.with_suffix(".blocks").exists()


def test_broken_off_again_and_again_it_gets_there(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 4 * BLOCK)
    part = broken_off(cache, source, 5)
    flip(part.with_suffix(".blocks"), 40)
    broken_off(cache, source, 4 + 5)  # four reads compare the two blocks that there are
    assert part.stat().st_size == BLOCK + 5 * READ
    found = get(cache, source)
    assert (found.resumed, found.copied) == (3 * BLOCK, BLOCK)


def test_a_part_is_of_one_version_only(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    broken_off(cache, source, 3)
    Path(source.path).write_bytes(bytes_of("new", 2 * BLOCK))
    found = get(cache, source)
    assert (found.resumed, found.copied) == (0, 2 * BLOCK)


def rewritten(path: Path) -> None:
    """The same length, other bytes from the middle on."""
    flip(path, 2 * BLOCK - 1)
    os.utime(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": rewritten,
    "grown": lambda path: os.truncate(path, 3 * BLOCK),
    "cut short": lambda path: os.truncate(path, BLOCK),
    "touched": os.utime,
    "replaced": lambda path: (path.rename(path.with_name("old")), path.write_bytes(b"new")),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_source_that_changes_meanwhile(cache: CopyCache, nas: Path, how: str) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    part = beside(cache.path(source.identity()), ".part")
    changes = iter([CHANGES[how]])
    source.fs.before_read = lambda at: next(changes)(Path(source.path)) if at == READ else None
    with pytest.raises(OSError, match=r"a\.mp4 changed while it was copied"):
        cache.fetch(source, "job", nothing)
    assert not part.exists() and not part.with_suffix(".blocks").exists()
    assert not list(cache.entries()) and not cache.pins()
    source.fs.before_read = lambda _: None
    assert get(cache, source).resumed == 0


def test_a_source_that_vanishes_meanwhile(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", BLOCK)
    source.fs.before_read = lambda at: Path(source.path).unlink() if at else None
    with pytest.raises(FileNotFoundError):
        cache.fetch(source, "job", nothing)
    assert not list(cache.entries())


def test_a_disk_that_does_not_keep_what_it_was_given(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 3 * BLOCK)
    part = beside(cache.path(source.identity()), ".part")
    source.fs.before_read = lambda at: flip(part, BLOCK + 1) if at == 2 * BLOCK + READ else None
    with pytest.raises(OSError, match=r"did not keep a\.mp4"):
        cache.fetch(source, "job", nothing)
    assert not cache.holds(source.identity()) and not cache.pins()
    source.fs.before_read = lambda _: None
    assert get(cache, source).resumed == BLOCK


def test_a_source_that_ends_early_is_no_copy(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    source.fs.ends_at = BLOCK + 9
    promised = f"a.mp4 ended after {BLOCK + 9} of {2 * BLOCK} bytes"
    for _ in range(2):
        with pytest.raises(OSError, match=promised):
            cache.fetch(source, "job", nothing)
        assert not cache.holds(source.identity()) and not cache.pins()
    source.fs.ends_at = PLENTY
    assert get(cache, source).resumed == BLOCK


def test_threads_that_want_the_same_copy_it_once(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK, Share(delay=0.03))
    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(lambda n: get(cache, source, f"job {n}"), range(5)))
    assert sorted(one.was_here for one in found) == [False] + [True] * 4
    assert len(source.fs.reads) == 4 and len({one.path for one in found}) == 1
    assert cache.pins() == [f"job {n}" for n in range(5)]


def fetching(root: Path, path: str, journal: Path, results: Any) -> None:
    source = Source(Share(0.05, journal), path, "a")
    found = CopyCache(root, PLENTY).fetch(source, f"job {os.getpid()}", nothing)
    results.put((found.was_here, found.copied))


def test_processes_that_want_the_same_copy_it_once(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    journal = nas / "journal"
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (cache.root, source.path, journal, results)
    processes = [context.Process(target=fetching, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(results.get() for _ in processes) == [(False, 2 * BLOCK), (True, 0)]
    for process in processes:
        process.join()
    assert journal.read_text().split() == [str(n * READ) for n in range(4)]
    assert len(cache.pins()) == 2
    results.close()


def test_whoever_waits_is_asked_and_can_be_stopped(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    path = cache.path(source.identity())
    path.parent.mkdir(parents=True)
    asked: list[float] = []

    def check() -> None:
        asked.append(time.monotonic())
        if asked[-1] > asked[0] + 0.8:
            raise Stopped

    lock = FileLock(beside(path, ".lock"), thread_local=False)
    with lock, pytest.raises(Stopped):
        threading.Timer(3, lock.release).start()  # or a wait without a check would last for ever
        cache.fetch(source, "job", check)
    gaps = [later - sooner for sooner, later in itertools.pairwise(asked)]
    assert statistics.median(gaps) < 0.25 and len(gaps) < 100
    assert get(cache, source).copied == SMALL


ENTRY_DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "a bit flipped": lambda entry, _: flip(entry, BLOCK + 3),
    "cut short": lambda entry, _: os.truncate(entry, 100),
    "emptied": lambda entry, _: emptied(entry),
    "grown": lambda entry, _: os.truncate(entry, 2 * BLOCK + 1),
    "bytes gone": lambda entry, _: entry.unlink(),
    "note gone": lambda _, note: note.unlink(),
    "note empty": lambda _, note: emptied(note),
    "note cut short": lambda _, note: os.truncate(note, 40),
    "note is no text": lambda _, note: note.write_bytes(b"\xff\x00\xfe"),
    "note is a list": lambda _, note: note.write_text("[]"),
    "note is null": lambda _, note: note.write_text("null"),
    "note is a number": lambda _, note: note.write_text("1"),
    "note without seal": lambda _, note: note.write_text(f'{{"size": {2 * BLOCK}}}'),
    "note nested too deep": lambda _, note: note.write_text("[" * 100_000),
    "note with a flipped bit": lambda _, note: flip(note, note.stat().st_size // 2),
}


@pytest.mark.parametrize("how", ENTRY_DAMAGE)
def test_a_damaged_copy_is_made_again(cache: CopyCache, nas: Path, how: str) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    other = get(cache, place(nas, "other.mp4"))
    entry = get(cache, source).path
    ENTRY_DAMAGE[how](entry, beside(entry, ".json"))
    found = get(cache, source)
    assert (found.was_here, found.copied, found.path) == (False, 2 * BLOCK, entry)
    assert get(cache, source).was_here
    assert {one.path for one in cache.entries()} == {entry, other.path}


def test_a_damaged_copy_is_gone_before_it_is_made_again(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 2 * BLOCK)
    flip(get(cache, source).path, 5)
    broken_off(cache, source, 5)  # two of these reads find the damage
    assert not cache.holds(source.identity())
    assert get(cache, source).copied == BLOCK


def test_no_flipped_bit_of_a_note_is_overlooked(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4")
    note = beside(get(cache, source).path, ".json")
    whole = note.read_bytes()
    for at in range(len(whole)):
        note.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not cache.holds(source.identity())
    note.write_bytes(whole)
    assert cache.holds(source.identity())


def test_the_note_says_whose_copy_it_is(cache: CopyCache, nas: Path) -> None:
    source = place(nas, os.fsdecode(b"\xff.mp4"))
    note = json.loads(beside(get(cache, source).path, ".json").read_bytes())
    assert note["source"]["path"] == source.path and note["named"] == source.named
    assert note["size"] == SMALL and len(note["blocks"]) == 64


def test_bytes_are_read_again_only_if_somebody_wrote(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", 3 * BLOCK)
    entry = get(cache, source).path
    time_of_source = entry.stat().st_mtime_ns
    asked: list[int] = []
    assert get(cache, source, check=lambda: asked.append(1)).was_here
    assert len(asked) == 1, "it was read"
    os.utime(entry)
    asked.clear()
    assert get(cache, source, check=lambda: asked.append(1)).was_here
    assert len(asked) == 1 + 3 * BLOCK // READ, "it was not read"
    assert entry.stat().st_mtime_ns == time_of_source
    os.utime(entry)
    with pytest.raises(Stopped):
        cache.fetch(source, "job", stopping(2))
    assert get(cache, source).was_here


def test_a_copy_that_only_lacks_its_note_is_not_copied_again(cache: CopyCache, nas: Path) -> None:
    source = place(nas, "a.mp4", BLOCK + 5)
    entry = get(cache, source).path
    note = beside(entry, ".json")
    beside(entry, ".blocks").write_bytes(bytes.fromhex(json.loads(note.read_bytes())["blocks"]))
    note.unlink()  # as if it had been killed just before
    found = get(cache, source)
    assert (found.resumed, found.copied) == (BLOCK + 5, 0)


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
