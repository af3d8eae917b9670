"""Drafts: a small film of a job within seconds, before the long render."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import FileResponse
from pydantic import Field

from reelyard.domain.errors import RequestInvalid
from reelyard.domain.excerpt import LONGEST_ITEM_SECONDS
from reelyard.services.drafts import ITEM_SECONDS, Draft

from .errors import ProblemItem, item_of
from .identity import TheOffice, Who
from .jobs import sent
from .schemas import FromState, Strict, SubmissionIn, Text

router = APIRouter(prefix="/drafts", tags=["drafts"])


class DraftSchema(Strict):
    """A job's document, and how many seconds of each item are wanted (null: all)."""

    job: SubmissionIn
    seconds_per_item: float | None = ITEM_SECONDS


class DraftIn(Strict):
    job: Any
    seconds_per_item: Annotated[
        float, Field(gt=0, le=LONGEST_ITEM_SECONDS, allow_inf_nan=False)
    ] | None = ITEM_SECONDS  # fmt: skip


class DraftOut(FromState):
    draft_id: str
    status: str
    percent: float
    seconds_left: float | None
    message: Text
    problems: list[ProblemItem]
    warnings: list[Text]
    seconds: float | None
    skipped_seconds: float | None
    created_at: datetime

    @classmethod
    def of(cls, draft: Draft) -> DraftOut:
        plain = {name: getattr(draft, name) for name in cls.model_fields}
        problems = [item_of(one) for one in draft.problems]
        return cls(**{**plain, "problems": problems, "warnings": list(draft.warnings)})


_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/DraftSchema"}}},
    }
}


@router.post("", status_code=202, openapi_extra=_DOCUMENT)
def begin(office: TheOffice, who: Who, wish: Annotated[DraftIn, Body()]) -> DraftOut:
    """Begin a draft; it takes the place of your last one."""
    if not isinstance(wish.job, dict):
        raise RequestInvalid("a job is a list of fields", field="job",
                             remedy="Give it channel_name and items")  # fmt: skip
    own = {name: one for name, one in wish.job.items() if name not in _BESIDES}
    return DraftOut.of(office.drafts.begin(who, office.jobs.to_draft(own), wish.seconds_per_item))


_BESIDES = ("priority", "metadata", "webhook")


@router.get("/{draft_id}")
def get_draft(office: TheOffice, who: Who, draft_id: str) -> DraftOut:
    """How far it is, and what was wrong with it."""
    return DraftOut.of(office.drafts.get(who, draft_id))


@router.delete("/{draft_id}")
def cancel(office: TheOffice, who: Who, draft_id: str) -> DraftOut:
    """Stop it, and take away what there is of it."""
    return DraftOut.of(office.drafts.cancel(who, draft_id))


@router.get("/{draft_id}/film", response_class=FileResponse,
            responses={200: {"content": {"video/mp4": {}}}, 206: {"content": {"video/mp4": {}}}})  # fmt: skip
def film(office: TheOffice, who: Who, draft_id: str) -> FileResponse:
    """The film, or a range of its bytes."""
    return sent(office.drafts.film(who, draft_id), "video/mp4")


@router.get("/{draft_id}/contact-sheet", response_class=FileResponse,
            responses={200: {"content": {"image/jpeg": {}}}})  # fmt: skip
def contact_sheet(office: TheOffice, who: Who, draft_id: str) -> FileResponse:
    """One picture of each item."""
    return sent(office.drafts.contact_sheet(who, draft_id), "image/jpeg")
