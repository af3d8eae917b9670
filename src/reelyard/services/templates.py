"""Templates: saved by whoever makes a channel's films, there for everybody who does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import JobRejected
from reelyard.domain.job import Item, Job
from reelyard.domain.template import Template
from reelyard.store.templates import Templates

from .job_file import LONGEST_STILL, Name, PathText, look_through
from .job_views import as_document

_MOST_ITEMS = 100


class TemplateDocument(BaseModel):
    """A template as it is written; its items are a job file's."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    channel_name: Name
    before: Annotated[list[Any], Field(max_length=_MOST_ITEMS)] = []
    after: Annotated[list[Any], Field(max_length=_MOST_ITEMS)] = []
    logo_path: PathText | None = None
    text: Annotated[str, Field(max_length=2000)] | None = None
    still_seconds: Annotated[float, Field(gt=0, le=LONGEST_STILL, allow_inf_nan=False)] | None = (
        None
    )
    enable_4k: bool = False
    loudness: bool = False
    chapters: bool = False


@dataclass(frozen=True, slots=True)
class TemplateDesk:
    """The use cases. ``folder`` is what relative paths are relative to."""

    templates: Templates
    folder: Path

    def list(self, principal: Principal, channel_name: str | None = None) -> Sequence[Template]:
        principal.allow(Action.SEE_TEMPLATES)
        return self.templates.list(channel_name)

    def get(self, principal: Principal, template_id: str) -> Template:
        """Raises NotFound."""
        principal.allow(Action.SEE_TEMPLATES)
        return self.templates.get(template_id)

    def save(
        self, principal: Principal, document: TemplateDocument, template_id: str = ""
    ) -> Template:
        """Add a template, or change the one named. Raises JobRejected, NotFound, Conflict."""
        principal.allow(Action.CHANGE_TEMPLATES)
        plain = document.model_dump(exclude={"before", "after", "logo_path"})
        template = Template(
            template_id=template_id,
            before=self._items(document, document.before),
            after=self._items(document, document.after),
            logo_path=document.logo_path and str(self.folder / document.logo_path),
            **plain,
        )
        return self.templates.save(template, by=principal.username)

    def _items(self, document: TemplateDocument, items: Sequence[Any]) -> tuple[Item, ...]:
        if not items:
            return ()
        read = look_through(
            {"channel_name": document.channel_name, "items": list(items)}, self.folder
        )
        if read.problems:
            raise JobRejected(read.problems)
        return read.job.items

    def remove(self, principal: Principal, template_id: str) -> None:
        """Raises NotFound."""
        principal.allow(Action.CHANGE_TEMPLATES)
        self.templates.remove(template_id, by=principal.username)


def template_document(template: Template) -> dict[str, Any]:
    """A template in the words of ``TemplateDocument``, with its id and who saved it when."""

    def items(of: tuple[Item, ...]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = as_document(Job(job_id="", channel_name="", items=of))[
            "items"
        ]
        return found

    names = ("template_id", "name", "channel_name", "logo_path", "text", "still_seconds",
             "enable_4k", "loudness", "chapters", "updated_at", "updated_by")  # fmt: skip
    return {
        **{name: getattr(template, name) for name in names},
        "before": items(template.before),
        "after": items(template.after),
    }
