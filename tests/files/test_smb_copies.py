"""Copies of what lies on a real Samba, through the copy cache: whole, resumed, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reelyard.files.copy_cache import Copied, CopyCache
from reelyard.files.copy_entry import BLOCKS, PART, beside
from reelyard.files.copying import BLOCK
from reelyard.files.places import Source
from reelyard.files.smb import SmbFileSystem
from reelyard.files.smb_errors import is_away
from tests.files.conftest import Room, room_on
from tests.samba import SambaServer

PLENTY = 1 << 40
SIZE = 4 * BLOCK + 12345


@pytest.fixture
def cache(tmp_path: Path) -> CopyCache:
    return CopyCache(tmp_path / "cache", PLENTY)


def nothing() -> None:
    """Nobody stops the copy."""


def fetch(
    cache: CopyCache, smb: SmbFileSystem, path: str, after: int = 0,
    happens: Callable[[], object] = nothing,
) -> Copied:  # fmt: skip
    """Copy a file; something happens once this many bytes have come."""
    came = 0

    def told(length: int) -> None:
        nonlocal came
        before, came = came, came + length
        if before < after <= came:
            happens()

    return cache.fetch(Source(smb, path, path), "job", nothing, told)


def test_a_file_is_copied_whole_and_once(cache: CopyCache, smb: SmbFileSystem, room: Room) -> None:
    data = os.urandom(SIZE)
    path = room.place("größe #1.MP4", data)
    first = fetch(cache, smb, path)
    assert first.path.read_bytes() == data
    assert first.path.suffix == ".mp4"
    assert (first.copied, first.was_here) == (SIZE, False)
    again = fetch(cache, room.client(), path)
    assert (again.path, again.was_here) == (first.path, True)


def test_a_file_that_changed_on_the_share_is_copied_again(
    cache: CopyCache, smb: SmbFileSystem, room: Room
) -> None:
    path = room.place("a", b"one")
    first = fetch(cache, smb, path)
    room.place("a", b"two")
    assert fetch(cache, smb, path).path.read_bytes() == b"two"
    assert first.path.read_bytes() == b"one"


def test_a_copy_goes_on_where_the_connection_broke(
    cache: CopyCache, smb: SmbFileSystem, room: Room
) -> None:
    data = os.urandom(SIZE)
    path = room.place("a.mp4", data)
    with pytest.raises(OSError) as caught:
        fetch(cache, smb, path, 2 * BLOCK + 1, room.server.drop_clients)
    assert is_away(caught.value)
    done = fetch(cache, smb, path)
    assert done.resumed >= 2 * BLOCK
    assert done.resumed + done.copied == SIZE
    assert done.path.read_bytes() == data


def test_a_copy_goes_on_when_the_server_is_back(cache: CopyCache, own_samba: SambaServer) -> None:
    room = room_on(own_samba)
    smb, data = room.client(), os.urandom(SIZE)
    path = room.place("a.mp4", data)
    for happens in (own_samba.kill, nothing):
        with pytest.raises(OSError) as caught:
            fetch(cache, smb, path, BLOCK + 1, happens)
        assert is_away(caught.value)
    own_samba.start()
    done = fetch(cache, smb, path)
    assert done.resumed >= BLOCK
    assert done.path.read_bytes() == data


def test_many_copies_break_and_go_on_together(cache: CopyCache, room: Room) -> None:
    smb = room.client()
    data = [os.urandom(2 * BLOCK) for _ in range(5)]
    paths = [room.place(f"{number}.mp4", one) for number, one in enumerate(data)]

    def copy(path: str, happens: Callable[[], object] = nothing) -> Copied | OSError:
        try:
            return fetch(cache, smb, path, BLOCK + 1, happens)
        except OSError as error:
            return error

    with ThreadPoolExecutor(5) as pool:
        broken = list(pool.map(lambda path: copy(path, room.server.drop_clients), paths))
    assert any(isinstance(one, OSError) and is_away(one) for one in broken)
    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(copy, paths))
    found = [one.path.read_bytes() for one in done if isinstance(one, Copied)]
    assert found == data


def test_a_copy_of_more_than_two_gigabytes_goes_on_beyond_them(
    cache: CopyCache, smb: SmbFileSystem, room: Room
) -> None:
    """The first two gigabytes lie here from an earlier try; all is sparse, so it takes no room."""
    here = 2 << 30
    path = room.place("long.mp4", b"")
    with (room.folder / "long.mp4").open("r+b") as film:
        film.seek(here)
        film.write(os.urandom(BLOCK + 3))
    copy = cache.path(Source(smb, path, path).identity())
    copy.parent.mkdir(parents=True)
    beside(copy, PART).touch()
    os.truncate(beside(copy, PART), here)
    beside(copy, BLOCKS).write_bytes(hashlib.sha256(bytes(BLOCK)).digest() * (here // BLOCK))
    done = fetch(cache, smb, path)
    assert (done.resumed, done.copied) == (here, BLOCK + 3)
    with done.path.open("rb") as mine, (room.folder / "long.mp4").open("rb") as theirs:
        for file in (mine, theirs):
            file.seek(here - BLOCK)
        assert mine.read() == theirs.read()
