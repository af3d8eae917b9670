"""The history page's own sums and addresses: a search can be kept, and days without films are zero."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl

from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import Sort, Total
from reelyard.domain.routing import Queue
from reelyard.web.history_days import cache_said, filled, films_said, nothing
from reelyard.web.history_search import Wanted, wanted_of

DAY = Total(
    name="2026-02-03", completed=3, failed=1, seconds_of_film=600.0, seconds_of_work=200.0,
    all_frames=1000, rendered_frames=250,
)  # fmt: skip


def test_a_search_comes_back_from_its_address() -> None:
    """What is searched for stands in the address, with signs that mean something in addresses."""
    wanted = Wanted(
        text="50 % & more", status=(JobStatus.FAILED, JobStatus.CANCELLED), channel="Кино",
        user="ann", queue=Queue.GPU, worker="pc1@a", since=date(2026, 1, 2),
        until=date(2026, 1, 3), clip="/media/a+b.mp4", sort=Sort.LONGEST,
    )  # fmt: skip
    assert wanted_of(dict(parse_qsl(wanted.address()))) == wanted
    assert wanted.is_narrow
    assert Wanted().address() == ""
    assert not Wanted().is_narrow


def test_an_address_that_means_nothing_asks_for_everything() -> None:
    """An address may be anybody's: what is in it and is no value is left out."""
    told = {"status": "gone,", "queue": "x", "since": "tomorrow", "until": "9999-12-31",
            "sort": "turn", "cursor": "?"}  # fmt: skip
    assert wanted_of(told) == Wanted()


def test_the_last_day_is_included() -> None:
    """People mean the whole of the day that they name."""
    query = Wanted(since=date(2026, 1, 2), until=date(2026, 1, 2)).query()
    assert query.since == datetime(2026, 1, 2, tzinfo=UTC)
    assert query.until == query.since + timedelta(days=1)


def test_days_without_films_are_zero_and_in_order() -> None:
    """A chart has a place for each day, also for those that nothing was made on."""
    days = filled([DAY], date(2026, 2, 2), 3)
    assert days == [nothing("2026-02-02"), DAY, nothing("2026-02-04")]
    assert films_said(days) == "3 films completed and 1 failed in 3 days; most on Feb 3, 3."
    assert cache_said(days).startswith("75% of all film")
    assert films_said(filled([], date(2026, 2, 2), 7)) == "No films in 7 days."
