"""What the farm did in the last days, ready to be drawn: every day has a place, also one without films."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from reelyard.domain.query import Total

_NOTHING = {
    "completed": 0, "failed": 0, "seconds_of_film": 0.0, "seconds_of_work": 0.0, "all_frames": 0,
    "rendered_frames": 0,
}  # fmt: skip
NAMES = {
    "logo_overlay": "Logo",
    "text_animation": "Animated text",
    "image_slides": "Images",
    "4k_output": "4K",
}
"""What people call the features of the results table."""


def first_day(days: int, today: date | None = None) -> date:
    """Where a period of so many days begins that ends with today (UTC)."""
    return (today or datetime.now(UTC).date()) - timedelta(days=days - 1)


def filled(totals: Sequence[Total], first: date, days: int) -> list[Total]:
    """One total for each day of the period, in order."""
    known = {one.name: one for one in totals}
    names = [(first + timedelta(days=count)).isoformat() for count in range(days)]
    return [known.get(name) or nothing(name) for name in names]


def nothing(name: str) -> Total:
    """The total of a day without films."""
    return Total(name=name, **_NOTHING)  # type: ignore[arg-type]


def short(day: str) -> str:
    """A day under a chart: Nov 3."""
    found = date.fromisoformat(day)
    return f"{found:%b} {found.day}"


def films_said(days: Sequence[Total]) -> str:
    done, failed = sum(one.completed for one in days), sum(one.failed for one in days)
    if not done and not failed:
        return f"No films in {len(days)} days."
    best = max(days, key=lambda one: one.completed)
    return (
        f"{_films(done)} completed and {failed} failed in {len(days)} days; "
        f"most on {short(best.name)}, {best.completed}."
    )


def minutes_said(days: Sequence[Total]) -> str:
    return _said(days, lambda one: one.seconds_of_film / 60, "{:,.0f} minutes of film in {} days; "
                 "most on {}, {:,.0f}.", "No film was rendered in {} days.")  # fmt: skip


def cache_said(days: Sequence[Total]) -> str:
    """How much caches saved over the whole period."""
    frames = sum(one.all_frames for one in days)
    if not frames:
        return f"No film was rendered in {len(days)} days."
    share = 1 - sum(one.rendered_frames for one in days) / frames
    return f"{share:.0%} of all film in {len(days)} days was in a cache and not rendered again."


def speed_said(workers: Sequence[Total]) -> str:
    known = [(one.speed, one.name) for one in workers if one.speed is not None]
    if not known:
        return "No worker has completed a film in this time."
    best, name = max(known)
    return f"Seconds of film for each second of work. {name} is the fastest: {best:.1f}×."


def _said(
    days: Sequence[Total], value: Callable[[Total], float], some: str, none: str
) -> str:  # fmt: skip
    whole = sum(map(value, days))
    if not whole:
        return none.format(len(days))
    best = max(days, key=value)
    return some.format(whole, len(days), short(best.name), value(best))


def _films(count: int) -> str:
    return f"{count} film{'' if count == 1 else 's'}"
