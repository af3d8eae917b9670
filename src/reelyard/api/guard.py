"""What stands in front of every request: how large, how often, from where it may come, and what browsers may do."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from reelyard.domain.errors import FarmUnavailable

from .errors import MEDIA_TYPE
from .sharing import Pairs, Sharing

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 10_000_000
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_UPLOADS = "/api/v1/library/uploads/"
_BY_TOKEN = ("/api/", "/metrics")  # only there does the Authorization header say who asks
_AGAIN_AFTER = {429: b"60", 503: b"5"}
_SOCKETS = ("/_nicegui_ws/", "/socket.io/")  # these also begin as ordinary requests
_PASSED_ON = ("x-forwarded-for", "forwarded", "x-real-ip", "via")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'none'; base-uri 'self'; object-src 'none'"),
)


class Guard:
    """An ASGI middleware. ``is_open`` tells whether nobody has an account yet.

    ``per_minute`` requests are taken from one address; 0 is no limit. Pages of ``allowed_origins`` may call the API
    with a token.
    """

    def __init__(
        self,
        app: App,
        *,
        is_open: Callable[[], bool],
        upload_limit: int,
        per_minute: int,
        allowed_origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._sharing = Sharing(allowed_origins)
        self._is_open = is_open
        self._upload_limit = upload_limit
        self._rate = parse(f"{per_minute}/minute") if per_minute else None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if (leave := self._sharing.preflight(scope, headers)) is not None:
            await send({"type": "http.response.start", "status": 204, "headers": [*leave]})
            await send({"type": "http.response.body", "body": b""})
            return
        refusal = self._refusal(scope, headers)
        more = (*_HEADERS, *self._sharing.headers(scope, headers))
        if refusal is not None:
            await _refuse(scope, send, more, *refusal)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._guarded(scope, receive, send, more)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str, str] | None:
        """Why a request is turned away: status, code, detail, remedy."""
        path = str(scope.get("path", ""))
        has_token = "authorization" in headers and path.startswith(_BY_TOKEN)
        if not has_token and not is_same_site(scope, headers):
            return (403, "other_site", "this request comes from another site's page",
                    "Use the pages of this server, or a token")  # fmt: skip
        try:
            is_local = is_local_name(headers.get("host", "")) and not _is_passed_on(headers)
            is_strange = not has_token and not is_local
            is_closed_to_them = is_strange and self._is_open()
        except FarmUnavailable as error:
            return (503, error.code, "nobody can be let in right now", "Try again in a moment")
        if is_closed_to_them:
            return (403, "not_local", "while nobody has an account, only this machine is let in",
                    "Open it as 127.0.0.1 or localhost, or add an account")  # fmt: skip
        if self._rate is not None and not self._limiter.hit(self._rate, _address(scope)):
            return (429, "too_many_requests", "too many requests from your address",
                    "Wait a minute")  # fmt: skip
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limit(scope):
            return (413, "too_large", f"the body is larger than {self._limit(scope)} bytes",
                    "Send less")  # fmt: skip
        return None

    def _limit(self, scope: Scope) -> int:
        is_upload = str(scope.get("path", "")).startswith(_UPLOADS)
        return self._upload_limit if is_upload else LARGEST_BODY

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, more: Pairs) -> None:
        left = self._limit(scope)

        async def counted() -> MutableMapping[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                detail = f"the body is larger than {self._limit(scope)} bytes"
                raise HTTPException(413, detail)
            return message

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                added = [pair for pair in more if pair[0] not in known]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, counted, with_headers)


def _is_passed_on(headers: Headers) -> bool:
    """Whether a proxy on this machine brings it: from whom, nobody knows."""
    return any(name in headers for name in _PASSED_ON)


def is_local_name(host: str) -> bool:
    """Whether a Host header names this machine itself: a page of another site can't have itself called so."""
    try:
        name = urlsplit(f"//{host}").hostname or "" if host.isascii() else ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_same_site(scope: Scope, headers: Headers) -> bool:
    """Whether a request that changes something, or a socket, was begun by a page of this server.

    Browsers say so themselves; programs that are no browsers say nothing.
    """
    is_socket = scope["type"] == "websocket" or str(scope["path"]).startswith(_SOCKETS)
    if scope["type"] == "http" and scope["method"] in _SAFE and not is_socket:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None and scope["type"] == "http":
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


async def _refuse(
    scope: Scope, send: Send, more: Pairs, status: int, code: str, detail: str, remedy: str
) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
        return
    document = {
        "type": f"urn:reelyard:error:{code}", "title": HTTPStatus(status).phrase, "status": status,
        "detail": detail, "instance": scope.get("path", ""), "code": code, "remedy": remedy,
        "field": None, "problems": [],
    }  # fmt: skip
    headers = [(b"content-type", MEDIA_TYPE.encode()), *more]
    if status in _AGAIN_AFTER:
        headers.append((b"retry-after", _AGAIN_AFTER[status]))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})
