"""A statement that the local BigQuery runs, and what is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bigquery_engine import Answer, Engine, Refusal

_LONGEST_WAIT = 0.2  # seconds that an answer waits for a statement to end; Google's waits ten


@dataclass
class Job:
    """One statement on its way."""

    project: str
    job_id: str
    sql: str
    parameters: Sequence[Mapping[str, Any]]
    is_cancelled: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    _answer: Answer | None = None
    _refusal: Refusal | None = None

    def run(self, engine: Engine, late: float = 0.0) -> None:
        """Run it, so many seconds late, unless it is cancelled by then."""
        begins_at = time.monotonic() + late
        while not self.is_cancelled and time.monotonic() < begins_at:
            time.sleep(0.01)
        try:
            if self.is_cancelled:
                raise Refusal(400, "stopped", "Job execution was cancelled")
            self._answer = engine.run(self.sql, self.parameters)
        except Refusal as refusal:
            self._refusal = refusal
        finally:
            self.ended.set()

    @property
    def resource(self) -> dict[str, Any]:
        """How it stands."""
        status: dict[str, Any] = {"state": "DONE" if self.ended.is_set() else "RUNNING"}
        if self._refusal is not None:
            status |= {"errorResult": self._refusal.detail, "errors": [self._refusal.detail]}
        return {
            "id": f"{self.project}:US.{self.job_id}",
            "jobReference": self._reference,
            "configuration": {"query": {"query": self.sql, "useLegacySql": False}, "jobType": "QUERY"},
            "statistics": {"query": self._figures},
            "status": status,
        }  # fmt: skip

    def results(self, timeout: str | float | None) -> dict[str, Any]:
        """What it led to, or that it has not ended; ``timeout`` in milliseconds. Raises Refusal."""
        patience = _LONGEST_WAIT if timeout is None else float(timeout) / 1000
        is_over = self.ended.wait(min(_LONGEST_WAIT, patience))
        told: dict[str, Any] = {"jobReference": self._reference, "jobComplete": is_over}
        if not is_over:
            return told
        if self._refusal is not None:
            raise self._refusal
        assert self._answer is not None
        if self._answer.affected is not None:
            return {**told, "schema": {}, "totalRows": "0", **self._figures}
        rows = [{"f": [{"v": _cell(value)} for value in row]} for row in self._answer.rows]
        return {**told, "schema": {"fields": self._answer.schema}, "rows": rows,
                "totalRows": str(len(rows)), "totalBytesProcessed": "1048576", "cacheHit": False}  # fmt: skip

    @property
    def _reference(self) -> dict[str, str]:
        return {"projectId": self.project, "jobId": self.job_id, "location": "US"}

    @property
    def _figures(self) -> dict[str, str]:
        if self._answer is None or self._answer.affected is None:
            return {}
        return {"numDmlAffectedRows": str(self._answer.affected)}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return [{"v": _cell(one)} for one in value]
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
