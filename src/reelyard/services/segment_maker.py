"""Making a segment of another worker's job.

What to make is decided here: the segment's item is taken from the job, its sources are brought to this machine and probed,
and it is planned as in the job's own plan, where a segment's key does not depend on what comes before it. What was offered is
only a key to look for. Who finds it there writes the same bytes; who does not, can't help.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reelyard.domain.errors import BadMedia, FFmpegFailed, FFmpegStalled, OutputRejected
from reelyard.domain.help import OfferedSegment
from reelyard.domain.job import Job
from reelyard.domain.plan import PictureSegment, Plan
from reelyard.domain.timeline import FRAME_RATE
from reelyard.engine.encoders import NVENC
from reelyard.engine.ffmpeg import StopSignal
from reelyard.engine.render import Run
from reelyard.files.job_log import JobLog

from .encode import Encoder, name_of
from .fetch import COPIES_AT_ONCE, Fetch
from .handover import found
from .made import PICTURE_SUFFIX
from .render_job import RenderJob
from .segments import Segments
from .storage import ROOM, check_free


class Unfit(Exception):
    """This machine can't make the segment, or can't hand it over: it is not to try this job again so soon."""


class CardRefuses(Exception):
    """This one is nothing for the graphics card. Its owner judges whether it is for the processor."""


@dataclass(frozen=True, slots=True)
class MadeSegment:
    """A finished, checked segment, which the cache has as well. ``facts`` are what its user has to know."""

    key: str
    path: Path
    facts: dict[str, Any]


class SegmentMaker:
    """Makes segments of one job in one folder. Any thread may call it; ``stop`` is for what they share."""

    def __init__(
        self,
        tools: RenderJob,
        fetch: Fetch,
        pin: str,
        job: Job,
        log: JobLog,
        folder: Path,
        stop: StopSignal,
    ) -> None:
        self._tools = tools
        self._fetch = fetch
        self._pin = pin
        self._items = {item.position: item for item in job.items}
        self._job = job
        self._log = log
        self._folder = folder
        self._stop = stop
        self._segments = Segments(tools.cache, None, log, stop.check)
        self._lock = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._plans: dict[int, Plan] = {}
        self._copying = threading.Semaphore(COPIES_AT_ONCE)

    def __call__(
        self, wanted: OfferedSegment, stop: StopSignal, watch: Callable[[int], None]
    ) -> MadeSegment:
        """Make a segment, whose file is the caller's to ``discard``.

        Raises Unfit, CardRefuses, and what else comes in between. ``stop`` is for this one.
        """
        plan = self._plan_of(wanted.position)
        segment = found(plan.items[0], wanted.key)
        if segment is None:
            raise Unfit(f"item {wanted.position} is not the same here as on the job's machine")
        folder = self._folder_of(wanted.key)
        folder.mkdir(parents=True)
        known = folder / "known.mp4"
        if taken := self._segments.take_here(wanted.key, PICTURE_SUFFIX, known):
            return MadeSegment(wanted.key, known, taken.facts)
        rate = plan.form.max_rate / 8 / FRAME_RATE
        needs = int(wanted.frames * rate) + ROOM
        check_free(self._tools.cache.free_bytes(), needs, self._tools.cache.root)
        return self._rendered(plan, segment, folder, stop, watch)

    def put(self, made: MadeSegment, check: Callable[[], None]) -> bool:
        """Put it where all machines find it; whether it is there."""
        store = self._tools.store
        return store is not None and store.put(
            made.key, PICTURE_SUFFIX, made.path, made.facts, check
        )

    def discard(self, key: str) -> None:
        """Remove what was made of a segment, or was being made."""
        shutil.rmtree(self._folder_of(key), ignore_errors=True)

    def _folder_of(self, key: str) -> Path:
        return self._folder / key[:16]

    def _rendered(
        self,
        plan: Plan,
        segment: PictureSegment,
        folder: Path,
        stop: StopSignal,
        watch: Callable[[int], None],
    ) -> MadeSegment:
        run = Run(self._tools.ffmpeg, self._log, stop)
        sessions = self._tools.sessions if plan.encoding.encoder == NVENC else None
        # A card that is busy is its owner's: nobody waits for it here.
        encode = Encoder(plan, run, self._log, sessions, pauses=())
        try:
            made, notes, sets = encode(segment, folder / "picture", watch)
        except (BadMedia, FFmpegFailed, OutputRejected) as refusal:
            if segment.spare is None or isinstance(refusal, FFmpegStalled):
                raise
            raise CardRefuses(f"{name_of(segment)}: {refusal.message}") from refusal
        facts = {"notes": notes, "sets": sets}
        self._tools.cache.add(segment.key, PICTURE_SUFFIX, made, facts)
        self._log.step(f"rendered {name_of(segment)}: {len(segment.frames)} frames")
        return MadeSegment(segment.key, made, facts)

    def _plan_of(self, position: int) -> Plan:
        """The plan of a film of this one item."""
        with self._lock:
            lock = self._locks.setdefault(position, threading.Lock())
        with lock:
            if position not in self._plans:
                self._plans[position] = self._planned(position)
            return self._plans[position]

    def _planned(self, position: int) -> Plan:
        if position not in self._items:
            raise Unfit(f"the job has no item {position}")
        job = replace(self._job, items=(self._items[position],))
        with self._copying:
            fetched = self._fetch(job, self._pin, self._stop.check, self._log.step)
        self._log.step(f"item {position}: {fetched}")
        return self._tools.planning.prepare(fetched.job, check=self._stop.check).plan
