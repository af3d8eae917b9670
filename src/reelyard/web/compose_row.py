"""One row of a compilation that is being put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from reelyard.domain.errors import printable
from reelyard.domain.job import STILL_SECONDS, ItemType
from reelyard.services.clips import Clip
from reelyard.store.rows import decoded, encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One item of the list. What its type has no use for is kept, and left out of the job.

    ``path`` is as a job file has it, also for names that are no text. ``of_template`` rows go when
    another template comes.
    """

    row_id: int = 0
    name: str
    item_type: ItemType = ItemType.VIDEO
    path: str | None = None
    video_id: str | None = None
    duration: float | None = None
    start: float | None = None
    end: float | None = None
    logo_path: str | None = None
    text: str | None = None
    of_template: bool = False

    @property
    def is_image(self) -> bool:
        return self.item_type is ItemType.IMAGE

    @property
    def is_video(self) -> bool:
        return self.item_type is ItemType.VIDEO

    def shown_seconds(self, source: float | None) -> float | None:
        """How long it is in the film, where the clip lasts ``source`` seconds."""
        if self.is_image:
            return float(STILL_SECONDS) if self.duration is None else self.duration
        end = self.end if source is None else min(self.end or source, source)
        return None if end is None else max(0.0, end - (self.start or 0.0))

    def item(self) -> dict[str, Any]:
        """The item as a job file has it."""
        said: dict[str, Any] = {"item_type": self.item_type.value}
        said["video_id" if self.video_id else "path"] = self.video_id or self.path
        if self.is_image:
            said["duration"] = self.duration
        else:
            said |= {"start": self.start, "end": self.end}
        if self.is_video:
            said |= {"logo_path": self.logo_path, "text_animation_text": self.text}
        return {name: value for name, value in said.items() if value not in (None, "")}


def row_of_clip(clip: Clip) -> Row:
    """A new row for a clip of the library; a picture is shown for five seconds."""
    return Row(
        name=printable(clip.name),
        item_type=ItemType.IMAGE if clip.is_image else ItemType.VIDEO,
        path=encoded(clip.path),
        video_id=clip.video_id,
        duration=float(STILL_SECONDS) if clip.is_image else None,
    )


def row_of_item(item: Mapping[str, Any]) -> Row:
    """The row for an item of a job file."""
    path, video_id = item.get("path"), item.get("video_id")
    return Row(
        name=printable(PurePath(decoded(path)).name if path else str(video_id)),
        item_type=ItemType(item["item_type"]),
        path=path,
        video_id=video_id,
        duration=item.get("duration"),
        start=item.get("start"),
        end=item.get("end"),
        logo_path=item.get("logo_path"),
        text=item.get("text_animation_text"),
    )
