"""A compilation that is being put together: its rows and settings, and everything that can be done to them.

All of it is values: a change gives another compilation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Self

from reelyard.domain.excerpt import WHOLE, Excerpt
from reelyard.domain.farm import NORMAL_PRIORITY
from reelyard.domain.job import ItemType, OnBadItem

from .compose_row import Row, row_of_item


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What is said of the job as a whole."""

    channel_name: str = ""
    enable_4k: bool = False
    loudness: bool = False
    chapters: bool = False
    on_bad_item: OnBadItem = OnBadItem.FAIL
    priority: int = NORMAL_PRIORITY
    excerpt: Excerpt = WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """Rows in their order, each with an id that no other row ever had."""

    rows: tuple[Row, ...] = ()
    settings: JobSettings = field(default_factory=JobSettings)
    next_id: int = 1

    def index(self, row_id: int) -> int | None:
        return next((n for n, row in enumerate(self.rows) if row.row_id == row_id), None)

    def row(self, row_id: int) -> Row | None:
        index = self.index(row_id)
        return None if index is None else self.rows[index]

    def _with(self, rows: Iterable[Row]) -> Self:
        """These rows; the ones without an id get one."""
        numbered, next_id = [], self.next_id
        for row in rows:
            numbered.append(row if row.row_id else replace(row, row_id=next_id))
            next_id += not row.row_id
        return replace(self, rows=tuple(numbered), next_id=next_id)

    def add(self, rows: Iterable[Row]) -> Self:
        """New rows at the end; before a template's end, if there is one."""
        new = [replace(row, row_id=0) for row in rows]
        end = len(self.rows)
        while end and self.rows[end - 1].of_template and self._is_after(end - 1):
            end -= 1
        return self._with([*self.rows[:end], *new, *self.rows[end:]])

    def _is_after(self, index: int) -> bool:
        return self.rows[index].item_type not in (ItemType.INTRO, ItemType.TRANSITION)

    def remove(self, row_ids: Collection[int]) -> Self:
        return self._with(row for row in self.rows if row.row_id not in row_ids)

    def move(self, row_id: int, index: int) -> Self:
        """The row at another place, counted without it; beyond the ends is at the ends."""
        row = self.row(row_id)
        if row is None:
            return self
        rows = [one for one in self.rows if one.row_id != row_id]
        rows.insert(max(0, min(index, len(rows))), row)
        return replace(self, rows=tuple(rows))

    def step(self, row_id: int, by: int) -> Self:
        """The row further up or down."""
        index = self.index(row_id)
        return self if index is None else self.move(row_id, max(0, index + by))

    def duplicate(self, row_ids: Collection[int]) -> Self:
        """Each with a copy behind it."""
        rows: list[Row] = []
        for row in self.rows:
            rows.append(row)
            if row.row_id in row_ids:
                rows.append(replace(row, row_id=0, of_template=False))
        return self._with(rows)

    def change(self, row_ids: Collection[int], **changes: Any) -> Self:
        """Fields of rows set; what is asked of rows that are not there is nothing."""
        rows = (replace(row, **changes) if row.row_id in row_ids else row for row in self.rows)
        return replace(self, rows=tuple(rows))

    def set_type(self, row_ids: Collection[int], item_type: ItemType) -> Self:
        return self.change(row_ids, item_type=item_type)

    def set_on_videos(self, row_ids: Collection[int], **changes: Any) -> Self:
        """The same for a logo and a text, which only videos have."""
        return self.change({row.row_id for row in self.rows if row.is_video} & set(row_ids), **changes)  # fmt: skip

    def set_on_images(self, row_ids: Collection[int], seconds: float | None) -> Self:
        images = {row.row_id for row in self.rows if row.is_image}
        return self.change(images & set(row_ids), duration=seconds)

    def with_settings(self, **changes: Any) -> Self:
        return replace(self, settings=replace(self.settings, **changes))

    def with_template(self, template: Mapping[str, Any]) -> Self:
        """A template's ends around the rows, in place of another template's, and its style on them.

        ``template`` is in the words of ``template_document``.
        """

        def ends(name: str) -> list[Row]:
            return [replace(row_of_item(one), of_template=True) for one in template[name]]

        own = [row for row in self.rows if not row.of_template]
        styled = [_styled(row, template) for row in own]
        flags = {name: template[name] for name in ("enable_4k", "loudness", "chapters")}
        channel = self.settings.channel_name.strip() or template["channel_name"]
        made = self._with([*ends("before"), *styled, *ends("after")])
        return made.with_settings(**flags, channel_name=channel)

    def to_template(self, name: str) -> dict[str, Any]:
        """What a template would keep of this: intros and outros at the ends, and the common style."""
        videos = [row for row in self.rows if row.is_video]
        stills = [row.duration for row in self.rows if row.is_image and row.duration]
        flags = ("channel_name", "enable_4k", "loudness", "chapters")
        return {
            "name": name,
            **{flag: getattr(self.settings, flag) for flag in flags},
            "before": [row.item() for row in _run(self.rows, ItemType.INTRO)],
            "after": [row.item() for row in reversed(_run(self.rows[::-1], ItemType.OUTRO))],
            "logo_path": _common([row.logo_path for row in videos if row.logo_path]),
            "text": _common([row.text for row in videos if row.text]),
            "still_seconds": _common(stills),
        }

    def to_document(self) -> dict[str, Any]:
        """The job as a job file has it."""
        settings = self.settings
        return {
            "channel_name": settings.channel_name,
            "enable_4k": settings.enable_4k,
            "on_bad_item": settings.on_bad_item.value,
            "loudness": settings.loudness,
            "chapters": settings.chapters,
            **{name: value for name, value in settings.excerpt.fields.items() if value},
            "items": [row.item() for row in self.rows],
        }

    def from_document(self, document: Mapping[str, Any]) -> Self:
        """What a job file says, in place of these rows and settings."""
        names = ("channel_name", "enable_4k", "loudness", "chapters")
        said = {name: document[name] for name in names if name in document}
        how = OnBadItem(document.get("on_bad_item", OnBadItem.FAIL))
        blank = replace(self, settings=JobSettings())
        made = blank._with(row_of_item(one) for one in document["items"])
        return made.with_settings(**said, on_bad_item=how, excerpt=_excerpt(document))

    @property
    def wanted(self) -> Sequence[Row]:
        """The rows that are to be in the film."""
        has = self.settings.excerpt.has
        return [row for at, row in enumerate(self.rows, 1) if has(at)]

    def cleared(self) -> Self:
        """Nothing, as in the beginning; ids are still not given twice."""
        return replace(self, rows=(), settings=JobSettings())


def _excerpt(document: Mapping[str, Any]) -> Excerpt:
    seconds = document.get("item_seconds")
    return Excerpt(
        is_draft=document.get("draft", False),
        item_seconds=None if seconds is None else Fraction(str(seconds)),
        first_item=document.get("first_item"),
        last_item=document.get("last_item"),
    )


def _styled(row: Row, template: Mapping[str, Any]) -> Row:
    if row.is_video:
        logo, text = template["logo_path"], template["text"]
        return replace(row, logo_path=logo or row.logo_path, text=text or row.text)
    if row.is_image and template["still_seconds"]:
        return replace(row, duration=template["still_seconds"])
    return row


def _run(rows: Sequence[Row], item_type: ItemType) -> list[Row]:
    """The rows of one type that ``rows`` begins with."""
    found: list[Row] = []
    for row in rows:
        if row.item_type is not item_type:
            break
        found.append(row)
    return found


def _common(values: Sequence[Any]) -> Any:
    """What more than half of them are, if anything."""
    if not values:
        return None
    value, count = Counter(values).most_common(1)[0]
    return value if count * 2 > len(values) else None
