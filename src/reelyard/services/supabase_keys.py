"""The public keys that a Supabase project signs with: fetched when they are needed, kept while they are good.

Keys change while the server runs. A token with a key that is not known has them fetched again, but only so often,
whatever is sent: anybody can write any key's name into a token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from reelyard.domain.errors import SupabaseUnavailable

from .supabase_project import Reply, unavailable

_LOG = logging.getLogger(__name__)
KEYS_PATH = "/auth/v1/.well-known/jwks.json"
FRESH_SECONDS = 600.0
KEPT_SECONDS = 86_400.0
"""While Supabase is away; tokens last hours, so nobody is left by then who has one."""
PAUSE_SECONDS = 15.0
"""Between the end of one fetch and the next."""
_PATIENCE = 10.0
_MOST_WAITING = 20
"""Requests that wait for keys: whoever makes up names of keys must not hold up all others."""
_MOST_KEYS = 50
_SHORTEST_RSA = 2048
_ALGORITHMS: Mapping[tuple[Any, Any], str] = {
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
    ("OKP", "Ed25519"): "EdDSA",
}
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")
ALGORITHMS = frozenset(_ALGORITHMS.values())


class Fetches(Protocol):
    def get(self, path: str) -> Reply:
        """Raises SupabaseUnavailable."""


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str, jwt.PyJWK]
    at: float


class SupabaseKeys:
    """The keys by their ids. Any thread may ask; one at a time fetches."""

    def __init__(self, project: Fetches, clock: Callable[[], float] = time.monotonic) -> None:
        self._project = project
        self._clock = clock
        self._known: _Known | None = None
        self._is_away = False
        self._not_before = clock()
        self._one_at_a_time = threading.Lock()
        self._may_wait = threading.Semaphore(_MOST_WAITING)

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key; None where the project has none by that id. Raises SupabaseUnavailable where nobody knows."""
        known = self._kept(FRESH_SECONDS)
        if known is None or key_id not in known.keys:
            known = self._kept(KEPT_SECONDS)
            self._refresh(must_wait=known is None or key_id not in known.keys)
            known = self._kept(KEPT_SECONDS)
        if known is not None and key_id in known.keys:
            return known.keys[key_id]
        if known is None or self._is_away or self._one_at_a_time.locked():
            raise unavailable("its keys could not be fetched; that is tried again soon")
        return None

    def check(self) -> int:
        """How many keys there are just now. Raises SupabaseUnavailable."""
        return len(_keys_of(self._project.get(KEYS_PATH)))

    def _kept(self, seconds: float) -> _Known | None:
        """What is known, unless it is older than so many seconds."""
        known = self._known
        return known if known is not None and self._clock() - known.at < seconds else None

    def _refresh(self, must_wait: bool) -> None:
        """Fetch, or wait for who does; who can do without the newest keys waits for nobody."""
        if self._clock() < self._not_before:
            return
        waits = must_wait and self._may_wait.acquire(blocking=False)
        try:
            if self._one_at_a_time.acquire(timeout=_PATIENCE if waits else 0):
                self._fetch_once()
        finally:
            if waits:
                self._may_wait.release()

    def _fetch_once(self) -> None:
        """Fetch, with the lock held, which is let go."""
        try:
            if self._clock() >= self._not_before:  # else somebody has done so meanwhile
                self._fetch()
        finally:
            self._one_at_a_time.release()

    def _fetch(self) -> None:
        try:
            keys = _keys_of(self._project.get(KEYS_PATH))
            self._known, self._is_away = _Known(keys, self._clock()), False
        except SupabaseUnavailable as error:
            self._is_away = True
            _LOG.warning("Supabase's keys stay as they are: %s", error)
        finally:
            self._not_before = self._clock() + PAUSE_SECONDS


def _keys_of(reply: Reply) -> Mapping[str, jwt.PyJWK]:
    """Raises SupabaseUnavailable where the answer is no list of keys."""
    listed = reply.fields.get("keys")
    if reply.status != 200 or not isinstance(listed, list):
        raise unavailable(f"it answered {reply.status} and no keys; is its address right?")
    found = ((one.get("kid"), _key_of(one)) for one in listed[:_MOST_KEYS] if isinstance(one, dict))
    return {name: key for name, key in found if isinstance(name, str) and key is not None}


def _key_of(listed: Mapping[str, Any]) -> jwt.PyJWK | None:
    """A key that may be used; None for what is no public key for signatures of the kinds that are taken."""
    try:
        algorithm = _ALGORITHMS.get((listed.get("kty"), listed.get("crv")))
        if algorithm is None or listed.get("alg", algorithm) != algorithm:
            return None
        if listed.get("use", "sig") != "sig":
            return None
        key = jwt.PyJWK({name: listed[name] for name in _PUBLIC if name in listed}, algorithm)
    except (jwt.PyJWTError, TypeError, ValueError):
        _LOG.warning("one of Supabase's keys can't be read and is left out")
        return None
    is_short = algorithm == "RS256" and key.key.key_size < _SHORTEST_RSA
    return None if is_short else key
