"""What an SMB server refuses, and how it goes away, as the OSError that a mounted share would raise.

Who reads it decides by ``errno``:

- ``EPERM``: the server does not let this user in (name, password, account)
- ``ENXIO``: the server has no such share
- ``EACCES``, ``EROFS``: the user is known and may not do this
- what ``is_away`` knows: the server can't be reached, or went away in the middle
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from smbprotocol.exceptions import (
    SMBAuthenticationError,
    SMBException,
    SMBOSError,
    SMBResponseException,
)

_LOST = {
    0xC00000C9: "the share was taken away",
    0xC0000128: "the server closed the file",
    0xC0000203: "the server ended the session",
    0xC000020C: "the server closed the connection",
    0xC000035C: "the session expired",
}
_REFUSED = {
    0xC0000064, 0xC000006A, 0xC000006D, 0xC000006E, 0xC000006F, 0xC0000070, 0xC0000071, 0xC0000072,
    0xC000015B, 0xC0000193, 0xC0000224, 0xC0000234,
}  # fmt: skip
_NUMBERS = {
    0xC000000D: errno.EINVAL, 0xC000000F: errno.ENOENT, 0xC0000010: errno.EINVAL,
    0xC0000022: errno.EACCES, 0xC0000033: errno.EINVAL, 0xC0000034: errno.ENOENT,
    0xC0000035: errno.EEXIST, 0xC0000039: errno.EINVAL, 0xC000003A: errno.ENOENT,
    0xC000003B: errno.EINVAL, 0xC0000043: errno.EBUSY, 0xC0000044: errno.EDQUOT,
    0xC0000056: errno.ENOENT, 0xC0000061: errno.EACCES, 0xC000007F: errno.ENOSPC,
    0xC000009A: errno.EBUSY, 0xC00000A2: errno.EROFS, 0xC00000B5: errno.ETIMEDOUT,
    0xC00000BA: errno.EISDIR, 0xC00000BB: errno.EOPNOTSUPP, 0xC00000CC: errno.ENXIO,
    0xC00000CE: errno.EBUSY, 0xC00000D0: errno.EBUSY, 0xC00000D4: errno.EXDEV,
    0xC0000101: errno.ENOTEMPTY, 0xC0000103: errno.ENOTDIR, 0xC0000106: errno.ENAMETOOLONG,
    0xC0000121: errno.EACCES, 0xC0000205: errno.EBUSY, 0xC0000225: errno.ENOENT,
    0xC0000466: errno.EBUSY,
}  # fmt: skip
_WORDS = {
    errno.EBUSY: "in use, or the server is too busy",
    errno.ENXIO: "the server has no share of this name",
}
_AWAY = {
    errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN, errno.EPIPE, errno.ETIMEDOUT,
}  # fmt: skip
_AWAY |= {getattr(errno, name) for name in ("EHOSTDOWN",) if hasattr(errno, name)}


def is_away(error: OSError) -> bool:
    """Whether it is about the server and not about what it was asked for."""
    return error.errno in _AWAY


@contextmanager
def told(named: str) -> Iterator[None]:
    """Raise what smbprotocol raises inside as an OSError about ``named``."""
    try:
        yield
    except (SMBException, OSError) as error:
        raise translated(error, named) from error


def translated(error: Exception, named: str) -> OSError:
    """The OSError that an exception of smbprotocol stands for."""
    if isinstance(error, SMBResponseException | SMBOSError):
        status = error.ntstatus if isinstance(error, SMBOSError) else error.status
        return _refusal(status, named)
    if isinstance(error, OSError):
        return _system(error, named)
    if isinstance(error, SMBAuthenticationError):
        return OSError(errno.EPERM, "no way to log in: a user and a password are needed", named)
    if "timeout" in str(error):
        return OSError(errno.ETIMEDOUT, "the server does not answer", named)
    if "encryption" in str(error):  # it can't encrypt, or lets the user in as a guest only
        return OSError(errno.EPERM, f"the server does not let the user in: {error}", named)
    return OSError(errno.ECONNRESET, f"the connection broke: {error}", named)


def unreachable(error: ValueError, named: str) -> OSError:
    """What a connection that can't be made means; smbprotocol hides the reason behind a ValueError."""
    cause = error.__cause__
    if isinstance(cause, PermissionError):  # a firewall of this machine's: not the server's answer
        return OSError(errno.EHOSTUNREACH, str(cause), named)
    if isinstance(cause, OSError):
        return _system(cause, named)
    return OSError(errno.EHOSTUNREACH, str(error), named)


def _refusal(status: int, named: str) -> OSError:
    if status in _LOST:
        return OSError(errno.ECONNRESET, _LOST[status], named)
    if status in _REFUSED:
        text = "the server does not let the user in: unknown name, wrong password or closed account"
        return OSError(errno.EPERM, f"{text} (0x{status:08X})", named)
    number = _NUMBERS.get(status)
    if number is None:
        return OSError(errno.EIO, f"the server answers 0x{status:08X}", named)
    return OSError(number, _WORDS.get(number) or os.strerror(number), named)


def _system(error: OSError, named: str) -> OSError:
    if isinstance(error, socket.gaierror):
        return OSError(errno.EHOSTUNREACH, "nobody knows the server's name", named)
    if isinstance(error, TimeoutError):
        return OSError(errno.ETIMEDOUT, "the server does not answer", named)
    if error.errno == errno.EBADF:  # the thread that receives closed it just now
        return OSError(errno.ECONNRESET, "the connection broke", named)
    number = error.errno or errno.EIO
    return OSError(number, error.strerror or str(error) or os.strerror(number), named)
