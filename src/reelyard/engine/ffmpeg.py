"""The one place that starts FFmpeg.

Progress arrives on FFmpeg's stdout (``-progress pipe:1``), everything it says on stderr; both are
read to their ends while it runs. It gets no stdin unless sound is fed to it, no environment but what
it needs, no network. Exit code 0 proves nothing: callers check what was made.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from reelyard.domain.errors import Cancelled, FFmpegFailed, FFmpegStalled, OutOfDisk
from reelyard.domain.timeline import FRAME_RATE
from reelyard.system import processes

TAIL_LINES = 12
STALL_SECONDS = 300.0
_ALWAYS = ("-hide_banner", "-nostats", "-loglevel", "repeat+level+info", "-progress", "pipe:1")
_WATCH_SECONDS = 1.0
_PATIENCE = 1.0
_DISK_FULL = "No space left on device"


class CommandLog(Protocol):
    """Where commands and what they say are written down."""

    def command(self, argv: Sequence[str], cwd: Path | None) -> None: ...

    def said(self, line: str) -> None: ...


class StopSignal:
    """Stops a job: ends its FFmpeg processes at once and refuses to start more."""

    def __init__(self) -> None:
        # Re-entrant: a signal may arrive, and call stop(), while this very thread holds it.
        self._lock = threading.RLock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._children: list[StopSignal] = []
        self._set = False

    def stop(self) -> None:
        if self._set:
            return  # whoever came first ends what runs; what starts later ends itself
        with self._lock:
            self._set = True
            for process in tuple(self._running):
                processes.kill(process)
            for child in tuple(self._children):
                child.stop()

    def child(self) -> StopSignal:
        """A signal that stops with this one, and can be stopped without it."""
        child = StopSignal()
        with self._lock:
            self._children.append(child)
            if self._set:
                child.stop()
        return child

    @property
    def is_set(self) -> bool:
        return self._set

    def check(self) -> None:
        """Raises Cancelled once the job was stopped."""
        if self._set:
            raise Cancelled

    @contextmanager
    def watching(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            self._running.add(process)
            if self._set:
                processes.kill(process)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(process)


@dataclass(slots=True)
class Said:
    """What one FFmpeg said: its last lines, which lines were errors, and how many."""

    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=400))
    errors: list[str] = field(default_factory=list)  # the first ones
    last_errors: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    error_count: int = 0

    def add(self, line: str) -> None:
        self.lines.append(line)
        if line.startswith("[Parsed_ass_"):
            return  # it misses the machine's fonts, which it is not to have
        if "[error]" in line or "[fatal]" in line or "[panic]" in line:
            self.error_count += 1
            self.last_errors.append(plain(line))
            if len(self.errors) < TAIL_LINES:
                self.errors.append(plain(line))


def plain(line: str) -> str:
    """A log line without FFmpeg's level and its ``[decoder @ 0x…]`` prefixes."""
    while line.startswith("[") and "] " in line:
        line = line.split("] ", 1)[1]
    return line.strip()


class FFmpeg:
    """An FFmpeg executable. ``version`` is the first line that it says of itself.

    ``binding`` is what its environment says beside the usual: which graphics card it may see.
    """

    def __init__(
        self,
        executable: Path,
        version: str,
        *,
        stall_seconds: float = STALL_SECONDS,
        binding: Mapping[str, str] | None = None,
    ) -> None:
        self.executable = executable
        self.version = version
        self._stall_seconds = stall_seconds
        self.binding = dict(binding or {})

    def bound(self, binding: Mapping[str, str]) -> FFmpeg:
        """The same FFmpeg for one graphics card."""
        return FFmpeg(
            self.executable, self.version, stall_seconds=self._stall_seconds, binding=binding
        )

    def argv(self, arguments: Sequence[str], *, feed: bool = False) -> list[str]:
        """The whole command line, as it is run and as it is logged."""
        stdin = () if feed else ("-nostdin",)
        return [str(self.executable), *_ALWAYS, *stdin, "-y", *arguments]

    def filters(self) -> frozenset[str]:
        """The names of the filters that it has. Raises FFmpegFailed."""
        try:
            found = subprocess.run(
                [str(self.executable), "-hide_banner", "-filters"],
                capture_output=True,
                check=True,
                timeout=30,
                env=environment(None),
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FFmpegFailed(
                f"{self.executable} can't say which filters it has: {error}",
                remedy="Unset REELYARD_FFMPEG to use the packaged one",
            ) from error
        listed = found.stdout.decode("utf-8", "replace")
        rows = (line.split() for line in listed.splitlines())
        return frozenset(row[1] for row in rows if len(row) > 2 and "->" in row[2])

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        log: CommandLog | None = None,
        on_frames: Callable[[int], None] | None = None,
        stop: StopSignal | None = None,
        feed: Iterable[bytes] | None = None,
    ) -> Said:
        """Run FFmpeg to its end and return what it said.

        ``on_frames`` is told the number of frames (for sound: 30ths of seconds) made so far.
        Raises Cancelled when stopped, FFmpegStalled after too long without progress, FFmpegFailed
        when it ends with an error.
        """
        stop = stop or StopSignal()
        stop.check()
        argv = self.argv(arguments, feed=feed is not None)
        if log:
            log.command(argv, cwd)
        process = processes.spawn(
            argv,
            cwd=cwd,
            environment={**environment(cwd), **self.binding},
            feed=feed is not None,
        )
        with stop.watching(process):
            said, stalled = self._attend(process, log, on_frames, feed)
        stop.check()
        if stalled:
            minutes = self._stall_seconds / 60
            raise FFmpegStalled(
                f"FFmpeg made no progress for {minutes:.0f} minutes", tail=said.tail
            )
        if process.returncode and any(_DISK_FULL in line for line in said.errors):
            raise OutOfDisk("the disk is full", remedy="Make room, then run again")
        if process.returncode:
            reason = said.errors[0] if said.errors else f"exit code {process.returncode}"
            tail = dict.fromkeys([*said.errors, *said.last_errors] or said.tail)
            raise FFmpegFailed(f"FFmpeg failed: {reason}", tail=list(tail))
        return said

    def _attend(
        self,
        process: subprocess.Popen[bytes],
        log: CommandLog | None,
        on_frames: Callable[[int], None] | None,
        feed: Iterable[bytes] | None,
    ) -> tuple[Said, bool]:
        said = Said()
        watch = _StallWatch(process, self._stall_seconds)
        pump = None if feed is None else _Pump(process, feed)
        helpers = [
            threading.Thread(target=_drain, args=(process, said, log), daemon=True),
            threading.Thread(target=watch.run, daemon=True),
        ]
        for helper in [*helpers, *([pump] if pump else [])]:
            helper.start()
        try:
            _follow(process, watch, on_frames)
            process.wait()
        finally:
            processes.kill(process)  # nothing to do unless this thread is being torn down
            process.wait()
            watch.done.set()
            for helper in helpers:
                helper.join()
        if pump:
            pump.join(_PATIENCE)  # not for ever: what feeds it may be stuck itself
            if pump.failure:
                raise pump.failure
        return said, watch.stalled


class _StallWatch:
    """Kills a process that makes no progress."""

    def __init__(self, process: subprocess.Popen[bytes], limit: float) -> None:
        self._process = process
        self._limit = limit
        self._last = time.monotonic()
        self._seen: dict[bytes, bytes] = {}
        self.done = threading.Event()
        self.stalled = False

    def progress(self, name: bytes, value: bytes) -> None:
        if self._seen.get(name) != value:
            self._seen[name] = value
            self._last = time.monotonic()

    def run(self) -> None:
        while not self.done.wait(min(_WATCH_SECONDS, self._limit)):
            if time.monotonic() - self._last > self._limit:
                self.stalled = True
                processes.kill(self._process)
                return


def _follow(
    process: subprocess.Popen[bytes],
    watch: _StallWatch,
    on_frames: Callable[[int], None] | None,
) -> None:
    """Read FFmpeg's progress to the end of its stdout."""
    assert process.stdout is not None
    with process.stdout as stream:
        for line in stream:
            name, _, value = line.strip().partition(b"=")
            if name not in (b"frame", b"out_time_us", b"total_size"):
                continue
            watch.progress(name, value)
            if on_frames and value.isdigit():
                if name == b"frame":
                    on_frames(int(value))
                elif name == b"out_time_us":
                    on_frames(int(value) * FRAME_RATE // 1_000_000)


def _drain(process: subprocess.Popen[bytes], said: Said, log: CommandLog | None) -> None:
    assert process.stderr is not None
    with process.stderr as stream:
        for raw in stream:
            line = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
            said.add(line)
            if line.strip():
                said.tail.append(plain(line))
            if log:
                log.said(line)


class _Pump(threading.Thread):
    """Feeds FFmpeg's stdin. When the feed breaks, FFmpeg is killed: half a feed is no feed."""

    def __init__(self, process: subprocess.Popen[bytes], feed: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._feed = feed
        self.failure: Exception | None = None

    def run(self) -> None:
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stream:
                for block in self._feed:
                    view = memoryview(block)
                    while view:
                        view = view[stream.write(view) :]
        except BrokenPipeError:
            return  # FFmpeg ended early; its exit code and its words say why
        except Exception as failure:  # noqa: BLE001 - raised again by the thread that waits
            self.failure = failure
            processes.kill(self._process)


def environment(cwd: Path | None) -> dict[str, str]:
    """What FFmpeg may know: no proxies, no credentials, no fonts but those it is given."""
    kept = {
        name: os.environ[name]
        for name in (
            "PATH",
            "LD_LIBRARY_PATH",
            "SYSTEMROOT",
            "TEMP",
            "TMPDIR",
            "CUDA_VISIBLE_DEVICES",
        )
        if name in os.environ
    }
    fonts = {"FONTCONFIG_FILE": str(cwd / "fonts.conf")} if cwd else {}
    return {**kept, **fonts, "LC_ALL": "C.UTF-8", "AV_LOG_FORCE_NOCOLOR": "1"}
