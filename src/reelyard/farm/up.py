"""A worker by the product's own command, and the whole farm on one machine."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from reelyard.bootstrap import Reelyard
from reelyard.domain.errors import ReelyardError, SettingsInvalid, printable
from reelyard.domain.routing import ASSIST_QUEUE, Queue
from reelyard.engine.gpus import NONE, Gpu
from reelyard.files.slots import claimed
from reelyard.services.machine import Machine
from reelyard.settings import Settings, read_settings
from reelyard.system import processes

from .configuration import POOL
from .wiring import Farm

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}(@[A-Za-z0-9._%-]{1,200})?")
_SWEEP_SECONDS = 1.0
_ENDS_WITHIN = 30.0
_STEADY_SECONDS = 10.0
_LONGEST_PAUSE = 30.0


def run_worker(
    name: str, queues: Sequence[Queue], pool: str | None, gpu: str | None = None
) -> None:
    """Be a worker until told to end. ``pool`` is Celery's; None: what suits the system.

    ``gpu`` is the number of its graphics card, or ``none``; None: the first that no other worker here has.
    """
    from celery.platforms import SecurityWarning

    warnings.simplefilter("ignore", SecurityWarning)  # about root and pickle; only JSON is taken
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(f"{printable(name)} can't be a worker's name",
                              remedy="Use letters, digits, dots, dashes")  # fmt: skip
    node = name if "@" in name else f"{name}@{socket.gethostname()}"
    settings = read_settings()
    if gpu is not None:
        settings = settings.model_copy(update={"gpu": gpu})
    with card_of_a_worker(Reelyard(settings).machine) as card:
        if card is not None:
            os.environ["REELYARD_GPU"] = (
                card  # the worker reads its settings anew, its pool does too
            )
        from .celery_app import app

        app.worker_main([
            "worker", "-Q", ",".join(queues) or ASSIST_QUEUE, "-n", node, "-c", "1", "-P", pool or POOL,
            "--without-gossip", "--without-mingle", "-l", "info",
        ])  # fmt: skip


@contextmanager
def card_of_a_worker(machine: Machine) -> Iterator[str | None]:
    """Claim a graphics card for a worker, as long as it lives: the one in the settings, or the first free one.

    What the setting is to be: None where there is no card that works.
    """
    with ExitStack() as held:
        wanted = machine.settings.gpu
        cards = machine.working_gpus
        free = (
            one
            for one in cards
            if held.enter_context(claimed(machine.on_card(one).card_folder)) or wanted
        )
        card = next(free, None)
        if wanted is not None or not cards:
            yield wanted
        elif card is None:
            _LOG.warning("every graphics card here has a worker; this one encodes by the processor. "
                         "To share a card, name it with --gpu")  # fmt: skip
            yield NONE
        else:
            yield str(card.index)


def cards_of_workers(count: int | None, cards: Sequence[Gpu]) -> list[tuple[str, ...]]:
    """The options that give each of ``count`` workers its card; None: a worker for each card, one at least."""
    one_each: list[tuple[str, ...]] = [("--gpu", str(card.index)) for card in cards]
    if count is None:
        return [*one_each] or [()]
    without = [("--gpu", NONE) if cards else ()] * count
    return [*one_each, *without][:count]


class _Kept:
    """A process of ours that is started again when it ends otherwise than it was told to."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self._arguments = arguments
        self._process = self._start()
        self._started = time.monotonic()
        self._pause = 1.0
        self._next: float | None = None
        self._is_over = False

    def look(self) -> None:
        if self._process.poll() is None or self._is_over:
            return
        if self._process.returncode == 0:
            self._is_over = True
            _LOG.info("%s ended as it was told; start it again with reelyard %s",
                      self.name, self._arguments[0])  # fmt: skip
            return
        now = time.monotonic()
        if self._next is None:
            steady = now - self._started > _STEADY_SECONDS
            self._pause = 1.0 if steady else min(_LONGEST_PAUSE, self._pause * 2)
            self._next = now + self._pause
            _LOG.warning("%s ended (%s): started again in %.0f s", self.name,
                         self._process.returncode, self._pause)  # fmt: skip
        elif now >= self._next:
            self._process, self._started, self._next = self._start(), now, None

    def end(self) -> None:
        processes.ask_to_end(self._process)

    def wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            _LOG.error("%s does not end: killed", self.name)
            processes.kill(self._process)
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        """In a group of its own: Ctrl-C is for us to pass on."""
        return processes.start([sys.executable, "-m", "reelyard", *self._arguments])


def run_all(settings: Settings, count: int | None, *, with_server: bool = True) -> None:
    """Broker, server, sweep and ``count`` workers on this machine, until Ctrl-C or SIGTERM.

    None is a worker for each graphics card that works.

    Raises ReelyardError where the broker or the database can't be started.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    farm = Farm(settings)
    ended = threading.Event()
    for number in (signal.SIGINT, *processes.TOLD_TO_END):
        signal.signal(number, lambda *_: ended.set())
    if farm.embedded is not None:
        farm.embedded.guard()
    farm.workers.list()  # the database is made, or known to be away, before anything is started
    options = cards_of_workers(count, farm.reelyard.machine.working_gpus if count != 0 else ())
    kept = [
        _Kept(f"worker pc{number}", "worker", "--name", f"pc{number}", *card)
        for number, card in enumerate(options, 1)
    ]
    if with_server:
        kept.append(_Kept("the server", "serve", "--host", settings.host,
                          "--port", str(settings.port)))  # fmt: skip
    _LOG.info("the farm is up: %d workers; submit with reelyard submit JOB; films go to %s",
              len(options), settings.outputs)  # fmt: skip
    try:
        _keep_going(farm, kept, ended)
    finally:
        _LOG.info("ending: jobs in the making go back to the queue")
        for one in kept:
            one.end()
        for one in kept:
            one.wait(_ENDS_WITHIN)
        if farm.embedded is not None:
            farm.embedded.release()


def _keep_going(farm: Farm, kept: Sequence[_Kept], ended: threading.Event) -> None:
    while not ended.wait(_SWEEP_SECONDS):
        for one in kept:
            one.look()
        try:
            farm.sweep()
        except ReelyardError as error:
            _LOG.warning("%s", error)
        except Exception:  # noqa: BLE001 - it must not end the whole farm
            _LOG.exception("an error in Reelyard itself; the farm goes on")
