"""The composition root: settings in, services wired to their adapters out. Plain calls, no globals."""

from __future__ import annotations

import getpass
import tempfile
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from reelyard.domain.errors import SettingsInvalid
from reelyard.domain.job import Job
from reelyard.domain.output import OutputForm, draft_form, output_form
from reelyard.domain.timeline import FRAME_RATE, frames_in
from reelyard.engine import encoders, fonts
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.planner import Workshop
from reelyard.files.memory import Memory
from reelyard.files.segment_cache import SegmentCache
from reelyard.files.segment_store import SegmentStore
from reelyard.services.films import Films
from reelyard.services.gather import Prober
from reelyard.services.machine import Machine
from reelyard.services.naming import NamedCatalogue, NamedShelf, is_name, sources
from reelyard.services.planning import Planning
from reelyard.services.render_job import RenderJob
from reelyard.services.trial import trial
from reelyard.settings import Settings
from reelyard.system.this_system import this_system

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from reelyard.catalog.bigquery import BigQuery
    from reelyard.catalog.results import BigQueryResults
    from reelyard.files.connections import Connections
    from reelyard.files.copy_cache import CopyCache
    from reelyard.files.places import Places
    from reelyard.services.bring import Bring
    from reelyard.services.drafts import Drafts
    from reelyard.services.resolve import Catalogue, CheckedCatalogue
    from reelyard.store.database import Database
    from reelyard.store.people import Library


@dataclass(frozen=True)
class Reelyard:
    """Everything, made when first asked for. ``encoder`` overrides the setting."""

    settings: Settings
    encoder: str | None = None
    at_once: int | None = None

    @cached_property
    def memory(self) -> Memory:
        return Memory(usable(self.settings.cache_dir, "REELYARD_CACHE_DIR") / "memory")

    @cached_property
    def cache(self) -> SegmentCache:
        return SegmentCache(self.settings.cache_dir, self.settings.cache_limit)

    @property
    def copies(self) -> CopyCache:
        from reelyard.files.copy_cache import CopyCache  # not for those who only render

        return CopyCache(self.settings.copies, self.settings.copy_limit)

    @cached_property
    def store(self) -> SegmentStore | None:
        """The segments that all machines share, where that is wanted."""
        if self.settings.segment_store is None:
            return None
        name = self.settings.segment_store
        remembered = ("the segment store of", name)
        fs, root = self._folder(name)
        return SegmentStore(
            fs,
            root,
            self.settings.segment_store_limit,
            name=name,
            recall=lambda: self.memory.recall(*remembered),
            keep=lambda found: self.memory.keep(found, *remembered),
        )

    def _folder(self, name: str) -> tuple[Callable[[], AbstractFileSystem], str]:
        """What a folder's files are reached through, and what it is called there. Raises SettingsInvalid."""
        try:
            where = self.settings.share_table.locate(name)
        except ValueError as error:
            raise SettingsInvalid(f"{name} can't be used: {error}",
                                  remedy="Correct REELYARD_SEGMENT_STORE or REELYARD_SHARES") from error  # fmt: skip
        if not isinstance(where, str):
            share = where.share
            return lambda: self.connections.file_system(share), self.connections.path(where)
        from fsspec.implementations.local import LocalFileSystem  # not for all

        return LocalFileSystem, where

    def _make_room(self, size: int, keep: Collection[str]) -> None:
        """Evict so many bytes from the cache's disk. Copies go first: they are got again faster."""
        copies = self.copies
        freed = 0
        if copies.root.exists() and copies.root.stat().st_dev == self.cache.root.stat().st_dev:
            freed = copies.evict(size)
        self.cache.make_room(size - freed, keep)

    @cached_property
    def ffmpeg(self) -> FFmpeg:
        return self.machine.ffmpeg

    @cached_property
    def machine(self) -> Machine:
        """This machine, with the card that is used, and what works on it."""
        return Machine(self.settings, lambda: self.memory, self.encoder)

    @cached_property
    def connections(self) -> Connections:
        """To the shares that are mounted nowhere here."""
        from reelyard.files.connections import Connection, Connections  # not for all

        rows = [row for row in self.settings.shares if row.folder is None]
        return Connections(
            [
                Connection(
                    root=row.name,
                    host=row.host,
                    port=row.port,
                    user=row.user,
                    password=row.secret,
                    domain=row.domain,
                    encrypt=row.encrypt,
                    options=row.connection_options,
                )
                for row in rows
            ]
        )

    @cached_property
    def places(self) -> Places:
        """Where sources and films are for this machine."""
        from reelyard.files.places import Places

        settings = self.settings
        return Places(
            settings.remote_roots, table=settings.share_table, connections=self.connections
        )

    @cached_property
    def films(self) -> Films:
        """Where films are for this machine."""
        return Films(self.settings.share_table, self.connections)

    @cached_property
    def bring(self) -> Bring:
        """Has sources here that are reached through connections."""
        from reelyard.services.bring import Bring
        from reelyard.services.fetch import Fetch

        stall = self.settings.stall_seconds
        fetch = Fetch(self.places, self.copies, stall_seconds=stall, only_connections=True)
        return Bring(fetch, lambda: self.catalogue)

    def _brought(
        self, job: Job, check: Callable[[], None], say: Callable[[str], None]
    ) -> AbstractContextManager[Job]:
        """Most jobs name nothing that has to be copied: then nothing for it is loaded."""
        if any(item.video_id for item in job.items) or any(map(is_name, sources(job))):
            return self.bring(job, check, say)
        return nullcontext(job)

    def _brought_for_draft(
        self, job: Job, check: Callable[[], None], say: Callable[[str], None]
    ) -> AbstractContextManager[Job]:
        """Drafts are made one at a time: none may keep the others waiting for its files."""
        if any(item.video_id for item in job.items) or any(map(is_name, sources(job))):
            return self.bring.for_draft(job, check, say)
        return nullcontext(job)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Where video ids are looked up; it says paths as every machine knows them."""
        return NamedCatalogue(self.own_catalogue, self.settings.share_table)

    @cached_property
    def own_catalogue(self) -> CheckedCatalogue:
        """The same, with paths as they stand there. Raises SettingsInvalid."""
        settings = self.settings
        if settings.catalogue == "library":
            return self.library
        if settings.catalogue == "bigquery":
            from reelyard.catalog.videos import BigQueryCatalogue, table_name

            if self.bigquery is None:
                raise SettingsInvalid("REELYARD_CATALOGUE is bigquery, and no project of it is named",
                                      remedy="Set REELYARD_BIGQUERY_PROJECT")  # fmt: skip
            return BigQueryCatalogue(
                self.bigquery,
                table_name(settings.bigquery_catalogue_table, self.bigquery.project,
                           settings.bigquery_dataset),
                settings.bigquery_video_id_column,
                settings.bigquery_path_column,
            )  # fmt: skip
        from reelyard.catalog.csv_file import CsvCatalogue

        try:
            return CsvCatalogue(self.places.source(settings.catalogue), settings.catalogue)
        except ValueError as error:
            raise SettingsInvalid(f"REELYARD_CATALOGUE: {error}",
                                  remedy="Add its share to REELYARD_SHARES") from error  # fmt: skip

    @cached_property
    def bigquery(self) -> BigQuery | None:
        """The connection to BigQuery, where a project is named. To be closed."""
        settings = self.settings
        if settings.bigquery_project is None:
            return None
        from reelyard.catalog.bigquery import BigQuery

        return BigQuery(
            settings.bigquery_project, settings.bigquery_credentials, settings.bigquery_endpoint
        )

    @cached_property
    def results_table(self) -> BigQueryResults | None:
        """Where results are recorded as well, if anywhere."""
        settings = self.settings
        if self.bigquery is None:
            return None
        from reelyard.catalog.results import BigQueryResults
        from reelyard.catalog.videos import TableName

        table = TableName(
            self.bigquery.project, settings.bigquery_dataset, settings.bigquery_results_table
        )
        return BigQueryResults(self.bigquery, table, settings.bigquery_location)

    @cached_property
    def shelf(self) -> NamedShelf:
        """The local library, to look through and to fill."""
        return NamedShelf(self.library, self.settings.share_table)

    @cached_property
    def prober(self) -> Prober:
        """Copies and uploads may be used as well: only what lies in the roots is copied."""
        roots = self.settings.media_roots
        if not roots:
            return Prober(self.memory)
        from reelyard.files.copy_cache import COPIES  # not for those who only render

        own = (self.settings.copies / COPIES, self.settings.uploads)
        mounted = map(Path, self.settings.share_table.folders)
        return Prober(self.memory, (*roots, *own, *mounted))

    @cached_property
    def planning(self) -> Planning:
        return self._planning(self.workshop)

    def _planning(self, workshop: Callable[[Job], Workshop]) -> Planning:
        table = self.settings.share_table
        return Planning(self.prober, workshop, lambda: self.catalogue, table)

    @cached_property
    def database(self) -> Database:
        from reelyard.store.database import Database  # not for those who only render

        return Database(self.settings.database)

    @cached_property
    def library(self) -> Library:
        from reelyard.store.people import Library

        return Library(self.database)

    @cached_property
    def render_job(self) -> RenderJob:
        logs = usable(self.settings.log_dir, "REELYARD_LOG_DIR")
        return self._renderer(self.planning, logs, self.store)

    def _renderer(
        self, planning: Planning, logs: Path, store: SegmentStore | None = None
    ) -> RenderJob:
        return RenderJob(
            planning=planning,
            ffmpeg=self.ffmpeg,
            cache=self.cache,
            logs=logs,
            username=local_username(),
            at_once=self.segments_at_once,
            make_room=self._make_room,
            bring=self._brought,
            films=self.films,
            store=store,
            sessions=self.machine.sessions,
        )

    @property
    def segments_at_once(self) -> int:
        """How many segments are rendered here at the same time."""
        return self.at_once or self.settings.jobs or this_system().cores()

    @cached_property
    def drafts(self) -> Drafts:
        """Films of 360 lines, made here within seconds. To be closed."""
        from reelyard.services.drafts import Drafts

        return Drafts(
            self.draft_renderer, usable(self.settings.data_dir / "drafts", "REELYARD_DATA_DIR")
        )

    def draft_renderer(self, item_frames: int | None) -> RenderJob:
        """A renderer of drafts that show at most so many frames of an item."""
        workshop = partial(self.draft_workshop, item_frames=item_frames)
        made = self._renderer(self._planning(workshop), self.settings.data_dir / "drafts")
        return replace(made, bring=self._brought_for_draft)

    def try_out(self) -> None:
        """Render a second of film as a job does, beside the cache. Raises ReelyardError."""

        def beside(folder: Path) -> RenderJob:
            own = {"cache_dir": folder / "cache", "log_dir": folder / "logs", "media_roots": ()}
            own["segment_store"] = None
            return Reelyard(self.settings.model_copy(update=own), self.encoder, 1).render_job

        trial(self.settings.cache_dir / "work", beside)

    def workshop(self, job: Job) -> Workshop:
        """What a job is planned for, by whoever plans it: the server that checks it and every machine that works on it."""
        if job.excerpt.is_draft:
            seconds = job.excerpt.item_seconds
            return self.draft_workshop(job, None if seconds is None else frames_in(seconds))
        form = output_form(enable_4k=job.enable_4k)
        encoder = self.machine.working_encoder(form)
        shop = self._workshop(job, encoder, form)
        return replace(shop, card_decodes=self.machine.card_decodes(encoder))

    def _workshop(self, job: Job, encoder: str, form: OutputForm) -> Workshop:
        has_text = any(item.text for item in job.items)
        return Workshop(
            encoding=self.machine.encoding(encoder, form),
            faces=fonts.catalogue(self.settings.font_dirs, self.memory) if has_text else (),
            segment_frames=_frames(self.settings.segment_seconds),
        )

    def draft_workshop(self, job: Job, item_frames: int | None) -> Workshop:
        """What a draft is planned for. libx264 in any case: the server may have no graphics card, and
        so small a picture needs none. All machines that help with a draft write the same bytes."""
        form = draft_form(output_form(enable_4k=job.enable_4k))
        shop = self._workshop(job, self.machine.proven(encoders.X264), form)
        return replace(shop, form=form, item_frames=item_frames)


def _frames(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * FRAME_RATE))


def usable(folder: Path, setting: str) -> Path:
    """The folder, made. Raises SettingsInvalid where that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        message = f"{folder} can't be written to: {error.strerror}"
        raise SettingsInvalid(message, remedy=f"Let {setting} name another folder") from error


def local_username() -> str:
    """Who works at this machine, or ``unknown``."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # Windows asks the environment only
        return "unknown"
