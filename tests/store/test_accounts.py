"""People who may sign in, their sessions, and the keys of their programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reelyard.domain.access import Account, Role, Scope, Source
from reelyard.domain.errors import Conflict, NotFound, ReelyardError
from reelyard.store.accounts import Accounts

from .conftest import Books, at_once, new_id
from .test_people import ODD


@pytest.fixture
def accounts(books: Books) -> Accounts:
    return Accounts(books.database)


def _add(accounts: Accounts, name: str = "ada", role: Role = Role.ADMIN) -> Account:
    return accounts.add(name, f"hash of {name!a}", role, by="somebody")


def _said(books: Books) -> list[str]:
    return [row[-1] for row in books.rows("events")["events"]]


def test_nobody_is_there_until_somebody_is_added(accounts: Accounts) -> None:
    assert not accounts.any()
    assert accounts.by_name("ada") is None
    assert list(accounts.list()) == []
    made = _add(accounts)
    assert accounts.any()
    assert (made.username, made.role, made.is_active) == ("ada", Role.ADMIN, True)
    assert made.signed_in_at is None
    assert accounts.get(made.user_id) == made == accounts.list()[0]
    assert accounts.by_name("ada") == (made, "hash of 'ada'")


def test_names_are_told_apart_but_not_by_the_size_of_letters(accounts: Accounts) -> None:
    for name in ODD:
        made = _add(accounts, name)
        found = accounts.by_name(name)
        assert found is not None
        assert found[0] == made
        assert found[0].username == name
    for name in ("PLAIN", "zOË", "日本語", "HALF \udcff BYTE"):
        with pytest.raises(Conflict, match="already"):
            _add(accounts, name)
    assert len(accounts.list()) == len(ODD)


def test_of_two_who_take_a_name_at_once_one_gets_it(accounts: Accounts) -> None:
    def take() -> str:
        try:
            return _add(accounts).user_id
        except Conflict:
            return ""

    assert sorted(map(bool, at_once(take, take, take))) == [False, False, True]
    assert len(accounts.list()) == 1


def test_an_accounts_name_is_on_its_jobs(books: Books, accounts: Accounts) -> None:
    made = _add(accounts, "Zoë \udcff")
    assert Books(books.database, made.user_id).submit()
    assert books.jobs.list()[0].username == "Zoë \udcff"


def test_a_change_is_what_was_asked_for_and_is_in_the_audit(
    books: Books, accounts: Accounts
) -> None:
    _add(accounts)
    ben = _add(accounts, "ben", Role.OPERATOR)
    assert accounts.change(ben.user_id) == ben
    assert accounts.change(ben.user_id, role=Role.MANAGER, by="ada").role is Role.MANAGER
    assert not accounts.change(ben.user_id, is_active=False).is_active
    assert accounts.change(ben.user_id, is_active=True).is_active
    accounts.change(ben.user_id, password_hash="secret hash")
    known = accounts.by_name("ben")
    assert known is not None
    assert known[1] == "secret hash"
    said = _said(books)
    assert said[-4:] == ["ben: is manager now", "ben: shut out", "ben: let in", "ben: new password"]
    assert not any("secret hash" in one for one in said)


def test_what_is_no_user_is_not_found(accounts: Accounts) -> None:
    for user_id in (new_id(), "", "no id", "\0", "%"):
        with pytest.raises(NotFound):
            accounts.get(user_id)
        with pytest.raises(NotFound):
            accounts.change(user_id, role=Role.ADMIN)


def test_the_last_admin_cant_be_shut_out(books: Books, accounts: Accounts) -> None:
    ada = _add(accounts)
    ben = _add(accounts, "ben", Role.MANAGER)
    before = books.rows()
    for change in ({"role": Role.MANAGER}, {"is_active": False}):
        with pytest.raises(Conflict, match="nobody would be left"):
            accounts.change(ada.user_id, **change)
    assert books.rows() == before
    accounts.change(ben.user_id, role=Role.ADMIN)
    accounts.change(ada.user_id, is_active=False)
    with pytest.raises(Conflict):
        accounts.change(ben.user_id, role=Role.OPERATOR)


def test_two_admins_who_shut_each_other_out_at_once_leave_one(accounts: Accounts) -> None:
    def shut_out(user_id: str) -> bool:
        try:
            return not accounts.change(user_id, is_active=False).is_active
        except ReelyardError:
            return False

    pair = [_add(accounts, name).user_id for name in ("one", "other")]
    for turn in range(4):
        at_once(lambda: shut_out(pair[0]), lambda: shut_out(pair[1]))
        left = [account.user_id for account in accounts.list() if account.is_active]
        assert len(left) == 1, f"turn {turn}"
        for user_id in pair:
            accounts.change(user_id, is_active=True)


# People of Supabase's

LATE = datetime(2026, 11, 23, 12, tzinfo=UTC)
EARLY = LATE - timedelta(hours=1)


def test_who_comes_from_supabase_gets_the_first_name_that_is_free(
    books: Books, accounts: Accounts
) -> None:
    """Their id is Supabase's, they have no password, and ``profiles`` has a name for their jobs."""
    _add(accounts, "Bob")
    user_id = new_id()
    made = accounts.adopt(user_id, ["bob", "bob 2", "bob 3"], Role.MANAGER, EARLY)
    assert (made.user_id, made.username, made.role) == (user_id, "bob 2", Role.MANAGER)
    assert (made.source, made.claims_at, made.is_active) == (Source.SUPABASE, EARLY, True)
    assert accounts.by_name("BOB 2") == (made, None)
    assert accounts.find(user_id) == made
    assert books.profiles.username(user_id) == "bob 2"
    assert accounts.adopt(user_id, ["other"], Role.ADMIN, LATE) == made, "whoever has one keeps it"
    assert accounts.find(new_id()) is None
    assert _said(books)[-1] == "bob 2 came from Supabase as manager"
    with pytest.raises(Conflict):
        accounts.adopt(new_id(), ["bob", "bob 2"], Role.OPERATOR, EARLY)


def test_a_name_that_profiles_has_already_stays_there(books: Books, accounts: Accounts) -> None:
    user_id = books.profiles.local("Robert")
    accounts.adopt(user_id, ["bob"], Role.OPERATOR, EARLY)
    assert books.profiles.username(user_id) == "Robert"


def test_who_comes_from_supabase_several_times_at_once_has_one_account(accounts: Accounts) -> None:
    _add(accounts, "bob")
    user_id = new_id()

    def come() -> Account:
        return accounts.adopt(user_id, ["bob", "bob 2", "bob 3"], Role.OPERATOR, EARLY)

    assert {one.username for one in at_once(come, come, come)} == {"bob 2"}
    assert [one.username for one in accounts.list()] == ["bob", "bob 2"]


def test_the_newest_word_about_a_role_counts(books: Books, accounts: Accounts) -> None:
    """An older token changes nothing; signing in always does, also what an admin changed meanwhile."""
    user_id = accounts.adopt(new_id(), ["bob"], Role.ADMIN, LATE).user_id
    assert accounts.take_over(user_id, Role.OPERATOR, EARLY).role is Role.ADMIN
    assert accounts.take_over(user_id, Role.OPERATOR, LATE).role is Role.ADMIN
    later = LATE + timedelta(seconds=1)
    changed = accounts.take_over(user_id, Role.OPERATOR, later)
    assert (changed.role, changed.claims_at) == (Role.OPERATOR, later)
    assert _said(books)[-1] == "bob: is operator now, as Supabase says"
    _add(accounts)
    accounts.change(user_id, role=Role.MANAGER)
    assert accounts.take_over(user_id, Role.OPERATOR, later).role is Role.MANAGER
    assert accounts.take_over(user_id, Role.OPERATOR, later, signs_in=True).role is Role.OPERATOR
    with pytest.raises(NotFound):
        accounts.take_over(new_id(), Role.ADMIN, LATE)


# Sessions


def test_a_session_is_its_persons_until_it_ends(books: Books, accounts: Accounts) -> None:
    ada = _add(accounts)
    accounts.open_session(ada.user_id, "aa" * 32, 3600)
    accounts.open_session(ada.user_id, "bb" * 32, 7200)
    found = accounts.of_session("aa" * 32)
    assert found is not None
    assert found.user_id == ada.user_id
    assert found.signed_in_at is not None
    assert accounts.of_session("cc" * 32) is None
    accounts.close_session("aa" * 32)
    accounts.close_session("cc" * 32)
    assert accounts.of_session("aa" * 32) is None
    books.pass_time(7190)
    assert accounts.of_session("bb" * 32) is not None
    books.pass_time(20)
    assert accounts.of_session("bb" * 32) is None


def test_sessions_that_are_over_are_swept_when_somebody_signs_in(
    books: Books, accounts: Accounts
) -> None:
    ada = _add(accounts)
    accounts.open_session(ada.user_id, "aa" * 32, 60)
    books.pass_time(61)
    accounts.open_session(ada.user_id, "bb" * 32, 60)
    assert [row[0] for row in books.rows("sessions")["sessions"]] == ["bb" * 32]


def test_who_is_shut_out_or_has_a_new_password_is_signed_out_everywhere(accounts: Accounts) -> None:
    ada, ben = _add(accounts), _add(accounts, "ben")
    for change in ({"is_active": False}, {"password_hash": "new"}):
        for name, who in (("aa", ada), ("bb", ada), ("cc", ben)):
            accounts.open_session(who.user_id, name * 32, 60)
        accounts.change(ada.user_id, **change)
        assert accounts.of_session("aa" * 32) is accounts.of_session("bb" * 32) is None
        assert accounts.of_session("cc" * 32) is not None
        accounts.close_session("cc" * 32)
        accounts.change(ada.user_id, is_active=True)


def test_a_role_that_changes_holds_for_open_sessions(accounts: Accounts) -> None:
    ada, ben = _add(accounts), _add(accounts, "ben")
    accounts.open_session(ben.user_id, "bb" * 32, 60)
    accounts.change(ben.user_id, role=Role.OPERATOR, by=ada.username)
    found = accounts.of_session("bb" * 32)
    assert found is not None
    assert found.role is Role.OPERATOR


# Tokens


def _token(
    accounts: Accounts, user_id: str, name: str = "program", expires_at: datetime | None = None
) -> str:
    secret = f"{name!a:.<64}"
    accounts.add_token(user_id, name, "reelyard_abcd", secret, [Scope.WRITE, Scope.READ],
                       expires_at, by="ada")  # fmt: skip
    return secret


def test_a_token_is_its_owners_with_its_scopes(accounts: Accounts) -> None:
    ada = _add(accounts)
    found = accounts.of_token(_token(accounts, ada.user_id, "half \udcff"))
    assert found is not None
    account, token = found
    assert account == ada
    assert (token.name, token.username, token.hint) == ("half \udcff", "ada", "reelyard_abcd")
    assert token.scopes == (Scope.READ, Scope.WRITE)
    assert (token.used_at, token.revoked_at, token.expires_at) == (None, None, None)
    assert accounts.tokens(ada.user_id)[0].used_at is not None
    assert accounts.of_token("unknown") is None


def test_a_token_that_is_expired_is_worth_nothing(books: Books, accounts: Accounts) -> None:
    ada = _add(accounts)
    secret = _token(accounts, ada.user_id, expires_at=datetime.now(UTC) + timedelta(seconds=600))
    assert accounts.of_token(secret) is not None
    books.pass_time(601)
    assert accounts.of_token(secret) is None
    assert len(accounts.tokens()) == 1


def test_a_token_that_is_revoked_or_whose_owner_is_shut_out_is_worth_nothing(
    books: Books, accounts: Accounts
) -> None:
    ada, ben = _add(accounts), _add(accounts, "ben")
    one, other = _token(accounts, ada.user_id, "one"), _token(accounts, ben.user_id, "other")
    wanted = next(token for token in accounts.tokens() if token.name == "one")
    for user_id in (ben.user_id, new_id()):
        with pytest.raises(NotFound):
            accounts.revoke(wanted.token_id, user_id)
    assert accounts.of_token(one) is not None
    revoked = accounts.revoke(wanted.token_id, ada.user_id, by="ada")
    assert revoked.revoked_at is not None
    assert accounts.of_token(one) is None
    assert accounts.revoke(wanted.token_id, None).revoked_at == revoked.revoked_at
    assert _said(books).count("token one was revoked") == 1
    accounts.change(ben.user_id, is_active=False)
    assert accounts.of_token(other) is None
    accounts.change(ben.user_id, is_active=True)
    assert accounts.of_token(other) is None, "it does not come back to life with its owner"


def test_tokens_are_listed_newest_first_each_persons_or_all(
    books: Books, accounts: Accounts
) -> None:
    ada, ben = _add(accounts), _add(accounts, "ben")
    for name, who in (("one", ada), ("two", ben), ("three", ada)):
        _token(accounts, who.user_id, name)
        books.pass_time(1)
    assert [token.name for token in accounts.tokens()] == ["three", "two", "one"]
    assert [token.name for token in accounts.tokens(ada.user_id)] == ["three", "one"]
    for name in ("", "no id", "\0", new_id()):
        with pytest.raises(NotFound):
            accounts.revoke(name, None)


def test_being_seen_is_noted_at_most_once_a_minute(books: Books, accounts: Accounts) -> None:
    """It would be a write for each read."""
    ada = _add(accounts)
    secret = _token(accounts, ada.user_id)
    accounts.open_session(ada.user_id, "aa" * 32, 3600)
    accounts.of_token(secret)
    before = books.rows("sessions", "api_tokens")
    for _ in range(3):
        accounts.of_token(secret)
        accounts.of_session("aa" * 32)
    assert books.rows("sessions", "api_tokens") == before
    books.pass_time(61)
    aged = books.rows("sessions", "api_tokens")
    accounts.of_token(secret)
    accounts.of_session("aa" * 32)
    now = books.rows("sessions", "api_tokens")
    assert all(now[table] != aged[table] for table in now)


def test_no_secret_is_in_the_audit(books: Books, accounts: Accounts) -> None:
    ada = _add(accounts)
    secret = _token(accounts, ada.user_id)
    accounts.open_session(ada.user_id, "ab" * 32, 60)
    said = " ".join(map(str, books.rows("events")["events"]))
    assert "ada" in said
    assert not any(one in said for one in (secret, "ab" * 32, "hash of 'ada'"))
