"""Who submits jobs, and the local library of videos."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

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


def _upsert(connection: sa.Connection, table: sa.Table, key: str, **values: str) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table).values(**values)
    rest = {name: value for name, value in values.items() if name != key}
    connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=rest))
