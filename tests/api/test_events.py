"""What happens, over a real connection: nothing is lost, nobody sees what is not theirs, all streams end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
import uvicorn

from reelyard.api.app import create_app
from reelyard.api.events import Hub
from reelyard.api.server import Server
from reelyard.domain.access import Scope
from reelyard.services.live import Live
from reelyard.store.feed import Feed
from tests.api.house import House
from tests.store.conftest import finished

PATIENCE = 12.0
AT_ONCE = 3.0
"""Seconds: far below what the server would wait for connections that do not end."""


@dataclass
class Station:
    """The API on a socket, as ``reelyard serve`` has it."""

    house: House
    intervals: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        database = self.house.farm.reelyard.database
        office = replace(self.house.office, live=Live(Feed(database), every=0.02))
        app = create_app(office, dict, upload_limit=1, per_minute=0)
        self.hub = app.state.hub = Hub(office.live, **self.intervals)
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none",
                                timeout_graceful_shutdown=20)  # fmt: skip
        self._server = Server(config, self.hub)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    @cached_property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def watch(
        self, who: str = "mia", path: str = "/events", *, last: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stream:  # fmt: skip
        given = {"accept": "text/event-stream", **(headers or self.house.session(who))}
        if last is not None:
            given["last-event-id"] = str(last)
        return Stream(self.port, f"/api/v1{path}", given)


class Stream:
    """One watcher. It reads when it is told to, and not before."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.request("GET", path, headers=dict(headers))
        self.answer: HTTPResponse = self._connection.getresponse()
        self.first = self.answer.readline() if self.answer.status == 200 else b""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Events until the stream ends."""
        event: dict[str, Any] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "data":
                event |= {"kind": event.pop("event"), **json.loads(value)}
            elif name:
                event[name] = value
            elif "kind" in event:
                yield event
                event = {}
            else:
                event = {}

    def until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        seen = []
        for event in self:
            seen.append(event)
            if is_last(event):
                return seen
        raise AssertionError(f"the stream ended after {seen}")

    def lines(self, count: int) -> list[int]:
        """The numbers of the next so many lines of history."""
        found: list[int] = []
        for event in self:
            found += [event["id"]] if event["kind"] != "progress" else []
            if len(found) == count:
                return found
        raise AssertionError(f"the stream ended after {found}")

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@pytest.fixture(scope="module")
def station(house: House) -> Iterator[Station]:
    with closing(Station(house)) as one:
        yield one


@contextmanager
def other(house: House, **intervals: Any) -> Iterator[Station]:
    with closing(Station(house, intervals)) as one:
        yield one


def newest(house: House) -> int:
    return Feed(house.farm.reelyard.database).newest()


def of(house: House, name: str) -> str:
    """A queued job of somebody's."""
    return replace(house.books, user_id=house.user_id(name)).submit()


def test_a_stream_begins_at_once_and_tells_what_happens(station: Station, house: House) -> None:
    with closing(station.watch()) as stream:
        assert stream.answer.status == 200
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.first.startswith(b":")
        with closing(station.watch(last=newest(house))) as ready:
            job_id = of(house, "ann")
            ready.until(lambda event: event["job_id"] == job_id)
        [*_, event] = stream.until(lambda event: event["job_id"] == job_id)
        assert (event["kind"], event["what"]) == ("job", "submit")


def test_who_comes_back_gets_all_that_it_missed_once_and_in_order(
    station: Station, house: House
) -> None:
    """While jobs arrive without a pause, a watcher leaves and comes back after every few events."""
    begin = last = newest(house)
    over = threading.Event()

    def submit() -> None:
        for _ in range(60):
            of(house, "ann")
        over.set()

    submitting = threading.Thread(target=submit)
    submitting.start()
    seen: list[int] = []
    while len(seen) < 60:
        with closing(station.watch(last=last)) as stream:
            seen += stream.lines(min(9, 60 - len(seen)))
            last = seen[-1]
    submitting.join()
    lines = Feed(house.farm.reelyard.database).after(begin)
    wanted = [one.number for one in lines if one.happening.job_id]
    assert over.is_set()
    assert seen == wanted


def test_a_jobs_stream_tells_its_history_first_and_then_what_happens_to_it(
    station: Station, house: House
) -> None:
    job_id = of(house, "ann")
    house.worker()
    house.books.jobs.to_front(job_id)
    lease = house.books.take("pc1", job_id)
    with closing(station.watch("ann", f"/jobs/{job_id}/events")) as stream:
        first = stream.until(lambda event: event.get("what") == "claim")
        assert [event["what"] for event in first if event["kind"] == "job"] == [
            "submit", "move", "claim",
        ]  # fmt: skip
        of(house, "ann")
        house.books.leases.beat(lease, stage="rendering", progress=42)
        stream.until(lambda event: event["kind"] == "progress" and event["progress"] == 42)
        house.books.leases.complete(lease, finished())
        rest = stream.until(lambda event: event.get("what") == "complete")
        assert {event["job_id"] for event in [*first, *rest]} == {job_id}
    last = first[-1]["id"]
    with closing(station.watch("ann", f"/jobs/{job_id}/events", last=last)) as stream:
        assert [event["what"] for event in stream.until(lambda _: True)] == ["complete"]


def test_nobody_is_told_of_somebody_elses_job(station: Station, house: House) -> None:
    begin = newest(house)
    with closing(station.watch("ben")) as live, closing(station.watch("ben", last=begin)) as missed:
        anns = of(house, "ann")
        house.worker()
        house.books.jobs.to_front(anns)
        lease = house.books.take("pc1", anns)
        with closing(station.watch("mia", last=begin)) as boss:
            house.books.leases.beat(lease, stage="rendering", progress=7)
            boss.until(lambda event: event.get("progress") == 7 and event["job_id"] == anns)
        house.books.leases.refuse(lease, "no")
        bens = of(house, "ben")
        for stream in (live, missed):
            told = stream.until(lambda event: event["job_id"] == bens)
            assert anns not in {event["job_id"] for event in told}
            assert anns not in json.dumps(told)
    with closing(station.watch("ben", f"/jobs/{anns}/events")) as refused:
        assert refused.answer.status == 404
        assert json.loads(refused.answer.read())["code"] == "job_unknown"


def test_streams_are_for_who_may_look(station: Station, house: House) -> None:
    for headers, status in [
        ({"cookie": "reelyard_session=x"}, 401),
        (house.revoked("ann"), 401),
        (house.token("ann", Scope.WRITE), 403),
        (house.token("ann", Scope.READ), 200),
    ]:
        with closing(station.watch(headers=headers)) as stream:
            assert stream.answer.status == status
    for last in ("x", "-1", "1" * 30):
        given = {**house.session("ann"), "last-event-id": last}
        with closing(station.watch(headers=given)) as stream:
            assert stream.answer.status == 422
    with closing(station.watch(last=10**19)) as stream:
        assert stream.answer.status == 200


def test_a_watcher_that_does_not_read_is_let_go_and_the_others_do_not_suffer(
    house: House,
) -> None:
    """What it was not sent is not kept: it comes back with the last number that it saw."""
    with other(house, most_unread=50) as station:
        begin = newest(house)
        with closing(station.watch(last=begin)) as lazy, closing(station.watch(last=begin)) as keen:
            assert station.hub.watchers == 2
            books, job_id = house.books, of(house, "ann")
            keen.lines(1)
            for _ in range(60):
                for _ in range(10):
                    books.jobs.note(job_id, "told", "x" * 20_000)
                keen.lines(10)
                if station.hub.watchers == 1:
                    break
            assert station.hub.watchers == 1
            books.jobs.note(job_id, "told", "the last")
            [event] = keen.until(lambda event: event["kind"] == "job")
            assert event["message"] == "the last"
            numbers = [event["id"] for event in lazy if event["kind"] == "job"]
            lines = Feed(house.farm.reelyard.database).after(begin, 10_000, job_id=job_id)
            rest = [one.number for one in lines][len(numbers) :]
            assert [*numbers, *rest] == [one.number for one in lines]
            with closing(station.watch(last=numbers[-1])) as again:
                assert again.lines(1) == rest[:1]


def test_the_stream_of_who_signed_out_ends(house: House) -> None:
    with other(house, ping_seconds=0.05, ask_again_seconds=0.1) as station:
        session, token = house.session("ann"), house.token("ben", Scope.READ)
        secret = token["authorization"].removeprefix("Bearer ")
        with (
            closing(station.watch(headers=session)) as hers,
            closing(station.watch(headers=token)) as his,
            closing(station.watch("mia")) as stays,
        ):
            cookie = session["cookie"].partition("=")[2]
            house.access.sign_out(house.access.by_session(cookie))
            house.access.revoke_token(house.principal("ada"), house.tokens[secret])
            assert list(hers) == list(his) == []
            job_id = of(house, "ann")
            stays.until(lambda event: event["job_id"] == job_id)
            assert station.hub.watchers == 1


def test_a_silent_stream_says_that_it_is_there(house: House) -> None:
    with other(house, ping_seconds=0.05) as station, closing(station.watch()) as stream:
        assert [stream.answer.readline() for _ in range(5)] == [b"\n", stream.first] * 2 + [b"\n"]


def test_all_streams_end_at_once_when_the_server_does(house: House) -> None:
    job_id = of(house, "ann")
    with other(house) as station:
        streams = [station.watch() for _ in range(5)]
        streams.append(station.watch(path=f"/jobs/{job_id}/events"))
        streams[-1].lines(1)
        begun = time.monotonic()
        station.close()
        assert all(list(stream) == [] for stream in streams)
        assert time.monotonic() - begun < AT_ONCE
        for stream in streams:
            stream.close()


def test_nobody_looks_into_the_database_once_all_watchers_are_gone(house: House) -> None:
    with other(house) as station:
        with closing(station.watch()), closing(station.watch()):
            assert station.hub.watchers == 2
        ends_at = time.monotonic() + PATIENCE
        while station.hub.watchers and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert station.hub.watchers == 0
