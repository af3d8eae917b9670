"""What ``reelyard doctor`` finds out about the farm: database, broker, workers, where films go."""

from __future__ import annotations

from collections.abc import Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reelyard.domain.address import without_password
from reelyard.domain.errors import ReelyardError
from reelyard.services.doctor import Finding, Verdict, folder_finding

from .broker import server_executable
from .wiring import Farm


def check_farm(farm: Farm) -> list[Finding]:
    """Nothing is started for it, and nothing that is away is a failure of rendering here."""
    settings = farm.settings
    return [
        folder_finding("films", settings.outputs, "REELYARD_OUTPUT_DIR", links=False),
        *_database(farm),
        _broker(farm),
    ]


def _database(farm: Farm) -> Iterator[Finding]:
    where = without_password(farm.settings.database)
    try:
        workers = farm.workers.list()
    except ReelyardError as error:
        yield Finding("database", Verdict.FAILED, error.message, error.remedy)
        return
    yield Finding("database", Verdict.OK, where)
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
