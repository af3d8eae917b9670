"""Cleaning up: what a job that was cancelled or failed had published, or had begun to, goes.

A share that hangs must not hold up the sweep, so this runs beside it, one round at a time.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from reelyard.domain.errors import OutputUnusable, ReelyardError, SettingsInvalid
from reelyard.domain.farm import JobState
from reelyard.files.distant import DistantPath
from reelyard.files.publishing import is_there
from reelyard.store.duties import Duties
from reelyard.store.jobs import Jobs

from .films import Films
from .outputs import remove_output

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """The use case, for the machine called ``host``."""

    duties: Duties
    jobs: Jobs
    host: str
    films: Films = field(default_factory=Films)
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _not_here: set[tuple[str, int]] = field(default_factory=set)

    def begin(self) -> None:
        """Begin a round in a thread of its own, unless one is under way."""
        if self._busy.acquire(blocking=False):
            threading.Thread(target=self._run, name="clean up", daemon=True).start()

    def _run(self) -> None:
        try:
            self()
        except ReelyardError as error:
            _LOG.warning("cleaning up waits: %s", error)
        finally:
            self._busy.release()

    def __call__(self) -> None:
        """One round. Raises DatabaseUnavailable."""
        for state, host in self.duties.to_clean_up():
            try:
                self._clean(state, host)
            except (OutputUnusable, SettingsInvalid) as error:
                _LOG.info("job %s: its output is left to others: %s", state.job_id, error)
                self._not_here.add((state.job_id, state.token))
            except OSError as error:
                _LOG.warning("job %s: its output can't be removed: %s", state.job_id, error)

    def _clean(self, state: JobState, host: str | None) -> None:
        if (state.job_id, state.token) in self._not_here:
            return  # others have it
        output = self.films.find(state.planned_output or "")
        if not is_there(output.parent):
            return  # the share is away

        def is_over() -> bool:
            now = self.jobs.state(state.job_id)
            return (now.status, now.token) == (state.status, state.token)

        if not is_over():
            return  # queued again since it was listed: the film may be a new one
        removed = remove_output(output, state.token, is_over)
        if removed or host in (None, self.host) or isinstance(output, DistantPath):
            self.duties.cleaned_up(state)
        else:
            # This folder may be one of this machine's own, and the film on that of its worker. What is
            # reached directly is the same for all.
            self._not_here.add((state.job_id, state.token))
