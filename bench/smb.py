"""The direct connection to an SMB share against Debian's ``smbclient``, side by side on a Samba of this run's own.

p  reading a gigabyte
q  the same as a copy through the copy cache, which hashes, waits for the disk and reads everything back; against
   ``smbclient get``, and against ``smbclient get``, ``sync`` and ``sha256sum``, which promise the same
r  writing a gigabyte
s  the same as a film that is published, which hashes, waits for the server's disk and reads everything back; against
   ``smbclient put``, and against ``smbclient put``, ``sync`` and ``smbclient get`` into ``sha256sum``

Ratios of wall times, pair by pair; connecting and logging in is part of each. Before each run the disk has written what
others left, and the two take turns in going first: otherwise one would pay for the other. Client and server share this machine's
processors, so what Reelyard does besides moving bytes shows in full. A network would hide most of it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tests.samba import SambaServer

from reelyard.files.copy_cache import CopyCache
from reelyard.files.distant import DistantPath
from reelyard.files.places import Source
from reelyard.files.smb import SmbFileSystem
from reelyard.files.smb_file import PIECE

from .farm import show

SIZE = 1 << 30
_WITHIN = 1.25  # of the time: 20 % less throughput
_PROGRAMS = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_FILM, _SENT = "film.mp4", "sent.mp4"


def smb(folder: Path, runs: int) -> None:
    """Run it in ``folder`` and print it."""
    if not all(shutil.which(name, path=_PROGRAMS) for name in ("smbd", "smbclient")):
        print("\nSMB: left out, Samba or smbclient is not here", flush=True)
        return
    print(f"\nSMB on loopback, {SIZE >> 20} MiB; {runs} pairs, medians\n", flush=True)
    folder.mkdir()
    with closing(SambaServer(folder / "samba")) as server:
        server.start()
        both = _Both(folder, server, runs)
        local = shlex.quote(str(both.local))
        on_server = shlex.quote(str(server.share() / _SENT))
        get, put = both.smbclient(f"get {_FILM} {local}"), both.smbclient(f"put {local} {_SENT}")
        checked = f"{get} && sync {local} && sha256sum {local}"
        back = both.smbclient(f"get {_SENT} -")
        kept = f"{put} && sync {on_server} && {back} | sha256sum"
        both.compare("p  reading", both.read, both.smbclient(f"get {_FILM} /dev/null"), _WITHIN)
        both.compare("q  copying, against get", both.copy, get)
        both.compare("q  copying, against get, sync, sha256sum", both.copy, checked, _WITHIN)
        both.compare("r  writing", both.write, put, _WITHIN)
        both.compare("s  publishing, against put", both.publish, put)
        both.compare("s  publishing, against put, sync, get", both.publish, kept, _WITHIN)


class _Both:
    """Reelyard and smbclient on the same share, one after the other."""

    def __init__(self, folder: Path, server: SambaServer, runs: int) -> None:
        self._folder = folder
        self._server = server
        self._runs = runs
        self._account = folder / "account"  # so that the password is on no command line
        self._account.touch(mode=0o600)
        self._account.write_text(f"username={server.user}\npassword={server.password}\n")
        self.local = folder / "local.mp4"
        with Path("/dev/urandom").open("rb") as chance, (server.share() / _FILM).open("wb") as film:
            for _ in range(SIZE // PIECE):
                film.write(chance.read(PIECE))
        shutil.copyfile(server.share() / _FILM, self.local)

    def smbclient(self, command: str) -> str:
        """The shell's command for one command of smbclient's."""
        share = f"//{self._server.host}/media"
        argv = ["smbclient", share, "-p", str(self._server.port), "-A", str(self._account)]
        return shlex.join([*argv, "-E", "-c", command])

    def compare(
        self, name: str, ours: Callable[[], None], theirs: str, goal: float | None = None
    ) -> None:
        """Without a goal it is told only: one side does more than the other."""
        pairs = [self._pair(ours, theirs, ours_first=run % 2 == 0) for run in range(self._runs)]
        ratio = statistics.median(one / other for one, other in pairs)
        one, other = (statistics.median(times) for times in zip(*pairs, strict=True))
        detail = f"{SIZE / one / 1e6:.0f} MB/s, {SIZE / other / 1e6:.0f} MB/s"
        if goal is None:
            print(f"{name:<44} {ratio:8.3f}                 ({detail})", flush=True)
        else:
            show(name, ratio, goal, detail)

    def _pair(
        self, ours: Callable[[], None], theirs: str, *, ours_first: bool
    ) -> tuple[float, float]:
        if ours_first:
            return self._timed(ours), self._timed(lambda: _shell(theirs))
        other = self._timed(lambda: _shell(theirs))
        return self._timed(ours), other

    def read(self) -> None:
        with self._client().open(f"/media/{_FILM}", "rb") as file:
            while file.read(PIECE):
                pass

    def write(self) -> None:
        with (
            self.local.open("rb", buffering=0) as film,
            self._client().open(f"/media/{_SENT}", "wb") as file,
        ):
            while data := film.read(PIECE):
                file.write(data)

    def copy(self) -> None:
        source = Source(self._client(), f"/media/{_FILM}", _FILM)
        CopyCache(self._folder / "cache", 1 << 40).fetch(source, "bench", _nothing)

    def publish(self) -> None:
        client = self._client()
        DistantPath(lambda: client, f"/media/{_SENT}", _SENT).put(self.local, _nothing)

    def _client(self) -> SmbFileSystem:
        server = self._server
        return SmbFileSystem(server.host, server.port, server.user, server.password)

    def _timed(self, act: Callable[[], object]) -> float:
        """Seconds that it takes, with nothing left of earlier ones, not even on its way to the disk."""
        shutil.rmtree(self._folder / "cache", ignore_errors=True)
        (self._server.share() / _SENT).unlink(missing_ok=True)
        os.sync()  # what is still to be written would be written during the run
        begun = time.monotonic()
        act()
        return time.monotonic() - begun


def _shell(command: str) -> None:
    argv: Sequence[str] = ["sh", "-c", command]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _nothing() -> None:
    """Nobody stops it."""
