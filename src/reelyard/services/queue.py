"""The way to the workers: messages that wake one. Nothing is lost if one never arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from reelyard.domain.routing import Queue
from reelyard.store.help import Offers


class WakeQueue(Protocol):
    """Carries job ids to workers."""

    def send(self, job_id: str, queue: Queue) -> None:
        """Wake a worker for a job that waits. Raises BrokerUnavailable."""
        ...

    def invite(self, job_id: str) -> None:
        """Wake a worker that has nothing to do, to help with a job that runs. Raises BrokerUnavailable."""
        ...


def send_invitations(offers: Offers, queue: WakeQueue, again_after: float) -> None:
    """Wake as many workers as can help just now; for the same job not again within ``again_after`` seconds.

    Raises BrokerUnavailable, DatabaseUnavailable.
    """
    for job_id, workers in offers.to_invite(again_after):
        for _ in range(workers):
            queue.invite(job_id)


@dataclass
class RecordingQueue:
    """Remembers what was sent and carries it nowhere."""

    sent: list[tuple[str, Queue]] = field(default_factory=list)
    invited: list[str] = field(default_factory=list)

    def send(self, job_id: str, queue: Queue) -> None:
        self.sent.append((job_id, queue))

    def invite(self, job_id: str) -> None:
        self.invited.append(job_id)
