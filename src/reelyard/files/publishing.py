"""Publishing: a film and the files beside it appear under their names whole, the film last.

They are first brought into a staging folder beside their places, on the same file system:

    out/.film.1f2e3d4c.TOKEN.publishing/film.mp4, film.report.json, ...

The folder carries the token of whoever publishes. The next owner of a job removes the folders of all
older tokens before it does anything else, and a rename out of a folder that is gone fails. So an owner that was
replaced, and wakes up between its last look at its lease and the rename, can't publish any more:
the file system itself turns it away.

A place is a path of this machine or a ``DistantPath``: the names are the same, so a machine that has a share mounted
and one that reaches it directly turn each other's publishers away. On a file server the promise is the same. An object
store has no rename: it copies the staged object to its place and deletes it. A copy of what is gone fails as well, and
up to five gigabytes it is one step. Above, S3 copies in pieces, and the next owner aborts such a copy as well. Where a
store can't list what is unfinished, a publisher that sleeps after the last piece and before its completion shows its film
late: one of the same job, whole, and checked.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from . import atomic
from .distant import DistantPath

_SUFFIX = ".publishing"


class Place(Protocol):
    """Where a film or a file beside it goes. Paths of this machine are such, and ``DistantPath``."""

    @property
    def name(self) -> str: ...
    @property
    def stem(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def parent(self) -> Self: ...
    def with_name(self, name: str) -> Self: ...
    def with_suffix(self, suffix: str) -> Self: ...
    def __truediv__(self, name: str) -> Self: ...
    def exists(self) -> bool: ...
    def is_file(self) -> bool: ...
    def is_dir(self) -> bool: ...
    def iterdir(self) -> Iterator[Self]: ...
    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None: ...
    def replace(self, target: Self) -> Self: ...
    def unlink(self, missing_ok: bool = False) -> None: ...


class Staging:
    """One publisher's staging folder for ``output``. Use once."""

    def __init__(self, output: Place, token: str) -> None:
        self._output = output
        self.folder = output.parent / f"{_prefix(output)}{token}{_SUFFIX}"
        self._staged: list[Place] = []
        self._is_made = False

    def make(self) -> None:
        self._is_made = True
        self.folder.mkdir(parents=True, exist_ok=True)

    def place(self, suffix: str) -> Place:
        """Where a file that is to be ``output`` with another suffix is staged."""
        self.make()
        place = self.folder / self._output.with_suffix(suffix).name
        self._staged.append(place)
        return place

    def bring(self, made: Path, suffix: str, check: Callable[[], None]) -> None:
        """Stage a finished file; ``check`` is called again and again meanwhile, and raises to stop it."""
        place = self.place(suffix)
        if isinstance(place, DistantPath):
            place.put(made, check)
        else:
            atomic.move(made, local(place), check)

    def reveal(self) -> None:
        """Give everything its name, in the order in which it was staged. Raises FileNotFoundError
        when a later owner has taken the folder away."""
        for place in self._staged:
            target = self._output.with_name(place.name)
            if isinstance(place, Path):
                atomic.replace(place, local(target))
            else:
                place.replace(target)
        self.discard()

    def discard(self) -> None:
        """Take it away; a place that fails meanwhile keeps it until the next owner comes."""
        if isinstance(self.folder, DistantPath):
            with suppress(OSError):
                if self._is_made:  # else there is no need to ask
                    self.folder.remove_tree()
        else:
            shutil.rmtree(local(self.folder), ignore_errors=True)


def remove_stagings(output: Place, before: str) -> bool:
    """Take the staging folders of publishers of ``output`` away whose tokens sort before ``before``.

    Returns whether there were any. Raises OSError where one can't be removed: then its publisher is not
    turned away.
    """
    found = [folder for folder in _stagings(output) if _token(output, folder) < before]
    for folder in found:
        _remove(folder)
    if isinstance(output, DistantPath):
        output.end_uploads()
    return bool(found)


def withdraw(path: Place, staging: Staging, is_over: Callable[[], bool]) -> bool:
    """Take a published file away if its job is over; whether it was taken away.

    It is moved aside first and looked at then. So whoever was asleep in between can't take away what a
    later owner of the job has published meanwhile: that is put back, or was never touched. So is it where
    nobody can tell: what ``is_over`` raises goes through.
    """
    aside = staging.folder / path.name
    try:
        staging.make()
        if isinstance(path, DistantPath) and not path.moves_at_once:
            return _withdraw_object(path, path.parent / staging.folder.name / path.name, is_over)
        path.replace(aside)
    except FileNotFoundError:
        return False
    over = False
    try:
        over = is_over()
    finally:
        if not over and not path.exists():
            aside.replace(path)
        aside.unlink(missing_ok=True)
    return over


def _withdraw_object(path: DistantPath, aside: DistantPath, is_over: Callable[[], bool]) -> bool:
    """Where nothing can be moved aside: copied, looked at, deleted, and looked at again.

    Whoever sleeps just before the deletion takes away what a later owner published, and puts the copy of
    the earlier film of the same job in its place.
    """
    path.copy(aside)
    try:
        if not is_over():
            return False
        path.unlink()
        over = False
        try:
            over = is_over()
        finally:
            if not over and not path.exists():
                aside.copy(path)
        return over
    finally:
        aside.unlink(missing_ok=True)


def is_there(folder: Place) -> bool:
    """Whether what is in a folder can be told just now: a share that is not mounted has none."""
    return folder.is_reachable() if isinstance(folder, DistantPath) else folder.is_dir()


def free_bytes(folder: Place) -> int | None:
    """How much room there is; None where nobody can tell."""
    return folder.free_bytes() if isinstance(folder, DistantPath) else shutil.disk_usage(local(folder)).free  # fmt: skip


def local(place: Place) -> Path:
    """The path of what is on this machine."""
    assert isinstance(place, Path), f"{place} is no path"
    return place


def _remove(folder: Place) -> None:
    if isinstance(folder, DistantPath):
        folder.remove_tree()
        return
    while True:
        try:
            shutil.rmtree(local(folder))
            return
        except FileNotFoundError:
            # Its publisher is showing its files just now: one went meanwhile, and the others may follow.
            if not folder.exists():
                return


def _stagings(output: Place) -> Iterator[Place]:
    prefix, parent = _prefix(output), output.parent
    if isinstance(parent, DistantPath):
        found: Iterator[Place] = parent.folders(prefix)
    else:
        found = parent.iterdir() if parent.is_dir() else iter(())
    for path in found:
        if path.name.startswith(prefix) and path.name.endswith(_SUFFIX):
            yield path


def _token(output: Place, folder: Place) -> str:
    return folder.name.removeprefix(_prefix(output)).removesuffix(_SUFFIX)


def _prefix(output: Place) -> str:
    """Short whatever the film's name, and no other film's."""
    own = hashlib.sha256(output.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f".{output.stem[:40]}.{own}."
