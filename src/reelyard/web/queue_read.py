"""What the queue's page shows, read in one go, and what it says where nobody works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reelyard.domain.access import Principal
from reelyard.domain.errors import printable
from reelyard.domain.farm import JobState, Worker
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.query import JobQuery, Sort
from reelyard.domain.routing import Queue
from reelyard.services.job_views import Line, QueueView, Whole
from reelyard.services.office import Office

from .job_actions import CAN_RETRY

MOST_ROWS = 100
_MOST_ENDED = 6  # of films, and of what failed or was cancelled
_JUST_NOW = timedelta(hours=1)
_ORDERS = {
    Order.PAUSE: "is paused",
    Order.DRAIN: "ends after its job",
    Order.STOP: "is being stopped",
}
NAMES = {
    Queue.UHD: "4K films",
    Queue.GPU: "Text and long films",
    Queue.DEFAULT: "Everything else",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The farm as it is at one moment, for one visitor."""

    whole: Whole
    ended: Sequence[JobState]
    workers: Sequence[Worker]

    @property
    def is_idle(self) -> bool:
        return not any(view.waiting or view.running for view in self.whole.queues)

    @property
    def running(self) -> Sequence[Line]:
        return [one for one in self.whole.lines if one.state.status is JobStatus.PROCESSING]

    def waiting(self, queue: Queue) -> Sequence[Line]:
        waiting = (one for one in self.whole.lines if one.state.status is JobStatus.QUEUED)
        return [one for one in waiting if one.state.queue is queue]


def read(office: Office, who: Principal) -> Snapshot:
    """Raises ReelyardError."""
    return Snapshot(
        whole=office.jobs.whole(who),
        ended=_ended(office, who),
        workers=[one.worker for one in office.workers.list(who)],
    )


def _ended(office: Office, who: Principal) -> Sequence[JobState]:
    """What ended within the hour, the last first; many films don't crowd out what went wrong."""
    since = datetime.now(UTC) - _JUST_NOW
    found = []
    for statuses in ((JobStatus.COMPLETED,), CAN_RETRY):
        query = JobQuery(statuses=statuses, sort=Sort.LAST_DONE, limit=_MOST_ENDED)
        for state in office.jobs.list(who, query).rows:
            if state.completed_at is not None and state.completed_at >= since:
                found.append((state.completed_at, state))
    found.sort(key=lambda one: one[0], reverse=True)
    return [state for _, state in found]


def unheard(queue: Queue, workers: Sequence[Worker]) -> tuple[str, str | None] | None:
    """Why nobody takes jobs of a queue, and the command that would help; None: somebody does."""
    listening = [one for one in workers if one.is_alive and queue in one.queues]
    if not listening:
        return f"Nobody listens to {queue}: start a worker with", f"reelyard worker -Q {queue}"
    if any(one.takes_jobs for one in listening):
        return None
    said = ", ".join(f"{printable(one.worker_id)} {_why(one)}" for one in listening)
    return f"Nobody takes jobs from {queue}: {said}. See Workers.", None


def _why(worker: Worker) -> str:
    return "is in quarantine" if worker.quarantine else _ORDERS.get(worker.order, "takes none")


def rest_words(view: QueueView, shown: int) -> str:
    """How many more wait than are shown; empty where all are."""
    more = view.waiting - shown
    if more <= 0:
        return ""
    jobs = f"{more} more job{'s' if more != 1 else ''}" if shown else f"{more} jobs"
    return f"and {jobs} in this queue" if shown else f"{jobs} of others or further back wait here"
