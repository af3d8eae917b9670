"""A database per test, migrated already: once as SQLite, once as PostgreSQL. Time is moved, not waited for."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from reelyard.domain.farm import (
    NORMAL_PRIORITY,
    Capabilities,
    Finished,
    JobState,
    Lease,
    SegmentRow,
    Submission,
    Worker,
)
from reelyard.domain.help import OfferedSegment, SegmentClaim, Terms
from reelyard.domain.job import Item, ItemType, Job
from reelyard.domain.routing import Queue
from reelyard.store.clock import UtcTime
from reelyard.store.database import Database
from reelyard.store.duties import Duties
from reelyard.store.help import Offers
from reelyard.store.jobs import Jobs
from reelyard.store.leases import Claim, Leases
from reelyard.store.outbox import LocalResults, Outbox
from reelyard.store.people import Library, Profiles
from reelyard.store.schema import metadata
from reelyard.store.workers import Workers
from tests import supabase_layout
from tests.servers import PostgresServer

LEASE = 60.0
"""Seconds that leases hold and that workers count as alive."""
ABLE = Capabilities(
    version="0.1.0", ffmpeg="ffmpeg 9", encoders=("libx264",), cores=4, memory=8 << 30,
    free_disk=100 << 30,
)  # fmt: skip
CLIP = Item(position=1, item_type=ItemType.VIDEO, path="/media/clip.mp4", named="clip.mp4")
STILL = Item(position=2, item_type=ItemType.IMAGE, path="/media/still.png", named="still.png",
             duration=Fraction(41, 10))  # fmt: skip
TERMS = Terms(ffmpeg=ABLE.ffmpeg, encoder="libx264", terms='{"form": "1080p"}',
              meeting_places=("cache:one", "store:/\udcff"))  # fmt: skip
PATIENCE = 60.0
T = TypeVar("T")
Rows = dict[str, list[tuple[Any, ...]]]


def new_id() -> str:
    return str(uuid.uuid4())


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Call all these at the same moment, each in a thread of its own; what they return, in order."""
    barrier = threading.Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def job(*items: Item, **changes: Any) -> Job:
    known: dict[str, Any] = {"job_id": new_id(), "channel_name": "Tests", "items": items or (CLIP,)}
    return Job(**{**known, **changes})


def finished(**changes: Any) -> Finished:
    known: dict[str, Any] = {
        "output_path": "/out/film.mp4", "final_duration": 10.0, "processing_time": 4.5,
        "video_count": 1, "features_used": ("logo_overlay",),
        "segments": (SegmentRow(1, 0, "aa" * 32, 300, False),), "figures": {"speed": 2.0},
    }  # fmt: skip
    return Finished(**{**known, **changes})


def segment(number: int, frames: int = 150) -> OfferedSegment:
    """One that an owner offers: the only one of its item."""
    return OfferedSegment(key=f"{number:064x}", position=number + 1, part=0, frames=frames)


@dataclass(frozen=True)
class Books:
    """The whole store over one database."""

    database: Database
    user_id: str = "0b0c3ac5-9bb4-4b0e-8f06-4a6ac7c1ad7b"

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.database)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.database, LEASE)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.database, LEASE)

    @cached_property
    def duties(self) -> Duties:
        return Duties(self.database, LEASE)

    @cached_property
    def offers(self) -> Offers:
        return Offers(self.database, LEASE)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.database)

    @cached_property
    def results(self) -> LocalResults:
        return LocalResults(self.database)

    @cached_property
    def profiles(self) -> Profiles:
        return Profiles(self.database)

    @cached_property
    def library(self) -> Library:
        return Library(self.database)

    def submit(self, one: Job | None = None, *, priority: int = NORMAL_PRIORITY,
               **changes: Any) -> str:  # fmt: skip
        """Store a job of one clip, or this one; its id."""
        submission = Submission(user_id=self.user_id, frames=300, priority=priority)
        return self.jobs.add(one or job(**changes), submission).job_id

    def hire(self, *names: str, queues: tuple[Queue, ...] = tuple(Queue)) -> None:
        """Workers start; each one's instance is its name."""
        for name in names:
            self.workers.register(
                name, name, host=f"{name}-host", pid=4711, queues=queues, capabilities=ABLE
            )

    def worker(self, name: str) -> Worker:
        found = self.workers.get(name)
        assert found is not None
        return found

    def state(self, job_id: str) -> JobState:
        return self.jobs.state(job_id)

    def claim(self, worker: str, named: str) -> Claim:
        """Claim; there has to be something to take."""
        found = self.leases.claim(worker, named, None)
        assert found is not None
        return found

    def help(self, helper: str) -> SegmentClaim:
        """Help with the job whose turn it is; there has to be something to make."""
        invitation = self.offers.invitations(helper)[0]
        self.offers.helps(helper, invitation.job_id)
        claim = self.offers.claim(invitation, helper)
        assert claim is not None
        return claim

    def take(self, worker: str, job_id: str) -> Lease:
        """Claim this very job."""
        lease = self.claim(worker, job_id).lease
        assert lease.job_id == job_id
        return lease

    def offered(self, worker: str, named: str) -> str | None:
        """The job that a worker is given when it claims, or None; it is handed back again."""
        found = self.leases.claim(worker, named, None)
        if found is None:
            return None
        assert self.leases.hand_back(found.lease, "only looked")
        return found.lease.job_id

    def pass_time(self, seconds: float, *but: str) -> None:
        """Everything in the database but these tables is so many seconds older from now on."""
        with self.database.writing() as connection:
            for table in metadata.sorted_tables:
                columns = [one.name for one in table.c if isinstance(one.type, UtcTime)]
                if columns and table.name not in but:
                    older = ", ".join(_OLDER[connection.dialect.name].format(
                        column=name, seconds=seconds) for name in columns)  # fmt: skip
                    connection.exec_driver_sql(f"UPDATE {table.name} SET {older}")

    def rows(self, *tables: str) -> Rows:
        """Everything there is in these tables, or in all."""
        with self.database.reading() as connection:
            return {
                name: [tuple(row) for row in connection.execute(
                    sa.select(table).order_by(*table.primary_key.columns))]
                for name, table in metadata.tables.items()
                if not tables or name in tables
            }  # fmt: skip

    def value(self, column: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]) -> Any:
        with self.database.reading() as connection:
            return connection.scalar(sa.select(column).where(*conditions))


_OLDER = {
    "sqlite": "{column} = strftime('%Y-%m-%d %H:%M:%f', {column}, '-{seconds} seconds') || '000'",
    "postgresql": "{column} = {column} - interval '{seconds} seconds'",
}


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database."""
    path = tmp_path_factory.mktemp("template") / "farm.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def template_name(postgres: PostgresServer) -> str:
    """The name of a migrated database that copies are made of. Tests elsewhere have one of their own."""
    name = f"template_{uuid.uuid4().hex}"
    _migrate(postgres.create(name))
    return name


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer, template_name: str) -> Iterator[Database]:
    """A migrated database."""
    copy = postgres.create(f"store_{uuid.uuid4().hex}", template_name)
    with closing(Database(copy)) as database:
        yield database


def _empty(database: Database) -> None:
    with database.writing() as connection:
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        connection.exec_driver_sql(f"TRUNCATE {tables}")


def _migrate(url: str) -> None:
    with closing(Database(url)) as database, database.reading():
        pass


@pytest.fixture
def postgres_emptied(postgres: PostgresServer, postgres_template: Database) -> str:
    """The URL of a migrated database, emptied: making one takes ten times as long."""
    if not postgres.runs():
        postgres.start()
    _empty(postgres_template)
    return postgres_template.url.render_as_string(hide_password=False)


@pytest.fixture
def postgres_clone(postgres: PostgresServer, template_name: str) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own, which it may spoil."""
    name = f"store_{uuid.uuid4().hex}"
    if not postgres.runs():
        postgres.start()
    yield postgres.create(name, template_name)
    if postgres.runs():
        postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a migrated, empty database; a test that takes it runs once with each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'farm.db')}"
    url: str = request.getfixturevalue("postgres_emptied")
    return url


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url)) as one:
        yield one


@pytest.fixture
def books(database: Database) -> Books:
    return Books(database)


@dataclass(frozen=True)
class Project:
    """A Supabase project with the farm's tables in it, as each of its parts sees it."""

    postgres: PostgresServer
    name: str
    database: Database  # the farm's: as ``postgres``, who owns the tables
    users: sa.Engine  # its sign-in service's
    rest: sa.Engine  # its REST API's

    @property
    def books(self) -> Books:
        return Books(self.database)

    def acting(
        self, role: str, claims: dict[str, Any] | None = None
    ) -> AbstractContextManager[sa.Connection]:
        """What somebody with this token can do in the REST API."""
        return supabase_layout.acting(self.rest, role, claims)


@pytest.fixture(scope="session")
def supabase_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that others can subscribe to, as Supabase's is."""
    options = {"wal_level": "logical", "wal_retrieve_retry_interval": "100ms"}
    with closing(PostgresServer(options=options)) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def migrated_project(supabase_server: PostgresServer) -> Iterator[Project]:
    url = supabase_layout.create(supabase_server, "project")
    _migrate(url)
    with (
        closing(Database(url)) as database,
        _engine(supabase_server, "supabase_auth_admin") as users,
        _engine(supabase_server, "authenticator") as rest,
    ):
        yield Project(supabase_server, "project", database, users, rest)


@pytest.fixture
def project(migrated_project: Project) -> Project:
    """A Supabase project with the farm's tables, empty."""
    with migrated_project.users.begin() as connection:
        connection.execute(sa.text("DELETE FROM auth.users"))
    _empty(migrated_project.database)
    return migrated_project


@pytest.fixture
def new_project(supabase_server: PostgresServer) -> Iterator[str]:
    """The name of a Supabase project's database that nobody was in yet."""
    name = f"project_{uuid.uuid4().hex}"
    supabase_layout.create(supabase_server, name)
    yield name
    supabase_server.drop(name)


@contextmanager
def _engine(server: PostgresServer, role: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(supabase_layout.address(server, "project", role))
    yield engine
    engine.dispose()
