"""Uploads: people's own clips, received in pieces, looked at, and then seen under their names."""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import (
    Conflict,
    NotFound,
    OutOfDisk,
    ReelyardError,
    RequestInvalid,
    printable,
)
from reelyard.engine.probe import probe
from reelyard.files.job_log import safe_name
from reelyard.files.roots import Roots
from reelyard.files.uploads import Incoming, free_bytes, plain_name, remove_abandoned

from .clips import Clip, clip_of, is_media, natural
from .storage import storage_error

_LOG = logging.getLogger(__name__)
_LOOK_BYTES = 64_000_000  # between two looks at the disk's room
_LONGEST_NAME = 1000


class Uploads:
    """The folder of uploaded files, a folder for each person in it.

    ``limit_bytes`` is the most of one file; ``free_reserve`` bytes of the disk stay free. ``examine`` raises
    BadMedia for a file that can't be used.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        free_reserve: int,
        examine: Callable[[Path], object] = probe,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.folder = folder
        self._limit = limit_bytes
        self._reserve = free_reserve
        self._examine = examine
        self._free = free

    def receive(
        self, principal: Principal, name: str, chunks: Iterable[bytes], size: int | None = None
    ) -> Clip:
        """A whole file, chunk by chunk. Whatever goes wrong, nothing of it stays."""
        with self.begin(principal, name, size) as upload:
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish()

    def begin(self, principal: Principal, name: str, size: int | None = None) -> Upload:
        """A file that comes in pieces; to be ended by ``finish`` or ``abort``.

        Raises NotAllowed, RequestInvalid and OutOfDisk.
        """
        principal.allow(Action.UPLOAD)
        plain = plain_name(name[-_LONGEST_NAME:])
        if not is_media(plain):
            raise RequestInvalid(f"{printable(plain)} is not called as a clip or picture is",
                                 remedy="Upload a video or an image, such as clip.mp4", field="name")  # fmt: skip
        if size is not None:
            self.check_size(size)
        try:
            self.check_room(size or 0)
            incoming = Incoming(self._own(principal))
        except OSError as error:
            raise _storage(error) from error
        return Upload(self, incoming, plain, size)

    def list(self, principal: Principal) -> Sequence[Clip]:
        """One's own uploads; everybody's for those who see all."""
        principal.allow(Action.SEE_LIBRARY)
        pattern = "*/*" if principal.sees_all else f"{self._own(principal).name}/*"
        found: list[Clip] = []
        for path in self.folder.glob(pattern):
            try:
                if is_media(path.name) and _is_plain_file(path):
                    found.append(clip_of(path, path.stat()))
            except FileNotFoundError:
                continue  # deleted meanwhile
        return sorted(found, key=lambda clip: (natural(clip.name), clip.path))

    def delete(self, principal: Principal, path: str) -> None:
        """Delete an upload: one's own, or anybody's for those who see all. Raises NotFound."""
        principal.allow(Action.UPLOAD)
        roots = Roots([self.folder if principal.changes_all else self._own(principal)])
        found = roots.written(path)
        roots.contained(found)
        if not is_media(found.name) or found.name.startswith(".") or not _is_plain_file(found):
            raise NotFound(f"there is no upload {printable(path)}",
                           remedy="Choose one of the list of uploads")  # fmt: skip
        try:
            found.unlink(missing_ok=True)
        except OSError as error:
            raise _storage(error) from error

    def tidy(self) -> int:
        """Remove what broken connections left behind a day ago; how many files there were."""
        try:
            return remove_abandoned(self.folder)
        except OSError as error:
            raise _storage(error) from error

    def examine(self, path: Path) -> None:
        """Raises BadMedia for a file that can't be used."""
        self._examine(path)

    def check_size(self, size: int) -> None:
        if size > self._limit:
            raise RequestInvalid(f"a file may have {self._limit / 1e9:.1f} GB at most", field="file",
                                 remedy="Cut the clip, or copy it to a share")  # fmt: skip

    def check_room(self, size: int) -> None:
        """Raises OutOfDisk where there is no room for so many more bytes."""
        free = self._free(self.folder)
        if free < size + self._reserve:
            raise OutOfDisk(f"the disk for uploads has {free / 1e9:.1f} GB free",
                            remedy="Delete uploads that are not needed any more, or make room")  # fmt: skip

    def _own(self, principal: Principal) -> Path:
        """The person's folder. Two people never have one, whatever they are called."""
        plain = safe_name(principal.username)
        if plain != principal.username:
            mark = hashlib.sha256(principal.username.encode("utf-8", "surrogatepass")).hexdigest()
            plain = f"{plain}~{mark[:8]}"
        return self.folder / plain


class Upload:
    """One file on its way. Any thread may write, one at a time."""

    def __init__(self, uploads: Uploads, incoming: Incoming, name: str, size: int | None) -> None:
        self._uploads = uploads
        self._incoming = incoming
        self._name = name
        self._size = size
        self._looked_at = 0
        self._over = False
        self._lock = threading.Lock()

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self._incoming.size

    def write(self, chunk: bytes) -> None:
        """Take the next bytes. After an error nothing stays of the file."""
        with self._lock:
            self._check_open()
            try:
                self._check(self._incoming.size + len(chunk))
                self._incoming.write(chunk)
            except OSError as error:
                self._discard()
                raise _storage(error) from error
            except BaseException:
                self._discard()
                raise

    def finish(self) -> Clip:
        """All bytes are here: look at the file and give it its name. Raises BadMedia for one that can't
        be used, and RequestInvalid for one that is not whole."""
        with self._lock:
            self._check_open()
            try:
                return self._settled()
            except OSError as error:
                raise _storage(error) from error
            finally:
                self._discard()

    def abort(self) -> None:
        """Leave nothing. Does no harm after ``finish``."""
        with self._lock:
            self._discard()

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.abort()

    def _settled(self) -> Clip:
        if self._size not in (None, self._incoming.size):
            raise RequestInvalid(
                f"{self._incoming.size} of {self._size} bytes came",
                field="file",
                remedy="Upload it again",
            )
        self._incoming.close()
        self._uploads.examine(self._incoming.part)
        path = self._incoming.settle(self._name)
        return clip_of(path, path.stat())

    def _check(self, size: int) -> None:
        if self._size is not None and size > self._size:
            raise RequestInvalid(f"more than the {self._size} bytes came that were said",
                                 remedy="Upload it again", field="file")  # fmt: skip
        self._uploads.check_size(size)
        if size - self._looked_at >= _LOOK_BYTES:
            self._looked_at = size
            self._uploads.check_room(0)

    def _check_open(self) -> None:
        if self._over:
            raise Conflict("this upload is over", remedy="Begin again")

    def _discard(self) -> None:
        if self._over:
            return
        self._over = True
        try:
            self._incoming.discard()
        except OSError as error:
            _LOG.warning("%s is left to be tidied up: %s", self._incoming.part, error)


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _storage(error: OSError) -> ReelyardError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfDisk("the disk for uploads is full",
                         remedy="Delete uploads that are not needed any more, or make room")  # fmt: skip
    return storage_error(error)
