"""Every error a user can meet.

    ReelyardError                 base: code, exit_code, message
    ├── JobRejected               the job can't be rendered as it stands: a list of problems
    ├── BadMedia                  one source can't be used (carries one Problem's worth of context)
    ├── FFmpegFailed              FFmpeg ended badly although the source looked sound
    │   └── FFmpegStalled         no progress for the configured time: killed
    ├── EncoderUnavailable        the encoder that was asked for does not work here
    │   └── GraphicsCardBusy      the card does no more encodes at once
    ├── OutputRejected            a segment or film does not match its plan; it is not shown
    ├── OutputUnusable            the film can't or must not go where it was asked to
    ├── OutOfDisk                 too little room for what the job needs
    ├── StorageFailed             the disk or the operating system refused something
    ├── SettingsInvalid           a setting makes no sense
    ├── JobUnknown                no job is known by that name
    │   └── JobConflict           it is in no state for that
    ├── WorkerUnknown             no worker is known by that name
    │   └── WorkerConflict        it is in no state for that
    ├── NotFound                  no file, user, token, template, ... is known by that name
    ├── Conflict                  it is there already, or something else stands against it
    ├── RequestInvalid            what was asked for makes no sense
    ├── NotSignedIn               nobody knows who asks
    ├── NotAllowed                who asks may not do that
    ├── TooManyRequests           too often: later
    ├── FarmUnavailable           a part of the farm can't be reached: it may come back
    │   ├── DatabaseUnavailable
    │   ├── BrokerUnavailable
    │   ├── SupabaseUnavailable
    │   └── SourcesUnavailable    a share is gone
    └── Cancelled                 somebody stopped the job

A message says what is wrong and a remedy says what to do; both are written for a channel
operator. Exit codes: 2 = bad input, 130 = cancelled, 1 = anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class ReelyardError(Exception):
    """Base of all errors that Reelyard raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}." if self.remedy else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a job, found before or while it is rendered.

    ``position`` is the item's place in the job, counted from 1; None is the job itself.
    ``file`` is the source as the user named it. ``warning`` problems stop nothing.
    """

    code: str
    message: str
    remedy: str
    position: int | None = None
    field: str | None = None
    file: str | None = None
    warning: bool = False

    def __str__(self) -> str:
        where = "job" if self.position is None else f"item {self.position}"
        if self.field:
            where += f", {printable(self.field)}"
        if self.file:
            where += f", {printable(self.file)}"
        message = printable(self.message).rstrip(".")
        return f"{where}: {message}. {printable(self.remedy)}."


class JobRejected(ReelyardError):
    """The job can't be rendered as it stands; ``problems`` names every reason at once."""

    code = "job_rejected"
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.position or 0))
        super().__init__("\n".join(map(str, self.problems)))


class BadMedia(ReelyardError):
    """One source can't be used. The caller knows which item named it."""

    code = "bad_media"
    exit_code = 2

    def __init__(self, message: str, *, remedy: str, reason: str = "bad_media") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class FFmpegFailed(ReelyardError):
    """FFmpeg ended badly. ``tail`` holds the last lines that it wrote."""

    code = "ffmpeg_failed"

    def __init__(self, message: str, *, tail: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message, remedy=remedy or "ffmpeg_stderr.txt in the job's log has it all")
        self.tail = tuple(tail)


class FFmpegStalled(FFmpegFailed):
    """FFmpeg made no progress for too long and was killed."""

    code = "ffmpeg_stalled"


class EncoderUnavailable(ReelyardError):
    """The encoder that was asked for failed its test encode."""

    code = "encoder_unavailable"
    exit_code = 2


class GraphicsCardBusy(EncoderUnavailable):
    """The graphics card does no more encodes at once, or has no memory left for one."""

    code = "graphics_card_busy"
    exit_code = 1


class OutputRejected(ReelyardError):
    """Something was made that does not match its plan. Nobody gets to see it."""

    code = "output_rejected"


class OutputUnusable(ReelyardError):
    """The film can't or must not go where it was asked to."""

    code = "output_unusable"
    exit_code = 2


class OutOfDisk(ReelyardError):
    """The disk has no room for what the job needs."""

    code = "out_of_disk"


class StorageFailed(ReelyardError):
    """The disk or the operating system refused something."""

    code = "storage_failed"


class SettingsInvalid(ReelyardError):
    """A setting makes no sense."""

    code = "settings_invalid"
    exit_code = 2


class JobUnknown(ReelyardError):
    """No job is known by that name, or what was asked for can't be done in its state."""

    code = "job_unknown"
    exit_code = 2


class JobConflict(JobUnknown):
    """The job is in no state for what was asked for, or another one has its key."""

    code = "job_conflict"


class WorkerUnknown(ReelyardError):
    """No worker is known by that name."""

    code = "worker_unknown"
    exit_code = 2


class WorkerConflict(WorkerUnknown):
    """The worker is in no state for what was asked for."""

    code = "worker_conflict"


class NotFound(ReelyardError):
    """No file, user, token, template, webhook or draft is known by that name."""

    code = "not_found"
    exit_code = 2


class Conflict(ReelyardError):
    """It is there already, or something else stands against it."""

    code = "conflict"
    exit_code = 2


class RequestInvalid(ReelyardError):
    """What was asked for makes no sense. ``field`` is what to correct."""

    code = "request_invalid"
    exit_code = 2

    def __init__(self, message: str, *, remedy: str = "", field: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class NotSignedIn(ReelyardError):
    """Nobody knows who asks."""

    code = "not_signed_in"
    exit_code = 2


class NotAllowed(ReelyardError):
    """Who asks may not do that."""

    code = "not_allowed"
    exit_code = 2


class TooManyRequests(ReelyardError):
    """It was asked for too often. ``retry_after`` is in seconds."""

    code = "too_many_requests"

    def __init__(self, message: str, *, remedy: str = "", retry_after: int = 60) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class FarmUnavailable(ReelyardError):
    """A part of the farm can't be reached. It may come back, so what needs it may wait."""

    code = "farm_unavailable"


class DatabaseUnavailable(FarmUnavailable):
    """The database can't be reached, or is busy for longer than anybody can wait."""

    code = "database_unavailable"


class BrokerUnavailable(FarmUnavailable):
    """The broker can't be reached. Nothing is lost: jobs wait in the database."""

    code = "broker_unavailable"


class SupabaseUnavailable(FarmUnavailable):
    """Supabase's part that knows people can't be reached, or is not set up for what is asked."""

    code = "supabase_unavailable"


class SourcesUnavailable(FarmUnavailable):
    """The folder or share that sources lie on can't be reached from here."""

    code = "sources_unavailable"


class CatalogueUnavailable(FarmUnavailable):
    """The file that says where videos are is gone, or makes no sense."""

    code = "catalogue_unavailable"


class BigQueryUnavailable(FarmUnavailable):
    """BigQuery can't be reached, does not let us in, or lacks a table that is needed."""

    code = "bigquery_unavailable"


class BigQueryRefused(BigQueryUnavailable):
    """BigQuery does not take what it was sent."""

    code = "bigquery_refused"


class Cancelled(ReelyardError):
    """Somebody stopped the job."""

    code = "cancelled"
    exit_code = 130

    def __init__(
        self, message: str = "stopped; a second run takes up where this one ended"
    ) -> None:
        super().__init__(message)


def printable(text: str) -> str:
    """The text on one line of printable characters: file names may hold anything."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)
