"""What a real Samba refuses, how it goes away, and what a process does to its connections."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from reelyard.files.smb import SmbFileSystem
from reelyard.files.smb_errors import is_away
from reelyard.files.smb_file import PIECE
from tests.files.conftest import Room, room_on
from tests.samba import SambaServer

SMALL = 1 << 20
LARGE = 6 * PIECE  # more than is under way at once


def refused(act: Callable[[], object]) -> OSError:
    """The OSError that something raises."""
    with pytest.raises(OSError) as caught:
        act()
    return caught.value


def test_a_wrong_password_is_told_from_a_server_that_is_away(room: Room) -> None:
    path = room.place("a", b"1")
    for changes in ({"password": "wr0ng"}, {"user": "whoever"}, {"user": "", "password": ""}):
        error = refused(lambda changes=changes: room.client(**changes).info(path))  # type: ignore[misc]
        assert error.errno == errno.EPERM
        assert not is_away(error)
        assert room.server.host in str(error)


def test_a_wrong_password_is_not_tried_again_and_again(own_samba: SambaServer) -> None:
    """Servers lock an account after a few times."""
    smb = room_on(own_samba).client(password="wr0ng")
    assert refused(lambda: smb.info("/media")).errno == errno.EPERM
    own_samba.stop()  # whoever asks it now gets another answer
    with ThreadPoolExecutor(5) as pool:
        errors = list(pool.map(lambda _: refused(lambda: smb.info("/media")), range(5)))
    assert {error.errno for error in errors} == {errno.EPERM}
    assert not any(is_away(error) for error in errors)


def test_a_share_that_the_server_has_not_is_told_from_a_missing_file(
    smb: SmbFileSystem, room: Room
) -> None:
    assert refused(lambda: smb.info("/nothing/a")).errno == errno.ENXIO
    assert refused(lambda: smb.info(room.path("nothing"))).errno == errno.ENOENT
    assert refused(lambda: smb.info(room.path("no/thing"))).errno == errno.ENOENT
    assert refused(lambda: smb.open(room.path(""), "rb")).errno == errno.EISDIR
    assert not smb.exists(room.path("nothing"))
    with pytest.raises(OSError, match="no share of this name"):
        smb.exists("/nothing/a")


def test_a_share_lets_in_whom_it_knows(room: Room) -> None:
    server = room.server
    assert refused(lambda: room.client().ls("/private")).errno == errno.EACCES
    other = room.client(user=server.other_user, password=server.other_password)
    assert other.ls("/private") == []


def test_users_of_one_thread_do_not_get_each_others_rights(room: Room) -> None:
    server = room.server
    for _ in range(2):
        other = room.client(user=server.other_user, password=server.other_password)
        assert other.ls("/private") == []
        assert refused(lambda: room.client().ls("/private")).errno == errno.EACCES


def test_a_read_only_share_is_read_and_not_written(samba: SambaServer) -> None:
    room = room_on(samba, "archive")
    smb, path = room.client(), room.place("a", b"old")
    assert smb.cat_file(path) == b"old"
    for act in (
        lambda: smb.open(room.path("b"), "wb"), lambda: smb.open(path, "wb"),
        lambda: smb.mkdir(room.path("folder")), lambda: smb.rm_file(path),
        lambda: smb.mv(path, room.path("c")),
    ):  # fmt: skip
        assert refused(act).errno in (errno.EACCES, errno.EROFS)
    assert [one.name for one in room.folder.iterdir()] == ["a"]


def test_a_full_share_says_so_and_works_again_when_there_is_room(samba: SambaServer) -> None:
    if not samba.has_small:
        pytest.skip("nothing may be mounted here")
    smb = Room(samba, "small", "").client()

    def write(size: int) -> None:
        with smb.open("/small/a", "wb") as file:
            file.write(bytes(size))

    assert refused(lambda: write(LARGE)).errno == errno.ENOSPC
    assert smb.free_bytes("/small") < SMALL
    smb.rm_file("/small/a")
    write(SMALL)
    assert smb.info("/small/a")["size"] == SMALL
    smb.rm_file("/small/a")


def test_a_server_that_is_not_there_is_away(own_samba: SambaServer) -> None:
    room = room_on(own_samba)
    smb, path = room.client(), room.place("a", b"1")
    assert smb.exists(path)
    own_samba.stop()
    error = refused(lambda: smb.exists(path))
    assert is_away(error)
    assert error.errno == errno.ECONNREFUSED
    own_samba.start()
    assert smb.exists(path)
    nobody = refused(lambda: room.client(host="nas.invalid").info(path))
    assert nobody.errno == errno.EHOSTUNREACH


def test_an_idle_connection_that_broke_is_made_anew(smb: SmbFileSystem, room: Room) -> None:
    path = room.place("a", b"12345")
    for look in (smb.info, smb.cat_file, smb.ls):
        assert look(path)
        room.server.drop_clients()
        assert look(path)


def test_reading_fails_when_the_server_goes_and_goes_on_when_it_is_back(
    smb: SmbFileSystem, room: Room
) -> None:
    data = os.urandom(LARGE)
    path = room.place("a", data)
    with smb.open(path, "rb") as file:
        begun = file.read(2 * PIECE)
        room.server.drop_clients()
        assert is_away(refused(file.read))
        assert is_away(refused(file.read))
    with smb.open(path, "rb") as file:
        file.seek(len(begun))
        assert begun + file.read() == data


def test_writing_fails_when_the_server_goes(smb: SmbFileSystem, room: Room) -> None:
    def write() -> None:
        with smb.open(room.path("a"), "wb") as file:
            file.write(bytes(PIECE))
            room.server.drop_clients()
            file.write(bytes(PIECE))

    assert is_away(refused(write))
    smb.rm_file(room.path("a"))


def test_nobody_waits_for_ever_for_a_server_that_hangs(room: Room) -> None:
    smb, path = room.client(answer_seconds=1), room.place("a", bytes(LARGE))
    file = smb.open(path, "rb")
    writing = smb.open(room.path("b"), "wb")
    room.server.freeze()
    try:
        begun = time.monotonic()
        assert refused(file.read).errno == errno.ETIMEDOUT
        file.close()
        assert is_away(refused(lambda: (writing.write(bytes(LARGE)), writing.close())))
        assert time.monotonic() - begun < 5
    finally:
        room.server.thaw()
    assert smb.cat_file(path) == bytes(LARGE)


def test_nobody_waits_for_ever_for_a_server_that_never_says_a_word(room: Room) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        smb = room.client(port=mute.getsockname()[1], answer_seconds=1)
        begun = time.monotonic()
        assert refused(lambda: smb.info("/media/a")).errno == errno.ETIMEDOUT
        assert time.monotonic() - begun < 3


def test_threads_take_their_connections_with_them(own_samba: SambaServer) -> None:
    room = room_on(own_samba)
    path = room.place("a", bytes(LARGE))

    def use(smb: SmbFileSystem) -> None:
        def read(_: int) -> None:
            with smb.open(path, "rb") as file:
                file.read(2 * PIECE)

        for _ in range(3):
            with ThreadPoolExecutor(5) as pool:
                list(pool.map(read, range(10)))
        assert soon(lambda: not own_samba.connections())
        assert soon(lambda: not receiving_threads(own_samba))
        assert smb.exists(path)
        assert len(own_samba.connections()) == 1

    use(room.client())
    assert soon(lambda: not own_samba.connections())


def test_an_open_file_keeps_its_connection(own_samba: SambaServer) -> None:
    room = room_on(own_samba)
    smb, path = room.client(), room.place("a", bytes(LARGE))
    with ThreadPoolExecutor(1) as pool:
        file = pool.submit(smb.open, path, "rb").result()
    assert len(file.read()) == LARGE
    file.close()
    del file
    assert soon(lambda: not own_samba.connections())


def test_a_fork_has_a_connection_of_its_own(own_samba: SambaServer) -> None:
    room = room_on(own_samba)
    data = os.urandom(LARGE)
    smb, path = room.client(), room.place("a", data)
    with smb.open(path, "rb") as file:
        begun = file.read(2 * PIECE)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # a fork with threads: it is the point
            child = os.fork()
        if child == 0:
            os._exit(_in_a_fork(smb, path, data))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert begun + file.read() == data


def _in_a_fork(smb: SmbFileSystem, path: str, data: bytes) -> int:
    try:
        same = smb.cat_file(path) == data and smb.info(path)["size"] == len(data)
        smb.close()
    except BaseException:  # noqa: BLE001 -- nothing of this process may go on in the fork
        return 2
    return 0 if same else 1


def test_a_file_that_was_open_before_a_fork_is_not_read_in_it(room: Room) -> None:
    smb, path = room.client(answer_seconds=1), room.place("a", bytes(LARGE))
    with smb.open(path, "rb") as file:
        file.read(PIECE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                file.read()
            except OSError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert len(file.read()) == LARGE - PIECE


def test_the_password_is_nowhere_to_be_seen(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "smbprotocol", "spnego"):
        caplog.set_level(logging.DEBUG, name)
    seen = []
    for password in (room.server.password, "s0me wrong one"):
        smb = room.client(password=password)
        seen += [repr(smb), str(smb), repr(vars(smb)), smb.to_json(), str(smb.to_dict())]
        for path in ("/media/nothing", "/nothing/a"):
            error = refused(lambda smb=smb, path=path: smb.info(path))  # type: ignore[misc]
            seen += ["".join(traceback.format_exception(error)), repr(error)]
        with pytest.raises(TypeError, match="is made where it is used") as caught:
            pickle.dumps(smb)
        seen.append(str(caught.value))
    everything = "\n".join([*seen, caplog.text])
    assert "nobody" in everything
    assert "SMB2_SESSION_SETUP" in caplog.text  # that was logged as well
    assert room.server.password not in everything
    assert "s0me wrong one" not in everything


def test_a_log_is_not_filled_with_every_message(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert room.client().isdir("/media")
    assert not [one for one in caplog.records if one.name.startswith(("smb", "spnego"))]


def test_clients_are_not_shared_by_those_who_ask_in_the_same_words(room: Room) -> None:
    assert room.client() is not room.client()
    assert SmbFileSystem._cache == {}


def receiving_threads(server: SambaServer) -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.endswith(f":{server.port}")]


def soon(told: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether something is so within a few seconds."""
    give_up = time.monotonic() + seconds
    while not told():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True
