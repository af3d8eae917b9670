"""Times as people type them."""

from __future__ import annotations

import math
import re

_PARTS = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:[.,]\d*)?|[.,]\d+)\s*s?")


def seconds_from(text: str | None) -> float | None:
    """The seconds of 12, 12.5, 1:05 or 1:02:03; None for nothing. Raises ValueError."""
    written = (text or "").strip()
    if not written:
        return None
    found = _PARTS.fullmatch(written)
    if found is None:
        raise ValueError("no time")
    hours, minutes, rest = found.groups(default="0")
    seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    if not math.isfinite(seconds):
        raise ValueError("no time")
    return round(seconds, 3)


def written(seconds: float | None) -> str:
    """The same the other way, with as many decimals as it has."""
    if seconds is None:
        return ""
    whole, rest = divmod(round(seconds * 1000), 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    if not whole:
        return tail
    hours, minutes = divmod(whole, 60)
    padded = tail.zfill(2) if "." not in tail else tail.zfill(len(tail.split(".")[1]) + 3)
    return f"{hours}:{minutes:02}:{padded}" if hours else f"{minutes}:{padded}"
