"""The farm's composition root: what ``bootstrap`` is for rendering, this is for everything around it."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from reelyard.bootstrap import Reelyard
from reelyard.domain.errors import BrokerUnavailable, DatabaseUnavailable
from reelyard.domain.farm import JobState
from reelyard.files.memory import Memory
from reelyard.files.places import Places
from reelyard.services.assist import Assist, LeftAlone
from reelyard.services.clean_up import CleanUp
from reelyard.services.fetch import Fetch
from reelyard.services.handover import meeting_places
from reelyard.services.output_folder import OutputFolder
from reelyard.services.owners_help import Helping
from reelyard.services.prefetch import Prefetch
from reelyard.services.queue import send_invitations
from reelyard.services.results_export import ResultsExport
from reelyard.services.submit import Submit
from reelyard.services.sweep import Sweep
from reelyard.services.work import Pins, WorkOnJob
from reelyard.settings import Settings
from reelyard.store.duties import Duties
from reelyard.store.exports import Exports
from reelyard.store.help import Offers
from reelyard.store.jobs import Jobs
from reelyard.store.leases import Leases
from reelyard.store.outbox import LocalResults, Outbox
from reelyard.store.people import Profiles
from reelyard.store.queues import Queues
from reelyard.store.workers import Workers

from .broker import EmbeddedBroker
from .configuration import SOFT_TIME_LIMIT
from .sender import CelerySender

_BEFORE_THE_LIMIT = 60.0  # our own limit comes first: it hands the job on properly
_HELPS_SECONDS = 3600.0  # so no limit of Celery's ends a helper's task; another message follows


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Farm:
    """Everything, made when first asked for. One for each process: a fork needs its own."""

    settings: Settings
    must_stop: Callable[[], bool] = _never
    ended: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def reelyard(self) -> Reelyard:
        return Reelyard(self.settings)

    @cached_property
    def embedded(self) -> EmbeddedBroker | None:
        """The broker to guard, unless another one is named."""
        return (
            None if self.settings.redis_url else EmbeddedBroker(self.settings.data_dir / "broker")
        )

    @property
    def broker_url(self) -> str:
        return self.settings.redis_url or (self.embedded.url if self.embedded else "")

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.reelyard.database)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.reelyard.database, self.settings.lease_seconds)

    @cached_property
    def workers(self) -> Workers:
        return Workers(self.reelyard.database, self.settings.lease_seconds)

    @cached_property
    def offers(self) -> Offers:
        return Offers(self.reelyard.database, self.settings.lease_seconds)

    @cached_property
    def queues(self) -> Queues:
        return Queues(self.reelyard.database)

    @cached_property
    def profiles(self) -> Profiles:
        return Profiles(self.reelyard.database)

    @cached_property
    def results(self) -> LocalResults:
        return LocalResults(self.reelyard.database)

    @cached_property
    def sender(self) -> CelerySender:
        return CelerySender(self.broker_url)

    @cached_property
    def submit(self) -> Submit:
        reelyard = self.reelyard
        return Submit(
            reelyard.planning, self.jobs, self.sender, reelyard.bring, self.settings.share_table
        )

    @cached_property
    def sweep(self) -> Sweep:
        return Sweep(
            holder=self._holder,
            duties=self._duties,
            offers=self.offers,
            outbox=Outbox(self.reelyard.database),
            results=self.results,
            queue=self.sender,
            clean_up=self.clean_up,
            lease_seconds=self.settings.lease_seconds,
            longest_wait=self.settings.wait_hours * 3600,
            export=self.export,
        )

    @cached_property
    def exports(self) -> Exports:
        return Exports(self.reelyard.database)

    @cached_property
    def export(self) -> ResultsExport | None:
        """Records results in BigQuery, where a project of it is named."""
        table = self.reelyard.results_table
        if table is None:
            return None
        return ResultsExport(self.exports, self._duties, table, self._holder)

    @property
    def _holder(self) -> str:
        return f"{socket.gethostname()}:{os.getpid()}"

    @cached_property
    def clean_up(self) -> CleanUp:
        return CleanUp(self._duties, self.jobs, socket.gethostname(), self.reelyard.films)

    @cached_property
    def _left_alone(self) -> LeftAlone:
        return LeftAlone()

    @cached_property
    def _duties(self) -> Duties:
        return Duties(self.reelyard.database, self.settings.lease_seconds)

    @cached_property
    def places(self) -> Places:
        return self.reelyard.places

    @cached_property
    def outputs(self) -> OutputFolder:
        memory = Memory(
            self.settings.data_dir / "memory"
        )  # not the caches' own: that may be cleared
        return OutputFolder(self.settings.outputs, self.reelyard.films, self.places, memory)

    def pins(self, worker_id: str) -> Pins:
        farm = hashlib.sha256(self.settings.database.encode("utf-8", "surrogateescape"))
        return Pins(farm.hexdigest()[:8], worker_id)

    @cached_property
    def fetch(self) -> Fetch:
        reelyard, stall = self.reelyard, self.settings.stall_seconds
        return Fetch(self.places, reelyard.copies, reelyard.prober.allows, stall)

    def work(self, worker_id: str) -> WorkOnJob:
        return WorkOnJob(
            worker_id=worker_id,
            pins=self.pins(worker_id),
            leases=self.leases,
            catalogue=lambda: self.reelyard.catalogue,
            fetch=self.fetch,
            render_job=lambda: self.reelyard.render_job,
            outputs=self.outputs,
            must_stop=self.must_stop,
            time_limit=SOFT_TIME_LIMIT - _BEFORE_THE_LIMIT,
            helping=self._helping(worker_id),
        )

    def _helping(self, worker_id: str) -> Helping:
        """Whatever it can't find out is no reason to fail a job."""
        reelyard = self.reelyard

        def speed() -> float | None:
            with suppress(DatabaseUnavailable):
                worker = self.workers.get(worker_id)
                return worker.speed if worker else None
            return None

        return Helping(
            offers=self.offers,
            meeting_places=lambda: meeting_places(reelyard.cache, reelyard.store),
            at_once=reelyard.segments_at_once,
            speed=speed,
            invite=self._invite,
        )

    def _invite(self) -> None:
        """Ask for help with what was just offered. The sweep does so again."""
        with suppress(BrokerUnavailable, DatabaseUnavailable):
            send_invitations(self.offers, self.sender, 0.0)

    def assist(self, worker_id: str) -> Assist:
        return Assist(
            worker_id=worker_id,
            pins=self.pins(worker_id),
            offers=self.offers,
            jobs=self.jobs,
            catalogue=lambda: self.reelyard.catalogue,
            fetch=self.fetch,
            render_job=lambda: self.reelyard.render_job,
            must_stop=self.must_stop,
            time_limit=_HELPS_SECONDS,
            left_alone=self._left_alone,
        )

    def prefetch(self, worker_id: str) -> Prefetch:
        return Prefetch(
            worker_id,
            self.pins(worker_id),
            self.workers,
            self.jobs,
            lambda: self.reelyard.catalogue,
            self.fetch,
            self.ended,
        )

    def wake(self, state: JobState) -> None:
        """Wake a worker for a job that was queued again. The sweep does so if the broker is away."""
        with suppress(BrokerUnavailable):
            self.sender.send(state.job_id, state.queue)
