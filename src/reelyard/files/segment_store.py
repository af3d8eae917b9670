"""The segment store: rendered segments that all machines share, in a folder or in an object store.

    root/entries/ab/ab12….mp4   the bytes, the note, how long the note is: one object, so it is there whole or not
    root/uses/<any>.json        which entries were used; the time of that is the object's own
    root/trimmed                when it was last kept in its limit, and by whom
    root/this-is-reelyards      what tells this store from others, and a folder from the mount point of a share that is not mounted

A note has the size and the SHA-256 of the bytes, and they are compared on each use: what is damaged is dropped, and made again.
Whoever puts a segment a second time
replaces like with like.

A store costs a job nothing. Whatever fails or takes too long is given up and logged, and the store is not asked again for
a while; ``get`` has nothing then, and ``put`` does nothing.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reelyard.domain.errors import ReelyardError

from . import atomic
from .breaker import Breaker, NotAsked
from .packed import pack, unpacked
from .store_upkeep import Upkeep

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # not for those who have no store

_LOG = logging.getLogger(__name__)
_SECONDS = 20.0
_OWN = "this-is-reelyards"
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}


def _nothing() -> None:
    """Nobody stops it."""


class SegmentStore:
    """Segments under their content keys. Safe for many threads and many machines at once.

    ``fs`` gives the file system that ``root`` is a folder of; ``name`` is what people call it. ``limit`` is in bytes.
    ``recall`` and ``keep`` remember, for this machine, which folders it has been, the last one last.
    """

    def __init__(
        self,
        fs: Callable[[], AbstractFileSystem],
        root: str,
        limit: int,
        *,
        name: str,
        seconds: float = _SECONDS,
        recall: Callable[[], object] = lambda: None,
        keep: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.limit = limit
        self._make_fs = fs
        self._root = root.rstrip("/") or "/"
        self._recall = recall
        self._keep = keep
        self._lock = threading.Lock()
        self._breaker = Breaker(seconds)
        self._opened: tuple[int, AbstractFileSystem] | None = (
            None  # by process: forks need their own
        )

    @property
    def trouble(self) -> str | None:
        """Why it is not asked just now; None where it works as far as anybody knows."""
        return self._breaker.trouble

    def identity(self) -> str | None:
        """What no other store is called, whatever machine asks; None where it can't be reached just now."""
        try:
            return str(self._ask(self._identify))
        except OSError as error:
            self._log(error)
            return None

    def _identify(self, fs: AbstractFileSystem) -> str:
        try:
            return _text(fs.cat_file(self._mark))
        except (
            FileNotFoundError
        ):  # an object store that was not asked before: a folder has it since it was opened
            fs.pipe_file(self._mark, uuid.uuid4().hex.encode())
            return _text(fs.cat_file(self._mark))

    def holds(self, key: str, suffix: str, check: Callable[[], None] = _nothing) -> bool:
        """Whether there is an entry; its bytes are looked at on use only."""
        try:
            return bool(self._ask(lambda fs: fs.exists(self._path(key, suffix)), check))
        except OSError as error:
            self._log(error)
            return False

    def get(
        self, key: str, suffix: str, into: Path, check: Callable[[], None] = _nothing
    ) -> dict[str, Any] | None:
        """Fetch an entry into a file; its facts, None where there is none that is whole."""
        part = into.with_name(f".{into.name}.{uuid.uuid4().hex}.part")
        try:
            self._ask(lambda fs: fs.get_file(self._path(key, suffix), str(part)), check)
            facts = unpacked(part, key, suffix)
            if facts is None:
                _LOG.warning("%s: %s%s is damaged, and dropped", self.name, key, suffix)
                self._ask(lambda fs: fs.rm_file(self._path(key, suffix)), check)
                return None
            part.replace(into)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log(error)
            return None
        finally:
            with suppress(OSError):  # whoever was abandoned may still be writing it
                part.unlink(missing_ok=True)
        return facts

    def put(
        self,
        key: str,
        suffix: str,
        made: Path,
        facts: Mapping[str, Any],
        check: Callable[[], None] = _nothing,
    ) -> bool:
        """Add a finished, checked file; whether it is there now."""
        if self._breaker.is_open:
            return False
        packed = made.with_name(f".{made.name}.{uuid.uuid4().hex}.packed")
        try:
            pack(made, packed, key, suffix, facts)
            self._ask(lambda fs: self._place(fs, packed, self._path(key, suffix)), check)
        except OSError as error:
            self._log(error)
            return False
        finally:
            with suppress(OSError):
                packed.unlink(missing_ok=True)
        return True

    def used(self, names: Collection[str]) -> None:
        """Note that entries (key and suffix) were used, here or in this machine's own cache."""
        if not names:
            return
        try:
            self._ask(lambda fs: self._upkeep(fs).note_uses(names))
        except OSError as error:
            self._log(error)

    def trim(self, *, now: bool = False) -> int | None:
        """Drop the least recently used entries until the rest fits the limit; the bytes freed.

        None where somebody did so within the hour (unless ``now``), or the store is away. Takes its time.
        """
        try:
            upkeep = self._ask(self._upkeep)
            return upkeep.trim(self.limit) if now or upkeep.is_due() else None
        except OSError as error:
            self._log(error)
            return None

    def try_out(self) -> float:
        """Put something, get it, take it away; the seconds that took. Raises OSError."""
        begun = time.monotonic()
        path = self._path(uuid.uuid4().hex * 2, ".probe")
        self._breaker.call(lambda: self._probe(self._open(), path))
        return time.monotonic() - begun

    def _probe(self, fs: AbstractFileSystem, path: str) -> None:
        parent = path.rpartition("/")[0]
        if not self._is_object_store(fs):
            fs.makedirs(parent, exist_ok=True)
        with suppress(FileNotFoundError):
            fs.cat_file(path)
        fs.pipe_file(path, b"Reelyard")
        if fs.cat_file(path) != b"Reelyard":
            raise OSError(errno.EIO, "it does not give back what was put there")
        fs.ls(parent, detail=True)
        fs.rm_file(path)

    def _ask(
        self,
        call: Callable[[AbstractFileSystem], Any],
        check: Callable[[], None] = _nothing,
    ) -> Any:
        return self._breaker.call(lambda: call(self._open()), check)

    def _open(self) -> AbstractFileSystem:
        with self._lock:
            process = os.getpid()
            if self._opened and self._opened[0] == process and self._breaker.trouble is None:
                return self._opened[1]
            fs = self._connected()
            if not self._is_object_store(fs):
                self._recognise(fs)
            self._opened = process, fs
            return fs

    def _connected(self) -> AbstractFileSystem:
        """Raises OSError, for settings that are wrong as well: a job can do without."""
        try:
            return self._make_fs()
        except ReelyardError as error:
            raise OSError(errno.EINVAL, str(error)) from error

    def _recognise(self, fs: AbstractFileSystem) -> None:
        """See that a folder is the one it was, or one that was never seen. Raises OSError where it has no mark any
        more, or that of an earlier one: a share that is not mounted leaves a folder, too, perhaps one that was the
        store before it was first mounted, and that would fill up this machine's own disk."""
        known = _list_of(self._recall())
        try:
            found = _text(fs.cat_file(self._mark))
        except FileNotFoundError:
            if known:
                raise _not_mounted() from None
            found = uuid.uuid4().hex
            fs.makedirs(self._root, exist_ok=True)
            fs.pipe_file(self._mark, found.encode())
        if found in known[:-1]:
            raise _not_mounted()
        if found not in known:
            self._keep([*known, found])

    @property
    def _mark(self) -> str:
        return f"{self._root}/{_OWN}"

    def _upkeep(self, fs: AbstractFileSystem) -> Upkeep:
        return Upkeep(fs, self._root, self._place_bytes)

    def _path(self, key: str, suffix: str) -> str:
        return f"{self._root}/entries/{key[:2]}/{key}{suffix}"

    def _place(self, fs: AbstractFileSystem, made: Path, path: str) -> None:
        if self._is_object_store(fs):
            fs.put_file(str(made), path)  # such a store has an object when all of it has come
        else:
            self._by_renaming(fs, path, lambda temporary: fs.put_file(str(made), temporary))

    def _place_bytes(self, fs: AbstractFileSystem, data: bytes, path: str) -> None:
        if self._is_object_store(fs):
            fs.pipe_file(path, data)
        else:
            self._by_renaming(fs, path, lambda temporary: fs.pipe_file(temporary, data))

    def _by_renaming(
        self, fs: AbstractFileSystem, path: str, write: Callable[[str], object]
    ) -> None:
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        if not fs.exists(self._mark):
            raise _not_mounted()
        fs.makedirs(folder, exist_ok=True)
        try:
            write(temporary)
            _rename(fs, temporary, path)
        except OSError:
            with suppress(OSError):
                fs.rm_file(temporary)
            raise

    def _is_object_store(self, fs: AbstractFileSystem) -> bool:
        return not _OBJECT_STORES.isdisjoint(_protocols(fs))

    def _log(self, error: OSError) -> None:
        if not isinstance(error, NotAsked):
            what = error.strerror or error
            _LOG.warning("the segment store %s can't be used just now: %s", self.name, what)


def _protocols(fs: AbstractFileSystem) -> Collection[str]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol


def _rename(fs: AbstractFileSystem, old: str, new: str) -> None:
    """Over what is there. In folders of this machine fsspec would copy where Windows does not rename."""
    if "file" in _protocols(fs):
        atomic.replace(Path(old), Path(new))
    else:
        getattr(fs, "replace", fs.mv)(old, new)


def _text(mark: bytes) -> str:
    return mark.decode("ascii", "replace").strip()


def _list_of(remembered: object) -> list[str]:
    """Versions before this one remembered the last alone."""
    return (
        [str(one) for one in remembered]
        if isinstance(remembered, list)
        else [str(remembered)] * bool(remembered)
    )


def _not_mounted() -> OSError:
    return OSError(errno.ENODEV, "the folder is not what it was: is its share mounted?")
