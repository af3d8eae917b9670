"""What ``reelyard doctor`` finds out about the farm: database, broker, workers, shares, where films go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reelyard.catalog.bigquery import QUICK
from reelyard.domain.address import without_password
from reelyard.domain.errors import ReelyardError
from reelyard.domain.share import Direct
from reelyard.services.doctor import Finding, Verdict, store_finding
from reelyard.services.examination import Look
from reelyard.services.neighbours import (
    clock,
    direct_share,
    exposed_secrets,
    mounted_share,
)
from reelyard.settings import ShareSetting
from reelyard.settings.config_file import config_file, from_file
from reelyard.store.condition import condition
from reelyard.store.supabase import Supabase
from reelyard.system.this_system import this_system

from .broker import server_executable
from .wiring import Farm

_DATABASE = "Check that it runs and can be reached from here, and REELYARD_DATABASE_URL"
_SHARE = "Check that its server runs, and what its row in REELYARD_SHARES says of user and password"

_NETWORK = "Check that this machine reaches BigQuery, and REELYARD_BIGQUERY_CREDENTIALS"


def looks(farm: Farm) -> list[Look]:
    """Nothing is started for it, and nothing that is away is a failure of rendering here."""
    return [
        Look("films", lambda: [farm.outputs.examine()], "Check where REELYARD_OUTPUT_DIR is"),
        *(
            Look(f"share {row.name}", partial(_share, farm, row), _SHARE)
            for row in farm.settings.shares
        ),
        Look("segments", lambda: _segments(farm), "Check where REELYARD_SEGMENT_STORE is"),
        Look("database", lambda: _database(farm), _DATABASE),
        Look("broker", lambda: [_broker(farm)], "Check that it runs, and REELYARD_REDIS_URL"),
        Look("catalogue", lambda: _catalogue(farm), "Check REELYARD_CATALOGUE"),
        Look("results", lambda: _results(farm), _NETWORK),
        Look("settings", lambda: _settings(farm), "Check who may read the file of the settings"),
    ]


def _share(farm: Farm, row: ShareSetting) -> Iterator[Finding]:
    if row.folder is not None:
        return mounted_share(row.name, row.folder)
    connections = farm.reelyard.connections
    files = connections.file_system(row.share)
    return direct_share(row.name, files, connections.path(Direct(row.share, "")))


def _segments(farm: Farm) -> Iterator[Finding]:
    store = farm.reelyard.store
    if store is not None:
        yield store_finding(store)


def _settings(farm: Farm) -> Iterator[Finding]:
    system, settings, file = this_system(), farm.settings, config_file()
    said = f"from {file} and the environment" if file else "from the environment; there is no file"
    yield Finding("settings", Verdict.OK, said)
    written = from_file(type(settings).model_fields)
    yield from exposed_secrets(settings, file, written, system.exposed_to, system.protection)


def _database(farm: Farm) -> Iterator[Finding]:
    where = without_password(farm.settings.database)
    found = condition(farm.reelyard.database)
    yield Finding("database", Verdict.OK, f"{where}, {found.kind}, schema {found.schema}")
    yield clock(found.time, found.before, found.after)
    for words in Supabase(farm.reelyard.database).shortcomings():
        yield Finding("supabase", Verdict.FAILED, words,
                      "Connect as the role that owns the tables, postgres, and run reelyard supabase")  # fmt: skip
    yield from _workers(farm)


def _catalogue(farm: Farm) -> Iterator[Finding]:
    yield Finding("catalogue", Verdict.OK, farm.reelyard.own_catalogue.check())


def _results(farm: Farm) -> Iterator[Finding]:
    """What waits for BigQuery is everybody's affair, also where none is set."""
    table, backlog = farm.reelyard.results_table, farm.exports.backlog()
    if backlog.failing and backlog.oldest:
        since = f"{backlog.oldest:%Y-%m-%d %H:%M} UTC"
        yield Finding("results", Verdict.NOTE,
                      f"{backlog.waiting} results wait for BigQuery, the oldest since {since}: "
                      f"{backlog.error}", "They are tried again by themselves")  # fmt: skip
    if table is None:
        return
    try:
        table.check(QUICK)
    except ReelyardError as error:
        yield Finding("results", Verdict.FAILED, error.message, error.remedy)
    else:
        yield Finding("results", Verdict.OK, f"recorded in {table.table} in BigQuery")


def _workers(farm: Farm) -> Iterator[Finding]:
    workers = farm.workers.list()
    alive = [one.worker_id for one in workers if one.is_alive]
    if alive:
        yield Finding("workers", Verdict.OK, ", ".join(alive))
    else:
        yield Finding("workers", Verdict.NOTE, "none is running",
                      "Start one with reelyard up, or reelyard worker")  # fmt: skip
    for one in workers:
        if one.quarantine is not None:
            yield Finding("workers", Verdict.NOTE,
                          f"{one.worker_id} is in quarantine: {one.quarantine}",
                          "Run reelyard doctor on its machine")  # fmt: skip


def _broker(farm: Farm) -> Finding:
    if farm.embedded is not None:
        return _embedded(farm)
    where = without_password(farm.broker_url)
    try:
        with redis.Redis.from_url(
            farm.broker_url, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        ) as client:
            version = client.info("server")["redis_version"]
    except (redis.exceptions.RedisError, OSError, ValueError) as error:
        return Finding("broker", Verdict.FAILED, f"{where} can't be reached: {error}",
                       "Check that it runs, and REELYARD_REDIS_URL")  # fmt: skip
    return Finding("broker", Verdict.OK, f"{where}, version {version}")


def _embedded(farm: Farm) -> Finding:
    assert farm.embedded is not None
    try:
        server = server_executable()
    except ReelyardError as error:
        return Finding("broker", Verdict.FAILED, error.message, error.remedy)
    if farm.embedded.answers():
        return Finding("broker", Verdict.OK, f"embedded, on {farm.embedded.socket}")
    return Finding("broker", Verdict.NOTE, f"embedded ({server}), not running just now",
                   "reelyard up starts it")  # fmt: skip
