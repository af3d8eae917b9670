"""What happens, told to browsers and programs while it happens: Server-Sent Events.

However many watch, each event is written out once; what is left for each watcher is to hand on the bytes.
A watcher that does not read is let go: it comes back with the last number that it saw.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import ReelyardError
from reelyard.services.live import Live, LiveEvent
from reelyard.services.office import Office

from .identity import identify, office_of

_LOG = logging.getLogger(__name__)
router = APIRouter(tags=["events"])
PING_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 60.0
_MOST_UNREAD = 1000
_PING = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_Queue = asyncio.Queue[tuple[LiveEvent, bytes] | None]
"""A watcher's news, as they are and as they go over the wire; None means: go."""
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}},
          "description": "Events without end. The data of `job`, `worker` and `queue` is a HistoryEvent,"
                         " that of `progress` a ProgressEvent, as JSON"}
}  # fmt: skip
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=20, pattern=r"^\d+$")]


def written(event: LiveEvent) -> bytes:
    """The event as it goes over the wire; only lines of history have a number."""
    number = "" if event.number is None else f"id: {event.number}\n"
    data = json.dumps(event.data, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return f"{number}event: {event.kind}\ndata: ".encode() + data + b"\n\n"


class Hub:
    """Everybody who watches through this server. It belongs to one event loop.

    A watcher that has ``most_unread`` events waiting is let go. A stream in which nothing happens says
    each ``ping_seconds`` that it is there; each ``ask_again_seconds`` its watcher is identified again.
    """

    def __init__(
        self,
        live: Live,
        *,
        ping_seconds: float = PING_SECONDS,
        ask_again_seconds: float = _ASK_AGAIN_SECONDS,
        most_unread: int = _MOST_UNREAD,
    ) -> None:
        self.ping_seconds = ping_seconds
        self.ask_again_seconds = ask_again_seconds
        self._most_unread = most_unread
        self._live = live
        self._queues: set[_Queue] = set()
        self._end: Callable[[], None] | None = None
        self.is_closed = False

    def join(self) -> _Queue:
        """A watcher's own queue; None in it means: go."""
        queue: _Queue = asyncio.Queue(self._most_unread)
        self._queues.add(queue)
        if self._end is None:
            loop = asyncio.get_running_loop()

            def pass_on(event: LiveEvent) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._tell, event)

            self._end = self._live.watch(pass_on)
        return queue

    def leave(self, queue: _Queue) -> None:
        self._queues.discard(queue)
        if not self._queues and self._end is not None:
            self._end()
            self._end = None

    @property
    def watchers(self) -> int:
        return len(self._queues)

    def _tell(self, event: LiveEvent) -> None:
        ready = (event, written(event))
        for queue in list(self._queues):
            try:
                queue.put_nowait(ready)
            except asyncio.QueueFull:
                self._dismiss(queue)

    def _dismiss(self, queue: _Queue) -> None:
        self._queues.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def close(self) -> None:
        """The server ends: all streams do."""
        self.is_closed = True
        for queue in list(self._queues):
            self._dismiss(queue)


@router.get("/events", response_class=StreamingResponse, responses=_RESPONSES)
async def events(request: Request, last_event_id: LastId = None) -> StreamingResponse:
    """Everything that happens to jobs you may see and to workers: `job`, `worker`, `queue`, `progress`.

    With `Last-Event-ID`, first what happened since; where that is too much, a `gap` and the last ten thousand
    lines. An event may come twice; its `id` tells.
    """
    return await _stream(request, None, last_event_id)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, responses=_RESPONSES)
async def job_events(
    request: Request, job_id: str, last_event_id: LastId = None
) -> StreamingResponse:
    """One job's history from its beginning, or from `Last-Event-ID` on, and then what happens to it."""
    return await _stream(request, job_id, last_event_id or "0")


async def _stream(
    request: Request, job_id: str | None, last: str | None
) -> StreamingResponse:  # fmt: skip
    office = office_of(request)

    def enter() -> tuple[Principal, str | None]:
        who = identify(office, request)
        who.allow(Action.SEE_JOBS)
        return who, None if job_id is None else office.jobs.state(who, job_id).job_id

    who, known = await run_in_threadpool(enter)
    after = None if last is None else min(int(last), 1 << 62)
    hub: Hub = request.app.state.hub
    stream = _Stream(office, hub, request, who, known, after)
    return StreamingResponse(stream.run(), media_type="text/event-stream", headers=_HEADERS)


class _Stream:
    """One watcher's events."""

    def __init__(
        self,
        office: Office,
        hub: Hub,
        request: Request,
        who: Principal,
        job_id: str | None,
        after: int | None,
    ) -> None:
        self._office = office
        self._hub = hub
        self._request = request
        self._who = who
        self._job_id = job_id
        self._after = after

    async def run(self) -> AsyncIterator[bytes]:
        queue = self._hub.join()  # before looking back: nothing falls in between
        try:
            yield _PING  # the answer begins at once
            told: set[int | None] = set()
            if self._after is not None:
                parts = self._office.live.missed(self._after, self._who, self._job_id)
                while (part := await run_in_threadpool(next, parts, None)) is not None:
                    for event in part:
                        yield written(event)
                    told.update(event.number for event in part)
            async for data in self._live(queue, told):
                yield data
        except ReelyardError as error:
            _LOG.info("a stream of events ends: %s", error)
        finally:
            self._hub.leave(queue)

    async def _live(self, queue: _Queue, told: set[int | None]) -> AsyncIterator[bytes]:
        asked = time.monotonic()
        while not self._hub.is_closed:
            news = await self._news(queue)
            if news is None:
                return
            if time.monotonic() - asked > self._hub.ask_again_seconds:
                # Whoever was shut out meanwhile is told nothing more.
                self._who = await run_in_threadpool(identify, self._office, self._request)
                asked = time.monotonic()
            theirs = [data for event, data in news if self._is_theirs(event, told)]
            if theirs or not news:
                yield b"".join(theirs) or _PING
            if any(self._is_removal(event) for event, _ in news):
                return

    async def _news(self, queue: _Queue) -> list[tuple[LiveEvent, bytes]] | None:
        """What has come, all at once, or nothing for a while; None: go."""
        try:
            async with asyncio.timeout(self._hub.ping_seconds):
                found = [await queue.get()]
        except TimeoutError:
            return []
        while not queue.empty():
            found.append(queue.get_nowait())
        return None if None in found else [one for one in found if one is not None]

    def _is_theirs(self, event: LiveEvent, told: set[int | None]) -> bool:
        is_new = event.number is None or not (event.number in told or self._is_old(event.number))
        return is_new and self._is_of_job(event) and event.is_for(self._who)

    def _is_old(self, number: int) -> bool:
        """Told before the watcher came back; the look for everybody may come to it later than the watcher's own."""
        return self._after is not None and self._office.live.in_order and number <= self._after

    def _is_of_job(self, event: LiveEvent) -> bool:
        return self._job_id is None or event.job_id == self._job_id

    def _is_removal(self, event: LiveEvent) -> bool:
        return event.job_id == self._job_id and event.data.get("what") == "remove"
