"""Announcements reach their receivers: signed, at least once, and nobody waits for anybody else."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.webhook import JOB_EVENTS, Webhook
from reelyard.services.webhook_client import Answer, GuardedClient
from reelyard.services.webhook_delivery import WAITS, Courier, Deliver
from reelyard.services.webhook_signature import new_secret, sign, verify
from reelyard.store.webhooks import Webhooks

from .receivers import Receiver
from .webhook_office import LOCAL, Office, opened, running, wait_for


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as one:
        yield one


@dataclass
class Canned:
    """A client that gives these answers, one after the other, and 204 after that."""

    answers: list[Answer] = field(default_factory=list)
    sent: list[Mapping[str, str]] = field(default_factory=list)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.sent.append(headers)
        return self.answers.pop(0) if self.answers else Answer(status_code=204)


def waits_for(seconds: float, office: Office, hook: Webhook, send: Callable[[], object]) -> bool:
    """Whether what ``send`` fails to deliver is tried again so many seconds later, give or take one."""
    before = datetime.now(UTC)
    send()
    after = datetime.now(UTC)
    then = office.last(hook).try_after
    assert then is not None
    least, most = (then - after).total_seconds(), (then - before).total_seconds()
    return least - 1.1 <= seconds <= most + 1.1


def test_the_signature_is_that_of_the_specification() -> None:
    """The specification's own example; OpenSSL computes the same."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    name, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, 1614265330, name, body) == expected
    headers = {"Webhook-Id": name, "Webhook-Timestamp": "1614265330",
               "Webhook-Signature": f"v1,AAAA v2,x {expected}"}  # fmt: skip
    assert verify(secret, headers, body, now=1614265330 + 299)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "another"}, {"webhook-timestamp": "1001"}, {"webhook-timestamp": "-1000"},
        {"webhook-timestamp": ""}, {"webhook-signature": ""}, {"webhook-signature": "v1,é"},
        {"body": b"{} "}, {"now": 1301}, {"now": 699}, {"secret": new_secret()},
    ],
)  # fmt: skip
def test_what_was_changed_or_is_old_is_no_good(change: dict[str, Any]) -> None:
    secret = new_secret()
    good: dict[str, Any] = {
        "secret": secret, "body": b"{}", "now": 1000, "webhook-id": "a", "webhook-timestamp": "1000",
        "webhook-signature": sign(secret, 1000, "a", b"{}"),
    }  # fmt: skip

    def judged(values: dict[str, Any]) -> bool:
        headers = {name: value for name, value in values.items() if name.startswith("webhook")}
        return verify(values["secret"], headers, values["body"], now=values["now"])

    assert judged(good)
    assert not judged({**good, **change})


def test_a_receiver_gets_what_was_announced_with_its_signature(office: Office) -> None:
    with Receiver().open() as receiver:
        hook = office.hook(receiver.url, JOB_EVENTS)
        job_id = office.run_job()
        assert office.deliver()() == 2
    [started, completed] = receiver.received
    assert (started.event, completed.event) == ("job.started", "job.completed")
    assert json.loads(completed.body)["job"]["job_id"] == job_id
    assert completed.headers["content-type"] == "application/json"
    assert verify(hook.secret, completed.headers, completed.body, now=time.time())
    assert not verify(new_secret(), completed.headers, completed.body, now=time.time())
    delivery = office.last(hook)
    assert (delivery.status_code, delivery.name) == (204, completed.headers["webhook-id"])
    assert delivery.delivered_at is not None


def test_a_receiver_that_was_down_gets_the_same_thing_again(office: Office) -> None:
    with Receiver([(500, {})]).open() as receiver:
        hook = office.hook(receiver.url)
        office.run_job()
        deliver = office.deliver()
        assert (deliver(), deliver()) == (1, 0)
        assert office.last(hook).last_error == "it answered 500"
        office.pass_time(6)
        assert (deliver(), deliver()) == (1, 0)
    first, second = receiver.received
    assert receiver.names == [office.last(hook).name] * 2
    assert first.body == second.body
    assert verify(hook.secret, second.headers, second.body, now=time.time())


def test_a_thing_whose_delivery_could_not_be_noted_is_sent_again(office: Office) -> None:
    class Forgetful(Webhooks):
        forgets = True

        def delivered(self, number: int, status_code: int) -> None:
            if self.forgets:
                self.forgets = False
                raise DatabaseUnavailable("away")
            super().delivered(number, status_code)

    with Receiver().open() as receiver:
        hook = office.hook(receiver.url)
        office.run_job()
        webhooks = Forgetful(office.books.database)
        send = Courier(webhooks=webhooks, client=office.client)
        deliver = Deliver(holder="x", webhooks=webhooks, duties=office.books.duties, send=send)
        with running(deliver):
            wait_for(lambda: office.last(hook).delivered_at)
    assert receiver.names == [office.last(hook).name] * 2


def test_who_fails_is_tried_ever_more_rarely_and_then_given_up(office: Office) -> None:
    client = Canned([Answer(status_code=503)] * 9 + [Answer(reason="no answer")] * 9)
    office = office.with_client(client)
    hook = office.hook("https://example.com/")
    office.run_job()
    deliver = office.deliver()
    for tries, wait in enumerate(WAITS, start=1):
        assert waits_for(wait, office, hook, deliver)
        assert office.last(hook).tries == tries
        office.pass_time(wait + 1)
    assert deliver() == 1
    office.pass_time(10 * 86_400)
    assert deliver() == 0
    delivery = office.last(hook)
    assert (delivery.tries, delivery.last_error) == (len(WAITS) + 1, "no answer")
    assert delivery.given_up_at is not None
    assert len({headers["webhook-id"] for headers in client.sent}) == 1
    assert (WAITS[0], WAITS[-1], len(WAITS)) == (5, 86_400, 9)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 2880), (0.5, 3600), (1.0, 4320)])
def test_tries_of_many_deliveries_spread(office: Office, chance: float, seconds: float) -> None:
    """By a fifth both ways."""
    client = Canned([Answer(status_code=500)])
    send = Courier(webhooks=office.webhooks, client=client, chance=lambda: chance)
    hook = office.hook("https://example.com/")
    office.run_job()
    delivery = replace(office.last(hook), tries=4)
    assert waits_for(seconds, office, hook, lambda: send(delivery, hook))


@pytest.mark.parametrize(
    ("asked_for", "seconds"),
    [("120", 120), ("1", 5), ("999999", 3600), ("soon", 5), ("", 5), ("-3", 5), ("²", 5),
     (timedelta(minutes=10), 600), (timedelta(days=3), 3600), (timedelta(days=-3), 5)],
)  # fmt: skip
def test_a_receiver_may_ask_for_up_to_an_hour(
    office: Office, asked_for: str | timedelta, seconds: float
) -> None:
    if isinstance(asked_for, timedelta):
        asked_for = format_datetime(datetime.now(UTC) + asked_for, usegmt=True)
    office = office.with_client(Canned([Answer(status_code=429, retry_after=asked_for)]))
    hook = office.hook("https://example.com/")
    office.run_job()
    assert waits_for(seconds, office, hook, office.deliver())


def test_who_is_gone_is_told_nothing_more(office: Office) -> None:
    with Receiver([(410, {})]).open() as receiver:
        hook = office.hook(receiver.url, JOB_EVENTS)
        office.run_job()
        deliver = office.deliver()
        deliver()
        office.run_job()
        office.pass_time(86_400)
        assert deliver() == 0
    assert len(receiver.received) == 1
    assert not office.webhooks.get(hook.webhook_id).is_active
    assert all(one.given_up_at for one in office.webhooks.deliveries(hook.webhook_id))


def test_a_redirect_counts_as_a_failure(office: Office) -> None:
    with Receiver([(301, {"location": "http://localhost/"})]).open() as receiver:
        hook = office.hook(receiver.url)
        office.run_job()
        assert office.deliver()() == 1
    assert office.last(hook).last_error == "it answered 301, and redirects are not followed"


def test_a_receiver_that_hangs_holds_up_nobody(office: Office) -> None:
    """Others get one thing after the other while it is waited for; it gets everything once."""
    office = office.with_client(GuardedClient(allowed_hosts=LOCAL, total_seconds=30))
    with Receiver().open() as slow, Receiver().open() as quick:
        hooks = [office.hook(slow.url), office.hook(quick.url)]
        slow.may_answer.clear()
        with running(office.deliver()):
            for count in (1, 2, 3):
                office.run_job()
                wait_for(partial(_has_received, quick, count))
            assert len(slow.received) == 1
            slow.may_answer.set()
            wait_for(partial(_has_received, slow, 3))
    for hook, receiver in zip(hooks, (slow, quick), strict=True):
        sent = [one.name for one in reversed(office.webhooks.deliveries(hook.webhook_id))]
        assert receiver.names == sent


def _has_received(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) == count


def test_a_receiver_gets_its_news_in_order(office: Office) -> None:
    with Receiver().open() as receiver:
        hook = office.hook(receiver.url, JOB_EVENTS)
        jobs = [office.run_job() for _ in range(5)]
        with running(office.deliver()):
            wait_for(lambda: len(receiver.received) == 10)
        assert [json.loads(one.body)["job"]["job_id"] for one in receiver.received[1::2]] == jobs
        assert len(set(receiver.names)) == 10
        assert office.last(hook).delivered_at is not None


def test_one_process_sends_and_another_takes_over(office: Office) -> None:
    office = office.with_client(Canned())
    office.hook("https://example.com/")
    office.run_job()
    first, second = office.deliver("first"), office.deliver("second")
    assert first() == 1
    office.run_job()
    assert second() == 0
    assert first() == 1
    office.run_job()
    office.pass_time(16)
    assert second() == 1


def test_an_idle_farm_is_left_in_peace(office: Office) -> None:
    """Nothing is written while there is nothing to send."""
    deliver = office.deliver()
    assert deliver() == 0
    before = office.books.rows("duties")
    assert (deliver(), office.books.rows("duties")) == (0, before)


def test_the_loop_survives_what_goes_wrong(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = [DatabaseUnavailable("away"), ZeroDivisionError("odd")]

    class Troubled(Webhooks):
        def due(self, *arguments: Any, **options: Any) -> Sequence[Any]:
            if troubles:
                raise troubles.pop(0)
            return super().due(*arguments, **options)

    webhooks = Troubled(office.books.database)
    hook = office.hook("https://example.com/")
    office.run_job()
    send = Courier(webhooks=webhooks, client=Canned())
    deliver = Deliver(holder="x", webhooks=webhooks, duties=office.books.duties, send=send)
    with caplog.at_level(logging.WARNING), running(deliver):
        wait_for(lambda: office.last(hook).delivered_at)
    assert "away" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_webhook_that_is_removed_while_it_is_told_is_no_trouble(office: Office) -> None:
    class Removing(Canned):
        def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            for one in office.webhooks.list(None):
                office.webhooks.remove(one.webhook_id, by=None)
            return super().post(url, headers, body)

    for answer in (Answer(status_code=410), Answer(status_code=204), Answer(reason="no answer")):
        other = office.with_client(Removing([answer]))
        other.hook("https://example.com/")
        other.run_job()
        assert other.deliver()() == 1
    assert office.webhooks.due() == []


def test_what_was_announced_long_ago_and_sent_is_forgotten(office: Office) -> None:
    office = office.with_client(Canned())
    hook = office.hook("https://example.com/")
    office.run_job()
    assert office.deliver()() == 1
    office.pass_time(31 * 86_400)
    assert office.deliver()() == 0
    assert office.webhooks.deliveries(hook.webhook_id) == []


def test_no_key_of_a_receiver_is_logged(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office = office.with_client(Canned([Answer(status_code=500)]))
    hook = office.desk.create(office.ann, "https://example.com/hooks/s3cret?key=s3cret")
    office.run_job()
    with caplog.at_level(logging.DEBUG):
        office.deliver()()
    assert "https://example.com" in caplog.text
    assert "s3cret" not in caplog.text
    assert hook.secret not in caplog.text
