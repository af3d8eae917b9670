"""Samba for tests: the real one, with shares and users of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tests.servers import HOST, Server, missing

MEBIBYTE = 1 << 20
_SMALL_SIZE: Final = 8 * MEBIBYTE


class SambaServer(Server):
    """A Samba with these shares, each a folder in ``folder``:

    - ``media``: everybody may write
    - ``archive``: nobody may
    - ``small``: full after 8 MiB; only where the tests may mount something (``has_small``), in a mount
      namespace of the server's own, which goes with it
    - ``private``: only ``other_user`` may enter

    Users are accounts that every Debian has; their passwords are Samba's own.
    """

    user = "nobody"
    password = "the farm's own S3cret"
    other_user = "daemon"
    other_password = "an0ther's s3cret"
    shares = ("media", "archive", "small", "private")

    def __init__(
        self, folder: Path, host: str = HOST, settings: Mapping[str, str] | None = None
    ) -> None:
        """``settings`` are smb.conf's, for the whole server."""
        self._program = shutil.which("smbd") or _in_sbin("smbd") or missing("smbd")
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, host)
        self._watcher: subprocess.Popen[bytes] | None = None
        self.has_small = os.geteuid() == 0 and _may_mount()
        self._more = dict(settings or {})
        self._configuration = folder / "smb.conf"
        for name in (*self.shares, "private-files", *_FOLDERS):
            (folder / name).mkdir(exist_ok=True)
        self._configuration.write_text(self._settings())
        self._add(self.user, self.password)
        self._add(self.other_user, self.other_password)

    def share(self, name: str = "media") -> Path:
        """The folder of a share, as this machine sees it."""
        return self.folder / name

    def connections(self) -> list[int]:
        """The processes that serve one client each."""
        return [child.pid for child in psutil.Process(self.pid).children() if _serves(child)]

    def drop_clients(self) -> None:
        """End every client's process: their connections break, and new ones are answered."""
        self._each_client(signal.SIGKILL)

    def freeze(self) -> None:
        """Let every client wait for an answer."""
        self._each_client(signal.SIGSTOP)

    def thaw(self) -> None:
        self._each_client(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order, with all its connections; one that is frozen would stay behind."""
        self.thaw()
        self._end(signal.SIGTERM)
        self._end_watcher()

    def kill(self) -> None:
        """End it without a word, with all its connections."""
        self._each_client(signal.SIGKILL)
        self._end(signal.SIGKILL)
        self._end_watcher()

    def _each_client(self, how: signal.Signals) -> None:
        for pid in self.connections() if self.runs() else ():
            with suppress(ProcessLookupError):
                os.kill(pid, how)

    def _launch(self) -> subprocess.Popen[bytes]:
        argv = [self._program, "--foreground", "--no-process-group", "-s", self._configuration]
        if self.has_small:
            mount = f'mount -t tmpfs -o size={_SMALL_SIZE} tmpfs "$0" && exec "$@"'
            argv = ["unshare", "--mount", "sh", "-c", mount, self.share("small"), *argv]
        self._end_watcher()
        process = self._spawn(argv, signal.SIGTERM)
        # A client's process that is frozen outlives everything but SIGKILL. Whoever reads from this pipe sees its end
        # when the tests' process is gone, however it went, and takes the whole group along.
        self._watcher = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; kill -s KILL -- "-$0"', str(process.pid)],
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        return process

    def _end_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.communicate()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        return False

    def _add(self, user: str, password: str) -> None:
        argv = ["smbpasswd", "-c", str(self._configuration), "-s", "-a", user]
        told = f"{password}\n{password}\n".encode()
        done = subprocess.run(argv, input=told, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"smbpasswd failed: {done.stderr.decode('utf-8', 'replace')}")

    def _settings(self) -> str:
        own = {key: self.folder / value for key, value in _OWN.items()}
        lines = [
            "[global]", "server role = standalone server", "workgroup = FARM",
            f"interfaces = {self.host}", "bind interfaces only = yes", f"smb ports = {self.port}",
            "disable netbios = yes", "disable spoolss = yes", "load printers = no",
            "printing = bsd", "printcap name = /dev/null", "server min protocol = SMB2_10",
            "map to guest = never", "unix extensions = no", "log level = 0",
            *(f"{key} = {value}" for key, value in {**own, **self._more}.items()),
            f"passdb backend = tdbsam:{self.folder / 'private-files' / 'passdb.tdb'}",
        ]  # fmt: skip
        # As root, files in the tests' folders, which only root may enter, are reached as root.
        force = ["force user = root"] if os.geteuid() == 0 else []
        for name in self.shares:
            lines += [f"[{name}]", f"path = {self.share(name)}", *force]
            lines.append(f"read only = {'yes' if name == 'archive' else 'no'}")
        lines.append(f"valid users = {self.other_user}")  # the last share's
        return "\n".join([*lines, ""])


_OWN = {
    "private dir": "private-files", "state directory": "state", "cache directory": "cache",
    "lock directory": "lock", "pid directory": "pid", "ncalrpc dir": "ncalrpc",
    "log file": "server.log",
}  # fmt: skip
_FOLDERS = ("state", "cache", "lock", "pid", "ncalrpc")


def _in_sbin(name: str) -> str | None:
    """Debian keeps servers where not everybody looks for programs."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def _may_mount() -> bool:
    argv = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    with suppress(OSError):
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0
    return False


def _serves(process: psutil.Process) -> bool:
    """smbd's own helpers, which serve nobody, have no connection to a client."""
    with suppress(psutil.Error):
        return any(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))
    return False
