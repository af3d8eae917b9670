"""The segment store on an SMB share that is mounted nowhere: a real Samba."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reelyard.files.segment_store import SegmentStore
from tests.files.conftest import Room

SUFFIX = ".mp4"


def store_on(room: Room, limit: int = 1 << 40, seconds: float = 20.0) -> SegmentStore:
    """The store as one machine has it: with a connection of its own."""
    client = room.client()
    return SegmentStore(
        lambda: client, room.path("segments"), limit, name="//nas/segments", seconds=seconds
    )


def put(store: SegmentStore, work: Path, key: str, data: bytes) -> bool:
    made = work / f"{key}{SUFFIX}"
    made.write_bytes(data)
    return store.put(key, SUFFIX, made, {"notes": [key]})


def test_machines_share_segments_on_a_share(room: Room, tmp_path: Path) -> None:
    here, there = store_on(room), store_on(room)
    assert put(here, tmp_path, "aa", b"first") and put(here, tmp_path, "aa", b"again")
    into = tmp_path / "into.mp4"
    assert there.get("aa", SUFFIX, into) == {"notes": ["aa"]}
    assert into.read_bytes() == b"again"
    assert there.get("bb", SUFFIX, into) is None
    entry = next((room.folder / "segments" / "entries").glob("*/*"))
    entry.write_bytes(entry.read_bytes().replace(b"again", b"agaim"))
    assert there.get("aa", SUFFIX, into) is None and not entry.exists()
    assert here.trouble is None and there.trouble is None and there.try_out() < 5


def test_it_is_kept_in_its_limit(room: Room, tmp_path: Path) -> None:
    store = store_on(room, limit=40_000)
    with ThreadPoolExecutor(4) as pool:
        keys = [f"{number:02d}" for number in range(12)]
        assert all(pool.map(lambda key: put(store, tmp_path, key, bytes(9000)), keys))
    store.used([f"00{SUFFIX}"])
    assert store.trim(now=True)
    left = {path.stem for path in (room.folder / "segments" / "entries").glob("*/*")}
    assert len(left) == 4 and "00" in left and store.trim() is not None and store.trim() is None


def test_a_server_that_hangs_costs_a_moment(room: Room, tmp_path: Path) -> None:
    store = store_on(room, seconds=1.0)
    assert put(store, tmp_path, "aa", b"first")
    room.server.freeze()
    melting = threading.Timer(2, room.server.thaw)
    melting.start()
    try:
        begun = time.monotonic()
        assert store.get("aa", SUFFIX, tmp_path / "into") is None
        assert not put(store, tmp_path, "bb", b"second")
        assert time.monotonic() - begun < 2 and store.trouble
    finally:
        melting.join()
