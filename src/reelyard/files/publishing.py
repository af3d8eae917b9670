"""Publishing: a film and the files beside it appear under their names whole, the film last.

They are first brought into a staging folder beside their places, on the same file system:

    out/.film.1f2e3d4c.TOKEN.publishing/film.mp4, film.report.json, ...

The folder carries the token of whoever publishes. The next owner of a job removes the folders of all
older tokens before it does anything else, and a rename out of a folder that is gone fails. So an owner that was
replaced, and wakes up between its last look at its lease and the rename, can't publish any more:
the file system itself turns it away.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from . import atomic

_SUFFIX = ".publishing"


class Staging:
    """One publisher's staging folder for ``output``. Use once."""

    def __init__(self, output: Path, token: str) -> None:
        self._output = output
        self.folder = output.parent / f"{_prefix(output)}{token}{_SUFFIX}"
        self._staged: list[Path] = []

    def place(self, suffix: str) -> Path:
        """Where a file that is to be ``output`` with another suffix is staged."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / self._output.with_suffix(suffix).name
        self._staged.append(place)
        return place

    def bring(self, made: Path, suffix: str, check: Callable[[], None]) -> None:
        """Stage a finished file."""
        atomic.move(made, self.place(suffix), check)

    def reveal(self) -> None:
        """Give everything its name, in the order in which it was staged. Raises FileNotFoundError
        when a later owner has taken the folder away."""
        for place in self._staged:
            place.replace(self._output.with_name(place.name))
        self.discard()

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_stagings(output: Path, before: str) -> bool:
    """Take the staging folders of publishers of ``output`` away whose tokens sort before ``before``.

    Returns whether there were any. Raises OSError where one can't be removed: then its publisher is not
    turned away.
    """
    found = [folder for folder in _stagings(output) if _token(output, folder) < before]
    for folder in found:
        with suppress(FileNotFoundError):  # its own publisher was quicker
            shutil.rmtree(folder)
    return bool(found)


def withdraw(path: Path, staging: Staging, is_over: Callable[[], bool]) -> bool:
    """Take a published file away if its job is over; whether it was taken away.

    It is moved aside first and looked at then. So whoever was asleep in between can't take away what a
    later owner of the job has published meanwhile: that is put back, or was never touched.
    """
    aside = staging.folder / path.name
    try:
        staging.folder.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
    except FileNotFoundError:
        return False
    over = is_over()
    if not over and not path.exists():
        aside.rename(path)
    aside.unlink(missing_ok=True)
    return over


def _stagings(output: Path) -> Iterator[Path]:
    prefix = _prefix(output)
    if output.parent.is_dir():
        for path in output.parent.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(_SUFFIX):
                yield path


def _token(output: Path, folder: Path) -> str:
    return folder.name.removeprefix(_prefix(output)).removesuffix(_SUFFIX)


def _prefix(output: Path) -> str:
    """Short whatever the film's name, and no other film's."""
    own = hashlib.sha256(output.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f".{output.stem[:40]}.{own}."
