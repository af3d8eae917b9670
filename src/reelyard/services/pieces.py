"""Making the pieces of a film: what the cache or the shared store holds is taken from there, the rest is rendered.

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
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reelyard.domain.errors import (
    BadMedia,
    Cancelled,
    FFmpegFailed,
    FFmpegStalled,
    OutputRejected,
    Problem,
    ReelyardError,
    printable,
)
from reelyard.domain.plan import PictureSegment, Plan, SoundRecipe, SoundSegment
from reelyard.domain.timeline import SAMPLES_PER_FRAME, samples_in
from reelyard.engine import render
from reelyard.engine.commands import TRACK_FILE
from reelyard.engine.loudness import Loudness
from reelyard.files import atomic
from reelyard.files.job_log import JobLog
from reelyard.files.slots import Slots

from .encode import BUSY_PAUSES, Encoder, name_of
from .gather import media_problem
from .progress import PICTURE, SOUND, TRACK, Meter
from .segments import Segments, Taken

PICTURE_SUFFIX = ".mp4"
SOUND_SUFFIX = ".pcm"
TRACK_SUFFIX = ".m4a"
_BLOCK = 1 << 20


@dataclass(slots=True)
class Made:
    """What came of it. ``bad`` names items whose sources turned out to be unusable.

    ``parameter_sets`` are those of each segment's picture; ``brought`` are segments that other machines rendered.
    ``instead`` has the keys of segments that the processor made after all, by those of the plan; ``refused`` says of
    their items why.
    """

    cached: set[str] = field(default_factory=set)
    rendered: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)
    notes: dict[str, list[str]] = field(default_factory=dict)
    bad: list[Problem] = field(default_factory=list)
    parameter_sets: dict[str, str] = field(default_factory=dict)
    loudness: Loudness | None = None
    instead: dict[str, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    def key(self, segment: PictureSegment) -> str:
        """The key of what was made for a segment of the plan."""
        return self.instead.get(segment.key, segment.key)


class Pieces:
    """Makes all pieces of one plan in one folder. Use once."""

    def __init__(
        self,
        plan: Plan,
        segments: Segments,
        run: render.Run,
        folder: Path,
        meter: Meter,
        log: JobLog,
        *,
        at_once: int,
        go_on: bool,
        sessions: Slots | None = None,
        busy_pauses: Sequence[float] = BUSY_PAUSES,
    ) -> None:
        self._plan = plan
        self._segments = segments
        self._run = run
        self._folder = folder
        self._meter = meter
        self._log = log
        self._at_once = at_once
        self._encode = Encoder(plan, run, log, sessions, busy_pauses)
        self._go_on = go_on  # after a bad item: the rest is wanted in any case
        self._lock = threading.Lock()
        self._sounds_missing: set[str] = set()
        self.made = Made()

    def make(self) -> Made:
        """Make everything. Raises the first error that is not about a source."""
        for folder in (self.film, self.sound):
            folder.mkdir(parents=True, exist_ok=True)
        self._do([*self._sound_tasks(), *self._picture_tasks()])
        while not self.made.bad and (odd := self._odd()):
            self._remake(odd)
        if not self.made.bad and len(set(self.made.parameter_sets.values())) > 1:
            raise OutputRejected("the segments are not of one kind and can't be joined",
                                 remedy="Run reelyard cache clear, then again")  # fmt: skip
        return self.made

    def _do(self, tasks: Sequence[Callable[[], None]]) -> None:
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
        held = {key: self._segments.holds(key, PICTURE_SUFFIX) for key in unique}
        order = sorted(unique.values(), key=lambda one: (held[one.key], -len(one.frames)))
        return [self._picture_task(segment, shown[segment.key]) for segment in order]

    def _picture_task(self, segment: PictureSegment, times: int) -> Callable[[], None]:
        def task() -> None:
            frames = len(segment.frames)
            target = self.film / segment_name(segment)
            taken = self._segments.take(segment.key, PICTURE_SUFFIX, target)
            if self._noted(segment.key, taken):
                self._meter.have(segment.key, times * frames, PICTURE)
            else:
                self._render(segment, times)

        return lambda: self._blamed(segment.position, task)

    def _render(self, segment: PictureSegment, times: int) -> None:
        frames = len(segment.frames)
        watch = self._meter.watch(segment.key, frames, PICTURE, times)
        target = self.film / segment_name(segment)
        try:
            self._render_as_planned(segment, target, watch)
        except (BadMedia, FFmpegFailed, OutputRejected) as refusal:
            if segment.spare is None or isinstance(refusal, FFmpegStalled):
                raise
            again = segment.key in self.made.instead
            self._note_refusal(segment, segment.spare, refusal)
            self._make_instead(segment.spare, target, watch, afresh=again)
        watch(frames)

    def _note_refusal(
        self, segment: PictureSegment, spare: PictureSegment, refusal: ReelyardError
    ) -> None:
        """What the graphics card can't do with a source is the processor's, and that one judges the source."""
        self._log.step(
            f"{name_of(segment)}: made again, by the processor, because of {refusal.message}"
        )
        with self._lock:
            self.made.instead[segment.key] = spare.key
            self.made.refused[segment.position] = refusal.message

    def _make_instead(
        self, spare: PictureSegment, target: Path, watch: Callable[[int], None], *, afresh: bool
    ) -> None:
        taken = None if afresh else self._segments.take(spare.key, PICTURE_SUFFIX, target)
        if self._noted(spare.key, taken) is None:
            self._render_as_planned(spare, target, watch)

    def _render_as_planned(
        self, segment: PictureSegment, target: Path, watch: Callable[[int], None]
    ) -> None:
        folder = self._folder / f"picture-{segment.key[:16]}"
        made, notes, sets = self._encode(segment, folder, watch)
        self._keep(segment.key, PICTURE_SUFFIX, made, target, {"notes": notes, "sets": sets})
        size = target.stat().st_size
        self._log.step(f"rendered {name_of(segment)}: {len(segment.frames)} frames, {size} bytes")

    def _odd(self) -> set[str]:
        """Segments of other machines whose graphics cards write what can't be joined with the rest."""
        made = self.made
        if len(set(made.parameter_sets.values())) < 2:
            return set()
        own = {sets for key, sets in made.parameter_sets.items() if key not in made.brought}
        most = Counter(made.parameter_sets.values()).most_common(1)[0][0]
        fits = own or {most}
        return {key for key in made.brought if made.parameter_sets.get(key, most) not in fits}

    def _remake(self, keys: Collection[str]) -> None:
        """Render here what another machine had rendered."""
        self._log.step(f"rendering {len(keys)} segments of other machines again: they don't fit")
        made = self.made
        made.cached -= set(keys)
        made.brought -= set(keys)
        for key in keys:
            del made.parameter_sets[key]
        odd = {segment.key: segment for segment in self._plan.picture if made.key(segment) in keys}
        self._do([self._again(segment) for segment in odd.values()])

    def _again(self, segment: PictureSegment) -> Callable[[], None]:
        return lambda: self._blamed(segment.position, lambda: self._render(segment, 1))

    # Sound

    def _sound_tasks(self) -> list[Callable[[], None]]:
        frames = self._plan.frames
        track = self._segments.take(self._plan.track_key, TRACK_SUFFIX, self.film / TRACK_FILE)
        note = self._noted(self._plan.track_key, track)
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
            if not segment.recipe or self._noted(segment.key, self._sound_here(segment)):
                self._have_sound(segment, times)
            else:
                self._sounds_missing.add(segment.key)
                tasks.append(self._sound_task(segment, times))
        return tasks or [self._track]

    def _sound_task(self, segment: SoundSegment, times: int) -> Callable[[], None]:
        recipe = segment.recipe
        assert recipe is not None

        def task() -> None:
            taken = self._segments.take(segment.key, SOUND_SUFFIX, self._pcm(segment))
            if self._noted(segment.key, taken):
                self._have_sound(segment, times)
            else:
                self._render_sound(segment, recipe, times)
            if self._last_sound(segment.key):
                self._track()

        return lambda: self._blamed(segment.position, task)

    def _sound_here(self, segment: SoundSegment) -> Taken | None:
        return self._segments.take_here(segment.key, SOUND_SUFFIX, self._pcm(segment))

    def _have_sound(self, segment: SoundSegment, times: int) -> None:
        self._meter.have(segment.key, times * segment.samples // SAMPLES_PER_FRAME, SOUND)

    def _render_sound(self, segment: SoundSegment, recipe: SoundRecipe, times: int) -> None:
        folder = self._folder / f"sound-{segment.key[:16]}"
        frames = segment.samples // SAMPLES_PER_FRAME
        watch = self._meter.watch(segment.key, frames, SOUND, times)
        made, notes = render.render_sound(self._run, recipe, folder, watch)
        watch(frames)
        self._keep(segment.key, SOUND_SUFFIX, made, self._pcm(segment), {"notes": notes})
        self._log.step(f"rendered item {segment.position} sound: {segment.samples} samples")

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

    def _noted(self, key: str, taken: Taken | None) -> dict[str, Any] | None:
        """The facts of what was there."""
        self._run.stop.check()
        if taken is None:
            return None
        with self._lock:
            self.made.cached.add(key)
            if taken.brought:
                self.made.brought.add(key)
            self._remember(key, taken.facts)
        return taken.facts

    def _keep(self, key: str, suffix: str, made: Path, target: Path, note: dict[str, Any]) -> None:
        atomic.replace(made, target)
        shutil.rmtree(made.parent, ignore_errors=True)
        self._segments.add(key, suffix, target, json.loads(json.dumps(note)))
        with self._lock:
            self.made.rendered.add(key)
            self._remember(key, note)

    def _remember(self, key: str, note: dict[str, Any]) -> None:
        self.made.notes[key] = note.get("notes", [])
        if "sets" in note:
            self.made.parameter_sets[key] = note["sets"]

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
