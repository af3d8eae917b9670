"""Making the pieces of a film: what the cache holds is taken from there, the rest is rendered.

Several pieces are made at once, each in a single-threaded FFmpeg of its own: sound first, because the
film's sound is encoded in one go as soon as all of it is there, beside the picture; then the picture,
longest segments first. A finished piece enters the cache at once, so whatever stops a job costs
no more than the pieces that were in the making.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reelyard.domain.errors import (
    BadMedia,
    Cancelled,
    FFmpegFailed,
    OutputRejected,
    Problem,
    printable,
)
from reelyard.domain.plan import PictureSegment, Plan, SoundSegment
from reelyard.domain.timeline import SAMPLES_PER_FRAME, samples_in
from reelyard.engine import render
from reelyard.engine.commands import TRACK_FILE
from reelyard.engine.loudness import Loudness
from reelyard.files.job_log import JobLog
from reelyard.files.segment_cache import SegmentCache

from .gather import media_problem
from .progress import PICTURE, SOUND, TRACK, Meter

PICTURE_SUFFIX = ".mp4"
SOUND_SUFFIX = ".pcm"
TRACK_SUFFIX = ".m4a"
_BLOCK = 1 << 20


@dataclass(slots=True)
class Made:
    """What came of it. ``bad`` names items whose sources turned out to be unusable."""

    cached: set[str] = field(default_factory=set)
    rendered: set[str] = field(default_factory=set)
    notes: dict[str, list[str]] = field(default_factory=dict)
    bad: list[Problem] = field(default_factory=list)
    parameter_sets: set[str] = field(default_factory=set)
    loudness: Loudness | None = None


class Pieces:
    """Makes all pieces of one plan in one folder. Use once."""

    def __init__(
        self,
        plan: Plan,
        cache: SegmentCache,
        run: render.Run,
        folder: Path,
        meter: Meter,
        log: JobLog,
        *,
        at_once: int,
        go_on: bool,
    ) -> None:
        self._plan = plan
        self._cache = cache
        self._run = run
        self._folder = folder
        self._meter = meter
        self._log = log
        self._at_once = at_once
        self._go_on = go_on  # after a bad item: the rest is wanted in any case
        self._lock = threading.Lock()
        self._sounds_missing: set[str] = set()
        self.made = Made()

    def make(self) -> Made:
        """Make everything. Raises the first error that is not about a source."""
        for folder in (self.film, self.sound):
            folder.mkdir(parents=True, exist_ok=True)
        tasks = [*self._sound_tasks(), *self._picture_tasks()]
        with ThreadPoolExecutor(self._at_once, "piece") as pool:
            futures = [pool.submit(task) for task in tasks]
            self._wait(futures)
        errors = [one.exception() for one in futures if not one.cancelled()]
        failures = [error for error in errors if error]
        # The rest was stopped because of one that failed, or of a bad item: that is what counts.
        causes = [error for error in failures if not isinstance(error, Cancelled)]
        if causes:
            raise causes[0]
        if failures and not self.made.bad:
            raise failures[0]
        if len(self.made.parameter_sets) > 1:
            raise OutputRejected("the segments are not of one kind and can't be joined",
                                 remedy="Run reelyard cache clear, then again")  # fmt: skip
        return self.made

    @property
    def film(self) -> Path:
        """Where the segments and the track lie, ready to be joined."""
        return self._folder / "film"

    @property
    def sound(self) -> Path:
        return self._folder / "sound"

    def _wait(self, futures: list[Future[None]]) -> None:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(not future.cancelled() and future.exception() for future in done):
            self._abandon(futures)

    def _abandon(self, futures: list[Future[None]]) -> None:
        for future in futures:
            future.cancel()
        self._run.stop.stop()

    # Picture

    def _picture_tasks(self) -> list[Callable[[], None]]:
        shown = Counter(segment.key for segment in self._plan.picture)
        unique = {segment.key: segment for segment in self._plan.picture}
        # What is missing comes first: what is there only needs to be looked at.
        held = {key: self._cache.holds(key, PICTURE_SUFFIX) for key in unique}
        order = sorted(unique.values(), key=lambda one: (held[one.key], -len(one.frames)))
        return [self._picture_task(segment, shown[segment.key]) for segment in order]

    def _picture_task(self, segment: PictureSegment, times: int) -> Callable[[], None]:
        def task() -> None:
            frames = len(segment.frames)
            target = self.film / segment_name(segment)
            if self._taken(segment.key, PICTURE_SUFFIX, target):
                self._meter.have(segment.key, times * frames, PICTURE)
                return
            watch = self._meter.watch(segment.key, frames, PICTURE, times)
            folder = self._folder / f"picture-{segment.key[:16]}"
            made, notes, sets = render.render_picture(
                self._run, segment.recipe, self._plan.encoding, self._plan.form, folder, watch
            )
            self._keep(segment.key, PICTURE_SUFFIX, made, target, {"notes": notes, "sets": sets})
            watch(frames)
            what = f"item {segment.position} part {segment.part + 1}: {frames} frames"
            self._log.step(f"rendered {what}, {target.stat().st_size} bytes")

        return lambda: self._blamed(segment.position, task)

    # Sound

    def _sound_tasks(self) -> list[Callable[[], None]]:
        frames = self._plan.frames
        note = self._taken(self._plan.track_key, TRACK_SUFFIX, self.film / TRACK_FILE)
        if note:
            self.made.loudness = Loudness(**note["loudness"])
            self.made.notes.update(note["sound_notes"])
            self._meter.have("sound", frames, SOUND)
            self._meter.have("track", frames, TRACK)
            return []
        tasks = []
        heard = Counter(one.key for one in self._plan.sound)
        for segment in {one.key: one for one in self._plan.sound}.values():
            times = heard[segment.key]
            if not segment.recipe or self._taken(segment.key, SOUND_SUFFIX, self._pcm(segment)):
                covered = times * segment.samples // SAMPLES_PER_FRAME
                self._meter.have(segment.key, covered, SOUND)
            else:
                self._sounds_missing.add(segment.key)
                tasks.append(self._sound_task(segment, times))
        return tasks or [self._track]

    def _sound_task(self, segment: SoundSegment, times: int) -> Callable[[], None]:
        recipe = segment.recipe
        assert recipe is not None

        def task() -> None:
            folder = self._folder / f"sound-{segment.key[:16]}"
            frames = segment.samples // SAMPLES_PER_FRAME
            watch = self._meter.watch(segment.key, frames, SOUND, times)
            made, notes = render.render_sound(self._run, recipe, folder, watch)
            watch(frames)
            self._keep(segment.key, SOUND_SUFFIX, made, self._pcm(segment), {"notes": notes})
            self._log.step(f"rendered item {segment.position} sound: {segment.samples} samples")
            if self._last_sound(segment.key):
                self._track()

        return lambda: self._blamed(segment.position, task)

    def _last_sound(self, key: str) -> bool:
        with self._lock:
            self._sounds_missing.discard(key)
            return not self._sounds_missing

    def _track(self) -> None:
        watch = self._meter.watch("track", self._plan.frames, TRACK)
        folder = self._folder / "track"
        samples = samples_in(self._plan.frames)
        made, loudness = render.render_track(self._run, self._samples(), samples, folder, watch)
        keys = {segment.key for segment in self._plan.sound}
        notes = {key: self.made.notes[key] for key in keys if self.made.notes.get(key)}
        note = {"loudness": asdict(loudness), "sound_notes": notes}
        self._keep(self._plan.track_key, TRACK_SUFFIX, made, self.film / TRACK_FILE, note)
        self.made.loudness = loudness
        self._log.step(f"encoded the sound: {loudness.integrated:.1f} LUFS")

    def _samples(self) -> Iterator[bytes]:
        """The whole film's sound, block by block."""
        for segment in self._plan.sound:
            if segment.recipe is None:
                yield from _silence(segment.samples)
            else:
                with self._pcm(segment).open("rb") as file:
                    while block := file.read(_BLOCK):
                        yield block

    def _pcm(self, segment: SoundSegment) -> Path:
        return self.sound / f"{segment.key[:32]}{SOUND_SUFFIX}"

    # Both

    def _taken(self, key: str, suffix: str, target: Path) -> dict[str, Any] | None:
        self._run.stop.check()
        entry = self._cache.take(key, suffix, target)
        if entry is None:
            return None
        facts: dict[str, Any] = dict(entry.note.get("facts", {}))
        with self._lock:
            self.made.cached.add(key)
            self._remember(key, facts)
        return facts

    def _keep(self, key: str, suffix: str, made: Path, target: Path, note: dict[str, Any]) -> None:
        made.replace(target)
        shutil.rmtree(made.parent, ignore_errors=True)
        self._cache.add(key, suffix, target, json.loads(json.dumps(note)))
        with self._lock:
            self.made.rendered.add(key)
            self._remember(key, note)

    def _remember(self, key: str, note: dict[str, Any]) -> None:
        self.made.notes[key] = note.get("notes", [])
        if "sets" in note:
            self.made.parameter_sets.add(note["sets"])

    def _blamed(self, position: int, task: Callable[[], None]) -> None:
        """Run a task; what its source is to blame for becomes that item's problem."""
        named = next(item.named for item in self._plan.items if item.position == position)
        try:
            task()
        except BadMedia as error:
            problem = media_problem(error, position, named)
        except FFmpegFailed as error:
            error.message = f"item {position}, {printable(named)}: {error.message}"
            raise
        else:
            return
        with self._lock:
            if all(known.position != position for known in self.made.bad):
                self.made.bad.append(problem)
        self._log.step(f"bad: {problem}")
        if not self._go_on:
            self._run.stop.stop()


def segment_name(segment: PictureSegment) -> str:
    return f"{segment.key[:32]}{PICTURE_SUFFIX}"


def _silence(samples: int) -> Iterator[bytes]:
    left = samples * render.BYTES_PER_SAMPLE
    zeros = bytes(_BLOCK)
    while left > 0:
        yield zeros[:left] if left < _BLOCK else zeros
        left -= _BLOCK
