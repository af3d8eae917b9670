"""Who is asking: names and passwords, sessions, tokens, and the person at the machine."""

from __future__ import annotations

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    NotSignedIn,
    RequestInvalid,
    TooManyRequests,
)
from reelyard.services.access import LONGEST_PASSWORD, Access, digest
from reelyard.store.accounts import Accounts

from .conftest import Siding

PASSWORD = "four dry pebbles"
HERE = "127.0.0.1"


def cheap() -> PasswordHash:
    return PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


@pytest.fixture
def access(siding: Siding) -> Access:
    accounts = Accounts(siding.farm.reelyard.database)
    return Access(accounts, siding.farm.profiles, "me", cheap)


@pytest.fixture
def ada(access: Access) -> Principal:
    """The first admin."""
    return person(access, "ada", Role.ADMIN, access.local())


def person(access: Access, name: str, role: Role, by: Principal) -> Principal:
    access.add_user(by, name, PASSWORD, role)
    return signed_in(access, name)


def signed_in(access: Access, name: str, password: str = PASSWORD) -> Principal:
    return access.by_session(access.sign_in(name, password, f"address of {name}"))


def test_whoever_is_at_the_machine_may_all_until_somebody_has_an_account(access: Access) -> None:
    local = access.local()
    assert (local.username, local.role, local.scopes) == ("me", Role.ADMIN, None)
    assert access.is_open
    access.add_user(local, "ada", PASSWORD, Role.ADMIN)
    with pytest.raises(NotSignedIn):
        access.local()


def test_the_first_account_is_an_admins(access: Access) -> None:
    for role in (Role.OPERATOR, Role.MANAGER):
        with pytest.raises(RequestInvalid, match="has to be an admin's"):
            access.add_user(access.local(), "ben", PASSWORD, role)
    assert access.is_open


def test_who_signs_in_is_known_by_their_session_until_they_sign_out(
    access: Access, ada: Principal
) -> None:
    access.add_user(ada, "Ben", PASSWORD, Role.OPERATOR)
    ben = signed_in(access, "BEN")
    assert (ben.username, ben.role, ben.scopes) == ("Ben", Role.OPERATOR, None)
    again = access.sign_in("ben", PASSWORD, HERE)
    access.sign_out(ben)
    assert access.by_session(again).user_id == ben.user_id
    assert ben.session is not None
    for secret in (ben.session, "", "\ud800", digest(again)):
        with pytest.raises(NotSignedIn):
            access.by_session(secret)


def test_who_is_wrong_is_told_the_same_whatever_it_was(access: Access, ada: Principal) -> None:
    access.add_user(ada, "out", PASSWORD, Role.OPERATOR)
    out = next(one for one in access.users(ada) if one.username == "out")
    access.change_user(ada, out.user_id, is_active=False)
    said = set()
    for name, password in [
        ("ada", "wrong"), ("ada", ""), ("ada", PASSWORD + "x" * 10_000), ("nobody", PASSWORD),
        ("out", PASSWORD), ("", ""), ("\0", "\0"),
    ]:  # fmt: skip
        with pytest.raises(NotSignedIn) as refused:
            access.sign_in(name, password, HERE)
        said.add(str(refused.value))
    assert len(said) == 1


def test_guessing_is_slowed_down_by_name_and_by_address(access: Access, ada: Principal) -> None:
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            access.sign_in("ADA", "wrong", "10.0.0.1")
    with pytest.raises(TooManyRequests) as refused:
        access.sign_in("ada", PASSWORD, "10.0.0.1")
    assert 0 < refused.value.retry_after <= 60
    assert access.sign_in("ada", PASSWORD, "10.0.0.2"), "her own address is not locked out"
    for number in range(20):
        with pytest.raises(NotSignedIn):
            access.sign_in(f"name {number}", "wrong", "10.0.0.99")
    with pytest.raises(TooManyRequests):
        access.sign_in("another", "wrong", "10.0.0.99")


def test_names_and_passwords_that_wont_do_are_refused(access: Access, ada: Principal) -> None:
    for name in ("", "  ", "a\nb", "a\0b", "\ud800", "x" * 61):
        with pytest.raises(RequestInvalid) as refused:
            access.add_user(ada, name, PASSWORD, Role.OPERATOR)
        assert refused.value.field == "username"
    for password in ("", "short", "x" * 30, "my name is BEN", "z" + PASSWORD * 20):
        with pytest.raises(RequestInvalid) as refused:
            access.add_user(ada, "ben", password, Role.OPERATOR)
        assert refused.value.field == "password"
    access.add_user(ada, " Zoë Ö. 日本 ", ("a b c " * 99)[:LONGEST_PASSWORD], Role.OPERATOR)
    with pytest.raises(Conflict):
        access.add_user(ada, "ZOË ö. 日本", PASSWORD, Role.OPERATOR)


def test_only_admins_look_after_people(access: Access, ada: Principal) -> None:
    mia = person(access, "mia", Role.MANAGER, ada)
    with pytest.raises(NotAllowed):
        access.users(mia)
    with pytest.raises(NotAllowed):
        access.add_user(mia, "x", PASSWORD, Role.OPERATOR)
    with pytest.raises(NotAllowed):
        access.change_user(mia, mia.user_id, role=Role.ADMIN)
    assert [one.username for one in access.users(ada)] == ["ada", "mia"]


def test_the_last_admin_stays_one(access: Access, ada: Principal) -> None:
    with pytest.raises(Conflict):
        access.change_user(ada, ada.user_id, role=Role.MANAGER)
    with pytest.raises(Conflict):
        access.change_user(ada, ada.user_id, is_active=False)
    assert signed_in(access, "ada").role is Role.ADMIN
    with pytest.raises(NotFound):
        access.change_user(ada, "nobody", password=PASSWORD)


def test_a_new_password_ends_all_sessions(access: Access, ada: Principal) -> None:
    ben = person(access, "ben", Role.OPERATOR, ada)
    other = access.sign_in("ben", PASSWORD, HERE)
    with pytest.raises(RequestInvalid, match="not the password"):
        access.change_own_password(ben, "wrong", "five wet pebbles")
    access.change_own_password(ben, PASSWORD, "five wet pebbles")
    with pytest.raises(NotSignedIn):
        access.by_session(other)
    ben = signed_in(access, "ben", "five wet pebbles")
    access.change_user(ada, ben.user_id, password="six large stones")
    with pytest.raises(NotSignedIn):
        access.sign_in("ben", "five wet pebbles", HERE)


def test_a_program_cant_change_its_owners_password(access: Access, ada: Principal) -> None:
    secret, _ = access.add_token(ada, "all", list(Scope))
    with pytest.raises(NotAllowed):
        access.change_own_password(access.by_token(secret), PASSWORD, "five wet pebbles")


def test_a_token_carries_what_it_was_given_until_it_is_revoked(
    access: Access, ada: Principal
) -> None:
    secret, token = access.add_token(ada, " build ", [Scope.READ])
    assert secret.startswith("reelyard_")
    assert (token.name, token.scopes, token.expires_at) == ("build", (Scope.READ,), None)
    found = access.by_token(secret)
    assert (found.user_id, found.scopes) == (ada.user_id, frozenset([Scope.READ]))
    assert secret not in repr((token, found))
    with pytest.raises(NotAllowed):
        access.users(found)
    with pytest.raises(NotAllowed):
        access.add_token(found, "more", [Scope.READ])
    access.revoke_token(ada, token.token_id)
    for one in (secret, secret[:-1], "", "reelyard_", "\ud800"):
        with pytest.raises(NotSignedIn):
            access.by_token(one)


def test_nobody_gives_away_more_than_they_have(access: Access, ada: Principal) -> None:
    ben = person(access, "ben", Role.OPERATOR, ada)
    for scope in (Scope.MANAGE, Scope.ADMIN):
        with pytest.raises(NotAllowed, match=f"can't give away {scope}"):
            access.add_token(ben, "x", [Scope.READ, scope])
    with pytest.raises(RequestInvalid, match="needs a scope"):
        access.add_token(ada, "x", [])
    secret, token = access.add_token(ada, "x", [Scope.WRITE], days=1)
    assert token.expires_at is not None
    with pytest.raises(NotAllowed, match="a token makes no tokens"):
        access.add_token(access.by_token(secret), "x", [Scope.WRITE])


def test_a_token_is_worth_no_more_than_its_owner_is_now(access: Access, ada: Principal) -> None:
    mia = person(access, "mia", Role.MANAGER, ada)
    secret, token = access.add_token(mia, "x", [Scope.MANAGE])
    access.change_user(ada, mia.user_id, role=Role.OPERATOR)
    assert access.by_token(secret).role is Role.OPERATOR
    access.change_user(ada, mia.user_id, is_active=False)
    with pytest.raises(NotSignedIn):
        access.by_token(secret)
    access.revoke_token(ada, token.token_id)


def test_only_admins_see_and_revoke_the_tokens_of_others(access: Access, ada: Principal) -> None:
    ben = person(access, "ben", Role.OPERATOR, ada)
    _, adas = access.add_token(ada, "adas", [Scope.READ])
    _, bens = access.add_token(ben, "bens", [Scope.READ])
    assert [one.name for one in access.tokens(ben)] == ["bens"]
    with pytest.raises(NotAllowed):
        access.tokens(ben, everybody=True)
    with pytest.raises(NotFound):
        access.revoke_token(ben, adas.token_id)
    assert {one.name for one in access.tokens(ada, everybody=True)} == {"adas", "bens"}
    assert access.revoke_token(ada, bens.token_id).revoked_at


def test_there_are_no_tokens_while_nobody_has_an_account(access: Access) -> None:
    with pytest.raises(RequestInvalid, match="nobody has one yet"):
        access.add_token(access.local(), "x", [Scope.READ])
