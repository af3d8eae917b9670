"""Celery's settings, the same for everybody who touches the broker.

The visibility timeout has to be: the shortest one on any worker counts for everybody's messages. A message
that is not acknowledged in that time is delivered again, also one that merely waits in reserve, so it is
longer than two jobs at their hard limit, one after the other. Nothing rests on it: a second delivery is
turned away at the claim, and what a dead worker held is freed by its lease.
"""

from __future__ import annotations

import sys
from typing import Any

from kombu.entity import Exchange, Queue

from reelyard.domain import routing

HARD_TIME_LIMIT = 10_800
SOFT_TIME_LIMIT = 10_200
VISIBILITY_TIMEOUT = 43_200
RESULTS_KEPT = 86_400
POOL = "threads" if sys.platform == "win32" else "prefork"
"""What suits the system: Windows has no forks, and FFmpeg is a process of its own in any case."""
_RETRY_SOON = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}


def configuration(broker_url: str) -> dict[str, Any]:
    """For workers. ``broker_url`` is kept for results, too."""
    return {
        **sending(broker_url),
        "broker_transport_options": _transport(),
        "result_backend": broker_url,
        "result_expires": RESULTS_KEPT,
        # What became of a job is in the database: who ends while the broker is away does not wait.
        "result_backend_transport_options": {**_transport(), "retry_policy": _RETRY_SOON},
        "include": ["reelyard.farm.tasks"],
        "task_queues": [queue(one.value) for one in routing.Queue] + [queue(routing.ASSIST_QUEUE)],
        "task_create_missing_queues": False,
        "task_track_started": True,
        "task_time_limit": HARD_TIME_LIMIT,
        "task_soft_time_limit": SOFT_TIME_LIMIT,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 2,
        "worker_concurrency": 1,
        "worker_pool": POOL,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
    }


def sending(broker_url: str) -> dict[str, Any]:
    """For everybody that sends: who finds no broker is told so at once."""
    return {
        "broker_url": broker_url,
        "broker_transport_options": {**_transport(), **_RETRY_SOON},
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        "task_default_queue": routing.Queue.DEFAULT.value,
    }


def _transport() -> dict[str, Any]:
    return {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "health_check_interval": 25,
    }


def queue(name: str) -> Queue:
    """Declared in full: left to Celery, all queues would be bound to the default one's key."""
    return Queue(name, Exchange(name), routing_key=name)


EFFECTIVE = (
    "task_acks_late",
    "task_reject_on_worker_lost",
    "task_track_started",
    "task_time_limit",
    "task_soft_time_limit",
    "worker_prefetch_multiplier",
    "result_expires",
    "task_serializer",
    "result_serializer",
    "accept_content",
    "enable_utc",
    "timezone",
    "visibility_timeout",
    "broker_transport_options",
    "result_backend_transport_options",
)
"""What a worker logs when it is ready."""
