"""Publishing where films are reached through a connection keeps what it promises in folders of this machine.

The same promises are put to a folder, to a file server and a store that are fakes, to Samba and to an S3 server.
"""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from reelyard.domain.errors import Cancelled, DatabaseUnavailable
from reelyard.domain.share import Share, ShareTable
from reelyard.files.connections import Connection, Connections
from reelyard.files.distant import DistantPath, PlaceFailed
from reelyard.files.guarded import Guarded
from reelyard.files.publishing import Place, Staging, local, remove_stagings, withdraw
from reelyard.services.films import Films
from reelyard.services.outputs import targets
from tests.files.conftest import room_on
from tests.files.frail import SHARE, FrailServer, FrailStore
from tests.s3_server import S3Server

NAME = 'Bahn [1]? *Größe* \'n "q".mp4'
ON_A_SERVER = "Bahn [1] Größe 'n.mp4"  # Windows' servers allow less
MEBIBYTE = 1 << 20


def nothing() -> None:
    """Nobody stops it."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with closing(S3Server(tmp_path_factory.mktemp("s3"))) as server:
        server.start()
        server.bucket("films")
        yield server


def on_s3(server: S3Server, bucket: str = "films") -> Connections:
    options = {"endpoint": server.url}
    return Connections([Connection(root=f"s3://{bucket}", user=server.key,
                                   password=lambda: server.secret, options=options)])  # fmt: skip


def frail(files: FrailStore) -> DistantPath:
    guarded = Guarded(files)
    return DistantPath(lambda: guarded, f"{SHARE}/out", "//nas/films/out")


DISTANT = ("server", "store", "samba", "s3")


@pytest.fixture(params=["folder", *DISTANT])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder that films go to. None of its files is there yet."""
    return tmp_path / "out" if request.param == "folder" else distant(request, tmp_path)


@pytest.fixture(params=DISTANT)
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One that is not on this machine."""
    return distant(request, tmp_path)


def distant(request: pytest.FixtureRequest, tmp_path: Path) -> DistantPath:
    if request.param in ("server", "store"):
        return frail(FrailServer() if request.param == "server" else FrailStore())
    if request.param == "s3":
        table = ShareTable([Share(root="s3://films")])
        name = f"s3://films/{tmp_path.name}"
        found = Films(table, on_s3(request.getfixturevalue("s3"))).find(name)
        assert isinstance(found, DistantPath)
        return found
    room = room_on(request.getfixturevalue("samba"))
    client = room.client()
    return DistantPath(lambda: client, room.path("out"), f"//nas/{room.name}/out")


def content(place: Place) -> bytes | None:
    if isinstance(place, DistantPath):
        return b"".join(place.read(0, None)) if place.is_file() else None
    assert isinstance(place, Path)
    return place.read_bytes() if place.is_file() else None


def made(folder: Path, data: bytes) -> Path:
    path = folder / "made"
    path.write_bytes(data)
    return path


def stage(output: Place, token: str, folder: Path, data: bytes) -> Staging:
    """A film and its report, ready to be shown."""
    staging = Staging(output, token)
    staging.bring(made(folder, b"report of " + data), ".report.json", nothing)
    staging.bring(made(folder, data), ".mp4", nothing)
    return staging


def shown(out: Place) -> list[str]:
    """What is in the folder, without the empty ones that rclone keeps."""
    found = [path for path in out.iterdir() if path.is_file() or any(path.iterdir())]
    return sorted(path.name for path in found)


def film_in(out: Place) -> Place:
    return out / (NAME if str(out).startswith("s3:") else ON_A_SERVER)


def test_a_film_is_seen_whole_with_what_lies_beside_it_and_over_an_older_one(
    out: Place, tmp_path: Path
) -> None:
    """Before ``reveal`` nothing of it is there; afterwards nothing temporary is."""
    film = film_in(out)
    for data in (b"one film", b"another" * 1000):
        staging = stage(film, "000001", tmp_path, data)
        assert content(film) != data
        staging.reveal()
        assert content(film) == data
        assert content(film.with_suffix(".report.json")) == b"report of " + data
    assert shown(out) == sorted(one.name for one in targets(film)[:2])


def test_who_was_replaced_can_not_publish_any_more(out: Place, tmp_path: Path) -> None:
    """The next owner removes the staging of all earlier ones, and no other film's."""
    film, other = film_in(out), out / "other.mp4"
    late = stage(film, "000001", tmp_path, b"of a paused worker")
    neighbour = stage(other, "000001", tmp_path, b"another job's")
    assert remove_stagings(film, "000002")
    stage(film, "000002", tmp_path, b"of the new owner").reveal()
    with pytest.raises(FileNotFoundError):
        late.reveal()
    neighbour.reveal()
    assert (content(film), content(other)) == (b"of the new owner", b"another job's")
    late.discard()
    assert [name for name in shown(out) if name.startswith(".")] == []


def test_a_published_film_is_taken_back_only_if_its_job_is_over(out: Place, tmp_path: Path) -> None:
    film = out / "film.mp4"
    stage(film, "000001", tmp_path, b"film").reveal()
    aside = Staging(film, "000001-over")
    assert not withdraw(film, aside, lambda: False)
    assert content(film) == b"film"
    assert withdraw(film, aside, lambda: True)
    assert not withdraw(film, aside, lambda: True), "it is gone already"
    aside.discard()
    assert shown(out) == ["film.report.json"]


def test_a_published_film_stays_where_nobody_can_tell_whether_its_job_is_over(
    out: Place, tmp_path: Path
) -> None:
    """The database goes away between the two looks: the film may be one of a job that was queued again."""
    film = film_in(out)
    stage(film, "000001", tmp_path, b"film").reveal()

    def away() -> bool:
        raise DatabaseUnavailable("the database can't be reached")

    aside = Staging(film, "000001-over")
    with pytest.raises(DatabaseUnavailable):
        withdraw(film, aside, away)
    aside.discard()
    assert content(film) == b"film"


def test_who_is_showing_its_files_just_now_is_turned_away_as_well(tmp_path: Path) -> None:
    """Files that go while their folder is removed don't keep the rest of it from being removed."""
    film = tmp_path / "out" / "film.mp4"
    for number in range(60):
        staging = Staging(film, "000001")
        places = [staging.place(f".{name}.json") for name in range(30)]
        for place in (*places, staging.place(".mp4")):
            local(place).write_bytes(b"old")
        ready = threading.Barrier(2)

        def show(places: list[Place] = places, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            for place in places:
                with suppress(FileNotFoundError):
                    place.replace(film.with_name(place.name))

        publisher = threading.Thread(target=show)
        publisher.start()
        ready.wait(30)
        assert remove_stagings(film, "000002")
        publisher.join()
        assert not staging.folder.exists(), f"round {number}"
        assert not film.exists()


def test_an_upload_is_broken_off_between_two_pieces_and_leaves_nothing(
    away: Place, tmp_path: Path, s3: S3Server
) -> None:
    """Not even the store's own pieces; a part of eight megabytes was there already."""
    film, staging = away / "film.mp4", Staging(away / "film.mp4", "000001")
    checks = 0

    def stop() -> None:
        nonlocal checks
        checks += 1
        if checks == 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        staging.bring(made(tmp_path, bytes(10 * MEBIBYTE)), ".mp4", stop)
    if str(away).startswith("s3:"):
        assert uploads(on_s3(s3)) == []
    staging.discard()
    assert shown(away) == [] and not film.exists()


# What a share or a store does to a film


FAULTS = {
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "read-only": OSError(errno.EROFS, "Read-only file system"),
    "gone": ConnectionResetError("the connection was lost"),
    "its own": RuntimeError("what its library raises"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", ["wb", "write", "close", "rb"])
def test_whatever_fails_is_an_os_error_that_names_the_film(
    fault: str, at: str, tmp_path: Path
) -> None:
    """Whoever decides what becomes of the job needs to know no library."""
    files = FrailServer()
    film = frail(files) / "film.mp4"

    def fail(operation: str, path: str) -> None:
        if operation == at:
            raise FAULTS[fault]

    files.before = fail
    with pytest.raises(PlaceFailed) as caught:
        stage(film, "000001", tmp_path, b"film")
    assert str(caught.value.filename).startswith("//nas/films/out/.film.")
    assert caught.value.is_full == (fault == "full")
    assert caught.value.is_refusal == (fault == "read-only")


@pytest.mark.parametrize(
    "keeps", [lambda data: data[:-1], lambda data: b"?" + data[1:], lambda _: b""]
)
def test_a_film_that_was_not_kept_as_it_was_sent_is_not_shown(
    keeps: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Cut short, or changed in one byte."""
    files = FrailStore()
    files.keeps = keeps
    film = frail(files) / "film.mp4"
    with pytest.raises(PlaceFailed, match="did not keep"):
        stage(film, "000001", tmp_path, b"film")
    assert not film.exists()


def test_a_share_that_is_gone_does_not_keep_the_job_from_ending(tmp_path: Path) -> None:
    """What is left there the next owner of the job removes."""
    files = FrailServer()
    film = frail(files) / "film.mp4"
    staging = stage(film, "000001", tmp_path, b"film")

    def away(operation: str, path: str) -> None:
        raise TimeoutError("no answer")

    files.before = away
    staging.discard()
    with pytest.raises(PlaceFailed):
        remove_stagings(film, "000002")
    files.before = lambda *_: None
    assert remove_stagings(film, "000002")
    assert files.names() == []


def test_no_folder_is_made_where_there_is_no_such_share(tmp_path: Path) -> None:
    """A store would make a bucket of a misspelt name."""
    files = FrailStore()
    guarded = Guarded(files)
    film = DistantPath(lambda: guarded, "/flims/out/film.mp4", "s3://flims/out/film.mp4")
    with pytest.raises(PlaceFailed, match="no such share") as caught:
        stage(film, "000001", tmp_path, b"film")
    assert caught.value.is_unknown
    assert files.names() == []


def test_a_store_gives_a_later_owners_job_its_film_back(tmp_path: Path) -> None:
    """A store can't move a film aside to look: who slept before the deletion puts one of that job back."""
    files = FrailStore()
    film = frail(files) / "film.mp4"
    stage(film, "000001", tmp_path, b"film").reveal()
    answers = iter(
        [True, False]
    )  # over when it was looked at, and queued again when it was deleted
    aside = Staging(film, "000001-over")
    assert not withdraw(film, aside, lambda: next(answers))
    assert content(film) == b"film"
    aside.discard()
    assert files.names() == [f"{SHARE}/out/film.mp4", f"{SHARE}/out/film.report.json"]


def test_a_store_gets_a_film_back_where_nobody_can_tell_any_more(tmp_path: Path) -> None:
    """It was over, then deleted, then the database went away."""
    files = FrailStore()
    film = frail(files) / "film.mp4"
    stage(film, "000001", tmp_path, b"film").reveal()
    looks: list[bool] = []

    def is_over() -> bool:
        looks.append(True)
        if len(looks) > 1:
            raise DatabaseUnavailable("the database can't be reached")
        return True

    aside = Staging(film, "000001-over")
    with pytest.raises(DatabaseUnavailable):
        withdraw(film, aside, is_over)
    aside.discard()
    assert content(film) == b"film"


def test_a_film_is_read_from_anywhere_as_far_as_is_wanted() -> None:
    files = FrailServer()
    film = frail(files) / "film.mp4"
    data = bytes(range(256)) * 8192 * 2  # four blocks
    files.pipe_file(film.path, data)
    assert b"".join(film.read(3 * MEBIBYTE + 5, 7)) == data[5:12]
    assert b"".join(film.read(1, None)) == data[1:]
    assert b"".join(film.read(len(data) - 2, 10)) == data[-2:], "it ends where the file does"
    sizes = [len(block) for block in film.read(0, None)]
    assert max(sizes) <= MEBIBYTE and sum(sizes) == len(data)


# Of a real store


def test_a_film_that_is_sent_in_parts_comes_whole(s3: S3Server, tmp_path: Path) -> None:
    films = Films(ShareTable([Share(root="s3://films")]), on_s3(s3))
    film, data = films.find("s3://films/large/film.mp4"), random.Random(1).randbytes(9 * MEBIBYTE)
    staging = Staging(film, "000001")
    staging.bring(made(tmp_path, data), ".mp4", nothing)
    staging.reveal()
    assert content(film) == data
    assert uploads(on_s3(s3)) == []


def uploads(connections: Connections) -> list[str]:
    files = connections.file_system(Share(root="s3://films"))
    found = files.driver.call_s3("list_multipart_uploads", Bucket="films")
    return [one["Key"] for one in found.get("Uploads") or []]


def test_uploads_of_a_killed_publisher_are_ended_by_the_next_owner(s3: S3Server) -> None:
    """Nobody sees them, and they are paid for."""
    connections = on_s3(s3)
    films = Films(ShareTable([Share(root="s3://films")]), connections)
    film = films.find("s3://films/broken/film.mp4")
    assert isinstance(film, DistantPath)
    files = connections.file_system(Share(root="s3://films"))
    for token in ("000001", "000007"):  # killed, and the upload of one that is at work
        killed = Staging(film, token).folder / "film.mp4"
        key = str(killed).removeprefix("s3://films/")
        files.driver.call_s3("create_multipart_upload", Bucket="films", Key=key)
    assert len(uploads(connections)) == 2
    assert remove_stagings(film, "000002")
    assert [".000007." in key for key in uploads(connections)] == [True]
    assert remove_stagings(film, "000008")


def test_a_large_film_that_is_being_shown_in_pieces_is_not_shown_any_more(s3: S3Server) -> None:
    """A store copies what is large in pieces: the next owner ends that, and no other film's."""
    connections = on_s3(s3)
    films = Films(ShareTable([Share(root="s3://films")]), connections)
    film = films.find("s3://films/large/film.mp4")
    files = connections.file_system(Share(root="s3://films"))
    for name in ("film.mp4", "film.mp4.other"):
        files.driver.call_s3("create_multipart_upload", Bucket="films", Key=f"large/{name}")
    remove_stagings(film, "000002")
    assert [key for key in uploads(connections) if "large/" in key] == ["large/film.mp4.other"]


class SlowCopier(BaseHTTPRequestHandler):
    """A store that says nothing before it has copied the whole of an object, as many do."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str]]]

    def do_HEAD(self) -> None:
        self.answer(b"", {"Content-Length": "5", "ETag": '"5"', "Last-Modified": formatdate()})

    def do_PUT(self) -> None:
        if "x-amz-copy-source" in self.headers:
            time.sleep(3.5)
            self.asked.append(("copied to", self.path))
        self.answer(b'<CopyObjectResult><ETag>"5"</ETag></CopyObjectResult>', {})

    def do_DELETE(self) -> None:
        self.asked.append(("deleted", self.path))
        self.answer(b"", {})

    def answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def test_a_store_has_time_to_copy_a_film_and_not_to_answer_otherwise() -> None:
    """It is not taken for one that hangs, however large the film is."""

    class Store(SlowCopier):
        asked: ClassVar[list[tuple[str, str]]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "config_kwargs": {"read_timeout": 2},
    }
    row = Connection(root="s3://films", user="K", password=lambda: "secret", options=options)
    films = Films(ShareTable([Share(root="s3://films")]), Connections([row]))
    try:
        films.find("s3://films/staged.mp4").replace(films.find("s3://films/film.mp4"))
    finally:
        server.shutdown()
        server.server_close()
    assert Store.asked == [("copied to", "/films/film.mp4"), ("deleted", "/films/staged.mp4")]
