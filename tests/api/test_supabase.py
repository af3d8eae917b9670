"""The API where a Supabase project's users are people: their tokens, their passwords, their front end's pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from typer.testing import CliRunner

from reelyard.asgi import Site, check_address, check_server, check_supabase
from reelyard.cli.main import app
from reelyard.domain.access import Role, Scope
from reelyard.domain.errors import SettingsInvalid
from reelyard.services.doctor import Verdict
from reelyard.settings import Settings, read_settings
from tests.api.house import House, opened
from tests.api.wire import Answer
from tests.supabase_auth import PASSWORD, PUBLISHABLE, SECRET, SupabaseAuth, User

SESSION, JOBS = "/api/v1/session", "/api/v1/jobs"
APP = "https://app.example.com"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def auth() -> Iterator[SupabaseAuth]:
    with SupabaseAuth().open() as auth:
        yield auth


@pytest.fixture(scope="module")
def farm(
    tmp_path_factory: pytest.TempPathFactory,
    migrated: Path,
    short_clip: Path,
    auth: SupabaseAuth,
) -> Iterator[House]:
    """Where nobody has an account of the farm's own; pages of another site may call the API."""
    folder = tmp_path_factory.mktemp("supabase")
    house = House(folder, migrated, short_clip, has_accounts=False,
                  allowed_origins=(APP,), auth=auth)  # fmt: skip
    with opened(house):
        yield house


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def of(farm: House, role: str, name: str = "") -> dict[str, str]:
    """The header of a user with this role in their claims."""
    assert farm.auth is not None
    user = farm.auth.add(f"{name or role}@example.com", role)
    return bearer(farm.auth.token(user))


@pytest.mark.parametrize("role", Role)
def test_a_user_is_who_the_token_says_with_all_that_the_role_may(farm: House, role: Role) -> None:
    headers = of(farm, role)
    said = farm.wire("GET", SESSION, headers=headers).json()
    assert (said["username"], said["role"], said["is_open"]) == (role, role, False)
    assert set(said["scopes"]) == set(Scope)
    statuses = {
        "submit": farm.wire("POST", JOBS, farm.document(), headers=headers).status,
        "metrics": farm.wire("GET", "/metrics", headers=headers).status,
        "people": farm.wire("GET", "/api/v1/users", headers=headers).status,
    }
    rank = role.rank
    assert statuses == {
        "submit": 201,
        "metrics": 200 if rank >= Role.MANAGER.rank else 403,
        "people": 200 if role is Role.ADMIN else 403,
    }


def test_jobs_are_their_users_own(farm: House) -> None:
    """Under Supabase's id for them; another user hears that there is none."""
    ann, ben, mia = of(farm, "operator", "ann"), of(farm, "operator", "ben"), of(farm, "manager")
    job_id = farm.wire("POST", JOBS, farm.document(), headers=ann).json()["job_id"]
    found = [farm.wire("GET", f"{JOBS}/{job_id}", headers=one) for one in (ann, ben, mia)]
    assert [one.status for one in found] == [200, 404, 200]
    assert farm.auth is not None
    said = found[2].json()
    assert (said["user_id"], said["username"]) == (
        farm.auth.users["ann@example.com"].user_id,
        "ann",
    )


def test_events_are_told_to_who_sends_a_token(farm: House) -> None:
    answer = farm.wire("GET", "/api/v1/events", headers=of(farm, "operator"), most=1)
    assert (answer.status, answer.kind) == (200, "text/event-stream")


def test_this_machine_is_nobodys(farm: House) -> None:
    """There are no accounts, and still nobody is let in without a token."""
    for headers in ({}, {"host": "localhost"}, {"host": "farm.example.com"}):
        assert farm.wire("GET", JOBS, headers=headers).problem["code"] == "not_signed_in"


def test_a_refused_token_is_told_of_and_is_in_no_log(
    farm: House, auth: SupabaseAuth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    user = User("eve@example.com")
    for changes in (
        {"exp": int(time.time()) - 99},
        {"iss": "https://x.supabase.co/auth/v1"},
        {"role": "anon"},
    ):
        token = auth.token(user, **changes)  # fmt: skip
        answer = farm.wire("GET", JOBS, headers=bearer(token))
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.problem["remedy"]
        assert token.split(".")[2] not in answer.text + caplog.text
    good = auth.token(user)
    assert farm.wire("GET", JOBS, headers=bearer(good)).status == 200
    assert not any(part in caplog.text for part in good.split("."))


def test_a_wrong_token_is_not_covered_by_a_cookie(farm: House, auth: SupabaseAuth) -> None:
    session = sign_in(farm, auth.add("kim@example.com"))
    cookie = {"cookie": session.headers["set-cookie"].partition(";")[0]}
    assert farm.wire("GET", SESSION, headers=cookie).status == 200
    expired = auth.token(auth.users["kim@example.com"], exp=5)
    assert farm.wire("GET", SESSION, headers={**cookie, **bearer(expired)}).status == 401


def sign_in(farm: House, user: User, password: str = PASSWORD) -> Answer:
    wish = {"username": user.email, "password": password}
    return farm.wire("POST", SESSION, wish, client="10.9.0.1")


def test_who_signs_in_with_an_email_address_gets_the_cookie(
    farm: House, auth: SupabaseAuth
) -> None:
    """Wrong passwords and addresses that are not confirmed hear what is wrong."""
    user = auth.add("lea@example.com", "manager")
    answer = sign_in(farm, user)
    assert answer.status == 204
    cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    said = farm.wire("GET", SESSION, headers=cookie).json()
    assert (said["username"], said["role"], said["scopes"]) == ("lea", "manager", None)
    assert sign_in(farm, user, "wrong words").problem["code"] == "not_signed_in"
    new = auth.add("new@example.com", is_confirmed=False)
    assert "confirmed" in sign_in(farm, new).problem["detail"]


def test_while_supabase_is_away_sign_ins_wait_and_nothing_is_told_of_it(
    farm: House, auth: SupabaseAuth
) -> None:
    auth.faults = [(503, b"upstream", {})]
    answer = sign_in(farm, auth.add("lou@example.com"))
    assert answer.problem["code"] == "supabase_unavailable"
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert str(auth.port) not in answer.text


def test_admins_see_where_people_come_from_and_shut_them_out(
    farm: House, auth: SupabaseAuth
) -> None:
    root, pia = of(farm, "admin", "root"), auth.add("pia@example.com")
    assert farm.wire("GET", SESSION, headers=bearer(auth.token(pia))).status == 200
    people = {
        one["username"]: one for one in farm.wire("GET", "/api/v1/users", headers=root).json()
    }
    assert people["pia"]["source"] == "supabase"
    target = f"/api/v1/users/{pia.user_id}"
    refused = farm.wire("PATCH", target, {"password": "some other words"}, headers=root)
    assert refused.problem["field"] == "password"
    assert farm.wire("PATCH", target, {"is_active": False}, headers=root).status == 200
    answer = farm.wire("GET", SESSION, headers=bearer(auth.token(pia)))
    assert "shut out" in answer.problem["detail"]


# Pages of another site


def asked(farm: House, origin: str, path: str = JOBS, **headers: str) -> Answer:
    """What a browser asks before it sends something that a plain form can't."""
    given = {"origin": origin, "access-control-request-method": "POST",
             "access-control-request-headers": "authorization,content-type",
             "sec-fetch-site": "cross-site", **headers}  # fmt: skip
    return farm.wire("OPTIONS", path, headers=given)


def leave(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "access-control" in name}


def test_a_named_sites_page_may_ask_and_call_with_a_token(farm: House) -> None:
    before = asked(farm, APP)
    told = leave(before)
    assert (before.status, before.body) == (204, b"")
    assert told["access-control-allow-origin"] == APP
    assert "authorization" in told["access-control-allow-headers"]
    assert "DELETE" in told["access-control-allow-methods"]
    headers = {"origin": APP, "sec-fetch-site": "cross-site", **of(farm, "operator")}
    made = farm.wire("POST", JOBS, farm.document(), headers=headers)
    assert made.status == 201
    assert made.headers["access-control-allow-origin"] == APP
    assert "origin" in made.headers["vary"]
    assert "location" in made.headers["access-control-expose-headers"]
    events = farm.wire("GET", "/api/v1/events", headers=headers, most=1)
    assert events.headers["access-control-allow-origin"] == APP


def test_a_named_sites_page_reads_why_it_is_refused(farm: House) -> None:
    headers = {"origin": APP, "authorization": "Bearer nonsense"}
    answer = farm.wire("GET", JOBS, headers=headers)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, APP)
    large = farm.wire("POST", JOBS, headers={**headers, "content-length": "99999999"})
    assert (large.status, large.headers["access-control-allow-origin"]) == (413, APP)


@pytest.mark.parametrize(
    "origin",
    [EVIL, "null", "", "http://app.example.com", f"{APP}:444", f"{APP}.evil.example", APP.upper()],
)
def test_no_other_sites_page_is_told_anything(farm: House, origin: str) -> None:
    """A token is taken wherever it comes from, but a page of another site can't read the answer."""
    assert leave(asked(farm, origin)) == {}
    headers = {"origin": origin, **of(farm, "operator")}
    assert leave(farm.wire("GET", JOBS, headers=headers)) == {}


def test_a_cookie_opens_nothing_to_a_named_site(farm: House, auth: SupabaseAuth) -> None:
    """Nothing says that credentials may come along, and without a token it is another site like all."""
    answer = sign_in(farm, auth.add("uma@example.com"))
    cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0], "origin": APP}
    assert leave(farm.wire("GET", JOBS, headers=cookie)) == {}
    refused = farm.wire("POST", JOBS, farm.document(), headers=cookie)
    assert refused.problem["code"] == "other_site"
    assert "access-control-allow-credentials" not in leave(asked(farm, APP))


@pytest.mark.parametrize("path", ["/", "/metrics", "/sign-in", "/apix", "/health/live"])
def test_only_the_api_is_shared(farm: House, path: str) -> None:
    assert leave(asked(farm, APP, path)) == {}


def test_without_the_setting_nothing_is_shared(house: House) -> None:
    assert leave(asked(house, APP)) == {}
    headers = {"origin": APP, **house.token("ann", Scope.READ)}
    assert leave(house.wire("GET", JOBS, headers=headers)) == {}


# Settings


def test_a_server_with_supabase_may_be_reached_by_others_from_the_start(
    tmp_path: Path, auth: SupabaseAuth
) -> None:
    """Nobody has an account of the farm's own, and nobody needs one."""
    known: dict[str, Any] = {
        "data_dir": tmp_path, "host": "192.168.1.5", "media_roots": (tmp_path,),
        "upload_dir": tmp_path, "redis_url": "redis://127.0.0.1:1/0",
    }  # fmt: skip
    closed = Settings(**known, supabase_url=auth.url, supabase_key=SecretStr(PUBLISHABLE))
    access = Site(closed).access
    check_address(closed, access)
    assert access.takes_emails
    assert not access.is_open
    shown = [one.message for one in check_server(closed) if one.verdict is Verdict.OK]
    assert any(auth.url in text for text in shown)
    assert not any(PUBLISHABLE in text for text in [*shown, *closed.shown().values()])
    lonely = Settings(**known)
    with pytest.raises(SettingsInvalid, match="nobody has an account"):
        check_address(lonely, Site(lonely).access)


def test_the_doctor_asks_for_the_keys(auth: SupabaseAuth) -> None:
    """Whether they come, and whether there are any."""

    def said(**settings: Any) -> tuple[Verdict, str]:
        [found] = check_supabase(Settings(supabase_url=auth.url, **settings))
        return found.verdict, found.message

    assert said(supabase_key=PUBLISHABLE) == (
        Verdict.OK,
        "signing keys: 1; its users come to the API and the pages",
    )
    assert "REELYARD_SUPABASE_KEY is not set" in said()[1]
    auth.faults = [(200, b'{"keys": []}', {})]
    assert said()[0] is Verdict.FAILED
    auth.faults = [(200, b'{"keys": []}', {})]
    assert said(supabase_jwt_secret=SECRET)[0] is Verdict.OK
    auth.faults = [(404, b"", {})]
    assert "is its address right" in said()[1]
    assert check_supabase(Settings()) == []


@pytest.mark.parametrize("url", ["http://supabase.invalid", "https://supabase.invalid"])
def test_the_doctor_warns_of_a_project_that_is_not_reached_by_tls(url: str) -> None:
    """Also where it does not answer just now."""
    found = check_supabase(Settings(supabase_url=url))
    in_the_clear = [one for one in found if "in the clear" in one.message]
    assert bool(in_the_clear) == url.startswith("http://")
    assert all(one.verdict is Verdict.NOTE and "https://" in one.remedy for one in in_the_clear)


def test_the_command_line_says_who_comes_from_supabase(
    farm: House, auth: SupabaseAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their password is not set here either."""
    user = auth.add("tim@example.com")
    assert farm.wire("GET", SESSION, headers=bearer(auth.token(user))).status == 200
    monkeypatch.setenv("REELYARD_DATABASE_URL", f"sqlite:///{farm.folder / 'farm.db'}")
    monkeypatch.setenv("REELYARD_DATA_DIR", str(farm.folder / "data"))
    shown = CliRunner().invoke(app, ["user", "list"]).output.splitlines()
    assert "tim\toperator\tfrom Supabase" in shown
    told = CliRunner().invoke(
        app, ["user", "password", "tim", "--password-stdin"], "five wet pebbles\n"
    )
    assert "kept by Supabase" in str(told.exception)


@pytest.mark.parametrize(("name", "value"), [
    ("supabase_key", PUBLISHABLE), ("supabase_jwt_secret", SECRET), ("allowed_origins", "*"),
    ("allowed_origins", "https://app.example.com/"), ("allowed_origins", "app.example.com"),
    ("allowed_origins", "https://*.example.com"), ("allowed_origins", "null"), ("allowed_origins", "https://"),
    ("supabase_jwt_secret", "short"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    if value == "short":
        monkeypatch.setenv("REELYARD_SUPABASE_URL", "https://abc.supabase.co")
    monkeypatch.setenv(f"REELYARD_{name.upper()}", value)
    with pytest.raises(SettingsInvalid) as told:
        read_settings()
    assert f"REELYARD_{name.upper()}" in str(told.value)
    assert value not in (PUBLISHABLE, SECRET) or value not in str(told.value)


def test_secrets_of_the_project_are_not_shown() -> None:
    settings = Settings(
        supabase_url="https://abc.supabase.co/",
        supabase_key=SecretStr(PUBLISHABLE),
        supabase_jwt_secret=SecretStr(SECRET),
        allowed_origins=f"{APP}, http://localhost:3000",  # type: ignore[arg-type]
    )
    assert settings.allowed_origins == (APP, "http://localhost:3000")
    assert settings.supabase_url == "https://abc.supabase.co"
    text = str(settings.shown()) + repr(settings)
    assert SECRET not in text
    assert PUBLISHABLE not in text
    with pytest.raises(ValidationError):
        Settings(supabase_key=SecretStr(PUBLISHABLE))
