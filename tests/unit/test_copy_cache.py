"""The copy cache: what it gives out is the source, whole, whatever stopped it before."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.copying import BLOCK
from reelyard.files.places import Source
from tests.unit.share import (
    PLENTY,
    READ,
    SMALL,
    Share,
    Stopped,
    beside,
    broken_off,
    bytes_of,
    files,
    get,
    nothing,
    place,
    stopping,
)


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
