"""What Supabase's REST API lets anybody see and do, tried as each of its roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege

from reelyard.domain.access import Role
from reelyard.store.accounts import Accounts
from reelyard.store.schema import metadata
from reelyard.store.supabase import Supabase
from tests.supabase_layout import claims_of, sign_up

from .conftest import Books, Project, finished

OPEN = {"jobs", "job_items", "compilation_results", "profiles"}
TABLES = sorted({*metadata.tables, "alembic_version"})
WRITES = (
    "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
)


@dataclass(frozen=True)
class Crowd:
    """Two operators with a job each, which is done; and a manager."""

    ann: str
    ben: str
    mia: str
    jobs: dict[str, str]


@pytest.fixture
def crowd(project: Project) -> Crowd:
    ann, ben, mia = (
        sign_up(project.users, f"{name}@example.org") for name in ("ann", "ben", "mia")
    )
    jobs = {user: _done(Books(project.database, user)) for user in (ann, ben)}
    Accounts(project.database).add("eve", "a hash", Role.ADMIN)
    return Crowd(ann, ben, mia, jobs)


def _done(books: Books) -> str:
    books.hire("pc1")
    job_id = books.submit()
    assert books.leases.complete(books.take("pc1", job_id), finished())
    entries = books.outbox.due()
    books.results.deliver(entries)
    books.outbox.delivered(entries)
    return job_id


def _seen(connection: sa.Connection, column: str, table: str) -> set[Any]:
    return set(map(str, connection.scalars(sa.text(f"SELECT {column} FROM {table}"))))


def _refused(connection: sa.Connection, statement: str) -> bool:
    """Whether the role may not do that, whatever is in the table."""
    attempt = connection.begin_nested()
    try:
        connection.exec_driver_sql(statement)
    except sa.exc.ProgrammingError as error:
        attempt.rollback()
        return isinstance(error.orig, InsufficientPrivilege)
    attempt.rollback()
    return False


def _columns(project: Project) -> dict[str, str]:
    """A column of each table."""
    with project.database.reading() as connection:
        known = sa.inspect(connection)
        return {table: known.get_columns(table)[0]["name"] for table in TABLES}


def test_without_signing_in_no_table_is_seen(project: Project, crowd: Crowd) -> None:
    """Who has the public key, and that is everybody, would read the hashes of passwords otherwise."""
    with project.acting("anon") as connection:
        assert [one for one in TABLES if not _refused(connection, f"SELECT 1 FROM {one}")] == []


def test_signing_in_opens_the_tables_that_front_ends_read(project: Project, crowd: Crowd) -> None:
    for role in (None, *Role):
        with project.acting("authenticated", claims_of(crowd.mia, role)) as connection:
            seen = {one for one in TABLES if not _refused(connection, f"SELECT 1 FROM {one}")}
            assert seen == OPEN


def test_an_operator_sees_what_is_theirs(project: Project, crowd: Crowd) -> None:
    for user in (crowd.ann, crowd.ben):
        with project.acting("authenticated", claims_of(user)) as connection:
            job = {crowd.jobs[user]}
            assert _seen(connection, "job_id", "jobs") == job
            assert _seen(connection, "job_id", "job_items") == job
            assert _seen(connection, "job_id", "compilation_results") == job
            assert _seen(connection, "user_id", "profiles") == {user}


def test_somebody_without_jobs_sees_none(project: Project, crowd: Crowd) -> None:
    with project.acting("authenticated", claims_of(crowd.mia)) as connection:
        for table in OPEN - {"profiles"}:
            assert _seen(connection, "job_id", table) == set()


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ADMIN])
def test_a_manager_and_an_admin_see_everybodys(project: Project, crowd: Crowd, role: Role) -> None:
    with project.acting("authenticated", claims_of(crowd.mia, role)) as connection:
        for table in OPEN - {"profiles"}:
            assert _seen(connection, "job_id", table) == set(crowd.jobs.values())
        assert _seen(connection, "username", "profiles") == {"ann", "ben", "mia", "eve"}


@pytest.mark.parametrize(
    "told",
    [
        {"user_metadata": {"reelyard_role": "admin"}},
        {"reelyard_role": "admin"},
        {"app_metadata": {"reelyard_role": "owner"}},
        {"app_metadata": {"reelyard_role": ["admin"]}},
        {"app_metadata": {"reelyard_role": {"admin": True}}},
        {"app_metadata": {"reelyard_role": None}},
        {"app_metadata": "admin"},
        {"app_metadata": None},
    ],
)
def test_a_role_counts_only_where_its_owner_can_not_write_it(
    project: Project, crowd: Crowd, told: dict[str, Any]
) -> None:
    """``user_metadata`` is what users say of themselves."""
    with project.acting("authenticated", claims_of(crowd.ann, **told)) as connection:
        assert _seen(connection, "job_id", "jobs") == {crowd.jobs[crowd.ann]}


def test_nobody_changes_anything(project: Project, crowd: Crowd) -> None:
    """Jobs are submitted to Reelyard's own API, which checks them."""
    columns, before = _columns(project), project.books.rows()
    callers = [("anon", None), *(("authenticated", claims_of(crowd.ann, role)) for role in Role)]
    for role, claims in callers:
        with project.acting(role, claims) as connection:
            done = [
                statement
                for table, column in columns.items()
                for write in WRITES
                if not _refused(connection, statement := write.format(table=table, column=column))
            ]  # fmt: skip
            assert done == []
    assert project.books.rows() == before


def test_the_servers_key_sees_and_may_do_everything(project: Project, crowd: Crowd) -> None:
    with project.acting("service_role") as connection:
        assert _seen(connection, "job_id", "jobs") == set(crowd.jobs.values())
        assert _seen(connection, "password_hash", "accounts") == {"a hash"}
        for write in ("UPDATE jobs SET stage = ''", "INSERT INTO duties VALUES ('a', 'b', now())",
                      "INSERT INTO events (at, what, message) VALUES (now(), 'a', 'b')"):  # fmt: skip
            assert not _refused(connection, write)


def test_our_functions_can_not_be_called_from_outside(project: Project, crowd: Crowd) -> None:
    calls = (
        "SELECT reelyard_name(gen_random_uuid(), 'a@b', '{}')",
        "SELECT nextval('events_id_seq')",
    )
    for role, claims in (("anon", None), ("authenticated", claims_of(crowd.ann, Role.ADMIN))):
        with project.acting(role, claims) as connection:
            assert all(_refused(connection, call) for call in calls)


def test_no_table_is_forgotten(project: Project) -> None:
    """One that a migration makes and leaves open is seen by this, and by the doctor."""
    with project.database.reading() as connection:
        guarded = connection.scalars(
            sa.text(
                "SELECT relname FROM pg_class WHERE relrowsecurity"
                " AND relnamespace = CAST('public' AS regnamespace)"
            )
        )
        assert set(guarded) >= set(TABLES)
    assert Supabase(project.database).shortcomings() == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("ALTER TABLE accounts DISABLE ROW LEVEL SECURITY", "public key can get at accounts"),
        ("GRANT SELECT ON sessions, jobs TO anon", "public key can get at jobs, sessions"),
        ("GRANT INSERT (stage) ON jobs TO authenticated", "public key can get at jobs"),
        ("ALTER PUBLICATION supabase_realtime DROP TABLE job_items", "hear nothing of changes in job_items"),
        ("DROP FUNCTION reelyard_follow_user() CASCADE", "people who sign up get no name"),
        ("DROP POLICY reelyard_own ON jobs", "see nothing of jobs"),
    ],
)  # fmt: skip
def test_what_was_opened_by_hand_is_seen_and_mended(
    project: Project, harm: str, words: str
) -> None:
    with project.database.writing() as connection:
        connection.exec_driver_sql(harm)
    supabase = Supabase(project.database)
    assert words in "; ".join(supabase.shortcomings())
    assert supabase.apply()
    assert supabase.shortcomings() == []


def test_policies_of_the_projects_own_stay(project: Project) -> None:
    with project.database.writing() as connection:
        connection.exec_driver_sql("CREATE POLICY mine ON jobs FOR SELECT TO anon USING (false)")
    Supabase(project.database).apply()
    with project.database.writing() as connection:
        assert "mine" in _seen(connection, "policyname", "pg_policies")
        connection.exec_driver_sql("DROP POLICY mine ON jobs")


def test_the_farm_itself_goes_on_as_the_tables_owner(project: Project) -> None:
    """``postgres`` is no superuser on Supabase."""
    job_id = _done(project.books)
    assert project.books.state(job_id).progress == 100
    with project.database.reading() as connection:
        told = connection.execute(
            sa.text("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
        )
        assert told.one() == ("postgres", False)
