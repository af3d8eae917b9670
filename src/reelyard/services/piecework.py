"""What the makers of a film's pieces have in common: where pieces lie, what is known of them, and who is to blame."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from reelyard.domain.errors import BadMedia, Cancelled, FFmpegFailed, printable
from reelyard.domain.plan import Plan
from reelyard.engine import render
from reelyard.files import atomic
from reelyard.files.job_log import JobLog

from .gather import media_problem
from .made import Made
from .progress import Meter
from .segments import Segments, Taken

Task = Callable[[], None]


class Piecework:
    """The pieces of one plan in one folder. ``go_on`` after a bad item: the rest is wanted in any case."""

    def __init__(
        self,
        plan: Plan,
        segments: Segments,
        run: render.Run,
        folder: Path,
        meter: Meter,
        log: JobLog,
        *,
        go_on: bool,
    ) -> None:
        self.plan = plan
        self.segments = segments
        self.run = run
        self.folder = folder
        self.meter = meter
        self.log = log
        self.lock = threading.Lock()
        self.made = Made()
        self._go_on = go_on
        for one in (self.film, self.sound):
            one.mkdir(parents=True, exist_ok=True)

    @property
    def film(self) -> Path:
        """Where the segments and the track lie, ready to be joined."""
        return self.folder / "film"

    @property
    def sound(self) -> Path:
        return self.folder / "sound"

    def do(self, tasks: Sequence[Task], at_once: int) -> None:
        """Do everything, so many at once. Raises the first error that is not about a source."""
        with ThreadPoolExecutor(at_once, "piece") as pool:
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

    def _wait(self, futures: list[Future[None]]) -> None:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        if any(not future.cancelled() and future.exception() for future in done):
            for future in futures:
                future.cancel()
            self.run.stop.stop()

    def noted(self, key: str, taken: Taken | None) -> dict[str, Any] | None:
        """The facts of what was there."""
        self.run.stop.check()
        if taken is None:
            return None
        with self.lock:
            self.made.cached.add(key)
            if taken.brought:
                self.made.brought.add(key)
            self._remember(key, taken.facts)
        return taken.facts

    def noted_of_helper(self, key: str, taken: Taken, worker_id: str) -> None:
        """The same for what another worker has rendered for this job."""
        with self.lock:
            self.made.helped[key] = worker_id
            if taken.brought:
                self.made.brought.add(key)
            self._remember(key, taken.facts)

    def keep(self, key: str, suffix: str, made: Path, target: Path, note: dict[str, Any]) -> None:
        """Put a finished piece where the film is joined, and into the cache."""
        atomic.replace(made, target)
        shutil.rmtree(made.parent, ignore_errors=True)
        self.segments.add(key, suffix, target, json.loads(json.dumps(note)))
        with self.lock:
            self.made.rendered.add(key)
            self._remember(key, note)

    def _remember(self, key: str, note: dict[str, Any]) -> None:
        self.made.notes[key] = note.get("notes", [])
        if "sets" in note:
            self.made.parameter_sets[key] = note["sets"]

    def blamed(self, position: int, task: Task) -> None:
        """Do a task; what its source is to blame for becomes that item's problem."""
        named = next(item.named for item in self.plan.items if item.position == position)
        try:
            task()
        except BadMedia as error:
            problem = media_problem(error, position, named)
        except FFmpegFailed as error:
            error.message = f"item {position}, {printable(named)}: {error.message}"
            raise
        else:
            return
        with self.lock:
            if all(known.position != position for known in self.made.bad):
                self.made.bad.append(problem)
        self.log.step(f"bad: {problem}")
        if not self._go_on:
            self.run.stop.stop()
