"""The options that say what is wanted of a film; they go before what the job file says."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from reelyard.domain.errors import SettingsInvalid, printable

Draft = Annotated[
    bool | None,
    typer.Option("--draft/--no-draft", help="A small film, of 360 lines, to look at."),
]
ItemSeconds = Annotated[
    float | None, typer.Option(help="Only so many seconds of each item; drafts only.")
]
Items = Annotated[
    str | None,
    typer.Option(metavar="A-B", help="Only these items, by position: 3-7, 3-, -7, 5; or all."),
]
_RANGE = re.compile(r"(\d{1,9})?\s*[-–]\s*(\d{1,9})?|(\d{1,9})", re.ASCII)


def instead(draft: bool | None, item_seconds: float | None, items: str | None) -> dict[str, object]:
    """The fields of a job file that were said otherwise. Raises SettingsInvalid."""
    found: dict[str, object] = {}
    if draft is not None:
        found["draft"] = draft
    if item_seconds is not None or draft is False:
        found["item_seconds"] = item_seconds
    if items is not None:
        found["first_item"], found["last_item"] = item_range(items)
    return found


def item_range(text: str) -> tuple[int | None, int | None]:
    """The first and the last position, both inclusive. Raises SettingsInvalid."""
    written = text.strip()
    if written == "all":
        return None, None
    match = _RANGE.fullmatch(written)
    if match is None or not any(match.groups()):
        raise SettingsInvalid(f"--items {printable(text)} names no items",
                              remedy="Write 3-7, 3-, -7, 5 or all")  # fmt: skip
    first, last, only = (None if one is None else int(one) for one in match.groups())
    return (only, only) if only is not None else (first, last)
