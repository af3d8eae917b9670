"""Whether the server lives, and whether it can do its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

router = APIRouter(prefix="/health", tags=["health"])
Ready = Callable[[], Mapping[str, str | None]]
"""Each part that is needed, with None or what is wrong with it."""


class LiveOut(BaseModel):
    status: str = "live"


class ReadyOut(BaseModel):
    """``parts``: each with ``ok`` or what is wrong; nothing that is secret."""

    status: str
    parts: dict[str, str]


@router.get("/live")
async def live() -> LiveOut:  # needs no thread: they may all be waiting for a share
    """The server answers."""
    return LiveOut()


@router.get("/ready", responses={503: {"model": ReadyOut, "description": "A part is away"}})
def ready(request: Request, response: Response) -> ReadyOut:
    """The database and the broker can be reached."""
    check: Ready = request.app.state.ready
    parts = {name: "away" if wrong else "ok" for name, wrong in check().items()}
    is_ready = all(one == "ok" for one in parts.values())
    response.status_code = 200 if is_ready else 503
    return ReadyOut(status="ready" if is_ready else "not ready", parts=parts)
