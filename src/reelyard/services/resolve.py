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


def resolve(job: Job, catalogue: Callable[[], Catalogue]) -> tuple[Job, list[Problem]]:
    """The job with a path for every item that can have one, and a problem for every other."""
    wanted = {item.video_id for item in job.items if item.video_id and not item.path}
    if not wanted:
        return job, []
    found = catalogue().find(wanted)
    items = tuple(
        item if item.path else replace(item, path=found.get(item.video_id or "", ""))
        for item in job.items
    )
    return replace(job, items=items), [_problem(item) for item in items if not item.path]


def _problem(item: Item) -> Problem:
    return Problem(
        code="unknown_video",
        message=f"no video {item.video_id} is in the catalogue",
        remedy="Correct the id, or add the video to the catalogue (reelyard library scan)",
        position=item.position,
        field="video_id",
    )
