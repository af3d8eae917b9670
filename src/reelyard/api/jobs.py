"""Jobs: submitted, looked at, changed; their films and logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import ValidationError

from reelyard.domain.access import Principal
from reelyard.domain.errors import Problem, RequestInvalid, printable
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.query import MOST_AT_ONCE, JobQuery, Sort
from reelyard.domain.routing import Queue
from reelyard.domain.webhook import Webhook
from reelyard.services.job_views import Wanted
from reelyard.services.office import Office

from .aside import aside, while_wanted
from .identity import TheOffice, Who
from .schemas import (
    CheckedOut,
    Extras,
    HookIn,
    JobDetailOut,
    JobOut,
    PageOut,
    PriorityIn,
    SubmittedOut,
)
from .streaming import streamed

router = APIRouter(prefix="/jobs", tags=["jobs"])
LogName = Literal["job.log", "ffmpeg_cmd.txt", "ffmpeg_stderr.txt"]
FileKind = Literal["output", "contact-sheet", "chapters", "report"]
_TYPES = {"output": "video/mp4", "contact-sheet": "image/jpeg", "chapters": "text/plain",
          "report": "application/json"}  # fmt: skip
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SubmissionIn"}}},
    }
}
Document = Annotated[Any, Body()]
_EMPTY = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 9">'
    '<rect width="16" height="9" fill="#14161a"/></svg>'
)


@router.post("", status_code=201, openapi_extra=_DOCUMENT,
             responses={200: {"model": SubmittedOut, "description": "Submitted before under this key"}})  # fmt: skip
async def submit(
    request: Request,
    office: TheOffice,
    who: Who,
    response: Response,
    document: Document,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> SubmittedOut:
    """Submit a job. Everything that is wrong with it comes back at once, and then nothing is stored.

    The same `Idempotency-Key` again answers with the first job.
    """
    job, extras, problems = _parted(document)
    made: list[Webhook] = []
    wanted = Wanted(
        priority=extras.priority,
        key=idempotency_key,
        metadata=extras.metadata,
        webhook=_hook(office, extras.webhook, made) if extras.webhook else None,
        problems=problems,
    )
    done = await while_wanted(request, lambda stop: office.jobs.submit(who, job, wanted, stop))
    response.status_code = 201 if done.is_new else 200
    response.headers["Location"] = f"/api/v1/jobs/{done.state.job_id}"
    given = extras.webhook.secret if extras.webhook else None
    return SubmittedOut.of(done, None if given or not made else made[0].secret)


def _parted(document: object) -> tuple[object, Extras, tuple[Problem, ...]]:
    """The job's document, what came with it, and what is wrong with that."""
    if not isinstance(document, Mapping):
        return document, Extras(), ()
    extra = {name: document[name] for name in Extras.model_fields if name in document}
    rest = {name: value for name, value in document.items() if name not in extra}
    try:
        return rest, Extras.model_validate(extra), ()
    except ValidationError as error:
        return rest, Extras(), tuple(map(_wrong, error.errors(include_url=False)))


def _wrong(one: Any) -> Problem:
    field = ".".join(map(str, one["loc"]))
    message = f"{one['msg'][:1].lower()}{one['msg'][1:]}"
    return Problem(code=one["type"], message=message, remedy=f"Correct {field}", field=field)


def _hook(
    office: Office, hook: HookIn, made: list[Webhook]
) -> Callable[[Principal, str], Webhook]:  # fmt: skip
    def make(who: Principal, job_id: str) -> Webhook:
        made.append(office.webhooks.for_job(who, job_id, hook.url, tuple(hook.events), hook.secret))
        return made[0]

    return make


@router.post("/preflight", openapi_extra=_DOCUMENT)
async def preflight(
    request: Request, office: TheOffice, who: Who, document: Document
) -> CheckedOut:
    """What would become of a job: problems, warnings, length, size, queue, and when it could be done."""
    job, _, problems = _parted(document)
    checked = await while_wanted(request, lambda stop: office.jobs.check(who, job, problems, stop))
    return CheckedOut.of(checked)


@router.get("")
def list_jobs(
    office: TheOffice,
    who: Who,
    status: Annotated[list[JobStatus] | None, Query()] = None,
    channel: Annotated[str | None, Query(max_length=200)] = None,
    user: Annotated[str | None, Query(max_length=200)] = None,
    queue: Queue | None = None,
    worker: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    uses: Annotated[str | None, Query(max_length=4096)] = None,
    sort: Sort = Sort.NEWEST,
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = 50,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> PageOut[JobOut]:
    """Jobs, a page at a time: operators get their own. `uses` is a clip's id or path."""
    query = JobQuery(
        statuses=tuple(status or ()), channel=channel, username=user, queue=queue, worker=worker,
        since=aware(since, "since"), until=aware(until, "until"), text=text, uses=uses, sort=sort,
        limit=limit, cursor=cursor,
    )  # fmt: skip
    page = office.jobs.list(who, query)
    return PageOut(items=[JobOut.of(one) for one in page.rows], cursor=page.cursor)


def aware(at: datetime | None, field: str) -> datetime | None:
    """The time in UTC. Raises RequestInvalid: a time without its zone is no time."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise RequestInvalid("the time has no zone", field=field,
                             remedy="End it in Z or in +01:00")  # fmt: skip
    try:
        return at.astimezone(UTC)
    except OverflowError as error:  # in the first year, or the last
        raise RequestInvalid("there is no such time", field=field,
                             remedy="Use a time of this century") from error  # fmt: skip


@router.get("/{job_id}")
def get_job(office: TheOffice, who: Who, job_id: str) -> JobDetailOut:
    """A job with its items, segments, helpers, attempts and history."""
    return JobDetailOut.of_detail(office.jobs.detail(who, job_id))


@router.get("/{job_id}/document")
def get_document(office: TheOffice, who: Who, job_id: str) -> dict[str, Any]:
    """The job as a job file has it: to make another one like it."""
    return office.jobs.document(who, job_id)


@router.post("/{job_id}/cancel")
def cancel(office: TheOffice, who: Who, job_id: str) -> JobOut:
    """Stop a job, wherever it is."""
    return JobOut.of(office.jobs.cancel(who, job_id))


@router.post("/{job_id}/retry")
def retry(office: TheOffice, who: Who, job_id: str) -> JobOut:
    """Queue a failed or cancelled job again; what was rendered is not rendered again."""
    return JobOut.of(office.jobs.retry(who, job_id))


@router.post("/{job_id}/priority")
def prioritise(office: TheOffice, who: Who, job_id: str, wish: PriorityIn) -> JobOut:
    """Move a queued job: to a priority, to the front, or before another one."""
    given = [wish.priority is not None, wish.first, wish.before is not None]
    if sum(given) != 1:
        raise RequestInvalid("say where to", field="priority",
                             remedy="Give one of priority, first and before")  # fmt: skip
    if wish.priority is not None:
        return JobOut.of(office.jobs.prioritise(who, job_id, wish.priority))
    if wish.before is not None:
        return JobOut.of(office.jobs.put_before(who, job_id, wish.before))
    return JobOut.of(office.jobs.to_front(who, job_id))


@router.delete("/{job_id}", status_code=204)
def remove(office: TheOffice, who: Who, job_id: str, with_film: bool = False) -> None:
    """Drop a job that has ended from the books, and with it its film, if that is wanted."""
    office.jobs.remove(who, job_id, with_film=with_film)


@router.get("/{job_id}/logs/{name}", response_class=FileResponse,
            responses={200: {"content": {"text/plain": {}}}, 206: {"content": {"text/plain": {}}}})  # fmt: skip
def log(office: TheOffice, who: Who, job_id: str, name: LogName) -> FileResponse:
    """One of a job's logs, or a range of its bytes."""
    return sent(office.jobs.log(who, job_id, name), "text/plain; charset=utf-8")


@router.get("/{job_id}/thumbnail", response_class=FileResponse,
            responses={200: {"content": {"image/jpeg": {}, "image/svg+xml": {}}}})  # fmt: skip
async def thumbnail(request: Request, office: TheOffice, who: Who, job_id: str) -> Response:
    """A picture of the job: of its first clip that has one, or an empty one where none has."""
    found = await aside(
        request, lambda: office.library.job_thumbnail(who, office.jobs.asked(who, job_id).wanted)
    )
    if found is None:
        return Response(_EMPTY, media_type="image/svg+xml",
                        headers={"Cache-Control": "private, no-cache"})  # fmt: skip
    return sent(found, "image/jpeg")


def _file(kind: FileKind) -> Callable[..., Awaitable[Response]]:
    async def file(request: Request, office: TheOffice, who: Who, job_id: str) -> Response:
        found = await aside(request, lambda: office.jobs.file(who, job_id, kind))
        name = printable(found.name) if kind == "output" else None
        if isinstance(found, Path):
            return sent(found, _TYPES[kind], name)
        version = await aside(request, lambda: office.jobs.version(found, kind))
        return streamed(found, version, request, _TYPES[kind], name)

    return file


for _kind in _TYPES:
    router.add_api_route(
        f"/{{job_id}}/{_kind}", _file(_kind), methods=["GET"], name=_kind,  # type: ignore[arg-type]
        summary=f"The finished film's {_kind}", response_class=FileResponse,
        responses={code: {"content": {_TYPES[_kind]: {}}, "description": text}
                   for code, text in ((200, "The file"), (206, "A range of its bytes"))},
    )  # fmt: skip


def sent(path: Path, media_type: str, name: str | None = None) -> FileResponse:
    """A file, whole or the range that was asked for; shown in the page, and saved under ``name``."""
    return FileResponse(path, media_type=media_type, filename=name,
                        content_disposition_type="inline",
                        headers={"Cache-Control": "private, no-cache"})  # fmt: skip
