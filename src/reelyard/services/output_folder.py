"""The folder that a farm's films go to: whether it is there, and whether it can be written to."""

from __future__ import annotations

from functools import cached_property

from reelyard.domain.errors import OutputUnusable, ReelyardError
from reelyard.files.distant import DistantPath, PlaceFailed
from reelyard.files.memory import Memory
from reelyard.files.places import Places
from reelyard.files.probing import probe_in
from reelyard.files.publishing import Place, free_bytes

from .films import Films
from .findings import Finding, Verdict
from .outputs import SETTING, output_error

_ROOM = 10_000_000_000


class OutputFolder:
    """Where a farm's films go: a folder that may be a share, and may be away."""

    def __init__(self, name: str, films: Films, places: Places, memory: Memory) -> None:
        self.name = name
        self._films = films
        self._places = places
        self._memory = memory

    @cached_property
    def folder(self) -> Place:
        """Raises OutputUnusable where this machine doesn't know it."""
        return self._films.find(self.name)

    def make(self) -> None:
        """Make it once, when a worker starts. Raises OSError, OutputUnusable.

        On a share that is reached directly this has time until it is needed: nothing can be mistaken for it.
        """
        if not isinstance(self.folder, DistantPath):
            self.folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Raises OutputUnusable where it is not there, or only the mount point of a share is."""
        if isinstance(self.folder, DistantPath):
            _check_share(self.folder)
            return
        name = ("output is a share", str(self.folder))
        if not self.folder.is_dir():
            raise OutputUnusable(f"{self.folder} is not there", remedy=_MOUNT)
        if self._places.remote(str(self.folder / "film.mp4")) is not None:
            self._memory.keep(True, *name)
        elif self._memory.recall(*name):
            raise OutputUnusable(f"{self.folder} was a share, and is a folder of this machine now",
                                 remedy=_MOUNT)  # fmt: skip

    def examine(self) -> Finding:
        """Writes a small file, reads it back, renames and removes it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.check()
            with probe_in(self.folder) as probe:
                probe.replace(probe.with_name(f"{probe.name}.again")).replace(probe)
            room = free_bytes(self.folder)
        except ReelyardError as error:
            return Finding("films", Verdict.FAILED, error.message, error.remedy)
        except PlaceFailed as error:
            failure = output_error(error)
            return Finding("films", Verdict.FAILED, failure.message, failure.remedy)
        except OSError as error:
            return Finding("films", Verdict.FAILED, f"{self.folder}: {error.strerror}",
                           f"Let {SETTING} name a folder that can be written to")  # fmt: skip
        return _found(self._films.name(self.folder), room)


_MOUNT = "Check that the share is mounted on this machine"


def _check_share(folder: DistantPath) -> None:
    try:
        if folder.is_reachable():
            return
    except OSError as error:
        raise output_error(error) from error
    raise OutputUnusable(f"{folder} can't be reached: there is no such share",
                         remedy=f"Correct {SETTING}, or make the share on its server")  # fmt: skip


def _found(where: str, room: int | None) -> Finding:
    message = where if room is None else f"{where}: {room / 1e9:.1f} GB free"
    if room is not None and room < _ROOM:
        return Finding("films", Verdict.NOTE, message,
                       "Make room: a film takes 9 GB an hour, in 4K 22")  # fmt: skip
    return Finding("films", Verdict.OK, message)
