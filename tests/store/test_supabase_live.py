"""Live updates: what a subscriber of Supabase's publication sees of a job, over PostgreSQL's own replication."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.store.database import Database

from .conftest import CLIP, PATIENCE, STILL, Books, Project, finished, job

# What arrives is written down by triggers that fire for the subscription as well. Tables that point at
# jobs would hold up the emptying between tests, which arrives, too.
_WRITE_DOWN = """
DROP TABLE job_attempts, job_segments, offered_segments, offers, webhook_deliveries, webhooks;
CREATE TABLE seen (n bigserial PRIMARY KEY, kind text, what text, row jsonb);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  INSERT INTO seen (kind, what, row) VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(coalesce(NEW, OLD)));
  RETURN NULL;
END $$;
CREATE TRIGGER write_down AFTER INSERT OR UPDATE OR DELETE ON jobs
  FOR EACH ROW EXECUTE FUNCTION write_down();
CREATE TRIGGER write_down AFTER INSERT OR UPDATE OR DELETE ON job_items
  FOR EACH ROW EXECUTE FUNCTION write_down();
ALTER TABLE jobs ENABLE ALWAYS TRIGGER write_down;
ALTER TABLE job_items ENABLE ALWAYS TRIGGER write_down;
"""


@dataclass(frozen=True)
class Watcher:
    """A database of its own, subscribed to the project's publication."""

    engine: sa.Engine

    def seen(self, until: Callable[[list[Any]], bool]) -> list[Any]:
        """Everything that has arrived, in order, as soon as there is what is waited for."""
        give_up = time.monotonic() + PATIENCE
        while True:
            with self.engine.connect() as connection:
                rows = list(
                    connection.execute(sa.text("SELECT kind, what, row FROM seen ORDER BY n"))
                )
            if until(rows):
                return rows
            assert time.monotonic() < give_up, f"only this has arrived: {rows}"
            time.sleep(0.02)

    def tell(self, statement: str) -> None:
        """Subscriptions are made and ended outside of transactions."""
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="module")
def subscribed(migrated_project: Project) -> Iterator[Watcher]:
    """It shares the project's server, so its slot is made beforehand: making it would wait for itself."""
    server, name = migrated_project.postgres, f"watcher_{uuid.uuid4().hex}"
    with closing(Database(server.create(name))) as tables, tables.writing() as connection:
        connection.exec_driver_sql(_WRITE_DOWN)
    one = Watcher(sa.create_engine(server.url(name), poolclass=sa.NullPool))
    publisher = Watcher(sa.create_engine(server.url(migrated_project.name), poolclass=sa.NullPool))
    publisher.tell(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    where = f"host={server.host} port={server.port} user={server.user}"
    where += f" dbname={migrated_project.name}"
    one.tell(f"CREATE SUBSCRIPTION live CONNECTION '{where}' PUBLICATION supabase_realtime"
             f" WITH (create_slot = false, slot_name = '{name}', copy_data = false)")  # fmt: skip
    yield one
    one.tell("DROP SUBSCRIPTION live")  # and its slot
    server.drop(name)


@pytest.fixture
def watcher(subscribed: Watcher, project: Project) -> Watcher:
    """Each test waits for the last that it does, so nothing of it arrives in the next."""
    subscribed.tell("TRUNCATE seen")
    return subscribed


def _render(books: Books, one: Job, step: int = 10) -> str:
    """All that a worker says of a job while it does it."""
    books.hire("pc1")
    job_id = books.submit(one)
    lease = books.take("pc1", job_id)
    for percent in range(0, 101, step):
        assert books.leases.beat(lease, stage="rendering", progress=percent).holds
    assert books.leases.permit(lease)
    assert books.leases.complete(lease, finished())
    return job_id


def _ended(rows: list[Any]) -> bool:
    return bool(rows) and rows[-1].row.get("status") == JobStatus.COMPLETED


def test_each_step_of_a_job_arrives_in_order(project: Project, watcher: Watcher) -> None:
    job_id = _render(project.books, job(CLIP, STILL), 1)
    rows = watcher.seen(_ended)
    jobs = [row for row in rows if row.kind == "jobs"]
    assert {row.row["job_id"] for row in rows} == {job_id}
    assert [row.what for row in jobs[:2]] == ["INSERT", "UPDATE"]
    rendering = [row.row["progress"] for row in jobs if row.row["stage"] == "rendering"]
    assert rendering == [*range(100), 99.9], "it is never 100 before the film is published"
    stages = list(dict.fromkeys(row.row["stage"] for row in jobs))
    assert stages == ["", "claimed", "rendering", "publishing", "done"]
    assert jobs[-1].row["progress"] == 100


def test_a_jobs_items_arrive_with_it(project: Project, watcher: Watcher) -> None:
    _render(project.books, job(CLIP, STILL))
    rows = watcher.seen(_ended)
    items = [row.row for row in rows if row.kind == "job_items"]
    assert [one["named"] for one in items] == ["clip.mp4", "still.png"]
    first = next(n for n, row in enumerate(rows) if row.what == "UPDATE")
    assert all(row.kind == "jobs" for row in rows[first:])


def test_nothing_else_is_published(project: Project, watcher: Watcher) -> None:
    _render(project.books, job(CLIP))
    with project.database.reading() as connection:
        told = sa.text("SELECT DISTINCT tablename FROM pg_publication_tables")
        assert set(connection.scalars(told)) == {"jobs", "job_items"}
    assert {row.kind for row in watcher.seen(_ended)} == {"jobs", "job_items"}


def test_cancelling_and_failing_arrive(project: Project, watcher: Watcher) -> None:
    books = project.books
    books.hire("pc1")
    cancelled = books.submit()
    books.jobs.cancel(cancelled)
    failed = books.submit()
    assert books.leases.refuse(books.take("pc1", failed), "the clip is broken")
    rows = watcher.seen(lambda rows: bool(rows) and rows[-1].row.get("status") == JobStatus.FAILED)
    last = {row.row["job_id"]: row.row for row in rows if row.kind == "jobs"}
    assert last[cancelled]["status"] == JobStatus.CANCELLED
    assert last[failed]["error_message"] == "the clip is broken"
