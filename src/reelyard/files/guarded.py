"""Any of fsspec's file systems, with errors as the operating system has them.

Drivers raise what their libraries do: botocore's errors, aiohttp's, paramiko's, or an OSError without a number. Who
copies from a share wants to know one thing of an error: what it means. So each becomes an OSError with
a number, with a text of one line in which no secret is.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

_BY_KIND: tuple[tuple[type[OSError], int], ...] = (
    (FileNotFoundError, errno.ENOENT),
    (PermissionError, errno.EACCES),
    (FileExistsError, errno.EEXIST),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
    (TimeoutError, errno.ETIMEDOUT),
    (ConnectionRefusedError, errno.ECONNREFUSED),
    (ConnectionError, errno.ECONNRESET),
)
_BY_WORDS = (
    (re.compile("time(d )?.?out", re.IGNORECASE), errno.ETIMEDOUT),
    (re.compile("credential|auth|permission|forbidden", re.IGNORECASE), errno.EACCES),
    (re.compile("connect", re.IGNORECASE), errno.EHOSTUNREACH),
)
_SECRET = re.compile("key|secret|pass|token|auth|cred|sas|conn_str|connection_string", re.IGNORECASE)  # fmt: skip
_LONGEST = 300


class Guarded(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What copying, publishing and storing need of a file system.

    ``options`` are those it was made with; ``uploading`` are more of them, for ``put_file``. ``reader`` opens
    a file for reading in a better way than the file system's own. ``patient`` makes another one that waits longer, for
    what the store does by itself.
    """

    cachable = False

    def __init__(
        self,
        fs: AbstractFileSystem,
        options: Mapping[str, Any] | None = None,
        uploading: Mapping[str, Any] | None = None,
        reader: Callable[[AbstractFileSystem, str], Any] | None = None,
        patient: Callable[[], AbstractFileSystem] | None = None,
    ) -> None:
        super().__init__()
        self._fs = fs
        self._secrets = secrets_in(options or {})
        self._uploading = dict(uploading or {})
        self._reader = reader
        self._patient = patient
        self.protocol = fs.protocol

    @property
    def driver(self) -> AbstractFileSystem:
        """The file system itself, for what only one of its kind can do; in a block of ``told``."""
        return self._fs

    @cached_property
    def patient_driver(self) -> AbstractFileSystem:
        """The same for what takes the store long."""
        return self._fs if self._patient is None else self._patient()

    def told(self, path: str) -> AbstractContextManager[None]:
        return self._told(path)

    def __reduce__(self) -> Any:
        raise TypeError("It may have secrets, and is made where it is used")

    @property
    def storage_options(self) -> dict[str, Any]:
        """Nothing: fsspec would keep the secrets there, and write them down with the rest."""
        return {}

    @storage_options.setter
    def storage_options(self, given: object) -> None: ...

    @property
    def storage_args(self) -> tuple[Any, ...]:
        return ()

    @storage_args.setter
    def storage_args(self, given: object) -> None: ...

    def open(self, path: str, mode: str = "rb", **options: Any) -> _File:
        """A file of bytes: to read from, to seek in, to write to."""
        with self._told(path):
            if mode == "rb" and self._reader is not None:
                file = self._reader(self._fs, path)
            else:
                file = self._fs.open(path, mode, **options)
            return _File(file, lambda: self._told(path))

    def info(self, path: str, **options: Any) -> Any:
        return self._call("info", path, **options)

    def exists(self, path: str, **options: Any) -> bool:
        """Unlike fsspec's own, raises where that can't be told."""
        try:
            self.info(path, **options)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        return self._call("ls", path, detail=detail, **options)

    def find(self, path: str, **options: Any) -> Any:
        return self._call("find", path, **options)

    def cat_file(self, path: str, **options: Any) -> Any:
        return self._call("cat_file", path, **options)

    def pipe_file(self, path: str, value: bytes, **options: Any) -> Any:
        return self._call("pipe_file", path, value, **options)

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        self._call("get_file", rpath, lpath, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        with self._told(rpath):
            self._fs.put_file(lpath, rpath, **{**self._uploading, **options})

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        self._call("mv", path1, path2, **options)

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        self._call("cp_file", path1, path2, **options)

    def rm_file(self, path: str) -> None:
        self._call("rm_file", path)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        self._call("mkdir", path, create_parents=create_parents, **options)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._call("makedirs", path, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        self._call("rmdir", path)

    def invalidate_cache(self, path: str | None = None) -> None:
        self._fs.invalidate_cache(path)

    def unstrip_protocol(self, name: str) -> Any:
        return self._fs.unstrip_protocol(name)

    def _call(self, name: str, path: str, *arguments: Any, **options: Any) -> Any:
        with self._told(path):
            return getattr(self._fs, name)(path, *arguments, **options)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a driver raises what it likes
            # Not chained: the driver's own error may show what this one does not.
            raise as_os_error(error, path, self._secrets) from None


class _File:
    """An open file whose errors are told in the same way."""

    def __init__(self, file: Any, told: Callable[[], Any]) -> None:
        self._file = file
        self._told = told

    def read(self, length: int = -1) -> bytes:
        with self._told():
            data: bytes = self._file.read(length)
        return data

    def write(self, data: bytes) -> int:
        with self._told():
            return int(self._file.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._told():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        with self._told():
            self._file.close()

    def discard(self) -> None:
        """Close without completing what was written: an upload in parts is broken off."""
        with self._told():
            if isinstance(self._file, AbstractBufferedFile):
                self._file.discard()
                self._file.closed = True  # else whoever collects it would complete it
            else:
                self._file.close()

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_os_error(error: Exception, path: str, secrets: list[str]) -> OSError:
    """What an error of a driver means, as an OSError with a number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OSError(_number(error), masked(text, secrets), path)


def masked(text: str, secrets: Iterable[str]) -> str:
    """A line of a text, without the secrets, of which the longest comes first."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:_LONGEST]


def _number(error: Exception) -> int:
    """Its own, or what its kind says, or its name."""
    if isinstance(error, OSError):
        if isinstance(error.errno, int):
            return error.errno
        known = next((number for kind, number in _BY_KIND if isinstance(error, kind)), None)
        if known is not None:
            return known
    what = type(error).__name__
    return next((number for words, number in _BY_WORDS if words.search(what)), errno.EIO)


def secrets_in(options: Mapping[str, Any]) -> list[str]:
    """All of them once, the longest first: one may hold another."""
    return sorted(set(secrets_of(options)), key=len, reverse=True)


def secrets_of(options: Mapping[str, Any], named: bool = False) -> Iterator[str]:
    """The values of what looks like a secret by its name, however deep."""
    for name, value in options.items():
        secret = named or bool(_SECRET.search(str(name)))
        if isinstance(value, Mapping):
            yield from secrets_of(value, secret)
        elif isinstance(value, list | tuple):
            yield from secrets_of({str(number): one for number, one in enumerate(value)}, secret)
        elif secret and isinstance(value, str) and value:
            yield value
