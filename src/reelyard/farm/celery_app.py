"""Celery's app: ``celery -A reelyard.farm.celery_app worker -Q default_queue --concurrency=1 -n pc1@%h``.

Importing this reads no setting; Celery asks for its configuration when it first needs it.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from reelyard.settings import read_settings

from .configuration import configuration
from .life import WorkersLife, must_stop
from .wiring import Farm


class FarmApp(Celery):  # type: ignore[misc]  # Celery has no types
    """Celery's app with the farm behind it."""

    _farm: tuple[int, Farm] | None = None

    @property
    def farm(self) -> Farm:
        """This process's own: connections don't survive a fork."""
        if self._farm is None or self._farm[0] != os.getpid():
            self._farm = (os.getpid(), Farm(read_settings(), must_stop))
        return self._farm[1]


app = FarmApp("reelyard")
app.add_defaults(lambda: configuration(app.farm.broker_url))
app.steps["worker"].add(WorkersLife)


def perform(task: Any, job_id: str) -> dict[str, Any]:
    """What every task does that is about a job of the worker's own."""
    request = task.request
    status = app.farm.work(request.hostname)(job_id, request.id)
    return {"job_id": job_id, "status": status}


def assist(task: Any, job_id: str) -> dict[str, Any]:
    """Help with running jobs, until there is something else to do."""
    return {"job_id": job_id, "segments": app.farm.assist(task.request.hostname)(job_id)}
