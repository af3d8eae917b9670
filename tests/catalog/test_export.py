"""From our own table to BigQuery's: each job once, whatever goes wrong on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from reelyard.catalog.bigquery import BigQuery
from reelyard.catalog.results import BigQueryResults
from reelyard.catalog.videos import TableName
from reelyard.domain.errors import BigQueryRefused, BigQueryUnavailable, SettingsInvalid
from reelyard.domain.farm import Result
from reelyard.services.results_export import ResultsExport, ResultsTable
from reelyard.store.database import Database
from reelyard.store.exports import Exports
from tests.bigquery_server import BigQueryServer
from tests.store.conftest import Books, finished

from .conftest import LATE, SOON, TABLE


@dataclass
class Yard:
    """Books with results in them, and a clock that is moved by hand."""

    books: Books
    now: float = 0.0

    def complete(self, *, video_count: int = 1, job_id: str | None = None) -> str:
        lease = self.books.take("a", job_id or self.books.submit())
        assert self.books.leases.complete(lease, finished(video_count=video_count))
        return self.deliver(lease.job_id)

    def fail(self) -> str:
        lease = self.books.take("a", self.books.submit())
        assert self.books.leases.refuse(lease, "broken clip")
        return self.deliver(lease.job_id)

    def deliver(self, job_id: str) -> str:
        entries = self.books.outbox.due()
        self.books.results.deliver(entries)
        self.books.outbox.delivered(entries)
        return job_id

    def export(self, table: ResultsTable, holder: str = "one", **changes: Any) -> ResultsExport:
        exports = Exports(self.books.database)
        return ResultsExport(
            exports, self.books.duties, table, holder, clock=lambda: self.now, **changes
        )

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.books.pass_time(seconds, "workers")


@pytest.fixture
def yard(books: Books) -> Yard:
    books.hire("a")
    return Yard(books)


@pytest.fixture
def table(connection: BigQuery) -> BigQueryResults:
    return BigQueryResults(connection, TableName(connection.project, "farm", "results"), None, LATE)


@pytest.fixture
def hasty(connection: BigQuery, table: BigQueryResults) -> BigQueryResults:
    """The same table, with less patience."""
    return BigQueryResults(connection, table.table, None, SOON)


def jobs(bigquery: BigQueryServer, table: BigQueryResults) -> dict[str, str]:
    """Status by job, of a table that has each job once."""
    rows = bigquery.rows(str(table.table))
    found = {str(row["job_id"]): str(row["status"]) for row in rows}
    assert len(found) == len(rows), "a job is there twice"
    return found


def test_what_was_delivered_before_anybody_could_is_recorded_with_the_rest(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    done = [yard.complete() for _ in range(5)]
    export = yard.export(table, batch=2)
    assert export() == 5
    assert jobs(bigquery, table) == dict.fromkeys(done, "completed")
    assert len(bigquery.statements) == 3
    assert export() == 0
    assert len(bigquery.statements) == 3


def test_a_job_that_failed_and_was_completed_on_its_retry_is_there_once(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    export = yard.export(table)
    first = yard.fail()
    assert export() == 1
    second = yard.fail()
    for job_id in (first, second):  # one whose failure was recorded, one whose was not
        yard.books.jobs.retry(job_id)
        yard.complete(job_id=job_id)
    assert export() == 3
    assert jobs(bigquery, table) == {first: "completed", second: "completed"}


def test_a_retry_after_days_finds_the_row_of_its_failure(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    """The bound that keeps old partitions from being read must not hide it."""
    export = yard.export(table)
    job_id = yard.fail()
    assert export() == 1
    at = bigquery.rows(str(table.table))[0]["timestamp"]
    bigquery.engine.run(f"UPDATE `{table.table}` SET timestamp = TIMESTAMP_MICROS({at - 40 * 86_400_000_000}) WHERE TRUE")  # fmt: skip
    yard.books.pass_time(40 * 86_400, "workers")
    yard.books.jobs.retry(job_id)
    yard.complete(job_id=job_id)
    yard.complete()
    assert export() == 2
    assert jobs(bigquery, table)[job_id] == "completed"


def test_an_answer_lost_after_the_merge_leads_to_no_second_row(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults, hasty: BigQueryResults
) -> None:
    done = yard.complete()
    table.check()
    bigquery.lose_answers(1000, on="/jobs")  # and no way to hear of the statement's end
    assert yard.export(hasty)() == 0
    assert jobs(bigquery, table) == {done: "completed"}
    bigquery.healthy()
    yard.later(181)
    assert yard.export(table)() == 1
    assert jobs(bigquery, table) == {done: "completed"}


def test_a_process_that_dies_after_the_merge_leaves_nothing_to_be_done_twice(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    yard.complete()

    class Dies(Exports):
        def done(self, exports: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ResultsExport(Dies(yard.books.database), yard.books.duties, table, "dead")()
    bigquery.forget()
    yard.later(601)
    assert yard.export(table, "another")() == 1
    assert len(jobs(bigquery, table)) == 1
    run = [one for one in bigquery.jobs if one[0] == table.table.project]
    assert len(run) == 1  # the same batch is the same statement


@pytest.mark.parametrize(("status", "reason"), [(429, "rateLimitExceeded"), (503, "backendError")])
def test_a_fault_that_passes_is_not_even_seen(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults, status: int, reason: str
) -> None:
    done = yard.complete()
    table.check()
    bigquery.fail(status, reason, times=2)
    assert yard.export(table)() == 1
    assert jobs(bigquery, table) == {done: "completed"}
    assert yard.books.rows("compilation_results")["compilation_results"][0][-2:] == (None, None)


def test_an_outage_is_sat_out_with_growing_pauses_and_told(
    bigquery: BigQueryServer, yard: Yard, hasty: BigQueryResults, caplog: pytest.LogCaptureFixture
) -> None:
    first = yard.complete()
    bigquery.stop()
    export = yard.export(hasty)
    for tries, pause in enumerate((180, 360, 720)):
        assert export() == 0
        export.begin()  # too early: nothing is begun
        assert yard.books.duties.take_over("results to BigQuery", "other", 0.0)
        backlog = export.exports.backlog()
        assert backlog.waiting == 1 + tries
        assert f"{pause} s until the next try" in caplog.text
        assert "connection refused" in caplog.text
        yard.complete()
        yard.later(pause + 1)
    bigquery.start()
    assert export() == 4
    assert first in jobs(bigquery, hasty) and len(jobs(bigquery, hasty)) == 4
    assert export.exports.backlog().waiting == 0


def test_after_days_it_is_still_tried_each_hour(yard: Yard) -> None:
    table = Fake(BigQueryRefused("no"))
    yard.complete()
    export = yard.export(table)
    for _ in range(12):
        export()
        yard.later(3601)
    assert len(table.given) == 12
    backlog = export.exports.backlog()
    assert (backlog.waiting, backlog.failing, backlog.error) == (1, 1, "no")


def test_two_processes_record_each_job_once(
    bigquery: BigQueryServer, connection: BigQuery, books_url: str, yard: Yard,
    table: BigQueryResults,
) -> None:  # fmt: skip
    done = {yard.complete() for _ in range(12)}
    table.check()
    bigquery.forget()
    bigquery.be_slow(0.1, 0.1, 0.1)

    def run(name: str) -> int:
        with closing(Database(books_url)) as database, closing(
            BigQuery(connection.project, endpoint=bigquery.url)) as own:  # fmt: skip
            other = Yard(Books(database))
            export = other.export(BigQueryResults(own, table.table, None, LATE), name, batch=4)
            return export()

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(run, ("one", "two")))
    assert sum(counts) == 12 and set(jobs(bigquery, table)) == done
    assert len(bigquery.statements) == 3


def test_one_bad_row_holds_up_no_other(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    """BigQuery takes no result of the seventh: its count does not fit there."""
    bigquery.make(str(table.table), TABLE, check="video_count < 99")
    done = [yard.complete(video_count=100 if number == 6 else 1) for number in range(10)]
    export = yard.export(table)
    assert export() == 9
    assert set(jobs(bigquery, table)) == {*done} - {done[6]}
    backlog = export.exports.backlog()
    assert (backlog.waiting, backlog.failing) == (1, 1) and "CHECK" in (backlog.error or "")
    more = yard.complete()
    assert export() == 1 and more in jobs(bigquery, table)


def test_a_wrong_table_is_told_at_the_start_and_again_when_it_changes(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults, caplog: pytest.LogCaptureFixture
) -> None:
    bigquery.make(str(table.table), {**TABLE, "timestamp": "DATE"})
    export = yard.export(table)
    assert export() == 0  # nothing waits yet
    assert "timestamp is DATE and has to be TIMESTAMP" in caplog.text
    bigquery.engine.drop_table(str(table.table))
    done = yard.complete()
    yard.later(181)
    assert export() == 1
    assert jobs(bigquery, table) == {done: "completed"}
    bigquery.engine.drop_table(str(table.table))
    yard.complete()
    assert export() == 0
    yard.later(181)
    assert export() == 1  # made anew


@dataclass
class Fake:
    """A table that refuses everything, for a reason."""

    error: Exception
    given: list[int] = field(default_factory=list)

    def check(self) -> None:
        pass

    def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
        self.given.append(len(results))
        raise self.error


def test_what_is_this_machines_fault_keeps_no_other_machine_from_it(
    bigquery: BigQueryServer, yard: Yard, table: BigQueryResults
) -> None:
    done = yard.complete()
    assert yard.export(Fake(SettingsInvalid("no account here")), "pc2")() == 0
    assert yard.export(table, "pc1")() == 1
    assert jobs(bigquery, table) == {done: "completed"}


class Hangs(Fake):
    """Takes long to answer."""

    def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
        self.given.append(len(results))
        time.sleep(0.3)


def test_the_sweep_does_not_wait_for_it(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hangs = Hangs(RuntimeError())
    yard.complete()
    export = yard.export(hangs)
    begun = time.monotonic()
    export.begin()
    export.begin()
    assert time.monotonic() - begun < 0.2
    while "recorded 1 results" not in caplog.text:
        assert time.monotonic() - begun < 10
        time.sleep(0.01)
    assert hangs.given == [1]


class Falters(Fake):
    """Refuses more than one result at once; then it is away."""

    def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
        self.given.append(len(results))
        if len(results) > 2:
            raise BigQueryRefused("one of them")
        raise BigQueryUnavailable("away")


def test_an_outage_while_a_bad_row_is_looked_for_is_one_vain_try_of_what_was_tried(
    yard: Yard,
) -> None:
    for _ in range(8):
        yard.complete()
    export = yard.export(table := Falters(BigQueryUnavailable("away")))
    assert export() == 0
    assert table.given == [8, 4, 2]
    assert (export.exports.backlog().waiting, export.exports.backlog().failing) == (8, 2)
    assert sorted(one.tries for one in export.exports.due(9)) == [0] * 6  # the two have to wait


def test_whose_turn_is_over_stops_looking_for_the_bad_row(yard: Yard) -> None:
    """Another process has begun: two at the same moment could record a job twice."""
    for _ in range(4):
        yard.complete()

    class Slow(Fake):
        def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
            self.given.append(len(results))
            yard.later(601)
            assert yard.books.duties.take_over("results to BigQuery", "two", 600.0)
            raise self.error

    table = Slow(BigQueryRefused("one of them"))
    assert yard.export(table)() == 0
    assert table.given == [4]
