"""Through a pooler, as Supabase puts one before its databases: the real PgBouncer, keeping sessions or transactions.

Behind the one that keeps transactions a connection is anybody's after each of them: nothing that is said may outlive it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.query import JobQuery
from reelyard.store.database import Database
from reelyard.store.leases import Claim
from reelyard.store.search import Search
from reelyard.store.supabase import Supabase
from tests import supabase_layout
from tests.pgbouncer import PgBouncer
from tests.servers import PostgresServer

from .conftest import Books, Project, at_once, finished, job

OWNER = supabase_layout.OWNER
FEW = 2
"""Connections behind the pooler that keeps transactions: fewer than who wants one."""


@pytest.fixture(scope="module", params=["session", "transaction"])
def pooler(request: pytest.FixtureRequest, supabase_server: PostgresServer) -> Iterator[PgBouncer]:
    mode: Literal["session", "transaction"] = request.param
    few = {"default_pool_size": str(FEW)} if mode == "transaction" else {}
    with closing(PgBouncer(supabase_server, mode, [OWNER], **few)) as one:
        one.start()
        yield one


@pytest.fixture
def crew(pooler: PgBouncer, project: Project) -> Iterator[list[Books]]:
    """Six processes of the farm, one could say: each has the project's database open for itself."""
    with _opened(pooler.url(project.name, OWNER)) as ones:
        yield [Books(one) for one in ones]


@contextmanager
def _opened(url: str) -> Iterator[list[Database]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Database(url))) for _ in range(6)]


def test_a_new_database_is_made_once_by_all_who_open_it(
    pooler: PgBouncer, new_project: str
) -> None:
    """Migrations take one transaction, and the lock that they hold ends with it."""
    with _opened(pooler.url(new_project, OWNER)) as ones:
        found = at_once(*(Supabase(one).shortcomings for one in ones))
    assert found == [[]] * len(ones)


def test_each_job_has_one_owner_and_is_done(crew: list[Books]) -> None:
    names = [f"pc{number}" for number in range(len(crew))]
    crew[0].hire(*names)
    jobs = [crew[0].submit() for _ in range(18)]

    def work(books: Books, name: str) -> list[str]:
        done = []
        while claim := books.leases.claim(name, jobs[0], None):
            done.append(_finish(books, claim))
        return done

    done = at_once(*(partial(work, books, name) for books, name in zip(crew, names, strict=True)))
    assert sorted(job_id for some in done for job_id in some) == sorted(jobs)
    assert {one.progress for one in crew[-1].jobs.list()} == {100}
    assert len(crew[-1].outbox.due()) == len(jobs)


def _finish(books: Books, claim: Claim) -> str:
    for percent in range(0, 100, 25):
        assert books.leases.beat(claim.lease, stage="rendering", progress=percent).holds
    assert books.leases.permit(claim.lease)
    assert books.leases.complete(claim.lease, finished())
    return claim.lease.job_id


def test_jobs_are_moved_by_several_at_once(crew: list[Books]) -> None:
    """For that the queue is locked."""
    jobs = [crew[0].submit() for _ in crew]
    moves = [partial(one.jobs.to_front, job_id) for one, job_id in zip(crew, jobs, strict=True)]
    at_once(*moves)
    with crew[0].database.reading() as connection:
        places = connection.scalars(sa.text("SELECT place FROM jobs")).all()
    assert len(set(places)) == len(jobs)


def test_jobs_are_looked_through_by_several_at_once(crew: list[Books]) -> None:
    """The same statements again and again: a connection that had them prepared would be another's next time."""
    jobs = {crew[0].submit(job(channel_name=f"Channel {number}")) for number in range(30)}

    def look(books: Books) -> set[str]:
        seen: set[str] = set()
        cursor = None
        while True:
            page = Search(books.database).jobs(JobQuery(text="chan", limit=4, cursor=cursor))
            seen |= {state.job_id for state in page.rows}
            cursor = page.cursor
            if cursor is None:
                return seen

    assert at_once(*(partial(look, one) for one in crew)) == [jobs] * len(crew)


def test_nothing_that_is_said_outlives_a_transaction(pooler: PgBouncer, new_project: str) -> None:
    url = pooler.url(new_project, OWNER)
    with (
        closing(Database(f"{url}?schema=reelyard&pgbouncer=true")) as own,
        closing(Database(url)) as plain,
    ):
        for _ in range(2 * FEW):
            Books(own).submit()
            Books(plain).profiles.local("somebody")
        assert _settings(plain) == _settings(own) | {"search_path": '"$user", public'}
        assert (len(Books(own).jobs.list()), len(Books(plain).jobs.list())) == (2 * FEW, 0)


def _settings(database: Database) -> dict[str, Any]:
    names = (
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "search_path",
    )
    with database.reading() as connection:
        return {name: connection.scalar(sa.text(f"SHOW {name}")) for name in names}


def test_the_pooler_goes_and_comes_back(pooler: PgBouncer, crew: list[Books]) -> None:
    job_id = crew[0].submit()
    pooler.stop()
    try:
        with pytest.raises(DatabaseUnavailable, match="can't be used"):
            crew[0].state(job_id)
    finally:
        pooler.start()
    assert crew[0].state(job_id).job_id == job_id
