"""The way to the workers: a message that wakes one. Nothing is lost if it never arrives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from reelyard.domain.routing import Queue


class WakeQueue(Protocol):
    """Carries job ids to workers."""

    def send(self, job_id: str, queue: Queue) -> None:
        """Raises BrokerUnavailable."""
        ...


@dataclass
class RecordingQueue:
    """Remembers what was sent and carries it nowhere."""

    sent: list[tuple[str, Queue]] = field(default_factory=list)

    def send(self, job_id: str, queue: Queue) -> None:
        self.sent.append((job_id, queue))
