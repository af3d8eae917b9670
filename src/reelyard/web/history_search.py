"""What is searched for in the history: as the address of the page has it, and as a query of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import JobQuery, Sort
from reelyard.domain.routing import Queue

SORTS = {
    Sort.NEWEST: "Newest first",
    Sort.OLDEST: "Oldest first",
    Sort.LAST_DONE: "Last done first",
    Sort.FIRST_DONE: "First done first",
    Sort.LONGEST: "Longest first",
    Sort.CHANNEL: "By channel",
}
PAGE = 40
_LONGEST = 500  # of what an address may hold for one field
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The fields of the form; empty ones ask for nothing. Days are UTC, both included."""

    text: str = ""
    status: tuple[JobStatus, ...] = ()
    channel: str = ""
    user: str = ""
    queue: Queue | None = None
    worker: str = ""
    since: date | None = None
    until: date | None = None
    clip: str = ""
    sort: Sort = Sort.NEWEST

    @property
    def is_narrow(self) -> bool:
        """Whether it leaves out any job."""
        return replace(self, sort=Sort.NEWEST) != Wanted() or self.sort in _ENDED_ONLY

    def query(self, cursor: str | None = None) -> JobQuery:
        return JobQuery(
            statuses=self.status,
            channel=self.channel or None,
            username=self.user.strip() or None,
            queue=self.queue,
            worker=self.worker or None,
            since=midnight(self.since),
            until=None if self.until is None else midnight(self.until + timedelta(days=1)),
            text=self.text.strip() or None,
            uses=self.clip.strip() or None,
            sort=self.sort,
            limit=PAGE,
            cursor=cursor,
        )

    def address(self) -> str:
        """What of it stands in the page's address, so that a search can be kept and sent."""
        unset = Wanted()
        told = {
            one.name: _text(getattr(self, one.name))
            for one in fields(self)
            if getattr(self, one.name) != getattr(unset, one.name)
        }
        return urlencode(told, errors="surrogateescape")

    def csv_address(self) -> str:
        """Where the API has the results of this channel and time as a spreadsheet."""
        return csv_address(self.channel, self.query().since, self.query().until)


_ENDED_ONLY = (Sort.LAST_DONE, Sort.FIRST_DONE)


def wanted_of(told: Mapping[str, str]) -> Wanted:
    """The fields from an address. What means nothing is left out: an address may be anybody's."""
    texts = {
        name: told[name][:_LONGEST].replace("\0", "")
        for name in ("text", "channel", "user", "worker", "clip")
        if name in told
    }
    statuses = (_one(JobStatus, part) for part in told.get("status", "").split(","))
    return Wanted(
        **texts,
        status=tuple(dict.fromkeys(one for one in statuses if one is not None)),
        queue=_one(Queue, told.get("queue", "")),
        since=day_of(told.get("since")),
        until=day_of(told.get("until")),
        sort=_sort(told.get("sort", "")),
    )


def day_of(text: object) -> date | None:
    """The day that a field names; None where it names none."""
    try:
        found = date.fromisoformat(str(text or "").strip())
    except ValueError:
        return None
    return found if 1970 <= found.year <= 9000 else None


def midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def csv_address(channel: str, since: datetime | None, until: datetime | None) -> str:
    told = {
        "channel": channel,
        "since": since.isoformat() if since else "",
        "until": until.isoformat() if until else "",
    }
    asked = urlencode(
        {name: value for name, value in told.items() if value}, errors="surrogateescape"
    )
    return f"/api/v1/history/results.csv?{asked}" if asked else "/api/v1/history/results.csv"


def _sort(text: str) -> Sort:
    found = _one(Sort, text)
    return found if found in SORTS else Sort.NEWEST


def _one(kind: type[E], text: str) -> E | None:
    return next((one for one in kind if one.value == text), None)


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
