"""``profiles`` follows Supabase's users: they come, are renamed, and go."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from reelyard.domain.access import Role, Scope
from reelyard.store.accounts import Accounts
from reelyard.store.database import Database
from reelyard.store.supabase import Supabase
from tests import supabase_layout
from tests.servers import PostgresServer
from tests.supabase_layout import sign_up

from .conftest import Books, Project


def _change(project: Project, user_id: str, to: str) -> None:
    """As the sign-in service does it."""
    with project.users.begin() as connection:
        connection.execute(sa.text(f"UPDATE auth.users SET {to} WHERE id = :id"), {"id": user_id})


def _name(project: Project, user_id: str) -> str:
    return project.books.profiles.username(user_id)


@pytest.mark.parametrize(
    ("email", "told", "name"),
    [
        ("ann@example.org", {"username": "Ann ☂", "full_name": "Ann Other"}, "Ann ☂"),
        ("ann@example.org", {"full_name": "Ann Other", "name": "ann"}, "Ann Other"),
        ("ann@example.org", {"name": "annie"}, "annie"),
        ("ann.other@example.org", {}, "ann.other"),
        ("ann@example.org", {"username": "  ", "full_name": None}, "ann"),
        ("ann@example.org", {"username": "two\nlines\x1b[31m"}, "two lines [31m"),
        ("ann@example.org", {"username": "file:///etc/passwd"}, "ann"),
        ("ann@example.org", {"username": "a" * 5000}, "a" * 100),
        ("ann@example.org", {"username": 4711}, "4711"),
        ("ann@example.org", {"username": "'; DROP TABLE jobs; --"}, "'; DROP TABLE jobs; --"),
    ],
)
def test_who_signs_up_gets_a_name(
    project: Project, email: str, told: dict[str, Any], name: str
) -> None:
    assert _name(project, sign_up(project.users, email, **told)) == name


def test_who_signs_up_without_an_address_gets_a_name_as_well(project: Project) -> None:
    user_id = sign_up(project.users, None)
    assert _name(project, user_id) == f"user-{user_id[:8]}"


def test_jobs_show_the_name_of_who_submitted_them(project: Project) -> None:
    ann = sign_up(project.users, "ann@example.org")
    books = Books(project.database, ann)
    assert books.state(books.submit()).username == "ann"


def test_a_new_name_is_taken_over(project: Project) -> None:
    ann = sign_up(project.users, "ann@example.org")
    _change(project, ann, "email = 'anna@example.org'")
    assert _name(project, ann) == "anna"
    _change(project, ann, """raw_user_meta_data = '{"username": "Anna"}'""")
    assert _name(project, ann) == "Anna"


def test_a_name_that_the_farm_gave_stays(project: Project) -> None:
    ann = sign_up(project.users, "ann@example.org")
    with project.database.writing() as connection:
        connection.execute(sa.text("UPDATE profiles SET username = 'Ann of PC1'"))
    _change(project, ann, "email = 'anna@example.org'")
    assert _name(project, ann) == "Ann of PC1"


def test_signing_in_writes_no_profile(project: Project) -> None:
    """It updates the user each time."""
    ann = sign_up(project.users, "ann@example.org")
    version = sa.text("SELECT xmin FROM profiles")
    with project.database.reading() as connection:
        before = connection.scalar(version)
    _change(project, ann, "last_sign_in_at = now(), raw_app_meta_data = '{}'")
    with project.database.reading() as connection:
        assert connection.scalar(version) == before


def _delete(project: Project, user_id: str, how: str) -> None:
    if how == "marked as deleted":
        _change(project, user_id, "email = 'x7f3', raw_user_meta_data = '{}', deleted_at = now()")
        return
    with project.users.begin() as connection:
        connection.execute(sa.text("DELETE FROM auth.users WHERE id = :id"), {"id": user_id})


WAYS = pytest.mark.parametrize("how", ["removed", "marked as deleted"])


@WAYS
def test_who_is_deleted_leaves_their_jobs_and_no_name(project: Project, how: str) -> None:
    ann = sign_up(project.users, "ann@example.org")
    books = Books(project.database, ann)
    job_id = books.submit()
    _delete(project, ann, how)
    assert books.state(job_id).username == "unknown"
    assert books.rows("profiles") == {"profiles": []}


@WAYS
def test_who_is_deleted_is_shut_out_at_once_and_nobody_else(project: Project, how: str) -> None:
    ann, ben = (sign_up(project.users, f"{name}@example.org") for name in ("ann", "ben"))
    accounts = Accounts(project.database)
    for user, name in ((ann, "ann"), (ben, "ben")):
        accounts.adopt(user, [name], Role.OPERATOR, datetime.now(UTC))
        accounts.open_session(user, f"session of {name}", 3600)
        accounts.add_token(user, name, "rly_", f"token of {name}", [Scope.READ], None)
    _delete(project, ann, how)
    for user, name in ((ann, "ann"), (ben, "ben")):
        stays = user == ben
        assert accounts.get(user).is_active is stays
        assert (accounts.of_session(f"session of {name}") is not None) is stays
        assert (accounts.of_token(f"token of {name}") is not None) is stays


def test_people_who_are_not_supabases_stay_whoever_is_deleted(project: Project) -> None:
    local = project.books.profiles.local("somebody at PC1")
    sign_up(project.users, "ann@example.org")
    with project.users.begin() as connection:
        connection.execute(sa.text("DELETE FROM auth.users"))
    assert _name(project, local) == "somebody at PC1"


def test_users_who_were_there_before_the_farm_have_names(
    supabase_server: PostgresServer, new_project: str
) -> None:
    users = sa.create_engine(
        supabase_layout.address(supabase_server, new_project, "supabase_auth_admin"),
        poolclass=sa.NullPool,
    )
    ann, gone = sign_up(users, "ann@example.org"), sign_up(users, "gone@example.org")
    with users.begin() as connection:
        connection.execute(
            sa.text("UPDATE auth.users SET deleted_at = now() WHERE id = :id"), {"id": gone}
        )
    with closing(Database(supabase_layout.address(supabase_server, new_project))) as database:
        profiles = Books(database).profiles
        assert (profiles.username(ann), profiles.username(gone)) == ("ann", "unknown")


def test_a_farm_that_moves_to_supabase_keeps_its_people_and_becomes_guarded(
    supabase_server: PostgresServer,
) -> None:
    """Its tables are there already when Supabase's own come, and with them somebody whom both know."""
    name, ann = f"moved_{uuid.uuid4().hex}", str(uuid.uuid4())
    supabase_layout.make_empty(supabase_server, name)
    with closing(Database(supabase_layout.address(supabase_server, name))) as database:
        books = Books(database, ann)
        local, job_id = books.profiles.local("somebody at PC1"), books.submit()
        assert not Supabase(database).is_there()
        with database.writing() as connection:
            connection.execute(sa.text("INSERT INTO profiles VALUES (:id, 'Ann')"), {"id": ann})
        supabase_layout.lay_out(supabase_server, name)
        with database.writing() as connection:
            connection.execute(
                sa.text("INSERT INTO auth.users (id, email) VALUES (:id, 'ann@example.org')"),
                {"id": ann},
            )
        supabase = Supabase(database)
        assert len(supabase.shortcomings()) == 4
        assert supabase.apply()
        assert supabase.shortcomings() == []
        assert books.state(job_id).username == "Ann"
        assert books.profiles.username(local) == "somebody at PC1"
    supabase_server.drop(name)
