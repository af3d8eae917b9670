"""Everything that webhooks need, over a database of a test's own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.webhook import Delivery, Webhook, WebhookEvent
from reelyard.services.webhook_client import GuardedClient
from reelyard.services.webhook_delivery import Client, Courier, Deliver
from reelyard.services.webhooks import WebhookDesk
from reelyard.store.database import Database
from reelyard.store.webhooks import Webhooks
from tests.store.conftest import Books, finished, new_id

LOCAL = ("localhost",)
ENDED = (WebhookEvent.COMPLETED,)
PATIENCE = 30.0


def person(role: Role = Role.OPERATOR, scopes: frozenset[Scope] | None = None) -> Principal:
    return Principal(user_id=new_id(), username=f"one {role}", role=role, scopes=scopes)


ANN = person()


@dataclass(frozen=True)
class Office:
    """``ann`` is an operator; jobs are hers."""

    books: Books
    client: Client
    ann: Principal = ANN

    @cached_property
    def webhooks(self) -> Webhooks:
        return Webhooks(self.books.database)

    @cached_property
    def courier(self) -> Courier:
        return Courier(webhooks=self.webhooks, client=self.client, chance=lambda: 0.5)

    @cached_property
    def desk(self) -> WebhookDesk:
        return WebhookDesk(webhooks=self.webhooks, send=self.courier, allowed_hosts=LOCAL)

    def deliver(self, holder: str = "here") -> Deliver:
        return Deliver(
            holder=holder, webhooks=self.webhooks, duties=self.books.duties, send=self.courier
        )

    def hook(self, url: str, events: tuple[WebhookEvent, ...] = ENDED) -> Webhook:
        return self.desk.create(self.ann, url, events)

    def run_job(self) -> str:
        """A job of ann's that is completed; its id."""
        lease = self.books.take("a", self.books.submit())
        assert self.books.leases.complete(lease, finished())
        return lease.job_id

    def last(self, webhook: Webhook) -> Delivery:
        return self.webhooks.deliveries(webhook.webhook_id)[0]

    def pass_time(self, seconds: float) -> None:
        self.books.pass_time(seconds, "workers")

    def with_client(self, client: Client) -> Office:
        return replace(self, client=client)


@contextmanager
def opened(folder: Path) -> Iterator[Office]:
    """An office in ``folder``, which is a test's; the folder above is shared by the session's tests."""
    path = shutil.copy(_template(folder.parent), folder / "farm.db")
    with closing(Database(f"sqlite:///{path}")) as database:
        yield Office(Books(database, ANN.user_id), _client())


@cache
def _template(folder: Path) -> Path:
    """A migrated database with a worker in it."""
    path = folder / "webhooks.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        Books(database).hire("a")
    return path


@cache
def _client() -> GuardedClient:
    """Reading the certificates that the world trusts takes a while."""
    return GuardedClient(allowed_hosts=LOCAL)


@contextmanager
def running(deliver: Deliver) -> Iterator[None]:
    """The loop of a process, with short pauses; it has to end when it is told to."""
    stop = threading.Event()
    thread = threading.Thread(target=deliver.run, args=(stop, 0.02))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
