"""One draft: what it is, and how it comes about."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from reelyard.domain.errors import Cancelled, JobRejected, Problem, ReelyardError
from reelyard.domain.job import Job
from reelyard.domain.timeline import FRAME_RATE, seconds_of
from reelyard.engine.commands import quoted
from reelyard.engine.ffmpeg import StopSignal
from reelyard.files.job_log import JobLog

from .progress import Progress, Stage
from .render_job import Rendered, RenderJob
from .storage import log_failure, storage_error

_LOG = logging.getLogger(__name__)

Renderer = Callable[[int | None], RenderJob]
"""Gives a renderer of drafts that show at most so many frames of an item; None: all of them."""


class DraftStatus(StrEnum):
    """Where a draft stands."""

    WAITING = "waiting"
    RENDERING = "rendering"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OVER = frozenset({DraftStatus.DONE, DraftStatus.FAILED, DraftStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft as it stands. ``message`` and ``problems`` say why it failed, ``warnings`` what the
    film would be warned about. ``seconds`` is its length, ``skipped_seconds`` what the film has on top.
    """

    draft_id: str
    user_id: str
    created_at: datetime
    status: DraftStatus = DraftStatus.WAITING
    stage: Stage = Stage.QUEUED
    percent: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    film: Path | None = None
    contact_sheet: Path | None = None
    seconds: float | None = None
    skipped_seconds: float | None = None

    @property
    def is_over(self) -> bool:
        return self.status in _OVER


MOST_FRAMES = 20 * 60 * FRAME_RATE
_TOO_LONG = (
    f"a draft may have {MOST_FRAMES // FRAME_RATE // 60} minutes. "
    "Make one of the first seconds of each clip, or render the film."
)


class Making:
    """The making of one draft, in one thread; others look at it, and may discard it meanwhile."""

    def __init__(
        self, draft: Draft, job: Job, folder: Path, renderer: Renderer, item_frames: int | None
    ) -> None:
        self.draft = draft
        self.size = 0
        self._job = job
        self._folder = folder
        self._renderer = renderer
        self._item_frames = item_frames
        self._stop = StopSignal()
        self._lock = threading.Lock()
        self._runs = False
        self._is_too_long = False

    def run(self) -> None:
        """Make the film. Whatever comes of it can be read off the draft."""
        with self._lock:
            self._runs = not self.draft.is_over
        if not self._runs:
            return
        try:
            self._change(status=DraftStatus.RENDERING, stage=Stage.PROBING)
            self._finish(self._render())
        except Cancelled:
            if self._is_too_long:
                self._fail(_TOO_LONG)
            else:
                self._change(status=DraftStatus.CANCELLED)
        except JobRejected as error:
            self._fail(str(error), error.problems)
        except ReelyardError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(str(storage_error(error)))
        except Exception:  # noqa: BLE001 - whoever waits for the draft has to hear of it
            _LOG.exception("an error in Reelyard itself; draft %s fails", self.draft.draft_id)
            self._fail("something went wrong in Reelyard itself; the server's log says what")
        finally:
            self._end()

    def discard(self) -> None:
        """Stop it, and take its files away: now, or as soon as nothing writes them any more."""
        with self._lock:
            self.draft = replace(
                self.draft, status=DraftStatus.CANCELLED, film=None, contact_sheet=None,
                seconds_left=None,
            )  # fmt: skip
            runs = self._runs
        self._stop.stop()
        if not runs:
            self._remove()

    def _render(self) -> Rendered:
        renderer = self._renderer(self._item_frames)
        self._stop.check()
        self._folder.mkdir()
        output = self._folder / "draft.mp4"
        with closing(JobLog(self._folder / "log", quoted)) as log:
            log.step(f"draft of {len(self._job.wanted.items)} items for {self._job.channel_name}")
            try:
                return renderer.render(self._job, output, log, self._watch, self._stop)
            except ReelyardError as error:
                log_failure(log, error)
                raise

    def _watch(self, progress: Progress) -> None:
        if progress.frames_total > MOST_FRAMES:
            self._is_too_long = True  # others wait for theirs
            self._stop.stop()
        self._change(
            stage=progress.stage, percent=progress.percent, seconds_left=progress.seconds_left
        )

    def _finish(self, rendered: Rendered) -> None:
        self.size = sum(path.stat().st_size for path in self._folder.iterdir() if path.is_file())
        self._change(
            status=DraftStatus.DONE,
            film=rendered.output,
            contact_sheet=rendered.contact_sheet,
            warnings=rendered.warnings,
            seconds=float(seconds_of(rendered.plan.frames)),
            skipped_seconds=float(seconds_of(rendered.skipped)),
        )

    def _fail(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self._change(
            status=DraftStatus.FAILED, message=message, problems=problems, seconds_left=None
        )

    def _change(self, **changes: object) -> None:
        """What was discarded stays so, whatever its threads still say."""
        with self._lock:
            if not self.draft.is_over:
                self.draft = replace(self.draft, **changes)  # type: ignore[arg-type]

    def _end(self) -> None:
        with self._lock:
            self._runs = False
            cancelled = self.draft.status is DraftStatus.CANCELLED
        if cancelled:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self.size = 0
