"""Tells webhooks what was announced: several receivers at once, each one's news in order.

A thing is told until the receiver says that it has it, ever more rarely; after two days no more.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

from reelyard.domain.errors import DatabaseUnavailable, NotFound
from reelyard.domain.webhook import Delivery, Webhook, WebhookEvent
from reelyard.store.duties import Duties
from reelyard.store.webhooks import Webhooks

from .webhook_client import Answer
from .webhook_signature import signed_headers

_LOG = logging.getLogger(__name__)
DUTY = "webhooks"
WAITS = (5.0, 30.0, 120.0, 600.0, 3600.0, 3 * 3600.0, 6 * 3600.0, 12 * 3600.0, 24 * 3600.0)
"""Seconds after the first try that failed, after the second, ..."""
_LONGEST_ASKED_FOR = 3600.0
_GONE = 410
_TURN_SECONDS = 15.0  # for which others wait when a delivering process dies
_TIDY_SECONDS = 3600.0

Batch = Sequence[tuple[Delivery, Webhook]]


class Client(Protocol):
    """Sends one request; ``webhook_client.GuardedClient`` does."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


@dataclass(frozen=True, kw_only=True)
class Courier:
    """Sends one delivery, and writes down what came of it."""

    webhooks: Webhooks
    client: Client
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def __call__(self, delivery: Delivery, webhook: Webhook) -> Answer:
        """Raises DatabaseUnavailable; then it was sent and nobody knows."""
        body = json.dumps(delivery.payload, separators=(",", ":")).encode()
        headers = signed_headers(webhook.secret, int(self.clock()), delivery.name, body)
        headers["content-type"] = "application/json"
        answer = self.client.post(webhook.url, headers, body)
        self._write_down(delivery, webhook, answer)
        return answer

    def _write_down(self, delivery: Delivery, webhook: Webhook, answer: Answer) -> None:
        if answer.is_success and answer.status_code is not None:
            self.webhooks.delivered(delivery.number, answer.status_code)
            return
        reason = answer.reason or _words(answer.status_code or 0)
        wait = self._wait(delivery, answer)
        self.webhooks.failed(delivery.number, answer.status_code, reason, wait)
        _LOG.warning("webhook %s, %s: %s%s", webhook.receiver, delivery.event, reason,
                     "; gave up" if wait is None else "")  # fmt: skip
        if answer.status_code == _GONE:
            self.webhooks.switch_off(webhook.webhook_id, "it answered 410 Gone")

    def _wait(self, delivery: Delivery, answer: Answer) -> float | None:
        """Seconds until the next try; None: there is none."""
        is_last = delivery.tries >= len(WAITS) or delivery.event is WebhookEvent.PING
        if is_last or answer.status_code == _GONE:
            return None
        spread = 0.8 + 0.4 * self.chance()  # those that failed together don't come back together
        return max(WAITS[delivery.tries] * spread, self._asked_for(answer))

    def _asked_for(self, answer: Answer) -> float:
        """The seconds for which the receiver wants to be left alone."""
        text = (answer.retry_after or "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text), _LONGEST_ASKED_FOR)
        try:
            then = parsedate_to_datetime(text)
            seconds = then.replace(tzinfo=then.tzinfo or UTC).timestamp() - self.clock()
        except (ValueError, OverflowError):
            return 0.0
        return min(seconds, _LONGEST_ASKED_FOR)


def _words(status_code: int) -> str:
    more = ", and redirects are not followed" if 300 <= status_code < 400 else ""
    return f"it answered {status_code}{more}"


@dataclass(kw_only=True)
class Deliver:
    """The use case, for one process; of all processes one does it at a time."""

    holder: str
    webhooks: Webhooks
    duties: Duties
    send: Courier
    at_once: int = 8
    each: int = 4
    keep_days: float = 30.0
    _busy: dict[str, Future[int]] = field(default_factory=dict, init=False)
    _tidy_at: float = field(default=0.0, init=False)

    def __call__(self) -> int:
        """One round: send what is due, if it is this process's turn; how many were tried.

        Raises DatabaseUnavailable.
        """
        with ThreadPoolExecutor(self.at_once, "webhook") as pool:
            self._begin(pool, threading.Event())
        done, self._busy = self._busy, {}
        return sum(one.result() for one in done.values())

    def run(self, stop: threading.Event, pause: float = 1.0) -> None:
        """Send what becomes due until ``stop`` is set: who is slow holds up nobody else.

        What is under way when it is set is waited for: as long as one request may take.
        """
        with ThreadPoolExecutor(self.at_once, "webhook") as pool:
            while not stop.wait(pause):
                try:
                    self._reap()
                    self._begin(pool, stop)
                except DatabaseUnavailable as error:
                    _LOG.warning("webhooks wait: %s", error)
                except Exception:  # noqa: BLE001 - nobody would be told of anything any more
                    _LOG.exception("webhooks wait")

    def _begin(self, pool: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Begin to tell those receivers of something that are not being told of anything else."""
        tidies = self._tidies()
        if not (tidies or self._busy or self.webhooks.due(1)):
            return  # looking changes nothing, so an idle farm's database is left in peace
        if not self.duties.take_over(DUTY, self.holder, _TURN_SECONDS):
            return
        if tidies:
            self.webhooks.tidy(self.keep_days)
        batches: dict[str, list[tuple[Delivery, Webhook]]] = {}
        for delivery, webhook in self.webhooks.due(self.at_once * self.each, each=self.each,
                                                   but=self._busy.keys()):  # fmt: skip
            batches.setdefault(webhook.webhook_id, []).append((delivery, webhook))
        free = self.at_once - len(self._busy)
        for webhook_id, batch in list(batches.items())[:free]:
            self._busy[webhook_id] = pool.submit(self._tell, batch, stop)

    def _tidies(self) -> bool:
        """Whether it is time to, for which each process looks at its own clock."""
        now = time.monotonic()
        if now < self._tidy_at:
            return False
        self._tidy_at = now + _TIDY_SECONDS
        return True

    def _tell(self, batch: Batch, stop: threading.Event) -> int:
        """One receiver's news, until it does not take something; how many were tried."""
        for tried, (delivery, webhook) in enumerate(batch):
            if stop.is_set():
                return tried
            try:
                if not self.send(delivery, webhook).is_success:
                    return tried + 1
            except NotFound:  # somebody removed it meanwhile
                return tried + 1
        return len(batch)

    def _reap(self) -> None:
        """Forget who has been told; say what went wrong. What was not written down is due again."""
        for webhook_id, future in list(self._busy.items()):
            if not future.done():
                continue
            del self._busy[webhook_id]
            error = future.exception()
            if isinstance(error, DatabaseUnavailable):
                _LOG.warning("webhook %s: %s", webhook_id, error)
            elif error is not None:
                _LOG.error("webhook %s", webhook_id, exc_info=error)
