"""How pages write times, sizes and speeds."""

from __future__ import annotations

from datetime import UTC, datetime


def clock(seconds: float | None) -> str:
    """A length as people write it: 0:05, 12:40, 1:02:03."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def span(seconds: float | None) -> str:
    """A wait as people say it: 40 s, 5 min, 2 h 10 min."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size(count: float | None) -> str:
    """Bytes, in the unit that fits."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def speed(value: float | None) -> str:
    """Seconds of film for each second of work."""
    return "–" if value is None else f"{value:.1f}×"


def ago(at: datetime | None) -> str:
    """How long ago something was."""
    if at is None:
        return "never"
    passed = (datetime.now(UTC) - at).total_seconds()
    if passed < 5:
        return "just now"
    if passed < 86_400:
        return f"{span(passed)} ago"
    return f"{at:%Y-%m-%d %H:%M} UTC"
