"""The connection: SQLite (WAL) or PostgreSQL, by URL; brought up to date when it is first opened."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from reelyard.domain.address import without_password
from reelyard.domain.errors import DatabaseUnavailable, SettingsInvalid
from reelyard.system.this_system import this_system

from .database_url import EXAMPLES, parsed, read_schema, refuse_unknown
from .version import refuse_foreign_tables, refuse_foreign_version, version

HEAD = "0004"
"""The newest migration. The number is checked on opening; Alembic is loaded only when it differs."""
_BUSY_SECONDS = 30
_MIGRATING = 0x5265656C  # the advisory lock on PostgreSQL


class Database:
    """One database. Any thread may use it; a forked process needs one of its own."""

    def __init__(self, url: str) -> None:
        self.url, self.schema = read_schema(parsed(url))
        self.engine = _engine(self.url, self.schema)
        self._writer = self.engine.execution_options(writes=True)
        self._current = False
        self._gate: AbstractContextManager[Any] = nullcontext()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises DatabaseUnavailable."""
        with _translated(self.url):
            self._bring_up_to_date()
            with self._gate, self.engine.begin() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: all of it or nothing. Raises DatabaseUnavailable."""
        with _translated(self.url):
            self._bring_up_to_date()
            with self._gate, self._writer.begin() as connection:
                yield connection

    def survive_forks(self) -> None:
        """Let this process fork while threads of it use the database.

        What a library keeps in memory of an open SQLite file, locks among it, would be copied with the
        process, and the copy would wait for ever for locks that nobody holds. So a fork waits for
        running transactions, and no connection is open then.
        """
        owner = os.getpid()
        gate = self._gate = threading.RLock()

        def before() -> None:
            if os.getpid() == owner:
                gate.acquire()
                self.engine.dispose()

        def after() -> None:
            if os.getpid() == owner:
                gate.release()

        this_system().around_forks(before, after)

    def close(self) -> None:
        self.engine.dispose()

    def _bring_up_to_date(self) -> None:
        if self._current:
            return
        with self._gate:
            with self.engine.connect() as connection:
                found = version(connection)
            if found != HEAD:
                self._migrate()
            self._current = True

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option(
            "script_location", str(resources.files("reelyard.store") / "migrations")
        )
        with self._alone() as connection:
            found = version(connection)
            if found is None:
                refuse_foreign_tables(connection)
            else:
                refuse_foreign_version(found, HEAD)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """One process migrates at a time; those that waited find it done."""
        if self.engine.dialect.name == "sqlite":
            with FileLock(f"{self.url.database}.lock"), self._writer.begin() as connection:
                yield connection
            return
        with self._writer.begin() as connection:
            # All of it for this transaction: behind a pooler there is nothing that lasts longer.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            self._make_schema(connection)
            yield connection

    def _make_schema(self, connection: sa.Connection) -> None:
        there = sa.select(sa.func.to_regnamespace(self.schema))
        if self.schema is not None and connection.scalar(there) is None:
            connection.execute(sa.schema.CreateSchema(self.schema))


def _engine(url: sa.URL, schema: str | None) -> sa.Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return _sqlite(url)
        refuse_unknown(url)
        # Behind a pooler in transaction mode, prepared statements of one client meet another's.
        arguments = {"prepare_threshold": None, "connect_timeout": 5,
                     "application_name": "reelyard", "keepalives_idle": 30,
                     "tcp_user_timeout": 15_000}  # fmt: skip
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments, pool_size=4)
        sa.event.listen(engine, "begin", _settled(schema))
        return engine
    except (NoSuchModuleError, ImportError) as error:
        raise SettingsInvalid(f"this database needs a driver: {error}",
                              remedy=EXAMPLES) from error  # fmt: skip


def _settled(schema: str | None) -> Callable[[sa.Connection], None]:
    """What is said at the beginning of each transaction: behind a pooler, a session is not ours to set up."""
    place = [] if schema is None else [f'SET LOCAL search_path = "{schema}"']

    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        told = "; ".join([*place, *(_LIMITS if writes else ())])
        if told:
            connection.exec_driver_sql(told)

    return begin


# A process that is frozen, or cut off, in the middle of a transaction holds up nobody for long.
_LIMITS = (
    "SET LOCAL idle_in_transaction_session_timeout = 5000",
    "SET LOCAL lock_timeout = 10000",
)


def _sqlite(url: sa.URL) -> sa.Engine:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsInvalid(f"{folder} can't be a folder for the database: {error.strerror}",
                              remedy=EXAMPLES) from error  # fmt: skip
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            # The file remembers it. SQLite does not wait for its turn here as it does elsewhere.
            with FileLock(f"{url.database}.lock"):
                connection.execute("PRAGMA journal_mode=WAL").close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that will write takes its turn at once: turning from reader into writer
        # halfway fails where another one did the same.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated(url: sa.URL) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, SQLAlchemyError) as error:
        if isinstance(error, sa.exc.IntegrityError) or not _is_outage(error):
            raise
        where = without_password(url.render_as_string(hide_password=False))
        reason = " ".join(str(getattr(error, "orig", error)).split())
        raise DatabaseUnavailable(f"the database {where} can't be used: {reason}",
                                  remedy="Check that it runs and can be reached") from error  # fmt: skip


def _is_outage(error: SQLAlchemyError) -> bool:
    """Whether it is the database that can't, and not our statement that is wrong."""
    if isinstance(error, sa.exc.TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    ours = isinstance(error, sa.exc.ProgrammingError | sa.exc.DataError)
    # SQLite calls a column that is not there what it calls a disk that is full.
    ours = ours or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return error.connection_invalidated or error.statement is None or not ours
