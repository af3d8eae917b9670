"""Files on a real Samba, read, written, listed and renamed through a direct connection."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from reelyard.files.places import Source
from reelyard.files.smb import SmbFileSystem
from reelyard.files.smb_errors import is_away
from reelyard.files.smb_file import PIECE, Reader
from reelyard.files.smb_link import Account
from tests.files.conftest import Room, room_on
from tests.samba import SambaServer

FAR = 5 << 30  # beyond what 32 bits count


def test_what_is_written_is_there_and_is_read_again(smb: SmbFileSystem, room: Room) -> None:
    data = random.Random(1).randbytes(5 * PIECE + 17)
    with smb.open(room.path("a.mp4"), "wb") as file:
        for start in range(0, len(data), 700_000):
            assert file.write(data[start : start + 700_000]) == len(data[start : start + 700_000])
        file.sync()
    assert (room.folder / "a.mp4").read_bytes() == data
    assert smb.cat_file(room.path("a.mp4")) == data


@pytest.mark.parametrize("size", [4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_reads_of_any_size_give_as_much_as_was_asked_for(
    smb: SmbFileSystem, room: Room, size: int
) -> None:
    data = random.Random(2).randbytes(2 * PIECE + 5)
    with smb.open(room.place("a", data), "rb") as file:
        assert file.read(size) == data[:size]
        assert file.tell() == min(size, len(data))
        assert file.read(size) == data[size : 2 * size]
        assert file.read() == data[2 * size :]
        assert file.read(size) == b""


def test_reading_goes_on_from_wherever_it_is_told_to(smb: SmbFileSystem, room: Room) -> None:
    data = random.Random(3).randbytes(6 * PIECE)
    with smb.open(room.place("a", data), "rb") as file:
        file.read(3 * PIECE)  # reads ahead by then
        for start in (5 * PIECE + 3, 10, 2 * PIECE, len(data) - 4, len(data) + 10):
            assert file.seek(start) == start
            assert file.read(100) == data[start : start + 100]
        file.seek(-7, os.SEEK_END)
        buffer = bytearray(100)
        assert file.readinto(buffer) == 7
        assert buffer[:7] == data[-7:]
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)


def test_a_file_of_more_than_four_gigabytes_is_read_at_its_far_end(
    smb: SmbFileSystem, room: Room
) -> None:
    path = room.place("a.mp4", b"")
    with (room.folder / "a.mp4").open("r+b") as file:
        file.seek(FAR)
        file.write(b"the end of a long film")
    assert smb.info(path)["size"] == FAR + 22
    with smb.open(path, "rb") as distant:
        distant.seek(FAR - 2)
        assert distant.read() == b"\0\0the end of a long film"


def test_a_file_that_gets_shorter_while_it_is_read_ends_early(
    smb: SmbFileSystem, room: Room
) -> None:
    path = room.place("a", bytes(8 * PIECE))
    with smb.open(path, "rb") as file:
        file.read(2 * PIECE)
        os.truncate(room.folder / "a", 6 * PIECE + 100)
        assert len(file.read()) <= 6 * PIECE
        assert file.read(PIECE) == b""


def test_size_and_time_are_those_of_the_file(smb: SmbFileSystem, room: Room) -> None:
    path = room.place("a", b"12345")
    os.utime(room.folder / "a", ns=(0, 1_700_000_000_123_456_000))
    found = Source(smb, path, "a").identity()
    assert found.size == 5
    assert found.modified is not None
    assert abs(found.modified - 1_700_000_000_123_456_000) < 1000  # a float's precision
    os.utime(room.folder / "a", ns=(0, 1_700_000_000_123_457_000))
    assert Source(smb, path, "a").identity() != found


def test_files_of_two_servers_are_told_apart(smb: SmbFileSystem, room: Room) -> None:
    path = room.place("a", b"")
    there = room.client(host="localhost")
    assert Source(smb, path, "a").identity() != Source(there, path, "a").identity()
    assert smb.unstrip_protocol(path) == f"smb://{room.server.host}:{room.server.port}{path}"


@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4", "it's.mp4", "#%&$;=+,!@~`^()[]{}.mp4", "größe é.mp4", "gro\u0308ße.mp4",
        "日本語 🎬.mp4", ".hidden", "trailing dot.", "trailing space ", "percent%20.mp4", "-rf",
        "a" * 200,
    ],
)  # fmt: skip
def test_a_file_is_found_by_its_name(smb: SmbFileSystem, room: Room, name: str) -> None:
    path = room.place(name, name.encode())
    assert smb.cat_file(path) == name.encode()
    written = room.path(f"{name.rstrip('. ')} too")
    with smb.open(written, "wb") as file:
        file.write(b"new")
    assert smb.info(written)["size"] == 3
    assert (room.folder / written.rpartition("/")[2]).read_bytes() == b"new"


@pytest.mark.parametrize("name", ["trailing dot.", "a:b.mp4", 'He said "Hi".mp4', "what?.mp4"])
def test_what_windows_has_no_name_for_is_read_by_the_name_that_samba_gives_it(
    smb: SmbFileSystem, room: Room, name: str
) -> None:
    room.place(name, b"these bytes")
    (shown,) = smb.ls(room.path(""), detail=False)
    assert smb.cat_file(shown) == b"these bytes"


@pytest.mark.parametrize("name", ["../a", "a/../../b", "a\\b", "a\0b", "a\udcff", ".."])
def test_a_name_that_no_file_can_have_reaches_nothing(
    smb: SmbFileSystem, room: Room, name: str
) -> None:
    with pytest.raises(OSError, match="can have this name") as caught:
        smb.open(room.path(name), "wb")
    assert caught.value.errno == errno.EINVAL


def test_a_folder_lists_all_that_is_in_it(smb: SmbFileSystem, room: Room) -> None:
    for number in range(700):  # more than one answer holds
        (room.folder / f"a clip with quite a long name, number {number:04}.mp4").touch()
    (room.folder / "folder").mkdir()
    (room.folder / "folder" / "b").write_bytes(b"123")
    found = smb.ls(room.path(""))
    assert len(found) == 701
    assert found[-1] == {**found[-1], "name": room.path("folder"), "type": "directory"}
    assert smb.ls(room.path("folder/b"))[0]["size"] == 3
    assert smb.find(room.path("folder")) == [room.path("folder/b")]


def test_folders_are_made_and_removed(smb: SmbFileSystem, room: Room) -> None:
    smb.makedirs(room.path("a/b/c"))
    smb.makedirs(room.path("a/b/c"), exist_ok=True)
    with pytest.raises(FileExistsError):
        smb.makedirs(room.path("a/b/c"))
    with pytest.raises(FileExistsError):
        smb.mkdir(room.path("a"))
    (room.folder / "a" / "b" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        smb.rmdir(room.path("a"))
    with pytest.raises(IsADirectoryError):
        smb.rm(room.path("a"))
    smb.rm(room.path("a"), recursive=True)
    assert not list(room.folder.iterdir())


def test_many_make_the_same_folders_at_once(smb: SmbFileSystem, room: Room) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: smb.makedirs(room.path(f"a/b/{n % 2}"), exist_ok=True), range(24)))
    assert sorted(path.name for path in (room.folder / "a" / "b").iterdir()) == ["0", "1"]


def test_a_file_takes_the_place_of_another_in_one_step(smb: SmbFileSystem, room: Room) -> None:
    staged, film = room.place("staged", b"new"), room.place("film", b"old")
    with pytest.raises(FileExistsError):
        smb.rename(staged, film)
    assert smb.cat_file(film) == b"old"
    smb.mv(staged, film)
    assert smb.cat_file(film) == b"new"
    assert not smb.exists(staged)


def test_what_is_gone_can_not_be_renamed(smb: SmbFileSystem, room: Room) -> None:
    there = room.place("there", b"1")
    for path, target in ((room.path("gone"), there), (there, room.path("gone/a"))):
        with pytest.raises(FileNotFoundError):
            smb.mv(path, target)
    with pytest.raises(OSError, match="cross-device") as caught:
        smb.mv(there, "/archive/a")
    assert caught.value.errno == errno.EXDEV


def test_an_open_file_may_be_renamed_and_removed_by_others(smb: SmbFileSystem, room: Room) -> None:
    path = room.place("a", b"12345")
    with smb.open(path, "rb") as reading, smb.open(room.path("b"), "wb") as writing:
        room.client().mv(path, room.path("c"))
        room.client().rm_file(room.path("b"))
        assert reading.read() == b"12345"
        writing.write(b"for nobody")
    assert smb.ls(room.path(""), detail=False) == [room.path("c")]


def test_the_room_on_a_share_is_known(smb: SmbFileSystem, room: Room) -> None:
    free = os.statvfs(room.folder)
    assert smb.free_bytes(room.path("")) == pytest.approx(free.f_bavail * free.f_frsize, rel=0.05)


def test_an_exclusive_file_is_made_by_one_only(smb: SmbFileSystem, room: Room) -> None:
    with smb.open(room.path("a"), "xb") as file:
        file.write(b"first")
    with pytest.raises(FileExistsError):
        smb.open(room.path("a"), "xb")
    with pytest.raises(OSError, match="mode ab"):
        smb.open(room.path("a"), "ab")


def test_many_threads_read_and_write_at_once(smb: SmbFileSystem, room: Room) -> None:
    def work(number: int) -> bool:
        data = random.Random(number).randbytes(PIECE + number)
        with smb.open(room.path(f"{number}"), "wb") as file:
            file.write(data)
        return bool(smb.cat_file(room.path(f"{number}")) == data)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(12)))


def test_several_files_are_open_on_one_connection(smb: SmbFileSystem, room: Room) -> None:
    data = [random.Random(n).randbytes(3 * PIECE) for n in range(4)]
    paths = [room.place(f"{n}", bytes_) for n, bytes_ in enumerate(data)]
    files = [smb.open(path, "rb") for path in paths]
    parts = [[file.read(PIECE) for file in files] for _ in range(3)]
    for number, file in enumerate(files):
        file.close()
        assert b"".join(part[number] for part in parts) == data[number]


def test_a_file_may_be_read_by_another_thread_than_opened_it(
    smb: SmbFileSystem, room: Room
) -> None:
    path = room.place("a", bytes(3 * PIECE))
    opened = []
    thread = threading.Thread(target=lambda: opened.append(smb.open(path, "rb")))
    thread.start()
    thread.join()
    with opened[0] as file:
        assert len(file.read()) == 3 * PIECE


class Refused(Reader):
    """Refuses what comes after the first piece, until it is let."""

    refuses = False

    def _next(self, most: int) -> memoryview:
        if self.refuses:
            raise OSError(errno.EBUSY, "in use")
        return super()._next(most)


def test_memory_is_given_back_once_also_where_something_was_refused(
    smb: SmbFileSystem, room: Room
) -> None:
    """Otherwise two answers would be written into the same place."""
    data = random.Random(7).randbytes(3 * PIECE)
    with smb.open(room.place("a", data), "rb") as opened:
        file = Refused(opened._link, opened._file, "a")
        assert file.read(PIECE) == data[:PIECE]
        file.refuses = True
        for _ in range(3):
            with pytest.raises(OSError, match="in use"):
                file.read(PIECE)
        file.refuses = False
        kept = opened._link.connection.transport._buffers
        assert len({id(one) for one in kept}) == len(kept)
        assert file.read() == data[PIECE:]


@pytest.mark.parametrize(
    ("user", "domain", "login"),
    [
        ("nobody", None, "nobody"), ("FARM\\nobody", None, "FARM\\nobody"),
        ("FARM/nobody", None, "FARM\\nobody"), ("nobody", "FARM", "FARM\\nobody"),
        ("OTHER\\nobody", "FARM", "FARM\\nobody"), ("nobody@farm.example", "FARM", "nobody@farm.example"),
        ("", "FARM", None), (None, None, None),
    ],
)  # fmt: skip
def test_a_domain_is_written_either_way(
    user: str | None, domain: str | None, login: str | None
) -> None:
    assert Account(host="nas", user=user, domain=domain).login == login


@pytest.mark.parametrize(("user", "domain"), [("FARM\\nobody", None), ("nobody", "FARM")])
def test_a_user_logs_in_with_the_domain(room: Room, user: str, domain: str | None) -> None:
    assert room.client(user=user, domain=domain).isdir("/media")


class Wire:
    """A way to the server on which all that comes from it is seen, and may be changed."""

    def __init__(self, samba: SambaServer, change: tuple[bytes, bytes] = (b"", b"")) -> None:
        self.seen = bytearray()
        self._samba = samba
        self._change = change
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._relay, daemon=True).start()

    def close(self) -> None:
        self._door.close()

    def _relay(self) -> None:
        with suppress(OSError):
            near, _ = self._door.accept()
            with near, socket.create_connection((self._samba.host, self._samba.port)) as far:
                threading.Thread(target=self._forward, args=(near, far), daemon=True).start()
                self._forward(far, near, back=True)

    def _forward(self, source: socket.socket, target: socket.socket, back: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if back:
                    self.seen += data
                    data = data.replace(*self._change) if self._change[0] else data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


WORDS = b"the film's own bytes "


@pytest.mark.parametrize("encrypt", [True, False])
def test_what_is_encrypted_can_not_be_seen_on_the_wire(room: Room, encrypt: bool) -> None:
    data = WORDS * 10_000
    with closing(Wire(room.server)) as wire:
        client = room.client(port=wire.port, encrypt=encrypt)
        assert client.cat_file(room.place("a", data)) == data
        client.close()
    assert (WORDS in wire.seen) is not encrypt


def test_what_is_changed_on_the_wire_is_not_taken(room: Room) -> None:
    path = room.place("a", WORDS * 10_000)
    with closing(Wire(room.server, (b"own", b"oww"))) as wire, pytest.raises(OSError) as caught:
        room.client(port=wire.port, answer_seconds=1).cat_file(path)
    assert is_away(caught.value)


@pytest.mark.parametrize("protocol", ["SMB2_10", "SMB3_02"])
def test_older_servers_sign_in_ways_of_their_own(tmp_path: Path, protocol: str) -> None:
    with closing(SambaServer(tmp_path, settings={"server max protocol": protocol})) as server:
        server.start()
        room = room_on(server)
        smb, data = room.client(), random.Random(5).randbytes(PIECE + 1)
        with smb.open(room.path("a"), "wb") as file:
            file.write(data)
        assert smb.cat_file(room.path("a")) == data
        path = room.place("b", WORDS * 10_000)
        with closing(Wire(server, (b"own", b"oww"))) as wire, pytest.raises(OSError) as caught:
            room.client(port=wire.port, answer_seconds=1).cat_file(path)
        assert is_away(caught.value)


def test_an_encrypted_connection_writes_as_well(room: Room) -> None:
    data = random.Random(4).randbytes(3 * PIECE + 1)
    with room.client(encrypt=True).open(room.path("a"), "wb") as file:
        file.write(data)
    assert Path(room.folder / "a").read_bytes() == data
