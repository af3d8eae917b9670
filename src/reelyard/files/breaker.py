"""Calls to something that may hang or be away, and without which everything goes on.

A call that takes too long is abandoned: its thread is left to itself. After a failure nothing is asked for a while, and
for longer after each further one; then one caller tries.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

T = TypeVar("T")
_Run = Callable[[], Callable[[], None]]
_LOOK_SECONDS = 0.2
_IDLE_SECONDS = 30.0
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 600.0


def _nothing() -> None:
    """Nobody stops it."""


class NotAsked(OSError):
    """It failed a moment ago, and was not asked this time."""


class _Threads:
    """Threads to leave to themselves where they hang. The others are used again: some drivers have a connection for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[_Run]] = []
        self._process = os.getpid()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        made: Future[T] = Future()

        def run() -> Callable[[], None]:
            try:
                found = call()
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                return partial(made.set_exception, error)
            return partial(made.set_result, found)

        self._inbox().put(run)
        return made

    def _inbox(self) -> queue.SimpleQueue[_Run]:
        """That of a thread which has nothing to do."""
        with self._lock:
            if self._process != os.getpid():  # a fork has none of them
                self._process, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop()
        inbox: queue.SimpleQueue[_Run] = queue.SimpleQueue()
        threading.Thread(target=self._serve, args=(inbox,), name="aside", daemon=True).start()
        return inbox

    def _serve(self, inbox: queue.SimpleQueue[_Run]) -> None:
        while True:
            try:
                run = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        return
                continue  # it was just chosen for something
            tell = run()
            with self._lock:
                self._idle.append(inbox)  # before it is told: who asks next needs no other thread
            tell()
            del run, tell


class Breaker:
    """Stands before one such thing. ``seconds`` is how long a call may take."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._threads = _Threads()
        self._lock = threading.Lock()
        self._failures = 0
        self._asked_again_at = 0.0
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, as far as anybody knows."""
        return self._trouble

    @property
    def is_open(self) -> bool:
        """Whether a call would not be made just now."""
        return self._failures > 0 and self._clock() < self._asked_again_at

    def call(self, call: Callable[[], T], check: Callable[[], None] = _nothing) -> T:
        """Make a call. ``check`` is called while it is waited for; what it raises goes through.

        Raises NotAsked, and what the call raises as an OSError, whatever it is. FileNotFoundError is an answer, not a
        failure.
        """
        failures = self._enter()
        try:
            found = self._within_time(call, check)
        except FileNotFoundError:
            self._went_well()
            raise
        except OSError as error:
            self._failed(error, failures)
            raise
        self._went_well()
        return found

    def _within_time(self, call: Callable[[], T], check: Callable[[], None]) -> T:
        made = self._threads.submit(call)
        ends_at = time.monotonic() + self._seconds
        while not wait([made], min(_LOOK_SECONDS, self._seconds)).done:
            check()
            if time.monotonic() > ends_at:
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {self._seconds:g} seconds")
        try:
            return made.result()
        except OSError:
            raise
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error

    def _enter(self) -> int:
        """How often it failed before this call."""
        with self._lock:
            if self._failures and self._clock() < self._asked_again_at:
                raise NotAsked(errno.EHOSTDOWN, self._trouble or "")
            if self._failures:  # this one tries; the others wait for what it finds
                self._asked_again_at = self._clock() + self._seconds
            return self._failures

    def _went_well(self) -> None:
        with self._lock:
            self._failures, self._trouble = 0, None

    def _failed(self, error: OSError, failures: int) -> None:
        with self._lock:
            if self._failures != failures:
                return  # of several calls at once one counts
            pause = min(_FIRST_PAUSE * 2**failures, _LONGEST_PAUSE)
            self._failures = failures + 1
            self._asked_again_at = self._clock() + pause
            self._trouble = error.strerror or str(error) or type(error).__name__
