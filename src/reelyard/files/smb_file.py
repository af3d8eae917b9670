"""Files that are open on an SMB server.

One request at a time leaves the network idle while its answer is looked at. So a few requests are under way
at once: reading goes ahead of who reads in order, writing does not wait until the server has written.
What one request moves is small enough to stay in the processor's cache on its way through smbprotocol,
which copies it several times.
"""

from __future__ import annotations

import errno
import io
import os
import time
from collections import deque
from contextlib import AbstractContextManager
from typing import Any

from smbprotocol.exceptions import SMBResponseException
from smbprotocol.open import Open

from .smb_link import Link

PIECE = 4 << 20
"""Bytes that are asked for at once; reading in pieces of this size copies the least."""
_AHEAD = 4
_UNIT = 1 << 16  # what one of the server's credits is good for
_SPARE = 64
_LOOK_SECONDS = 0.001
_END_OF_FILE = 0xC0000011


class _Handle(io.RawIOBase):
    """What reading and writing have in common: requests under way, answered in order."""

    def __init__(self, link: Link, file: Open, named: str, largest: int) -> None:
        super().__init__()
        self.name = named
        self._link = link
        self._file = file
        self._piece = min(PIECE, largest)
        self._sent: deque[tuple[Any, Any, int]] = deque()
        self._position = 0

    def __del__(self) -> None:
        """Not closed here, unlike other files: this may be any thread, and the server may not answer.
        The server closes it when the link ends."""

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Close it on the server. Raises OSError if something that was under way has failed."""
        if self.closed:
            return
        try:
            self._settle()
        finally:
            super().close()
            if self._link.usable:
                with self._told():
                    self._file.close()

    def _settle(self) -> None:
        """Wait for all answers."""

    def _send(self, asked: tuple[Any, Any], length: int, data: memoryview | None = None) -> None:
        message, receive = asked
        request = self._link.send(self._file, message, -(-length // _UNIT) + _SPARE, data)
        self._sent.append((request, receive, length))

    def _affordable(self, length: int) -> int:
        """How much of this the server's credits are good for just now."""
        connection = self._link.connection
        credit: int = connection.sequence_window["high"] - connection.sequence_window["low"]
        return min(length, _UNIT * (credit if connection.supports_multi_credit else min(credit, 1)))

    def _wait_for_credit(self) -> None:
        """Other files of this thread may have used all of it; it comes back with their answers."""
        give_up = time.monotonic() + self._link.answer_seconds
        while not self._affordable(1):
            if time.monotonic() > give_up:
                raise TimeoutError
            time.sleep(_LOOK_SECONDS)

    def _told(self) -> AbstractContextManager[None]:
        return self._link.told(self.name)


class Reader(_Handle):
    """A file being read, of the size that it had when it was opened."""

    def __init__(self, link: Link, file: Open, named: str) -> None:
        super().__init__(link, file, named, link.connection.max_read_size)
        self.size: int = file.end_of_file
        self._asked = 0  # up to here
        self._ahead = 1  # who reads only the beginning does not get more than a piece
        self._piece_here = memoryview(b"")
        self._data = self._piece_here  # what of it was not taken yet

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        if base + offset != self._position:
            self._settle()
            self._position = self._asked = base + offset
            self._data, self._ahead = self._data[:0], 1
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """As much as is asked for, less only at the end of the file."""
        wanted = max(0, self.size - self._position) if size is None or size < 0 else size
        parts = []
        while wanted and (part := self._take(wanted)):
            parts.append(bytes(part))
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        into = memoryview(buffer).cast("B")
        part = self._take(len(into))
        into[: len(part)] = part
        return len(part)

    def _take(self, most: int) -> memoryview:
        """Some of what comes next, good until the next call; nothing at the end."""
        if not self._data and most:
            used, self._piece_here = self._piece_here, memoryview(b"")  # given back once
            self._link.connection.transport.give_back(used)
            self._piece_here = self._data = self._next(most)
        part, self._data = self._data[:most], self._data[most:]
        self._position += len(part)
        return part

    def _next(self, most: int) -> memoryview:
        """The next piece from the server; nothing at the end."""
        with self._told():
            self._ask(most)
            if not self._sent:
                return memoryview(b"")
            data, length = self._answer()
        if len(data) < length:  # the file is shorter now, or the server gave less than it could
            self._settle()
            self._asked = self._position + len(data)
        self._ahead = min(self._ahead + 1, _AHEAD)
        return data

    def _ask(self, most: int) -> None:
        """Have requests under way. The first is for no more than is wanted."""
        while len(self._sent) < self._ahead and self._asked < self.size:
            length = min(self._piece, self.size - self._asked)
            if not self._sent:
                if self._ahead == 1:
                    length = min(length, max(most, _UNIT))
                self._wait_for_credit()
                length = self._affordable(length)
            elif self._affordable(length) < length:
                break
            self._send(self._file.read(self._asked, length, send=False), length)
            self._asked += length

    def _answer(self) -> tuple[memoryview, int]:
        """What came for the oldest request, and how much was asked for."""
        request, receive, length = self._sent.popleft()
        try:
            data = receive(request)
        except SMBResponseException as error:
            if error.status != _END_OF_FILE:
                raise
            return memoryview(b""), length
        apart = self._link.connection.taken(request)
        return (memoryview(data) if apart is None else apart), length

    def _settle(self) -> None:
        """Answers that nobody takes would be kept until the link ends."""
        while self._sent and self._link.usable:
            with self._told():
                self._answer()
        self._sent.clear()


class Writer(_Handle):
    """A file being written, in order. What fails is told by a later call, by ``close`` at the latest."""

    def __init__(self, link: Link, file: Open, named: str) -> None:
        super().__init__(link, file, named, link.connection.max_write_size)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """All of it is under way then."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        with self._told():
            while rest:
                while len(self._sent) >= _AHEAD:
                    self._answer()
                rest = rest[self._put(rest) :]
        return length

    def flush(self) -> None:
        """Wait until the server has taken everything."""
        self._settle()

    def sync(self) -> None:
        """Wait until everything is on the server's disk."""
        self._settle()
        with self._told():
            self._file.flush()

    def _put(self, rest: memoryview) -> int:
        """Send the first piece of this; how much it was."""
        while self._sent and self._affordable(self._piece) < min(self._piece, len(rest)):
            self._answer()
        self._wait_for_credit()
        piece = rest[: self._affordable(min(self._piece, len(rest)))]
        message, receive = self._file.write(b"", self._position, send=False)
        message["length"] = len(piece)
        self._send((message, receive), len(piece), piece)
        self._position += len(piece)
        return len(piece)

    def _answer(self) -> None:
        request, receive, length = self._sent.popleft()
        written = receive(request)
        if written != length:
            raise OSError(errno.EIO, f"the server took {written} of {length} bytes", self.name)

    def _settle(self) -> None:
        failure: OSError | None = None
        while self._sent:
            try:
                with self._told():
                    self._answer()
            except OSError as error:  # the other answers have to be taken as well
                failure = failure or error
        if failure:
            raise failure
