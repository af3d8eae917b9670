"""Uploads arrive whole and usable under a name of their own, or leave nothing behind."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelyard.domain.errors import (
    BadMedia,
    Conflict,
    NotAllowed,
    NotFound,
    OutOfDisk,
    RequestInvalid,
)
from reelyard.files.uploads import plain_name
from reelyard.services.uploads import Uploads
from tests.conftest import Clips

from .library_room import ANN, BEN, BOSS, NOBODY, PLENTY, READER, person


def nothing(_: Path) -> None:
    """Any file will do."""


@dataclass(frozen=True)
class Dock:
    """An uploads folder where any bytes pass for a film."""

    folder: Path

    def uploads(self, limit: int = PLENTY, reserve: int = 0, free: int = PLENTY) -> Uploads:
        return Uploads(self.folder, limit, reserve, nothing, lambda _: free)

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        )


@pytest.fixture
def dock(tmp_path: Path) -> Dock:
    return Dock(tmp_path / "uploads")


def test_a_clip_arrives(tmp_path: Path, clips: Clips) -> None:
    data = clips.video("library.mp4", seconds=1.5, rate="25").read_bytes()
    uploads = Uploads(tmp_path / "up", PLENTY, 0)
    pieces = (data[n : n + 10_000] for n in range(0, len(data), 10_000))
    clip = uploads.receive(ANN, "My Clip.MP4", pieces, len(data))
    assert Path(clip.path) == tmp_path / "up" / "ann" / "My Clip.MP4"
    assert Path(clip.path).read_bytes() == data
    assert (clip.name, clip.size, clip.is_image, clip.video_id) == (
        "My Clip.MP4", len(data), False, None,
    )  # fmt: skip


def test_what_can_not_be_used_is_removed_and_said_to_be_unusable(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "up", PLENTY, 0)
    for data in (b"", b"no film", b"#EXTM3U\n"):
        with pytest.raises(BadMedia) as caught:
            uploads.receive(ANN, "a.mp4", [data])
        assert caught.value.remedy
    assert Dock(tmp_path / "up").files() == []


def test_nothing_is_written_over(dock: Dock) -> None:
    uploads = dock.uploads()
    first = uploads.receive(ANN, "clip.mp4", [b"one"])
    second = uploads.receive(ANN, "clip.mp4", [b"two"])
    third = uploads.receive(ANN, "clip.mp4", [b"three"])
    other = uploads.receive(BEN, "clip.mp4", [b"four"])
    assert [one.name for one in (first, second, third)] == [
        "clip.mp4", "clip (2).mp4", "clip (3).mp4",
    ]  # fmt: skip
    assert dock.files() == [
        "ann/clip (2).mp4", "ann/clip (3).mp4", "ann/clip.mp4", "ben/clip.mp4",
    ]  # fmt: skip
    assert Path(other.path).read_bytes() == b"four"


def test_the_same_bytes_under_the_same_name_are_the_same_clip(dock: Dock) -> None:
    uploads = dock.uploads()
    first = uploads.receive(ANN, "clip.mp4", [b"one"])
    second = uploads.receive(ANN, "clip.mp4", [b"two"])
    assert uploads.receive(ANN, "clip.mp4", [b"o", b"ne"]) == first
    assert uploads.receive(ANN, "clip.mp4", [b"two"]) == second
    assert dock.files() == ["ann/clip (2).mp4", "ann/clip.mp4"]


def test_uploads_of_one_name_at_the_same_time_all_arrive(dock: Dock) -> None:
    uploads = dock.uploads()
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda n: uploads.receive(ANN, "a.mp4", [str(n % 8).encode()]), range(24))
        )
    assert len({one.path for one in found}) == len(dock.files())
    assert sorted({Path(one.path).read_bytes() for one in found}) == [
        str(n).encode() for n in range(8)
    ]


def test_a_connection_that_breaks_off_leaves_nothing(dock: Dock) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 1000
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        dock.uploads().receive(ANN, "a.mp4", chunks())
    assert dock.files() == []


@pytest.mark.parametrize("data", [b"12", b"1234"])
def test_a_file_of_another_size_than_was_said_is_refused(dock: Dock, data: bytes) -> None:
    with pytest.raises(RequestInvalid):
        dock.uploads().receive(ANN, "a.mp4", [data], 3)
    assert dock.files() == []


def test_a_file_that_is_too_large_is_refused(dock: Dock) -> None:
    uploads = dock.uploads(limit=10)
    with pytest.raises(RequestInvalid):
        uploads.begin(ANN, "a.mp4", 11)
    with pytest.raises(RequestInvalid):
        uploads.receive(ANN, "a.mp4", [b"12345"] * 3)
    assert uploads.receive(ANN, "a.mp4", [b"12345"] * 2).size == 10
    assert dock.files() == ["ann/a.mp4"]


def test_the_disk_keeps_some_room(dock: Dock) -> None:
    with pytest.raises(OutOfDisk):
        dock.uploads(reserve=100, free=150).begin(ANN, "a.mp4", 51)
    with pytest.raises(OutOfDisk):
        dock.uploads(reserve=100, free=99).begin(ANN, "a.mp4")
    assert dock.uploads(reserve=100, free=150).receive(ANN, "a.mp4", [b"x" * 50], 50).size == 50


def test_a_disk_that_fills_up_on_the_way_ends_the_upload(dock: Dock) -> None:
    free = iter([PLENTY, 0])
    uploads = Uploads(dock.folder, PLENTY, 1, nothing, lambda _: next(free))
    with pytest.raises(OutOfDisk):
        uploads.receive(ANN, "a.mp4", [bytes(64_000_000)])
    assert dock.files() == []


def test_a_full_disk_says_so(dock: Dock) -> None:
    def free(_: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutOfDisk):
        Uploads(dock.folder, PLENTY, 1, nothing, free).begin(ANN, "a.mp4")
    assert dock.files() == []


# In pieces


def test_an_upload_can_be_written_from_any_thread(dock: Dock) -> None:
    upload = dock.uploads().begin(ANN, "a.mp4")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: upload.write(bytes([n]) * 100), range(200)))
    assert upload.received == 20_000
    data = Path(upload.finish().path).read_bytes()
    assert sorted(data[n] for n in range(0, 20_000, 100)) == sorted(range(200))


def test_nothing_is_seen_before_it_is_finished(dock: Dock) -> None:
    uploads = dock.uploads()
    upload = uploads.begin(ANN, "a.mp4")
    upload.write(b"x")
    assert uploads.list(ANN) == []
    assert [Path(name).name.startswith(".") for name in dock.files()] == [True]
    upload.finish()
    assert dock.files() == ["ann/a.mp4"]


def test_an_upload_that_is_over_takes_nothing_more(dock: Dock) -> None:
    upload = dock.uploads().begin(ANN, "a.mp4")
    upload.write(b"x")
    upload.finish()
    upload.abort()
    assert dock.files() == ["ann/a.mp4"]
    for use in (lambda: upload.write(b"y"), upload.finish):
        with pytest.raises(Conflict):
            use()
    gone = dock.uploads().begin(ANN, "b.mp4")
    gone.abort()
    gone.abort()
    with pytest.raises(Conflict):
        gone.write(b"x")
    assert dock.files() == ["ann/a.mp4"]


def test_aborting_waits_for_the_look_at_the_file(dock: Dock) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def look(_: Path) -> None:
        looking.set()
        assert go_on.wait(10)

    upload = Uploads(dock.folder, PLENTY, 0, look).begin(ANN, "a.mp4")
    with ThreadPoolExecutor(2) as pool:
        finished = pool.submit(upload.finish)
        assert looking.wait(10)
        aborted = pool.submit(upload.abort)
        go_on.set()
        aborted.result()
        assert finished.result().name == "a.mp4"
    assert dock.files() == ["ann/a.mp4"]


# Names


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/cron.d/x.mp4", "x.mp4"),
        ("C:\\Users\\ann\\Videos\\x.mp4", "x.mp4"),
        ("/abs/x.mov", "x.mov"),
        (".hidden.mp4", "hidden.mp4"),
        ("... x .mp4", "x.mp4"),
        ("a\0b\n\x1b[31m.mp4", "a_b__[31m.mp4"),
        ("a:b*c?.mp4", "a_b_c_.mp4"),
        ("con.mp4", "_con.mp4"),
        ("COM1.x.mp4", "_COM1.x.mp4"),
        ("Zoe\u0308 – 日本 & co (1).mp4", "Zo\u00eb – 日本 & co (1).mp4"),
        ("\u202egpj.exe.mp4", "_gpj.exe.mp4"),
        ("x.mp4 ", "x.mp4"),
        ("half \udcff.mp4", "half _.mp4"),
        ("x" * 300 + ".webm", "x" * 145 + ".webm"),
        ("é" * 300 + ".png", "é" * 73 + ".png"),
    ],
)  # fmt: skip
def test_names_become_plain(dock: Dock, name: str, plain: str) -> None:
    assert dock.uploads().receive(ANN, name, [b"x"]).name == plain
    assert dock.files() == [f"ann/{plain}"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", ".mp4", "mp4", "a", "a.exe", "a.mp4/", "a.mp4.html", "a.m3u8", "x.mp4\0.sh"]
)  # fmt: skip
def test_what_is_not_called_as_a_clip_is_refused(dock: Dock, name: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        dock.uploads().begin(ANN, name)
    assert caught.value.field == "name"
    assert not dock.folder.exists()


@given(st.text(alphabet=st.characters(), max_size=200), st.sampled_from([".mp4", ".JPG", ""]))
@settings(deadline=None, max_examples=200)
def test_any_name_becomes_one_that_every_system_can_hold(text: str, suffix: str) -> None:
    plain = plain_name(text + suffix)
    assert len(plain.encode()) <= 255
    assert plain.isprintable()
    assert not set(plain) & set('<>:"/\\|?*')
    assert plain not in ("", ".", "..")
    assert not plain.startswith((".", " "))
    assert plain_name(plain) == plain


def test_people_never_share_a_folder(dock: Dock) -> None:
    odd = [
        "a/b",
        "a_b",
        "..",
        ".",
        "",
        "a b",
        "A B",
        "unnamed",
        "a\\b",
        "x" * 300,
        "x" * 301,
        "ä",
        "\udcff",
    ]
    uploads = dock.uploads()
    found = [
        uploads.receive(person(name), "a.mp4", [name.encode("utf-8", "replace")]) for name in odd
    ]
    folders = {Path(one.path).parent for one in found}
    assert len(folders) == len(odd)
    assert {folder.parent for folder in folders} == {dock.folder}
    assert [len(uploads.list(person(name))) for name in odd] == [1] * len(odd)


# Looking after them


def test_everybody_sees_their_own_and_managers_see_all(dock: Dock) -> None:
    uploads = dock.uploads()
    assert uploads.list(ANN) == []
    for who, name in ((ANN, "b 10.mp4"), (ANN, "b 2.mp4"), (BEN, "a.png")):
        uploads.receive(who, name, [b"x"])
    assert [clip.name for clip in uploads.list(ANN)] == ["b 2.mp4", "b 10.mp4"]
    assert [clip.name for clip in uploads.list(BEN)] == ["a.png"]
    assert [clip.name for clip in uploads.list(BOSS)] == ["a.png", "b 2.mp4", "b 10.mp4"]


def test_everybody_deletes_their_own_and_managers_delete_all(dock: Dock) -> None:
    uploads = dock.uploads()
    own, kept, third = (uploads.receive(ANN, f"{n}.mp4", [b"x"]).path for n in range(3))
    uploads.delete(ANN, own)
    with pytest.raises(NotFound):
        uploads.delete(ANN, own)
    with pytest.raises(NotFound):
        uploads.delete(BEN, kept)
    uploads.delete(BOSS, third)
    assert dock.files() == ["ann/1.mp4"]


@pytest.mark.parametrize(
    "path",
    [
        "", "{up}", "{up}/ann", "{up}/ann/../ben/b.mp4", "{up}/ben/b.mp4", "/etc/passwd", "a.mp4",
        "{up}/ann/link.mp4", "{up}/ann/.part", "{up}/ann/notes.txt", "{up}/ann/out/x.mp4", "{up}/ann/\0",
        "{up}/../x.mp4",
    ],
)  # fmt: skip
def test_nothing_else_can_be_deleted(dock: Dock, path: str) -> None:
    uploads = dock.uploads()
    uploads.receive(ANN, "a.mp4", [b"x"])
    uploads.receive(BEN, "b.mp4", [b"x"])
    outside = dock.folder.parent / "x.mp4"
    outside.write_bytes(b"x")
    (dock.folder / "ann" / "link.mp4").symlink_to(outside)
    (dock.folder / "ann" / "out").symlink_to(dock.folder.parent)
    for name in (".part", "notes.txt"):
        (dock.folder / "ann" / name).write_bytes(b"x")
    before = dock.files()
    with pytest.raises(NotFound):
        uploads.delete(ANN, path.replace("{up}", str(dock.folder)))
    assert dock.files() == before
    assert outside.exists()


def test_who_may_not_upload_can_not(dock: Dock) -> None:
    uploads = dock.uploads()
    for who in (READER, NOBODY):
        with pytest.raises(NotAllowed):
            uploads.receive(who, "a.mp4", [b"x"])
        with pytest.raises(NotAllowed):
            uploads.delete(who, "a.mp4")
    with pytest.raises(NotAllowed):
        uploads.list(NOBODY)
    assert dock.files() == []


def test_what_was_left_half_done_a_day_ago_is_removed(dock: Dock) -> None:
    uploads = dock.uploads()
    uploads.receive(ANN, "a.mp4", [b"x"])
    fresh = uploads.begin(ANN, "b.mp4")
    old = dock.folder / "ann" / ".0123.part"
    old.write_bytes(b"x")
    long_ago = time.time() - 25 * 3600
    for path in (old, dock.folder / "ann" / "a.mp4"):
        os.utime(path, (long_ago, long_ago))
    assert uploads.tidy() == 1
    assert uploads.tidy() == 0
    fresh.write(b"y")
    assert fresh.finish().name == "b.mp4"
    assert dock.files() == ["ann/a.mp4", "ann/b.mp4"]


def test_there_is_nothing_to_tidy_before_the_first_upload(dock: Dock) -> None:
    assert dock.uploads().tidy() == 0
    assert not dock.folder.exists()
