"""File systems in memory that fail when they are told to: a file server, which renames at once, and a store, which can't."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

SHARE = "/films"


def _well(operation: str, path: str) -> None:
    """Nothing fails."""


class FrailStore(MemoryFileSystem):  # type: ignore[misc]
    """``before`` hears of each operation and its path, ``told`` how much is read each time: both may raise.

    What is written is kept as ``keeps`` has it.
    """

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = ["", SHARE]
        self.before: Callable[[str, str], None] = _well
        self.keeps: Callable[[bytes], bytes] = bytes
        self.told: Callable[[int], object] = bool

    def _open(self, path: str, mode: str = "rb", *rest: Any, **options: Any) -> Any:
        self.before(mode, path)
        file = super()._open(path, mode, *rest, **options)
        return _Reading(self, file) if mode == "rb" else _Writing(self, path, file)

    def rm_file(self, path: str) -> None:
        self.before("remove", path)
        super()._rm(path)

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        self.before("copy", path1)
        super().cp_file(path1, path2, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self.before("ls", path)
        return super().ls(path, detail, **options)

    def info(self, path: str, **options: Any) -> Any:
        self.before("info", path)
        return super().info(path, **options)

    def names(self) -> list[str]:
        """All files there are."""
        return sorted(self.store)


class FrailServer(FrailStore):
    """Renames a file in one step, over what is there."""

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        self.before("rename", path1)
        if path1 not in self.store:
            raise FileNotFoundError(path1)
        self.store[path2] = self.store.pop(path1)


class _Reading:
    """A reader of its own for each that opens it."""

    def __init__(self, files: FrailStore, file: Any) -> None:
        self._files, self._file = files, io.BytesIO(file.getvalue())

    def read(self, length: int = -1) -> bytes:
        data = self._file.read(length)
        self._files.told(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()


class _Writing:
    """A file that is there when it is closed, and never if it is discarded."""

    def __init__(self, files: FrailStore, path: str, file: Any) -> None:
        self._files, self._path, self._file = files, path, file

    def write(self, data: Any) -> int:
        self._files.before("write", self._path)
        return int(self._file.write(data))

    def close(self) -> None:
        self._files.before("close", self._path)
        data = self._files.keeps(self._file.getvalue())
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)
        self._file.commit()

    def discard(self) -> None:
        self._files.store.pop(self._path, None)
