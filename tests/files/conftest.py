"""Fixtures: a real Samba, and a folder of its own on it for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelyard.files.smb import SmbFileSystem
from tests.samba import SambaServer


@dataclass(frozen=True)
class Room:
    """A folder on a share, as this machine sees it and as clients call it."""

    server: SambaServer
    share: str
    name: str

    @property
    def folder(self) -> Path:
        return self.server.share(self.share) / self.name

    def path(self, name: str) -> str:
        return f"/{self.share}/{self.name}/{name}"

    def place(self, name: str, data: bytes) -> str:
        """Put a file there behind Samba's back; what clients call it."""
        (self.folder / name).write_bytes(data)
        return self.path(name)

    def client(self, **changes: Any) -> SmbFileSystem:
        own = {
            "host": self.server.host, "port": self.server.port, "user": self.server.user,
            "password": self.server.password,
        }  # fmt: skip
        return SmbFileSystem(**{**own, **changes})


def room_on(server: SambaServer, share: str = "media") -> Room:
    room = Room(server, share, f"room-{uuid.uuid4().hex[:8]}")
    room.folder.mkdir()
    return room


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SambaServer]:
    """The Samba of this test session, or of one of its workers; it always runs."""
    with closing(SambaServer(tmp_path_factory.mktemp("samba"))) as server:
        server.start()
        yield server


@pytest.fixture
def room(samba: SambaServer) -> Room:
    """An empty folder on the share that everybody may write to."""
    return room_on(samba)


@pytest.fixture
def smb(room: Room) -> SmbFileSystem:
    """A client of that server."""
    return room.client()


@pytest.fixture
def own_samba(tmp_path: Path) -> Iterator[SambaServer]:
    """A running Samba of this test's own, to be stopped and started."""
    with closing(SambaServer(tmp_path / "samba")) as server:
        server.start()
        yield server
