"""The catalogue of videos in BigQuery: one query for all ids of a job, of two columns.

What it costs is what BigQuery reads: with the table clustered by the id column, a few blocks. Of several rows with
one id the path counts that comes last in the alphabet; a view says it otherwise. A row without a path is none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reelyard.domain.errors import BigQueryRefused, BigQueryUnavailable, SettingsInvalid

from .bigquery import QUICK, BigQuery, Patience, one_time

if TYPE_CHECKING:
    from google.cloud.bigquery import QueryJobConfig
    from google.cloud.bigquery.table import RowIterator

_PATIENCE = Patience(answer=10.0, retries=20.0, statement=20.0)  # somebody waits for it
_PROJECT = r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]*"
_TABLE = re.compile(rf"(?:(?:({_PROJECT})\.)?(\w+)\.)?([\w -]+)")
_COLUMN = re.compile(r"\w+")
_REMEDY = "Correct REELYARD_BIGQUERY_CATALOGUE_TABLE"
_MUCH = 1_000_000_000  # bytes; BigQuery can't say beforehand what clustering saves


@dataclass(frozen=True, slots=True)
class TableName:
    """A table's name in full; nothing of it can end the quotes that it stands in."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"

    @property
    def quoted(self) -> str:
        return f"`{self}`"


def table_name(text: str, project: str, dataset: str) -> TableName:
    """The name that ``table``, ``dataset.table`` or ``project.dataset.table`` is. Raises SettingsInvalid."""
    found = _TABLE.fullmatch(text)
    if found is None:
        raise SettingsInvalid("REELYARD_BIGQUERY_CATALOGUE_TABLE is no name of a table",
                              remedy="Write table, dataset.table or project.dataset.table")  # fmt: skip
    return TableName(found[1] or project, found[2] or dataset, found[3])


class BigQueryCatalogue:
    """Videos by their ids."""

    def __init__(
        self, bigquery: BigQuery, table: TableName, id_column: str, path_column: str,
        patience: Patience = _PATIENCE,
    ) -> None:  # fmt: skip
        self._bigquery = bigquery
        self._patience = patience
        self.table = table
        self._id_column = id_column
        self._columns = {
            "REELYARD_BIGQUERY_VIDEO_ID_COLUMN": id_column,
            "REELYARD_BIGQUERY_PATH_COLUMN": path_column,
        }
        for setting, name in self._columns.items():
            if not _COLUMN.fullmatch(name):
                raise SettingsInvalid(f"{setting} is no name of a column",
                                      remedy="Use letters, digits and _")  # fmt: skip
        self._query = (
            f"SELECT `{id_column}` AS video_id, MAX(`{path_column}`) AS path FROM {table.quoted} "  # noqa: S608
            f"WHERE `{id_column}` IN UNNEST(@ids) GROUP BY 1"
        )

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """The paths of those ids that are known, in one query.

        Raises SettingsInvalid, BigQueryUnavailable.
        """
        ids = sorted(
            filter(_is_text, set(video_ids))
        )  # in order: the same question is answered for nothing
        if not ids:
            return {}
        return {row[0]: row[1] for row in self._ask(ids, self._patience) if row[1]}

    def check(self) -> str:
        """What a lookup would read, in words; nothing is read for it. Raises as ``find``."""
        size = self._ask(["x"], QUICK, dry_run=True).total_bytes_processed or 0
        much = f", unless it is clustered by {self._id_column}" if size > _MUCH else ""
        return f"{self.table} in BigQuery; a lookup reads {size / 1e6:.0f} MB{much}"

    def _ask(self, ids: list[str], patience: Patience, **options: Any) -> RowIterator:
        try:
            with self._bigquery.asking("the catalogue", _REMEDY) as client:
                return client.query_and_wait(
                    self._query,
                    job_config=_config(ids, **options),
                    api_timeout=patience.answer,
                    wait_timeout=patience.statement,
                    retry=patience.retry,
                    job_retry=None,  # type: ignore[arg-type]  # as its own documentation has it
                )
        except BigQueryRefused:
            self._explain()
            raise

    def _explain(self) -> None:
        """Why the query may have been refused. Raises BigQueryUnavailable for a column that is none of ours."""
        with self._bigquery.asking("the catalogue", _REMEDY) as client:
            known = client.get_table(str(self.table), **one_time(self._patience)).schema
        types = {one.name.lower(): (one.field_type, one.mode) for one in known}
        for setting, name in self._columns.items():
            kind, mode = types.get(name.lower(), ("", ""))
            if not kind:
                raise BigQueryUnavailable(f"the catalogue {self.table} has no column {name}",
                                          remedy=f"Correct {setting}")  # fmt: skip
            if kind != "STRING" or mode == "REPEATED":
                raise BigQueryUnavailable(
                    f"the catalogue's column {name} is {kind}, and has to be STRING",
                    remedy=f"Let {setting} name a column of texts, or the table a view with one",
                )


def _config(ids: list[str], **options: Any) -> QueryJobConfig:
    from google.cloud.bigquery import ArrayQueryParameter, QueryJobConfig

    return QueryJobConfig(
        query_parameters=[ArrayQueryParameter("ids", "STRING", ids)],
        use_query_cache=True,
        labels={"reelyard": "catalogue"},
        **options,
    )


def _is_text(text: str) -> bool:
    """Whether BigQuery could have it at all: bytes of a file's name that are no text can't be in there."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
