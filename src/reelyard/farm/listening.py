"""What a worker listens to: its queues of jobs while it takes jobs, and invitations to help while it has nothing to do.

A message that a busy worker has in reserve is of no use to anybody, so invitations are taken by idle workers only, and by those
whose setting ``assist`` says so. What Celery does is looked at every time: it forgets such a change when it reconnects.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.worker import state

from reelyard.domain.routing import ASSIST_QUEUE, Queue

_LOG = logging.getLogger(__name__)


class Listening:
    """One worker's. Begins with its queues of jobs."""

    def __init__(self, worker: Any, *, assists: bool) -> None:
        self._celery = worker
        self._assists = assists
        self._takes_jobs = True
        logging.getLogger("kombu.transport.virtual.base").addFilter(_is_news)
        queues = worker.app.amqp.queues
        self.queues = tuple(Queue(name) for name in queues.consume_from if name != ASSIST_QUEUE)
        queues.deselect(ASSIST_QUEUE)

    @property
    def is_busy(self) -> bool:
        """Whether there is a task that the worker has begun, or has in reserve."""
        return len(state.reserved_requests) > 0

    def set(self, *, takes_jobs: bool) -> None:
        """Take messages only while jobs are taken, so that others get them."""
        invited = takes_jobs and self._assists and not self.is_busy
        self._take([queue.value for queue in self.queues], takes_jobs)
        self._take([ASSIST_QUEUE], invited)
        if takes_jobs != self._takes_jobs:
            self._takes_jobs = takes_jobs
            _LOG.info("%s jobs", "taking" if takes_jobs else "taking no more")

    def _take(self, queues: Sequence[str], wanted: bool) -> None:
        consumer = self._celery.consumer
        if consumer is None or consumer.task_consumer is None:
            return
        consuming = consumer.task_consumer.consuming_from
        if wrong := [one for one in queues if bool(consuming(one)) is not wanted]:
            consumer.call_soon(_change, consumer, wrong, wanted)


def _is_news(record: logging.LogRecord) -> bool:
    """An invitation that comes while the worker ceases to listen goes back for others: that is as it should be."""
    return not ("No consumers" in str(record.msg) and record.args == (ASSIST_QUEUE,))


def _change(consumer: Any, queues: Sequence[str], wanted: bool) -> None:
    """Begin or cease to take messages; called in Celery's own thread."""
    change = consumer.add_task_queue if wanted else consumer.cancel_task_queue
    try:
        for queue in queues:
            change(queue)
    except consumer.connection_errors as error:
        _LOG.warning("the broker is away: %s", error)  # the next look tries again
