"""What a job's page shows, read in one go: the books, and what lies beside the film."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelyard.domain.access import Principal
from reelyard.domain.errors import FarmUnavailable, NotFound, ReelyardError
from reelyard.domain.lifecycle import JobStatus
from reelyard.files.distant import DistantPath
from reelyard.services.job_views import JobDetail
from reelyard.services.office import Office

_LARGEST = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job with its report and chapters, where there are any; ``missing`` is why there is no film."""

    detail: JobDetail
    report: Mapping[str, Any] = field(default_factory=dict)
    chapters: str = ""
    has_sheet: bool = False
    missing: ReelyardError | None = None

    @property
    def has_film(self) -> bool:
        return self.detail.state.status is JobStatus.COMPLETED and self.missing is None

    @property
    def shape(self) -> tuple[object, ...]:
        """What the page is built from anew when it changes; everything else moves in place."""
        state = self.detail.state
        return state.status, state.token, state.log_folder, self.has_film


def read(office: Office, who: Principal, job_id: str) -> JobView:
    """Raises JobUnknown."""
    detail = office.jobs.detail(who, job_id)
    if detail.state.status is not JobStatus.COMPLETED:
        return JobView(detail=detail)
    try:
        office.jobs.file(who, job_id, "output")
        missing = None
    except FarmUnavailable as error:
        return JobView(detail=detail, missing=error)  # the rest is where the film is
    except NotFound as error:
        missing = error
    return JobView(
        detail=detail,
        report=_report(_beside(office, who, job_id, "report")),
        chapters=_text(_beside(office, who, job_id, "chapters")),
        has_sheet=_beside(office, who, job_id, "contact-sheet") is not None,
        missing=missing,
    )


def _beside(office: Office, who: Principal, job_id: str, kind: str) -> Path | DistantPath | None:
    try:
        return office.jobs.file(who, job_id, kind)
    except (NotFound, FarmUnavailable):
        return None  # a film may have been moved away, with what lay beside it


def _text(path: Path | DistantPath | None) -> str:
    if path is None:
        return ""
    try:
        if isinstance(path, DistantPath):
            return b"".join(path.read(0, _LARGEST)).decode("utf-8", "replace")
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""  # the share is gone between the look and the reading; the page goes without


def _report(path: Path | DistantPath | None) -> Mapping[str, Any]:
    try:
        found = json.loads(_text(path) or "{}")
    except ValueError:
        return {}  # somebody wrote into it
    return found if isinstance(found, dict) else {}


def timed_items(report: Mapping[str, Any]) -> Mapping[int, Mapping[str, Any]]:
    """The report's items by their positions."""
    found = report.get("items")
    items = found if isinstance(found, list) else []
    return {one["position"]: one for one in items if isinstance(one, dict) and "position" in one}
