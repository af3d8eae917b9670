"""Uvicorn, which ends streams of events before it waits for all connections to end."""

from __future__ import annotations

import socket

import uvicorn

from .events import Hub


class Server(uvicorn.Server):
    """``hub`` is the app's: its streams never end by themselves."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.close()
        await super().shutdown(sockets)
