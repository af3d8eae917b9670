"""Small pictures are made once, kept within limits, and made for many at the same time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from reelyard.domain.errors import BadMedia, NotFound, OutOfDisk, RequestInvalid, StorageFailed
from reelyard.domain.job import Item, ItemType, Job
from reelyard.services.thumbnails import Thumbnails
from tests.conftest import Clips

from .library_room import PLENTY, READER, Room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "library")


@dataclass
class Maker:
    """Makes pictures of any bytes, and counts them."""

    seconds: float = 0.0
    size: int = 100
    made: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, path: Path, size: tuple[int, int], check: Callable[[], None]) -> bytes:
        with self.lock:
            self.made.append(f"{path.name} {size[0]}x{size[1]}")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self.seconds)
        with self.lock:
            self.at_once -= 1
        if path.read_bytes() == b"bad":
            raise BadMedia("it is bad", remedy="Make it good", reason="spoiled")
        return bytes(self.size)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_clip_has_a_picture_of_each_width(room: Room, clips: Clips) -> None:
    path = room.bring(clips.video("library.mp4", seconds=1.5, rate="25"), "a.mp4")
    for width, height in ((160, 90), (320, 180), (640, 360)):
        with Image.open(room.desk.thumbnail(READER, str(path), width)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (width, height))
    with pytest.raises(RequestInvalid):
        room.desk.thumbnail(READER, str(path), 1000)


def test_a_picture_is_made_once_and_again_when_the_clip_changes(room: Room) -> None:
    make = Maker()
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make)
    room.put("a.mp4")
    path = room.media / "a.mp4"
    first = thumbnails.get(path)
    assert thumbnails.get(str(path)) == first
    assert Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make).get(path) == first
    assert make.made == ["a.mp4 320x180"]
    room.put("a.mp4", data=b"xx")
    assert thumbnails.get(path) != first
    os.utime(path, (1, 1))
    thumbnails.get(path)
    assert len(make.made) == 3


def test_those_who_ask_together_get_one_picture(room: Room) -> None:
    make = Maker(seconds=0.2)
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make)
    room.put("a.mp4", "bad.mp4", data=b"x")
    room.put("bad.mp4", data=b"bad")

    def get(name: str) -> str:
        try:
            return str(thumbnails.get(room.media / name))
        except BadMedia as error:
            return error.reason

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(get, ["a.mp4", "bad.mp4"] * 8))
    assert len(set(found)) == 2
    assert "spoiled" in found
    assert sorted(make.made) == ["a.mp4 320x180", "bad.mp4 320x180"]


def test_two_are_made_at_a_time(room: Room) -> None:
    make = Maker(seconds=0.03)
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make)
    room.put(*(f"{n}.mp4" for n in range(10)))
    with ThreadPoolExecutor(10) as pool:
        found = set(pool.map(lambda n: thumbnails.get(room.media / f"{n}.mp4"), range(10)))
    assert len(found) == 10
    assert make.most_at_once == 2


def test_real_pictures_are_made_by_many_threads(room: Room, clips: Clips) -> None:
    source = clips.video("library.mp4", seconds=1.5, rate="25")
    paths = [room.bring(source, f"{n}.mp4") for n in range(4)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: room.desk.thumbnail(READER, str(path)), paths * 4))
    assert len(set(found)) == 4
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in found)


def test_what_failed_is_not_tried_again_for_a_minute(room: Room) -> None:
    make, clock = Maker(), Clock()
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make, clock)
    room.put("bad.mp4", data=b"bad")
    for _ in range(3):
        with pytest.raises(BadMedia, match="it is bad"):
            thumbnails.get(room.media / "bad.mp4")
    assert len(make.made) == 1
    clock.now = 61
    with pytest.raises(BadMedia, match="it is bad"):
        thumbnails.get(room.media / "bad.mp4")
    assert len(make.made) == 2
    room.put("bad.mp4", data=b"good")
    assert thumbnails.get(room.media / "bad.mp4").exists()


def test_a_clip_that_takes_too_long_is_given_up(room: Room) -> None:
    clock = Clock()

    def make(path: Path, size: tuple[int, int], check: Callable[[], None]) -> bytes:
        for _ in range(100):
            clock.now += 1
            check()
        return b""

    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make, clock)
    room.put("a.mp4")
    with pytest.raises(BadMedia, match="too long"):
        thumbnails.get(room.media / "a.mp4")
    assert clock.now <= 7


def test_the_least_recently_used_are_dropped_over_the_limit(room: Room) -> None:
    make = Maker(size=1000)
    thumbnails = Thumbnails(room.folder / "t", 10_000, room.roots.contained, make)
    room.put(*(f"{n}.mp4" for n in range(30)))
    kept = thumbnails.get(room.media / "0.mp4")
    os.utime(kept, (1, 1))
    for n in range(1, 30):
        os.utime(thumbnails.get(room.media / f"{n}.mp4"), (1000 + n, 1000 + n))
        assert thumbnails.get(room.media / "0.mp4") == kept  # used again and again
    sizes = [path.stat().st_size for path in (room.folder / "t").glob("*/*")]
    assert 5000 < sum(sizes) <= 10_000
    assert make.made.count("0.mp4 320x180") == 1


def test_what_is_no_file_of_the_library_has_no_picture(room: Room) -> None:
    with pytest.raises(NotFound):
        room.desk.thumbnail(READER, "/etc/passwd")
    with pytest.raises(BadMedia):
        room.desk.thumbnail(READER, str(room.media))


def test_a_disk_that_refuses_is_said_to(room: Room) -> None:
    (room.folder / "t").write_bytes(b"in the way")
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, Maker())
    room.put("a.mp4")
    with pytest.raises((StorageFailed, OutOfDisk)):
        thumbnails.get(room.media / "a.mp4")


# Jobs


def job(*items: tuple[ItemType, str, str | None]) -> Job:
    return Job(
        job_id="j",
        channel_name="c",
        items=tuple(
            Item(position=n, item_type=kind, path=path, named=path, video_id=video_id,
                 duration=Fraction(1) if kind is ItemType.IMAGE else None)
            for n, (kind, path, video_id) in enumerate(items, 1)
        ),
    )  # fmt: skip


def test_a_job_is_shown_by_its_first_clip_that_works(room: Room) -> None:
    make = Maker()
    room.put("intro.mp4", "b.mp4", "c.mp4", "catalogued.mp4")
    room.put("bad.mp4", data=b"bad")
    room.shelf.videos = {"v": str(room.media / "catalogued.mp4")}
    thumbnails = Thumbnails(room.folder / "t", PLENTY, room.roots.contained, make)

    def at(name: str) -> str:
        return str(room.media / name)

    film = job(
        (ItemType.INTRO, at("intro.mp4"), None), (ItemType.VIDEO, "/outside.mp4", None),
        (ItemType.VIDEO, at("bad.mp4"), None), (ItemType.IMAGE, at("b.mp4"), None),
        (ItemType.VIDEO, at("c.mp4"), None),
    )  # fmt: skip
    assert thumbnails.of_job(film) == thumbnails.get(at("b.mp4"))
    assert thumbnails.of_job(job((ItemType.INTRO, at("intro.mp4"), None))) is not None
    assert thumbnails.of_job(job((ItemType.VIDEO, "/outside.mp4", None))) is None
    assert thumbnails.of_job(job((ItemType.VIDEO, "", "v"))) is None


def test_a_job_of_ids_is_shown_too(room: Room, clips: Clips) -> None:
    room.bring(clips.video("library.mp4", seconds=1.5, rate="25"), "a.mp4")
    room.shelf.videos = {"v": str(room.media / "a.mp4")}
    wanted = job((ItemType.VIDEO, "", "unknown"), (ItemType.VIDEO, "", "v"))
    picture = room.desk.thumbnail(READER, str(room.media / "a.mp4"))
    assert room.desk.job_thumbnail(READER, wanted) == picture
