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
from reelyard.domain.timeline import FRAME_RATE
from reelyard.engine import encoders, fonts
from reelyard.engine.discover import find_ffmpeg
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.planner import Workshop
from reelyard.files.memory import Memory
from reelyard.files.segment_cache import SegmentCache
from reelyard.services.gather import Prober
from reelyard.services.naming import NamedCatalogue, NamedShelf, is_name, sources
from reelyard.services.planning import Planning
from reelyard.services.render_job import RenderJob
from reelyard.services.trial import trial
from reelyard.settings import Settings
from reelyard.system.this_system import this_system

if TYPE_CHECKING:
    from reelyard.files.connections import Connections
    from reelyard.files.copy_cache import CopyCache
    from reelyard.files.places import Places
    from reelyard.services.bring import Bring
    from reelyard.services.drafts import Drafts
    from reelyard.services.resolve import Catalogue
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

    def _make_room(self, size: int, keep: Collection[str]) -> None:
        """Evict so many bytes from the cache's disk. Copies go first: they are got again faster."""
        copies = self.copies
        freed = 0
        if copies.root.exists() and copies.root.stat().st_dev == self.cache.root.stat().st_dev:
            freed = copies.evict(size)
        self.cache.make_room(size - freed, keep)

    @cached_property
    def ffmpeg(self) -> FFmpeg:
        return find_ffmpeg(self.settings.ffmpeg, self.memory, self.settings.stall_seconds)

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
                    options=row.options,
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

    @cached_property
    def catalogue(self) -> Catalogue:
        """Where video ids are looked up; it says paths as every machine knows them."""
        return NamedCatalogue(self.library, self.settings.share_table)

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
        return self._renderer(self.planning, logs)

    def _renderer(self, planning: Planning, logs: Path) -> RenderJob:
        return RenderJob(
            planning=planning,
            ffmpeg=self.ffmpeg,
            cache=self.cache,
            logs=logs,
            username=local_username(),
            at_once=self.at_once or self.settings.jobs or this_system().cores(),
            make_room=self._make_room,
            bring=self._brought,
        )

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
        return self._renderer(self._planning(workshop), self.settings.data_dir / "drafts")

    def try_out(self) -> None:
        """Render a second of film as a job does, beside the cache. Raises ReelyardError."""

        def beside(folder: Path) -> RenderJob:
            own = {"cache_dir": folder / "cache", "log_dir": folder / "logs", "media_roots": ()}
            return Reelyard(self.settings.model_copy(update=own), self.encoder, 1).render_job

        trial(self.settings.cache_dir / "work", beside)

    def workshop(self, job: Job) -> Workshop:
        form = output_form(enable_4k=job.enable_4k)
        return self._workshop(job, self.working_encoder, form)

    def _workshop(self, job: Job, encoder: str, form: OutputForm) -> Workshop:
        has_text = any(item.text for item in job.items)
        return Workshop(
            encoding=encoders.encoding(encoder, form, self.ffmpeg),
            faces=fonts.catalogue(self.settings.font_dirs, self.memory) if has_text else (),
            segment_frames=_frames(self.settings.segment_seconds),
        )

    def draft_workshop(self, job: Job, item_frames: int | None) -> Workshop:
        """What a draft is planned for. libx264 in any case: the server may have no graphics card, and
        so small a picture needs none."""
        form = draft_form(output_form(enable_4k=job.enable_4k))
        shop = self._workshop(job, self._proven(encoders.X264), form)
        return replace(shop, form=form, item_frames=item_frames)

    @cached_property
    def working_encoder(self) -> str:
        """The encoder that proved to work here, remembered until FFmpeg or the driver changes."""
        return self._proven(self.encoder or self.settings.encoder)

    def _proven(self, wanted: str | None) -> str:
        name = (
            "encoder",
            wanted or "",
            str(self.ffmpeg.executable),
            self.ffmpeg.version,
            this_system().graphics_driver(),
        )
        known = self.memory.recall(*name)
        if isinstance(known, str):
            return known
        found = encoders.find_encoder(self.ffmpeg, wanted)
        self.memory.keep(found, *name)
        return found


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
    except (OSError, KeyError):
        return "unknown"
