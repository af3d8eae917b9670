"""What is wanted of a film: all of it, or a small one to look at, or some of its items.

Positions are those of the whole list, as operators count them, so an item is called the same in an excerpt, and its
segments are those of the whole film.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .errors import Problem

LONGEST_ITEM_SECONDS = 3600
"""The most that a draft shows of an item where it doesn't show all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """``item_seconds``: only so much of each item, in a draft. ``first_item`` and ``last_item`` are
    positions, both inclusive; None: from the beginning, to the end.
    """

    is_draft: bool = False
    item_seconds: Fraction | None = None
    first_item: int | None = None
    last_item: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is the film itself, which goes into the books as a compilation."""
        return not self.is_draft and not self.is_range

    @property
    def is_range(self) -> bool:
        return self.first_item is not None or self.last_item is not None

    def has(self, position: int) -> bool:
        first, last = self.first_item, self.last_item
        return (first is None or first <= position) and (last is None or position <= last)

    def renumbered(self, positions: Sequence[int]) -> Excerpt:
        """The same items where those of these positions, in their order, are counted from 1."""
        inside = [at for at, position in enumerate(positions, 1) if self.has(position)]
        if not inside:
            return self
        first = None if self.first_item is None else inside[0]
        last = None if self.last_item is None else inside[-1]
        return replace(self, first_item=first, last_item=last)

    def problems(self, positions: Collection[int]) -> list[Problem]:
        """What is wrong with it for a list whose items have these positions."""
        found = list(filter(None, [self._out_of_order(), self._outside(positions)]))
        if not found and positions and not any(map(self.has, positions)):
            found.append(_problem("range_empty", f"there are no {self._items}",
                                  "Let the range hold an item's position", "first_item"))  # fmt: skip
        if self.item_seconds is not None and not self.is_draft:
            found.append(_problem("drafts_only", "is for drafts",
                                  "Make it a draft with draft: true, or leave item_seconds out; "
                                  "a clip of a film is trimmed with start and end", "item_seconds"))  # fmt: skip
        return found

    def _out_of_order(self) -> Problem | None:
        first, last = self.first_item, self.last_item
        if first is None or last is None or first <= last:
            return None
        return _problem("range_reversed", f"is {last}, which comes before first_item, {first}",
                        "Give the lower position as first_item", "last_item")  # fmt: skip

    def _outside(self, positions: Collection[int]) -> Problem | None:
        low, high = min(positions, default=1), max(positions, default=1)
        for field, named in (("first_item", self.first_item), ("last_item", self.last_item)):
            if named is not None and positions and not low <= named <= high:
                return _problem("range_outside", f"is {named}, and the items are {low} to {high}",
                                f"Name a position from {low} to {high}", field)  # fmt: skip
        return None

    @property
    def fields(self) -> dict[str, bool | float | int | None]:
        """In the words of job files and of the API."""
        return {
            "draft": self.is_draft,
            "item_seconds": None if self.item_seconds is None else float(self.item_seconds),
            "first_item": self.first_item,
            "last_item": self.last_item,
        }

    @property
    def suffix(self) -> str:
        """What the film's name ends in, so that nobody takes it for the whole film; empty for that."""
        first, last = self.first_item, self.last_item
        if first == last:
            items = "" if first is None else f"_item_{first}"
        elif first is None:
            items = f"_items_to_{last}"
        else:
            items = f"_items_from_{first}" if last is None else f"_items_{first}-{last}"
        return f"{'_draft' if self.is_draft else ''}{items}"

    def __str__(self) -> str:
        """In a few words; empty for the whole film."""
        draft = "draft" if self.is_draft else ""
        if draft and self.item_seconds is not None:
            draft += f" of {float(self.item_seconds):g} s of each item"
        return ", ".join(filter(None, (draft, self._items)))

    @property
    def _items(self) -> str:
        first, last = self.first_item, self.last_item
        if first == last:
            return "" if first is None else f"item {first}"
        if first is None:
            return f"items to {last}"
        return f"items from {first}" if last is None else f"items {first}-{last}"


WHOLE = Excerpt()


def _problem(code: str, message: str, remedy: str, field: str) -> Problem:
    return Problem(code=code, message=message, remedy=remedy, field=field)
