"""Jobs whose videos are in BigQuery: asked for once at each step, and waiting where it can't be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reelyard.domain.lifecycle import JobStatus
from tests.bigquery_server import BigQueryServer

from .conftest import Siding


@pytest.fixture
def catalogued(
    siding: Siding, bigquery: BigQueryServer, project: str, clip: Path
) -> Iterator[Siding]:
    """A siding whose catalogue has one video, ``clip``, on its share."""
    (placed,) = siding.put(clip)
    table = {"video_id": "STRING", "path": "STRING"}
    bigquery.make(f"{project}.reelyard.videos", table, ("clip", str(placed)))
    siding.settings |= {
        "catalogue": "bigquery", "bigquery_project": project, "bigquery_endpoint": bigquery.url,
    }  # fmt: skip
    yield siding
    connection = siding.farm.reelyard.bigquery
    assert connection is not None
    connection.close()


def test_a_job_asks_once_when_it_is_submitted_and_once_when_it_is_worked_on(
    catalogued: Siding, bigquery: BigQueryServer
) -> None:
    items = [{"item_type": "video", "video_id": "clip"} for _ in range(3)]
    job_id = catalogued.submit(*items).state.job_id
    assert len(bigquery.statements) == 1
    assert catalogued.worker()(job_id, None) is JobStatus.COMPLETED
    assert len(bigquery.statements) == 2


def test_a_worker_that_may_not_ask_lets_the_job_wait_and_says_for_what(
    catalogued: Siding, bigquery: BigQueryServer
) -> None:
    job_id = catalogued.submit({"item_type": "video", "video_id": "clip"}).state.job_id
    bigquery.fail(403, "accessDenied", times=1000)
    assert catalogued.worker()(job_id, None) is JobStatus.QUEUED
    state = catalogued.state(job_id)
    assert "BigQuery does not allow the catalogue" in (state.waiting_for or "")
    assert "BigQuery Job User" in (state.waiting_for or "")
