"""Supabase's users as people of the farm: by token, by email and password, beside those with accounts here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reelyard.domain.access import Account, Principal, Role, Scope, Source
from reelyard.domain.errors import (
    NotAllowed,
    NotSignedIn,
    RequestInvalid,
    SupabaseUnavailable,
    TooManyRequests,
)
from reelyard.services.access import Access
from reelyard.services.supabase_keys import SupabaseKeys
from reelyard.services.supabase_people import ShutOut, SupabasePeople
from reelyard.services.supabase_project import SupabaseProject
from reelyard.services.supabase_sign_in import Refusal, SignInRefused, SupabaseSignIn
from reelyard.services.supabase_tokens import SupabaseTokens
from reelyard.store.accounts import Accounts
from tests.store.conftest import Books
from tests.supabase_auth import PASSWORD, PUBLISHABLE, SupabaseAuth, User

from .conftest import Siding
from .test_access import PASSWORD as ADAS
from .test_access import cheap

HERE = "10.0.0.1"
NOW = int(time.time())


@pytest.fixture
def auth() -> Iterator[SupabaseAuth]:
    with SupabaseAuth().open() as auth:
        yield auth


def made(siding: Siding, auth: SupabaseAuth, *, pages: bool = True, seconds: float = 5) -> Access:
    accounts = Accounts(siding.farm.reelyard.database)
    project = SupabaseProject(url=auth.url, key=PUBLISHABLE, seconds=seconds)
    people = SupabasePeople(
        accounts=accounts,
        profiles=siding.farm.profiles,
        tokens=SupabaseTokens(auth.url, SupabaseKeys(project)),
        sign_in=SupabaseSignIn(project) if pages else None,
    )
    return Access(accounts, siding.farm.profiles, "me", cheap, people)


@pytest.fixture
def access(siding: Siding, auth: SupabaseAuth) -> Access:
    return made(siding, auth)


@pytest.fixture
def ada(access: Access) -> Principal:
    """An admin with an account of the farm's own."""
    access.accounts.add("ada", cheap().hash(ADAS), Role.ADMIN)
    return access.by_session(access.sign_in("ada", ADAS, HERE))


def account(access: Access, who: Principal | User) -> Account:
    return access.accounts.get(who.user_id)


def refused(access: Access, email: str, password: str = PASSWORD, address: str = HERE) -> str:
    with pytest.raises(NotSignedIn) as told:
        access.sign_in(email, password, address)
    assert not password or password not in str(told.value)
    return str(told.value)


# By token


def test_with_supabase_nobody_is_let_in_unknown(access: Access) -> None:
    """Not even at the machine itself, and also before anybody has an account."""
    assert not access.is_open
    with pytest.raises(NotSignedIn):
        access.local()


def test_a_token_is_its_users_with_their_role(access: Access, auth: SupabaseAuth) -> None:
    for role in Role:
        user = auth.add(f"{role}@example.com", role)
        found = access.by_token(auth.token(user))
        assert (found.user_id, found.role, found.username) == (user.user_id, role, role.value)
        assert account(access, user).source is Source.SUPABASE


def test_a_user_has_the_name_that_profiles_has(
    siding: Siding, access: Access, auth: SupabaseAuth
) -> None:
    """Else that of the email; never somebody else's, and it stays."""
    known = siding.farm.profiles.local("Zoë of profiles")
    zoe = auth.add("z@example.com", user_id=known)
    assert access.by_token(auth.token(zoe)).username == "Zoë of profiles"
    twins = [access.by_token(auth.token(auth.add(f"Kim@{n}.com"))).username for n in range(3)]
    assert twins == ["Kim", "Kim 2", "Kim 3"]
    for email in ("", "unknown@example.com", "\u200b \n@x.com"):
        user = User(email)
        assert access.by_token(auth.token(user)).username.startswith("user")
    long = User("x" * 80 + "@example.com"), User("X" * 90 + "@example.com")
    names = [access.by_token(auth.token(one)).username for one in long]
    assert [len(name) for name in names] == [60, 60]
    assert names[1].endswith(" 2")


def test_a_namesake_of_somebody_with_an_account_here_is_told_apart(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    """Uploads and the audit go by names: nobody becomes ada by being called so."""
    found = access.by_token(auth.token(auth.add("ADA@example.com")))
    assert (found.username, found.role) == ("ADA 2", Role.OPERATOR)
    assert found.user_id != ada.user_id


def test_a_token_of_an_hour_makes_no_token_of_years(access: Access, auth: SupabaseAuth) -> None:
    """Nor does it change a password; all else that the role may, it may."""
    found = access.by_token(auth.token(auth.add("root@example.com", "admin")))
    with pytest.raises(NotAllowed, match="a token makes no tokens"):
        access.add_token(found, "for ever", [Scope.READ])
    with pytest.raises(NotAllowed):
        access.change_own_password(found, PASSWORD, "five wet pebbles")
    assert found.changes_all
    assert [one.username for one in access.users(found)] == ["root"]


def test_the_role_is_the_newest_tokens(access: Access, auth: SupabaseAuth) -> None:
    """Who lost a role can't bring it back with a token of before."""
    user = auth.add("mia@example.com", "admin")
    old = auth.token(user, iat=NOW - 600)
    assert access.by_token(old).role is Role.ADMIN
    user.app_metadata["reelyard_role"] = "operator"
    assert access.by_token(auth.token(user, iat=NOW - 300)).role is Role.OPERATOR
    assert access.by_token(old).role is Role.OPERATOR


def test_who_is_shut_out_here_is_refused_with_a_good_token(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    """However new it is, and by password as well, until they are let in again."""
    user = auth.add("bob@example.com", "manager")
    session = access.sign_in("bob@example.com", PASSWORD, HERE)
    access.change_user(ada, user.user_id, is_active=False)
    for token in (auth.token(user), auth.token(user, iat=int(time.time()) + 20)):
        with pytest.raises(ShutOut):
            access.by_token(token)
    with pytest.raises(NotSignedIn):
        access.by_session(session)
    assert "shut out" in refused(access, "bob@example.com")
    access.change_user(ada, user.user_id, is_active=True)
    assert access.by_token(auth.token(user)).role is Role.MANAGER


def test_tokens_of_both_kinds_are_told_apart(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    secret, _ = access.add_token(ada, "script", [Scope.READ])
    assert access.by_token(secret).user_id == ada.user_id
    with pytest.raises(NotSignedIn, match="not known, revoked or expired"):
        access.by_token("nonsense")
    with pytest.raises(NotSignedIn, match="can't be read"):
        access.by_token("a.b.c")
    with pytest.raises(NotSignedIn, match="publishable key"):
        access.by_token(PUBLISHABLE)
    assert auth.asked == []


def test_without_the_key_tokens_are_taken_and_emails_are_not(
    siding: Siding, auth: SupabaseAuth
) -> None:
    access = made(siding, auth, pages=False)
    user = auth.add("ann@example.com")
    assert access.by_token(auth.token(user)).user_id == user.user_id
    assert not access.takes_emails
    refused(access, "ann@example.com")
    assert auth.fetches == len(auth.asked)


# By email and password


def test_who_signs_in_with_supabase_gets_a_session(access: Access, auth: SupabaseAuth) -> None:
    """A person's, with all that their role may: tokens, too, which belong to the account."""
    user = auth.add("Ann@example.com", "manager")
    found = access.by_session(access.sign_in(" ann@EXAMPLE.com ", PASSWORD, HERE))
    assert (found.user_id, found.username, found.role) == (user.user_id, "Ann", Role.MANAGER)
    assert found.scopes is None
    assert auth.headers[0]["apikey"] == PUBLISHABLE
    secret, _ = access.add_token(found, "script", [Scope.MANAGE])
    assert access.by_token(secret).role is Role.MANAGER
    assert account(access, user).signed_in_at is not None


def test_a_role_is_brought_up_to_date_at_each_sign_in(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    """What an admin changed here holds until then, and for tokens of before."""
    user = auth.add("ann@example.com", "manager")
    token = auth.token(user)
    session = access.sign_in("ann@example.com", PASSWORD, HERE)
    access.change_user(ada, user.user_id, role=Role.OPERATOR)
    assert access.by_session(session).role is Role.OPERATOR
    assert access.by_token(token).role is Role.OPERATOR
    access.sign_in("ann@example.com", PASSWORD, HERE)
    assert access.by_session(session).role is Role.MANAGER


def test_a_session_of_supabases_ends_within_half_a_day(
    access: Access, auth: SupabaseAuth, siding: Siding, ada: Principal
) -> None:
    """Supabase is not asked again in between, so who was removed there is out by then."""
    adas = access.sign_in("ada", ADAS, HERE)
    auth.add("ann@example.com")
    session = access.sign_in("ann@example.com", PASSWORD, HERE)
    auth.users.clear()
    assert access.by_session(session).username == "ann"
    Books(siding.farm.reelyard.database).pass_time(12 * 3600 + 1)
    with pytest.raises(NotSignedIn):
        access.by_session(session)
    assert access.by_session(adas).user_id == ada.user_id, "others stay signed in"


def test_accounts_of_both_kinds_sign_in_side_by_side(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    """A name is looked up here, an email address there, unless somebody here is called so."""
    access.accounts.add("eve@example.com", cheap().hash(ADAS), Role.OPERATOR)
    auth.add("eve@example.com")
    assert access.by_session(access.sign_in("eve@example.com", ADAS, HERE)).role is Role.OPERATOR
    refused(access, "eve@example.com")
    assert auth.asked == []
    assert access.by_session(access.sign_in("Ada", ADAS, HERE)).user_id == ada.user_id


def test_a_user_of_supabases_has_no_password_here(
    access: Access, auth: SupabaseAuth, ada: Principal
) -> None:
    """Their name and any password lead nowhere, and nobody can give them one."""
    auth.add("ann@example.com")
    ann = access.by_session(access.sign_in("ann@example.com", PASSWORD, HERE))
    for password in (PASSWORD, "", "None"):
        refused(access, "ann", password, address=f"address for {password}")
    with pytest.raises(RequestInvalid, match="kept by Supabase"):
        access.change_user(ada, ann.user_id, password="five wet pebbles")
    with pytest.raises(RequestInvalid, match="kept by Supabase"):
        access.change_own_password(ann, PASSWORD, "five wet pebbles")


def test_each_refusal_says_what_to_do(access: Access, auth: SupabaseAuth) -> None:
    auth.add("right@example.com")
    auth.add("new@example.com", is_confirmed=False)
    auth.add("out@example.com", is_banned=True)
    auth.add("safe@example.com", factors=[{"factor_type": "totp", "status": "verified"}])
    auth.add("half@example.com", factors=[{"factor_type": "totp", "status": "unverified"}])
    told = {name: refused(access, f"{name}@example.com") for name in ("new", "out", "safe")}
    assert "confirmed" in told["new"] and "link in the email" in told["new"]
    assert "banned" in told["out"]
    assert "second factor" in told["safe"]
    wrong = {refused(access, "right@example.com", "wrong words"), refused(access, "no@example.com")}
    assert len(wrong) == 1, "nobody learns who has an account"
    assert access.sign_in("half@example.com", PASSWORD, HERE)
    assert [one.username for one in access.accounts.list()] == ["half"]


OLD = b'{"error": "invalid_grant", "error_description": "%s"}'


@pytest.mark.parametrize(("body", "reason"), [
    (b'{"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}', Refusal.WRONG),
    (b'{"code": "invalid_credentials", "message": "Invalid login credentials"}', Refusal.WRONG),
    (OLD % b"Invalid login credentials", Refusal.WRONG), (OLD % b"Email not confirmed", Refusal.UNCONFIRMED),
    (b'{"code": 400, "error_code": "captcha_failed", "msg": "captcha protection"}', Refusal.CAPTCHA),
    (b'{"code": 400, "error_code": "insufficient_aal", "msg": "AAL2"}', Refusal.SECOND_FACTOR),
])  # fmt: skip
def test_answers_of_all_generations_of_supabase_are_understood(
    access: Access, auth: SupabaseAuth, body: bytes, reason: Refusal
) -> None:
    auth.faults = [(400, body, {})]
    with pytest.raises(SignInRefused) as told:
        access.sign_in("ann@example.com", PASSWORD, HERE)
    assert told.value.reason is reason


@pytest.mark.parametrize(("status", "body"), [
    (500, b'{"code": "unexpected_failure"}'), (503, b""), (401, b'{"message": "Invalid API key"}'),
    (200, b"{}"), (200, b'{"access_token": 7}'), (200, b"<html>"), (302, b""), (422, b'{"code": "odd"}'),
    (400, b'{"error_code": 7, "msg": ["x"]}'),
])  # fmt: skip
def test_an_answer_that_settles_nothing_is_nobodys_fault(
    access: Access, auth: SupabaseAuth, status: int, body: bytes
) -> None:
    """It does not count as a wrong try."""
    auth.add("ann@example.com")
    for _ in range(7):
        auth.faults = [(status, body, {"location": "http://127.0.0.1:9"})]
        with pytest.raises(SupabaseUnavailable):
            access.sign_in("ann@example.com", PASSWORD, HERE)
    assert access.sign_in("ann@example.com", PASSWORD, HERE)


def test_supabase_may_have_enough_of_sign_ins(access: Access, auth: SupabaseAuth) -> None:
    body = b'{"code": 429, "error_code": "over_request_rate_limit", "msg": "Request rate limit reached"}'
    for header, wait in (({"retry-after": "17"}, 17), ({}, 60), ({"retry-after": "soon"}, 60)):
        auth.faults = [(429, body, header)]
        with pytest.raises(TooManyRequests, match="no more sign-ins") as told:
            access.sign_in("ann@example.com", PASSWORD, HERE)
        assert told.value.retry_after == wait


def test_what_is_no_right_token_opens_nothing(access: Access, auth: SupabaseAuth) -> None:
    """Also when it comes from what calls itself Supabase."""
    user = auth.add("ann@example.com")
    for token in (auth.token(user, aud="anon"), auth.token(user, is_anonymous=True), "x"):
        auth.faults = [(200, f'{{"access_token": "{token}"}}'.encode(), {})]
        refused(access, "ann@example.com")
    assert access.accounts.find(user.user_id) is None


def test_guessing_is_slowed_down_before_supabase_is_asked(
    access: Access, auth: SupabaseAuth
) -> None:
    """However the address is written; others, and right ones from elsewhere, are not held up."""
    auth.add("ann@example.com")
    for email in (
        "ann@example.com",
        "ANN@example.com",
        " ann@example.com",
        "Ann@Example.COM",
        "ann@example.com ",
    ):
        refused(access, email, "wrong words")  # fmt: skip
    asked = len(auth.asked)
    with pytest.raises(TooManyRequests):
        access.sign_in("ann@example.com", PASSWORD, HERE)
    assert len(auth.asked) == asked == 5
    assert access.sign_in("ann@example.com", PASSWORD, "10.0.0.2")
    for _ in range(8):
        assert access.sign_in("ann@example.com", PASSWORD, "10.0.0.3"), "right ones don't count"


def test_guesses_at_the_same_moment_are_not_more_than_one_by_one(
    access: Access, auth: SupabaseAuth
) -> None:
    auth.add("ann@example.com")

    def guess(number: int) -> str:
        try:
            return access.sign_in("ann@example.com", f"wrong {number}", HERE)
        except (NotSignedIn, TooManyRequests) as error:
            return type(error).__name__

    with ThreadPoolExecutor(12) as pool:
        told = list(pool.map(guess, range(12)))
    assert sorted(set(told)) == ["SignInRefused", "TooManyRequests"]
    assert len(auth.asked) <= 5


@pytest.mark.parametrize(
    ("email", "password"),
    [("a" * 300 + "@x.com", PASSWORD), ("a@x.com", "x" * 10**6), ("a@x.com", "")],
    ids=["name", "password", "nothing"],
)
def test_endless_names_and_passwords_are_not_passed_on(
    access: Access, auth: SupabaseAuth, email: str, password: str
) -> None:
    assert "don't go together" in refused(access, email, password)
    assert auth.asked == []


def test_a_supabase_that_hangs_is_given_up_and_nobody_else_waits(
    siding: Siding, auth: SupabaseAuth
) -> None:
    """People with accounts here sign in meanwhile."""
    access = made(siding, auth, seconds=0.5)
    access.accounts.add("ada", cheap().hash(ADAS), Role.ADMIN)
    auth.may_answer.clear()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(access.sign_in, "ann@example.com", PASSWORD, HERE)
        assert access.sign_in("ada", ADAS, HERE)
        assert not waits.done()
        with pytest.raises(SupabaseUnavailable, match="did not answer"):
            waits.result(10)
