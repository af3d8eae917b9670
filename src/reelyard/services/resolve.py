"""Video ids become paths: all of a job's in one query."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from reelyard.domain.errors import JobRejected, Problem
from reelyard.domain.job import Item, Job


class Catalogue(Protocol):
    """Knows where videos are."""

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """The paths of those ids that are known, asked for all at once."""
        ...


def resolve(job: Job, catalogue: Catalogue) -> Job:
    """The job with a path for every item. Raises JobRejected naming every unknown id."""
    wanted = {item.video_id for item in job.items if item.video_id}
    if not wanted:
        return job
    found = catalogue.find(wanted)
    unknown = [item for item in job.items if item.video_id and item.video_id not in found]
    if unknown:
        raise JobRejected([_problem(item) for item in unknown])
    items = tuple(
        replace(item, path=found[item.video_id]) if item.video_id else item for item in job.items
    )
    return replace(job, items=items)


def _problem(item: Item) -> Problem:
    return Problem(
        code="unknown_video",
        message=f"no video {item.video_id} is in the catalogue",
        remedy="Correct the id, or add the video with reelyard library scan",
        position=item.position,
        field="video_id",
    )
