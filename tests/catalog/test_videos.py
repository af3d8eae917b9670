"""The catalogue in BigQuery: one query of two columns for all ids, and every failure in words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import sqlglot

from reelyard.catalog.bigquery import BigQuery, Patience
from reelyard.catalog.videos import BigQueryCatalogue, table_name
from reelyard.domain.errors import BigQueryUnavailable, FarmUnavailable, SettingsInvalid
from tests.bigquery_server import BigQueryServer

from .conftest import LATE, SOON

COLUMNS = {"video_id": "STRING", "path": "STRING", "title": "STRING"}


def catalogue(
    connection: BigQuery,
    table: str = "media.videos",
    *,
    id_column: str = "video_id",
    path_column: str = "path",
    patience: Patience = LATE,
) -> BigQueryCatalogue:
    name = table_name(table, connection.project, "reelyard")
    return BigQueryCatalogue(connection, name, id_column, path_column, patience)


@pytest.fixture
def videos(bigquery: BigQueryServer, connection: BigQuery) -> BigQueryCatalogue:
    bigquery.make(f"{connection.project}.media.videos", COLUMNS, ("a", "/a.mp4", "A"))
    return catalogue(connection)


@pytest.fixture
def hasty(connection: BigQuery, videos: BigQueryCatalogue) -> BigQueryCatalogue:
    """The same videos, with less patience."""
    return catalogue(connection, patience=SOON)


def test_all_ids_of_a_long_job_are_one_query(
    bigquery: BigQueryServer, connection: BigQuery
) -> None:
    names = [f"clip-{number}" for number in range(400)]
    rows = [(name, f"//media/videos/{name}.mp4", "unused") for name in names[::2]]
    bigquery.make(f"{connection.project}.media.videos", COLUMNS, *rows)
    bigquery.forget()
    assert catalogue(connection).find(names) == {name: path for name, path, _ in rows}
    (call,) = bigquery.calls
    (ids,) = call.body["queryParameters"]
    assert [one["value"] for one in ids["parameterValue"]["arrayValues"]] == sorted(names)
    assert call.body["useQueryCache"] is True and call.body["labels"] == {"reelyard": "catalogue"}


def test_the_query_names_two_columns_and_is_in_bigquerys_dialect(
    bigquery: BigQueryServer, videos: BigQueryCatalogue
) -> None:
    videos.find(["a"])
    tree = sqlglot.parse_one(bigquery.statements[-1], read="bigquery")
    assert {one.name for one in tree.find_all(sqlglot.exp.Column)} == {"video_id", "path"}
    assert not list(tree.find_all(sqlglot.exp.Star))
    assert [one.name for one in tree.find_all(sqlglot.exp.Parameter)] == ["ids"]


def test_ids_are_values_and_never_part_of_the_query(
    bigquery: BigQueryServer, connection: BigQuery
) -> None:
    names = ["'; DROP TABLE videos; --", 'a"b`c\\', "é\u6f22\U0001f3ac", "a\nb", "@ids", ""]
    rows = [(name, f"/{place}.mp4", "") for place, name in enumerate(names)]
    bigquery.make(f"{connection.project}.media.videos", COLUMNS, *rows)
    one = catalogue(connection)
    assert one.find(names[:5]) == {name: path for name, path, _ in rows[:5]}
    assert one.find(["\udcff", "nobody's"]) == {}
    assert len({*bigquery.statements}) == 1


def test_without_an_id_that_could_be_there_nothing_is_asked(
    bigquery: BigQueryServer, videos: BigQueryCatalogue
) -> None:
    assert videos.find([]) == videos.find(["\udcff"]) == {}
    assert bigquery.calls == []


def test_of_several_rows_the_last_path_counts_and_none_without_a_path(
    bigquery: BigQueryServer, connection: BigQuery
) -> None:
    rows = [("a", "/2025/a.mp4", ""), ("a", "/2026/a.mp4", ""), ("a", None, ""), ("b", None, ""),
            ("c", "", "")]  # fmt: skip
    bigquery.make(f"{connection.project}.media.videos", COLUMNS, *rows)
    assert catalogue(connection).find(["a", "b", "c"]) == {"a": "/2026/a.mp4"}


def test_table_and_columns_have_the_names_that_are_set(
    bigquery: BigQueryServer, connection: BigQuery
) -> None:
    own, other = connection.project, f"{connection.project}-other"
    bigquery.make(f"{own}.reelyard.clips", COLUMNS, ("a", "/own.mp4", ""))
    bigquery.make(f"{other}.media.my-clips", {"Id": "STRING", "where_": "STRING"}, ("a", "/b.mp4"))
    assert catalogue(connection, "clips").find(["a"]) == {"a": "/own.mp4"}
    found = catalogue(connection, f"{other}.media.my-clips", id_column="Id", path_column="where_")
    assert found.find(["a"]) == {"a": "/b.mp4"}
    assert {call.path.partition("?")[0] for call in bigquery.calls} == {
        f"/bigquery/v2/projects/{own}/queries"
    }


@pytest.mark.parametrize("name", ["a`b", "a.b.c.d", "a;b", "", "A B.c.d", "x\ny", "a\\b", "d..t"])
def test_what_is_no_name_of_a_table_is_refused(name: str) -> None:
    with pytest.raises(SettingsInvalid, match="REELYARD_BIGQUERY_CATALOGUE_TABLE"):
        table_name(name, "project", "dataset")


def test_a_name_that_would_end_its_quotes_is_no_column(connection: BigQuery) -> None:
    with pytest.raises(SettingsInvalid, match="REELYARD_BIGQUERY_VIDEO_ID_COLUMN"):
        catalogue(connection, id_column="a` = 1 OR `b")


def test_what_does_not_fit_names_the_setting(
    bigquery: BigQueryServer, connection: BigQuery
) -> None:
    bigquery.make(f"{connection.project}.media.videos", {**COLUMNS, "number": "INTEGER"})
    for table, id_column, path_column, setting in (
        ("videos", "id", "path", "REELYARD_BIGQUERY_VIDEO_ID_COLUMN"),
        ("videos", "video_id", "file", "REELYARD_BIGQUERY_PATH_COLUMN"),
        ("videos", "number", "path", "REELYARD_BIGQUERY_VIDEO_ID_COLUMN"),
        ("none", "video_id", "path", "REELYARD_BIGQUERY_CATALOGUE_TABLE"),
    ):
        one = catalogue(connection, f"media.{table}", id_column=id_column, path_column=path_column)
        with pytest.raises(BigQueryUnavailable) as found:
            one.find(["a"])
        assert setting in found.value.remedy
        assert isinstance(found.value, FarmUnavailable)  # a worker waits: somebody may put it right


@pytest.mark.parametrize(
    ("status", "reason", "said", "remedy"),
    [
        (403, "accessDenied", "does not allow", "BigQuery Job User"),
        (403, "quotaExceeded", "just now", "tried again"),
        (401, "authError", "signing in", "REELYARD_BIGQUERY_CREDENTIALS"),
        (429, "rateLimitExceeded", "just now", "tried again"),
        (503, "backendError", "just now", "tried again"),
    ],
)
def test_an_error_that_stays_is_told_soon(
    bigquery: BigQueryServer, hasty: BigQueryCatalogue, status: int, reason: str, said: str,
    remedy: str,
) -> None:  # fmt: skip
    bigquery.fail(status, reason, times=1000)
    begun = time.monotonic()
    with pytest.raises(BigQueryUnavailable) as found:
        hasty.find(["a"])
    assert time.monotonic() - begun < 20
    assert said in found.value.message and remedy in found.value.remedy
    assert "\n" not in str(found.value) and "http" not in str(found.value)


def test_an_error_that_passes_is_not_told(
    bigquery: BigQueryServer, videos: BigQueryCatalogue
) -> None:
    bigquery.fail(429, "rateLimitExceeded")
    bigquery.fail(503)
    assert videos.find(["a"]) == {"a": "/a.mp4"}
    bigquery.lose_answers()
    assert videos.find(["a"]) == {"a": "/a.mp4"}
    bigquery.be_slow(0.4)
    assert videos.find(["a"]) == {"a": "/a.mp4"}


def test_a_server_that_is_away_or_silent_is_given_up_soon_and_found_again(
    bigquery: BigQueryServer, hasty: BigQueryCatalogue, videos: BigQueryCatalogue
) -> None:
    bigquery.be_slow(30)
    begun = time.monotonic()
    with pytest.raises(BigQueryUnavailable, match="too long"):
        hasty.find(["a"])
    bigquery.stop()
    with pytest.raises(BigQueryUnavailable, match="refused"):
        hasty.find(["a"])
    assert time.monotonic() - begun < 25
    bigquery.start()
    assert videos.find(["a"]) == {"a": "/a.mp4"}


def test_an_examination_reads_nothing_and_says_what_a_lookup_costs(
    bigquery: BigQueryServer, videos: BigQueryCatalogue
) -> None:
    assert videos.check().endswith("media.videos in BigQuery; a lookup reads 1 MB")
    (call,) = bigquery.calls
    assert call.body["dryRun"] is True
    bigquery.fail(403, "accessDenied")
    with pytest.raises(BigQueryUnavailable):
        videos.check()


# Signing in


def test_a_key_file_that_is_none_is_named_and_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    secret = "-----BEGIN PRIVATE KEY-----MIIEvQ"
    whole = {
        "type": "service_account",
        "private_key": secret,
        "client_email": "x@y",
        "token_uri": "z",
    }
    for content in (None, "no JSON: " + secret, json.dumps({"type": "user", "refresh_token": secret}),
                    json.dumps(whole), json.dumps([secret])):  # fmt: skip
        if content is not None:
            path.write_text(content)
        with pytest.raises(SettingsInvalid) as found:
            catalogue(BigQuery("project", path)).find(["a"])
        assert str(path) in found.value.message and secret not in repr(found.value)
        assert "REELYARD_BIGQUERY_CREDENTIALS" in found.value.remedy


def test_a_machine_without_an_account_is_told_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # Google's library would ask the network
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(SettingsInvalid, match="no account") as found:
        catalogue(BigQuery("project")).find(["a"])
    assert "REELYARD_BIGQUERY_CREDENTIALS" in found.value.remedy
