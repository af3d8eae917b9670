"""What browsers may do: other sites' pages change nothing, and sessions end when they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelyard.api.guard import Guard
from reelyard.api.identity import SESSION_COOKIE
from reelyard.domain.access import Role, Scope
from tests.api.house import PASSWORD, House, cheap_hasher, opened
from tests.api.wire import Answer, Wire

SESSION, JOBS = "/api/v1/session", "/api/v1/jobs"
EVIL = "https://evil.example"
OTHER_SITES = [
    {"origin": EVIL}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://127.0.0.1:8080.evil.example"}, {"origin": "http://[bad"}, {"origin": ""},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "odd"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8080"},
]  # fmt: skip
OWN = [{}, {"origin": "http://127.0.0.1:8080"}, {"sec-fetch-site": "same-origin"},
       {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin", "origin": EVIL}]  # fmt: skip
STRANGE_HOSTS = ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:8080", "", "localhost.", "[::2]",
                 "127.0.0.1@evil.example", "evil.example:80#127.0.0.1", "0.0.0.0", "[bad"]  # fmt: skip


def sign_in(wire: Wire, name: str, password: str = PASSWORD, **how: Any) -> Answer:
    return wire("POST", SESSION, {"username": name, "password": password}, **how)


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def add(house: House, name: str) -> str:
    """A new operator's name."""
    house.access.accounts.add(name, cheap_hasher().hash(PASSWORD), Role.OPERATOR)
    return name


@pytest.mark.parametrize("headers", OTHER_SITES, ids=str)
@pytest.mark.parametrize("kind", ["session", "open"])
def test_another_sites_page_changes_nothing(
    house: House, open_house: House, headers: dict[str, str], kind: str
) -> None:
    """A browser sends the cookie along, or is let in as this machine: the page's origin tells."""
    own, wire = (house, house.of("ann")) if kind == "session" else (open_house, open_house.wire)
    job_id = own.job()
    before = own.state()
    for method, target in (("POST", f"{JOBS}/{job_id}/cancel"), ("DELETE", f"{JOBS}/{job_id}"),
                           ("PUT", "/api/v1/queues/4k_queue/pause")):  # fmt: skip
        assert wire(method, target, headers=headers).problem["code"] == "other_site"
    assert own.state() == before


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_this_servers_own_pages_and_programs_are_let_through(
    house: House, headers: dict[str, str]
) -> None:
    """Programs that are no browsers say nothing of where they come from."""
    job_id = house.job()
    assert house.of("ann")("POST", f"{JOBS}/{job_id}/cancel", headers=headers).status == 200


@pytest.mark.parametrize("headers", OTHER_SITES[:3], ids=str)
def test_a_token_may_come_from_anywhere(house: House, headers: dict[str, str]) -> None:
    """No page has it but by its owner's will, so the origin says nothing."""
    wire = house.with_token("ann", Scope.READ, Scope.WRITE)
    assert wire("POST", f"{JOBS}/{house.job()}/cancel", headers=headers).status == 200


def test_a_wrong_token_is_not_covered_by_a_cookie(house: House) -> None:
    """Else the header would be a way around the look at the origin."""
    headers = {**house.session("ann"), "authorization": "Bearer nonsense", "origin": EVIL}
    job_id = house.job()
    assert house.wire("POST", f"{JOBS}/{job_id}/cancel", headers=headers).status == 401
    for value in ("Basic YW5uOng=", "Bearer", "Bearer ", "bearer\t x", "", "Token x"):
        headers["authorization"] = value
        assert house.wire("POST", f"{JOBS}/{job_id}/cancel", headers=headers).status == 401, value
    assert house.books.state(job_id).status == "queued"


@pytest.mark.parametrize(("headers", "is_refused"), [
    ({"origin": EVIL}, True), ({"origin": "null"}, True), ({"origin": "http://127.0.0.1:9"}, True),
    ({"origin": "http://127.0.0.1:8080"}, False), ({}, False),
    ({"host": "evil.example", "origin": "http://evil.example"}, True),
])  # fmt: skip
def test_a_socket_of_another_sites_page_is_not_opened(
    open_house: House, headers: dict[str, str], is_refused: bool
) -> None:
    """Browsers let any page open a socket anywhere: the server has to look."""
    said: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        said.append("let through")

    guard = Guard(app, is_open=lambda: True, upload_limit=1, per_minute=0)
    told = Wire(guard, open_house.wire.runner).knock("/_nicegui_ws/socket.io/", headers)
    assert (told, said) == ((["websocket.close"], []) if is_refused else ([], ["let through"]))


@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_while_the_house_is_open_it_goes_by_no_other_name(open_house: House, host: str) -> None:
    """DNS rebinding: a page of another site can have its own name lead here, but not change the name."""
    answer = open_house.wire("GET", JOBS, headers={"host": host})
    assert answer.problem["code"] == "not_local"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8080"]
)
def test_while_the_house_is_open_this_machine_is_let_in(open_house: House, host: str) -> None:
    assert open_house.wire("GET", JOBS, headers={"host": host}).status == 200


def test_with_accounts_any_name_will_do(house: House) -> None:
    assert house.of("ann")("GET", JOBS, headers={"host": "farm.example.com"}).status == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(house: House, scheme: str) -> None:
    """HttpOnly, SameSite, for the whole server and no other; over https only where it came so."""
    answer = sign_in(house.wire, "mia", scheme=scheme)
    name, _, rest = answer.headers["set-cookie"].partition("=")
    secret, *flags = [one.strip().lower() for one in rest.split(";")]
    assert (answer.status, answer.body, name) == (204, b"", SESSION_COOKIE)
    assert {"httponly", "samesite=lax", "path=/"} <= set(flags)
    assert ("secure" in flags) == (scheme == "https")
    assert not [flag for flag in flags if flag.startswith("domain")]
    assert len(secret) >= 43


def test_a_session_ends_on_signing_out(house: House) -> None:
    """Also for whoever kept the cookie; the browser is told to drop it."""
    cookie = cookie_of(sign_in(house.wire, "ann"))
    assert house.wire("GET", SESSION, headers=cookie).json()["username"] == "ann"
    other = house.session("ann")
    out = house.wire("DELETE", SESSION, headers=cookie)
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert house.wire("GET", SESSION, headers=cookie).status == 401
    assert house.wire("GET", SESSION, headers=other).status == 200, "another device's"


def test_all_sessions_end_with_a_new_password_of_ones_own(house: House) -> None:
    """Whoever had got in with the old one is out."""
    name = add(house, "pia")
    own, other = house.session(name), house.session(name)
    target, new = f"{SESSION}/password", "some other words"
    wrong = house.wire("PUT", target, {"old_password": "x" * 10, "new_password": new}, headers=own)
    assert wrong.problem["field"] == "old_password"
    right = {"old_password": PASSWORD, "new_password": new}
    assert house.wire("PUT", target, right, headers=own).status == 204
    assert [house.wire("GET", SESSION, headers=one).status for one in (own, other)] == [401, 401]
    assert sign_in(house.wire, name).status == 401
    assert sign_in(house.wire, name, new).status == 204


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"password": "some other words"}], ids=str
)
def test_whom_an_admin_shuts_out_is_out_at_once(house: House, change: dict[str, object]) -> None:
    """Sessions end; a token of somebody shut out is worth nothing either."""
    name = add(house, f"leo-{len(change)}-{next(iter(change))}")
    user_id, session = house.user_id(name), house.session(name)
    assert house.of("ada")("PATCH", f"/api/v1/users/{user_id}", change).status == 200
    assert house.wire("GET", SESSION, headers=session).status == 401
    assert sign_in(house.wire, name).status == 401
    if "is_active" in change:
        house.of("ada")("PATCH", f"/api/v1/users/{user_id}", {"is_active": True})
        assert house.wire("GET", SESSION, headers=session).status == 401, "old sessions stay ended"


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(house: House) -> None:
    name = add(house, "max")
    ada, wire = house.of("ada"), Wire(house.app, house.wire.runner, house.session(name))
    ada("PATCH", f"/api/v1/users/{house.user_id(name)}", {"role": "manager"})
    assert wire("GET", "/metrics").status == 200
    ada("PATCH", f"/api/v1/users/{house.user_id(name)}", {"role": "operator"})
    assert wire("GET", "/metrics").status == 403


def test_the_last_admin_can_not_lock_everybody_out(house: House) -> None:
    ada, user_id = house.of("ada"), house.user_id("ada")
    for change in ({"is_active": False}, {"role": "operator"}):
        assert ada("PATCH", f"/api/v1/users/{user_id}", change).problem["status"] == 409
    assert ada("GET", "/api/v1/users").status == 200


def test_an_unknown_name_and_a_wrong_password_sound_the_same(house: House) -> None:
    """Nobody learns who has an account: the words are the same, and a password is looked at in both."""
    add(house, "eva")
    told = [sign_in(house.wire, name, "not the password", client="10.0.0.1").problem
            for name in ("eva", "nobody-at-all")]  # fmt: skip
    assert told[0] == told[1]
    assert told[0]["code"] == "not_signed_in"


def test_somebody_shut_out_hears_the_same_as_everybody(house: House) -> None:
    name = add(house, "uli")
    house.access.accounts.change(house.user_id(name), is_active=False)
    told = [sign_in(house.wire, name, password, client="10.0.0.2").problem
            for password in (PASSWORD, "wrong words")]  # fmt: skip
    assert told[0] == told[1]


def test_guesses_at_one_name_are_throttled_and_do_not_lock_its_owner_out(house: House) -> None:
    """Five a minute from one address, however the name is written; elsewhere its owner signs in as ever."""
    name = add(house, "zoe")
    assert {sign_in(house.wire, name, client="10.1.0.1").status for _ in range(6)} == {204}
    guesses = [sign_in(house.wire, odd, "wrong words", client="10.1.0.1").status
               for odd in (name, name.upper(), "Zoe", "zOE", name)]  # fmt: skip
    assert guesses == [401] * 5
    late = sign_in(house.wire, name, client="10.1.0.1")
    assert late.problem["code"] == "too_many_requests"
    assert 0 < int(late.headers["retry-after"]) <= 60
    assert "set-cookie" not in late.headers
    assert sign_in(house.wire, name, client="10.1.0.9").status == 204


def test_one_address_is_throttled_whatever_names_it_tries(house: House) -> None:
    """Twenty a minute; other addresses sign in as ever."""
    tries = [sign_in(house.wire, f"name-{n}", client="10.2.0.1").status for n in range(21)]
    assert tries == [401] * 20 + [429]
    assert sign_in(house.wire, "ben", client="10.2.0.2").status == 204


def test_a_password_of_a_megabyte_costs_nothing(house: House) -> None:
    """What no password is, is refused before it is hashed."""
    assert sign_in(house.wire, "ann", "x" * 1_000_000, client="10.3.0.1").status == 422


@pytest.mark.parametrize(
    "name", ["", "ann\0", "\udcff".encode("utf-8", "surrogatepass").hex(), "a" * 200]
)
def test_odd_names_are_nobodys(house: House, name: str) -> None:
    assert sign_in(house.wire, name, client="10.4.0.1").status == 401


def test_half_a_character_is_no_name(house: House) -> None:
    chunk = [b'{"username": "\\ud800", "password": "\\udfff"}']
    json = {"content-type": "application/json"}
    answer = house.wire("POST", SESSION, chunks=chunk, headers=json, client="10.5.0.1")
    assert answer.status in (401, 422)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_what_a_form_can_send_is_not_taken_for_json(open_house: House, kind: str) -> None:
    """A form of another site needs no leave: its kinds of body are not read."""
    body = [b'{"is_paused": true}']
    answer = open_house.wire("PUT", "/api/v1/queues/4k_queue/pause", chunks=body,
                             headers={"content-type": kind})  # fmt: skip
    assert answer.problem["status"] == 422


def test_the_first_account_closes_the_house(
    tmp_path: Path, migrated: Path, short_clip: Path
) -> None:
    """It has to be an admin's; from then on whoever is at the machine signs in like everybody."""
    with opened(House(tmp_path, migrated, short_clip, has_accounts=False)) as house:
        wish = {"username": "ida", "password": PASSWORD}
        assert house.wire("POST", "/api/v1/users", wish).problem["field"] == "role"
        assert house.wire("POST", "/api/v1/users", {**wish, "role": "admin"}).status == 201
        assert house.wire("GET", JOBS).status == 401
        cookie = cookie_of(sign_in(house.wire, "IDA"))
        assert house.wire("GET", JOBS, headers=cookie).status == 200
        assert house.wire("GET", JOBS, headers={"host": "evil.example"}).status == 401
