"""Rendering a job on this machine: gather, decide, make the pieces, join, verify, publish.

Nothing is seen before it was checked: the film appears under its name whole, as the last of its files.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reelyard.domain.chapters import Chapter, chapters_of, tiled, youtube_list, youtube_shows
from reelyard.domain.errors import (
    JobRejected,
    Problem,
    ReelyardError,
    printable,
)
from reelyard.domain.job import Job, OnBadItem
from reelyard.domain.plan import Plan
from reelyard.domain.timeline import FRAME_RATE
from reelyard.engine import checks, render, sheet
from reelyard.engine.commands import quoted
from reelyard.engine.encoders import NVENC
from reelyard.engine.ffmpeg import FFmpeg, StopSignal
from reelyard.engine.fonts import packaged
from reelyard.files.job_log import JobLog, log_folder
from reelyard.files.publishing import Place, Staging, free_bytes
from reelyard.files.segment_cache import SegmentCache
from reelyard.files.segment_store import SegmentStore
from reelyard.files.slots import Slots
from reelyard.files.work_folder import work_folder

from .films import Films
from .gather import nothing
from .help import NO_HELP, Help
from .made import PICTURE_SUFFIX, TRACK_SUFFIX, Made, segment_name
from .outputs import (
    CHAPTERS_SUFFIX,
    FILMS_ROOM,
    REPORT_SUFFIX,
    SHEET_SUFFIX,
    check_output,
    output_error,
)
from .pieces import Pieces
from .planning import Planning, Prepared
from .progress import JOIN, Meter, Stage, Watcher
from .report import as_text, report
from .segments import Segments, trim_beside
from .stamps import SegmentStamps
from .storage import ROOM, check_free, log_failure

_PCM_RATE = 192_000
CAPTION_PACKAGE = "fontpkg-noto-sans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A finished film and what lies beside it. ``named`` is what every machine calls the film.

    ``skipped`` frames of the job are not in a draft.
    """

    output: Place
    named: str
    report: Place
    contact_sheet: Place
    chapter_list: Place | None
    log_folder: Path
    job: Job
    plan: Plan
    made: Made
    film: checks.FilmFacts
    skipped: int
    cached: int
    rendered: int
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Publication:
    """Who publishes: ``token`` names its staging folder, ``permit`` raises if it may not any more."""

    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    permit: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class RenderJob:
    """The use case. ``at_once`` pieces are rendered at the same time."""

    planning: Planning
    ffmpeg: FFmpeg
    cache: SegmentCache
    logs: Path
    username: str
    at_once: int
    make_room: Callable[[int, Collection[str]], object]
    bring: Callable[
        [Job, Callable[[], None], Callable[[str], None]], AbstractContextManager[Job]
    ] = lambda job, _check, _say: nullcontext(job)
    films: Films = field(default_factory=Films)
    sessions: Slots | None = None
    store: SegmentStore | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(
        self,
        job: Job,
        output: Place,
        watcher: Watcher | None = None,
        stop: StopSignal | None = None,
        job_file: Path | None = None,
    ) -> Rendered:
        """Render ``job`` (from ``job_file``, which is not to be overwritten) to ``output``.

        Raises ReelyardError; then there is no output.
        """
        check_output(output, job, job_file, self.films)
        with closing(self.open_log(job, self.username, self.clock())) as log:
            named = self.films.name(output)
            count = len(job.wanted.items)
            log.step(f"job {job.job_id}: {count} items for {job.channel_name} to {named}")
            try:
                return self.render(job, output, log, watcher, stop or StopSignal())
            except ReelyardError as error:
                log_failure(log, error)
                raise

    def open_log(self, job: Job, username: str, day: datetime) -> JobLog:
        folder = log_folder(self.logs, username, job.channel_name, job.job_id, day)
        return JobLog(folder, quoted)

    def render(
        self,
        job: Job,
        output: Place,
        log: JobLog,
        watcher: Watcher | None,
        stop: StopSignal,
        publication: Publication | None = None,
        help_: Help = NO_HELP,
    ) -> Rendered:
        """Render and publish, writing into a log that is open. Raises ReelyardError."""
        begun = time.monotonic()
        staging = Staging(output, (publication := publication or Publication()).token)
        try:
            with (
                work_folder(self.cache.root / "work") as work,
                self.bring(job.wanted, stop.check, log.step) as here,
                Segments(self.cache, self.store, log, stop.check) as segments,
            ):
                meter = Meter(watcher)
                attempt = _Attempt(
                    self,
                    here,
                    output,
                    log,
                    work,
                    meter,
                    begun,
                    staging,
                    publication,
                    segments,
                    help_,
                )
                done = attempt.complete(stop)
            log.step(f"done in {done.seconds:.1f} s")
            return done
        except OSError as error:
            raise output_error(error) from error
        finally:
            staging.discard()
            self._trim(log)

    def _trim(self, log: JobLog) -> None:
        """Keep the cache inside its limit, however the job ended; that never fails a film."""
        try:
            freed = self.cache.trim()
        except OSError as error:
            log.step(f"the cache could not be trimmed: {error}")
            return
        if freed:
            log.step(f"dropped {freed} bytes from the cache")
        if self.store is not None:
            trim_beside(self.store)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One run of the use case."""

    using: RenderJob
    job: Job
    output: Place
    log: JobLog
    work: Path
    meter: Meter
    begun: float
    staging: Staging
    publication: Publication
    segments: Segments
    help: Help

    def complete(self, stop: StopSignal) -> Rendered:
        prepared, pieces, made = self._make(stop)
        run = render.Run(self.using.ffmpeg, self.log, stop)
        with ThreadPoolExecutor(1, "sheet") as beside:
            sheet_made = beside.submit(self._contact_sheet, prepared.plan, pieces, stop)
            film, facts = self._couple(prepared.plan, pieces, run)
            sheet_path = sheet_made.result()
        stop.check()
        return self._publish(prepared, made, film, facts, sheet_path, stop)

    def _make(self, stop: StopSignal) -> tuple[Prepared, Pieces, Made]:
        """All pieces; again without an item where one proves bad and may be left out."""
        bad: list[Problem] = []
        while True:
            self.meter.stage(Stage.PROBING)
            begun = time.monotonic()
            prepared = self.using.planning.prepare(self.job, bad, stop.check)
            files = {
                path for item in self.job.items for path in (item.path, item.logo_path) if path
            }
            self.log.step(f"probed {len(files)} files in {time.monotonic() - begun:.2f} s")
            self._log_plan(prepared)
            self._check_room(prepared.plan)
            pieces = self._pieces(prepared.plan, stop.child(), len(bad))
            self.meter.expect(prepared.plan.frames)
            self.meter.stage(Stage.RENDERING)
            made = pieces.make()
            stop.check()
            if not made.bad:
                return prepared, pieces, made
            bad += made.bad
            if self.job.on_bad_item is OnBadItem.FAIL:
                raise JobRejected(bad)

    def _pieces(self, plan: Plan, stop: StopSignal, attempt: int) -> Pieces:
        sessions = self._sessions(plan)
        at_once = self.using.at_once
        return Pieces(
            plan,
            self.segments,
            render.Run(self.using.ffmpeg, self.log, stop),
            self.work / str(attempt),
            self.meter,
            self.log,
            # More than the graphics card encodes at once would only wait for each other.
            at_once=min(at_once, sessions.limit) if sessions else at_once,
            go_on=self.job.on_bad_item is OnBadItem.SKIP,
            sessions=sessions,
            help_=self.help,
        )

    def _sessions(self, plan: Plan) -> Slots | None:
        return self.using.sessions if plan.encoding.encoder == NVENC else None

    def _log_plan(self, prepared: Prepared) -> None:
        plan = prepared.plan
        segments = sum(1 for _ in plan.picture)
        self.log.step(
            f"planned {len(plan.items)} items, {plan.frames} frames, {segments} segments, "
            f"{plan.form.name}, {plan.encoding.encoder}, {plan.encoding.ffmpeg_version}"
        )
        if not prepared.job.excerpt.is_whole:
            self.log.step(f"not the whole film: {prepared.job.excerpt}")
        for item in plan.items:
            if item.by_processor is not None:
                self.log.step(
                    f"item {item.position}: decoded and scaled by the processor, because {item.by_processor}"
                )
        for warning in prepared.warnings:
            self.log.step(f"warning: {warning}")

    def _check_room(self, plan: Plan) -> None:
        """Raises OutOfDisk before anything is rendered that would not fit."""
        holds = self.using.cache.holds
        missing = sum(len(s.frames) for s in plan.picture if not holds(s.key, PICTURE_SUFFIX))
        sound = 0 if holds(plan.track_key, TRACK_SUFFIX) else plan.frames
        rate = plan.form.max_rate / 8 / FRAME_RATE
        film = int(plan.frames * rate)
        needs = int(missing * rate + sound * _PCM_RATE / FRAME_RATE) + film + ROOM
        lacking = needs - self.using.cache.free_bytes()
        if lacking > 0:
            self.log.step(f"{lacking} bytes are lacking: making room in the caches")
            own = {one.key for one in plan.picture} | {one.key for one in plan.sound}
            self.using.make_room(lacking, own | {plan.track_key})
        check_free(self.using.cache.free_bytes(), needs, self.using.cache.root)
        room = free_bytes(self.output.parent)
        if room is not None:
            check_free(room, film + ROOM, self.output.parent, FILMS_ROOM)

    def _couple(self, plan: Plan, pieces: Pieces, run: render.Run) -> tuple[Path, checks.FilmFacts]:
        self.meter.stage(Stage.JOINING)
        segments = [(segment_name(one), len(one.frames)) for one in plan.picture]
        film = self.work / "film.mp4"
        watch = self.meter.watch("join", plan.frames, JOIN)
        chapters = tiled(_chapters(plan), plan.frames)
        render.join(run, segments, chapters, pieces.film, film, watch)
        self.log.step(f"joined {len(segments)} segments, {film.stat().st_size} bytes")
        self.meter.stage(Stage.VERIFYING)
        facts = checks.check_film(
            film, plan.form, plan.frames, chapters, run.stop.check, sum(1 for _ in plan.picture)
        )
        self.log.step(
            f"verified {facts.frames} frames, {facts.samples} samples, "
            f"{facts.video_bit_rate} b/s of picture, {facts.audio_bit_rate} b/s of sound"
        )
        return film, facts

    def _publish(
        self,
        prepared: Prepared,
        made: Made,
        film: Path,
        facts: checks.FilmFacts,
        made_sheet: Path,
        stop: StopSignal,
    ) -> Rendered:
        self.meter.stage(Stage.PUBLISHING)
        publishing = time.monotonic()
        plan, output, named = prepared.plan, self.output, self.using.films.name(self.output)
        self.staging.bring(made_sheet, SHEET_SUFFIX, stop.check)
        chapter_path, chapter_warnings = self._chapter_list(plan, stop)
        warnings = [*prepared.warnings, *chapter_warnings]
        seconds = time.monotonic() - self.begun
        document = report(
            prepared.job,
            plan,
            made,
            facts,
            warnings,
            output=printable(named),
            seconds=seconds,
        )
        self._stage_text(as_text(document), REPORT_SUFFIX, stop)
        self.staging.bring(film, output.suffix, stop.check)
        stop.check()
        self.publication.permit()
        self.staging.reveal()
        self.log.step(
            f"published {facts.size} bytes to {named} in {time.monotonic() - publishing:.2f} s"
        )
        self.meter.stage(Stage.DONE)
        return Rendered(
            output=output,
            named=named,
            report=output.with_suffix(REPORT_SUFFIX),
            contact_sheet=output.with_suffix(SHEET_SUFFIX),
            chapter_list=chapter_path,
            log_folder=self.log.folder,
            job=prepared.job,
            plan=plan,
            made=made,
            film=facts,
            skipped=prepared.skipped,
            cached=len(made.cached),
            rendered=len(made.rendered),
            warnings=tuple(document["warnings"]),
            seconds=seconds,
        )

    def _contact_sheet(self, plan: Plan, pieces: Pieces, stop: StopSignal) -> Path:
        thumbs, keys = [], {}
        for item in plan.items:
            middle = item.picture[len(item.picture) // 2]
            caption = f"{item.position}  {item.title}"
            path = pieces.film / segment_name(middle)
            keys[path] = pieces.made.key(middle)
            thumbs.append(sheet.Thumb(path, len(middle.frames) // 2, caption))
        made = self.work / "sheet.jpg"
        stamps = SegmentStamps(self.using.cache, keys)
        sheet.contact_sheet(thumbs, packaged(CAPTION_PACKAGE)[0], made, stop.check, stamps)
        return made

    def _stage_text(self, text: str, suffix: str, stop: StopSignal) -> None:
        made = self.work / f"text{suffix}"
        made.write_bytes(text.encode("utf-8", "surrogateescape"))
        self.staging.bring(made, suffix, stop.check)

    def _chapter_list(self, plan: Plan, stop: StopSignal) -> tuple[Place | None, list[Problem]]:
        if not self.job.chapters:
            return None, []
        listing = youtube_list(_chapters(plan), frames=plan.frames)
        target = self.output.with_suffix(CHAPTERS_SUFFIX)
        self._stage_text(listing, CHAPTERS_SUFFIX, stop)
        if youtube_shows(listing):
            return target, []
        return target, [Problem(code="few_chapters", warning=True, field="chapters",
                                message="YouTube shows chapters only where there are three or more",
                                remedy="Each has to last ten seconds; shorter ones were joined")]  # fmt: skip


def _chapters(plan: Plan) -> Sequence[Chapter]:
    return chapters_of(plan.items)
