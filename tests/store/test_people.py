"""Users' names, the local library, and the clock that all share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from reelyard.store.database import Database

from .conftest import LEASE, Books, finished, new_id

ODD = ["plain", "Zoë", "a b", "-x", "%", "'; --", "file://x", "half \udcff byte", "a\0b", "日本語"]


@contextmanager
def _statements(database: Database) -> Iterator[list[str]]:
    """The statements that the block sends, but for the beginnings of transactions."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


def test_whoever_works_here_has_one_id(books: Books) -> None:
    ids = [books.profiles.local(name) for name in ODD]
    assert len(set(ids)) == len(ODD)
    before = books.rows()
    assert [books.profiles.local(name) for name in ODD] == ids
    assert books.rows() == before
    assert [books.profiles.username(user_id) for user_id in ids] == ODD


def test_a_user_whose_name_nobody_knows_is_unknown(books: Books) -> None:
    for user_id in (new_id(), "", "no id", "\0", "%"):
        assert books.profiles.username(user_id) == "unknown"
    assert books.state(books.submit()).username == "unknown"


def test_a_name_that_becomes_known_is_shown_on_earlier_jobs(books: Books) -> None:
    twin = Books(books.database, books.profiles.local("ann"))
    before = books.submit()
    job_id = twin.submit()
    assert [state.username for state in books.jobs.list()] == ["unknown", "ann"]
    assert {before, job_id} == {state.job_id for state in books.jobs.list()}


def test_the_library_knows_where_videos_are(books: Books) -> None:
    paths = {name: f"/media/{name}.mp4" for name in ODD}
    books.library.add(paths)
    assert dict(books.library.all()) == paths
    for name, path in paths.items():
        assert books.library.find([name]) == {name: path}
    assert books.library.find([]) == {}
    assert books.library.find(["PLAIN", "plai", "plain "]) == {}


def test_all_ids_are_looked_up_in_one_query(books: Books) -> None:
    paths = {f"v{number}": f"/media/{number}.mp4" for number in range(300)}
    books.library.add(paths)
    with _statements(books.database) as sent:
        found = books.library.find([*paths, "missing", *paths])
    assert found == paths
    assert len(sent) == 1


def test_as_many_ids_as_a_job_can_have_are_one_query(books: Books) -> None:
    assert books.library.find([]) == {}  # the database is open from now on
    with _statements(books.database) as sent:
        assert books.library.find([f"v{number}" for number in range(10_000)]) == {}
    assert len(sent) == 1


def test_adding_a_video_again_corrects_where_it_is(books: Books) -> None:
    books.library.add({"a": "/old/a.mp4", "b": "/old/b.mp4"})
    books.library.add({"a": "/new/\udcff.mp4", "c": "/new/c.mp4"})
    assert books.library.all() == {"a": "/new/\udcff.mp4", "b": "/old/b.mp4", "c": "/new/c.mp4"}


def test_videos_are_found_by_where_they_lie(books: Books) -> None:
    paths = {name: f"/media/{name}.mp4" for name in ODD}
    books.library.add({**paths, "second": paths["plain"]})
    assert books.library.at([*paths.values(), "/nowhere"]) == {
        path: name for name, path in paths.items()
    }
    assert books.library.at([]) == {}


def _found(books: Books, text: str, **options: Any) -> list[str]:
    return [video_id for video_id, _ in books.library.search(text, **options).rows]


def test_videos_are_found_by_a_part_of_their_id_or_path(books: Books) -> None:
    books.library.add(
        {"Beach-1": "/m/A.mp4", "v2": "/m/BEACH/b.mp4", "v3": "/m/c_d%.mp4", "v4": "/m/cxd.mp4"}
    )
    assert sorted(_found(books, "beach")) == ["Beach-1", "v2"]
    assert _found(books, "C_D") == _found(books, "%") == ["v3"]
    assert _found(books, "'; --") == _found(books, "\\") == []
    assert len(_found(books, "")) == len(_found(books, "/m/")) == 4


def test_videos_with_any_name_are_found_by_what_people_see(books: Books) -> None:
    """By the name, in small letters and large, and not by how the database keeps it."""
    books.library.add({name: f"/media/{name}.mp4" for name in ODD} | {"ZOË": "/media/ZOË.mp4"})
    for name in ODD:
        assert name in _found(books, name), name
    assert sorted(_found(books, "zoë")) == sorted(_found(books, "ZOË")) == ["ZOË", "Zoë"]
    assert _found(books, "file://") == ["file://x"]
    for text in ("%2", "\ud800", "\ud800x\0"):
        assert _found(books, text) == [], text


def test_videos_are_found_by_how_their_path_ends(books: Books) -> None:
    books.library.add({"a": "/m/a.JPG", "b": "/m/b.mp4", "c": "/m/jpg.mov", "d": "/m/\udcff.jpg"})
    assert _found(books, "", endings=[".jpg", ".png"]) == ["a", "d"]
    assert _found(books, "", endings=[".jpg"], others=True) == ["b", "c"]


def test_pages_of_found_videos_hold_each_once(books: Books) -> None:
    ids = [f"clip {n}" for n in range(23)] + ["Clip é", "clip \udcff"]
    books.library.add({video_id: "/m/x.mp4" for video_id in ids})
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(7):
        page = books.library.search("clip", limit=4, cursor=cursor)
        seen += [video_id for video_id, _ in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert cursor is None
    assert sorted(seen) == sorted(ids)


# The clock


def _moments(books: Books) -> dict[str, datetime | None]:
    """Every time that the store shows, each of now."""
    books.hire("a")
    lease = books.take("a", books.submit())
    attempt = books.jobs.attempts(lease.job_id)[0]
    assert books.leases.complete(lease, finished())
    state, worker = books.state(lease.job_id), books.worker("a")
    waiting = books.submit()
    assert books.leases.put_off(books.take("a", waiting), "no share", longest_delay=0)
    books.results.deliver(books.outbox.due())
    return {
        "created_at": state.created_at,
        "queued_at": state.queued_at,
        "started_at": state.started_at,
        "completed_at": state.completed_at,
        "not_before": books.state(waiting).not_before,
        "attempt began": attempt.started_at,
        "attempt ended": books.jobs.attempts(lease.job_id)[0].ended_at,
        "history": books.jobs.history(lease.job_id)[0].at,
        "worker began": worker.started_at,
        "worker seen": worker.seen_at,
        "posted": books.outbox.due()[0].result.timestamp,
        "result": books.results.list()[0].timestamp,
    }


def _assert_are_now(moments: dict[str, datetime | None], begun: datetime) -> None:
    slack = timedelta(milliseconds=2)  # SQLite counts milliseconds
    for name, moment in moments.items():
        assert moment is not None, name
        assert moment.utcoffset() == timedelta(0), name
        assert begun - slack <= moment <= datetime.now(UTC) + slack, name


def test_times_are_utc_and_of_now(books: Books) -> None:
    begun = datetime.now(UTC)
    _assert_are_now(_moments(books), begun)


def test_times_are_utc_whatever_the_servers_zone_is(postgres_emptied: str) -> None:
    with closing(
        Database(f"{postgres_emptied}?options=-c%20timezone%3DAsia/Kathmandu")
    ) as database:
        books = Books(database)
        with database.reading() as connection:
            assert connection.scalar(sa.text("SHOW timezone")) == "Asia/Kathmandu"
        begun = datetime.now(UTC)
        _assert_are_now(_moments(books), begun)
        books.claim("a", books.submit())
        assert not books.duties.expire()
        books.pass_time(LEASE + 1, "workers")
        assert len(books.duties.expire()) == 1


def test_times_are_utc_whatever_the_machines_zone_is(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        begun = datetime.now(UTC)
        _assert_are_now(_moments(books), begun)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
