"""Sends HTTP requests to addresses that somebody else chose, without being led astray.

A host's name is looked up once, every address that comes of it is checked, and one of those is connected
to: an answer of the name server that changes in between changes nothing. Redirects are not followed,
proxies of the environment are not asked, and all of it ends in bounded time.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpcore

from reelyard.domain.errors import RequestInvalid, printable

from .webhook_address import check_url, is_allowed, is_public, not_public

_MOST_READ = 64 << 10
_CHUNK = 16 << 10

Resolve = Callable[[str, int], Sequence[str]]
"""The IP addresses of a host. Raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request: a status, or the reason why there is none."""

    status_code: int | None = None
    reason: str = ""
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True, kw_only=True)
class GuardedClient:
    """``allowed_hosts`` (names, or ``name:port``) may be anywhere, and without encryption.

    A request is over after ``total_seconds``, whatever the other side does.
    """

    allowed_hosts: tuple[str, ...] = ()
    total_seconds: float = 10.0
    connect_seconds: float = 5.0
    resolve: Resolve = look_up
    network: httpcore.NetworkBackend = field(default_factory=httpcore.SyncBackend)
    tls: ssl.SSLContext = field(default_factory=httpcore.default_ssl_context)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Any answer is one, and so is none: raises nothing that the other side can bring about."""
        try:
            return self._post(check_url(url, self.allowed_hosts), headers, body)
        except RequestInvalid as error:
            return Answer(reason=error.message)
        except httpcore.TimeoutException:
            return Answer(reason=f"no answer within {self.total_seconds:g} seconds")
        except httpcore.NetworkError as error:
            return Answer(reason=f"the connection failed: {_words(error)}")
        except httpcore.ProtocolError as error:
            return Answer(reason=f"it does not speak HTTP: {_words(error)}")

    def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        deadline = _Deadline(self.total_seconds)
        guard = _Guard(self, deadline)
        sent = {
            "host": urlsplit(url).netloc,
            "user-agent": f"reelyard/{version('reelyard')}",
            "content-length": str(len(body)),
            "connection": "close",
            **headers,
        }
        timeouts = {"connect": self.connect_seconds, "pool": self.total_seconds}
        with (
            httpcore.ConnectionPool(ssl_context=self.tls, network_backend=guard) as pool,
            pool.stream(
                "POST",
                url,
                headers=list(sent.items()),
                content=body,
                extensions={"timeout": timeouts},
            ) as response,
        ):
            _read_some(response)
            return Answer(
                status_code=response.status, retry_after=_header(response, b"retry-after")
            )


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, wanted: float | None, over: type[httpcore.TimeoutException]) -> float:
        """For how long to wait: so long as is wanted, but not past the end. Raises ``over``."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise over
        return left if wanted is None else min(left, wanted)


class _Guard(httpcore.NetworkBackend):
    """Connects to a host's checked address only."""

    def __init__(self, client: GuardedClient, deadline: _Deadline) -> None:
        self._client = client
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            try:
                left = self._deadline.left(timeout, httpcore.ConnectTimeout)
                stream = self._client.network.connect_tcp(
                    address, port, left, local_address, socket_options
                )
                return _Stream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int) -> Collection[str]:
        """Raises RequestInvalid where one of them is out of bounds."""
        left = self._deadline.left(None, httpcore.ConnectTimeout)
        try:
            found = _within(left, lambda: self._client.resolve(host, port))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} can't be found") from error
        allowed = is_allowed(host, port, self._client.allowed_hosts)
        if not allowed and not all(map(is_public, found)):
            raise not_public(host)
        return dict.fromkeys(found)


class _Stream(httpcore.NetworkStream):
    """A connection on which every wait counts towards one end."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK):
            left = self._deadline.left(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _CHUNK], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._deadline
        )  # fmt: skip

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _within(seconds: float, call: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What ``call`` returns; the system's look-up of names can't be told to stop. Raises TimeoutError."""
    future: Future[Sequence[str]] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            future.set_exception(error)

    threading.Thread(target=work, name="webhook-name", daemon=True).start()
    return future.result(seconds)


def _read_some(response: httpcore.Response) -> None:
    """Let the receiver finish what it says, within reason. Its status has said all that counts."""
    left = _MOST_READ
    with contextlib.suppress(
        httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError
    ):
        for chunk in response.iter_stream():
            left -= len(chunk)
            if left <= 0:
                return


def _header(response: httpcore.Response, name: bytes) -> str | None:
    found = (value for key, value in response.headers if key.lower() == name)
    value = next(found, None)
    return None if value is None else value.decode("latin-1")


def _words(error: Exception) -> str:
    return printable(str(error))[:300] or type(error).__name__
