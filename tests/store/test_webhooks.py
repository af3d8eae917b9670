"""Webhooks in the books: who is told of what, in what order, and what becomes of it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from reelyard.domain.errors import NotFound
from reelyard.domain.farm import Lease
from reelyard.domain.lifecycle import Event
from reelyard.domain.webhook import JOB_EVENTS, Delivery, Webhook, WebhookEvent
from reelyard.store.clock import now
from reelyard.store.database import Database
from reelyard.store.moves import move
from reelyard.store.schema import accounts, events, jobs, webhook_deliveries, webhooks
from reelyard.store.webhooks import Webhooks, insert_webhook

from .conftest import Books, finished, new_id

ANN, BEN = new_id(), new_id()


@pytest.fixture
def hooks(database: Database) -> Webhooks:
    return Webhooks(database)


@pytest.fixture
def ann(books: Books) -> Books:
    """The books as ann submits to them; there is a worker."""
    books.hire("a")
    return replace(books, user_id=ANN)


def webhook(**changes: Any) -> Webhook:
    known: dict[str, Any] = {
        "webhook_id": new_id(), "user_id": ANN, "url": "https://example.com/hooks?key=1",
        "secret": "whsec_c2VjcmV0", "events": JOB_EVENTS, "created_at": datetime.now(UTC),
    }  # fmt: skip
    return Webhook(**{**known, **changes})


def add(hooks: Webhooks, **changes: Any) -> str:
    return hooks.add(webhook(**changes), by="ann").webhook_id


def told(hooks: Webhooks, webhook_id: str) -> list[str]:
    """The events that a webhook is told of, in order."""
    return [one.event.value for one in reversed(hooks.deliveries(webhook_id))]


def one_due(hooks: Webhooks) -> Delivery:
    [(delivery, _)] = hooks.due()
    return delivery


def account(books: Books, user_id: str, role: str, *, is_active: bool = True) -> None:
    with books.database.writing() as connection:
        connection.execute(
            sa.insert(accounts).values(
                user_id=user_id, username=user_id, name_key=user_id, role=role,
                is_active=is_active, created_at=now(),
            )
        )  # fmt: skip


def run(books: Books, lease: Lease | None = None) -> str:
    """A job that is completed; its id."""
    lease = lease or books.take("a", books.submit())
    assert books.leases.complete(lease, finished())
    return lease.job_id


def test_a_webhook_comes_back_as_it_was_stored(hooks: Webhooks) -> None:
    one = webhook(channel_name="Caf\udcff", everybody=True, events=(WebhookEvent.FAILED,))
    stored = hooks.add(one, by="ann")
    assert stored == replace(one, created_at=stored.created_at)
    assert hooks.get(one.webhook_id.upper()) == stored


def test_a_job_tells_of_its_start_and_its_end(ann: Books, hooks: Webhooks) -> None:
    """And of a hand-back or of being queued again nobody is told."""
    hook = add(hooks)
    lease = ann.take("a", ann.submit())
    assert ann.leases.hand_back(lease, "stopped")
    lease = ann.take("a", lease.job_id)
    assert ann.leases.refuse(lease, "broken clip")
    ann.jobs.retry(lease.job_id)
    ann.jobs.cancel(lease.job_id)
    assert told(hooks, hook) == ["job.started", "job.started", "job.failed", "job.cancelled"]
    run(ann)
    assert told(hooks, hook)[4:] == ["job.started", "job.completed"]


def test_the_payload_says_what_the_job_is_now(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks, events=(WebhookEvent.COMPLETED,))
    ann.profiles.local("ann")
    job_id = ann.submit(channel_name="Caf\udcff \0é", enable_4k=True)
    with ann.database.writing() as connection:
        mine = {"client_metadata": {"order": [7, None]}}
        connection.execute(sa.update(jobs).where(jobs.c.job_id == job_id).values(**mine))
    lease = ann.take("a", job_id)
    assert ann.leases.complete(
        lease, finished(output_path="/out/\udcff é.mp4", final_duration=12.5)
    )
    [delivery] = hooks.deliveries(hook)
    state = ann.state(job_id)
    assert state.started_at is not None
    assert state.completed_at is not None
    at = datetime.fromisoformat(delivery.payload["at"])
    assert at.tzinfo is not None
    assert abs((at - state.completed_at).total_seconds()) < 5
    assert delivery.payload == {
        "event": "job.completed",
        "at": delivery.payload["at"],
        "job": {
            "job_id": job_id, "status": "completed", "channel_name": r"Caf\udcff \x00é",
            "username": "unknown", "user_id": ANN, "queue": "4k_queue", "enable_4k": True,
            "draft": False, "item_seconds": None, "first_item": None, "last_item": None,
            "created_at": state.created_at.isoformat(),
            "started_at": state.started_at.isoformat(),
            "completed_at": state.completed_at.isoformat(),
            "output_path": r"/out/\udcff é.mp4", "final_duration": 12.5, "error_message": None,
        },
        "metadata": {"order": [7, None]},
    }  # fmt: skip
    assert json.dumps(delivery.payload, ensure_ascii=False).encode()
    assert (delivery.job_id, delivery.tries) == (job_id, 0)


def test_a_failure_is_told_with_its_reason(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks, events=(WebhookEvent.FAILED,))
    assert ann.leases.refuse(ann.take("a", ann.submit()), "clip 3 is broken")
    [delivery] = hooks.deliveries(hook)
    job = delivery.payload["job"]
    assert (job["status"], job["error_message"]) == ("failed", "clip 3 is broken")
    assert (job["output_path"], delivery.payload["metadata"]) == (None, None)


def test_only_those_who_want_to_know_are_told(ann: Books, hooks: Webhooks) -> None:
    job_id = ann.submit(channel_name="Cats")
    other = ann.submit(channel_name="Cats")
    knows = [
        add(hooks), add(hooks, channel_name="Cats"), add(hooks, job_id=job_id),
        add(hooks, user_id=BEN, everybody=True),
        add(hooks, user_id=BEN, everybody=True, channel_name="Cats"),
        add(hooks, events=(WebhookEvent.STARTED,)),
    ]  # fmt: skip
    ignores = [
        add(hooks, user_id=BEN), add(hooks, channel_name="Dogs"), add(hooks, job_id=other),
        add(hooks, user_id=BEN, everybody=True, channel_name="Dogs"),
        add(hooks, is_active=False), add(hooks, events=(WebhookEvent.COMPLETED,)),
    ]  # fmt: skip
    ann.take("a", job_id)
    assert [told(hooks, one) for one in knows] == [["job.started"]] * len(knows)
    assert [told(hooks, one) for one in ignores] == [[]] * len(ignores)


@pytest.mark.parametrize(
    ("role", "is_active", "of_others"),
    [("admin", True, True), ("manager", True, True), ("operator", True, False),
     ("admin", False, False)],
)  # fmt: skip
def test_rights_that_were_taken_away_are_gone(
    ann: Books, hooks: Webhooks, role: str, is_active: bool, of_others: bool
) -> None:
    """Who made a webhook for everybody's jobs as a manager is one no more, or left."""
    hook = add(hooks, user_id=BEN, everybody=True, events=(WebhookEvent.COMPLETED,))
    account(ann, BEN, role, is_active=is_active)
    run(ann)
    assert told(hooks, hook) == ["job.completed"] * of_others
    run(replace(ann, user_id=BEN))
    assert len(told(hooks, hook)) == of_others + is_active


def test_nothing_is_told_that_did_not_happen(ann: Books, hooks: Webhooks) -> None:
    """The transaction that ends a job fails after the announcement, and a late worker changes nothing."""
    hook = add(hooks, events=(WebhookEvent.COMPLETED, WebhookEvent.CANCELLED))
    lease = ann.take("a", ann.submit())
    with pytest.raises(ZeroDivisionError), ann.database.writing() as connection:
        assert move(connection, Event.COMPLETE, lease.job_id, "done", lease=lease)
        raise ZeroDivisionError
    assert told(hooks, hook) == []
    ann.jobs.cancel(lease.job_id)
    assert not ann.leases.complete(lease, finished())
    assert told(hooks, hook) == ["job.cancelled"]


def test_without_webhooks_a_change_costs_one_small_query_more(ann: Books, hooks: Webhooks) -> None:
    job_id = ann.submit()
    seen: list[str] = []

    def remember(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    sa.event.listen(ann.database.engine, "before_cursor_execute", remember)
    try:
        ann.take("a", job_id)
    finally:
        sa.event.remove(ann.database.engine, "before_cursor_execute", remember)
    assert sum("webhook" in one for one in seen) == 1


def test_a_webhook_stored_with_its_job_misses_nothing(ann: Books, hooks: Webhooks) -> None:
    """Nothing of it is seen before the transaction ends, and it goes when the job's storing fails."""
    job_id = ann.submit()
    own = webhook(job_id=job_id)
    with pytest.raises(ZeroDivisionError), ann.database.writing() as connection:
        insert_webhook(connection, own)
        raise ZeroDivisionError
    with pytest.raises(NotFound):
        hooks.get(own.webhook_id)
    with ann.database.writing() as connection:
        insert_webhook(connection, own)
    run(ann, ann.take("a", job_id))
    assert told(hooks, own.webhook_id) == ["job.started", "job.completed"]
    assert own.webhook_id not in {one.webhook_id for one in hooks.list(None)}


def test_a_webhook_that_is_removed_in_that_moment_undoes_no_change(
    ann: Books, hooks: Webhooks
) -> None:
    hook = add(hooks)
    job_id = ann.submit()
    leases: list[Lease] = []
    claim = threading.Thread(target=lambda: leases.append(ann.take("a", job_id)))
    with ann.database.writing() as connection:
        connection.execute(sa.delete(webhooks).where(webhooks.c.webhook_id == hook))
        claim.start()
        claim.join(0.3)
    claim.join(30)
    assert [lease.job_id for lease in leases] == [job_id]
    assert hooks.due() == []


def test_webhooks_are_listed_by_their_owner(hooks: Webhooks) -> None:
    first, second = add(hooks), add(hooks, user_id=BEN)
    assert [one.webhook_id for one in hooks.list(ANN)] == [first]
    assert [one.webhook_id for one in hooks.list(None)] == [first, second]


def test_what_is_changed_is_changed_and_nothing_else(hooks: Webhooks) -> None:
    before = hooks.add(webhook(channel_name="Cats"), by="ann")
    after = hooks.change(
        before.webhook_id,
        {"url": "https://example.org/", "events": (WebhookEvent.FAILED,), "channel_name": None},
        by="ann",
    )
    assert after == replace(before, url="https://example.org/", channel_name=None,
                            events=(WebhookEvent.FAILED,))  # fmt: skip
    assert hooks.get(before.webhook_id) == after
    assert hooks.change(before.webhook_id, {}, by="ann") == after


def test_what_waits_for_a_webhook_that_is_switched_off_is_not_sent(
    ann: Books, hooks: Webhooks
) -> None:
    """Nor is it when the webhook is switched on again."""
    first, second = add(hooks), add(hooks)
    run(ann)
    hooks.change(first, {"is_active": False}, by="ann")
    hooks.switch_off(second, "it is gone")
    assert hooks.due() == []
    hooks.change(first, {"is_active": True}, by="ann")
    assert hooks.due() == []
    given_up = [one.given_up_at for hook in (first, second) for one in hooks.deliveries(hook)]
    assert len(given_up) == 4
    assert None not in given_up
    run(ann)
    assert {one.webhook_id for _, one in hooks.due()} == {first}


def test_a_webhook_goes_with_its_deliveries(ann: Books, hooks: Webhooks) -> None:
    hook, other = add(hooks), add(hooks)
    run(ann)
    hooks.remove(hook, by="ann")
    assert {one.webhook_id for _, one in hooks.due()} == {other}
    assert hooks.deliveries(hook) == []
    for call in (lambda: hooks.get(hook), lambda: hooks.remove(hook, by="ann")):
        with pytest.raises(NotFound, match="no webhook"):
            call()


def test_who_changed_a_webhook_is_written_down_and_no_key_of_it(
    ann: Books, hooks: Webhooks
) -> None:
    hook = add(hooks)
    hooks.change(hook, {"is_active": False}, by="ben")
    hooks.remove(hook, by="cat")
    with ann.database.reading() as connection:
        lines = connection.execute(
            sa.select(events.c.actor, events.c.message)
            .where(events.c.what == "webhook")
            .order_by(events.c.id)
        ).all()
    assert [tuple(line) for line in lines] == [
        ("ann", "made for https://example.com"),
        ("ben", "https://example.com: changed is_active"),
        ("cat", "https://example.com: removed"),
    ]


def test_deliveries_are_due_in_order_and_each_webhook_gets_its_share(
    ann: Books, hooks: Webhooks
) -> None:
    """A receiver with a thousand things waiting does not crowd out the others."""
    busy = add(hooks)
    for _ in range(3):
        run(ann)
    quiet = add(hooks, events=(WebhookEvent.COMPLETED,))
    last = run(ann)
    found = hooks.due(each=3)
    numbers = [one.number for one, _ in found]
    assert numbers == sorted(numbers)
    assert [one.webhook_id for one, _ in found] == [busy] * 3 + [quiet]
    assert found[3][0].job_id == last
    assert all(one.webhook_id == hook.webhook_id for one, hook in found)
    assert [one.webhook_id for one, _ in hooks.due(2, each=3)] == [busy] * 2
    assert [one.webhook_id for one, _ in hooks.due(but=[busy])] == [quiet]


def test_what_was_delivered_is_not_due_again(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks, events=(WebhookEvent.COMPLETED,))
    run(ann)
    number = one_due(hooks).number
    hooks.delivered(number, 204)
    assert hooks.due() == []
    hooks.failed(number, None, "too late to say so", 0)
    [delivery] = hooks.deliveries(hook)
    assert (delivery.tries, delivery.status_code, delivery.last_error) == (1, 204, None)
    assert delivery.delivered_at is not None


def test_what_failed_is_due_later_and_what_was_given_up_never(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks, events=(WebhookEvent.COMPLETED,))
    run(ann)
    first = one_due(hooks)
    hooks.failed(first.number, 500, "it answered 500\0", 60)
    assert hooks.due() == []
    ann.pass_time(61)
    second = one_due(hooks)
    assert (second.name, second.payload) == (first.name, first.payload)
    assert (second.tries, second.status_code, second.last_error) == (1, 500, r"it answered 500\x00")
    hooks.failed(second.number, None, "no answer", None)
    ann.pass_time(10_000)
    assert hooks.due() == []
    [delivery] = hooks.deliveries(hook)
    assert (delivery.tries, delivery.status_code) == (2, None)
    assert delivery.given_up_at is not None


def test_a_delivery_can_be_sent_again_by_hand(ann: Books, hooks: Webhooks) -> None:
    add(hooks, events=(WebhookEvent.COMPLETED,))
    run(ann)
    first = one_due(hooks)
    for status in (200, 500):
        if status == 200:
            hooks.delivered(first.number, status)
        else:
            hooks.failed(first.number, status, "no", None)
        assert hooks.due() == []
        again = hooks.again(first.number, by="ann")
        assert (again.name, again.tries, again.delivered_at) == (first.name, 0, None)
        assert one_due(hooks).name == first.name
    for number in (first.number + 1, 2**70, 0):
        with pytest.raises(NotFound, match="no delivery"):
            hooks.again(number, by="ann")


def test_the_newest_deliveries_are_listed_first(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks)
    job_ids = [run(ann), run(ann)]
    listed = hooks.deliveries(hook)
    assert [one.job_id for one in listed] == [job_ids[1]] * 2 + [job_ids[0]] * 2
    assert hooks.deliveries(hook, 1) == listed[:1]


def test_a_ping_is_its_senders_for_a_while(books: Books, hooks: Webhooks) -> None:
    hook = add(hooks)
    ping = hooks.ping(hook, 60)
    assert (ping.event, ping.job_id, ping.webhook_id) == (WebhookEvent.PING, None, hook)
    assert {**ping.payload, "at": 0} == {"event": "ping", "at": 0, "job": None, "metadata": None}
    assert hooks.due() == []
    books.pass_time(61)
    assert one_due(hooks).name == ping.name


def test_old_deliveries_are_forgotten_once_they_have_ended(ann: Books, hooks: Webhooks) -> None:
    hook = add(hooks, events=(WebhookEvent.COMPLETED,))
    for _ in range(3):
        run(ann)
    sent, lost, _ = (one.number for one, _ in hooks.due())
    hooks.delivered(sent, 200)
    hooks.failed(lost, 500, "no", None)
    ann.pass_time(5 * 86_400, "workers")
    run(ann)
    hooks.delivered(hooks.deliveries(hook)[0].number, 200)
    assert hooks.tidy(10) == 0
    assert hooks.tidy(4) == 2
    assert len(hooks.deliveries(hook)) == 2
    with ann.database.writing() as connection:
        connection.execute(sa.update(webhooks).values(is_active=False))
    assert hooks.tidy(4) == 1
    assert len(hooks.deliveries(hook)) == 1


def test_a_job_that_is_removed_takes_its_own_webhook_along(ann: Books, hooks: Webhooks) -> None:
    job_id = ann.submit()
    add(hooks, job_id=job_id)
    run(ann, ann.take("a", job_id))
    with ann.database.writing() as connection:
        connection.execute(sa.delete(jobs).where(jobs.c.job_id == job_id))
        left = connection.scalar(sa.select(sa.func.count()).select_from(webhook_deliveries))
    assert left == 0
