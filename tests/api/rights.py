"""What has to be there for each request of the table in docs/rights.md, and what is sent with it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reelyard.domain.access import Scope
from reelyard.domain.webhook import Webhook
from reelyard.services.templates import TemplateDocument
from reelyard.services.webhooks import WebhookDesk
from tests.api.house import HOOK, PASSWORD, PEOPLE, House

TABLE = Path(__file__).resolve().parents[2] / "docs" / "rights.md"
_NAMES = itertools.cycle(PEOPLE)  # five sign-ins a minute with each


@dataclass(frozen=True)
class Row:
    """One request and the status that each caller gets."""

    method: str
    path: str
    note: str
    statuses: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.note}".strip()


@dataclass(frozen=True)
class Request:
    """What is put into the path, and what is sent. ``signs_out``: it may end the session."""

    parts: Mapping[str, object] = field(default_factory=dict)
    document: Any = None
    query: str = ""
    content: bytes | None = None
    signs_out: bool = False


def table() -> list[Row]:
    """The rows of the page, in its order."""
    callers: list[str] = []
    rows = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| request"):
            callers = cells[1:]
        elif line.startswith("| `"):
            request, _, note = cells[0].removeprefix("`").partition("`")
            method, _, path = request.partition(" ")
            statuses = dict(zip(callers, map(int, cells[1:]), strict=True))
            rows.append(Row(method, path, note.strip(), statuses))
    return rows


def request_for(row: Row, house: House) -> Request:
    """Make what the request asks for, ann's, and the request."""
    make = _MADE.get(str(row)) or next((made for part, made in _PARTS if part in row.path), None)
    return make(house) if make else Request()


def _job(house: House) -> Request:
    return Request({"job_id": house.job()}, document={})


def _ended(house: House) -> Request:
    return Request({"job_id": house.ended_job()})


_FILMS: dict[int, str] = {}


def _film(house: House) -> Request:
    """One for all who only look at it."""
    job_id = _FILMS.get(id(house)) or _FILMS.setdefault(id(house), house.film())
    return Request({"job_id": job_id, "name": "job.log"})


def _before(house: House) -> Request:
    other = house.job()
    return Request({"job_id": house.job()}, document={"before": other})


def _clip(house: House) -> Request:
    return Request(query=f"path={quote(str(house.media / 'clip.mp4'))}")


def _uploaded(house: House) -> Request:
    content = (house.media / "clip.mp4").read_bytes()
    clip = house.office.uploads.receive(house.principal("ann"), "mine.mp4", [content])
    return Request(query=f"path={quote(clip.path)}")


def _upload(house: House) -> Request:
    content = (house.media / "clip.mp4").read_bytes()
    return Request({"name": "clip.mp4"}, content=content)


def _draft(house: House) -> Request:
    missing = {"item_type": "video", "path": "/nowhere/at/all.mp4"}
    job = house.office.jobs.read(house.document(items=[missing])).job
    draft = house.office.drafts.begin(house.principal("ann"), job)
    return Request({"draft_id": draft.draft_id})


def _template_document() -> dict[str, str]:
    return {"name": secrets.token_hex(8), "channel_name": "Trains"}


def _template(house: House) -> Request:
    document = _template_document()
    made = house.office.templates.save(
        house.principal("ann"), TemplateDocument.model_validate(document)
    )
    return Request({"template_id": made.template_id}, document=document)


def _webhook(house: House) -> Request:
    return Request({"webhook_id": _own_webhook(house).webhook_id}, document={"is_active": True})


def _own_webhook(house: House) -> Webhook:
    desk: WebhookDesk = house.office.webhooks
    for one in desk.list(house.principal("ann")):  # there may be only so many
        desk.remove(house.principal("ann" if house.has_accounts else "local"), one.webhook_id)
    return desk.create(house.principal("ann"), HOOK)


def _delivery(house: House) -> Request:
    webhook = _own_webhook(house)
    ping = house.office.webhooks.webhooks.ping(webhook.webhook_id, 60)
    return Request({"webhook_id": webhook.webhook_id, "number": ping.number})


def _token(house: House) -> Request:
    if not house.has_accounts:
        return Request({"token_id": "none"})
    return Request({"token_id": house.tokens[_secret(house)]})


def _secret(house: House) -> str:
    return house.token("ann", Scope.READ)["authorization"].removeprefix("Bearer ")


def _user(house: House) -> Request:
    user_id = house.user_id("ben") if house.has_accounts else "none"
    return Request({"user_id": user_id}, document={"is_active": True})


def _sign_in(_: House) -> Request:
    return Request(document={"username": next(_NAMES), "password": PASSWORD})


Make = Callable[[House], Request]


def _sends(document: Any = None, **parts: object) -> Make:
    return lambda _: Request(parts, document)


def _with_job(document: Any) -> Make:
    return lambda house: Request({"job_id": house.job()}, document)


_JOB, _LIBRARY = "/api/v1/jobs/{job_id}", "/api/v1/library"
_MADE: Mapping[str, Make] = {
    "POST /api/v1/jobs": lambda house: Request(document=house.document()),
    "POST /api/v1/jobs above normal": lambda house: Request(document=house.document(priority=6)),
    "POST /api/v1/jobs/preflight": lambda house: Request(document=house.document()),
    f"POST {_JOB}/retry": _ended,
    f"DELETE {_JOB}": _ended,
    f"POST {_JOB}/priority up to normal": _with_job({"priority": 4}),
    f"POST {_JOB}/priority above normal": _with_job({"priority": 6}),
    f"POST {_JOB}/priority first": _with_job({"first": True}),
    f"POST {_JOB}/priority before another": _before,
    **{f"GET {_JOB}/{name}": _film
       for name in ("logs/{name}", "output", "contact-sheet", "chapters", "report")},
    "PUT /api/v1/queues/{queue_name}/pause": _sends({"is_paused": False}, queue_name="4k_queue"),
    "GET /api/v1/workers/{worker_id}": lambda house: Request({"worker_id": house.worker()}),
    "PUT /api/v1/workers/{worker_id}/order":
        lambda house: Request({"worker_id": house.worker()}, {"order": "work"}),
    "DELETE /api/v1/workers/{worker_id}":
        lambda house: Request({"worker_id": house.gone_worker()}),
    f"GET {_LIBRARY}/search": lambda _: Request(query="text=clip"),
    f"GET {_LIBRARY}/facts": _clip,
    f"POST {_LIBRARY}/facts":
        lambda house: Request(document={"paths": [str(house.media / "clip.mp4")]}),
    f"POST {_LIBRARY}/list": _sends({"lines": "clip.mp4\nnothing"}),
    f"GET {_LIBRARY}/thumbnail": _clip,
    f"POST {_LIBRARY}/uploads/{{name}}": _upload,
    f"DELETE {_LIBRARY}/uploads": _uploaded,
    "POST /api/v1/drafts": lambda house: Request(document={"job": house.document(
        items=[{"item_type": "video", "path": "/nowhere/at/all.mp4"}])}),
    "POST /api/v1/templates": lambda _: Request(document=_template_document()),
    "POST /api/v1/webhooks": _sends({"url": HOOK}),
    "POST /api/v1/webhooks of everybody's jobs": _sends({"url": HOOK, "everybody": True}),
    "POST /api/v1/session": _sign_in,
    "DELETE /api/v1/session": lambda _: Request(signs_out=True),
    "PUT /api/v1/session/password": lambda _: Request(
        document={"old_password": PASSWORD, "new_password": PASSWORD}, signs_out=True),
    "GET /api/v1/tokens everybody's": lambda _: Request(query="everybody=true"),
    "POST /api/v1/tokens": _sends({"name": "mine", "scopes": ["read"]}),
    "POST /api/v1/users": lambda _: Request(
        document={"username": secrets.token_hex(8), "password": PASSWORD}),
    "GET /api/{path}": _sends(path="v1/nothing/here"),
}  # fmt: skip
_PARTS: tuple[tuple[str, Make], ...] = (
    ("{job_id}", _job),
    ("{draft_id}", _draft),
    ("{template_id}", _template),
    ("{number}", _delivery),
    ("{webhook_id}", _webhook),
    ("{token_id}", _token),
    ("{user_id}", _user),
)
