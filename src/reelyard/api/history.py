"""What was done: results, totals, channels."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from reelyard.domain.query import Grouping

from .identity import TheOffice, Who
from .jobs import aware
from .schemas import outs
from .schemas_office import ResultOut, TotalOut

router = APIRouter(prefix="/history", tags=["history"])
_MOST = 100_000
Channel = Annotated[str | None, Query(max_length=200)]


@router.get("/results")
def results(
    office: TheOffice,
    who: Who,
    channel: Channel = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[ResultOut]:
    """The newest rows of `compilation_results`: operators get their own.

    The last row's `timestamp` as `until` gets the ones before it.
    """
    found = office.history.results(who, channel=channel, since=aware(since, "since"),
                                   until=aware(until, "until"), limit=limit)  # fmt: skip
    return outs(ResultOut, found)


@router.get("/results.csv", response_class=Response,
            responses={200: {"content": {"text/csv": {}}}})  # fmt: skip
def results_csv(
    office: TheOffice,
    who: Who,
    channel: Channel = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Response:
    """The same for a spreadsheet; up to a hundred thousand rows."""
    found = office.history.results(who, channel=channel, since=aware(since, "since"),
                                   until=aware(until, "until"), limit=_MOST)  # fmt: skip
    headers = {"Content-Disposition": 'attachment; filename="reelyard-results.csv"'}
    return Response(office.history.as_csv(found), media_type="text/csv", headers=headers)


@router.get("/totals")
def totals(
    office: TheOffice,
    who: Who,
    by: Grouping = Grouping.DAY,
    channel: Channel = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[TotalOut]:
    """Films, minutes, cache shares and speeds, added up by day, channel, user, worker or feature."""
    found = office.history.totals(
        who, by, aware(since, "since"), aware(until, "until"), channel=channel
    )
    return outs(TotalOut, found)


@router.get("/channels")
def channels(office: TheOffice, who: Who) -> list[str]:
    """The channels that there were jobs for."""
    return list(office.history.channels(who))
