"""A Supabase project over HTTP: what it answers, within bounded time and size.

Redirects are not followed and proxies of the environment are not asked: its address is the one in the settings.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any, TypeVar

import httpcore

from reelyard.domain.errors import SupabaseUnavailable, printable

_MOST_READ = 256 << 10
_CONNECT_SECONDS = 3.0
_BROKEN = 500
_REDIRECTS = range(300, 400)
_REMEDY = "Check REELYARD_SUPABASE_URL and the way to it; accounts of Reelyard's own work as ever"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """What it answered. ``document`` is None where that was no JSON."""

    status: int
    document: Any
    retry_after: str | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        return self.document if isinstance(self.document, dict) else {}


@dataclass(frozen=True, kw_only=True)
class SupabaseProject:
    """``key`` is the publishable (anon) key. A request is over after ``seconds``, whatever happens."""

    url: str
    key: str | None = field(default=None, repr=False)
    seconds: float = 8.0

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts the usual authorities and this machine's own: a Supabase in the house may have one of the house."""
        found = httpcore.default_ssl_context()
        found.load_default_certs()
        return found

    def get(self, path: str) -> Reply:
        """Raises SupabaseUnavailable."""
        return self._ask("GET", path, None)

    def post(self, path: str, document: Mapping[str, Any]) -> Reply:
        """Raises SupabaseUnavailable."""
        return self._ask("POST", path, json.dumps(document).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        try:
            reply = within(self.seconds, lambda: self._send(method, path, body))
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise unavailable(f"it did not answer within {self.seconds:g} seconds") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise unavailable(printable(str(error))[:200] or type(error).__name__) from error
        if reply.status >= _BROKEN or reply.status in _REDIRECTS:
            raise unavailable(f"it answered {reply.status}")
        return reply

    def _send(self, method: str, path: str, body: bytes | None) -> Reply:
        headers = {"accept": "application/json", "user-agent": f"reelyard/{version('reelyard')}"}
        if self.key is not None:
            headers["apikey"] = self.key
        if body is not None:
            headers["content-type"] = "application/json"
        waits = {"connect": _CONNECT_SECONDS, "read": self.seconds, "write": self.seconds}
        with (
            httpcore.ConnectionPool(ssl_context=self._tls) as pool,
            pool.stream(
                method,
                self.url + path,
                headers=list(headers.items()),
                content=body,
                extensions={"timeout": waits},
            ) as response,
        ):
            found = {name.lower(): value for name, value in response.headers}
            retry_after = found.get(b"retry-after", b"").decode("latin-1")
            return Reply(response.status, _document(_read(response)), retry_after or None)


def unavailable(why: str) -> SupabaseUnavailable:
    return SupabaseUnavailable(f"Supabase can't be asked: {why}", remedy=_REMEDY)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns. Raises TimeoutError: looking a name up, say, can't be told to stop."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            future.set_exception(error)

    threading.Thread(target=work, name="supabase", daemon=True).start()
    return future.result(seconds)


def _read(response: httpcore.Response) -> bytes:
    """The body. Raises SupabaseUnavailable where there is no end of it."""
    parts, left = [], _MOST_READ
    for chunk in response.iter_stream():
        parts.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise unavailable(f"it answered with more than {_MOST_READ} bytes")
    return b"".join(parts)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
