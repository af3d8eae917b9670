"""What the settings name is what is used: the catalogue, and where results are recorded; the doctor looks at both."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelyard.cli.show_farm import show_farm
from reelyard.domain.errors import BigQueryUnavailable, SettingsInvalid
from reelyard.farm.checkup import looks
from reelyard.farm.wiring import Farm
from reelyard.services.examination import examined
from reelyard.services.findings import Finding, Verdict
from reelyard.services.job_file import parse_job
from reelyard.settings import Settings, read_settings
from reelyard.store.figures import Books as Figures
from tests.bigquery_server import BigQueryServer
from tests.store.conftest import Books, finished

VIDEOS = {"video_id": "STRING", "path": "STRING"}
Make = Callable[..., Farm]


@pytest.fixture
def make(tmp_path: Path, books_url: str) -> Iterator[Make]:
    """Farms with settings of their own."""
    made: list[Farm] = []

    def farm(**changes: Any) -> Farm:
        own = {
            "data_dir": tmp_path / "data",
            "database_url": books_url,
            "redis_url": "redis://127.0.0.1:1/0",
        }
        made.append(Farm(Settings(**{**own, **changes})))
        return made[-1]

    yield farm
    for one in made:
        one.reelyard.database.close()
        if one.reelyard.bigquery is not None:
            one.reelyard.bigquery.close()


@pytest.fixture
def google(bigquery: BigQueryServer, project: str) -> dict[str, Any]:
    """Settings that name the local BigQuery."""
    return {"bigquery_project": project, "bigquery_endpoint": bigquery.url}


def findings(farm: Farm, what: str) -> list[Finding]:
    return examined([one for one in looks(farm) if one.what == what])


def test_the_library_is_the_catalogue_unless_another_is_named(make: Make) -> None:
    farm = make()
    farm.reelyard.library.add({"a": "/clips/a.mp4"})
    assert farm.reelyard.catalogue.find(["a", "b"]) == {"a": "/clips/a.mp4"}
    assert findings(farm, "catalogue") == [
        Finding("catalogue", Verdict.OK, "1 videos in the local library")
    ]


def test_bigquery_is_the_catalogue_where_it_is_named(
    bigquery: BigQueryServer, make: Make, google: dict[str, Any]
) -> None:
    project = google["bigquery_project"]
    bigquery.make(
        f"{project}.media.videos", VIDEOS, ("a", r"\\MEDIA\videos\a.mp4"), ("b", "Z:/b.mp4")
    )
    shares = ({"name": "//media/videos", "drive": "Z:", "folder": "/mnt/videos"},)
    farm = make(
        **google, catalogue="BigQuery", bigquery_catalogue_table="media.videos", shares=shares
    )
    assert farm.reelyard.catalogue.find(["a", "b"]) == {
        "a": "//media/videos/a.mp4", "b": "//media/videos/b.mp4",
    }  # fmt: skip
    (found,) = findings(farm, "catalogue")
    assert found.verdict is Verdict.OK and f"{project}.media.videos" in found.message


def test_a_csv_is_the_catalogue_where_one_is_named_also_on_a_mounted_share(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text("video_id;path\na;clips/a.mp4\n")
    here = make(catalogue=str(tmp_path / "list.csv"))
    assert here.reelyard.catalogue.find(["a"]) == {"a": str(tmp_path / "clips" / "a.mp4")}
    shares = ({"name": "//media/videos", "folder": tmp_path},)
    there = make(catalogue=r"\\media\videos\list.csv", shares=shares)
    assert there.reelyard.catalogue.find(["a"]) == {"a": "//media/videos/clips/a.mp4"}
    (found,) = findings(there, "catalogue")
    assert found.message == "1 videos in //media/videos/list.csv"


def test_a_csv_on_a_share_that_nobody_knows_is_a_wrong_setting(make: Make) -> None:
    with pytest.raises(SettingsInvalid, match="REELYARD_CATALOGUE"):
        make(catalogue="//nobody/knows/list.csv").reelyard.catalogue.find(["a"])


def test_bigquery_without_a_project_is_a_wrong_setting(make: Make) -> None:
    farm = make(catalogue="bigquery")
    with pytest.raises(SettingsInvalid) as found:
        farm.reelyard.catalogue.find(["a"])
    assert "REELYARD_BIGQUERY_PROJECT" in found.value.remedy
    assert [one.verdict for one in findings(farm, "catalogue")] == [Verdict.FAILED]


def test_a_setting_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("CATALOGUE", " "), ("CATALOGUE", "//server/share/../x.csv"),
                        ("BIGQUERY_PROJECT", "my`project"), ("BIGQUERY_RESULTS_TABLE", "a`b"),
                        ("BIGQUERY_ENDPOINT", "ftp://x"), ("BIGQUERY_PATH_COLUMN", "a b")):  # fmt: skip
        with monkeypatch.context() as environ, pytest.raises(SettingsInvalid) as found:
            environ.setenv(f"REELYARD_{name}", value)
            read_settings()
        assert f"REELYARD_{name}" in found.value.message


def test_a_submission_says_why_the_catalogue_can_not_be_asked(
    bigquery: BigQueryServer, make: Make, google: dict[str, Any], tmp_path: Path
) -> None:
    farm = make(**google, catalogue="bigquery")
    bigquery.fail(403, "accessDenied", times=1000)
    document = {"channel_name": "Tests", "items": [{"item_type": "video", "video_id": "a"}]}
    with pytest.raises(BigQueryUnavailable, match="does not allow the catalogue") as found:
        farm.submit(parse_job(document, tmp_path), "0b0c3ac5-9bb4-4b0e-8f06-4a6ac7c1ad7b")
    assert "BigQuery Job User" in found.value.remedy
    assert farm.jobs.list() == []


def test_a_farm_with_a_project_records_its_results_beside_the_sweep(
    bigquery: BigQueryServer, make: Make, google: dict[str, Any]
) -> None:
    plain, farm = make(), make(**google, bigquery_dataset="farm")
    assert plain.sweep.export is None
    books = Books(plain.reelyard.database)
    books.hire("a")
    lease = books.take("a", books.submit())
    assert books.leases.complete(lease, finished())
    assert plain.sweep()  # it sweeps, and has no way to BigQuery
    assert findings(plain, "results") == []
    table = f"{google['bigquery_project']}.farm.compilation_results"
    ends_at = time.monotonic() + 30
    while farm.exports.backlog().waiting:
        farm.sweep()
        assert time.monotonic() < ends_at
        time.sleep(0.02)
    assert [row["job_id"] for row in bigquery.rows(table)] == [lease.job_id]
    (found,) = findings(farm, "results")
    assert (found.verdict, found.message) == (Verdict.OK, f"recorded in {table} in BigQuery")


def test_the_doctor_the_status_and_the_figures_tell_what_waits_and_why(
    bigquery: BigQueryServer, make: Make, google: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    farm = make(**google)
    books = Books(farm.reelyard.database)
    books.hire("a")
    assert books.leases.complete(books.take("a", books.submit()), finished())
    books.results.deliver(books.outbox.due())
    farm.exports.failed(farm.exports.due(10), "BigQuery does not allow results", 60.0)
    bigquery.fail(403, "accessDenied", times=1000)
    waits, refused = findings(farm, "results")[0], findings(farm, "results")[-1]
    assert waits.verdict is Verdict.NOTE
    assert "1 results wait" in waits.message and "does not allow results" in waits.message
    assert refused.verdict is Verdict.FAILED and "BigQuery Data Editor" in refused.remedy
    show_farm(farm, as_json=True)
    told = json.loads(capsys.readouterr().out)["results"]
    assert told == {"waiting": 1, "error": "BigQuery does not allow results"}
    show_farm(farm, as_json=False)
    assert "1 results wait for BigQuery" in capsys.readouterr().out
    figures = Figures(farm.reelyard.database).figures()
    assert (figures.unexported, figures.export_failing) == (1, 1)


def test_without_googles_library_the_error_says_what_to_install(
    make: Make, google: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a plain ``pip install reelyard`` leaves it."""
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)  # an import of it fails
    farm = make(**google, catalogue="bigquery")
    with pytest.raises(SettingsInvalid) as found:
        farm.reelyard.catalogue.find(["a"])
    assert "reelyard[bigquery]" in found.value.remedy
    assert [one.verdict for one in findings(farm, "results")] == [Verdict.FAILED]
