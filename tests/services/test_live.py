"""What happens reaches every watcher: once, in order, and nothing is lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from reelyard.domain.access import Principal, Role
from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.farm import Happening, JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.services.live import Live, LiveEvent
from reelyard.store.database import Database
from reelyard.store.feed import Feed, Numbered
from reelyard.store.schema import events
from tests.store.conftest import (
    Books,
    finished,
    new_id,
    postgres_emptied,
    postgres_template,
    template_name,
)

from .conftest import wait_for

__all__ = ["postgres_emptied", "postgres_template", "template_name"]  # fixtures
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
OFTEN = 0.01
ANN, BEN = new_id(), new_id()
BOSS = Principal(user_id=new_id(), username="mia", role=Role.MANAGER)
OPERATOR = Principal(user_id=ANN, username="ann", role=Role.OPERATOR)


def line(number: int, owner: str | None = ANN, **changes: Any) -> Numbered:
    known = {"at": NOON, "what": "claim", "job_id": new_id(), "worker_id": None, "actor": None,
             "message": f"line {number}", **changes}  # fmt: skip
    return Numbered(number, Happening(**known), owner)


def running(progress: float, **changes: Any) -> JobState:
    known: dict[str, Any] = {
        "job_id": "j", "user_id": ANN, "username": "ann", "channel_name": "c", "enable_4k": False,
        "status": JobStatus.PROCESSING, "queue": Queue.DEFAULT, "priority": 5, "frames": 1,
        "items": 1, "progress": progress, "stage": "rendering", "token": 1, "attempts": 0,
        "created_at": NOON, "queued_at": NOON,
    }  # fmt: skip
    return JobState(**{**known, **changes})


@dataclass
class Script:
    """A feed that shows what a test has put into it."""

    lines: list[Numbered] = field(default_factory=list)
    states: list[JobState] = field(default_factory=list)
    helped: dict[str, dict[str, int]] = field(default_factory=dict)
    in_order: bool = True
    looks: int = 0
    failures: int = 0

    def newest(self) -> int:
        return max((one.number for one in self.lines), default=0)

    def after(self, number: int, limit: int = 500, *, job_id: str | None = None,
              user_id: str | None = None) -> Sequence[Numbered]:  # fmt: skip
        found = [one for one in list(self.lines) if one.number > number
                 and job_id in (None, one.happening.job_id) and user_id in (None, one.owner)]  # fmt: skip
        return sorted(found, key=lambda one: one.number)[:limit]

    def running(self) -> Sequence[JobState]:
        self.looks += 1
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("gone")
        return list(self.states)

    def helpers(self) -> dict[str, dict[str, int]]:
        return {job_id: dict(made) for job_id, made in self.helped.items()}

    def looked(self) -> None:
        """Two more looks have begun: whatever was there before has been told."""
        begun = self.looks
        wait_for(lambda: self.looks > begun + 1, "two looks")


@contextmanager
def watched(script: Script, every: float = OFTEN) -> Iterator[tuple[Live, list[LiveEvent]]]:
    live = Live(cast(Feed, script), every)
    heard: list[LiveEvent] = []
    end = live.watch(heard.append)
    try:
        list(live.missed(0, BOSS))  # it watches from now on
        yield live, heard
    finally:
        end()
        live.close()


def missed(live: Live, *asked: Any) -> list[LiveEvent]:
    return [event for part in live.missed(*asked) for event in part]


def numbers(heard: Sequence[LiveEvent]) -> list[int]:
    return [one.number for one in list(heard) if one.number is not None]


def test_what_was_before_is_not_told_and_what_follows_is_once_and_in_order() -> None:
    script = Script([line(1), line(2)])
    with watched(script) as (_, heard):
        for number in range(3, 30):
            script.lines.append(line(number))
            if number % 7 == 0:
                script.looked()
        script.looked()
        assert numbers(heard) == list(range(3, 30))


def test_what_happens_right_after_what_was_missed_is_told() -> None:
    """Between the look back and the first look ahead nothing may fall."""
    script = Script([line(1)])
    with watched(script, every=0.2) as (live, heard):
        before = [one.number for one in missed(live, 0, BOSS)]
        script.lines.append(line(2))
        wait_for(lambda: 2 in numbers(heard), "the second line")
        assert before == [1]


def test_what_was_read_when_the_database_went_away_is_told_once_it_is_back() -> None:
    script = Script()
    with watched(script) as (_, heard):
        script.failures = 1
        script.lines.append(line(1))
        wait_for(lambda: numbers(heard), "the line")
        script.looked()
        assert numbers(heard) == [1]


def test_a_line_that_is_seen_after_a_later_one_is_told() -> None:
    script = Script([line(1)], in_order=False)
    with watched(script) as (_, heard):
        for number in (5, 3, 9, 2, 8):
            script.lines.append(line(number))
            script.looked()
        assert numbers(heard) == [5, 3, 9, 2, 8]


def test_more_lines_than_one_look_takes_are_told_all() -> None:
    for in_order in (True, False):
        script = Script(in_order=in_order)
        with watched(script) as (live, heard):
            script.lines.extend(line(number) for number in range(1, 1301))
            wait_for(lambda heard=heard: len(heard) >= 1300, "all lines")  # type: ignore[misc]
            assert numbers(heard) == list(range(1, 1301))
            assert [one.number for one in missed(live, 0, BOSS)] == list(range(1, 1301))


def test_who_helps_with_a_job_is_told_when_it_changes() -> None:
    """A helper comes, finishes a segment, and is not told of again until something changes."""
    script = Script(states=[running(1.0)])
    with watched(script) as (_, heard):
        for made in ({}, {"b": 0}, {"b": 1, "c": 0}, {"b": 1, "c": 0}):
            script.helped = {script.states[0].job_id: made}
            script.looked()
        helpers = [one.data["helpers"] for one in heard]
        assert helpers == [{}, {"b": 0}, {"b": 1, "c": 0}]


def test_progress_is_told_when_it_changes_and_of_a_new_turn_again() -> None:
    script = Script(states=[running(1.0)])
    with watched(script) as (_, heard):
        for progress in (1.0, 2.0, 2.0):
            script.states = [running(progress)]
            script.looked()
        script.states = [running(2.0, worker_id="pc2")]
        script.looked()
        script.states = []
        script.looked()
        script.states = [running(2.0, worker_id="pc2")]
        script.looked()
        assert [one.kind for one in heard] == ["progress"] * 4
        assert [one.data["progress"] for one in heard] == [1.0, 2.0, 2.0, 2.0]
        assert {(one.number, one.job_id, one.owner) for one in heard} == {(None, "j", ANN)}


def test_people_are_told_of_their_own_jobs_and_all_workers() -> None:
    mine, bens = line(1), line(2, BEN)
    worker = line(3, None, job_id=None, worker_id="pc1")
    script = Script(states=[running(1.0, user_id=BEN)])
    with watched(script) as (live, heard):
        script.lines += [mine, bens, worker]
        script.looked()
        assert [one.number for one in heard if one.is_for(OPERATOR)] == [1, 3]
        assert [one.number for one in heard if one.is_for(BOSS)] == [None, 1, 2, 3]
        assert [one.number for one in missed(live, 0, replace(OPERATOR, user_id=BEN))] == [2]
        assert [one.number for one in missed(live, 0, OPERATOR)] == [1]
        assert [one.number for one in missed(live, 1, BOSS)] == [2, 3]


def test_what_is_only_an_admins_is_told_to_nobody() -> None:
    script = Script()
    with watched(script) as (live, heard):
        script.lines += [line(1, None, job_id=None, what="sign_in"), line(2)]
        script.looked()
        assert numbers(heard) == [2]
        assert [one.number for one in missed(live, 0, BOSS)] == [2]


def test_nobody_looks_while_nobody_watches_and_who_comes_later_is_told() -> None:
    script = Script([line(1)])
    live = Live(cast(Feed, script), OFTEN)
    ended = _threads()
    for number in (2, 3):
        heard: list[LiveEvent] = []
        end = live.watch(heard.append)
        list(live.missed(0, BOSS))
        script.lines.append(line(number))
        script.looked()
        assert numbers(heard) == [number]
        end()
        end()
        wait_for(lambda: _threads() == ended, "the thread to end")
        begun = script.looks
    assert script.looks == begun
    live.close()


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "live"]


def test_each_watcher_is_told_and_one_that_goes_takes_nothing_from_the_others() -> None:
    script = Script()
    with watched(script) as (live, heard):
        others: list[list[LiveEvent]] = [[] for _ in range(20)]
        ends: list[Callable[[], None]] = [live.watch(other.append) for other in others]
        script.lines.append(line(1))
        script.looked()
        for end in ends[:10]:
            end()
        script.lines.append(line(2))
        script.looked()
        assert [numbers(other) for other in others] == [[1]] * 10 + [[1, 2]] * 10
        assert numbers(heard) == [1, 2]


def test_it_ends_when_it_is_closed() -> None:
    before = _threads()
    with watched(Script(), every=60):
        assert len(_threads()) == len(before) + 1
    wait_for(lambda: _threads() == before, "the thread to end", 5)
    assert _threads() == before


# On PostgreSQL numbers are given out before they can be seen


@pytest.fixture
def books(postgres_emptied: str) -> Iterator[Books]:
    with closing(Database(postgres_emptied)) as database:
        yield Books(database)


@contextmanager
def _uncommitted(books: Books, job_id: str) -> Iterator[int]:
    """A line that has its number, and is seen by others after the block only."""
    with books.database.writing() as connection:
        made = connection.execute(
            sa.insert(events)
            .values(at=datetime.now(UTC), what="slow", job_id=job_id, message="slow")
            .returning(events.c.id)
        )
        yield made.scalar_one()


def test_a_line_that_is_committed_after_a_later_one_reaches_watchers(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    live = Live(Feed(books.database), OFTEN)
    heard: list[LiveEvent] = []
    end = live.watch(heard.append)
    with _uncommitted(books, job_id) as slow:
        seen = [one.number for one in missed(live, 0, BOSS)]
        lease = books.take("a", job_id)
        wait_for(lambda: "claim" in [one.data.get("what") for one in heard], "the claim")
    wait_for(lambda: slow in numbers(heard), "the slow line")
    assert books.leases.complete(lease, finished())
    wait_for(lambda: "complete" in [one.data.get("what") for one in heard], "the end")
    end()
    live.close()
    assert slow not in seen
    told = numbers(heard)
    assert len(told) == len(set(told))
    assert {one.number for one in Feed(books.database).after(0)} == {*seen, *told}


def test_who_comes_back_gets_what_became_visible_after_the_last_number_it_saw(
    books: Books,
) -> None:
    job_id = books.submit()
    other = Books(books.database, BEN)
    live = Live(Feed(books.database))
    with _uncommitted(books, job_id) as slow:
        bens = other.submit()
        last = Feed(books.database).newest()
    assert slow < last
    for who, wanted in ((BOSS, None), (OPERATOR, None), (BOSS, job_id)):
        asker = replace(who, user_id=books.user_id) if who is OPERATOR else who
        got = [one.number for one in missed(live, last, asker, wanted)]
        assert slow in got
        assert last not in got
    assert [one.number for one in missed(live, last, BOSS, bens)] == []
    with books.database.writing() as connection:
        connection.execute(sa.update(events).where(events.c.id < last).values(
            at=datetime.now(UTC) - timedelta(minutes=1)))  # fmt: skip
    assert missed(live, last, BOSS) == [], "what is old was told then"
