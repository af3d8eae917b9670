"""Encoding a picture segment, on a graphics card that does only so many encodes at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from reelyard.domain.errors import GraphicsCardBusy
from reelyard.domain.plan import PictureSegment, Plan
from reelyard.engine import render
from reelyard.files.job_log import JobLog
from reelyard.files.slots import Slots

BUSY_PAUSES = (2.0, 5.0, 15.0, 30.0)
_STOPS_WITHIN = 0.2


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes the segments of one plan. ``sessions``: how many the card takes, from all processes here.

    Other programs encode on the card as well: where it is busy, it is asked again after each of the ``pauses``.
    """

    plan: Plan
    run: render.Run
    log: JobLog
    sessions: Slots | None = None
    pauses: Sequence[float] = BUSY_PAUSES

    def __call__(
        self, segment: PictureSegment, folder: Path, watch: Callable[[int], None]
    ) -> tuple[Path, list[str], str]:
        """Render the segment as ``render_picture`` does. Raises GraphicsCardBusy where it stays so."""
        for pause in self.pauses:
            try:
                return self._once(segment, folder, watch)
            except GraphicsCardBusy as busy:
                self.log.step(f"{name_of(segment)}: {busy} Again in {pause:g} s.")
            self._wait(pause)
        return self._once(segment, folder, watch)

    def _once(
        self, segment: PictureSegment, folder: Path, watch: Callable[[int], None]
    ) -> tuple[Path, list[str], str]:
        with self.sessions.one(self.run.stop.check) if self.sessions else nullcontext():
            return render.render_picture(
                self.run, segment.recipe, self.plan.encoding, self.plan.form, folder, watch
            )

    def _wait(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self.run.stop.check()
            time.sleep(min(_STOPS_WITHIN, left))


def name_of(segment: PictureSegment) -> str:
    """A segment as logs call it."""
    return f"item {segment.position} part {segment.part + 1}"
