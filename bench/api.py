"""What the API costs, measured in one run.

k  ``GET /jobs`` with 100 000 jobs in the books, on SQLite and on PostgreSQL; milliseconds, each a median
l  ``GET /queues`` and ``GET /jobs/ID`` with 2 000 jobs waiting; milliseconds, each a median
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from tests.servers import PostgresServer

from reelyard.api.app import create_app
from reelyard.asgi import Site
from reelyard.settings import Settings
from reelyard.store.database import Database
from reelyard.store.schema import events, job_attempts, job_items, jobs, profiles

from .farm import QUEUED, show

STORED = 100_000
_USERS = [str(uuid.UUID(int=number + 1)) for number in range(50)]
_CHANNELS = [f"Channel {number:03}" for number in range(300)]
_WORKERS = ["pc1@farm", "pc2@farm", "pc3@farm"]
_ITEMS = 6
_CLIPS = 20_000
_AT_A_TIME = 4000
_TRIES = 15
_NEEDLE = "the needle in the haystack"


def api(folder: Path) -> None:
    """Run it in ``folder`` and print it."""
    print(f"\nThe API; {STORED} jobs in the books, medians of {_TRIES}\n", flush=True)
    folder.mkdir()
    looking(folder / "sqlite", f"sqlite:///{folder / 'farm.db'}", "SQLite")
    with closing(PostgresServer()) as server:
        server.start()
        looking(folder / "postgresql", server.create("bench"), "PostgreSQL")


class Client:
    """Asks the app itself, without a socket between."""

    def __init__(self, app: FastAPI) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def get(self, path: str, params: dict[str, Any]) -> httpx.Response:
        return self._runner.run(self._client.get(path, params=params))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


def looking(folder: Path, url: str, name: str) -> None:
    with closing(Database(url)) as database:
        fill(database, STORED)
    settings = Settings(database_url=url, cache_dir=folder / "cache", log_dir=folder / "logs",
                        data_dir=folder / "data", encoder="libx264")  # fmt: skip
    site = Site(settings)
    app = create_app(site.office, dict, upload_limit=1, per_minute=0)
    with closing(Client(app)) as client:
        for what, query in _queries(client):
            found = _timed(client, "/jobs", query)
            show(f"k  {name}: {what}", found, 50, "ms")
        with closing(Database(url)) as database:
            job_id = _wait(database)
        for what, path in (("GET /queues", "/queues"), ("GET /jobs/ID", f"/jobs/{job_id}")):
            show(f"l  {name}: {what}, {QUEUED} waiting", _timed(client, path, {}), 200, "ms")
    site.close()
    site.farm.reelyard.database.close()


def _queries(client: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "first page", {}
    yield "by status", {"status": "failed"}
    yield "by two statuses", {"status": ["failed", "cancelled"]}
    yield "by channel", {"channel": _CHANNELS[7]}
    yield "by user", {"user": "user 7"}
    yield "by worker", {"worker": _WORKERS[0]}
    yield "one week", {"since": "2026-01-05T00:00:00Z", "until": "2026-01-12T00:00:00Z"}
    yield "text that many have", {"text": "nnel 12"}
    yield "text that one has", {"text": _NEEDLE[4:]}
    yield "text that none has", {"text": "nothing like it"}
    yield "an id's beginning", {"text": str(_job_id(STORED // 2))[:9]}
    yield "uses a clip", {"uses": "/srv/clips/00077.mp4"}
    yield "a clip by its id", {"uses": "clip-00078"}
    for sort in ("-completed_at", "completed_at", "-frames", "channel_name", "turn"):
        yield f"in the order {sort}", {"sort": sort}
    for sort in ("-created_at", "-completed_at", "-frames", "channel_name"):
        yield f"{sort}, deep", {"sort": sort, "cursor": _deep(client, sort)}


def _deep(client: Client, sort: str) -> str:
    """The cursor of a page in the middle."""
    cursor = None
    for _ in range(STORED // 2 // 200):
        query = {"sort": sort, "limit": 200, **({"cursor": cursor} if cursor else {})}
        cursor = client.get("/api/v1/jobs", params=query).json()["cursor"]
    assert cursor is not None
    return str(cursor)


def _timed(client: Client, path: str, query: dict[str, Any]) -> float:
    """Milliseconds, the median; the first time does not count."""
    took = []
    for _ in range(_TRIES + 1):
        begun = time.perf_counter()
        answer = client.get(f"/api/v1{path}", params=query)
        took.append((time.perf_counter() - begun) * 1000)
        if answer.status_code != 200:
            raise SystemExit(answer.text)
    return statistics.median(took[1:])


# Years of work


def _job_id(number: int) -> uuid.UUID:
    return uuid.UUID(int=random.Random(number).getrandbits(128), version=4)


def fill(database: Database, count: int) -> None:
    """Years of jobs of many people and channels; almost all of them completed."""
    people = [{"user_id": one, "username": f"user {at}"} for at, one in enumerate(_USERS)]
    with database.writing() as connection:
        connection.execute(sa.insert(profiles), people)
    for begin in range(0, count, _AT_A_TIME):
        rows = [_job(number) for number in range(begin, min(begin + _AT_A_TIME, count))]
        with database.writing() as connection:
            connection.execute(sa.insert(jobs), rows)
            for table, lines in (
                (job_items, [item for row in rows for item in _items(row)]),
                (job_attempts, [_attempt(row) for row in rows]),
                (events, [line for row in rows for line in _history(row)]),
            ):
                connection.execute(sa.insert(table), lines)
    with database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")


def _job(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    created = datetime(2024, 11, 1, tzinfo=UTC) + timedelta(minutes=10.5 * number)
    status = chance.choices(["completed", "failed", "cancelled"], [97, 2, 1])[0]
    job_id, channel = str(_job_id(number)), chance.choice(_CHANNELS)
    says = _NEEDLE if number == STORED // 3 else f"item {chance.randrange(40)}: no such file"
    return {
        "job_id": job_id, "user_id": chance.choice(_USERS), "channel_name": channel,
        "enable_4k": False, "on_bad_item": "fail", "loudness": False, "chapters": False,
        "status": "failed" if says == _NEEDLE else status, "progress": 100.0, "stage": "done",
        "worker_id": chance.choice(_WORKERS), "queue_name": "default_queue",
        "created_at": created, "queued_at": created, "started_at": created + timedelta(minutes=2),
        "completed_at": created + timedelta(minutes=chance.uniform(3, 30)),
        "output_path": f"/srv/films/{channel}_{job_id}.mp4", "final_duration": 600.0,
        "error_message": says if says == _NEEDLE or status == "failed" else None,
        "priority": 5, "place": number, "token": 1, "attempts": 0, "round_token": 0,
        "frames": chance.randrange(900, 54_000), "item_count": _ITEMS, "warnings": [],
        "log_folder": f"/srv/logs/2026-01-01/user/jobs/{channel}_{job_id}", "digest": "d" * 64,
    }  # fmt: skip


def _items(row: dict[str, Any]) -> Sequence[dict[str, Any]]:
    chance = random.Random(row["place"])
    made = []
    for position in range(1, _ITEMS + 1):
        clip = chance.randrange(_CLIPS)
        by_id = clip % 2 == 0
        path = f"/srv/clips/{clip:05}.mp4"
        made.append({
            "job_id": row["job_id"], "position": position, "item_type": "video",
            "video_id": f"clip-{clip:05}" if by_id else None, "path": None if by_id else path,
            "named": f"clip-{clip:05}" if by_id else path,
        })  # fmt: skip
    return made


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": row["job_id"], "token": 1, "worker_id": row["worker_id"],
        "outcome": row["status"], "started_at": row["started_at"],
        "ended_at": row["completed_at"], "figures": {"frames": row["frames"]},
    }  # fmt: skip


def _history(row: dict[str, Any]) -> Sequence[dict[str, Any]]:
    times = {"submit": "created_at", "claim": "started_at", "complete": "completed_at"}
    return [
        {"at": row[time], "what": what, "job_id": row["job_id"], "message": what}
        for what, time in times.items()
    ]


def _wait(database: Database) -> str:
    """Have jobs wait; the last one's id."""
    rows = [_job(STORED + number) for number in range(QUEUED)]
    waits = {"status": "queued", "worker_id": None, "started_at": None, "completed_at": None,
             "output_path": None, "error_message": None, "progress": 0.0, "token": 0}  # fmt: skip
    with database.writing() as connection:
        connection.execute(sa.insert(jobs), [{**row, **waits} for row in rows])
        connection.execute(sa.insert(job_items), [item for row in rows for item in _items(row)])
    return str(rows[-1]["job_id"])
