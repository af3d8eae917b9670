"""Looking through jobs: pages that hold each job once, filters, cursors from outside, figures added up."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from reelyard.domain.access import Role
from reelyard.domain.errors import RequestInvalid
from reelyard.domain.job import Item, ItemType
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import MOST_AT_ONCE, Grouping, JobQuery, Sort
from reelyard.domain.routing import Queue
from reelyard.store.accounts import Accounts
from reelyard.store.schema import jobs
from reelyard.store.search import Search

from .conftest import CLIP, Books, finished, job, new_id
from .test_people import ODD

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
BEN = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def search(books: Books) -> Search:
    return Search(books.database)


def _copies(books: Books, *changes: dict[str, Any]) -> list[str]:
    """Jobs that are like one that was submitted, but for these columns; in one go."""
    first = books.submit()
    with books.database.writing() as connection:
        row = connection.execute(sa.select(jobs).where(jobs.c.job_id == first)).one()
        plain = dict(row._mapping)
        rows = [{**plain, "job_id": new_id(), **change} for change in changes]
        connection.execute(sa.delete(jobs).where(jobs.c.job_id == first))
        connection.execute(sa.insert(jobs), rows)
    return [row["job_id"] for row in rows]


def _ids(search: Search, **asked: Any) -> set[str]:
    page = search.jobs(JobQuery(**asked))
    assert page.cursor is None
    return {state.job_id for state in page.rows}


def _with_ties(count: int) -> Iterator[dict[str, Any]]:
    """Jobs of which many are alike in all that they can be sorted by."""
    chance = random.Random(7)
    for number in range(count):
        is_done = number % 3 > 0
        yield {
            "created_at": NOON + timedelta(seconds=chance.randrange(4), microseconds=number % 2),
            "completed_at": NOON + timedelta(hours=chance.randrange(3)) if is_done else None,
            "status": "completed" if is_done else "queued",
            "frames": chance.randrange(3),
            "channel_name": chance.choice(["A", "a", "Zoë", "file://%FF", "日本"]),
            "priority": chance.randrange(2),
            "place": chance.randrange(3),
        }


_ORDERS: dict[Sort, Callable[[Any], Any]] = {
    Sort.NEWEST: lambda state: -state.created_at.timestamp(),
    Sort.OLDEST: lambda state: state.created_at.timestamp(),
    Sort.LAST_DONE: lambda state: -state.completed_at.timestamp(),
    Sort.FIRST_DONE: lambda state: state.completed_at.timestamp(),
    Sort.LONGEST: lambda state: -state.frames,
    Sort.TURN: lambda state: -state.priority,
}


def test_pages_of_every_order_hold_each_job_once(books: Books, search: Search) -> None:
    ids = _copies(books, *_with_ties(40))
    done = {state.job_id for state in books.jobs.list() if state.completed_at is not None}
    active = (JobStatus.QUEUED, JobStatus.PROCESSING)
    waiting = {state.job_id for state in books.jobs.list(active)}
    some = {Sort.LAST_DONE: done, Sort.FIRST_DONE: done, Sort.TURN: waiting}
    for sort in Sort:
        wanted = some.get(sort, set(ids))
        for limit in (1, 7, 40, MOST_AT_ONCE):
            seen: list[Any] = []
            cursor = None
            while True:
                page = search.jobs(JobQuery(sort=sort, limit=limit, cursor=cursor))
                assert len(page.rows) == limit or page.cursor is None
                seen += page.rows
                cursor = page.cursor
                if cursor is None:
                    break
            assert len(seen) == len(wanted), (sort, limit)
            assert {state.job_id for state in seen} == wanted, (sort, limit)
            if sort in _ORDERS:
                keys = list(map(_ORDERS[sort], seen))
                assert keys == sorted(keys), sort
            else:
                names = [state.channel_name for state in seen]
                turns = [
                    name for name, last in zip(names, ["", *names], strict=False) if name != last
                ]
                assert len(turns) == len(set(names)), "each channel's jobs come together"


def test_jobs_that_arrive_between_two_pages_disturb_none_that_were_there(
    books: Books, search: Search
) -> None:
    changes = list(_with_ties(20))
    for sort in Sort:
        with books.database.writing() as connection:
            connection.execute(sa.delete(jobs))
        _copies(books, *changes)
        there = {one.job_id for one in search.jobs(JobQuery(sort=sort)).rows}
        seen: list[str] = []
        cursor = None
        for change in [*changes, *changes]:
            page = search.jobs(JobQuery(sort=sort, limit=3, cursor=cursor))
            seen += [state.job_id for state in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
            _copies(books, {**change, "created_at": NOON + timedelta(days=1), "place": 99})
        assert len(seen) == len(set(seen)), sort
        assert there <= set(seen), sort


def test_a_page_holds_at_most_as_many_as_is_allowed(books: Books, search: Search) -> None:
    _copies(books, *({"place": number} for number in range(MOST_AT_ONCE + 1)))
    for limit, count in [(10**9, MOST_AT_ONCE), (MOST_AT_ONCE, MOST_AT_ONCE), (0, 1), (-5, 1)]:
        page = search.jobs(JobQuery(limit=limit))
        assert len(page.rows) == count
        assert page.cursor is not None


# Cursors


def _cursor(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


_ID = "0b0c3ac5-9bb4-4b0e-8f06-4a6ac7c1ad7b"
_AT = NOON.isoformat()
_NO_TIMES: list[Any] = [
    None, 7, True, "", "now", "2026-07-01", "2026-07-01T12:00:00", {"a": 1}, [], "x" * 1000,
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
]  # fmt: skip
_HOSTILE = [
    "", "x", "%", "é", "\0", "\ud800", "a" * 1999, "====", "bnVsbA",
    *(base64.urlsafe_b64encode(raw).decode() for raw in (
        b"null", b"{}", b"[]", b"7", b'"-created_at"', b"[" * 1400, b"9" * 1400, b"\xff\xfe",
        b'["-created_at", "2026', b"NaN",
    )),
    _cursor("-created_at"), _cursor("-created_at", _AT), _cursor("-created_at", _AT, _ID, 1),
    _cursor("created_at", _AT, _ID), _cursor(["-created_at"], _AT, _ID), _cursor(None, _AT, _ID),
    *(_cursor("-created_at", at, _ID) for at in _NO_TIMES),
    *(_cursor("-created_at", _AT, job_id) for job_id in (
        None, 7, "", "x", "\0", _ID.upper(), _ID + "'", "'; DROP TABLE jobs; --", "%", "\ud800",
    )),
]  # fmt: skip


def test_what_is_no_cursor_of_the_list_is_refused(books: Books, search: Search) -> None:
    """Whatever it is: it comes from outside."""
    books.submit()
    for text in _HOSTILE:
        with pytest.raises(RequestInvalid, match="no cursor") as refused:
            pytest.fail(f"{text!r} was taken: {search.jobs(JobQuery(cursor=text))}")
        assert refused.value.field == "cursor"
    for frames in (None, "1", 1.5, True, 1 << 62, -(1 << 70), [1]):
        with pytest.raises(RequestInvalid):
            search.jobs(JobQuery(sort=Sort.LONGEST, cursor=_cursor("-frames", frames, _ID)))
    for name in (None, 7, "\ud800", "a\0b", ["a"]):
        told = _cursor("channel_name", name, _AT, _ID)
        with pytest.raises(RequestInvalid):
            search.jobs(JobQuery(sort=Sort.CHANNEL, cursor=told))
    for values in [("0", 1), (1, "0"), (None, None), (1.0, 1), (1 << 31, 1), (1, 1 << 62)]:
        with pytest.raises(RequestInvalid):
            search.jobs(JobQuery(sort=Sort.TURN, cursor=_cursor("turn", *values, _ID)))


def test_a_made_up_cursor_of_the_right_form_finds_what_comes_after_it(
    books: Books, search: Search
) -> None:
    """It can say nothing but where to begin: large numbers and odd names included."""
    [job_id] = _copies(books, {"frames": 5, "channel_name": "m", "priority": 3, "place": 7})
    big = (1 << 31) - 1
    for sort, values, finds in [
        (Sort.LONGEST, (big, _ID), True),
        (Sort.LONGEST, (-big, _ID), False),
        (Sort.TURN, (big, -big, _ID), True),
        (Sort.TURN, (-big, big, _ID), False),
        (Sort.CHANNEL, ("' OR 1=1 --", _AT, _ID), True),
        (Sort.CHANNEL, ("日本", _AT, _ID), False),
        (Sort.OLDEST, ("0001-01-01T00:00:00+00:00", _ID), True),
        (Sort.OLDEST, ("9999-12-31T23:59:59+00:00", _ID), False),
        (Sort.NEWEST, ("0999-01-01T00:00:00Z", _ID), False),
    ]:
        found = search.jobs(JobQuery(sort=sort, cursor=_cursor(sort.value, *values)))
        assert [one.job_id for one in found.rows] == ([job_id] if finds else []), (sort, values)


# Filters


def test_jobs_are_found_by_each_of_their_properties(books: Books, search: Search) -> None:
    ann = Accounts(books.database).add("Ann \udcff", "hash", role=Role.OPERATOR).user_id
    changes: list[dict[str, Any]] = [
        {"status": "failed", "error_message": "no such file"},
        {"status": "processing", "worker_id": "pc1@here"},
        {"status": "completed", "channel_name": "Zoë", "output_path": "/out/100%_sure.mp4"},
        {"user_id": ann, "queue_name": "4k_queue"},
        {"user_id": BEN, "created_at": NOON, "worker_id": "pc2@there"},
    ]
    failed, running, done, anns, old = _copies(books, *changes)
    everything = {failed, running, done, anns, old}
    assert _ids(search) == everything
    assert _ids(search, statuses=(JobStatus.FAILED,)) == {failed}
    assert _ids(search, statuses=(JobStatus.FAILED, JobStatus.PROCESSING)) == {failed, running}
    assert _ids(search, channel="Zoë") == {done}
    assert _ids(search, channel="zoë") == _ids(search, channel="Zo") == set()
    assert _ids(search, user_id=ann) == _ids(search, username="Ann \udcff") == {anns}
    assert _ids(search, queue=Queue.UHD) == {anns}
    assert _ids(search, worker="pc1@here") == {running}
    assert _ids(search, until=NOON + timedelta(seconds=1)) == {old}
    assert _ids(search, since=NOON, until=NOON) == set()
    assert _ids(search, since=NOON) == everything
    assert _ids(search, since=NOON + timedelta(microseconds=1)) == everything - {old}
    assert _ids(search, since=NOON.astimezone()) == everything
    assert _ids(search, user_id=BEN, statuses=(JobStatus.FAILED,)) == set()
    assert _ids(search, user_id=BEN, worker="pc2@there", queue=Queue.DEFAULT) == {old}


def test_text_is_looked_for_where_people_look(books: Books, search: Search) -> None:
    ann = Accounts(books.database).add("Annabel", "hash", role=Role.OPERATOR).user_id
    known = "deadbeef-0000-4000-8000-000000000000"
    changes = [
        {"status": "failed", "error_message": "No such file: a_b"},
        {"status": "completed", "channel_name": "Trains 100%_sure"},
        {"user_id": ann},
        {"job_id": known},
    ]
    failed, done, anns, ided = _copies(books, *changes)
    for text, wanted in [
        ("SUCH FILE", {failed}), ("a_b", {failed}), ("axb", set()), ("rain", {done}),
        ("100%", {done}), ("100_", set()), ("%", {done}), ("annabel", {anns}), ("  nab ", {anns}),
        (f"Trains_{known}.mp4", {ided}), ("deadbeef", {ided}), ("DEADBEEF-0000", {ided}), ("dead", {ided}), ("adbeef", set()),
        ("dea", set()), ("", {failed, done, anns, ided}), ("'; --", set()), ("\\", set()),
    ]:  # fmt: skip
        assert _ids(search, text=text) == wanted, text


def test_any_text_can_be_looked_for(books: Books, search: Search) -> None:
    books.submit()
    for text in [*ODD, "\0", "\ud800", "%" * 200, "\\" * 200, "é" * 200]:
        for name in ("text", "uses", "channel", "username", "worker"):
            assert _ids(search, **{name: text}) == set(), (name, text)


def test_jobs_are_found_by_the_clips_that_are_in_them(books: Books, search: Search) -> None:
    def video(position: int, **names: Any) -> Item:
        known = {"path": "", "named": "", **names}
        return Item(position=position, item_type=ItemType.VIDEO, **known)

    catalogue = books.submit(job(video(1, video_id="v1", named="v1")))
    share = r"\\nas\films\a.mp4"
    both = books.submit(
        job(CLIP, video(2, path="/mnt/nas/a.mp4", named=share), video(3, video_id="v2", named="v2"))
    )
    odd = books.submit(job(video(1, path="/m/\udcff.mp4", named="\udcff.mp4")))
    for clip, wanted in [
        ("v1", {catalogue}), ("v2", {both}), (share, {both}), ("/mnt/nas/a.mp4", {both}),
        ("/media/clip.mp4", {both}), ("/m/\udcff.mp4", {odd}), ("\udcff.mp4", {odd}),
        ("V1", set()), ("clip", set()), ("/media/", set()), ("%", set()),
    ]:  # fmt: skip
        assert _ids(search, uses=clip) == wanted, clip
    assert _ids(search, uses="/media/clip.mp4", user_id=BEN) == set()


# Results


def _film(
    books: Books, worker: str = "pc1", channel: str = "Trains", done: bool = True, **figures: Any
) -> str:
    books.hire(worker)
    lease = books.take(worker, books.submit(channel_name=channel))
    if done:
        assert books.leases.complete(lease, finished(figures=figures))
    else:
        assert books.leases.refuse(lease, "no")
    books.results.deliver(books.outbox.due())
    books.outbox.delivered(books.outbox.due())
    return lease.job_id


def test_results_are_the_newest_first_each_users_channels_and_times(
    books: Books, search: Search
) -> None:
    ann = Books(books.database, books.profiles.local("ann \udcff"))
    old = _film(ann, channel="Zoë")
    books.pass_time(3600)
    new, other = _film(ann), _film(books)
    middle = datetime.now(UTC) - timedelta(seconds=1800)

    def found(**asked: Any) -> list[str]:
        return [one.job_id for one in search.results(**asked)]

    assert found() == [other, new, old]
    assert found(limit=2) == [other, new]
    assert found(user_id=ann.user_id) == [new, old]
    assert found(user_id=BEN) == []
    assert found(channel="Zoë") == [old]
    assert found(since=middle) == [other, new]
    assert found(until=middle) == [old]


def test_totals_add_up_films_minutes_and_what_caches_had(books: Books, search: Search) -> None:
    ann = Books(books.database, books.profiles.local("ann"))
    _film(ann, frames=300, frames_rendered=60)
    _film(ann, worker="pc2", frames=100, frames_rendered=100)
    _film(ann, channel="Zoë \udcff", done=False)
    _film(books, worker="pc2")

    def totals(grouping: Grouping, **asked: Any) -> dict[str, Any]:
        return {one.name: one for one in search.totals(grouping, **asked)}

    by_user = totals(Grouping.USER)
    assert list(by_user) == ["ann", "unknown"]
    assert (by_user["ann"].completed, by_user["ann"].failed) == (2, 1)
    assert by_user["ann"].seconds_of_film == 20
    assert by_user["ann"].seconds_of_work == 9
    assert by_user["ann"].cache_share == pytest.approx(1 - 160 / 400)
    assert by_user["unknown"].cache_share is None
    assert list(totals(Grouping.CHANNEL)) == ["Trains", "Zoë \udcff"]
    assert {name: one.completed for name, one in totals(Grouping.WORKER).items()} == {
        "pc1": 1, "pc2": 2,
    }  # fmt: skip
    assert totals(Grouping.FEATURE)["logo_overlay"].completed == 3
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert set(totals(Grouping.DAY)) <= {today, f"{datetime.now(UTC) - timedelta(1):%Y-%m-%d}"}
    assert list(totals(Grouping.USER, user_id=ann.user_id)) == ["ann"]
    assert list(totals(Grouping.CHANNEL, channel="Trains")) == ["Trains"]
    assert totals(Grouping.USER, since=datetime.now(UTC) + timedelta(hours=1)) == {}


def test_a_job_made_again_counts_with_the_figures_of_its_own_turn(
    books: Books, search: Search
) -> None:
    """Its first turn was handed back and its third failed; each result is of one turn."""
    books.hire("pc1")
    job_id = books.submit()
    books.leases.hand_back(books.take("pc1", job_id), "stopped")
    assert books.leases.refuse(books.take("pc1", job_id), "no")
    books.jobs.retry(job_id)
    lease = books.take("pc1", job_id)
    assert books.leases.complete(lease, finished(figures={"frames": 50, "frames_rendered": 10}))
    books.results.deliver(books.outbox.due())
    [total] = search.totals(Grouping.WORKER)
    assert (total.completed, total.failed) == (1, 1)
    assert (total.all_frames, total.rendered_frames) == (50, 10)


def test_channels_are_those_of_ones_own_jobs_or_all(books: Books, search: Search) -> None:
    ben = Books(books.database, BEN)
    for name in ("b", "a", "b", "Zoë \udcff"):
        books.submit(channel_name=name)
    ben.submit(channel_name="Ben's")
    assert search.channels(BEN) == ["Ben's"]
    assert sorted(search.channels(books.user_id)) == ["Zoë \udcff", "a", "b"]
    assert len(search.channels()) == 4


# The audit


def test_the_audit_is_what_people_did_the_latest_first(books: Books, search: Search) -> None:
    books.hire("pc1")
    ids = [books.submit() for _ in range(5)]
    for number, job_id in enumerate(ids):
        books.jobs.cancel(job_id, by="ada" if number % 2 else "ben \udcff")
    seen = []
    before = None
    while page := search.audit(limit=2, before=before):
        assert len(page) <= 2
        seen += [one.job_id for _, one in page]
        before = page[-1][0]
    assert seen == ids[::-1]
    assert [one.job_id for _, one in search.audit(actor="ada")] == [ids[3], ids[1]]
    assert len(search.audit(actor="ben \udcff")) == 3
    assert [one.what for _, one in search.audit()] == ["cancel"] * 5
    assert search.audit(actor="pc1") == []
    assert len(search.audit(limit=0)) == 1
    assert len(search.audit(limit=10**9)) == 5
