"""Making a film's sound: each item's as raw samples, then all of it encoded in one go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from reelyard.domain.plan import SoundRecipe, SoundSegment
from reelyard.domain.timeline import SAMPLES_PER_FRAME, samples_in
from reelyard.engine import render
from reelyard.engine.commands import TRACK_FILE
from reelyard.engine.loudness import Loudness

from .made import SOUND_SUFFIX, TRACK_SUFFIX
from .piecework import Piecework, Task
from .progress import SOUND, TRACK
from .segments import Taken

_BLOCK = 1 << 20


class SoundPieces:
    """The sound of one plan. Whoever finishes the last item's sound encodes the track."""

    def __init__(self, work: Piecework) -> None:
        self._work = work
        self._plan = work.plan
        self._segments = work.segments
        self._meter = work.meter
        self._missing: set[str] = set()

    def tasks(self) -> list[Task]:
        """What there is to do; nothing where the track is there."""
        frames = self._plan.frames
        track = self._segments.take(
            self._plan.track_key, TRACK_SUFFIX, self._work.film / TRACK_FILE
        )
        note = self._work.noted(self._plan.track_key, track)
        if note:
            self._work.made.loudness = Loudness(**note["loudness"])
            self._work.made.notes.update(note["sound_notes"])
            self._meter.have("sound", frames, SOUND)
            self._meter.have("track", frames, TRACK)
            return []
        tasks = []
        heard = Counter(one.key for one in self._plan.sound)
        for segment in {one.key: one for one in self._plan.sound}.values():
            times = heard[segment.key]
            if not segment.recipe or self._work.noted(segment.key, self._here(segment)):
                self._have(segment, times)
            else:
                self._missing.add(segment.key)
                tasks.append(self._task(segment, segment.recipe, times))
        return tasks or [self._track]

    def _task(self, segment: SoundSegment, recipe: SoundRecipe, times: int) -> Task:
        def task() -> None:
            taken = self._segments.take(segment.key, SOUND_SUFFIX, self._pcm(segment))
            if self._work.noted(segment.key, taken):
                self._have(segment, times)
            else:
                self._render(segment, recipe, times)
            if self._is_last(segment.key):
                self._track()

        return lambda: self._work.blamed(segment.position, task)

    def _here(self, segment: SoundSegment) -> Taken | None:
        return self._segments.take_here(segment.key, SOUND_SUFFIX, self._pcm(segment))

    def _have(self, segment: SoundSegment, times: int) -> None:
        self._meter.have(segment.key, times * segment.samples // SAMPLES_PER_FRAME, SOUND)

    def _render(self, segment: SoundSegment, recipe: SoundRecipe, times: int) -> None:
        work = self._work
        folder = work.folder / f"sound-{segment.key[:16]}"
        frames = segment.samples // SAMPLES_PER_FRAME
        watch = self._meter.watch(segment.key, frames, SOUND, times)
        made, notes = render.render_sound(work.run, recipe, folder, watch)
        watch(frames)
        work.keep(segment.key, SOUND_SUFFIX, made, self._pcm(segment), {"notes": notes})
        work.log.step(f"rendered item {segment.position} sound: {segment.samples} samples")

    def _is_last(self, key: str) -> bool:
        with self._work.lock:
            self._missing.discard(key)
            return not self._missing

    def _track(self) -> None:
        work = self._work
        watch = self._meter.watch("track", self._plan.frames, TRACK)
        folder = work.folder / "track"
        samples = samples_in(self._plan.frames)
        made, loudness = render.render_track(work.run, self._samples(), samples, folder, watch)
        keys = {segment.key for segment in self._plan.sound}
        notes = {key: work.made.notes[key] for key in keys if work.made.notes.get(key)}
        note = {"loudness": asdict(loudness), "sound_notes": notes}
        work.keep(self._plan.track_key, TRACK_SUFFIX, made, work.film / TRACK_FILE, note)
        work.made.loudness = loudness
        work.log.step(f"encoded the sound: {loudness.integrated:.1f} LUFS")

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
        return self._work.sound / f"{segment.key[:32]}{SOUND_SUFFIX}"


def _silence(samples: int) -> Iterator[bytes]:
    left = samples * render.BYTES_PER_SAMPLE
    zeros = bytes(_BLOCK)
    while left > 0:
        yield zeros[:left] if left < _BLOCK else zeros
        left -= _BLOCK
