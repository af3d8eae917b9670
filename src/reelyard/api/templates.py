"""Templates: what a channel's compilations begin with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from reelyard.services.job_file import ItemDocument
from reelyard.services.templates import TemplateDocument, template_document

from .identity import TheOffice, Who
from .schemas import Text

router = APIRouter(prefix="/templates", tags=["templates"])


class TemplateIn(TemplateDocument):
    """A template; its items are a job file's."""


class TemplateOut(BaseModel):
    template_id: str
    name: Text
    channel_name: Text
    before: list[ItemDocument]
    after: list[ItemDocument]
    logo_path: Text | None
    text: Text | None
    still_seconds: float | None
    enable_4k: bool
    loudness: bool
    chapters: bool
    updated_at: datetime | None
    updated_by: Text | None


@router.get("")
def list_templates(
    office: TheOffice, who: Who, channel: Annotated[str | None, Query(max_length=200)] = None
) -> list[TemplateOut]:
    """All templates, or one channel's."""
    found = office.templates.list(who, channel)
    return [TemplateOut.model_validate(template_document(one)) for one in found]


@router.get("/{template_id}")
def get_template(office: TheOffice, who: Who, template_id: str) -> TemplateOut:
    """One template."""
    return TemplateOut.model_validate(template_document(office.templates.get(who, template_id)))


@router.post("", status_code=201)
def add_template(office: TheOffice, who: Who, wish: TemplateIn) -> TemplateOut:
    """Save a new template."""
    return TemplateOut.model_validate(template_document(office.templates.save(who, wish)))


@router.put("/{template_id}")
def change_template(office: TheOffice, who: Who, template_id: str, wish: TemplateIn) -> TemplateOut:
    """Save a template in place of what it was."""
    saved = office.templates.save(who, wish, template_id or "-")
    return TemplateOut.model_validate(template_document(saved))


@router.delete("/{template_id}", status_code=204)
def remove_template(office: TheOffice, who: Who, template_id: str) -> None:
    """Remove a template."""
    office.templates.remove(who, template_id)
