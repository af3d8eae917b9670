"""Supabase's access tokens (JWTs): whether one is genuine, and whom it names.

The kind of signature decides which key may answer for it: the project's public keys for asymmetric ones, the
legacy secret for HS256, and nothing for any other. A public key is never taken for a secret.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import jwt

from reelyard.domain.access import Role
from reelyard.domain.errors import NotSignedIn

from .supabase_keys import ALGORITHMS

AUDIENCE = "authenticated"
ROLE_CLAIM = "reelyard_role"
LEEWAY_SECONDS = 30
_LONGEST = 16_000
_KEYS_OF_PROJECTS = ("sb_publishable_", "sb_secret_")
_REQUIRED = ["iss", "aud", "sub", "exp", "iat", "role"]
_AGAIN = "Sign in to Supabase again, and send the access token that it gives"


class Keys(Protocol):
    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The project's public key by its id, if it has one. Raises SupabaseUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupabaseUser:
    """Whom a token names. ``email`` may be empty."""

    user_id: str
    email: str
    role: Role
    issued_at: datetime


def looks_like_one(secret: str) -> bool:
    """Whether this is meant to be one of Supabase's tokens or keys."""
    return secret.count(".") == 2 or secret.startswith(_KEYS_OF_PROJECTS)


class SupabaseTokens:
    """``url`` is the project's; ``secret`` its legacy JWT secret, where it still signs with one."""

    def __init__(self, url: str, keys: Keys, secret: str | None = None) -> None:
        self._issuer = f"{url}/auth/v1"
        self._keys = keys
        self._secret = secret

    def verify(self, token: str) -> SupabaseUser:
        """Raises NotSignedIn, or SupabaseUnavailable where the keys can't be fetched."""
        if token.startswith(_KEYS_OF_PROJECTS):
            raise _no_person("publishable" if "publishable" in token else "secret")
        header, said = _unverified(token)
        if said.get("role") in ("anon", "service_role"):
            raise _no_person(said["role"])
        algorithm = str(header.get("alg"))
        key = self._key(algorithm, header.get("kid"))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],  # an accepted one, which goes with the kind of key
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.InvalidTokenError as error:
            raise _refused(error) from None
        return _user_of(claims)

    def _key(self, algorithm: str, key_id: Any) -> jwt.PyJWK | str:
        """Raises NotSignedIn where no key can be right, and SupabaseUnavailable."""
        if algorithm == "HS256":
            if self._secret is None:
                raise _wrong("this token is signed with the project's legacy secret, which this server was not given",
                             "Send one that is signed with a key of the project, or have REELYARD_SUPABASE_JWT_SECRET"
                             " set")  # fmt: skip
            return self._secret
        if algorithm not in ALGORITHMS:
            raise _wrong("this token is not signed in a way that is accepted")
        key = self._keys.find(key_id) if isinstance(key_id, str) else None
        if key is None or key.algorithm_name != algorithm:
            raise _wrong("this token is not signed with a key of the project")
        return key


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the token says of itself, which proves nothing. Raises NotSignedIn where it can't be read."""
    try:
        if len(token) > _LONGEST or not token.isascii():
            raise jwt.DecodeError
        header = jwt.get_unverified_header(token)
        return header, jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError):
        raise _wrong("this token can't be read") from None


def _user_of(claims: Mapping[str, Any]) -> SupabaseUser:
    """Raises NotSignedIn where they are no person's."""
    if claims["role"] != AUDIENCE:
        raise _wrong("this token is of no user of the project")
    if claims.get("is_anonymous", False) is not False:
        raise NotSignedIn("anonymous users of Supabase can't use the farm",
                          remedy="Give the user an email address and a password first")  # fmt: skip
    try:
        user_id = str(uuid.UUID(claims["sub"]))
    except ValueError:
        raise _wrong("this token does not say which user it is of") from None
    email = claims.get("email")
    return SupabaseUser(
        user_id=user_id,
        email=email if isinstance(email, str) else "",
        role=_role_of(claims.get("app_metadata")),
        issued_at=datetime.fromtimestamp(int(claims["iat"]), UTC),
    )


def _role_of(metadata: Any) -> Role:
    """An operator unless the project says more: only it writes ``app_metadata``, while users write ``user_metadata``."""
    said = metadata.get(ROLE_CLAIM) if isinstance(metadata, dict) else None
    return Role(said) if isinstance(said, str) and said in list(Role) else Role.OPERATOR


_WORDS: tuple[tuple[type[jwt.InvalidTokenError], str], ...] = (
    (jwt.ExpiredSignatureError, "this token has expired"),
    (jwt.ImmatureSignatureError, "this token is not valid yet; are the clocks right?"),
    (jwt.InvalidIssuerError, "this token is of another Supabase project"),
    (jwt.InvalidAudienceError, "this token is not for signed-in users"),
    (jwt.MissingRequiredClaimError, "this token lacks something that Supabase's have"),
    (jwt.InvalidSignatureError, "this token's signature is wrong"),
)


def _refused(error: jwt.InvalidTokenError) -> NotSignedIn:
    found = (words for kind, words in _WORDS if isinstance(error, kind))
    return _wrong(next(found, "this token can't be read"))


def _wrong(message: str, remedy: str = _AGAIN) -> NotSignedIn:
    return NotSignedIn(message, remedy=remedy)


def _no_person(kind: str) -> NotSignedIn:
    return NotSignedIn(f"this is the {kind} key of a Supabase project, and no person's token",
                       remedy="Send the access token of somebody who signed in, or a token of Reelyard's own")  # fmt: skip
