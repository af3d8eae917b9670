"""Results in BigQuery: one row for each job, its newest, however often and in whichever order they are recorded.

A batch is one MERGE. Rows that are there already are brought up to date or left alone, so that recording twice is
harmless; there is no streaming buffer whose rows could not be changed, and no limit on statements a day. Two MERGEs
at the same moment may both insert one job, since inserts don't conflict: so one process records at a time, and the
statement's id is made of the batch, so that a statement whose answer was lost is found again and not sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from reelyard.domain.errors import BigQueryUnavailable
from reelyard.domain.farm import Result

from .bigquery import BigQuery, Patience, one_time
from .videos import TableName

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, QueryJob, QueryJobConfig, SchemaField, Table

PATIENCE = Patience(answer=30.0, retries=60.0, statement=120.0)
_WHAT = "results"
_REMEDY = "Correct REELYARD_BIGQUERY_DATASET and REELYARD_BIGQUERY_RESULTS_TABLE"
_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64"}
"""What tables call types, and what SQL does."""

COLUMNS = {
    "job_id": "STRING",
    "username": "STRING",
    "channel_name": "STRING",
    "timestamp": "TIMESTAMP",
    "video_count": "INT64",
    "total_duration": "FLOAT64",
    "output_path": "STRING",
    "worker_id": "STRING",
    "features_used": "ARRAY<STRING>",
    "processing_time": "FLOAT64",
    "status": "STRING",
}
_ALWAYS = ("job_id", "timestamp")
_SOMETIMES = ("output_path", "worker_id")


class BigQueryResults:
    """The table of results. ``location`` is where its dataset is made, if there is none."""

    def __init__(
        self, bigquery: BigQuery, table: TableName, location: str | None = None,
        patience: Patience = PATIENCE,
    ) -> None:  # fmt: skip
        self._bigquery = bigquery
        self._location = location
        self._patience = patience
        self._lies_in: str | None = None
        self.table = table

    def check(self, patience: Patience | None = None) -> None:
        """See that results fit into the table; it is made where there is none.

        Raises SettingsInvalid, BigQueryUnavailable naming every column that is wrong.
        """
        with self._bigquery.asking(_WHAT, _REMEDY) as client:
            table = self._found(client, one_time(patience or self._patience))
        wrong = list(_wrong(table.schema))
        if wrong:
            lacking = _lacking(table.schema)
            raise BigQueryUnavailable(
                f"results don't fit into {self.table} in BigQuery: {'; '.join(wrong)}",
                remedy=self._addition(lacking) if len(lacking) == len(wrong)
                else "Correct the table, or let REELYARD_BIGQUERY_RESULTS_TABLE name another one",
            )  # fmt: skip
        self._lies_in = table.location

    def record(self, results: Sequence[Result], since: datetime, name: str) -> None:
        """Record results of different jobs. None of them has a row that is older than ``since``.

        ``name`` is the batch's own: a second call with it runs nothing a second time.
        Raises SettingsInvalid, BigQueryUnavailable, and BigQueryRefused for results that don't fit.
        """
        if self._lies_in is None:
            self.check()
        with self._bigquery.asking(_WHAT, _REMEDY) as client:
            job = self._begun(
                client, f"reelyard-results-{name}", _config(results, since, self._patience)
            )
            try:
                job.result(timeout=self._patience.statement, retry=self._patience.retry)
            except TimeoutError:
                job.cancel(**one_time(self._patience))
                raise

    def _begun(self, client: Client, job_id: str, config: QueryJobConfig) -> QueryJob:
        from google.api_core.exceptions import Conflict

        once = one_time(self._patience)
        try:
            return client.query(
                merge(self.table), job_config=config, job_id=job_id, location=self._lies_in,
                job_retry=None, **once,
            )  # fmt: skip
        except Conflict:  # its answer was lost
            found: Any = client.get_job(job_id, location=self._lies_in, **once)
            job: QueryJob = found
            return job

    def _found(self, client: Client, once: dict[str, Any]) -> Table:
        from google.api_core.exceptions import NotFound

        try:
            return client.get_table(str(self.table), **once)
        except NotFound:
            self._make(client, once)
            return client.get_table(str(self.table), **once)

    def _make(self, client: Client, once: dict[str, Any]) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud.bigquery import Dataset, Table, TimePartitioning

        table = Table(str(self.table), schema=_schema())
        table.time_partitioning = TimePartitioning(field="timestamp")  # by the day
        table.clustering_fields = ["channel_name", "job_id"]
        table.description = "One row for each job of the farm that ended, by Reelyard"
        try:
            client.create_table(table, exists_ok=True, **once)
        except NotFound:
            dataset = Dataset(f"{self.table.project}.{self.table.dataset}")
            dataset.location = self._location
            client.create_dataset(dataset, exists_ok=True, **once)
            client.create_table(table, exists_ok=True, **once)

    def _addition(self, lacking: Sequence[str]) -> str:
        added = ", ".join(f"ADD COLUMN `{name}` {COLUMNS[name]}" for name in lacking)
        return f"Run there: ALTER TABLE {self.table.quoted} {added}"


def merge(table: TableName) -> str:
    """The statement. The bound on ``timestamp`` keeps it from reading old partitions."""
    rest = ", ".join(f"`{name}` = s.`{name}`" for name in COLUMNS if name != "job_id")
    names = ", ".join(f"`{name}`" for name in COLUMNS)
    values = ", ".join(f"s.`{name}`" for name in COLUMNS)
    return (
        f"MERGE {table.quoted} AS t USING (SELECT {names} FROM UNNEST(@results)) AS s "  # noqa: S608
        "ON t.`job_id` = s.`job_id` AND t.`timestamp` >= @since "
        f"WHEN MATCHED AND s.`timestamp` >= t.`timestamp` THEN UPDATE SET {rest} "
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def _config(results: Sequence[Result], since: datetime, patience: Patience) -> QueryJobConfig:
    from google.cloud.bigquery import ArrayQueryParameter, QueryJobConfig, ScalarQueryParameter

    rows = [_row(result) for result in results]
    return QueryJobConfig(
        query_parameters=[
            ArrayQueryParameter("results", "STRUCT", rows),
            ScalarQueryParameter("since", "TIMESTAMP", since),
        ],
        job_timeout_ms=int(patience.statement * 1000),
        labels={"reelyard": "results"},
    )


def _row(result: Result) -> Any:
    from google.cloud.bigquery import (
        ArrayQueryParameter,
        ScalarQueryParameter,
        StructQueryParameter,
    )

    fields: list[Any] = []
    for name, kind in COLUMNS.items():
        value = getattr(result, name)
        if kind == "ARRAY<STRING>":
            fields.append(ArrayQueryParameter(name, "STRING", list(value)))
        else:
            fields.append(ScalarQueryParameter(name, kind, _stored(value)))
    return StructQueryParameter(None, *fields)


def _stored(value: Any) -> Any:
    """Bytes of a file's name that are no text are spelt out: BigQuery's texts can't hold them."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", r"\0")


def _schema() -> list[SchemaField]:
    from google.cloud.bigquery import SchemaField

    return [
        SchemaField(name, kind, "REQUIRED" if name in _ALWAYS else "NULLABLE")
        if kind != "ARRAY<STRING>"
        else SchemaField(name, "STRING", "REPEATED")
        for name, kind in COLUMNS.items()
    ]


def _kind(field: SchemaField) -> str:
    kind = _TYPES.get(field.field_type, field.field_type)
    return f"ARRAY<{kind}>" if field.mode == "REPEATED" else str(kind)


def _lacking(schema: Sequence[SchemaField]) -> list[str]:
    known = {field.name.lower() for field in schema}
    return [name for name in COLUMNS if name not in known]


def _wrong(schema: Sequence[SchemaField]) -> Iterator[str]:
    """What is wrong with each column of a table."""
    yield from (f"there is no column {name}" for name in _lacking(schema))
    for field in schema:
        wanted = COLUMNS.get(field.name.lower())
        if wanted is not None and _kind(field) != wanted:
            yield f"{field.name} is {_kind(field)} and has to be {wanted}"
        elif _must_be_given(field) and (wanted is None or field.name.lower() in _SOMETIMES):
            yield f"{field.name} is REQUIRED, and a result may have none"


def _must_be_given(field: SchemaField) -> bool:
    return field.mode == "REQUIRED" and field.default_value_expression is None
