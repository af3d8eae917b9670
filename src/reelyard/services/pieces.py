"""Making the pieces of a film: what the cache or the shared store holds is taken from there, the rest is rendered.

Several pieces are made at once, each in a single-threaded FFmpeg of its own: sound first, because the
film's sound is encoded in one go as soon as all of it is there, beside the picture; then the picture,
longest segments first. A finished piece enters the cache at once, so whatever stops a job costs
no more than the pieces that were in the making.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reelyard.domain.errors import OutputRejected
from reelyard.domain.plan import Plan
from reelyard.engine import render
from reelyard.files.job_log import JobLog
from reelyard.files.slots import Slots

from .encode import BUSY_PAUSES, Encoder
from .help import NO_HELP, Help
from .made import Made
from .picture_pieces import BRINGING, PicturePieces
from .piecework import Piecework
from .progress import Meter
from .segments import Segments
from .sound_pieces import SoundPieces


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
        help_: Help = NO_HELP,
    ) -> None:
        self._work = Piecework(plan, segments, run, folder, meter, log, go_on=go_on)
        self._encode = Encoder(plan, run, log, sessions, busy_pauses)
        self._at_once = at_once
        self._help = help_

    @property
    def made(self) -> Made:
        return self._work.made

    @property
    def film(self) -> Path:
        """Where the segments and the track lie, ready to be joined."""
        return self._work.film

    def make(self) -> Made:
        """Make everything. Raises the first error that is not about a source."""
        bringing = ThreadPoolExecutor(BRINGING, "bring")
        try:
            self._make(PicturePieces(self._work, self._encode, bringing, self._help))
        finally:
            self._help.close()
            bringing.shutdown(cancel_futures=True)
        return self.made

    def _make(self, picture: PicturePieces) -> None:
        work = self._work
        sound = SoundPieces(work).tasks()
        work.do([*sound, *picture.tasks()], self._at_once)
        while tasks := picture.left():
            work.do(tasks, self._at_once)
        while not self.made.bad and (odd := picture.odd()):
            work.do(picture.remake(odd), self._at_once)
        if not self.made.bad and len(set(self.made.parameter_sets.values())) > 1:
            raise OutputRejected("the segments are not of one kind and can't be joined",
                                 remedy="Run reelyard cache clear, then again")  # fmt: skip
