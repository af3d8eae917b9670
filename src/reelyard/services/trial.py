"""A trial: one second of film by all the steps of a real job, with nothing taken from a cache."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from PIL import Image

from reelyard.domain.job import Item, ItemType, Job
from reelyard.files.work_folder import work_folder

from .render_job import RenderJob


def trial(root: Path, make: Callable[[Path], RenderJob]) -> None:
    """Render in a folder of its own under ``root``; ``make`` gives a renderer that caches there.

    Raises ReelyardError, or OSError where there can't be such a folder.
    """
    with work_folder(root) as folder:
        picture = folder / "picture.png"
        Image.linear_gradient("L").convert("RGB").save(picture)
        item = Item(position=1, item_type=ItemType.IMAGE, path=str(picture), named="trial picture",
                    duration=Fraction(1))  # fmt: skip
        job = Job(job_id=str(uuid.uuid4()), channel_name="Trial", items=(item,))
        make(folder)(job, folder / "film.mp4")
