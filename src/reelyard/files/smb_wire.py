"""smbprotocol's connection, made quick for large files and impatient with servers that don't answer.

smbprotocol copies each message about ten times between the socket and who reads or writes, into memory that is new each
time. That takes more of the processor than everything else together. So the bytes of files go past it: it makes and
takes apart messages without them, and here they are put in and taken out, where messages are sent and received. A
message's signature is about its bytes as well, so those of such messages are made and checked here. What is
encrypted goes the ordinary way.
"""

from __future__ import annotations

import hmac
import selectors
import struct
import threading
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from smbprotocol import Dialects
from smbprotocol.connection import Connection, SigningAlgorithms
from smbprotocol.exceptions import SMBConnectionClosed, SMBException
from smbprotocol.header import Commands, Smb2Flags
from smbprotocol.structure import Structure
from smbprotocol.transport import Tcp

ANSWER_SECONDS = 30.0
_HEAD = 80  # a header of 64 bytes, and 16 of an answer to a request to read
_LARGEST = 1 << 24  # what the four bytes before a message can tell of its length
_FLAGS, _NUMBER, _SIGNATURE = slice(16, 20), slice(24, 32), slice(48, 64)
_PROTOCOL = b"\xfeSMB"
_BUFFERS = 8


class Transport(Tcp):  # type: ignore[misc]
    """Messages over TCP, each with its length before it."""

    def __init__(self, server: str, port: int, timeout: float | None = None) -> None:
        super().__init__(server, port, timeout)
        self.came: dict[int, memoryview] = {}
        """The bytes that came for requests to read, by the message's number."""
        self.going: tuple[memoryview, Callable[[bytes], bytes]] | None = None
        """The bytes that the next request to write is about, and what signs it."""
        self._buffers: list[bytearray] = []

    def send(self, header: bytes | Structure) -> None:
        head = header if isinstance(header, bytes) else header.pack()
        with self._sock_lock:
            if self.going is None or _command(head) != Commands.SMB2_WRITE:
                self._sock.sendall(struct.pack(">L", len(head)) + head)
                return
            (data, sign), self.going = self.going, None
            self._sock.sendall(struct.pack(">L", len(head) + len(data)) + sign(head))
            self._sock.sendall(data)

    def give_back(self, data: memoryview) -> None:
        """Let a buffer be used again: new memory costs more than what is copied into it."""
        if len(self._buffers) < _BUFFERS and isinstance(data.obj, bytearray):
            self._buffers.append(data.obj)

    def recv(self, timeout: float) -> bytes:
        """The next message; nothing once the connection has ended. TimeoutError where none begins."""
        if not self._begins(timeout) or (begin := self._bytes(4)) is None:
            return self._ended()
        length = int.from_bytes(begin, "big")
        if length >= _LARGEST:
            raise ConnectionAbortedError("this is no SMB server")
        head = self._bytes(min(length, _HEAD))
        if head is None:
            return self._ended()
        left = length - len(head)
        apart = _is_data(head, left)
        rest = self._bytes(left, self._buffer(left) if apart else None)
        if rest is None:
            return self._ended()
        if not apart:
            return bytes(head) + bytes(rest)
        self.came[int.from_bytes(head[_NUMBER], "little")] = rest
        return bytes(head)

    def _begins(self, timeout: float) -> bool:
        if not self.connected:
            return False
        with selectors.DefaultSelector() as selector:  # select() can't do files above number 1024
            selector.register(self._sock, selectors.EVENT_READ)
            if not selector.select(max(timeout, 1)):
                raise TimeoutError
        return True

    def _buffer(self, length: int) -> bytearray | None:
        while self._buffers:
            if len(buffer := self._buffers.pop()) >= length:
                return buffer
        return None

    def _bytes(self, length: int, buffer: bytearray | None = None) -> memoryview | None:
        """This many bytes; None if the connection ends before. Anything else would leave it out of step."""
        data = memoryview(buffer or bytearray(length))[:length]
        rest = data
        try:
            while rest:
                count = self._sock.recv_into(rest)
                if not count:
                    return None
                rest = rest[count:]
        except TimeoutError as error:
            raise ConnectionAbortedError("a message broke off") from error
        except ConnectionError:
            return None
        return data

    def _ended(self) -> bytes:
        self.close()
        return b""


class WireConnection(Connection):  # type: ignore[misc]
    """A connection on which nobody waits for an answer for ever."""

    answer_seconds = ANSWER_SECONDS
    _transport: Transport | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._writing = threading.Lock()

    @property
    def transport(self) -> Any:
        return self._transport

    @transport.setter
    def transport(self, made: Tcp | None) -> None:
        """smbprotocol makes one of its own kind and is given one of this."""
        self._transport = made and Transport(made.server, made.port, made.timeout)

    def receive(self, request: Any, *arguments: Any, **options: Any) -> Any:
        options["timeout"] = options.get("timeout") or self.answer_seconds
        try:
            return super().receive(request, *arguments, **options)
        except (SMBException, OSError):
            raise
        except Exception as error:  # what the thread that receives died of may be anything
            raise SMBConnectionClosed(f"{type(error).__name__}: {error}") from error

    def write(self, message: Any, data: memoryview, session: Any, tree: Any, credit: int) -> Any:
        """Send a request to write that has all but the bytes themselves."""

        def sign(header: bytes) -> bytes:
            key = session.signing_key if _is_signed(header) else None
            return header if key is None else self._signed(key, header, data)

        if session.encrypt_data or tree.encrypt_data:
            message["buffer"] = bytes(data)
            return self.send(message, session.session_id, tree.tree_connect_id, credit)
        message["buffer"].size = 0
        with self._writing:
            self.transport.going = data, sign
            return self.send(message, session.session_id, tree.tree_connect_id, credit)

    def taken(self, request: Any) -> memoryview | None:
        """The bytes that came apart from an answer that was received; None if they are in it.

        To be given back to the transport by who has no more use for them.
        """
        taken: memoryview | None = self.transport.came.pop(_number(request.message), None)
        return taken

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:
        data = self.transport.came.get(_number(header))
        if data is None:
            super().verify_signature(header, session_id, force)
            return
        session = self.session_table[session_id]
        found = header.pack()
        if not _is_signed(found):
            if session.signing_required:
                raise SMBException("The server did not sign its answer")
            return
        if not hmac.compare_digest(found, self._signed(session.signing_key, found, data)):
            raise SMBException("The server's signature is wrong")

    def _signed(self, key: bytes, head: bytes, data: memoryview) -> bytes:
        """The head of a message with the signature of the whole, whose bytes are not copied for it."""
        blank = head[: _SIGNATURE.start] + bytes(16) + head[_SIGNATURE.stop :]
        return head[: _SIGNATURE.start] + self._mac(key, blank, data) + head[_SIGNATURE.stop :]

    def _mac(self, key: bytes, head: bytes, data: memoryview) -> bytes:
        kind = self.signing_algorithm_id
        if self.dialect < Dialects.SMB_3_0_0 or kind == SigningAlgorithms.HMAC_SHA256:
            signed = hmac.new(key, head, "sha256")
            signed.update(data)
            return signed.digest()[:16]
        if self.dialect >= Dialects.SMB_3_1_1 and kind == SigningAlgorithms.AES_GMAC:
            from_server = head[_FLAGS.start] & Smb2Flags.SMB2_FLAGS_SERVER_TO_REDIR
            nonce = head[_NUMBER] + bytes([from_server, 0, 0, 0])
            gmac = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
            gmac.authenticate_additional_data(head)
            gmac.authenticate_additional_data(data)
            gmac.finalize()
            return gmac.tag
        cmac = CMAC(algorithms.AES(key))
        cmac.update(head)
        cmac.update(bytes(data))
        return cmac.finalize()


def _is_data(head: memoryview, length: int) -> bool:
    """Whether a message has this head and then only bytes of a file, as many as it says."""
    if len(head) < _HEAD or bytes(head[:4]) != _PROTOCOL or not length:
        return False
    (status,) = struct.unpack_from("<L", head, 8)
    (following,) = struct.unpack_from("<L", head, 20)
    offset, told = struct.unpack_from("<BxL", head, 66)
    succeeded = status == 0 and _command(head) == Commands.SMB2_READ and not following
    return bool(succeeded and offset == _HEAD and told == length)


def _command(head: bytes | memoryview) -> int:
    return int.from_bytes(head[12:14], "little") if bytes(head[:4]) == _PROTOCOL else -1


def _is_signed(head: bytes) -> bool:
    return bool(int.from_bytes(head[_FLAGS], "little") & Smb2Flags.SMB2_FLAGS_SIGNED)


def _number(header: Any) -> int:
    number: int = header["message_id"].get_value()
    return number
