"""Making a film's picture: segments come from the cache, from the store, from helpers, or are rendered here.

What is to be rendered is known before anything is: longest segments first, others are asked to help with them, and what
only lies elsewhere is brought beside the rendering. Of a segment that a helper has, nothing is waited for but the
helper's heartbeat: without it, or where the helper is slower than this machine would be, it is rendered here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reelyard.domain.errors import (
    BadMedia,
    FFmpegFailed,
    FFmpegStalled,
    OutputRejected,
    ReelyardError,
)
from reelyard.domain.help import OfferStanding, OfferState, worth_taking_over
from reelyard.domain.plan import PictureSegment

from .encode import Encoder, name_of
from .help import NO_HELP, Help
from .made import PICTURE_SUFFIX, segment_name
from .piecework import Piecework, Task
from .progress import PICTURE

BRINGING = 2
_LOOKING = 8
_LOOK_SECONDS = 0.2


class PicturePieces:
    """The picture of one plan. ``bringing`` does what only moves bytes, beside the rendering."""

    def __init__(
        self,
        work: Piecework,
        encode: Encoder,
        bringing: ThreadPoolExecutor,
        help_: Help = NO_HELP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._encode = encode
        self._bringing = bringing
        self._help = help_
        self._clock = clock
        self._shown = Counter(segment.key for segment in work.plan.picture)
        self._unique = {segment.key: segment for segment in work.plan.picture}
        self._changed = threading.Condition(work.lock)
        self._asked: set[str] = set()  # brought, or on the way
        self._missed: set[str] = set()  # was to be brought, and was not there
        self._theirs: set[str] = set()  # a helper was at it when it was its turn
        self._done: set[str] = set()
        self._rendered = (0, 0.0)  # frames, seconds

    def tasks(self) -> list[Task]:
        """What this machine does itself; what lies in the store is on its way then, and others were asked to help."""
        segments = self._work.segments
        here = {key: segments.holds(key, PICTURE_SUFFIX) for key in self._unique}
        away = self._away([key for key, is_here in here.items() if not is_here])
        missing = self._longest_first(key for key in here if not here[key] and key not in away)
        self._help.offer(self._work.plan, missing, self._hear)
        self._bring(away, None)
        held = [segment for key, segment in self._unique.items() if here[key]]
        # What is missing comes first: what is there only needs to be looked at.
        return [*map(self._task, missing), *map(self._held_task, held)]

    def left(self) -> list[Task]:
        """What else there is to do here, once it is known; nothing when all is made."""
        while True:
            tasks = [self._own_task(one) for one in [*self._taken_missed(), *self._taken_over()]]
            if tasks or self._is_over():
                return tasks
            self._work.run.stop.check()
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)

    def remake(self, keys: Collection[str]) -> list[Task]:
        """Render here what another machine had rendered."""
        self._work.log.step(
            f"rendering {len(keys)} segments of other machines again: they don't fit"
        )
        made = self._work.made
        made.cached -= set(keys)
        made.brought -= set(keys)
        for key in keys:
            del made.parameter_sets[key]
            made.helped.pop(key, None)
        odd = {one.key: one for one in self._work.plan.picture if made.key(one) in keys}
        return [self._own_task(segment) for segment in odd.values()]

    def odd(self) -> set[str]:
        """Segments of other machines whose graphics cards write what can't be joined with the rest."""
        made = self._work.made
        if len(set(made.parameter_sets.values())) < 2:
            return set()
        own = {sets for key, sets in made.parameter_sets.items() if key not in made.brought}
        most = Counter(made.parameter_sets.values()).most_common(1)[0][0]
        fits = own or {most}
        return {key for key in made.brought if made.parameter_sets.get(key, most) not in fits}

    # What is there

    def _away(self, keys: Sequence[str]) -> set[str]:
        """Which of them the store has."""
        segments = self._work.segments
        if not segments.has_store or not keys:
            return set()
        with ThreadPoolExecutor(_LOOKING, "look") as pool:
            found = pool.map(lambda key: segments.is_stored(key, PICTURE_SUFFIX), keys)
            return {key for key, is_there in zip(keys, found, strict=True) if is_there}

    def _longest_first(self, keys: Iterable[str]) -> list[PictureSegment]:
        return sorted((self._unique[key] for key in keys), key=lambda one: -len(one.frames))

    def _bring(self, keys: Collection[str], worker_id: str | None) -> None:
        """Have them come from the store; ``worker_id`` is who made them for this job."""
        for key in keys:
            self._asked.add(key)
            self._bringing.submit(self._brought, self._unique[key], worker_id)

    def _brought(self, segment: PictureSegment, worker_id: str | None) -> None:
        work = self._work
        taken = None
        try:
            work.run.stop.check()
            taken = work.segments.take(segment.key, PICTURE_SUFFIX, self._target(segment))
            if taken and worker_id:
                work.noted_of_helper(segment.key, taken, worker_id)
            elif taken:
                work.noted(segment.key, taken)
            if taken:
                self._have(segment)
        except OSError as error:
            work.log.step(f"{name_of(segment)} could not be brought: {error}")
        finally:
            with self._changed:
                if taken is None:
                    self._missed.add(segment.key)
                self._changed.notify_all()

    def _have(self, segment: PictureSegment) -> None:
        frames = self._shown[segment.key] * len(segment.frames)
        self._work.meter.have(segment.key, frames, PICTURE)
        with self._changed:
            self._done.add(segment.key)

    def _held_task(self, segment: PictureSegment) -> Task:
        def task() -> None:
            work = self._work
            taken = work.segments.take_here(segment.key, PICTURE_SUFFIX, self._target(segment))
            if work.noted(segment.key, taken):
                self._have(segment)
            else:
                self._render(segment)

        return lambda: self._work.blamed(segment.position, task)

    # What others make

    def _hear(self, standings: Sequence[OfferStanding]) -> None:
        """What became of the segments that others were offered; told now and then."""
        for one in standings:
            if one.key in self._unique and one.worker_id != self._help.worker_id:
                self._hear_of(one)

    def _hear_of(self, one: OfferStanding) -> None:
        if one.state is OfferState.CLAIMED:
            frames = self._unique[one.key].frames
            times = self._shown[one.key]
            self._work.meter.watch(one.key, len(frames), PICTURE, times)(one.frames_done)
        elif one.state is OfferState.DONE and one.key not in self._asked:
            with self._changed:
                known = one.key in self._done or one.key in self._missed
            if not known:
                self._bring([one.key], one.worker_id)

    def _taken_missed(self) -> list[PictureSegment]:
        """What was to be brought, and was not there."""
        with self._changed:
            keys, self._missed = self._missed, set()
        return self._longest_first(keys)

    def _taken_over(self) -> list[PictureSegment]:
        """What helpers have that this machine makes now: it has nothing else to do."""
        with self._changed:
            waiting = self._theirs - self._done - self._asked
        if not waiting:
            return []
        known = self._help.standings()
        frames, seconds = self._rendered
        speed = frames / seconds if seconds else None
        lost = [key for key in waiting if key not in known or worth_taking_over(known[key], speed)]
        ours = [key for key in lost if self._help.take_over(key)]
        with self._changed:
            self._theirs -= set(ours)
        return self._longest_first(ours)

    def _is_over(self) -> bool:
        """Whether nothing more can come; after a bad item nobody is waited for."""
        with self._changed:
            coming = (self._theirs | self._asked) - self._done
            return not self._missed and (not coming or bool(self._work.made.bad))

    # What is made here

    def _task(self, segment: PictureSegment) -> Task:
        def task() -> None:
            if self._help.is_mine(segment.key):
                self._render(segment)
            else:
                with self._changed:
                    self._theirs.add(segment.key)

        return lambda: self._work.blamed(segment.position, task)

    def _own_task(self, segment: PictureSegment) -> Task:
        return lambda: self._work.blamed(segment.position, lambda: self._render(segment))

    def _render(self, segment: PictureSegment) -> None:
        frames, begun = len(segment.frames), self._clock()
        told = self._work.meter.watch(segment.key, frames, PICTURE, self._shown[segment.key])

        def watch(done: int) -> None:
            told(done)
            self._help.progress(segment.key, done)

        self._render_somehow(segment, watch)
        watch(frames)
        self._help.made(segment.key)
        with self._changed:
            self._done.add(segment.key)
            before = self._rendered
            self._rendered = before[0] + frames, before[1] + self._clock() - begun

    def _render_somehow(self, segment: PictureSegment, watch: Callable[[int], None]) -> None:
        try:
            self._render_as_planned(segment, self._target(segment), watch)
        except (BadMedia, FFmpegFailed, OutputRejected) as refusal:
            if segment.spare is None or isinstance(refusal, FFmpegStalled):
                raise
            again = segment.key in self._work.made.instead
            self._note_refusal(segment, segment.spare, refusal)
            self._make_instead(segment.spare, self._target(segment), watch, afresh=again)

    def _note_refusal(
        self, segment: PictureSegment, spare: PictureSegment, refusal: ReelyardError
    ) -> None:
        """What the graphics card can't do with a source is the processor's, and that one judges the source."""
        self._work.log.step(
            f"{name_of(segment)}: made again, by the processor, because of {refusal.message}"
        )
        with self._work.lock:
            self._work.made.instead[segment.key] = spare.key
            self._work.made.refused[segment.position] = refusal.message

    def _make_instead(
        self, spare: PictureSegment, target: Path, watch: Callable[[int], None], *, afresh: bool
    ) -> None:
        taken = None if afresh else self._work.segments.take(spare.key, PICTURE_SUFFIX, target)
        if self._work.noted(spare.key, taken) is None:
            self._render_as_planned(spare, target, watch)

    def _render_as_planned(
        self, segment: PictureSegment, target: Path, watch: Callable[[int], None]
    ) -> None:
        work = self._work
        folder = work.folder / f"picture-{segment.key[:16]}"
        made, notes, sets = self._encode(segment, folder, watch)
        work.keep(segment.key, PICTURE_SUFFIX, made, target, {"notes": notes, "sets": sets})
        size = target.stat().st_size
        work.log.step(f"rendered {name_of(segment)}: {len(segment.frames)} frames, {size} bytes")

    def _target(self, segment: PictureSegment) -> Path:
        return self._work.film / segment_name(segment)
