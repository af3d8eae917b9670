"""Links to an SMB server: one TCP connection with one user's session, for one thread.

smbprotocol's own pool is shared by all of a process: sessions get from one user to another there, and from a
process to its forks. So each thread has a link of its own here, which nobody else sees. It is closed when its
thread has ended and no file is open on it any more, and left alone after a fork, where it is still the
parent's.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from smbprotocol.exceptions import SMBException, SMBResponseException
from smbprotocol.open import Open
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from .smb_errors import is_away, told, unreachable
from .smb_wire import ANSWER_SECONDS, WireConnection

CONNECT_SECONDS = 10.0
_REFUSED_SECONDS = 30.0
_FORKED = "opened before this process was forked"
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where to log in and as whom. ``user`` may be ``DOMAIN\\user``. Shows no password."""

    host: str
    port: int = 445
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    domain: str | None = None
    encrypt: bool = False
    answer_seconds: float = ANSWER_SECONDS

    @property
    def login(self) -> str | None:
        """The user's full name, with the domain if there is one."""
        if not self.user:
            return None
        if "@" in self.user or not self.domain:
            return self.user.replace("/", "\\")
        own = self.user.replace("/", "\\").rpartition("\\")[2]
        return f"{self.domain}\\{own}"

    @property
    def server(self) -> str:
        """How the server is called in messages."""
        return f"//{self.host}" if self.port == 445 else f"//{self.host}:{self.port}"


class Link:
    """A connection with its session. Raises OSError."""

    def __init__(self, account: Account) -> None:
        self.answer_seconds = account.answer_seconds
        self._account = account
        self._pid = os.getpid()
        self._trees: dict[str, TreeConnect] = {}
        self._broken = False
        self.connection = _connected(account)
        weakref.finalize(self, _close, self.connection, self._pid)
        with told(account.server):
            self._session = _logged_in(self.connection, account)

    @property
    def usable(self) -> bool:
        """Whether it can be tried; that an idle server has gone shows when it is."""
        mine = self._pid == os.getpid()
        return mine and not self._broken and self.connection.transport.connected

    def drop(self) -> None:
        """Never use it again."""
        self._broken = True
        _close(self.connection, self._pid)

    @contextmanager
    def told(self, named: str) -> Iterator[None]:
        """Raise what goes wrong inside as an OSError about ``named``; a server that went away ends the link."""
        try:
            with told(named):
                if self._pid != os.getpid():
                    raise ConnectionAbortedError(errno.ECONNABORTED, _FORKED)
                yield
        except OSError as error:
            if is_away(error):
                self.drop()
            raise

    def opened(self, share: str, path: str) -> Open:
        """A file of a share, still to be opened. ``path`` is separated as the server does it."""
        tree = self._tree(share)
        return Open(tree, f"{self._account.host}\\{share}\\{path}" if tree.is_dfs_share else path)

    def send(self, file: Open, message: Any, credit: int, data: memoryview | None = None) -> Any:
        """Ask for something without waiting for the answer; ``data`` is what is to be written."""
        session, tree = self._session, file.tree_connect
        if data is not None:
            return self.connection.write(message, data, session, tree, credit)
        return self.connection.send(message, session.session_id, tree.tree_connect_id, credit)

    def together(self, file: Open, *asked: tuple[Any, Any]) -> list[Any]:
        """Ask for several things in one message; all answers, or the first refusal."""
        messages: Sequence[Any] = [message for message, _ in asked]
        tree = file.tree_connect.tree_connect_id
        sent = self.connection.send_compound(messages, self._session.session_id, tree, related=True)
        answers, refusal = [], None
        for request, (_, receive) in zip(sent, asked, strict=True):
            try:
                answers.append(receive(request))
            except SMBResponseException as error:  # the other answers have to be taken as well
                refusal = refusal or error
        if refusal:
            raise refusal
        return answers

    def _tree(self, share: str) -> TreeConnect:
        tree = self._trees.get(share)
        if tree is None:
            tree = TreeConnect(self._session, f"\\\\{self._account.host}\\{share}")
            tree.connect()
            self._trees[share] = tree
        return tree


class Links:
    """The links of all threads, one for each.

    A user who was not let in does not try again for a while, in no thread: a wrong password that is tried for every
    file of a job has the account locked.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._own = threading.local()
        self._refused_until = 0.0
        self._refusal = ""

    def link(self) -> tuple[Link, bool]:
        """This thread's link, and whether it is a new one."""
        link: Link | None = getattr(self._own, "link", None)
        if link is not None and link.usable:
            return link, False
        self._own.link = None  # before the new one: a server may allow for few connections
        self._own.link = link = self._new()
        return link, True

    def _new(self) -> Link:
        if time.monotonic() < self._refused_until:
            raise OSError(errno.EPERM, self._refusal, self._account.server)
        try:
            return Link(self._account)
        except PermissionError as error:
            self._refusal = error.strerror or str(error)
            self._refused_until = time.monotonic() + _REFUSED_SECONDS
            raise

    def close(self) -> None:
        """Close this thread's link as soon as no file is open on it."""
        self._own.link = None


def _connected(account: Account) -> WireConnection:
    connection = WireConnection(uuid.uuid4(), account.host, account.port)
    connection.answer_seconds = account.answer_seconds
    try:
        with told(account.server):
            connection.connect(timeout=min(CONNECT_SECONDS, account.answer_seconds))
    except ValueError as error:
        raise unreachable(error, account.server) from error
    except OSError:
        _close(connection, os.getpid())
        raise
    _tune(connection.transport._sock, account.answer_seconds)
    return connection


def _tune(sock: socket.socket, seconds: float) -> None:
    """Let nothing be sent for ever, and let the system notice a server that went away while idle."""
    with suppress(OSError):  # it is closed already: whoever uses it first sees that
        sock.settimeout(seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _logged_in(connection: WireConnection, account: Account) -> Session:
    session = Session(
        connection, account.login, account.password, require_encryption=account.encrypt
    )
    try:
        session.connect()
    except (SMBException, OSError):
        _close(connection, os.getpid())
        raise
    finally:
        session.password = None  # it is not needed any more
    return session


def _close(connection: WireConnection, pid: int) -> None:
    """Hang up, without a word to the server and without waiting: this may be any thread.

    The thread that receives sees the end and closes the socket. A fork has no such thread; it lets go of
    its copy of the socket and does not hang up for its parent.
    """
    sock = getattr(connection.transport, "_sock", None)
    if sock is None:
        return
    with suppress(OSError):  # closed by the server before
        if pid == os.getpid():
            sock.shutdown(socket.SHUT_RDWR)
        else:
            sock.close()
