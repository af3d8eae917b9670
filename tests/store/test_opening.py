"""Opening a database: made, brought up to date, refused; and what is said when it can't be used."""

from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from multiprocessing.queues import Queue as Mailbox
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from reelyard.domain.errors import DatabaseUnavailable, ReelyardError, SettingsInvalid
from reelyard.store.database import Database
from reelyard.store.schema import metadata
from tests.servers import PostgresServer

from .conftest import LEASE, PATIENCE, Books, finished

PROCESSES = multiprocessing.get_context("fork")
SECRET = "correct-horse"


@pytest.fixture(params=["sqlite", "postgresql"])
def own_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated database of each kind that the test may spoil."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'farm.db')}"
    url: str = request.getfixturevalue("postgres_clone")
    return url


def _use(url: str) -> None:
    with closing(Database(url)) as database, database.reading():
        pass


def _difference(database: Database) -> list[object]:
    """Between what the migrations made and what the code expects."""
    with database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))


def test_an_empty_database_becomes_what_the_code_expects(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        assert _difference(database) == []


def test_a_difference_would_be_seen(own_url: str) -> None:
    """The counter-proof: the comparison above knows tables, columns and indexes."""
    with closing(Database(own_url)) as database:
        with database.writing() as connection:
            connection.execute(sa.text("DROP INDEX ix_jobs_turn"))
            connection.execute(sa.text("ALTER TABLE library ADD COLUMN extra TEXT"))
            connection.execute(sa.text("DROP TABLE duties"))
        assert len(_difference(database)) == 3


def test_what_is_in_a_database_stays_when_it_is_opened_again(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        books = Books(database)
        books.hire("a")
        job_id = books.submit()
        before = books.rows()
    with closing(Database(database_url)) as database:
        assert Books(database).rows() == before
        assert Books(database).take("a", job_id).token == 1


def _open(url: str, start: Barrier, told: Mailbox[str]) -> None:
    """In a process of its own."""
    try:
        with closing(Database(url)) as database:
            start.wait(PATIENCE)
            job_id = Books(database).submit()
            told.put(Books(database).state(job_id).job_id)
    except Exception as error:
        told.put(repr(error))
        raise


def test_processes_that_open_an_empty_database_together_make_it_once(database_url: str) -> None:
    start, told = PROCESSES.Barrier(3), PROCESSES.Queue()
    processes = [
        PROCESSES.Process(target=_open, args=(database_url, start, told), daemon=True)
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    said = {told.get(timeout=PATIENCE) for _ in processes}
    for process in processes:
        process.join(PATIENCE)
    with closing(Database(database_url)) as database:
        assert {state.job_id for state in Books(database).jobs.list()} == said
        assert len(said) == len(processes)
        assert _difference(database) == []


def test_a_database_of_a_newer_reelyard_is_refused_and_left_alone(own_url: str) -> None:
    with closing(Database(own_url)) as database, database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with closing(Database(own_url)) as database:
        for opening in (database.reading, database.writing):
            with pytest.raises(SettingsInvalid, match="of a newer Reelyard") as caught, opening():
                pass
            assert "Update Reelyard" in caught.value.remedy
    engine = sa.create_engine(own_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_transaction_that_fails_leaves_nothing(books: Books) -> None:
    before = books.rows()
    with pytest.raises(ZeroDivisionError), books.database.writing() as connection:
        connection.execute(sa.insert(metadata.tables["library"]).values(video_id="a", path="/a"))
        raise ZeroDivisionError
    assert books.rows() == before


def test_readers_do_not_wait_for_a_writer_and_writers_take_turns(books: Books) -> None:
    """A long transaction of one process must not stop `status`; a heartbeat waits its turn."""
    books.hire("a")
    lease = books.take("a", books.submit())
    beaten = threading.Event()

    def beat() -> None:
        books.leases.beat(lease, stage="rendering", progress=1.0)
        beaten.set()

    thread = threading.Thread(target=beat)
    jobs = metadata.tables["jobs"]
    with books.database.writing() as connection:
        connection.execute(sa.update(jobs).values(stage="slow"))
        thread.start()
        assert books.state(lease.job_id).stage == "claimed"
        assert not beaten.wait(0.2)
    thread.join(PATIENCE)
    assert books.state(lease.job_id).stage == "rendering"


# Addresses


def test_a_databases_folder_is_made(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'farm.db'}")) as database:
        Books(database).submit()
    assert (tmp_path / "new" / "folder" / "farm.db").is_file()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_postgresql_is_understood_under_all_its_names(postgres_emptied: str, scheme: str) -> None:
    """Supabase and Heroku write postgres://."""
    url = postgres_emptied.replace("postgresql+psycopg", scheme)
    with closing(Database(url)) as database:
        assert Books(database).jobs.list() == []


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "nonsense", "://", "farm.db", "/tmp/farm.db", "http://host/x", "mysql://u@h/x",
        "oracle://u@h/x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+nosuch:///x.db",
        "redis://127.0.0.1/0", "postgresql://u@h:port/x", "postgresql://u@h:99999999/x/y:z",
    ],
)  # fmt: skip
def test_an_address_of_no_database_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReelyardError) as caught:
        _use(url)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == [], "something was left in the working folder"


def test_a_file_that_is_no_database_can_not_be_used_and_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(b"\0\0\0 ftypisom" * 500)
    before = path.read_bytes()
    with pytest.raises(DatabaseUnavailable):
        _use(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["file/farm.db", "file/folder/farm.db", "folder"])
def test_a_place_where_no_database_can_be_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReelyardError):
        _use(f"sqlite:///{tmp_path / place}")


def test_a_damaged_database_says_so(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "farm.db"
    whole = sqlite_template.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReelyardError), closing(Database(f"sqlite:///{path}")) as database:
        Books(database).submit()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{SECRET}@127.0.0.1:1/farm",
        f"postgres://ann:{SECRET}@127.0.0.1:1",
        f"postgresql://127.0.0.1:1/farm?user=ann&password={SECRET}",
        f"postgresql://127.0.0.1:1/farm?password={SECRET}&connect_timeout=1",
        f"postgresql://127.0.0.1:1/farm?sslmode=require&sslpassword={SECRET}",
        f"postgresql://ann:not@{SECRET}@127.0.0.1:1/farm",
        f"postgresql://ann:a/{SECRET}@127.0.0.1:1/farm",
        f"postgresql://ann:a:{SECRET}@127.0.0.1:1/farm",
        f"postgresql://ann:{SECRET}@127.0.0.1:port/farm",
        f"postgresql://ann:{SECRET}@127.0.0.1:1/farm?nosuch=1",
        f"mysql://ann:{SECRET}@127.0.0.1/farm",
        f"postgresql:/ann:{SECRET}@127.0.0.1/farm",
        f"ann:{SECRET}@127.0.0.1",
    ],
)
def test_a_password_is_in_no_message(url: str) -> None:
    with pytest.raises(ReelyardError) as caught:
        _use(url)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.message}"


def test_the_database_that_is_away_is_named() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/farm") as caught:
        _use(f"postgresql://ann:{SECRET}@127.0.0.1:1/farm")
    assert "***" in caught.value.message


# Outages


def _stop(postgres: PostgresServer) -> None:
    """At once, but with little to recover when it starts again."""
    engine = sa.create_engine(postgres.url("postgres"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("CHECKPOINT"))
    postgres.stop()


def test_postgresql_goes_and_comes_back(postgres_emptied: str, postgres: PostgresServer) -> None:
    """Whoever asks meanwhile gets DatabaseUnavailable, and nothing is lost."""
    with closing(Database(postgres_emptied)) as database:
        books = Books(database)
        books.hire("a")
        lease = books.take("a", books.submit())
        before = books.rows()
        _stop(postgres)
        try:
            for _ in range(2):
                for ask in (
                    lambda: books.state(lease.job_id),
                    lambda: books.leases.beat(lease, stage="rendering", progress=1.0),
                    lambda: books.leases.complete(lease, finished()),
                    lambda: books.duties.take_over("sweep", "me", LEASE),
                    lambda: books.submit(),
                ):
                    with pytest.raises(DatabaseUnavailable, match="can't be used"):
                        ask()
            with pytest.raises(DatabaseUnavailable):
                _use(postgres_emptied)
        finally:
            postgres.start()
        assert books.rows() == before
        assert books.leases.complete(lease, finished())


def test_postgresql_goes_in_the_middle_of_a_transaction(
    postgres_emptied: str, postgres: PostgresServer
) -> None:
    with closing(Database(postgres_emptied)) as database:
        books = Books(database)
        job_id = books.submit()
        jobs = metadata.tables["jobs"]
        try:
            with pytest.raises(DatabaseUnavailable), database.writing() as connection:
                connection.execute(sa.update(jobs).values(stage="half"))
                _stop(postgres)
                connection.execute(sa.update(jobs).values(stage="done"))
        finally:
            if not postgres.runs():
                postgres.start()
        assert books.state(job_id).stage == ""


def test_postgresql_that_ends_our_connections_is_not_noticed(
    postgres_emptied: str, postgres: PostgresServer
) -> None:
    """A pooler or a firewall cuts idle connections; the next use opens another."""
    with closing(Database(postgres_emptied)) as database:
        books = Books(database)
        job_id = books.submit()
        engine = sa.create_engine(postgres.url("postgres"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            cut = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE datname = :name")  # fmt: skip
            name = sa.make_url(postgres_emptied).database
            assert (True,) in connection.execute(cut, {"name": name}).all()
        assert books.state(job_id).job_id == job_id


def test_sqlite_that_somebody_locked_is_unavailable_not_broken(
    tmp_path: Path, sqlite_template: Path
) -> None:
    """A lock that is not given up within the time that SQLite waits."""
    path = tmp_path / "farm.db"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    with closing(Database(url)) as database, closing(sqlite3.connect(path)) as other:
        books = Books(database)
        job_id = books.submit()
        with database.reading() as connection:
            connection.execute(sa.text("PRAGMA busy_timeout = 50"))
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            books.jobs.cancel(job_id)
        other.rollback()
        assert books.jobs.cancel(job_id).job_id == job_id


def test_a_frozen_transaction_holds_up_nobody_for_long(postgres_emptied: str) -> None:
    """Its machine sleeps, say, with a row in its hands: the server ends it after five seconds."""
    with (
        closing(Database(postgres_emptied)) as frozen,
        closing(Database(postgres_emptied)) as other,
    ):
        books = Books(other)
        books.hire("a")
        lease = books.take("a", books.submit())
        jobs = metadata.tables["jobs"]
        with pytest.raises(DatabaseUnavailable), frozen.writing() as connection:
            connection.execute(sa.update(jobs).values(stage="frozen"))
            begun = time.monotonic()
            assert books.leases.beat(lease, stage="rendering", progress=1.0).holds
            assert time.monotonic() - begun < 10
        assert books.state(lease.job_id).stage == "rendering"


def _fork_beside_threads(url: str) -> None:
    """In a process of its own: fork and fork again while a thread writes all the time."""
    stop = threading.Event()
    with closing(Database(url)) as database:
        database.survive_forks()
        books = Books(database)

        def write() -> None:
            while not stop.is_set():
                books.workers.beat("a", "a", 1)

        thread = threading.Thread(target=write)
        thread.start()
        children = [PROCESSES.Process(target=_read, args=(url,)) for _ in range(10)]
        for child in children:
            child.start()
        for child in children:
            child.join(PATIENCE / 2)
        stop.set()
        thread.join()
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    assert codes == [0] * len(children)


def _read(url: str) -> None:
    with closing(Database(url)) as database:
        assert Books(database).workers.beat("a", "a") is not None


def test_a_process_may_fork_while_its_threads_use_the_database(
    books: Books, migrated_url: str
) -> None:
    """As a worker does whose pool process was killed; what is forked opens its own."""
    books.hire("a")
    process = PROCESSES.Process(target=_fork_beside_threads, args=(migrated_url,))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
