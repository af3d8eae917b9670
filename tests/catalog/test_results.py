"""Results in BigQuery's table: one row for each job, its newest; the table made, or found wanting in words."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlglot

from reelyard.catalog.bigquery import BigQuery
from reelyard.catalog.results import COLUMNS, BigQueryResults, merge
from reelyard.catalog.videos import TableName
from reelyard.domain.errors import BigQueryRefused, BigQueryUnavailable
from reelyard.domain.farm import Result
from reelyard.domain.lifecycle import JobStatus
from tests.bigquery_server import BigQueryServer

from .conftest import LATE, SOON, TABLE

NOW = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)
SINCE = NOW - timedelta(days=2)
RESULT = Result(
    job_id="1", username="ann", channel_name="Café", timestamp=NOW, video_count=3,
    total_duration=12.5, output_path="//media/out/Café_1.mp4", worker_id="pc1@a",
    features_used=("logo_overlay", "4k_output"), processing_time=7.25, status=JobStatus.COMPLETED,
)  # fmt: skip


@pytest.fixture
def table(connection: BigQuery) -> BigQueryResults:
    return BigQueryResults(
        connection, TableName(connection.project, "farm", "compilation_results"), "EU", LATE
    )


@pytest.fixture
def hasty(connection: BigQuery, table: BigQueryResults) -> BigQueryResults:
    """The same table, with less patience."""
    return BigQueryResults(connection, table.table, None, SOON)


def test_a_result_is_recorded_field_by_field(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    nothing = replace(RESULT, job_id="2", output_path=None, worker_id=None, features_used=())
    table.record([RESULT, nothing], SINCE, "batch")
    one, other = sorted(bigquery.rows(str(table.table)), key=lambda row: str(row["job_id"]))
    assert one == {
        "job_id": "1", "username": "ann", "channel_name": "Café",
        "timestamp": int(NOW.timestamp()) * 1_000_000 + 123456, "video_count": 3,
        "total_duration": 12.5, "output_path": "//media/out/Café_1.mp4", "worker_id": "pc1@a",
        "features_used": ["logo_overlay", "4k_output"], "processing_time": 7.25,
        "status": "completed",
    }  # fmt: skip
    assert (other["output_path"], other["worker_id"], other["features_used"]) == (None, None, [])


def test_names_that_are_no_text_are_spelt_out(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    table.record([replace(RESULT, output_path="/\udcff\0'`.mp4", channel_name="a\nb")], SINCE, "b")
    (row,) = bigquery.rows(str(table.table))
    assert (row["output_path"], row["channel_name"]) == (r"/\udcff\0'`.mp4", "a\nb")


def test_a_job_has_one_row_its_newest_in_whichever_order_they_come(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    failed = replace(RESULT, status=JobStatus.FAILED, timestamp=NOW - timedelta(hours=30))
    late = replace(RESULT, job_id="2")
    for number, batch in enumerate(([failed], [RESULT, late], [failed], [RESULT], [
            replace(late, status=JobStatus.FAILED, timestamp=NOW - timedelta(minutes=1))])):  # fmt: skip
        table.record(batch, SINCE, f"batch-{number}")
    rows = bigquery.rows(str(table.table))
    assert sorted((row["job_id"], row["status"]) for row in rows) == [
        ("1", "completed"), ("2", "completed"),
    ]  # fmt: skip


def test_the_statement_is_bigquerys_names_its_columns_and_bounds_what_it_reads() -> None:
    tree = sqlglot.parse_one(merge(TableName("p", "d", "t")), read="bigquery")
    assert isinstance(tree, sqlglot.exp.Merge)
    assert {one.name for one in tree.find_all(sqlglot.exp.Column)} == set(COLUMNS)
    assert not list(tree.find_all(sqlglot.exp.Star))
    condition = tree.args["on"].sql("bigquery")
    assert "t.`timestamp` >= @since" in condition and "t.`job_id` = s.`job_id`" in condition


# Faults


def test_a_lost_answer_is_harmless_and_nothing_is_run_twice(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    table.check()
    for on in ("/jobs", "GET"):  # after the MERGE was sent; while its end is asked for
        bigquery.forget()
        bigquery.lose_answers(on=on)
        table.record([replace(RESULT, job_id=on)], SINCE, on.strip("/"))
        assert len(bigquery.statements) == (2 if on == "/jobs" else 1)
    assert len([one for one in bigquery.jobs if one[0] == table.table.project]) == 2
    assert sorted(str(row["job_id"]) for row in bigquery.rows(str(table.table))) == ["/jobs", "GET"]


def test_two_processes_with_the_same_batch_run_one_statement(
    bigquery: BigQueryServer, connection: BigQuery, table: BigQueryResults
) -> None:
    table.check()
    bigquery.forget()
    bigquery.be_slow(0.2)
    other = BigQuery(connection.project, endpoint=bigquery.url)
    tables = (table, BigQueryResults(other, table.table, patience=LATE))
    threads = [
        threading.Thread(target=one.record, args=([RESULT], SINCE, "same")) for one in tables
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert len(bigquery.rows(str(table.table))) == 1
    assert len(bigquery.statements) == 2
    assert len([one for one in bigquery.jobs if one[0] == connection.project]) == 1


@pytest.mark.parametrize(("status", "reason"), [(429, "rateLimitExceeded"), (503, "backendError")])
def test_what_passes_is_waited_for_and_what_stays_is_told(
    bigquery: BigQueryServer,
    table: BigQueryResults,
    hasty: BigQueryResults,
    status: int,
    reason: str,
) -> None:
    hasty.check()
    bigquery.fail(status, reason, times=2)
    table.record([RESULT], SINCE, f"passes-{status}")
    bigquery.fail(status, reason, times=1000)
    with pytest.raises(BigQueryUnavailable) as found:
        hasty.record([replace(RESULT, job_id="2")], SINCE, f"stays-{status}")
    assert not isinstance(found.value, BigQueryRefused)
    assert [row["job_id"] for row in bigquery.rows(str(table.table))] == ["1"]


def test_a_statement_that_takes_too_long_is_cancelled(
    bigquery: BigQueryServer, table: BigQueryResults, hasty: BigQueryResults
) -> None:
    hasty.check()
    bigquery.be_slow(30)
    with pytest.raises(BigQueryUnavailable, match="too long"):
        hasty.record([RESULT], SINCE, "slow")
    job = bigquery.jobs[table.table.project, "reelyard-results-slow"]
    assert job.is_cancelled and job.ended.wait(5)
    assert bigquery.rows(str(table.table)) == []
    insert = next(one for one in bigquery.calls if one.sql)
    assert insert.body["configuration"]["jobTimeoutMs"] == "1000"


def test_results_that_do_not_fit_are_refused(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    table.check()
    bigquery.engine.drop_table(str(table.table))
    bigquery.make(str(table.table), {**TABLE, "worker_id": "REQUIRED STRING"})
    with pytest.raises(BigQueryRefused):
        table.record([replace(RESULT, worker_id=None)], SINCE, "refused")


# The table


def test_dataset_and_table_are_made_where_there_are_none(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    table.check()
    dataset = str(table.table).rpartition(".")[0]
    assert bigquery.engine.dataset(dataset)["location"] == "EU"
    made = bigquery.engine.table(str(table.table))
    assert made["timePartitioning"] == {"type": "DAY", "field": "timestamp"}
    assert made["clustering"] == {"fields": ["channel_name", "job_id"]}
    kinds = {one["name"]: (one["type"], one["mode"]) for one in made["schema"]["fields"]}
    assert kinds["timestamp"] == ("TIMESTAMP", "REQUIRED")
    assert kinds["features_used"] == ("STRING", "REPEATED")
    bigquery.forget()
    table.check()
    assert [one.method for one in bigquery.calls] == ["GET"]


def test_a_table_that_is_somebody_elses_is_used_as_it_is(
    bigquery: BigQueryServer, table: BigQueryResults
) -> None:
    bigquery.make(str(table.table), {"note": "STRING", **TABLE})
    table.record([RESULT], SINCE, "used")
    (row,) = bigquery.rows(str(table.table))
    assert (row["note"], row["job_id"], row["features_used"]) == (
        None,
        "1",
        ["logo_overlay", "4k_output"],
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timestamp": "DATE"}, ["timestamp is DATE and has to be TIMESTAMP"]),
        ({"features_used": "STRING", "video_count": "FLOAT"},
         ["features_used is STRING and has to be ARRAY<STRING>",
          "video_count is FLOAT64 and has to be INT64"]),
        ({"output_path": "REQUIRED STRING", "farm": "REQUIRED STRING"},
         ["output_path is REQUIRED", "farm is REQUIRED"]),
        ({"status": None, "features_used": None}, ["no column status", "no column features_used"]),
    ],
)  # fmt: skip
def test_every_column_that_is_wrong_is_named(
    bigquery: BigQueryServer, table: BigQueryResults, changes: dict[str, Any], said: list[str]
) -> None:
    columns = {name: kind for name, kind in {**TABLE, **changes}.items() if kind}
    bigquery.make(str(table.table), columns)
    with pytest.raises(BigQueryUnavailable) as found:
        table.record([RESULT], SINCE, "x")
    assert all(one in found.value.message for one in said), found.value.message
    assert bigquery.statements == []
    if None in changes.values():
        assert "ADD COLUMN `features_used` ARRAY<STRING>" in found.value.remedy
        sqlglot.parse_one(found.value.remedy.partition(": ")[2], read="bigquery")
