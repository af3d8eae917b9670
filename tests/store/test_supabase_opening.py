"""Opening a database on Supabase: where tables of others are, where the role may too little; and addresses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from reelyard.domain.errors import DatabaseUnavailable, SettingsInvalid
from reelyard.store.database import Database
from reelyard.store.supabase import Supabase
from tests import supabase_layout
from tests.conftest import Cli
from tests.servers import PostgresServer
from tests.supabase_layout import acting, claims_of, sign_up

from .conftest import Books, Project


def _use(url: str) -> None:
    with closing(Database(url)) as database, database.reading():
        pass


def _told(postgres: PostgresServer, name: str, *statements: str) -> list[str]:
    """What the owner's tables are, after these statements."""
    engine = sa.create_engine(supabase_layout.address(postgres, name), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        known = connection.scalars(
            sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        )
        return list(known)


_PROFILES = "CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users, username text)"
_JOBS = "CREATE TABLE jobs (id bigint PRIMARY KEY, title text)"


def test_a_project_with_tables_of_its_own_is_left_alone(
    supabase_server: PostgresServer, new_project: str
) -> None:
    before = _told(supabase_server, new_project, _PROFILES, _JOBS)
    with pytest.raises(SettingsInvalid, match="did not make: jobs, profiles") as caught:
        _use(supabase_layout.address(supabase_server, new_project))
    assert "?schema=reelyard" in caught.value.remedy
    assert _told(supabase_server, new_project) == before


def test_in_a_schema_of_its_own_the_farm_lives_beside_them(
    supabase_server: PostgresServer, new_project: str
) -> None:
    before = _told(supabase_server, new_project, _PROFILES, _JOBS)
    url = supabase_layout.address(supabase_server, new_project)
    users, rest = (
        sa.create_engine(supabase_layout.address(supabase_server, new_project, role), poolclass=sa.NullPool)
        for role in ("supabase_auth_admin", "authenticator")
    )  # fmt: skip
    with closing(Database(f"{url}?schema=reelyard")) as database:
        assert Supabase(database).shortcomings() == []
        ann = sign_up(users, "ann@example.org")
        books = Books(database, ann)
        assert books.state(books.submit()).username == "ann"
        with acting(rest, "authenticated", claims_of(ann)) as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM reelyard.jobs")) == 1
        with acting(rest, "anon") as connection, pytest.raises(sa.exc.ProgrammingError):
            connection.scalar(sa.text("SELECT count(*) FROM reelyard.jobs"))
    assert _told(supabase_server, new_project) == before
    with closing(Database(f"{url}?schema=reelyard")) as again:
        assert len(Books(again).jobs.list()) == 1


@pytest.mark.parametrize("schema", ["public", "reelyard"])
def test_removed_as_the_manual_says_people_go_on_signing_up(
    supabase_server: PostgresServer, new_project: str, schema: str
) -> None:
    """The function goes first, with its trigger on Supabase's own table: without the tables it would fail."""
    url = supabase_layout.address(supabase_server, new_project)
    _use(url if schema == "public" else f"{url}?schema={schema}")
    users = sa.create_engine(
        supabase_layout.address(supabase_server, new_project, "supabase_auth_admin"),
        poolclass=sa.NullPool,
    )
    manual = (Path(__file__).parents[2] / "docs" / "operate.md").read_text("utf-8")
    (removal,) = [one for one in manual.split("```") if one.startswith("sql") and "DROP" in one]
    first, of_its_own = removal.removeprefix("sql").split(
        "-- or, with a schema of its own, all at once:"
    )
    assert not _told(supabase_server, new_project, of_its_own if schema == "reelyard" else first)
    assert sign_up(users, "ann@example.org")


def test_another_programs_migrations_are_told_from_ours(
    supabase_server: PostgresServer, new_project: str
) -> None:
    before = _told(supabase_server, new_project,
                   "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
                   "INSERT INTO alembic_version VALUES ('1975ea83b712')")  # fmt: skip
    with pytest.raises(SettingsInvalid, match=r"another program's alembic_version \(1975ea83b712"):
        _use(supabase_layout.address(supabase_server, new_project))
    assert _told(supabase_server, new_project) == before


def test_tables_of_others_in_sqlite_are_left_alone_too(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE jobs (id INTEGER)")
    with pytest.raises(SettingsInvalid, match="did not make: jobs") as caught:
        _use(f"sqlite:///{path}")
    assert "database of its own" in caught.value.remedy


def test_a_role_that_may_not_is_told_so_and_leaves_nothing(
    supabase_server: PostgresServer, new_project: str
) -> None:
    """It may make tables, but gets at nobody's users."""
    before = _told(
        supabase_server, new_project,
        "DROP ROLE IF EXISTS farm", "CREATE ROLE farm LOGIN",
        "GRANT CREATE, USAGE ON SCHEMA public TO farm",
    )  # fmt: skip
    with pytest.raises(SettingsInvalid, match="the role farm may not set Reelyard up") as caught:
        _use(supabase_layout.address(supabase_server, new_project, "farm"))
    assert "postgres" in caught.value.remedy
    assert _told(supabase_server, new_project) == before


def test_a_publication_that_the_project_has_not_or_that_has_all_is_no_hindrance(
    supabase_server: PostgresServer, new_project: str
) -> None:
    url = supabase_layout.address(supabase_server, new_project)
    _told(supabase_server, new_project, "DROP PUBLICATION supabase_realtime")
    with closing(Database(url)) as database:
        assert Supabase(database).shortcomings() == []
    _told(supabase_server, new_project, "DROP PUBLICATION supabase_realtime")
    engine = sa.create_engine(supabase_server.url(new_project), poolclass=sa.NullPool)
    with engine.begin() as connection:  # only a superuser can
        connection.exec_driver_sql("CREATE PUBLICATION supabase_realtime FOR ALL TABLES")
    with closing(Database(url)) as database:
        assert Supabase(database).apply()
        assert Supabase(database).shortcomings() == []


def test_any_other_postgresql_or_sqlite_stays_as_it_is(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        supabase = Supabase(database)
        assert (supabase.is_there(), supabase.apply(), supabase.shortcomings()) == (
            False,
            False,
            [],
        )


def test_the_command_mends_what_the_doctor_found(
    project: Project, cli: Cli, tmp_path: Path
) -> None:
    with project.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts DISABLE ROW LEVEL SECURITY")
    url = project.database.url.render_as_string(hide_password=False)
    done = cli("supabase", env={"REELYARD_DATABASE_URL": url, "HOME": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "can get at accounts" in done.stdout
    assert Supabase(project.database).shortcomings() == []
    done = cli("supabase")
    assert (done.returncode, done.stdout.count("not on Supabase")) == (0, 1)


# Addresses


def test_an_address_as_supabase_shows_it_is_understood(migrated_project: Project) -> None:
    """With the parameters of other programs' drivers, too."""
    postgres = migrated_project.postgres
    where = f"{postgres.host}:{postgres.port}/{migrated_project.name}"
    told = "pgbouncer=true&connection_limit=1&sslmode=prefer&supa=base-pooler.x"
    with closing(Database(f"postgres://postgres:secret@{where}?{told}")) as database:
        assert Supabase(database).is_there()


@pytest.mark.parametrize(
    "url", ["postgresql://u@h/x?sslmod=require", "postgres://u@h/x?a=1&Schema=b"]
)
def test_a_parameter_that_postgresql_does_not_know_is_named(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="PostgreSQL knows no parameter") as caught:
        Database(url)
    assert "Take it out" in caught.value.remedy


@pytest.mark.parametrize(
    "schema", ["Reelyard", 'a"; DROP TABLE jobs; --', "a.b", "9", "a&schema=b"]
)
def test_a_schemas_name_is_a_plain_one(schema: str) -> None:
    with pytest.raises(SettingsInvalid, match="no name of a schema"):
        Database(f"postgresql://u@127.0.0.1:1/x?schema={schema}")


def test_a_pooler_that_is_away_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"postgres\.ref:\*\*\*@127\.0\.0\.1:1"):
        _use("postgres://postgres.ref:secret@127.0.0.1:1/postgres?pgbouncer=true")
