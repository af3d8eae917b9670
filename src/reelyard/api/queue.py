"""The queues: how long, in which order, for how long yet; stopped and let go."""

from __future__ import annotations

from fastapi import APIRouter

from reelyard.domain.routing import Queue

from .identity import TheOffice, Who
from .schemas_office import PauseIn, QueueOut, WholeOut

router = APIRouter(prefix="/queues", tags=["queues"])


@router.get("")
def get_queues(office: TheOffice, who: Who) -> WholeOut:
    """All queues, and the jobs in them that are yours to see."""
    return WholeOut.of(office.jobs.whole(who))


@router.put("/{queue_name}/pause")
def pause(office: TheOffice, who: Who, queue_name: Queue, wish: PauseIn) -> QueueOut:
    """Have nobody take more jobs from a queue, or let them again. Running jobs go on."""
    office.jobs.pause_queue(who, queue_name, wish.is_paused)
    views = office.jobs.whole(who).queues
    return next(QueueOut.of(one) for one in views if one.queue is queue_name)
