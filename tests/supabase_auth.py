"""Supabase's server for people, as far as the farm speaks to it: signing keys that change, signing in, and its faults.

What it answers has the shapes of the real one; who is signed in gets tokens with the claims of the real one.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "super-secret-jwt-token-with-at-least-32-characters"
PUBLISHABLE = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
PASSWORD = "correct horse battery"
JWKS = "/auth/v1/.well-known/jwks.json"
Private = Any
_DROPPED = ("d", "p", "q", "dp", "dq", "qi", "key_ops")


@cache
def private_key(algorithm: str, number: int = 1) -> Private:
    """A key of this kind; the same one for the same number."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def public_pem(key: Private) -> bytes:
    found: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


@dataclass
class SigningKey:
    """One of the project's keys, by the id that its tokens name."""

    key_id: str
    algorithm: str = "ES256"
    number: int = 1

    @property
    def private(self) -> Private:
        return private_key(self.algorithm, self.number)

    @property
    def listed(self) -> dict[str, Any]:
        """As it stands in the list of keys."""
        maker = jwt.get_algorithm_by_name(self.algorithm)
        known = maker.to_jwk(self.private.public_key(), as_dict=True)
        public = {name: value for name, value in known.items() if name not in _DROPPED}
        return {**public, "alg": self.algorithm, "kid": self.key_id, "use": "sig",
                "key_ops": ["verify"], "ext": True}  # fmt: skip


@dataclass
class User:
    email: str
    password: str = PASSWORD
    user_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    app_metadata: dict[str, Any] = field(default_factory=lambda: {"provider": "email"})
    user_metadata: dict[str, Any] = field(default_factory=dict)
    is_confirmed: bool = True
    is_banned: bool = False
    factors: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class SupabaseAuth:
    """The server. ``faults`` are answers (status, body, headers) that come before any other; ``hangs`` gives none."""

    host: str = "127.0.0.1"
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey("first")])
    users: dict[str, User] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    faults: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    signs_with_secret: bool = False
    port: int = 0
    may_answer: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.asked.count(JWKS)

    def add(self, email: str, role: str | None = None, **about: Any) -> User:
        user = User(email, **about)
        if role is not None:
            user.app_metadata["reelyard_role"] = role
        self.users[email.lower()] = user
        return user

    def claims(self, user: User, **changes: Any) -> dict[str, Any]:
        """What the real one says of a user; a change to None leaves that out."""
        now = int(time.time())
        said = {
            "iss": f"{self.url}/auth/v1", "sub": user.user_id, "aud": "authenticated", "exp": now + 3600,
            "iat": now, "email": user.email, "phone": "", "app_metadata": user.app_metadata,
            "user_metadata": user.user_metadata, "role": "authenticated", "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}], "session_id": str(uuid.uuid4()),
            "is_anonymous": False, **changes,
        }  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def token(self, user: User, *, key: SigningKey | None = None, **changes: Any) -> str:
        """An access token of the user's, signed with the key in use."""
        claims = self.claims(user, **changes)
        if self.signs_with_secret:
            return jwt.encode(claims, SECRET, "HS256", {"kid": "legacy"})
        key = key or self.keys[0]
        return jwt.encode(claims, key.private, key.algorithm, {"kid": key.key_id})

    @contextmanager
    def open(self) -> Iterator[SupabaseAuth]:
        server = ThreadingHTTPServer((self.host, self.port), _handler(self))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.may_answer.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        """What a request hears: status, document, headers."""
        if path == JWKS:
            listed = [] if self.signs_with_secret else [one.listed for one in self.keys]
            return 200, {"keys": listed}, {"cache-control": "public, max-age=600"}
        if path == "/auth/v1/token?grant_type=password":
            return *self._signed_in(json.loads(body)), {}
        return 404, {"message": "no Route matched with those values"}, {}

    def _signed_in(self, wish: Mapping[str, str]) -> tuple[int, Any]:
        user = self.users.get(wish["email"].lower())
        if user is None or user.password != wish["password"]:
            return _refusal("invalid_credentials", "Invalid login credentials")
        if user.is_banned:
            return _refusal("user_banned", "User is banned")
        if not user.is_confirmed:
            return _refusal("email_not_confirmed", "Email not confirmed")
        token, now = self.token(user), int(time.time())
        about = {"id": user.user_id, "aud": "authenticated", "role": "authenticated",
                 "email": user.email, "factors": user.factors, "app_metadata": user.app_metadata}  # fmt: skip
        return 200, {"access_token": token, "token_type": "bearer", "expires_in": 3600,
                     "expires_at": now + 3600, "refresh_token": "v1Mx4kq7Trpw", "user": about,
                     "weak_password": None}  # fmt: skip


def _refusal(code: str, text: str) -> tuple[int, Any]:
    return 400, {"code": 400, "error_code": code, "msg": text}


def forged(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"x") -> str:
    """A token of any content; nobody has to have signed it."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts)


def _handler(auth: SupabaseAuth) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers["content-length"])))

        def _serve(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            auth.asked.append(parts.path)
            auth.headers.append({name.lower(): value for name, value in self.headers.items()})
            auth.may_answer.wait(30)
            if auth.faults:
                status, said, headers = auth.faults.pop(0)
            else:
                status, document, headers = auth.answer(self.path, body)
                said = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    return Handler
