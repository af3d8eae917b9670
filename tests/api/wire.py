"""A wire to an ASGI application: sends exactly the bytes it is given, as no browser's library would.

Libraries tidy paths up before they send them, and wait for the end of streams that have none. This one
gives the application what a server would give it after reading those very bytes off a socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers

PATIENCE = 30.0
Message = MutableMapping[str, Any]
App = Callable[..., Any]


@dataclass(frozen=True)
class Answer:
    """What came back. ``error`` is what the application raised after it had answered."""

    status: int
    headers: Headers
    body: bytes
    error: Exception | None = None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def kind(self) -> str:
        """The content type, without what is said about it."""
        return self.headers.get("content-type", "").partition(";")[0]

    @cached_property
    def problem(self) -> dict[str, Any]:
        """The body, which has to be an RFC 9457 document."""
        assert self.kind == "application/problem+json", (self.status, self.kind, self.body[:300])
        found: dict[str, Any] = self.json()
        assert found["status"] == self.status
        return found


@dataclass
class _Exchange:
    """One request on its way. ``breaks_off``: the client goes after its last chunk, unfinished."""

    chunks: list[bytes]
    breaks_off: bool
    most: int
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        if self.chunks:
            body = self.chunks.pop(0)
            more = bool(self.chunks) or self.breaks_off
            return {"type": "http.request", "body": body, "more_body": more}
        if not self.breaks_off:
            await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
            if not message.get("more_body") or len(self.parts) >= self.most:
                self._over.set()


@dataclass(frozen=True)
class Wire:
    """``headers`` go with every request."""

    app: App
    runner: asyncio.Runner
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self,
        method: str,
        target: str | bytes,
        document: Any = None,
        *,
        chunks: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        **how: Any,
    ) -> Answer:
        """One request; ``document`` is sent as JSON, ``chunks`` as they are."""
        coming = self.sent(method, target, document, chunks=chunks, headers=headers, **how)
        return self.runner.run(coming)

    def together(self, *requests: Any) -> list[Answer]:
        """Requests made by ``sent``, all at once."""

        async def all_of_them() -> list[Answer]:
            return list(await asyncio.gather(*requests))

        return self.runner.run(all_of_them())

    async def sent(
        self,
        method: str,
        target: str | bytes,
        document: Any = None,
        *,
        chunks: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        scheme: str = "http",
        client: str = "127.0.0.1",
        breaks_off: bool = False,
        most: int = 1 << 30,
        raises: bool = True,
    ) -> Answer:
        """``most`` parts of the answer are read, then the client goes away."""
        given = {"host": "127.0.0.1:8080", **self.headers, **(headers or {})}
        body = list(chunks or ())
        if document is not None:
            body = [json.dumps(document).encode()]
            given = {
                "content-type": "application/json",
                "content-length": str(len(body[0])),
                **given,
            }
        exchange = _Exchange(body or [b""], breaks_off, most)
        scope = _scope(method, target, given, scheme, client)
        error = None
        try:
            running = self.app(scope, exchange.receive, exchange.send)
            await asyncio.wait_for(running, PATIENCE)
        except Exception as raised:
            if raises or not exchange.status:
                raise
            error = raised
        return Answer(
            exchange.status, Headers(raw=exchange.headers), b"".join(exchange.parts), error
        )

    def knock(self, target: str, headers: Mapping[str, str]) -> Sequence[str]:
        """Try to open a websocket; the kinds of messages that came back."""
        said: list[str] = []

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            said.append(message["type"])

        given = {"host": "127.0.0.1:8080", **self.headers, **headers}
        scope = {**_scope("GET", target, given, "ws", "127.0.0.1"), "type": "websocket",
                 "subprotocols": []}  # fmt: skip
        self.runner.run(self.app(scope, receive, send))
        return said


def _scope(
    method: str, target: str | bytes, headers: Mapping[str, str], scheme: str, client: str
) -> Message:
    raw = target.encode("ascii") if isinstance(target, str) else target
    path, _, query = raw.partition(b"?")
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": method, "scheme": scheme, "path": unquote(path.decode("latin-1")),
        "raw_path": path, "query_string": query, "root_path": "", "client": (client, 50_000),
        "server": ("127.0.0.1", 8080), "state": {}, "extensions": {},
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1"))
                    for name, value in headers.items()],
    }  # fmt: skip
