"""A farm's books of its own, and BigQuery's client told to lose its patience soon."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reelyard.catalog.bigquery import BigQuery, Patience
from reelyard.catalog.results import COLUMNS
from reelyard.store.database import Database
from tests.bigquery_server import BigQueryServer
from tests.store.conftest import Books

SOON = Patience(answer=1.0, retries=1.0, statement=1.0)
"""For what is to fail."""
LATE = Patience(answer=20.0, retries=20.0, statement=20.0)
"""For what is to succeed, on however slow a machine."""
_KINDS = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "ARRAY<STRING>": "REPEATED STRING"}
TABLE = {name: _KINDS.get(kind, kind) for name, kind in COLUMNS.items()}
"""The columns of a table of results, as the server is told them."""


@pytest.fixture
def connection(bigquery: BigQueryServer, project: str) -> Iterator[BigQuery]:
    with closing(BigQuery(project, endpoint=bigquery.url)) as one:
        yield one


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("books") / "farm.db"
    with closing(Database(f"sqlite:///{path}")) as database, database.reading():
        return path


@pytest.fixture
def books_url(tmp_path: Path, _migrated: Path) -> str:
    return f"sqlite:///{shutil.copy(_migrated, tmp_path / 'farm.db')}"


@pytest.fixture
def books(books_url: str) -> Iterator[Books]:
    with closing(Database(books_url)) as database:
        yield Books(database)
