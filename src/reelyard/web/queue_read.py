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
from reelyard.services.desk import ENDED, Line, QueueView, Whole
from reelyard.services.office import Office

MOST_ROWS = 100
_MOST_ENDED = 12
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

    def running(self, queue: Queue) -> Sequence[Line]:
        return self._lines(queue, JobStatus.PROCESSING)

    def waiting(self, queue: Queue) -> Sequence[Line]:
        return self._lines(queue, JobStatus.QUEUED)

    def _lines(self, queue: Queue, status: JobStatus) -> Sequence[Line]:
        lines = self.whole.lines
        return [one for one in lines if one.state.queue is queue and one.state.status is status]


def read(office: Office, who: Principal) -> Snapshot:
    """Raises ReelyardError."""
    ended = office.jobs.list(
        who, JobQuery(statuses=ENDED, sort=Sort.LAST_DONE, limit=_MOST_ENDED)
    ).rows
    since = datetime.now(UTC) - _JUST_NOW
    return Snapshot(
        whole=office.jobs.whole(who),
        ended=[one for one in ended if one.completed_at and one.completed_at >= since],
        workers=[one.worker for one in office.workers.list(who)],
    )


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


def hidden(view: QueueView, shown: int) -> int:
    """How many more wait than are shown."""
    return max(0, view.waiting - shown)
