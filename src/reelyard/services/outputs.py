"""Where a film goes: its files' names, and whether they can and may be there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reelyard.domain.errors import OutOfDisk, OutputUnusable, ReelyardError, printable
from reelyard.domain.job import Job
from reelyard.files.distant import DistantPath, PlaceFailed
from reelyard.files.probing import probe_in
from reelyard.files.publishing import (
    Place,
    Staging,
    local,
    remove_stagings,
    withdraw,
)

from .films import Films
from .storage import storage_error

REPORT_SUFFIX = ".report.json"
SHEET_SUFFIX = ".contact-sheet.jpg"
CHAPTERS_SUFFIX = ".chapters.txt"
SETTING = "REELYARD_OUTPUT_DIR"
FILMS_ROOM = f"Make room there, or let {SETTING} name another place"


P = TypeVar("P", bound=Place)


def check_output(
    output: Place, job: Job, job_file: Path | None = None, films: Films | None = None
) -> None:
    """Raises OutputUnusable if the film or a file beside it can't or must not go there."""
    if output.suffix.lower() != ".mp4":
        raise OutputUnusable(f"{output.name} is not an MP4's name", remedy="Let it end in .mp4")
    films = films or Films()
    named = (path for item in job.items for path in (item.path, item.origin, item.logo_path))
    kept = [path for path in named if path]
    kept += [str(job_file)] if job_file else []
    try:
        for made in targets(output):
            if not _exists(made):
                continue
            if made.is_dir():
                raise OutputUnusable(f"{made} is a folder", remedy="Name a file in it")
            if any(_same(made, path, films) for path in kept):
                message = f"{made} is the job file or one of its sources"
                raise OutputUnusable(message, remedy="Let the film have another name")
        output.parent.mkdir(parents=True, exist_ok=True)
        _write_something(output.parent)
    except PlaceFailed as error:
        raise output_error(error) from error
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{output} can't be written: {reason}"
        raise OutputUnusable(message, remedy="Name another file") from error


def _exists(place: Place) -> bool:
    """Unlike pathlib's, raises OSError for a name that can't be one, or a link that goes nowhere."""
    if isinstance(place, DistantPath):
        return place.exists()
    try:
        local(place).stat()
    except FileNotFoundError:
        return False
    return True


def _write_something(folder: Place) -> None:
    """Raises OSError where nothing can be written."""
    if isinstance(folder, DistantPath):
        with probe_in(folder):
            pass
    else:
        with tempfile.TemporaryFile(dir=local(folder)):
            pass


def targets(output: P) -> list[P]:
    """The film and everything that may lie beside it."""
    return [output, *map(output.with_suffix, (REPORT_SUFFIX, SHEET_SUFFIX, CHAPTERS_SUFFIX))]


def _same(one: Place, other: str, films: Films) -> bool:
    try:
        if isinstance(one, DistantPath):
            return str(one).casefold() == films.table.canonical(other).casefold()
        found = films.table.locate(other)  # a name on a share may be a path here
        return isinstance(found, str) and local(one).samefile(found)
    except (OSError, ValueError, RuntimeError):
        return False  # probing the source says what is wrong with it


def token_text(token: int) -> str:
    """A fencing token as part of a name; names sort as tokens do."""
    return f"{token:06d}"


def remove_output(output: Place, token: int, is_over: Callable[[], bool]) -> bool:
    """Take a film, what lies beside it and what was staged for it away, for a job that is over.

    ``token`` is the newest there was; ``is_over`` is asked again for each file. Returns whether there
    was any.
    """
    removed = remove_stagings(output, token_text(token + 1))
    aside = Staging(output, f"{token_text(token)}-over")
    try:
        gone = [withdraw(path, aside, is_over) for path in targets(output) if _exists(path)]
    finally:
        aside.discard()
    return removed or any(gone)


def output_error(error: OSError) -> ReelyardError:
    """What went wrong where a film goes, in words for operators."""
    if not isinstance(error, PlaceFailed):
        return storage_error(error)
    where, reason = printable(str(error.filename)), error.strerror
    if error.is_full:
        return OutOfDisk(f"there is no room for {where}",
                         remedy=FILMS_ROOM)  # fmt: skip
    if error.is_refusal:
        return OutputUnusable(f"{where} can't be written: {reason}",
                              remedy="Check what its row in REELYARD_SHARES says of user, password and "
                                     f"rights, or let {SETTING} name another place")  # fmt: skip
    if error.is_unknown:
        return OutputUnusable(f"{where} can't be reached: {reason}",
                              remedy=f"Correct {SETTING}, or make the share on its server")  # fmt: skip
    return OutputUnusable(f"{where} can't be reached: {reason}",
                          remedy="Check that its server runs and can be reached from this machine")  # fmt: skip
