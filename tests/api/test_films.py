"""What the API hands out as files: films and logs, whole or in ranges, and results for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.api.house import House
from tests.api.wire import Wire

FILM = bytes(range(256)) * 40
SIZE = len(FILM)


@pytest.fixture(scope="module")
def ann(house: House) -> Wire:
    return house.of("ann")


@pytest.fixture(scope="module")
def film(house: House) -> str:
    """Where a film is."""
    return f"/api/v1/jobs/{house.film(content=FILM)}/output"


def test_a_whole_film(ann: Wire, film: str) -> None:
    """Shown in the page, saved under its name, kept by nobody in between, and said to be cut up at will."""
    answer = ann("GET", film)
    assert (answer.status, answer.body, answer.kind) == (200, FILM, "video/mp4")
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == 'inline; filename="film.mp4"'
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(("wanted", "first", "last"), [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=100-", 100, SIZE - 1),
    ("bytes=-7", SIZE - 7, SIZE - 1), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    ("bytes=5-99999999", 5, SIZE - 1), (f"bytes=-{SIZE + 5}", 0, SIZE - 1),
])  # fmt: skip
def test_a_range(ann: Wire, film: str, wanted: str, first: int, last: int) -> None:
    """206 with exactly those bytes: players jump about by them."""
    answer = ann("GET", film, headers={"range": wanted})
    assert (answer.status, answer.body) == (206, FILM[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["content-length"] == str(last + 1 - first)


def test_several_ranges_come_in_parts(ann: Wire, film: str) -> None:
    answer = ann("GET", film, headers={"range": "bytes=0-3,256-259"})
    assert answer.status == 206
    assert answer.kind == "multipart/byteranges"
    assert answer.body.count(b"Content-Range: bytes ") == 2
    assert b"\x00\x01\x02\x03" in answer.body


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", "bytes=99999-100000"])
def test_a_range_that_is_not_there(ann: Wire, film: str, wanted: str) -> None:
    """416 tells how much there is."""
    answer = ann("GET", film, headers={"range": wanted})
    assert answer.status == 416
    assert answer.headers["content-range"].endswith(f"*/{SIZE}")


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=x-", "lines=1-2", "bytes=", "bytes=--1", "\xff",
                                    "bytes=" + ",".join("0-0" for _ in range(5000))])  # fmt: skip
def test_a_range_that_makes_no_sense_is_no_accident(ann: Wire, film: str, wanted: str) -> None:
    """The whole film or a refusal, never an error of the server, and never more than the film."""
    answer = ann("GET", film, headers={"range": wanted})
    assert answer.status in (200, 206, 400, 416)
    assert len(answer.body) < 2 * SIZE


def test_what_a_client_has_already_is_not_sent_again(ann: Wire, film: str) -> None:
    """A range of the film it knows, or all of the new one."""
    told = ann("GET", film).headers
    for name in ("etag", "last-modified"):
        part = {"range": "bytes=0-9", "if-range": told[name]}
        assert ann("GET", film, headers=part).status == 206
        assert ann("GET", film, headers={**part, "if-range": '"another"'}).body == FILM


@pytest.mark.parametrize(("kind", "media_type", "suffix"), [
    ("contact-sheet", "image/jpeg", ".contact-sheet.jpg"), ("chapters", "text/plain", ".chapters.txt"),
    ("report", "application/json", ".report.json"),
])  # fmt: skip
def test_what_lies_beside_the_film(
    ann: Wire, film: str, kind: str, media_type: str, suffix: str
) -> None:
    answer = ann("GET", film.replace("output", kind))
    assert (answer.status, answer.kind) == (200, media_type)
    assert answer.text == f"{{{suffix}}}"


@pytest.mark.parametrize("name", ["job.log", "ffmpeg_cmd.txt", "ffmpeg_stderr.txt"])
def test_a_log_is_read_from_where_one_was(ann: Wire, film: str, name: str) -> None:
    """As plain text, whatever is in it; watchers ask for what is new."""
    target = film.replace("output", f"logs/{name}")
    answer = ann("GET", target)
    assert (answer.text, answer.headers["content-type"]) == (
        f"{name}: done\n", "text/plain; charset=utf-8")  # fmt: skip
    assert ann("GET", target, headers={"range": "bytes=2-"}).text == f"{name}: done\n"[2:]


def test_a_job_without_a_film_says_so(ann: Wire, house: House) -> None:
    waiting = house.job()
    for part in ("output", "report", "logs/job.log"):
        assert ann("GET", f"/api/v1/jobs/{waiting}/{part}").problem["status"] == 404


def test_a_film_that_is_gone_says_so(ann: Wire, house: House) -> None:
    """Deleted by somebody, or on a disk that is not mounted here."""
    job_id = house.film()
    Path(str(house.books.state(job_id).output_path)).unlink()
    problem = ann("GET", f"/api/v1/jobs/{job_id}/output").problem
    assert problem["status"] == 404
    assert str(house.folder) not in json.dumps(problem), "no more is told than the file's name"


@pytest.mark.parametrize("name", ['a"b;\r\nx: y.mp4', "ünï\udcff.mp4", "x" * 200 + ".mp4"])
def test_an_odd_name_of_a_film_stays_in_its_header(house: House, ann: Wire, name: str) -> None:
    """No line of a header ends in it."""
    answer = ann("GET", f"/api/v1/jobs/{house.film(name)}/output")
    assert answer.status == 200
    assert "x" not in answer.headers
    assert not {"\r", "\n"} & set(answer.headers["content-disposition"])


def test_removing_a_job_takes_its_film_only_where_that_is_wanted(ann: Wire, house: House) -> None:
    for query, is_kept in (("", True), ("?with_film=true", False)):
        job_id = house.film()
        film = Path(str(house.books.state(job_id).output_path))
        assert ann("DELETE", f"/api/v1/jobs/{job_id}{query}").status == 204
        assert film.exists() == is_kept
        assert ann("GET", f"/api/v1/jobs/{job_id}").status == 404


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"]


def test_no_cell_of_a_spreadsheet_is_taken_for_a_formula(house: House, ann: Wire) -> None:
    """Whatever a channel is called: whoever opens the file runs nothing."""
    for name in FORMULAS:
        house.film(channel_name=name)
    answer = ann("GET", "/api/v1/history/results.csv")
    assert answer.kind == "text/csv"
    assert answer.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {"job_id", "channel_name", "status", "total_duration"} <= set(rows[0])
    assert not [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r\n")]
    assert {"'=1+1", "'@SUM(A1)"} < {row["channel_name"] for row in rows}


def test_a_draft_comes_with_its_film_and_pictures(house: House) -> None:
    """Asked for, made, watched in ranges, stopped; while it is made there is nothing to be had."""
    ben = house.of("ben")
    wish = {"job": house.document(priority=3, metadata={}), "seconds_per_item": 0.2}
    begun = ben("POST", "/api/v1/drafts", wish)
    assert begun.status == 202
    target = f"/api/v1/drafts/{begun.json()['draft_id']}"
    house.office.drafts._pool.submit(lambda: None).result(60)  # the one after it: it is over
    told = ben("GET", target).json()
    assert (told["status"], told["problems"]) == ("done", [])
    film = ben("GET", f"{target}/film", headers={"range": "bytes=4-7"})
    assert (film.status, film.body, film.kind) == (206, b"ftyp", "video/mp4")
    assert ben("GET", f"{target}/contact-sheet").body[:2] == b"\xff\xd8"
    assert ben("DELETE", target).status == 200
    assert ben("GET", f"{target}/film").problem["status"] == 409


@pytest.mark.parametrize("wish", [
    {"job": 5}, {"job": {}}, {}, {"job": {"channel_name": "a", "items": []}}, {"job": None},
])  # fmt: skip
def test_a_draft_of_no_job(ann: Wire, wish: object) -> None:
    assert ann("POST", "/api/v1/drafts", wish).problem["status"] == 422


@pytest.mark.parametrize("seconds", [0, -1, 1e9, "x", [], float("inf")])
def test_a_draft_shows_some_of_each_item(ann: Wire, house: House, seconds: object) -> None:
    wish = {"job": house.document(), "seconds_per_item": seconds}
    assert ann("POST", "/api/v1/drafts", wish).problem["status"] == 422
