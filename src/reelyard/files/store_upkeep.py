"""Keeping a segment store in its limit, which any machine may do, and one at a time is enough.

Object stores don't know when something was last used. So each job leaves a list of what it used, and the time of that list
is the time of use. Whoever trims reads all the lists, writes one of what is left to say, and drops the others.

Two who trim at once see the same and drop the same: nothing is lost but their time. What they write has a name of its own.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # not for those who have no store

_EVERY_SECONDS = 3600.0
_ABANDONED_SECONDS = 24 * 3600.0
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")
_REFUSALS = 20
_AWAY = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    name: str
    size: int
    written: float


@dataclass(frozen=True, slots=True)
class Upkeep:
    """``write`` puts bytes under a path, at once."""

    fs: AbstractFileSystem
    root: str
    write: Callable[[AbstractFileSystem, bytes, str], None]

    def note_uses(self, names: Collection[str]) -> None:
        self._leave_list({name: None for name in names})

    def is_due(self) -> bool:
        """Whether nobody trims or trimmed within the hour; then that is this process' task, and noted."""
        mark = f"{self.root}/trimmed"
        self.fs.invalidate_cache()
        with suppress(FileNotFoundError):
            if time.time() - _written(self.fs.info(mark)) < _EVERY_SECONDS:
                return False
        by = {"host": socket.gethostname(), "pid": os.getpid()}
        self.write(self.fs, json.dumps(by).encode(), mark)
        return True

    def trim(self, limit: int) -> int:
        """Drop what was used least recently until the rest fits; the bytes freed. Raises OSError."""
        self.fs.invalidate_cache()
        lists = list(self._files(f"{self.root}/uses"))
        uses = self._uses(lists)
        entries = {one.name: one for one in self._entries()}
        excess = sum(one.size for one in entries.values()) - limit
        order = sorted(entries.values(), key=lambda one: max(one.written, uses.get(one.name, 0.0)))
        freed = refused = 0
        for entry in order:
            if freed >= excess:
                break
            dropped = self._drop(entry.path)
            freed += entry.size * dropped
            refused += not dropped
            if refused > _REFUSALS:
                raise OSError(errno.EACCES, "it does not let entries be removed")
            del entries[entry.name]
        self._merge(lists, {name: at for name, at in uses.items() if name in entries})
        return freed

    def _entries(self) -> Iterator[_Entry]:
        """Folder by folder: all names at once would not be little."""
        horizon = time.time() - _ABANDONED_SECONDS
        for folder in self._list(f"{self.root}/entries"):
            for one in self._files(folder["name"]):
                if not one.name.endswith(".part"):
                    yield one
                elif one.written < horizon:  # of somebody who was killed
                    self._drop(one.path)

    def _uses(self, lists: Collection[_Entry]) -> dict[str, float]:
        """When entries were used last, as far as it was noted."""
        found: dict[str, float] = {}
        for one in lists:
            for name, when in self._read_list(one.path).items():
                at = when if isinstance(when, int | float) else one.written
                found[name] = max(at, found.get(name, 0.0))
        return found

    def _merge(self, lists: Collection[_Entry], uses: Mapping[str, float]) -> None:
        if len(lists) < 2:
            return
        if uses:
            self._leave_list(uses)
        for one in lists:
            self._drop(one.path)

    def _leave_list(self, uses: Mapping[str, float | None]) -> None:
        path = f"{self.root}/uses/{uuid.uuid4().hex}.json"
        self.write(self.fs, json.dumps(dict(uses)).encode(), path)

    def _read_list(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.fs.cat_file(path))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}  # somebody merged it, or it is damaged: the entries seem older than they are
        return found if isinstance(found, dict) else {}

    def _drop(self, path: str) -> bool:
        """Whether it is gone by this: not where somebody reads it just now."""
        try:
            self.fs.rm_file(path)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return True

    def _files(self, folder: str) -> Iterator[_Entry]:
        for info in self._list(folder):
            if info.get("type") == "file":
                name = str(info["name"]).rpartition("/")[2]
                yield _Entry(info["name"], name, int(info.get("size") or 0), _written(info))

    def _list(self, folder: str) -> list[dict[str, Any]]:
        try:
            return list(self.fs.ls(folder, detail=True))
        except _AWAY:
            return []


def _written(info: Mapping[str, Any]) -> float:
    """When it was written, in seconds since 1970 by the store's clock; 0 where it doesn't say."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return 0.0
