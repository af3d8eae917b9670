"""Submitting a job: once for each key, with metadata and a webhook of its own, at a priority one may give."""

from __future__ import annotations

from typing import Any

import pytest

from reelyard.domain.farm import SegmentRow
from tests.api.house import HOOK, House
from tests.api.wire import Answer, Wire
from tests.store.conftest import TERMS, finished, segment

JOBS = "/api/v1/jobs"


@pytest.fixture(scope="module")
def ann(house: House) -> Wire:
    return house.of("ann")


def submit(wire: Wire, document: dict[str, Any], key: str | None = None) -> Answer:
    headers = {} if key is None else {"idempotency-key": key}
    return wire("POST", JOBS, document, headers=headers)


def test_a_submitted_job_is_queued_sent_and_found(ann: Wire, house: House) -> None:
    """The answer names the job, the queue and where to look; a worker is woken for it."""
    answer = submit(ann, house.document(metadata={"ticket": 7, "by": "é"}))
    told = answer.json()
    assert answer.status == 201
    assert told["status"] == "queued"
    assert "default_queue" in told["message"]
    assert answer.headers["location"] == f"{JOBS}/{told['job_id']}"
    assert house.queue.sent[-1] == (told["job_id"], "default_queue")
    job = ann("GET", answer.headers["location"]).json()
    assert (job["username"], job["channel_name"], job["priority"]) == ("ann", "Trains", 5)
    assert job["metadata"] == {"ticket": 7, "by": "é"}
    assert [item["name"] for item in job["items"]] == [str(house.media / "clip.mp4")]


def test_the_document_of_a_job_makes_another_one_like_it(ann: Wire, house: House) -> None:
    first = submit(ann, house.document(loudness=True)).json()["job_id"]
    document = ann("GET", f"{JOBS}/{first}/document").json()
    second = submit(ann, document).json()["job_id"]
    assert ann("GET", f"{JOBS}/{second}/document").json() == document


def test_the_same_key_again_is_the_same_job(ann: Wire, house: House) -> None:
    """200 and the first one, and it is not stored or sent a second time."""
    first = submit(ann, house.document(), "order 66")
    before, sent = house.state(), list(house.queue.sent)
    again = submit(ann, house.document(), "order 66")
    assert (first.status, again.status) == (201, 200)
    assert again.json()["job_id"] == first.json()["job_id"]
    assert (again.json()["is_new"], first.json()["is_new"]) == (False, True)
    assert (house.state(), house.queue.sent) == (before, sent)


def test_the_same_key_for_something_else_is_refused(ann: Wire, house: House) -> None:
    submit(ann, house.document(), "order 67")
    problem = submit(ann, house.document(channel_name="Ships"), "order 67").problem
    assert (problem["status"], problem["code"]) == (409, "job_conflict")


def test_keys_are_each_persons_own(ann: Wire, house: House) -> None:
    answers = [submit(wire, house.document(), "mine") for wire in (ann, house.of("ben"))]
    assert [one.status for one in answers] == [201, 201]


def test_two_at_once_with_one_key_are_one_job(ann: Wire, house: House) -> None:
    """Threads race; one makes the job, the others are told of it."""
    sent = [ann.sent("POST", JOBS, house.document(), headers={"idempotency-key": "race"})
            for _ in range(6)]  # fmt: skip
    answers = ann.together(*sent)
    assert sorted(one.status for one in answers) == [200] * 5 + [201]
    assert len({one.json()["job_id"] for one in answers}) == 1


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_that_is_none(ann: Wire, house: House, key: str) -> None:
    assert submit(ann, house.document(), key).status == 422


def test_a_jobs_own_webhook_shows_its_secret_once(ann: Wire, house: House) -> None:
    """In the answer that made it, and in no other; nor is it in the list of webhooks."""
    document = house.document(webhook={"url": HOOK})
    first = submit(ann, document, "hooked").json()
    secret = first["webhook_secret"]
    assert secret.startswith("whsec_")
    assert submit(ann, document, "hooked").json()["webhook_secret"] is None
    job_id = first["job_id"]
    for target in (f"{JOBS}/{job_id}", f"{JOBS}/{job_id}/document", "/api/v1/webhooks"):
        assert secret not in ann("GET", target).text
    assert HOOK not in ann("GET", "/api/v1/webhooks").text


def test_ones_own_secret_is_not_told_back(ann: Wire, house: House) -> None:
    secret = "whsec_" + "QUFB" * 8
    answer = submit(ann, house.document(webhook={"url": HOOK, "secret": secret}))
    assert answer.status == 201
    assert secret not in answer.text


@pytest.mark.parametrize("webhook", [
    {"url": "http://example.com/"}, {"url": "https://10.0.0.1/"}, {"url": "ftp://example.com"},
    {"url": "https://user:pass@example.com"}, {"url": HOOK, "secret": "short"},
    {"url": HOOK, "events": []}, {"url": HOOK, "events": ["ping"]}, {"url": HOOK, "more": 1}, 5,
])  # fmt: skip
def test_a_webhook_that_is_none_stores_no_job(ann: Wire, house: House, webhook: Any) -> None:
    before = house.state()
    assert submit(ann, house.document(webhook=webhook)).problem["status"] == 422
    assert house.state() == before


@pytest.mark.parametrize(("name", "priority", "status"), [
    ("ann", 5, 201), ("ann", 0, 201), ("ann", 6, 403), ("ann", 10, 422), ("ann", -1, 422),
    ("mia", 9, 201), ("ada", 6, 201),
])  # fmt: skip
def test_above_the_normal_priority_only_managers_submit(
    house: House, name: str, priority: int, status: int
) -> None:
    before = house.state()
    answer = submit(house.of(name), house.document(priority=priority))
    assert answer.status == status
    assert status != 201 or house.books.state(answer.json()["job_id"]).priority == priority
    assert status == 201 or len(house.state()[1]) == len(before[1])


def test_an_operator_can_not_climb_by_steps(ann: Wire, house: House) -> None:
    """What a manager moved up is not the operator's to move, and nobody gets above normal alone."""
    job_id = house.job()
    house.of("mia")("POST", f"{JOBS}/{job_id}/priority", {"priority": 8})
    for wish in ({"priority": 9}, {"priority": 7}, {"priority": 1}):
        assert ann("POST", f"{JOBS}/{job_id}/priority", wish).status == 403
    assert house.books.state(job_id).priority == 8


@pytest.mark.parametrize("wish", [
    {}, {"priority": 3, "first": True}, {"first": False}, {"before": "x", "first": True},
    {"priority": 10}, {"priority": None}, {"other": 1},
])  # fmt: skip
def test_where_a_job_is_to_go_is_said_in_one_way(house: House, wish: dict[str, Any]) -> None:
    assert house.of("mia")("POST", f"{JOBS}/{house.job()}/priority", wish).status == 422


def test_preflight_tells_all_and_stores_nothing(ann: Wire, house: House) -> None:
    """Problems as well as lengths and the queue; no row, no message."""
    before, sent = house.state(), list(house.queue.sent)
    good = ann("POST", f"{JOBS}/preflight", house.document(enable_4k=True)).json()
    assert (good["ok"], good["queue_name"], good["problems"]) == (True, "4k_queue", [])
    assert good["duration"] == good["item_durations"]["1"] > 0
    bad = ann("POST", f"{JOBS}/preflight", house.document(priority=99, items=[{}])).json()
    assert not bad["ok"]
    assert {one["field"] for one in bad["problems"]} >= {"priority", "item_type", "path"}
    assert (house.state(), house.queue.sent) == (before, sent)


def test_a_job_id_that_is_given_is_kept_and_can_not_take_anothers(ann: Wire, house: House) -> None:
    """Somebody else's job is not shown, replaced or touched by submitting under its id."""
    job_id = "5d1c3ad1-3a3a-4d29-9d4b-0a4a8c5a4f11"
    assert submit(ann, house.document(job_id=job_id)).json()["job_id"] == job_id
    answer = submit(house.of("ben"), house.document(job_id=job_id, channel_name="Ships"))
    assert answer.problem["status"] in (404, 409)
    assert house.books.state(job_id).username == "ann"


@pytest.mark.parametrize("metadata", [{"a": "\ud800"}, {"a": "\0"}, {"\0": 1}, {"a": 1e308 * 10}])
def test_metadata_that_no_database_holds_is_an_answer_and_no_accident(
    ann: Wire, house: House, metadata: dict[str, Any]
) -> None:
    answer = submit(ann, house.document(metadata=metadata))
    assert answer.status in (201, 422)
    if answer.status == 201:
        assert ann("GET", answer.headers["location"]).status == 200
        assert ann("GET", JOBS).status == 200


def test_a_draft_of_some_items_is_submitted_and_seen(ann: Wire, house: House) -> None:
    """What is not in the range is known and not looked at. A job that says nothing is the whole film."""
    clip = {"item_type": "video", "path": str(house.media / "clip.mp4")}
    items = [{**clip, "path": "/no/such/clip.mp4"}, clip, clip]
    wanted = {"draft": True, "item_seconds": 0.1, "first_item": 2, "last_item": 3}
    document = house.document(items=items, **wanted, enable_4k=True)
    checked = ann("POST", f"{JOBS}/preflight", document).json()
    assert (checked["ok"], checked["queue_name"]) == (True, "default_queue")
    assert set(checked["item_durations"]) == {"2", "3"}
    told = submit(ann, document).json()
    assert told["queue_name"] == "default_queue"
    job = ann("GET", f"{JOBS}/{told['job_id']}").json()
    assert {name: job[name] for name in wanted} == wanted
    assert (job["item_count"], len(job["items"]), job["duration"]) == (2, 3, checked["duration"])
    again = ann("GET", f"{JOBS}/{told['job_id']}/document").json()
    assert {name: again[name] for name in wanted} == wanted
    whole = ann("GET", f"{JOBS}/{submit(ann, house.document()).json()['job_id']}").json()
    assert [whole[name] for name in wanted] == [False, None, None, None]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"first_item": 2}, "first_item"),
        ({"last_item": 2}, "last_item"),
        ({"item_seconds": 2}, "item_seconds"),
        ({"draft": "perhaps"}, "draft"),
    ],
)
def test_what_is_wrong_with_a_range_is_said_at_once(
    ann: Wire, house: House, fields: dict[str, Any], field: str
) -> None:
    before = house.state()
    answer = submit(ann, house.document(**fields))
    assert answer.status == 422
    assert [one["field"] for one in answer.problem["problems"]] == [field]
    assert house.state() == before


def test_a_draft_under_the_key_of_its_film_is_refused(ann: Wire, house: House) -> None:
    assert submit(ann, house.document(), "film 1").status == 201
    assert submit(ann, house.document(draft=True), "film 1").status == 409


def test_who_helps_with_a_job_is_seen_while_it_runs_and_who_made_what_afterwards(
    house: House, ann: Wire
) -> None:
    lease = house.lease()
    house.books.hire("pc2", queues=())  # other tests' jobs wait
    one, other = segment(0, 100), segment(1, 300)
    assert house.books.offers.offer(lease, TERMS, [one, other])
    longest, shorter = house.books.help("pc2"), house.books.help("pc2")
    assert house.books.offers.done(longest)
    house.books.offers.beat("pc2", {shorter: 25})
    job = ann("GET", f"{JOBS}/{lease.job_id}").json()
    making = [{"position": 1, "part": 0, "frames": 100, "done": 0.25}]
    assert job["helpers"] == [
        {"worker_id": "pc2", "segments": 1, "frames": 300, "making": making}
    ]  # fmt: skip
    [helper] = [one for one in ann("GET", "/api/v1/workers").json() if one["worker_id"] == "pc2"]
    assert (helper["helps"], helper["job_id"]) == (lease.job_id, None)
    assert helper["helped_job"]["job_id"] == lease.job_id
    [hidden] = [
        one for one in house.of("ben")("GET", "/api/v1/workers").json() if one["worker_id"] == "pc2"
    ]
    assert (hidden["helps"], hidden["helped_job"]) == (None, None)
    rows = (SegmentRow(1, 0, one.key, 100, False), SegmentRow(2, 0, other.key, 300, False, "pc2"))
    assert house.books.leases.complete(lease, finished(segments=rows))
    job = ann("GET", f"{JOBS}/{lease.job_id}").json()
    assert [made["worker_id"] for made in job["segments"]] == ["pc1", "pc2"]
    assert job["helpers"] == []
