"""What managers and admins do: workers, history, settings, audit. Operators see what is theirs of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import WorkerUnknown, printable
from reelyard.domain.farm import Happening, JobState, Result, Worker
from reelyard.domain.lifecycle import Order
from reelyard.domain.query import Grouping, Total
from reelyard.store.jobs import Jobs
from reelyard.store.search import Search
from reelyard.store.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker and what it is at; a job is None where the asker may not see it.

    ``helped`` is another worker's, for which it makes segments.
    """

    worker: Worker
    job: JobState | None
    helped: JobState | None = None


@dataclass(frozen=True, slots=True)
class WorkerDesk:
    """Workers: looked at, and given orders."""

    workers: Workers
    jobs: Jobs

    def list(self, principal: Principal) -> Sequence[WorkerView]:
        principal.allow(Action.SEE_WORKERS)
        return [self._view(principal, one) for one in self.workers.list()]

    def get(self, principal: Principal, worker_id: str) -> WorkerView:
        """Raises WorkerUnknown."""
        principal.allow(Action.SEE_WORKERS)
        found = self.workers.get(worker_id)
        if found is None:
            raise WorkerUnknown(f"no worker {printable(worker_id)} is known",
                                remedy="List the workers there are")  # fmt: skip
        return self._view(principal, found)

    def _view(self, principal: Principal, worker: Worker) -> WorkerView:
        job = self.jobs.find(worker.job_id) if worker.job_id else None
        helped = self.jobs.find(worker.helps) if worker.helps else None
        return WorkerView(
            worker=worker,
            job=_seen(principal, job),
            helped=_seen(principal, helped),
        )

    def tell(self, principal: Principal, worker_id: str, order: Order) -> WorkerView:
        """Pause, wake (WORK), drain, or stop and have its job queued again. Raises WorkerUnknown."""
        principal.allow(Action.ORDER_WORKERS)
        self.workers.tell(worker_id, order, by=principal.username)
        return self.get(principal, worker_id)

    def forget(self, principal: Principal, worker_id: str) -> None:
        """Drop a worker that is gone for good. Raises WorkerUnknown, WorkerConflict while it is there."""
        principal.allow(Action.ORDER_WORKERS)
        self.get(principal, worker_id)
        self.workers.forget(worker_id, by=principal.username)


def _seen(principal: Principal, job: JobState | None) -> JobState | None:
    return job if job is not None and principal.sees(job.user_id) else None


@dataclass(frozen=True, slots=True)
class HistoryDesk:
    """What was done. Operators get their own."""

    search: Search

    def results(
        self,
        principal: Principal,
        *,
        channel: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[Result]:
        """The newest results."""
        principal.allow(Action.SEE_HISTORY)
        return self.search.results(
            user_id=_only(principal), channel=channel, since=since, until=until, limit=limit
        )

    def totals(
        self,
        principal: Principal,
        grouping: Grouping,
        since: datetime | None = None,
        until: datetime | None = None,
        channel: str | None = None,
    ) -> Sequence[Total]:
        """Films, minutes, cache shares and speeds, added up."""
        principal.allow(Action.SEE_HISTORY)
        return self.search.totals(
            grouping, user_id=_only(principal), channel=channel, since=since, until=until
        )

    def channels(self, principal: Principal) -> Sequence[str]:
        """The channels that there were jobs for."""
        principal.allow(Action.SEE_HISTORY)
        return self.search.channels(None if principal.sees_all else principal.user_id)

    def as_csv(self, results: Sequence[Result]) -> str:
        """Results as a spreadsheet reads them."""
        text = io.StringIO()
        writer = csv.writer(text)
        names = list(Result.__dataclass_fields__)
        writer.writerow(names)
        for one in results:
            writer.writerow([_cell(getattr(one, name)) for name in names])
        return text.getvalue()


def _only(principal: Principal) -> str | None:
    return None if principal.sees_all else principal.user_id


def _cell(value: object) -> str:
    """A spreadsheet takes what begins like a formula for one: an apostrophe says that it is text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return " ".join(value)
    text = "" if value is None else printable(str(value))
    is_number = isinstance(value, int | float)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and not is_number else text


@dataclass(frozen=True, slots=True)
class AdminDesk:
    """Settings in force, and who did what."""

    search: Search
    shown: Mapping[str, str]

    def settings(self, principal: Principal) -> Mapping[str, str]:
        """Each setting and its value; passwords are not in there."""
        principal.allow(Action.ADMINISTER)
        return self.shown

    def audit(
        self,
        principal: Principal,
        limit: int = 100,
        before: int | None = None,
        actor: str | None = None,
    ) -> Sequence[tuple[int, Happening]]:
        """What people did, the latest first, each with its number; ``before`` is where to go on."""
        principal.allow(Action.ADMINISTER)
        return self.search.audit(limit, before, actor)
