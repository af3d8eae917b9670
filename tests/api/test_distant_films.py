"""Films on a share that the server reaches through a connection are handed out like those in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from reelyard.domain.share import Direct, Share, ShareTable
from reelyard.files.guarded import Guarded
from reelyard.services.films import Films
from reelyard.services.job_views import FILES
from tests.api.house import House
from tests.api.wire import Wire
from tests.files.frail import FrailServer
from tests.store.conftest import finished

FILM = bytes(range(256)) * (10 << 10)  # two blocks and a half
SIZE = len(FILM)
NAME = "Bähn.mp4"


@dataclass(frozen=True)
class Nas:
    """The connection to ``//nas/films``, with all that was opened there and how much of it was read."""

    files: FrailServer

    def file_system(self, share: Share) -> Guarded:
        return Guarded(self.files)

    def path(self, direct: Direct) -> str:
        return f"/films/{direct.path}"


@pytest.fixture(scope="module")
def files(house: House) -> FrailServer:
    """What lies on the share; the house's server knows it."""
    own = FrailServer()
    films = Films(ShareTable([Share(root="//nas/films")]), Nas(own))
    house.office = replace(house.office, jobs=replace(house.office.jobs, films=films))
    return own


@pytest.fixture(autouse=True)
def well(files: FrailServer) -> Iterator[None]:
    """Whatever a test did to the share is over."""
    yield
    files.before = lambda *_: None


@pytest.fixture
def job_id(house: House, files: FrailServer) -> str:
    """A completed job whose film lies there."""
    return film_at(house, files, f"//nas/films/out/{NAME}")


@pytest.fixture
def film(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}/output"


@pytest.fixture
def ann(house: House, files: FrailServer) -> Wire:
    return house.of("ann")


def film_at(house: House, files: FrailServer, name: str) -> str:
    lease = house.lease()
    path = name.removeprefix("//nas")
    for suffix in FILES.values():
        files.pipe_file(path.replace(".mp4", suffix), FILM if suffix == ".mp4" else suffix.encode())
    assert house.books.leases.started(lease, "/logs", name)
    assert house.books.leases.complete(lease, finished(output_path=name))
    return lease.job_id


def test_a_whole_film(ann: Wire, film: str) -> None:
    answer = ann("GET", film)
    assert (answer.status, answer.body, answer.kind) == (200, FILM, "video/mp4")
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''B%C3%A4hn.mp4"
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("wanted", "first", "last"), [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, SIZE - 1),
    ("bytes=1048570-1048580", 1048570, 1048580), ("Bytes = 5 - 6", 5, 6),
    ("bytes=-7", SIZE - 7, SIZE - 1), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    (f"bytes=5-{10**17}", 5, SIZE - 1), (f"bytes=-{SIZE + 5}", 0, SIZE - 1),
])  # fmt: skip
def test_a_range(ann: Wire, film: str, wanted: str, first: int, last: int) -> None:
    """206 with exactly those bytes."""
    answer = ann("GET", film, headers={"range": wanted})
    assert (answer.status, answer.body) == (206, FILM[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["content-length"] == str(last + 1 - first)


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=99999999-100000000", "bytes=-0"])
def test_a_range_that_is_not_there(ann: Wire, film: str, wanted: str) -> None:
    answer = ann("GET", film, headers={"range": wanted})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=x-", "lines=1-2", "bytes=", "bytes=--1", "\xff",
                                    "bytes=-", "bytes=0-1,5-6", f"bytes={10**30}-", "bytes=٣-"])  # fmt: skip
def test_what_is_no_single_range_is_answered_with_all_of_it(
    ann: Wire, film: str, wanted: str
) -> None:
    try:
        given = wanted.encode("latin-1").decode("latin-1")
    except UnicodeEncodeError:
        given = wanted.encode().decode("latin-1")
    answer = ann("GET", film, headers={"range": given})
    assert (answer.status, len(answer.body)) == (200, SIZE)


def test_what_a_client_has_already_is_not_sent_again(ann: Wire, film: str) -> None:
    told = ann("GET", film).headers
    for name in ("etag", "last-modified"):
        part = {"range": "bytes=0-9", "if-range": told.get(name, told["etag"])}
        assert ann("GET", film, headers=part).status == 206
        assert ann("GET", film, headers={**part, "if-range": '"another"'}).body == FILM


def test_no_more_is_read_than_is_taken(ann: Wire, film: str, files: FrailServer) -> None:
    """A player that goes away after the first block has cost one or two, whatever the film's length."""
    read: list[int] = []
    files.told = read.append
    ann("GET", film, most=2)
    files.told = lambda _: None
    assert 0 < sum(read) < SIZE
    assert max(read) <= 1 << 20


@pytest.mark.parametrize("wanted", [None, "bytes=5-9"])
def test_who_asks_for_the_head_alone_has_nothing_read(
    ann: Wire, film: str, files: FrailServer, wanted: str | None
) -> None:
    """It says what the whole answer would be."""
    read: list[int] = []
    files.told = read.append
    headers = {"range": wanted} if wanted else {}
    answer, whole = ann("HEAD", film, headers=headers), ann("GET", film, headers=headers, most=1)
    files.told = lambda _: None
    assert (answer.status, answer.body) == (whole.status, b"")
    assert dict(answer.headers) == dict(whole.headers)
    read.clear()
    files.told = read.append
    ann("HEAD", film, headers=headers)
    files.told = lambda _: None
    assert read == []


@pytest.mark.parametrize(("kind", "media_type"), [
    ("contact-sheet", "image/jpeg"), ("chapters", "text/plain"), ("report", "application/json"),
])  # fmt: skip
def test_what_lies_beside_the_film(ann: Wire, film: str, kind: str, media_type: str) -> None:
    answer = ann("GET", film.replace("output", kind))
    assert (answer.status, answer.kind, answer.text) == (200, media_type, FILES[kind])


def test_a_film_that_is_gone_and_one_on_an_unknown_share_say_so(
    ann: Wire, house: House, files: FrailServer
) -> None:
    for name in ("//nas/films/gone.mp4", "//other/films/a.mp4"):
        job_id = film_at(house, files, name)
        files.rm_file("/films/gone.mp4") if "gone" in name else None
        problem = ann("GET", f"/api/v1/jobs/{job_id}/output").problem
        assert problem["status"] == 404
        assert "/films/" not in json.dumps(problem)


def test_a_share_that_does_not_answer_says_so(ann: Wire, film: str, files: FrailServer) -> None:
    """For now: what asks may ask again."""

    def away(operation: str, path: str) -> None:
        raise TimeoutError("no answer")

    files.before = away
    assert ann("GET", film).problem["status"] == 503


def test_a_share_that_goes_away_in_the_middle_ends_the_answer_short(
    ann: Wire, film: str, files: FrailServer
) -> None:
    """Whoever reads it sees that bytes are missing, by the length that was promised."""

    def away(size: int) -> None:
        if size and len(reads) > 1:
            raise ConnectionResetError("the cable")
        reads.append(size)

    reads: list[int] = []
    files.told = away
    answer = ann("GET", film, raises=False)
    files.told = lambda _: None
    assert answer.status == 200 and len(answer.body) < SIZE
    assert answer.error is not None


def test_removing_a_job_takes_its_film_from_the_share(
    ann: Wire, house: House, files: FrailServer
) -> None:
    for query, is_kept in (("", True), ("?with_film=true", False)):
        job_id = film_at(house, files, "//nas/films/removed/film.mp4")
        assert ann("DELETE", f"/api/v1/jobs/{job_id}{query}").status == 204
        left = [name for name in files.names() if "removed" in name]
        assert len(left) == (len(FILES) if is_kept else 0)
