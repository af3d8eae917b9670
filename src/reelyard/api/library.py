"""The library: folders, the catalogue, thumbnails, facts, uploads."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from reelyard.domain.errors import ReelyardError, RequestInvalid
from reelyard.services.clips import ClipFacts, ListedClip

from .aside import aside
from .errors import ProblemItem
from .identity import TheOffice, Who, identify, office_of
from .jobs import sent
from .schemas import FromState, PageOut, Strict, Text, outs

router = APIRouter(prefix="/library", tags=["library"])
PathQuery = Annotated[str, Query(min_length=1, max_length=4096)]
Cursor = Annotated[str | None, Query(max_length=8000)]


class Width(IntEnum):
    """How wide pictures are made."""

    SMALL = 160
    MIDDLE = 320
    LARGE = 640


class ClipOut(FromState):
    """A clip or picture. Without a size nothing is known of the file but where it should be."""

    path: Text
    name: Text
    is_image: bool
    video_id: Text | None
    size: int | None
    modified_at: datetime | None


class FolderOut(FromState):
    path: Text
    name: Text


class ListingOut(FromState):
    """A part of a folder; ``folder`` is null where the roots are listed."""

    folder: Text | None
    name: Text
    parent: Text | None
    folders: list[FolderOut]
    clips: list[ClipOut]
    total: int
    unreadable: int
    cursor: str | None


class FoundOut(PageOut[ClipOut]):
    """Not ``complete``: there are more files than could be looked through."""

    complete: bool


class FactsOut(FromState):
    """What was measured of a clip; no seconds for a picture."""

    seconds: float | None
    width: int
    height: int
    frame_rate: float | None
    codec: str
    has_sound: bool
    rotation: int
    is_image: bool
    is_hdr: bool
    size: int
    warnings: list[Text]


class PathsIn(Strict):
    paths: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=1000)]


class FactsOrProblem(BaseModel):
    path: Text
    facts: FactsOut | None = None
    problem: ProblemItem | None = None


class ListIn(Strict):
    """One clip a line: its id or its path."""

    lines: Annotated[str, Field(max_length=1_000_000)]


class ListedOut(BaseModel):
    line: int
    text: Text
    clip: ClipOut | None
    problem: ProblemItem | None

    @classmethod
    def of(cls, one: ListedClip) -> ListedOut:
        clip = None if one.clip is None else ClipOut.model_validate(one.clip)
        return cls(line=one.line, text=one.text, clip=clip,
                   problem=None if one.error is None else _problem(one.error))  # fmt: skip


def _problem(error: ReelyardError) -> ProblemItem:
    return ProblemItem(code=error.code, message=error.message, remedy=error.remedy)


@router.get("/folder")
async def browse(
    request: Request,
    office: TheOffice,
    who: Who,
    path: Annotated[str | None, Query(max_length=4096)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    cursor: Cursor = None,
) -> ListingOut:
    """What is in a folder; without a path, the folders there are."""
    return ListingOut.model_validate(
        await aside(request, lambda: office.library.browse(who, path, cursor=cursor, limit=limit))
    )


@router.get("/search")
async def search(
    request: Request,
    office: TheOffice,
    who: Who,
    text: Annotated[str, Query(max_length=200)],
    kind: Literal["video", "image"] | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
) -> FoundOut:
    """Clips of the catalogue by id or path, then files by name."""
    found = await aside(
        request, lambda: office.library.search(who, text, kind, cursor=cursor, limit=limit)
    )
    return FoundOut(items=outs(ClipOut, found.rows), cursor=found.cursor, complete=found.complete)


@router.get("/facts")
async def facts(request: Request, office: TheOffice, who: Who, path: PathQuery) -> FactsOut:
    """What was measured of a clip."""
    return FactsOut.model_validate(await aside(request, lambda: office.library.facts(who, path)))


@router.post("/facts")
async def facts_of(
    request: Request, office: TheOffice, who: Who, wish: PathsIn
) -> list[FactsOrProblem]:
    """The same of many clips: of each its facts, or what is wrong with it."""
    found = await aside(request, lambda: office.library.facts_of(who, wish.paths))
    return [
        FactsOrProblem(path=path, facts=FactsOut.model_validate(one))
        if isinstance(one, ClipFacts)
        else FactsOrProblem(path=path, problem=_problem(one))
        for path, one in found.items()
    ]


@router.post("/list")
async def read_list(request: Request, office: TheOffice, who: Who, wish: ListIn) -> list[ListedOut]:
    """A pasted list of ids and paths, line by line."""
    return [
        ListedOut.of(one)
        for one in await aside(request, lambda: office.library.resolve_list(who, wish.lines))
    ]


@router.get("/thumbnail", response_class=FileResponse,
            responses={200: {"content": {"image/jpeg": {}}}})  # fmt: skip
async def thumbnail(
    request: Request, office: TheOffice, who: Who, path: PathQuery, width: Width = Width.MIDDLE
) -> FileResponse:
    """A picture of a clip."""
    return sent(
        await aside(request, lambda: office.library.thumbnail(who, path, width.value)), "image/jpeg"
    )


@router.get("/uploads")
def list_uploads(office: TheOffice, who: Who) -> list[ClipOut]:
    """What you have uploaded."""
    return outs(ClipOut, list(office.uploads.list(who)))


_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/uploads/{name}", status_code=201, openapi_extra=_BYTES)
async def upload(request: Request, name: str) -> ClipOut:
    """Upload a clip: the body is the file. It is checked, and may then be used by its path."""
    office = office_of(request)
    who = await run_in_threadpool(identify, office, request)
    length = request.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else None
    begun = await run_in_threadpool(office.uploads.begin, who, name, size)
    try:
        async for chunk in request.stream():
            if chunk:
                await run_in_threadpool(begun.write, chunk)
        return ClipOut.model_validate(await run_in_threadpool(begun.finish))
    except ClientDisconnect as error:
        raise RequestInvalid("the upload broke off", remedy="Upload it again") from error
    finally:
        await run_in_threadpool(begun.abort)


@router.delete("/uploads", status_code=204)
def delete_upload(office: TheOffice, who: Who, path: PathQuery) -> None:
    """Remove one of your uploads; managers remove anybody's."""
    office.uploads.delete(who, path)
