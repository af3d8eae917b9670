"""Work that may take long: in threads of its own, so that a slow share holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

from reelyard.domain.errors import Cancelled

T = TypeVar("T")
AT_ONCE = 8
THREADS = 100
"""For everything else: requests wait in these for the database."""


async def aside(request: Request, call: Callable[[], T]) -> T:
    """What ``call`` returns. Where all threads of this kind are taken, it waits without one."""
    limiter: CapacityLimiter = request.app.state.aside
    return await to_thread.run_sync(call, limiter=limiter)


async def while_wanted(request: Request, call: Callable[[Callable[[], None]], T]) -> T:
    """What ``call`` returns. It is given something to call again and again, which raises Cancelled once the client
    has left. The request's body has been read."""
    gone = threading.Event()

    def check() -> None:
        if gone.is_set():
            raise Cancelled("nobody waits for the answer any more")

    listening = asyncio.create_task(_listen(request, gone))
    try:
        return await to_thread.run_sync(call, check)
    finally:
        listening.cancel()


async def _listen(request: Request, gone: threading.Event) -> None:
    while not gone.is_set():
        if (await request.receive())["type"] == "http.disconnect":
            gone.set()
