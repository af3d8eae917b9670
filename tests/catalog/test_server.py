"""The local BigQuery is honest: what Google's would refuse is refused, as Google's client has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, ScalarQueryParameter, Table
from google.cloud.bigquery.job import QueryJobConfig

from tests.bigquery_server import BigQueryServer

COLUMNS = {"id": "REQUIRED STRING", "n": "INTEGER", "at": "TIMESTAMP", "many": "REPEATED STRING"}


@pytest.fixture
def client(bigquery: BigQueryServer, project: str) -> Iterator[Client]:
    bigquery.make(f"{project}.d.t", COLUMNS)
    options = {"api_endpoint": bigquery.url}
    with closing(Client(project, AnonymousCredentials(), client_options=options)) as one:  # type: ignore[no-untyped-call]
        yield one


def rows(client: Client, sql: str, **parameters: tuple[str, Any]) -> list[tuple[Any, ...]]:
    given = [ScalarQueryParameter(name, *one) for name, one in parameters.items()]
    found = client.query_and_wait(sql, job_config=QueryJobConfig(query_parameters=given))
    return [tuple(row.values()) for row in found]


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1", "SELECT 1 +", "FOO BAR", "SELECT nothing FROM `d.t`", "SELECT id FROM t",
        "SELECT id FROM `{p}.d.t` WHERE n = @missing", "SELECT UNKNOWN_FUNCTION(id) FROM `{p}.d.t`",
        "SELECT 1; SELECT 2", "INSERT INTO `{p}.d.t` (n) VALUES (1)", "DROP TABLE `{p}.d.t`",
        "MERGE `{p}.d.t` AS t USING `{p}.d.t` AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET no = 1",
    ],
)  # fmt: skip
def test_what_is_no_statement_is_an_error(client: Client, sql: str) -> None:
    with pytest.raises((BadRequest, NotFound)):
        rows(client, sql.format(p=client.project))


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for sql in ("SELECT 1 FROM `{p}.d.none`", "SELECT 1 FROM `{p}.none.t`"):
        with pytest.raises(NotFound):
            rows(client, sql.format(p=client.project))
    with pytest.raises(NotFound):
        client.get_table(f"{client.project}.d.none")
    with pytest.raises(NotFound):
        client.get_job("none")


def test_what_is_there_is_not_made_again(client: Client) -> None:
    with pytest.raises(Conflict):
        client.create_table(Table(f"{client.project}.d.t", schema=client.get_table(
            f"{client.project}.d.t").schema))  # fmt: skip
    client.query("SELECT 1", job_id="mine", job_retry=None).result()
    with pytest.raises(Conflict):
        client.query("SELECT 1", job_id="mine", job_retry=None)


def test_a_statement_says_what_it_changed_and_values_come_back_as_they_are(client: Client) -> None:
    sql = f"INSERT INTO `{client.project}.d.t` VALUES (@id, @n, TIMESTAMP_MICROS(@at), ['x', 'y'])"
    given = [ScalarQueryParameter("id", "STRING", "é'"), ScalarQueryParameter("n", "INT64", 7),
             ScalarQueryParameter("at", "INT64", 1_700_000_000_123_456)]  # fmt: skip
    job = client.query(sql, job_config=QueryJobConfig(query_parameters=given))
    job.result()
    assert job.num_dml_affected_rows == 1
    ((video_id, n, at, many),) = rows(client, f"SELECT * FROM `{client.project}.d.t`")
    assert (video_id, n, at.isoformat(), many) == (
        "é'", 7, "2023-11-14T22:13:20.123456+00:00", ["x", "y"],
    )  # fmt: skip
