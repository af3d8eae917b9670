"""Which other sites' pages may call the API from a browser (CORS): those that the farm's owner named, with a token.

Nothing is ever shared with a page that comes without one: what a browser adds by itself, a cookie or being on this
machine, opens nothing to other sites.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping, Sequence
from typing import Any

from starlette.datastructures import Headers

Pairs = Sequence[tuple[bytes, bytes]]
_API = "/api/"
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers",
     b"authorization, content-type, idempotency-key, last-event-id, range"),
    (b"access-control-max-age", b"600"),
)  # fmt: skip
_EXPOSED = (
    b"access-control-expose-headers",
    b"location, retry-after, content-disposition, content-range, content-length, www-authenticate",
)


class Sharing:
    """The rule. Without ``origins``, nobody."""

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origins)

    def preflight(self, scope: MutableMapping[str, Any], headers: Headers) -> Pairs | None:
        """What a browser hears that asks beforehand; None where this is no such question, or the answer is no."""
        is_asked = scope.get("method") == "OPTIONS" and "access-control-request-method" in headers
        if not is_asked or not self._is_named(scope, headers):
            return None
        return (*self._named(headers), *_PREFLIGHT)

    def headers(self, scope: MutableMapping[str, Any], headers: Headers) -> Pairs:
        """What an answer says so that the page that asked may read it."""
        if "authorization" not in headers or not self._is_named(scope, headers):
            return ()
        return (*self._named(headers), _EXPOSED)

    def _is_named(self, scope: MutableMapping[str, Any], headers: Headers) -> bool:
        is_api = scope["type"] == "http" and str(scope.get("path", "")).startswith(_API)
        return is_api and headers.get("origin") in self._origins

    @staticmethod
    def _named(headers: Headers) -> Pairs:
        origin = headers["origin"].encode("latin-1")
        return ((b"access-control-allow-origin", origin), (b"vary", b"origin"))
