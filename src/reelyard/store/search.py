"""Looking through jobs and what they came to: pages of any order, figures added up."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reelyard.domain.errors import RequestInvalid
from reelyard.domain.farm import Happening, JobState, Result
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import MOST_AT_ONCE, Grouping, JobQuery, Page, Sort, Total

from .database import Database
from .outbox import result_of
from .rows import STATE_COLUMNS, WITH_NAMES, decoded, encoded, happening_of, job_id_of, state_of
from .schema import compilation_results, events, job_attempts, job_items, jobs, profiles

_SHORTEST_ID = 4
_ID_LENGTH = 32
_WHOLE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UTC = timedelta(0)


class Search:
    """Reads only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def jobs(self, query: JobQuery) -> Page[JobState]:
        """A page of jobs. Raises RequestInvalid for a cursor that is none, or of another order."""
        limit = max(1, min(MOST_AT_ONCE, query.limit))
        keys = _KEYS[query.sort]
        statement = sa.select(*STATE_COLUMNS).select_from(WITH_NAMES).where(*_conditions(query))
        if query.cursor is not None:
            statement = statement.where(_after(keys, _cursor(query.cursor, query.sort)))
        statement = statement.order_by(*(key.desc() if down else key for key, down, _ in keys))
        with self._database.reading() as connection:
            rows = connection.execute(statement.limit(limit + 1)).all()
        cursor = None
        if len(rows) > limit:
            cursor = _written(query.sort, [read(rows[limit - 1]) for *_, read in keys])
        return Page([state_of(row) for row in rows[:limit]], cursor)

    def results(
        self,
        *,
        user_id: str | None = None,
        channel: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Result]:
        """The newest results."""
        table = compilation_results.c
        conditions = _between(table.timestamp, since, until)
        if user_id is not None:
            conditions.append(table.user_id == user_id)
        if channel is not None:
            conditions.append(table.channel_name == encoded(channel))
        query = sa.select(compilation_results).where(*conditions)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.timestamp.desc()).limit(limit))
            return [result_of(row._mapping) for row in rows]

    def totals(
        self,
        grouping: Grouping,
        *,
        user_id: str | None = None,
        channel: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Sequence[Total]:
        """What was done in a time, added up: one user's, or everybody's. By name; days in order."""
        table = compilation_results.c
        conditions = _between(table.timestamp, since, until)
        if user_id is not None:
            conditions.append(table.user_id == user_id)
        if channel is not None:
            conditions.append(table.channel_name == encoded(channel))
        last = sa.select(job_attempts.c.figures).where(
            job_attempts.c.job_id == table.job_id,
            sa.cast(job_attempts.c.token, sa.Text)
            == sa.func.substr(table.name, 38),  # after the job's id and a colon
        )
        query = sa.select(
            table.timestamp, table.channel_name, table.username, table.worker_id, table.status,
            table.features_used, table.total_duration, table.processing_time,
            last.scalar_subquery().label("figures"),
        ).where(*conditions)  # fmt: skip
        adder = _Adder()
        with self._database.reading() as connection:
            for row in connection.execute(query):
                for name in _NAMES[grouping](row):
                    adder.add(name, row)
        return adder.totals()

    def channels(self, user_id: str | None = None) -> Sequence[str]:
        """The names of channels that there were jobs for."""
        query = sa.select(jobs.c.channel_name).distinct().order_by(jobs.c.channel_name)
        if user_id is not None:
            query = query.where(jobs.c.user_id == user_id)
        with self._database.reading() as connection:
            return [decoded(name) for name in connection.scalars(query.limit(1000))]

    def audit(
        self, limit: int = 100, before: int | None = None, actor: str | None = None
    ) -> Sequence[tuple[int, Happening]]:
        """What people did, the latest first, each with its number; ``before`` is where to go on."""
        conditions: list[sa.ColumnElement[bool]] = [events.c.actor.is_not(None)]
        if before is not None:
            conditions.append(events.c.id < before)
        if actor is not None:
            conditions.append(events.c.actor == encoded(actor))
        query = sa.select(events).where(*conditions).order_by(events.c.id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(max(1, min(MOST_AT_ONCE, limit))))
            return [(row.id, happening_of(row)) for row in rows]


_Key = tuple[Any, bool, Callable[[Any], Any]]
_ID: Callable[[bool], _Key] = lambda down: (jobs.c.job_id, down, lambda row: row.job_id)  # noqa: E731


def _time(name: str) -> Callable[[Any], Any]:
    def read(row: Any) -> Any:
        found = getattr(row, name)
        return None if found is None else found.isoformat()

    return read


_KEYS: dict[Sort, tuple[_Key, ...]] = {
    Sort.NEWEST: ((jobs.c.created_at, True, _time("created_at")), _ID(True)),
    Sort.OLDEST: ((jobs.c.created_at, False, _time("created_at")), _ID(False)),
    Sort.LAST_DONE: ((jobs.c.completed_at, True, _time("completed_at")), _ID(True)),
    Sort.FIRST_DONE: ((jobs.c.completed_at, False, _time("completed_at")), _ID(False)),
    Sort.LONGEST: ((jobs.c.frames, True, lambda row: row.frames), _ID(True)),
    Sort.CHANNEL: (
        (jobs.c.channel_name, False, lambda row: row.channel_name),
        (jobs.c.created_at, True, _time("created_at")),
        _ID(True),
    ),
    Sort.TURN: (
        (jobs.c.priority, True, lambda row: row.priority),
        (jobs.c.place, False, lambda row: row.place),
        _ID(False),
    ),
}


def _after(keys: Sequence[_Key], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Everything that comes later than a row with these values."""
    (column, down, _), value = keys[0], values[0]
    if isinstance(column.type, jobs.c.created_at.type.__class__):
        value = datetime.fromisoformat(value)
    beyond: sa.ColumnElement[bool] = column < value if down else column > value
    if len(keys) == 1:
        return beyond
    # The plain bound in front lets the index be entered where the page begins.
    bound = column <= value if down else column >= value
    return sa.and_(bound, sa.or_(beyond, _after(keys[1:], values[1:])))


def _written(sort: Sort, values: Sequence[Any]) -> str:
    packed = json.dumps([sort.value, *values]).encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _cursor(text: str, sort: Sort) -> list[Any]:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found = json.loads(base64.urlsafe_b64decode(padded))
        kinds = [str if isinstance(key.type, sa.Uuid) else key.type for key, *_ in _KEYS[sort]]
        if not isinstance(found, list) or found[0] != sort.value or len(found) != len(kinds) + 1:
            raise ValueError("of another order")
        for kind, value in zip(kinds, found[1:], strict=True):
            _check(kind, value)
        return found[1:]
    except (ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise RequestInvalid("that is no cursor of this list", field="cursor",
                             remedy="Leave it out to start from the beginning") from error  # fmt: skip


def _check(kind: Any, value: Any) -> None:
    """Raises ValueError: a cursor comes from outside, whatever it once was."""
    if kind is str:
        if not isinstance(value, str) or job_id_of(value) != value:
            raise ValueError("no id")
    elif isinstance(kind, sa.Integer):
        bits = 62 if isinstance(kind, sa.BigInteger) else 31
        if type(value) is not int or abs(value) >= 1 << bits:
            raise ValueError("no number")
    elif isinstance(kind, sa.Text):
        if not isinstance(value, str) or "\0" in value or encoded(decoded(value)) != value:
            raise ValueError("no text")
    elif not isinstance(value, str) or datetime.fromisoformat(value).utcoffset() != _UTC:
        raise ValueError("no time")


def _conditions(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    found = _between(jobs.c.created_at, query.since, query.until)
    if query.statuses:
        found.append(jobs.c.status.in_([one.value for one in query.statuses]))
    elif query.sort is Sort.TURN:  # others have none
        found.append(jobs.c.status.in_([JobStatus.QUEUED.value, JobStatus.PROCESSING.value]))
    if query.sort in (Sort.LAST_DONE, Sort.FIRST_DONE):
        found.append(jobs.c.completed_at.is_not(None))
    if query.channel is not None:
        found.append(jobs.c.channel_name == encoded(query.channel))
    if query.user_id is not None:
        found.append(jobs.c.user_id == query.user_id)
    if query.username is not None:
        found.append(profiles.c.username == encoded(query.username))
    if query.queue is not None:
        found.append(jobs.c.queue_name == query.queue.value)
    if query.worker is not None:
        found.append(jobs.c.worker_id == encoded(query.worker))
    if query.text:
        found.append(_says(query.text))
    if query.uses:
        found.append(jobs.c.job_id.in_(_users(encoded(query.uses))))
    return found


def _between(
    column: Any, since: datetime | None, until: datetime | None
) -> list[sa.ColumnElement[bool]]:
    found = [] if since is None else [column >= since]
    return found if until is None else [*found, column < until]


def _says(text: str) -> sa.ColumnElement[bool]:
    """Channels and people are looked through by their names, of which there are few, and not by their jobs."""
    wanted = encoded(text.strip())
    named = sa.select(jobs.c.channel_name).distinct()
    people = sa.select(profiles.c.user_id)
    found: list[sa.ColumnElement[bool]] = [
        jobs.c.channel_name.in_(named.where(_has(jobs.c.channel_name, wanted))),
        jobs.c.user_id.in_(people.where(_has(profiles.c.username, wanted))),
        sa.and_(jobs.c.status == JobStatus.FAILED.value, _has(jobs.c.error_message, wanted)),
    ]
    if whole := _WHOLE_ID.search(text.lower()):  # a film is called by its job's id
        found.append(jobs.c.job_id == whole.group())
    plain = text.strip().lower().replace("-", "")
    if _SHORTEST_ID <= len(plain) <= _ID_LENGTH and set(plain) <= set("0123456789abcdef"):
        first, last = (str(uuid.UUID(plain.ljust(_ID_LENGTH, rest))) for rest in "0f")
        found.append(jobs.c.job_id.between(first, last))
    return sa.or_(*found)


def _has(column: sa.Column[str], wanted: str) -> sa.ColumnElement[bool]:
    return column.icontains(wanted, autoescape=True)


def _users(clip: str) -> sa.CompoundSelect[Any]:
    """The jobs that a clip is in."""
    places = (job_items.c.video_id, job_items.c.path, job_items.c.named)
    return sa.union(*(sa.select(job_items.c.job_id).where(column == clip) for column in places))


_NAMES: dict[Grouping, Callable[[Any], Sequence[str]]] = {
    Grouping.DAY: lambda row: [f"{row.timestamp.astimezone(UTC):%Y-%m-%d}"],
    Grouping.CHANNEL: lambda row: [decoded(row.channel_name)],
    Grouping.USER: lambda row: [decoded(row.username)],
    Grouping.WORKER: lambda row: [row.worker_id] if row.worker_id else [],
    Grouping.FEATURE: lambda row: row.features_used,
}


class _Adder:
    """Sums by name."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, name: str, row: Any) -> None:
        sums = self._sums.setdefault(name, [0, 0, 0.0, 0.0, 0, 0])
        if row.status != JobStatus.COMPLETED.value:
            sums[1] += 1
            return
        figures = row.figures or {}
        frames = figures.get("frames", 0)
        done = (1, 0, row.total_duration, row.processing_time, frames,
                figures.get("frames_rendered", frames))  # fmt: skip
        for place, value in enumerate(done):
            sums[place] += value

    def totals(self) -> list[Total]:
        return [
            Total(
                name=name, completed=int(done), failed=int(failed), seconds_of_film=film,
                seconds_of_work=work, all_frames=int(frames), rendered_frames=int(rendered),
            )
            for name, (done, failed, film, work, frames, rendered) in sorted(self._sums.items())
        ]  # fmt: skip
