"""Who submits jobs, and the local library of videos."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reelyard.domain.query import Page

from .database import Database
from .rows import UNKNOWN_USER, decoded, encoded, job_id_of
from .schema import library, profiles

_LOCAL_USERS = uuid.UUID("6f0d7f3e-3a0c-4b8e-9f5c-0d1f6f6f2a11")


class Profiles:
    """The table of users' names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def local(self, username: str) -> str:
        """The id of somebody who works at this machine, known from now on."""
        stored = encoded(username)
        user_id = str(uuid.uuid5(_LOCAL_USERS, stored))
        with self._database.reading() as connection:
            known = connection.scalar(
                sa.select(profiles.c.username).where(profiles.c.user_id == user_id)
            )
        if known != stored:
            with self._database.writing() as connection:
                _upsert(connection, profiles, "user_id", user_id=user_id, username=stored)
        return user_id

    def username(self, user_id: str) -> str:
        """The name, or ``unknown``."""
        wanted = job_id_of(user_id)
        if wanted is None:
            return UNKNOWN_USER
        with self._database.reading() as connection:
            found = connection.scalar(
                sa.select(profiles.c.username).where(profiles.c.user_id == wanted)
            )
        return UNKNOWN_USER if found is None else decoded(found)


class Library:
    """Videos by their ids."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """The paths of those that are known, in one query."""
        query = sa.select(library).where(library.c.video_id.in_(sorted(map(encoded, video_ids))))
        with self._database.reading() as connection:
            rows = connection.execute(query)
            return {decoded(row.video_id): decoded(row.path) for row in rows}

    def check(self) -> str:
        """How many there are, in words."""
        with self._database.reading() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(library))
        return f"{count} videos in the local library"

    def add(self, paths: Mapping[str, str]) -> None:
        """Add videos, or correct where they are."""
        with self._database.writing() as connection:
            for video_id, path in paths.items():
                key = encoded(video_id)
                _upsert(connection, library, "video_id", video_id=key, path=encoded(path))

    def all(self) -> Mapping[str, str]:
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(library).order_by(library.c.video_id))
            return {decoded(row.video_id): decoded(row.path) for row in rows}

    def at(self, paths: Collection[str]) -> Mapping[str, str]:
        """The ids of the videos that lie at these paths, by path; the first id of several."""
        wanted = library.c.path.in_(sorted(map(encoded, paths)))
        query = sa.select(library).where(wanted).order_by(library.c.video_id.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query)
            return {decoded(row.path): decoded(row.video_id) for row in rows}

    def search(
        self,
        text: str,
        *,
        endings: Collection[str] = (),
        others: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[tuple[str, str]]:
        """Ids and paths of videos that have ``text`` in either, in the order of ids.

        With ``endings``, only those whose path ends so, or (``others``) does not. ``cursor`` is the last
        id that was seen.
        """
        query = sa.select(library).where(_holds(text)).order_by(library.c.video_id)
        if endings:
            ends = sa.or_(*(library.c.path.iendswith(one, autoescape=True) for one in endings))
            query = query.where(sa.not_(ends) if others else ends)
        if cursor is not None:
            query = query.where(library.c.video_id > encoded(cursor))
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        found = [(decoded(row.video_id), decoded(row.path)) for row in rows[:limit]]
        # Of a name that is stored as file://%XX, only what people see of it counts.
        shown = [one for one in found if any(text.casefold() in part.casefold() for part in one)]
        return Page(shown, found[-1][0] if len(rows) > limit else None)


def introduce(connection: sa.Connection, user_id: str, username: str) -> None:
    """Have jobs of this user carry this name, if they have none yet."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(profiles).values(user_id=user_id, username=encoded(username))
    connection.execute(insert.on_conflict_do_nothing())


def set_name(connection: sa.Connection, user_id: str, username: str) -> None:
    """Have jobs of this user carry this name."""
    _upsert(connection, profiles, "user_id", user_id=user_id, username=encoded(username))


def _holds(text: str) -> sa.ColumnElement[bool]:
    """Whether the id or the path has the text in it, in small letters or large.

    Databases may know only the small and large forms of ASCII letters; the forms in ``_forms`` do for others.
    """
    columns = (library.c.video_id, library.c.path)
    hits = [column.icontains(form, autoescape=True) for column in columns for form in _forms(text)]
    return sa.or_(sa.false(), *hits)


def _forms(text: str) -> set[str]:
    """The text as it may be stored: with each size of letters, and as in ``file://`` with %XX."""
    forms = {text, text.lower(), text.upper(), text.title()}
    quoted = {quote(form, errors="surrogateescape") for form in forms if _has_bytes(form)}
    return quoted | {form for form in forms if encoded(form) == form}


def _has_bytes(text: str) -> bool:
    try:
        return bool(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False  # half a pair


def _upsert(connection: sa.Connection, table: sa.Table, key: str, **values: str) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values(**values)
    rest = {name: value for name, value in values.items() if name != key}
    connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=rest))
