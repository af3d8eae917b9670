"""How the local BigQuery is spoken to: requests in, JSON out, and connections that can be broken."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Call:
    """A request that came in."""

    method: str
    path: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def sql(self) -> str | None:
        """The statement that is to be run, if one is."""
        query = self.body.get("configuration", {}).get("query", self.body).get("query")
        return query if self.method == "POST" else None


Take = Callable[[Call], tuple[int, dict[str, Any]] | None]


class Listener(ThreadingHTTPServer):
    """Takes requests, and answers with a status and JSON, or with a broken connection."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], take: Take) -> None:
        self.take = take
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_close(self) -> None:
        super().server_close()
        for one in list(self.connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        answer = self.server.take(Call(self.command, self.path, json.loads(body or b"{}")))
        if answer is None:
            self.close_connection = True
            return
        data = json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET: Callable[[_Handler], None] = _answer
    do_POST: Callable[[_Handler], None] = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at ``calls``."""
