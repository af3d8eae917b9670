"""Files that are either there and whole, or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

_BLOCK = 1 << 20
_IN_USE = (5, 32)  # Windows: access denied, sharing violation
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)


def _nothing() -> None:
    """Nobody stops it."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that nobody can see half-done, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace(
    made: Path,
    path: Path,
    rename: Callable[[Path, Path], object] = Path.replace,
    pauses: Iterable[float] = _PAUSES,
) -> None:
    """Rename over whatever is there.

    On Windows that fails as long as somebody has either file open: a reader, a virus scanner. Most are done at once.
    """
    for pause in pauses:
        try:
            rename(made, path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(pause)
    rename(made, path)


def remove(path: Path, unlink: Callable[[Path], object] = Path.unlink) -> bool:
    """Remove a file if it is there; False where Windows keeps it because somebody has it open."""
    try:
        unlink(path)
    except FileNotFoundError:
        return True
    except PermissionError as error:
        if getattr(error, "winerror", None) not in _IN_USE:
            raise
        return False
    return True


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def move(made: Path, path: Path, check: Callable[[], None] = _nothing) -> None:
    """Move a finished file to its place, over what is there; across file systems by a copy.

    ``check`` is called again and again while bytes are copied, and raises to stop it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if made.stat().st_dev == path.parent.stat().st_dev:
        replace(made, path)
        return
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        if _copy(made, temporary, check) != digest(temporary, check):
            raise OSError(f"{path.parent} did not take the file whole")
        replace(temporary, path)
        made.unlink()
    finally:
        temporary.unlink(missing_ok=True)


def _copy(made: Path, path: Path, check: Callable[[], None]) -> str:
    """Copy the bytes; their SHA-256 as they were read."""
    found = hashlib.sha256()
    with made.open("rb", buffering=0) as source, path.open("xb") as target:
        while block := source.read(_BLOCK):
            check()
            found.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    return found.hexdigest()


def link(path: Path, name: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links."""
    try:
        os.link(path, name)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, name)


def digest(path: Path, check: Callable[[], None] = _nothing) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            check()
            found.update(block)
    return found.hexdigest()
