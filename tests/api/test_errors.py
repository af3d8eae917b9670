"""Errors have one shape (RFC 9457), name every problem at once, and give nothing away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from reelyard.api.app import create_app
from reelyard.api.errors import status_of
from reelyard.domain.errors import DatabaseUnavailable, EncoderUnavailable, GraphicsCardBusy
from reelyard.store.accounts import Accounts
from reelyard.store.database import Database
from tests.api.house import LIMIT, House, opened
from tests.api.wire import Wire

JOBS = "/api/v1/jobs"
BODY = 10_000_000
"""Bytes that a request may have, but for uploads."""


@pytest.fixture(scope="module")
def ann(house: House) -> Wire:
    return house.of("ann")


def test_a_card_that_is_busy_is_asked_again_and_one_that_is_dead_is_not() -> None:
    assert status_of(GraphicsCardBusy("the card does no more encodes at once")) == 503
    assert status_of(EncoderUnavailable("the card can't encode")) == 422


def test_an_address_that_is_none(ann: Wire) -> None:
    """404, whoever asks, with all that RFC 9457 wants and a code that stays."""
    problem = ann("GET", "/api/v1/nothing/here").problem
    assert problem["type"] == "urn:reelyard:error:not_found"
    assert problem["title"] == "Not Found"
    assert problem["instance"] == "/api/v1/nothing/here"
    assert problem["code"] == "not_found"
    assert problem["detail"]
    assert problem["remedy"]


@pytest.mark.parametrize("target", ["/nothing", "/health/nothing", "/api/static/nothing.js"])
def test_an_address_that_is_none_beside_the_api(ann: Wire, target: str) -> None:
    assert ann("GET", target).problem["status"] == 404


@pytest.mark.parametrize(("method", "target"), [
    ("PUT", JOBS), ("DELETE", JOBS), ("POST", "/api/v1/history/totals"), ("POST", "/health/live"),
    ("PATCH", f"{JOBS}/preflight"), ("BREW", JOBS),
])  # fmt: skip
def test_a_method_that_an_address_has_not(ann: Wire, method: str, target: str) -> None:
    """405 says which methods there are."""
    answer = ann(method, target)
    assert answer.problem["status"] == 405
    assert answer.headers["allow"]


@pytest.mark.parametrize(("target", "field"), [
    ("limit=0", "limit"), ("limit=x", "limit"), ("status=lost", "status.0"), ("sort=up", "sort"),
    ("since=yesterday", "since"), ("since=2026-01-01T00:00:00", "since"), ("cursor=zzz", "cursor"),
])  # fmt: skip
def test_a_query_that_makes_no_sense_names_its_field(ann: Wire, target: str, field: str) -> None:
    problem = ann("GET", f"{JOBS}?{target}").problem
    assert (problem["status"], problem["field"]) == (422, field)
    assert problem["remedy"]


def test_all_that_is_wrong_with_a_query_comes_at_once(ann: Wire) -> None:
    problem = ann("GET", f"{JOBS}?limit=0&sort=up&queue=none").problem
    assert {one["field"] for one in problem["problems"]} == {"limit", "sort", "queue"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1", b"\xff\xfe", b"nonsense", b"[" * 100_000, b"NaN"]
)
def test_a_body_that_is_no_json(ann: Wire, body: bytes) -> None:
    """It is the sender's mistake, however odd."""
    answer = ann("POST", JOBS, chunks=[body], headers={"content-type": "application/json"})
    assert answer.problem["status"] in (400, 422)


@pytest.mark.parametrize("document", [[], "text", 1, True, [{"items": []}], {}, {"items": {}}])
def test_a_document_that_is_no_job(ann: Wire, document: Any) -> None:
    assert ann("POST", JOBS, document).problem["status"] == 422


def test_every_problem_of_a_job_comes_at_once(ann: Wire, house: House) -> None:
    """Those of its items together with those of what came with it; nothing is stored."""
    before = house.state()
    document = {
        "channel_name": "", "priority": 99, "metadata": "none", "webhook": {"url": 5},
        "items": [{"item_type": "video", "path": "/nowhere.mp4"}, {"item_type": "film"}, 7],
    }  # fmt: skip
    problem = ann("POST", JOBS, document).problem
    found = {(one["position"], one["field"]) for one in problem["problems"]}
    assert {(None, "channel_name"), (None, "priority"), (None, "metadata"), (None, "webhook.url"),
            (2, "item_type"), (2, "path"), (3, None)} <= found  # fmt: skip
    assert all(one["message"] and one["remedy"] for one in problem["problems"])
    assert house.state() == before


def test_what_the_files_have_wrong_comes_with_the_rest(ann: Wire, house: House) -> None:
    """A clip that is not there, a logo that is none, and a priority that there is not, in one answer."""
    document = house.document(priority=-1)
    document["items"] += [
        {"item_type": "video", "path": "gone.mp4"},
        {"item_type": "video", "path": "clip.mp4", "logo_path": "gone.png"},
    ]
    problems = ann("POST", JOBS, document).problem["problems"]
    assert {one["position"] for one in problems} == {None, 2, 3}
    assert {one["field"] for one in problems} >= {"priority"}


def test_a_job_in_no_state_for_it(ann: Wire, house: House) -> None:
    """409: cancelled twice, retried while it waits, removed while it waits."""
    ended, waiting = house.ended_job(), house.job()
    for method, target in (
        ("POST", f"{ended}/cancel"), ("POST", f"{waiting}/retry"), ("DELETE", waiting),
    ):  # fmt: skip
        problem = ann(method, f"{JOBS}/{target}").problem
        assert (problem["status"], problem["code"]) == (409, "job_conflict")


def test_a_body_that_says_it_is_too_large_is_not_read(ann: Wire) -> None:
    answer = ann("POST", JOBS, chunks=[b"{}"], headers={"content-length": str(BODY + 1)})
    assert answer.problem["code"] == "too_large"
    assert answer.status == 413


def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(ann: Wire) -> None:
    """Chunked, without a length: counted while it comes."""
    json = {"content-type": "application/json"}
    answer = ann("POST", JOBS, chunks=[b" " * 6_000_000] * 2, headers=json)
    assert answer.problem["status"] == 413


def test_an_upload_may_be_larger_than_other_bodies_and_has_a_limit(ann: Wire) -> None:
    for sent in ({"headers": {"content-length": str(LIMIT + 1)}}, {}):
        answer = ann("POST", "/api/v1/library/uploads/a.mp4", chunks=[b"0" * (LIMIT + 1)], **sent)
        assert answer.problem["status"] == 413


@pytest.mark.parametrize("length", ["-1", "x", "1e9", "\xb2"])
def test_a_length_that_is_no_number_is_no_way_around_the_limit(ann: Wire, length: str) -> None:
    headers = {"content-length": length, "content-type": "application/json"}
    assert ann("POST", JOBS, chunks=[b" " * 6_000_000] * 2, headers=headers).status == 413


def test_too_many_requests_say_when_to_come_again(
    tmp_path: Path, migrated: Path, short_clip: Path
) -> None:
    """429 after so many in a minute; each address is counted by itself."""
    with opened(House(tmp_path, migrated, short_clip, per_minute=3)) as house:
        answers = [house.wire("GET", "/health/live") for _ in range(4)]
        assert [one.status for one in answers] == [200, 200, 200, 429]
        assert answers[3].problem["code"] == "too_many_requests"
        assert int(answers[3].headers["retry-after"]) > 0
        assert house.wire("GET", "/health/live", client="10.1.2.3").status == 200


class Away(Accounts):
    """Nothing can be asked of it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)

    def any(self, *_: object) -> bool:
        raise DatabaseUnavailable("the database at postgresql://farm:***@db/farm can't be reached")

    of_token = of_session = by_name = any  # type: ignore[assignment]


@pytest.fixture
def dark(house: House) -> Iterator[FastAPI]:
    """The API while the database is away."""
    access = replace(house.access, accounts=Away(house.farm.reelyard.database))
    office = replace(house.office, access=access)
    yield create_app(office, lambda: {"database": "away"}, upload_limit=LIMIT, per_minute=0)


@pytest.mark.parametrize("headers", [
    {}, {"authorization": "Bearer x"}, {"cookie": "reelyard_session=x"}, {"host": "example.com"},
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_while_the_database_is_away_callers_are_told_to_come_again(
    house: House, dark: FastAPI, headers: dict[str, str], method: str
) -> None:
    """503 with Retry-After and a problem document, whoever asks from wherever."""
    answer = Wire(dark, house.wire.runner)(method, JOBS, {}, headers=headers)
    assert answer.problem["code"] == "database_unavailable"
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


def test_health_tells_what_is_away_and_no_more(house: House, dark: FastAPI) -> None:
    """Alive, and not ready; nothing of where the database is."""
    wire = Wire(dark, house.wire.runner)
    assert wire("GET", "/health/live").status == 200
    answer = wire("GET", "/health/ready")
    assert answer.status == 503
    assert answer.json() == {"status": "not ready", "parts": {"database": "away"}}


class Broken(Accounts):
    """Has a bug in it."""

    def any(self) -> bool:
        raise ZeroDivisionError("secret-in-a-traceback")


def test_a_bug_shows_nobody_a_traceback(house: House) -> None:
    """500 in the one shape: what went wrong is for the server's log."""
    access = replace(house.access, accounts=Broken(house.farm.reelyard.database))
    office = replace(house.office, access=access)
    app = create_app(office, dict, upload_limit=LIMIT, per_minute=0)
    answer = Wire(app, house.wire.runner)("GET", JOBS, raises=False)
    assert answer.problem["code"] == "error"
    assert answer.status == 500
    for word in (b"secret-in", b"Traceback", b"ZeroDivision", b".py"):
        assert word not in answer.body


def test_no_answer_holds_a_secret(house: House) -> None:
    """Not the settings' passwords, not the hashes of people's, not what webhooks sign with."""
    ada = house.of("ada")
    made = ada("POST", "/api/v1/webhooks", {"url": "http://127.0.0.1:9/x"}).json()
    hashed = house.access.accounts.by_name("ada")
    assert hashed is not None
    secrets = [made["secret"], str(hashed[1]), ada.headers["cookie"].partition("=")[2], "$argon2"]
    for target in ("session", "users", "settings", "audit", "tokens?everybody=true", "webhooks",
                   f"webhooks/{made['webhook_id']}"):  # fmt: skip
        answer = ada("GET", f"/api/v1/{target}")
        assert answer.status == 200
        assert not [one for one in secrets if one in answer.text], target


def test_every_answer_carries_the_headers_that_browsers_heed(ann: Wire) -> None:
    """No sniffing, no frames, no referrer: on answers and on refusals alike."""
    for answer in (ann("GET", JOBS), ann("GET", "/api/v1/none"), ann("GET", "/api"),
                   ann("POST", JOBS, headers={"origin": "https://evil.example"})):  # fmt: skip
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "same-origin"
