"""A worker's life inside Celery's: registers, beats, obeys, sweeps, prefetches, ends in bounded time.

In Celery's main process (with ``-P threads`` the only one) a thread beats four times in the lease time, does
what the farm told the worker, and takes its turn at the sweep. A job in the making is handed back when the
process is told to end: the flag for that is a byte of memory that the pool's process shares.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from celery import bootsteps, signals

from reelyard.domain.address import without_password
from reelyard.domain.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    OutputUnusable,
    ReelyardError,
    SettingsInvalid,
)
from reelyard.domain.farm import Worker
from reelyard.domain.lifecycle import Order
from reelyard.services.capabilities import free_disk
from reelyard.services.doctor import Verdict
from reelyard.services.prefetch import release_unused
from reelyard.system import processes

from .configuration import EFFECTIVE
from .listening import Listening
from .quarantine import Quarantine
from .wiring import Farm

_LOG = logging.getLogger(__name__)
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.5
_REGISTERED_WITHIN = 30.0
_TIDY_SECONDS = 60.0
_SWEEP_SECONDS = 2.0
_OLDEST_PIN = 7 * 86_400.0  # a worker that was never started again kept it

_told_to_stop = mmap.mmap(-1, 1)
"""Shared with the pool's process, which is forked from this one; a lock could be left locked by it."""


_told_alone = threading.Event()
"""The same, for a pool's process that was told to end while its worker was not: for one task."""


def must_stop() -> bool:
    """Whether the job in the making is to be handed back at once."""
    return _told_to_stop[0] != 0 or _told_alone.is_set()


class WorkersLife(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Celery's step between its pool, which must be forked before there are threads, and its consumer."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._life: _Life | None = None

    def start(self, worker: Any) -> None:
        self._life = _Life(worker)
        self._life.begin()

    def stop(self, worker: Any) -> None:
        """Celery's pool still has to end its job: what that needs goes on until ``worker_shutdown``."""


class _Life:
    """One worker's."""

    def __init__(self, worker: Any) -> None:
        self._celery = worker
        self._farm: Farm = worker.app.farm
        self.worker_id: str = worker.hostname
        self._instance = uuid.uuid4().hex
        self._listening = Listening(worker, assists=self._farm.settings.assist)
        self._queues = self._listening.queues
        self._registered = threading.Event()
        self._beat_at = self._swept_at = self._tidied_at = 0.0
        self._quarantine = Quarantine(self._farm, self.worker_id)
        self._thread = threading.Thread(target=self._run, name="life", daemon=True)
        self._prefetch = self._farm.prefetch(self.worker_id)

    def begin(self) -> None:
        """Returns when the worker is known to the farm, or the database does not answer.

        Raises SettingsInvalid where Celery was told to run more than one task at a time.
        """
        if self._celery.concurrency != 1:
            raise SettingsInvalid("a worker does one job at a time, with all of the machine",
                                  remedy="Start it with --concurrency=1")  # fmt: skip
        if self._celery.pool_cls.__module__.endswith("prefork"):
            self._farm.reelyard.database.survive_forks()  # a killed pool process is replaced
        for number in processes.TERMINAL_CLOSED:
            # Celery would start itself anew in the same process, over a job. Windows asks like that to end.
            signal.signal(number, lambda *_: self._end())
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.task_received.connect(self._on_received, weak=False)
        signals.worker_shutting_down.connect(self._on_shutting_down, weak=False)
        signals.worker_shutdown.connect(self._on_shutdown, weak=False)
        if self._farm.embedded is not None:
            self._farm.embedded.guard()
        self._thread.start()
        if not self._registered.wait(_REGISTERED_WITHIN):
            _LOG.warning("not registered yet: no job can be taken until the database answers")

    # What Celery tells

    def _on_ready(self, sender: Any = None, **_: Any) -> None:
        conf = self._celery.app.conf
        values = ", ".join(f"{name}={conf[name]!r}" for name in EFFECTIVE)
        settings = self._farm.settings
        # Celery's own default is to show warnings only, and this has to be seen.
        level = logging.INFO if _LOG.isEnabledFor(logging.INFO) else logging.WARNING
        _LOG.log(
            level,
            "%s is ready: queues=%s, pool=%s, concurrency=%s, %s, broker=%s, database=%s, "
            "lease_seconds=%s, outputs=%s, assist=%s",
            self.worker_id, ",".join(self._queues), self._celery.pool_cls.__module__,
            self._celery.concurrency, values, without_password(self._farm.broker_url),
            without_password(settings.database), settings.lease_seconds, settings.outputs,
            settings.assist,
        )  # fmt: skip

    def _on_received(self, **_: Any) -> None:
        """A message has arrived. Celery must not wait for what it leads to."""
        self._in_background(self._prefetch.when_busy)

    def _in_background(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="beside", daemon=True).start()

    def _on_shutting_down(self, **_: Any) -> None:
        _told_to_stop[0] = 1
        self._farm.ended.set()
        watchdog = threading.Timer(_STOP_SECONDS, _die)
        watchdog.daemon = True
        watchdog.start()

    def _on_shutdown(self, **_: Any) -> None:
        self._farm.ended.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS * 4)
        try:
            self._farm.workers.leave(self.worker_id, self._instance)
        except DatabaseUnavailable as error:
            _LOG.warning("could not say goodbye: %s", error)
        if self._farm.embedded is not None:
            self._farm.embedded.release()

    # What it does all the time

    def _run(self) -> None:
        while not self._farm.ended.wait(_LOOK_SECONDS if self._registered.is_set() else 0.0):
            try:
                self._live()
            except (DatabaseUnavailable, BrokerUnavailable) as error:
                if isinstance(error, DatabaseUnavailable):
                    self._farm.sweep.database_was_away()
                _LOG.warning("%s", error)
                self._farm.ended.wait(1.0)
            except ReelyardError as error:
                _LOG.error("%s", error)
                self._farm.ended.wait(5.0)
            except Exception:  # noqa: BLE001 - a worker that stops beating loses its job
                _LOG.exception("an error in Reelyard itself; the worker goes on")
                self._farm.ended.wait(5.0)

    def _live(self) -> None:
        if not self._registered.is_set():
            self._register()
        now = time.monotonic()
        if now - self._beat_at >= min(5.0, self._farm.settings.lease_seconds / 4):
            self._beat()
            self._beat_at = now
            self._in_background(self._prefetch)  # should a message not have led to it
        self._obey()
        if now - self._swept_at >= min(_SWEEP_SECONDS, self._farm.settings.lease_seconds / 6):
            self._farm.sweep()
            self._swept_at = now
        if now - self._tidied_at >= min(_TIDY_SECONDS, self._farm.settings.lease_seconds):
            self._tidy()
            self._tidied_at = now

    def _register(self) -> None:
        farm = self._farm
        try:
            farm.outputs.make()
            self._in_background(self._look_where_films_go)
        except (OSError, OutputUnusable) as error:
            _LOG.error("no film can be published yet: %s: %s", farm.outputs.name, error)
        able = replace(farm.reelyard.machine.able(), assists=farm.settings.assist)
        before = farm.workers.register(
            self.worker_id, self._instance, host=socket.gethostname(), pid=os.getpid(),
            queues=self._queues, capabilities=able,
        )  # fmt: skip
        if before is not None and _is_dead(before):
            freed = farm.workers.abandon(self.worker_id, f"{self.worker_id} was killed")
            _LOG.info("the worker of this name before was killed; it held %d jobs", freed)
        self._registered.set()
        card = f" ({able.graphics_card}, driver {able.driver})" if able.graphics_card else ""
        _LOG.info("%s can encode with %s%s, decode on the card: %s", self.worker_id,
                  ", ".join(able.encoders) or "nothing", card,
                  ", ".join(able.decodes) or "nothing")  # fmt: skip

    def _look_where_films_go(self) -> None:
        """Said when a worker starts, and not when its first film is finished."""
        found = self._farm.outputs.examine()
        if found.verdict is Verdict.FAILED:
            _LOG.error("no film can be published yet: %s. %s", found.message, found.remedy)

    def _beat(self) -> None:
        free = free_disk(self._farm.settings.cache_dir)
        if self._farm.workers.beat(self.worker_id, self._instance, free) is None:
            _LOG.error("another worker called %s was started: this one ends", self.worker_id)
            self._end()

    def _obey(self) -> None:
        worker = self._farm.workers.get(self.worker_id)
        if worker is None or worker.instance != self._instance:
            return
        self._listening.set(takes_jobs=worker.takes_jobs)
        if worker.helps is not None and not self._listening.is_busy:
            self._farm.offers.helps(self.worker_id, None)  # who said so was killed
        if worker.order is Order.STOP or (worker.order is Order.DRAIN and worker.job_id is None):
            _LOG.info("told to %s: ending", worker.order)
            self._end()
        else:
            self._quarantine.look(worker)

    def _tidy(self) -> None:
        farm = self._farm
        release_unused(farm.pins(self.worker_id), farm.jobs, farm.fetch)
        farm.fetch.copies.drop_old_pins(_OLDEST_PIN)
        farm.fetch.copies.trim()
        farm.clean_up.begin()

    def _end(self) -> None:
        """End as on SIGTERM."""
        self._farm.ended.set()
        processes.end_this_process()


def _is_dead(before: Worker) -> bool:
    """Whether the process that had this name is known not to run any more."""
    if before.host != socket.gethostname() or before.pid == os.getpid():
        return False
    return not processes.is_running(before.pid)


def _die() -> None:
    """The bounded time for ending is over. The lease hands the job on."""
    _LOG.error("did not end within %s s: ending at once", _STOP_SECONDS)
    processes.kill_children()
    os._exit(1)


@signals.worker_process_init.connect
def _in_pool_process(**_: Any) -> None:
    """A pool's process does not outlive its worker, however that ends."""
    processes.die_with_parent()
    signals.task_prerun.connect(_heed_signals, weak=False)


def _heed_signals(**_: Any) -> None:
    """Nor does it end before its job is handed back: whoever ends a worker may tell all its processes.

    Done before each task, because the pool sets its own handlers after it was initialised.
    """
    _told_alone.clear()
    for number in processes.TOLD_TO_END:
        signal.signal(number, lambda *_: _told_alone.set())
