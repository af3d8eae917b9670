"""What pages say of workers: what one is at, and what each order would do to it."""

from __future__ import annotations

from dataclasses import dataclass

from reelyard.domain.farm import Worker
from reelyard.domain.lifecycle import Order

from .words import ago


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker's state in a word, and what there is to say about it."""

    word: str
    kind: str  # what it is coloured by
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """An order as a button: what it is called, and what it does in a sentence."""

    order: Order
    name: str
    icon: str
    says: str


WAKE = Command(Order.WORK, "Wake", "play_arrow", "It takes jobs again.")
PAUSE = Command(
    Order.PAUSE, "Pause", "pause",
    "It finishes its job, then takes no other until it is woken. The program stays open.",
)  # fmt: skip
DRAIN = Command(
    Order.DRAIN, "Drain", "exit_to_app",
    "It finishes its job, takes no other, then ends. Good before an update or a restart.",
)  # fmt: skip
STOP = Command(
    Order.STOP, "Stop", "stop",
    "It breaks its job off at once, puts it back into the queue for another worker, and ends.",
)  # fmt: skip


def standing(worker: Worker) -> Standing:
    """What matters most about a worker comes first."""
    if not worker.is_alive:
        return _gone(worker)
    busy = worker.job_id is not None
    if worker.order is Order.STOP:
        return Standing("Stopping", "held", "Puts its job back and ends." if busy else "Ends now.")
    if worker.quarantine is not None:
        return Standing("Quarantined", "bad", f"Takes no jobs: {worker.quarantine}")
    if worker.order is Order.DRAIN:
        return Standing("Draining", "held", "Ends after this job." if busy else "Ends now.")
    if worker.order is Order.PAUSE:
        text = "Pauses after this job." if busy else "Takes no jobs until it is woken."
        return Standing("Paused", "held", text)
    if busy:
        return Standing("Busy", "busy", "Works on a job.")
    if worker.helps is not None:
        return Standing("Helping", "busy", "Makes segments for another's job.")
    return Standing("Idle", "good", "Waits for a job.")


def _gone(worker: Worker) -> Standing:
    text = f"Last heard of {ago(worker.seen_at)}."
    if worker.quarantine is not None:
        text += f" It was in quarantine: {worker.quarantine}"
    return Standing("Gone", "gone", text)


def commands(worker: Worker) -> tuple[Command, ...]:
    """The orders that would change anything."""
    if not worker.is_alive or worker.order is Order.STOP:
        return ()
    first = PAUSE if worker.order is Order.WORK else WAKE
    return (first, STOP) if worker.order is Order.DRAIN else (first, DRAIN, STOP)


def consequence(command: Command, worker: Worker, job: str) -> str:
    """What an order would do to the job that a worker is at; ``job`` is how that is called."""
    if worker.job_id is None and worker.helps is not None:
        return "It has no job of its own. Whom it helps goes on without it."
    if worker.job_id is None:
        return "It has no job now."
    if command.order is Order.STOP:
        return (
            f"Its job, {job}, goes back into the queue and keeps its place; another worker begins it "
            "anew. What is rendered already stays in this machine's cache."
        )
    return f"Its job, {job}, is finished first."


def told(command: Command, worker: Worker) -> str:
    """What is said once the order was given."""
    busy = worker.job_id is not None
    later = " after its job" if busy else ""
    said = {
        Order.WORK: "takes jobs again",
        Order.PAUSE: f"pauses{later}",
        Order.DRAIN: f"ends{later}",
        Order.STOP: "ends; its job goes back into the queue" if busy else "ends",
    }
    return f"{worker.worker_id} {said[command.order]}"
