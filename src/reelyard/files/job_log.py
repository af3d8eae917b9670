"""A job's log folder: ``logs/{date}/{username}/jobs/{channel_name}_{job_id}/``.

``job.log`` has each step with its figures, ``ffmpeg_cmd.txt`` every FFmpeg command so that it can be
pasted into a shell, ``ffmpeg_stderr.txt`` everything that FFmpeg said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from . import names

_LOG = logging.getLogger(__name__)
_LONGEST_NAME = 120  # bytes; file systems take 255, and two of these make a name


def safe_name(text: str) -> str:
    """The text as part of a file name on any system: no separators, no leading dots."""
    kept = "".join(char if char.isalnum() or char in " -_.()" else "_" for char in text)
    made = names.short(kept.strip(" ."), _LONGEST_NAME) or "unnamed"
    return f"_{made}" if names.is_device(made) else made


def log_folder(root: Path, username: str, channel_name: str, job_id: str, today: datetime) -> Path:
    job = f"{safe_name(channel_name)}_{safe_name(job_id)}"
    return root / f"{today:%Y-%m-%d}" / safe_name(username) / "jobs" / job


class JobLog:
    """The three files of one job. Any thread may write."""

    def __init__(
        self,
        folder: Path,
        quote: Callable[[Sequence[str]], str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._quote = quote
        self._clock = clock
        self._lock = threading.Lock()
        self._log = _open(folder / "job.log")
        self._commands = _open(folder / "ffmpeg_cmd.txt")
        self._stderr = _open(folder / "ffmpeg_stderr.txt")

    def step(self, message: str) -> None:
        """One step of the job, with the time."""
        shown = "\n".join("".join(map(_visible, line)) for line in message.splitlines())
        line = f"{self._clock():%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z  {shown}\n"
        self._write(self._log, line)

    def say(self, message: str) -> None:
        """The same, where a job's end must not depend on it: the program's log gets it otherwise."""
        try:
            self.step(message)
        except OSError as error:
            _LOG.error("%s can't be written (%s): %s", self.folder, error, message)

    def command(self, argv: Sequence[str], cwd: Path | None) -> None:
        line = self._quote(argv)
        where = f"cd {self._quote([str(cwd)])} && " if cwd else ""
        self._write(self._commands, f"{where}{line}\n")

    def said(self, line: str) -> None:
        self._write(self._stderr, line + "\n")

    def close(self) -> None:
        for file in (self._log, self._commands, self._stderr):
            try:
                file.close()
            except OSError as error:
                _LOG.error("%s lacks its end: %s", file.name, error)

    def _write(self, file: TextIO, text: str) -> None:
        with self._lock:
            file.write(text)
            file.flush()


def _visible(char: str) -> str:
    """File names and FFmpeg's words may hold what a terminal would obey."""
    return char if char.isprintable() or char == "\t" else ascii(char)[1:-1]


def _open(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")
