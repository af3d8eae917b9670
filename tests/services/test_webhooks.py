"""Webhooks as people and programs handle them, each by what they may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.access import Role, Scope
from reelyard.domain.errors import Conflict, NotAllowed, NotFound, RequestInvalid
from reelyard.domain.webhook import JOB_EVENTS, WebhookEvent
from reelyard.services.webhook_signature import new_secret
from reelyard.services.webhooks import MOST_WEBHOOKS
from tests.store.conftest import new_id

from .receivers import Receiver
from .webhook_office import Office, opened, person

URL = "https://example.com/hook"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as one:
        yield one


Use = Callable[[Office, Any, str], object]
USES: dict[str, Use] = {
    "get": lambda office, who, hook: office.desk.get(who, hook),
    "change": lambda office, who, hook: office.desk.change(who, hook, is_active=True),
    "test": lambda office, who, hook: office.desk.test(who, hook),
    "deliveries": lambda office, who, hook: office.desk.deliveries(who, hook),
    "again": lambda office, who, hook: office.desk.again(who, hook, 1),
    "remove": lambda office, who, hook: office.desk.remove(who, hook),
}


def test_a_secret_is_shown_once(office: Office) -> None:
    made = office.desk.create(office.ann, URL, [WebhookEvent.FAILED], " Cats ")
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    again = office.desk.get(office.ann, made.webhook_id)
    assert again.secret == ""
    assert [again] == office.desk.list(office.ann)
    assert office.desk.change(office.ann, made.webhook_id, is_active=False).secret == ""
    assert office.webhooks.get(made.webhook_id).secret == made.secret
    assert (again.url, again.events, again.channel_name, again.everybody, again.is_active) == (
        URL, (WebhookEvent.FAILED,), "Cats", False, True,
    )  # fmt: skip


def test_others_webhooks_are_none_to_an_operator(office: Office) -> None:
    hook = office.hook(URL).webhook_id
    office.run_job()
    for use in USES.values():
        with pytest.raises(NotFound):
            use(office, person(), hook)
        with pytest.raises(NotFound):
            use(office, office.ann, new_id())
        with pytest.raises(NotFound):
            use(office, office.ann, "../etc/passwd\0")
    assert office.desk.list(person()) == []


@pytest.mark.parametrize("role", [Role.MANAGER, Role.ADMIN])
@pytest.mark.parametrize("use", USES)
def test_who_sees_all_sees_all_webhooks(office: Office, role: Role, use: str) -> None:
    with Receiver().open() as receiver:
        hook = office.hook(receiver.url).webhook_id
        office.run_job()
        chief = person(role)
        assert [one.webhook_id for one in office.desk.list(chief)] == [hook]
        USES[use](office, chief, hook)
    left = [one.webhook_id for one in office.desk.list(office.ann)]
    assert left == ([] if use == "remove" else [hook])


def test_a_token_that_may_only_look_can_do_nothing_with_webhooks(office: Office) -> None:
    hook = office.hook(URL).webhook_id
    reader = person(Role.ADMIN, frozenset({Scope.READ}))
    calls: list[Callable[[], object]] = [
        lambda: office.desk.create(reader, URL), lambda: office.desk.list(reader),
        lambda: office.desk.for_job(reader, new_id(), URL),
        *((lambda use=use: use(office, reader, hook)) for use in USES.values()),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotAllowed, match="token"):
            call()


def test_everybodys_jobs_are_for_managers(office: Office) -> None:
    with pytest.raises(NotAllowed, match="own jobs only"):
        office.desk.create(office.ann, URL, everybody=True)
    assert office.desk.create(person(Role.MANAGER), URL, everybody=True).everybody


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"url": "http://example.com/"}, "url"), ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": ""}, "url"), ({"events": ()}, "events"),
        ({"events": (WebhookEvent.PING,)}, "events"), ({"channel_name": " "}, "channel_name"),
        ({"channel_name": "x" * 201}, "channel_name"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_field(
    office: Office, wanted: dict[str, Any], field: str
) -> None:
    hook = office.hook(URL)
    calls: list[Callable[[], object]] = [
        lambda: office.desk.create(office.ann, **{"url": URL, **wanted}),
        lambda: office.desk.change(office.ann, hook.webhook_id, **wanted),
    ]
    for call in calls:
        with pytest.raises(RequestInvalid) as caught:
            call()
        assert caught.value.field == field
    assert [one.url for one in office.desk.list(office.ann)] == [URL]


def test_a_change_changes_what_it_names(office: Office) -> None:
    hook = office.desk.create(office.ann, URL, channel_name="Cats").webhook_id
    events = (WebhookEvent.FAILED, WebhookEvent.COMPLETED, WebhookEvent.FAILED)
    after = office.desk.change(office.ann, hook, events=events)
    assert after.events == (WebhookEvent.COMPLETED, WebhookEvent.FAILED)
    assert (after.url, after.channel_name) == (URL, "Cats")
    after = office.desk.change(office.ann, hook, channel_name=None, url="https://Example.org")
    assert (after.url, after.channel_name) == ("https://example.org/", None)
    assert len(after.events) == 2


def test_one_person_has_so_many_webhooks_and_no_more(office: Office) -> None:
    for _ in range(MOST_WEBHOOKS):
        office.hook(URL)
    with pytest.raises(Conflict, match="already"):
        office.hook(URL)
    assert office.desk.create(person(), URL).is_active


def test_a_jobs_own_webhook_is_made_and_not_stored(office: Office) -> None:
    """It is stored with the job."""
    job_id, secret = new_id(), new_secret()
    hook = office.desk.for_job(office.ann, job_id, URL, secret=secret)
    assert (hook.job_id, hook.user_id, hook.secret) == (job_id, office.ann.user_id, secret)
    assert (hook.events, hook.everybody) == (JOB_EVENTS, False)
    other = office.desk.for_job(office.ann, job_id, URL)
    assert other.secret not in ("", secret)
    with pytest.raises(NotFound):
        office.webhooks.get(hook.webhook_id)
    with pytest.raises(RequestInvalid, match="address"):
        office.desk.for_job(office.ann, job_id, "http://example.com/")


@pytest.mark.parametrize(
    "secret", ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 40, "whsec_" + "A" * 100,
               "whsec_" + "é" * 40],
)  # fmt: skip
def test_a_secret_that_protects_nothing_is_refused(office: Office, secret: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        office.desk.for_job(office.ann, new_id(), URL, secret=secret)
    assert caught.value.field == "secret"
    assert secret[6:] == "" or secret[6:] not in str(caught.value)


def test_a_webhook_can_be_tried_out(office: Office) -> None:
    """At once, also while it is switched off, and once: who tries it out sees what came of it."""
    with Receiver([(204, {}), (500, {})]).open() as receiver:
        hook = office.hook(receiver.url)
        sent = office.desk.test(office.ann, hook.webhook_id)
        office.desk.change(office.ann, hook.webhook_id, is_active=False)
        failed = office.desk.test(office.ann, hook.webhook_id)
        office.desk.change(office.ann, hook.webhook_id, is_active=True)
        office.pass_time(86_400)
        assert office.deliver()() == 0
    assert [one.event for one in receiver.received] == ["ping", "ping"]
    assert (sent.event, sent.status_code, sent.job_id) == (WebhookEvent.PING, 204, None)
    assert sent.delivered_at is not None
    assert (failed.last_error, failed.delivered_at) == ("it answered 500", None)
    assert failed.given_up_at is not None
    listed = office.desk.deliveries(office.ann, hook.webhook_id)
    assert [one.name for one in listed] == [failed.name, sent.name]


def test_a_delivery_can_be_sent_again(office: Office) -> None:
    with Receiver().open() as receiver:
        hook, other = office.hook(receiver.url), office.hook(receiver.url)
        office.run_job()
        office.deliver()()
        first = office.last(hook)
        office.desk.again(office.ann, hook.webhook_id, first.number)
        assert office.deliver()() == 1
        assert receiver.names.count(first.name) == 2
        with pytest.raises(NotFound):
            office.desk.again(office.ann, other.webhook_id, first.number)
        office.desk.change(office.ann, hook.webhook_id, is_active=False)
        with pytest.raises(Conflict, match="switched off"):
            office.desk.again(office.ann, hook.webhook_id, first.number)


def test_deliveries_come_in_bounded_pages(office: Office) -> None:
    hook = office.hook(URL, JOB_EVENTS)
    office.run_job()
    listed = office.desk.deliveries(office.ann, hook.webhook_id)
    assert [one.event for one in listed] == [WebhookEvent.COMPLETED, WebhookEvent.STARTED]
    for limit, count in ((1, 1), (-5, 1), (10**30, 2)):
        assert len(office.desk.deliveries(office.ann, hook.webhook_id, limit)) == count
