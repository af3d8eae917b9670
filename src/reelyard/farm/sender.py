"""Sending messages to workers, over Celery."""

from __future__ import annotations

from functools import cached_property

from celery import Celery
from kombu.exceptions import OperationalError

from reelyard.domain.address import without_password
from reelyard.domain.errors import BrokerUnavailable
from reelyard.domain.routing import ASSIST_QUEUE, ASSIST_TASK, TASKS, Queue

from .configuration import queue as declared
from .configuration import sending


class CelerySender:
    """Sends job ids to queues. Keeps no result: the database knows more."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url

    @cached_property
    def _app(self) -> Celery:
        app = Celery("reelyard-sender", set_as_current=False)
        app.conf.update(sending(self._broker_url))
        return app

    def send(self, job_id: str, queue: Queue) -> None:
        """Raises BrokerUnavailable."""
        self._send(TASKS[queue].value, job_id, queue.value)

    def invite(self, job_id: str) -> None:
        """Ask a worker that has nothing to do to help with a job. Raises BrokerUnavailable."""
        self._send(ASSIST_TASK, job_id, ASSIST_QUEUE)

    def _send(self, task: str, job_id: str, queue: str) -> None:
        try:
            self._app.send_task(
                task, args=[job_id], queue=declared(queue), retry=False, expires=None
            )
        except (OperationalError, OSError, KeyError, ValueError) as error:
            where = without_password(self._broker_url)
            raise BrokerUnavailable(f"the broker {where} can't be reached: {error}",
                                    remedy="Check that it runs; reelyard up starts one") from error  # fmt: skip

    def check(self) -> None:
        """Raises BrokerUnavailable where it can't be reached within two seconds."""
        try:
            with self._app.connection_for_write(connect_timeout=2) as connection:
                connection.ensure_connection(max_retries=1, timeout=2)
        except (OperationalError, OSError, KeyError, ValueError) as error:
            raise BrokerUnavailable(f"the broker can't be reached: {error}",
                                    remedy="Check that it runs") from error  # fmt: skip

    def close(self) -> None:
        self._app.close()
