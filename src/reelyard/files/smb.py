"""SMB shares that are mounted nowhere on this machine, as an fsspec file system.

Paths are ``/share/folder/file``. What goes wrong is an OSError with the number that a mounted share would give
(``smb_errors``). Any thread may use it, and any fork: each gets a link of its own (``smb_link``).

Looking and opening for reading is tried a second time if the thread's old link turns out to be broken.
What changes something is not: nobody knows whether the first try did it.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from smbprotocol.open import Open

from . import smb_calls
from .smb_errors import is_away
from .smb_file import Reader, Writer
from .smb_link import Account, Link, Links
from .smb_wire import ANSWER_SECONDS

_T = TypeVar("_T")


class SmbFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The shares of one server, as one user sees them. Shows no password."""

    protocol = "smb"
    cachable = False  # fsspec would keep it, with its password, for whoever asks in the same words
    root_marker = "/"

    def __init__(
        self,
        host: str,
        port: int = 445,
        user: str | None = None,
        password: str | None = None,
        domain: str | None = None,
        encrypt: bool = False,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__()
        self._account = Account(
            host=host, port=port, user=user, password=password, domain=domain,
            encrypt=encrypt, answer_seconds=answer_seconds,
        )  # fmt: skip
        self._links = Links(self._account)
        _quieten()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._account!r})"

    def __reduce__(self) -> Any:
        raise TypeError("It has a password, and is made where it is used")

    @property
    def storage_options(self) -> dict[str, Any]:
        """Nothing: fsspec would keep the password there, and write it down with the rest."""
        return {}

    @storage_options.setter
    def storage_options(self, given: object) -> None: ...

    @property
    def storage_args(self) -> tuple[Any, ...]:
        return ()

    @storage_args.setter
    def storage_args(self, given: object) -> None: ...

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if not isinstance(path, str):
            return [cls._strip_protocol(one) for one in path]
        if path.startswith("smb://"):
            path = path.removeprefix("smb://").partition("/")[2]
        return f"/{path.strip('/')}"

    def unstrip_protocol(self, name: str) -> str:
        """With the server, as others have files of the same path."""
        return f"smb:{self._named(name)}"

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return self._looking(path, lambda link, file: smb_calls.look(path, link, file))

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Raises OSError where that can't be told: a server that is away has not lost its files."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.info(path)
            return True
        return False

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        found = [self.info(path)]
        if found[0]["type"] == "directory":
            found = self._looking(path, lambda link, file: smb_calls.listed(path, link, file))
        return found if detail else [one["name"] for one in found]

    def modified(self, path: str) -> Any:
        return self.info(path)["modified"]

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Raises FileExistsError."""
        parent = self._parent(path)
        if create_parents and parent.count("/") > 1:
            self.makedirs(parent, exist_ok=True)
        self._changing(path, smb_calls.make_folder)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it; others may be making them at the same time."""
        share, *folders = self._strip_protocol(path).strip("/").split("/")
        for count in range(1, len(folders) + 1):
            try:
                self._changing("/".join([share, *folders[:count]]), smb_calls.make_folder)
            except FileExistsError:
                if count == len(folders) and not (exist_ok and self.isdir(path)):
                    raise

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self._changing(path, lambda link, file: smb_calls.remove(link, file, folder=True))

    def rm_file(self, path: str) -> None:
        self._changing(path, lambda link, file: smb_calls.remove(link, file, folder=False))

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and folders with all that is in them if ``recursive``."""
        for one in [path] if isinstance(path, str) else path:
            if self.info(one)["type"] != "directory":
                self.rm_file(one)
            elif recursive:
                self.rm(self.ls(one, detail=False), recursive=True)
                self.rmdir(one)
            else:
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), self._named(one))

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Rename a file in its share, over what has the new name: at any time one of the two has it."""
        self._rename(path1, path2, over=True)

    replace = mv

    def rename(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Rename a file or folder in its share. Raises FileExistsError if the new name is taken."""
        self._rename(path1, path2, over=False)

    def free_bytes(self, path: str) -> int:
        """How much room the user has on the share that a folder, which has to be there, is on."""
        return self._looking(path, smb_calls.free_bytes)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        with self.open(path1, "rb") as source, self.open(path2, "wb") as target:
            while data := source.read(self.blocksize):
                target.write(data)

    def close(self) -> None:
        """Hang up this thread's link; its next call makes another."""
        self._links.close()

    def _rename(self, path: str, target: str, *, over: bool) -> None:
        (share, _), (other, inside) = self._split(path), self._split(target)
        if share.casefold() != other.casefold():
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), self._named(path))
        self._changing(path, lambda link, file: smb_calls.rename(link, file, inside, over=over))

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Reader | Writer:
        def read(link: Link, file: Open) -> Reader:
            smb_calls.open_to_read(link, file)
            return Reader(link, file, self._named(path))

        def write(link: Link, file: Open) -> Writer:
            smb_calls.open_to_write(link, file, new=mode == "xb")
            return Writer(link, file, self._named(path))

        if mode not in ("rb", "wb", "xb"):
            raise OSError(errno.EINVAL, f"can't be opened in mode {mode}", self._named(path))
        return self._looking(path, read) if mode == "rb" else self._changing(path, write)

    def _looking(self, path: str, act: Callable[[Link, Open], _T]) -> _T:
        """Do something that may be done twice."""
        link, new = self._links.link()
        try:
            return self._act(link, path, act)
        except OSError as error:
            if new or not is_away(error) or error.errno == errno.ETIMEDOUT:
                raise
        return self._changing(path, act)

    def _changing(self, path: str, act: Callable[[Link, Open], _T]) -> _T:
        link, _ = self._links.link()
        return self._act(link, path, act)

    def _act(self, link: Link, path: str, act: Callable[[Link, Open], _T]) -> _T:
        share, inside = self._split(path)
        with link.told(self._named(path)):
            return act(link, link.opened(share, inside))

    def _split(self, path: str) -> tuple[str, str]:
        """The share, and the path in it as the server writes it. Raises OSError for no possible name."""
        parts = [part for part in path.split("/") if part]
        if not parts or not _possible(parts):
            raise OSError(errno.EINVAL, "no file on a share can have this name", self._named(path))
        return parts[0], "\\".join(parts[1:])

    def _named(self, path: str) -> str:
        return f"{self._account.server}{self._strip_protocol(path)}"


def _quieten() -> None:
    """smbprotocol tells of each message at INFO. Who wants that sets its level."""
    for name in ("smbprotocol", "spnego"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def _possible(parts: Sequence[str]) -> bool:
    """Names are UTF-16 for the server, and nothing in them may lead elsewhere."""
    try:
        "".join(parts).encode("utf-16-le")
    except UnicodeEncodeError:
        return False
    return not any(part in (".", "..") or "\\" in part or "\0" in part for part in parts)
