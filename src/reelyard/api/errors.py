"""The one shape of an error (RFC 9457): a stable code, what is wrong, the field, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from reelyard.domain import errors
from reelyard.domain.errors import ReelyardError, printable

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"

STATUSES: tuple[tuple[type[ReelyardError], int], ...] = (
    (errors.JobRejected, 422),
    (errors.BadMedia, 422),
    (errors.RequestInvalid, 422),
    (errors.GraphicsCardBusy, 503),
    (errors.EncoderUnavailable, 422),
    (errors.JobConflict, 409),
    (errors.WorkerConflict, 409),
    (errors.Conflict, 409),
    (errors.OutputUnusable, 409),
    (errors.JobUnknown, 404),
    (errors.WorkerUnknown, 404),
    (errors.NotFound, 404),
    (errors.NotSignedIn, 401),
    (errors.NotAllowed, 403),
    (errors.TooManyRequests, 429),
    (errors.OutOfDisk, 507),
    (errors.FarmUnavailable, 503),
)
_AGAIN_AFTER = 5
_AWAY = "a part of the farm can't be reached just now; the server's log says which"


class ProblemItem(BaseModel):
    """One of several things that are wrong. ``position`` is the item's, counted from 1."""

    code: str
    message: str
    remedy: str = ""
    position: int | None = None
    field: str | None = None
    file: str | None = None
    warning: bool = False


class ProblemDocument(BaseModel):
    """What went wrong, and what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    remedy: str = ""
    field: str | None = None
    problems: list[ProblemItem] = []


def install(app: FastAPI) -> None:
    """Have every error that leaves the API be of that shape."""
    app.add_exception_handler(ReelyardError, _reelyard)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: ReelyardError) -> int:
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    remedy: str = "",
    field: str | None = None,
    problems: Sequence[ProblemItem] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    document = ProblemDocument(
        type=f"urn:reelyard:error:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=printable(detail),
        instance=printable(request.url.path),
        code=code,
        remedy=printable(remedy),
        field=field,
        problems=list(problems),
    )
    return JSONResponse(document.model_dump(), status, headers, MEDIA_TYPE)


def item_of(one: errors.Problem) -> ProblemItem:
    return ProblemItem(
        code=one.code,
        message=printable(one.message),
        remedy=printable(one.remedy),
        position=one.position,
        field=one.field and printable(one.field),
        file=one.file and printable(one.file),
        warning=one.warning,
    )


async def _reelyard(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ReelyardError)
    status = status_of(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("%s %s: %s", request.method, request.url.path, error)
    items = [item_of(one) for one in getattr(error, "problems", ())]
    detail = f"the job has {len(items)} problems" if len(items) > 1 else error.message
    if isinstance(error, errors.FarmUnavailable):
        detail = _AWAY  # where the database is, is nobody's business out there
    return problem(request, status, error.code, detail, error.remedy,
                   getattr(error, "field", None), items, _headers(error, status))  # fmt: skip


def _headers(error: ReelyardError, status: int) -> dict[str, str]:
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(_AGAIN_AFTER)}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    return {}


async def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = [_wrong(one) for one in error.errors()]
    first = items[0] if items else None
    detail = "; ".join(f"{one.field}: {one.message}" for one in items[:5]) or "it can't be read"
    return problem(request, 422, "request_invalid", detail, "Correct what is named",
                   first.field if first else None, items)  # fmt: skip


def _wrong(one: Any) -> ProblemItem:
    where = [str(part) for part in one["loc"] if part not in ("body", "query", "path", "header")]
    field = printable(".".join(where)) or "body"
    return ProblemItem(code=one["type"], message=printable(one["msg"]), field=field,
                       remedy=f"Correct {field}")  # fmt: skip


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    headers = dict(error.headers) if error.headers else None
    return problem(request, error.status_code, code, str(error.detail), headers=headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(request, 500, "error", "an error in Reelyard itself",
                   "The server's log has it; please report it")  # fmt: skip
