"""Work that may take long: in threads of its own, so that a slow share holds up nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

T = TypeVar("T")
AT_ONCE = 8
THREADS = 100
"""For everything else: requests wait in these for the database."""


async def aside(request: Request, call: Callable[[], T]) -> T:
    """What ``call`` returns. Where all threads of this kind are taken, it waits without one."""
    limiter: CapacityLimiter = request.app.state.aside
    return await to_thread.run_sync(call, limiter=limiter)
