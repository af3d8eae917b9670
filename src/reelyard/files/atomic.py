"""Files that are either there and whole, or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1 << 20


def _nothing() -> None:
    """Nobody stops it."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that nobody can see half-done, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def move(made: Path, path: Path, check: Callable[[], None] = _nothing) -> None:
    """Move a finished file to its place, over what is there; across file systems by a copy.

    ``check`` is called again and again while bytes are copied, and raises to stop it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if made.stat().st_dev == path.parent.stat().st_dev:
        made.replace(path)
        return
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        if _copy(made, temporary, check) != digest(temporary, check):
            raise OSError(f"{path.parent} did not take the file whole")
        temporary.replace(path)
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
