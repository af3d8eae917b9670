"""Supabase's tokens: which are taken, which are refused and why, and how the keys are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest

from reelyard.domain.access import Role
from reelyard.domain.errors import NotSignedIn, SupabaseUnavailable
from reelyard.services.supabase_keys import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    PAUSE_SECONDS,
    SupabaseKeys,
)
from reelyard.services.supabase_project import Reply, SupabaseProject
from reelyard.services.supabase_tokens import SupabaseTokens
from tests.supabase_auth import (
    PUBLISHABLE,
    SECRET,
    SigningKey,
    SupabaseAuth,
    User,
    forged,
    private_key,
    public_pem,
)

ANN = User("ann@example.com", app_metadata={"reelyard_role": "manager"})


@dataclass
class Desk:
    """Where tokens are looked at, with a clock that is moved by hand."""

    auth: SupabaseAuth
    secret: str | None = None
    seconds: float = 5.0
    now: float = 1000.0
    tokens: SupabaseTokens = field(init=False)

    def __post_init__(self) -> None:
        project = SupabaseProject(url=self.auth.url, key=PUBLISHABLE, seconds=self.seconds)
        keys = SupabaseKeys(project, lambda: self.now)
        self.tokens = SupabaseTokens(self.auth.url, keys, self.secret)

    def refusal(self, token: str) -> str:
        """Why it is refused; nothing of the token is in that."""
        with pytest.raises(NotSignedIn) as refused:
            self.tokens.verify(token)
        said = str(refused.value)
        assert not any(part in said for part in token.split(".") if len(part) > 3)
        return said


@pytest.fixture
def auth() -> Iterator[SupabaseAuth]:
    with SupabaseAuth().open() as auth:
        yield auth


@pytest.fixture
def desk(auth: SupabaseAuth) -> Desk:
    return Desk(auth)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_a_token_of_each_kind_of_key_names_its_user(
    auth: SupabaseAuth, desk: Desk, algorithm: str
) -> None:
    auth.keys = [SigningKey("of this kind", algorithm)]
    found = desk.tokens.verify(auth.token(ANN))
    assert (found.user_id, found.email, found.role) == (ANN.user_id, ANN.email, Role.MANAGER)
    assert abs(found.issued_at.timestamp() - time.time()) < 5


def test_the_keys_are_fetched_once_for_many_tokens(auth: SupabaseAuth, desk: Desk) -> None:
    for _ in range(50):
        desk.tokens.verify(auth.token(ANN))
    assert auth.fetches == 1
    assert auth.headers[0]["apikey"] == PUBLISHABLE


@pytest.mark.parametrize(("metadata", "role"), [
    ({"reelyard_role": "admin"}, Role.ADMIN), ({"reelyard_role": "manager"}, Role.MANAGER),
    ({"reelyard_role": "operator"}, Role.OPERATOR), ({"reelyard_role": "ADMIN"}, Role.OPERATOR),
    ({"reelyard_role": ["admin"]}, Role.OPERATOR), ({"reelyard_role": None}, Role.OPERATOR),
    ({"role": "admin"}, Role.OPERATOR), ({}, Role.OPERATOR), (None, Role.OPERATOR), ("admin", Role.OPERATOR),
])  # fmt: skip
def test_the_role_is_what_the_project_says_and_an_operators_otherwise(
    auth: SupabaseAuth, desk: Desk, metadata: Any, role: Role
) -> None:
    """What users write about themselves (user_metadata) counts for nothing."""
    wishful = {"reelyard_role": "admin"}
    token = auth.token(ANN, app_metadata=metadata, user_metadata=wishful)
    assert desk.tokens.verify(token).role is role


NOW = int(time.time())


@dataclass(frozen=True)
class FromNow:
    """So many seconds from when the test runs, which may be long after it was collected."""

    seconds: int


def timely(changes: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {
        name: now + value.seconds if isinstance(value, FromNow) else value
        for name, value in changes.items()
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"exp": FromNow(-60)}, "has expired"),
    ({"exp": None}, "lacks something"),
    ({"exp": "soon"}, "can't be read"),
    ({"nbf": FromNow(3600)}, "not valid yet"),
    ({"iat": FromNow(3600)}, "not valid yet"),
    ({"iat": None}, "lacks something"),
    ({"iss": "https://other.supabase.co/auth/v1"}, "another Supabase project"),
    ({"iss": None}, "lacks something"),
    ({"aud": "anon"}, "not for signed-in users"),
    ({"aud": ["reset", "other"]}, "not for signed-in users"),
    ({"aud": None}, "lacks something"),
    ({"sub": None}, "lacks something"),
    ({"sub": "ann"}, "which user"),
    ({"sub": 7}, "can't be read"),
    ({"role": None}, "lacks something"),
    ({"role": "postgres"}, "no user of the project"),
    ({"role": ["authenticated"]}, "no user of the project"),
    ({"role": "anon"}, "anon key"),
    ({"role": "service_role"}, "service_role key"),
    ({"is_anonymous": True}, "anonymous users"),
    ({"is_anonymous": "false"}, "anonymous users"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=str)
def test_a_token_that_claims_something_else_is_refused(
    auth: SupabaseAuth, desk: Desk, changes: dict[str, Any], words: str
) -> None:
    """Each reason is said, with what to do about it."""
    assert words in desk.refusal(auth.token(ANN, **timely(changes)))


@pytest.mark.parametrize("changes", [
    {"exp": FromNow(-10)}, {"iat": FromNow(10)}, {"nbf": FromNow(10)}, {"aud": ["authenticated", "x"]}, {"is_anonymous": None},
    {"app_metadata": None, "email": None},
])  # fmt: skip
def test_clocks_may_differ_a_little_and_claims_may_be_left_out(
    auth: SupabaseAuth, desk: Desk, changes: dict[str, Any]
) -> None:
    assert desk.tokens.verify(auth.token(ANN, **timely(changes))).user_id == ANN.user_id


def test_the_keys_of_the_project_are_nobodys_tokens(auth: SupabaseAuth) -> None:
    """The anon key as it was, which says neither who nor for whom, and as it is now."""
    desk = Desk(auth, SECRET)
    claims = {"iss": "supabase", "ref": "abc", "iat": NOW, "exp": NOW + 9999}
    for role in ("anon", "service_role"):
        said = desk.refusal(jwt.encode({**claims, "role": role}, SECRET, "HS256"))
        assert f"{role} key of a Supabase project" in said
    assert "publishable key" in desk.refusal(PUBLISHABLE)
    assert "secret key" in desk.refusal("sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz")


def test_a_signature_that_nobody_made_is_refused(auth: SupabaseAuth, desk: Desk) -> None:
    """Another key under the right name, a changed claim, no signature at all, and kinds that are not taken."""
    claims = auth.claims(ANN)
    right = auth.token(ANN)
    head, _, tail = right.split(".")
    other = forged({}, auth.claims(ANN, sub=str(uuid.uuid4()))).split(".")[1]
    stranger = private_key("ES256", 99)
    assert "signature is wrong" in desk.refusal(
        jwt.encode(claims, stranger, "ES256", {"kid": "first"})
    )
    assert "signature is wrong" in desk.refusal(f"{head}.{other}.{tail}")
    for algorithm in ("none", "None", "HS384", "PS256", "ES256K", "", "es256"):
        said = desk.refusal(forged({"alg": algorithm, "typ": "JWT", "kid": "first"}, claims))
        assert "not signed in a way" in said
    for header in ({"alg": ["ES256"], "kid": "first"}, {"kid": "first"}, {"alg": None}):
        desk.refusal(forged(header, claims))
    assert "key of the project" in desk.refusal(forged({"alg": "ES256"}, claims))
    assert desk.refusal(forged({"alg": "ES256", "kid": {"a": 1}}, claims))


def test_a_public_key_is_never_taken_for_a_secret(auth: SupabaseAuth) -> None:
    """The classic: HS256 with the public key, which everybody has, as its secret."""
    key = auth.keys[0]
    public = public_pem(key.private)
    claims, header = auth.claims(ANN), {"alg": "HS256", "typ": "JWT", "kid": key.key_id}
    for secret in (public, public.strip(), json.dumps(key.listed).encode()):
        signed = _hs256(header, claims, secret)
        assert "legacy secret" in Desk(auth).refusal(signed)
        assert "signature is wrong" in Desk(auth, SECRET).refusal(signed)


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    begin = forged(header, claims).rpartition(".")[0]
    made = hmac.new(secret, begin.encode(), hashlib.sha256).digest()
    return f"{begin}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def test_a_key_serves_its_own_algorithm_only(auth: SupabaseAuth, desk: Desk) -> None:
    auth.keys = [SigningKey("first", "RS256"), SigningKey("second", "ES256")]
    mixed = jwt.encode(auth.claims(ANN), private_key("ES256"), "ES256", {"kid": "first"})
    assert "key of the project" in desk.refusal(mixed)


def test_the_legacy_secret_and_keys_are_taken_side_by_side(auth: SupabaseAuth) -> None:
    """While a project moves from one to the other, tokens of both are about."""
    desk = Desk(auth, SECRET)
    auth.signs_with_secret = True
    old = auth.token(ANN)
    assert desk.tokens.verify(old).user_id == ANN.user_id
    assert auth.fetches == 0
    auth.signs_with_secret = False
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id
    assert desk.tokens.verify(old).user_id == ANN.user_id
    wrong = jwt.encode(auth.claims(ANN), "another secret of 32 characters!!", "HS256")
    assert "signature is wrong" in desk.refusal(wrong)
    assert "legacy secret" in Desk(auth).refusal(old)


@pytest.mark.parametrize("token", [
    "..", "a.b.c", "e30.e30.", "\u00e9.\u00e9.\u00e9", "\ud800..", f"{'A' * 20_000}.e30.x", "e30..x", "W10.W10.x",
    "eyJhbGciOiJFUzI1NiJ9.WzFd.AAAA",
])  # fmt: skip
def test_what_is_no_token_is_refused_and_nothing_is_fetched(
    auth: SupabaseAuth, desk: Desk, token: str
) -> None:
    assert desk.refusal(token)
    assert auth.fetches == 0


def test_a_token_that_is_nested_without_end_is_refused(auth: SupabaseAuth, desk: Desk) -> None:
    """The reader of JSON gives up on such a thing with an error of its own."""
    nested = base64.urlsafe_b64encode(b"[" * 5000 + b"]" * 5000).rstrip(b"=").decode()
    assert desk.refusal(f"{nested}.e30.x")
    assert desk.refusal(f"eyJhbGciOiJFUzI1NiJ9.{nested}.x")


# Keys


def test_a_new_key_is_found_while_the_server_runs(auth: SupabaseAuth, desk: Desk) -> None:
    """Rotation: tokens of the new key are taken at once, those of the old one until it is taken off the list."""
    old = auth.token(ANN)
    desk.tokens.verify(old)
    desk.now += PAUSE_SECONDS
    auth.keys.insert(0, SigningKey("second", number=2))
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id
    assert desk.tokens.verify(old).user_id == ANN.user_id
    assert auth.fetches == 2
    auth.keys.pop()
    desk.now += FRESH_SECONDS
    assert "key of the project" in desk.refusal(old), "it was revoked"
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id


def test_made_up_keys_do_not_hammer_supabase(auth: SupabaseAuth, desk: Desk) -> None:
    """Whatever is sent, the keys are fetched once in a while; who has a right token is not held up."""
    good = auth.token(ANN)
    bad = forged({"alg": "ES256", "kid": "x"}, auth.claims(ANN))
    for turn in range(3):
        for number in range(40):
            desk.refusal(forged({"alg": "RS256", "kid": f"{turn}/{number}"}, auth.claims(ANN)))
        assert desk.tokens.verify(good).user_id == ANN.user_id
        assert "key of the project" in desk.refusal(bad)
        assert auth.fetches == turn + 1
        desk.now += PAUSE_SECONDS


def test_keys_are_fetched_by_one_at_a_time(auth: SupabaseAuth, desk: Desk) -> None:
    """A burst at the start: all wait for the one fetch, and all are let in."""
    token = auth.token(ANN)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(desk.tokens.verify, [token] * 16))
    assert {one.user_id for one in found} == {ANN.user_id}
    assert auth.fetches == 1


def test_known_keys_serve_while_supabase_is_away(auth: SupabaseAuth, desk: Desk) -> None:
    """For a day; whom nobody can tell anything about hears that, and not that they are wrong."""
    good, new = auth.token(ANN, exp=NOW + 10**6), SigningKey("second", number=2)
    desk.tokens.verify(good)
    desk.now += FRESH_SECONDS
    auth.faults = [(503, b"upstream connect error", {})] * 100
    for _ in range(5):
        assert desk.tokens.verify(good).user_id == ANN.user_id
    assert auth.fetches == 2, "it is not asked for each token"
    with pytest.raises(SupabaseUnavailable):
        desk.tokens.verify(auth.token(ANN, key=new))
    desk.now += KEPT_SECONDS
    with pytest.raises(SupabaseUnavailable):
        desk.tokens.verify(good)
    auth.faults, auth.keys = [], [new, *auth.keys]
    desk.now += PAUSE_SECONDS
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id


def test_a_supabase_that_hangs_holds_up_nobody_who_has_a_known_key(auth: SupabaseAuth) -> None:
    """One request pays for the try; the others go by what is known."""
    desk = Desk(auth, seconds=0.4)
    good = auth.token(ANN)
    desk.tokens.verify(good)
    desk.now += FRESH_SECONDS
    auth.may_answer.clear()
    first = threading.Thread(target=desk.tokens.verify, args=(good,))
    first.start()
    while auth.fetches < 2:
        time.sleep(0.005)
    begun = time.monotonic()
    for _ in range(20):
        desk.tokens.verify(good)
    assert time.monotonic() - begun < 0.3
    first.join()


Fault = tuple[int, bytes, dict[str, str]]
FAULTS: dict[str, Fault] = {
    "no keys": (200, b"{}", {}),
    "no JSON": (200, b"<html>", {}),
    "a list": (200, b"[]", {}),
    "deep": (200, b"[" * 100_000, {}),
    "endless": (200, b" " * 400_000, {}),
    "redirect": (302, b"", {"location": "http://127.0.0.1:9/keys"}),
    "not found": (404, b'{"message": "no Route matched"}', {}),
    "refused": (401, b'{"message": "Invalid API key"}', {}),
    "paused": (540, b"", {}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_is_no_list_of_keys_is_none(
    auth: SupabaseAuth, desk: Desk, fault: str
) -> None:
    """Whoever sends a token hears that it can't be checked now, and it is tried again soon."""
    auth.faults = [FAULTS[fault]]
    with pytest.raises(SupabaseUnavailable) as told:
        desk.tokens.verify(auth.token(ANN))
    assert "REELYARD_SUPABASE_URL" in str(told.value)
    desk.now += PAUSE_SECONDS
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id
    assert auth.asked == ["/auth/v1/.well-known/jwks.json"] * 2


def test_a_server_that_is_not_there_or_says_nothing_is_given_up_in_time(
    auth: SupabaseAuth,
) -> None:
    auth.may_answer.clear()
    begun = time.monotonic()
    with pytest.raises(SupabaseUnavailable):
        Desk(auth, seconds=0.2).tokens.verify(auth.token(ANN))
    assert time.monotonic() - begun < 3
    with pytest.raises(SupabaseUnavailable):
        Desk(SupabaseAuth(port=9)).tokens.verify(auth.token(ANN))


def _listed(key_id: str, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    found = SigningKey(key_id).listed
    return {**found, **change(found)}


def test_odd_keys_in_the_list_are_left_out(auth: SupabaseAuth, desk: Desk) -> None:
    """Secrets, keys for something else, of other kinds, or broken: the good ones beside them serve."""
    odd: list[Any] = [
        None, "first", {}, {"kty": "oct", "k": "c2VjcmV0", "kid": "first", "alg": "HS256"},
        _listed("enc", lambda _: {"use": "enc"}), _listed("other", lambda _: {"alg": "HS256"}),
        _listed("broken", lambda _: {"x": "!"}), _listed("list", lambda _: {"crv": ["P-256"]}),
        {**SigningKey("no id").listed, "kid": 7},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short", "alg": "RS256"},
    ]  # fmt: skip
    body = json.dumps({"keys": [*odd, auth.keys[0].listed]}).encode()
    auth.faults = [(200, body, {})]
    assert desk.tokens.verify(auth.token(ANN)).user_id == ANN.user_id
    for one in ("enc", "other", "broken", "short"):
        said = desk.refusal(auth.token(ANN, key=SigningKey(one)))
        assert "key of the project" in said, one


class Slow:
    """A project that answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def get(self, path: str) -> Reply:
        self.asked.set()
        assert self.may_answer.wait(10)
        return Reply(200, {"keys": []})


def test_names_of_keys_that_somebody_made_up_hold_up_few_requests() -> None:
    """The server has forty threads for everything; a Supabase that hangs must not have them all."""
    project, refused = Slow(), threading.Semaphore(0)
    keys = SupabaseKeys(project)

    def ask() -> None:
        try:
            keys.find("made up")
        except SupabaseUnavailable:
            refused.release()

    first = threading.Thread(target=ask)
    first.start()
    assert project.asked.wait(5)
    others = [threading.Thread(target=ask) for _ in range(40)]
    for one in others:
        one.start()
    try:
        assert all(refused.acquire(timeout=2) for _ in range(20)), "they wait"
    finally:
        project.may_answer.set()
        for one in (first, *others):
            one.join()
