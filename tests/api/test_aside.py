"""Work that is done for a request: it hears of it when its client has left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from fastapi import Request

from reelyard.api.aside import while_wanted
from reelyard.domain.errors import Cancelled

PATIENCE = 30.0


def request(leaves: asyncio.Event) -> Request:
    """Its body was read; its client goes when it is told to."""

    async def receive() -> dict[str, str]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def test_work_for_a_client_that_has_left_is_stopped() -> None:
    begun = threading.Event()

    def work(check: Callable[[], None]) -> None:
        begun.set()
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            check()
            time.sleep(0.01)

    async def serve() -> None:
        leaves = asyncio.Event()
        working = asyncio.create_task(while_wanted(request(leaves), work))
        await asyncio.to_thread(begun.wait, PATIENCE)
        leaves.set()
        await working

    with pytest.raises(Cancelled, match="nobody waits"):
        asyncio.run(serve())


def test_who_waits_gets_what_comes_of_it() -> None:
    def work(check: Callable[[], None]) -> int:
        check()
        return 7

    async def serve() -> int:
        return await while_wanted(request(asyncio.Event()), work)

    assert asyncio.run(serve()) == 7


def test_nothing_is_left_of_a_request_that_was_answered() -> None:
    async def serve() -> int:
        await while_wanted(request(asyncio.Event()), lambda _: None)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(serve()) == 1
