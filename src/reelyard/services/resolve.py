"""Video ids become paths: all of a job's in one query."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from reelyard.domain.errors import Problem
from reelyard.domain.job import Item, Job


class Catalogue(Protocol):
    """Knows where videos are."""

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """The paths of those ids that are known, asked for all at once."""
        ...


class CheckedCatalogue(Catalogue, Protocol):
    """One that can be examined."""

    def check(self) -> str:
        """What there is, in words. Raises ReelyardError."""
        ...


def resolve(
    job: Job, catalogue: Callable[[], Catalogue], but: Collection[int | None] = ()
) -> tuple[Job, list[Problem]]:
    """The job with a path for every item that can have one, and a problem for every other.

    Nothing is asked of items in the places of ``but``: what is wrong with them is known.
    """
    wanted = {
        item.video_id
        for item in job.items
        if item.video_id and not item.path and item.position not in but
    }
    if not wanted:
        return job, []
    found = catalogue().find(wanted)
    items = tuple(
        item if item.path else replace(item, path=found.get(item.video_id or "", ""))
        for item in job.items
    )
    unknown = [item for item in items if not item.path and item.position not in but]
    return replace(job, items=items), [_problem(item) for item in unknown]


def _problem(item: Item) -> Problem:
    return Problem(
        code="unknown_video",
        message=f"no video {item.video_id} is in the catalogue",
        remedy="Correct the id, or add the video to the catalogue (reelyard library scan)",
        position=item.position,
        field="video_id",
    )
