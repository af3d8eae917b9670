"""Workers: what they are at, and what they are told."""

from __future__ import annotations

from fastapi import APIRouter

from .identity import TheOffice, Who
from .schemas_office import OrderIn, WorkerOut

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("")
def list_workers(office: TheOffice, who: Who) -> list[WorkerOut]:
    """All workers. A job that is not yours to see is not shown."""
    return [WorkerOut.of(one) for one in office.workers.list(who)]


@router.get("/{worker_id}")
def get_worker(office: TheOffice, who: Who, worker_id: str) -> WorkerOut:
    """One worker."""
    return WorkerOut.of(office.workers.get(who, worker_id))


@router.put("/{worker_id}/order")
def tell(office: TheOffice, who: Who, worker_id: str, wish: OrderIn) -> WorkerOut:
    """Tell a worker to work, to pause, to drain, or to stop; it obeys at its next heartbeat.

    `pause`: finish the job, take no other until told to `work`. `drain`: finish it, then end. `stop`:
    hand it back to the queue at once, then end.
    """
    return WorkerOut.of(office.workers.tell(who, worker_id, wish.order))


@router.delete("/{worker_id}", status_code=204)
def forget(office: TheOffice, who: Who, worker_id: str) -> None:
    """Drop a worker that is gone for good from the list."""
    office.workers.forget(who, worker_id)
