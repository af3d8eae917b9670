"""Where a film goes: its files' names, and whether they can and may be there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from reelyard.domain.errors import OutputUnusable
from reelyard.domain.job import Job
from reelyard.files.memory import Memory
from reelyard.files.places import Places
from reelyard.files.publishing import Staging, remove_stagings, withdraw

REPORT_SUFFIX = ".report.json"
SHEET_SUFFIX = ".contact-sheet.jpg"
CHAPTERS_SUFFIX = ".chapters.txt"


def check_output(output: Path, job: Job, job_file: Path | None = None) -> None:
    """Raises OutputUnusable if the film or a file beside it can't or must not go there."""
    if output.suffix.lower() != ".mp4":
        raise OutputUnusable(f"{output.name} is not an MP4's name", remedy="Let it end in .mp4")
    read = [path for item in job.items for path in (item.path, item.logo_path) if path]
    kept = [Path(path) for path in read] + ([job_file] if job_file else [])
    try:
        for made in targets(output):
            if not _exists(made):
                continue
            if made.is_dir():
                raise OutputUnusable(f"{made} is a folder", remedy="Name a file in it")
            if any(_same(made, path) for path in kept):
                message = f"{made} is the job file or one of its sources"
                raise OutputUnusable(message, remedy="Let the film have another name")
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass  # it can be written to
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{output} can't be written: {reason}"
        raise OutputUnusable(message, remedy="Name another file") from error


def _exists(path: Path) -> bool:
    """Unlike pathlib's, raises OSError for a name that can't be one, or a link that goes nowhere."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def targets(output: Path) -> list[Path]:
    """The film and everything that may lie beside it."""
    return [output, *map(output.with_suffix, (REPORT_SUFFIX, SHEET_SUFFIX, CHAPTERS_SUFFIX))]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError, RuntimeError):
        return False  # probing the source says what is wrong with it


def token_text(token: int) -> str:
    """A fencing token as part of a name; names sort as tokens do."""
    return f"{token:06d}"


def remove_output(output: Path, token: int, is_over: Callable[[], bool]) -> bool:
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


class OutputFolder:
    """Where a farm's films go: a folder that may be a share, and may be away."""

    def __init__(self, folder: Path, places: Places, memory: Memory) -> None:
        self.folder = folder
        self._places = places
        self._memory = memory

    def make(self) -> None:
        """Make it once, when a worker starts. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raises OutputUnusable where it is not there, or only the mount point of a share is."""
        name = ("output is a share", str(self.folder))
        if not self.folder.is_dir():
            raise OutputUnusable(f"{self.folder} is not there", remedy=_MOUNT)
        if self._places.remote(str(self.folder / "film.mp4")) is not None:
            self._memory.keep(True, *name)
        elif self._memory.recall(*name):
            raise OutputUnusable(f"{self.folder} was a share, and is a folder of this machine now",
                                 remedy=_MOUNT)  # fmt: skip


_MOUNT = "Check that the share is mounted on this machine"
