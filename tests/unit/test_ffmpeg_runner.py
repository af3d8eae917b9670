"""The one place that starts FFmpeg: heard to the end, ended at once, told no secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reelyard.domain.errors import Cancelled, FFmpegFailed, FFmpegStalled, OutOfDisk
from reelyard.engine.discover import find_ffmpeg
from reelyard.engine.ffmpeg import FFmpeg, StopSignal, environment
from reelyard.files.memory import Memory
from reelyard.services.storage import storage_error

ENDLESS = ("-re", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=30", "-f", "null", "-")
FOREVER_FED = ("-f", "s16le", "-ar", "48000", "-i", "pipe:0", "-f", "null", "-")
SOON = 3.0


@pytest.fixture(scope="module")
def ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> FFmpeg:
    return find_ffmpeg(None, Memory(tmp_path_factory.mktemp("memory")))


def impatient(ffmpeg: FFmpeg, seconds: float) -> FFmpeg:
    return FFmpeg(ffmpeg.executable, ffmpeg.version, stall_seconds=seconds)


@dataclass
class Heard:
    """A log that keeps everything."""

    commands: list[list[str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def command(self, argv: Sequence[str], cwd: Path | None) -> None:
        self.commands.append(list(argv))

    def said(self, line: str) -> None:
        self.lines.append(line)


def ffmpegs_in(folder: Path) -> list[int]:
    """The FFmpeg processes with this working folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and b"-progress" in (
                process / "cmdline"
            ).read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def soon(happens: Callable[[], object], seconds: float = SOON) -> bool:
    until = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


class Background:
    """An FFmpeg run in a thread, and how it ended."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self._run = run
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    def _go(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            self.error = error

    def ended(self, seconds: float = SOON) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()


def test_everything_it_says_is_heard_to_the_last_line(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    """Far more than a pipe holds: an FFmpeg that nobody listens to would wait forever."""
    heard = Heard()
    show = "showinfo,showinfo,showinfo,showinfo"
    source = "testsrc2=size=64x64:rate=30:duration=20"
    ffmpeg.run(
        ["-loglevel", "trace", "-f", "lavfi", "-i", source, "-vf", show, "-f", "null", "-"],
        cwd=tmp_path, log=heard,
    )  # fmt: skip
    assert sum(map(len, heard.lines)) > 500_000
    assert sum("n: 599 " in line.replace("n:599", "n: 599") for line in heard.lines) >= 4
    assert "Exiting" in heard.lines[-1]


def test_lines_that_are_no_text_and_lines_without_end_are_heard(
    ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    heard = Heard()
    name = os.fsdecode(b"missing-\xff\xfe.mp4")
    with pytest.raises(FFmpegFailed):
        ffmpeg.run(["-i", f"file:{name}", "-f", "null", "-"], cwd=tmp_path, log=heard)
    assert any("missing-" in line for line in heard.lines)


def test_a_failure_comes_with_ffmpegs_own_words(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(b"no film at all")
    with pytest.raises(FFmpegFailed) as failed:
        ffmpeg.run(["-i", "noise.mp4", "-f", "null", "-"], cwd=tmp_path)
    assert "Invalid data" in " ".join(failed.value.tail)
    assert failed.value.remedy and failed.value.exit_code == 1


def test_an_option_that_does_not_exist_is_a_failure(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    with pytest.raises(FFmpegFailed, match="nonsense"):
        ffmpeg.run(["-nonsense", "1", "-f", "null", "-"], cwd=tmp_path)


def test_progress_is_told_in_frames(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    told: list[int] = []
    source = "testsrc2=size=64x64:rate=30:duration=1"
    ffmpeg.run(
        ["-f", "lavfi", "-i", source, "-f", "null", "-"], cwd=tmp_path, on_frames=told.append
    )
    assert told[-1] == 30 and told == sorted(told)


def test_what_is_fed_arrives_whole(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    blocks = [bytes([n % 256]) * (1 << 17) for n in range(40)]
    ffmpeg.run(
        ["-f", "s16le", "-ar", "48000", "-i", "pipe:0", "-f", "s16le", "out.pcm"],
        cwd=tmp_path, feed=iter(blocks),
    )  # fmt: skip
    assert (tmp_path / "out.pcm").read_bytes() == b"".join(blocks)


def test_an_ffmpeg_that_ends_before_it_is_fed_fails_with_its_own_words(
    ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    endless = iter(lambda: bytes(1 << 16), None)
    with pytest.raises(FFmpegFailed, match="nonsense"):
        ffmpeg.run(["-nonsense", "1", *FOREVER_FED], cwd=tmp_path, feed=endless)


def test_a_feed_that_breaks_is_no_success(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(1 << 16)
        raise FileNotFoundError("the sound went away")

    with pytest.raises((FFmpegFailed, FileNotFoundError)):
        ffmpeg.run(FOREVER_FED, cwd=tmp_path, feed=broken())


@pytest.fixture
def blocked() -> Iterator[tuple[Iterator[bytes], threading.Event]]:
    """A feed that gives nothing, until the test is over."""
    over = threading.Event()

    def feed() -> Iterator[bytes]:
        over.wait(30)
        yield b""

    yield feed(), over
    over.set()


Blocked = tuple[Iterator[bytes], threading.Event]


def test_one_that_makes_no_progress_is_killed(
    ffmpeg: FFmpeg, tmp_path: Path, blocked: Blocked
) -> None:
    run = Background(lambda: impatient(ffmpeg, 0.5).run(FOREVER_FED, cwd=tmp_path, feed=blocked[0]))
    assert soon(lambda: ffmpegs_in(tmp_path))
    assert soon(lambda: not ffmpegs_in(tmp_path)), "the process is ended"
    assert run.ended(), "and whoever waits for it is told"
    assert isinstance(run.error, FFmpegStalled)


def test_one_that_stops_in_the_middle_is_killed(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    """FFmpeg goes on telling its progress twice a second: figures that stay the same are none."""
    hold = threading.Event()

    def some_then_nothing() -> Iterator[bytes]:
        yield bytes(4_000_000)
        hold.wait()

    begun = time.monotonic()
    with pytest.raises(FFmpegStalled):
        impatient(ffmpeg, 1).run(FOREVER_FED, cwd=tmp_path, feed=some_then_nothing())
    hold.set()
    assert time.monotonic() - begun < 2 * SOON


def test_one_that_reads_from_a_pipe_that_nobody_writes_to_is_killed(
    ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "never.mp4")
    begun = time.monotonic()
    with pytest.raises(FFmpegStalled):
        impatient(ffmpeg, 0.5).run(["-i", "never.mp4", "-f", "null", "-"], cwd=tmp_path)
    assert time.monotonic() - begun < SOON
    assert not ffmpegs_in(tmp_path)


def test_one_that_is_slow_but_moves_on_is_left_alone(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    source = "testsrc2=size=64x64:rate=30:duration=3"
    begun = time.monotonic()
    made: list[int] = []
    impatient(ffmpeg, 1.5).run(
        ["-re", "-f", "lavfi", "-i", source, "-f", "null", "-"],
        cwd=tmp_path,
        on_frames=made.append,
    )
    assert max(made) == 90
    assert time.monotonic() - begun > 1.5, "it took longer than a stall may"


def test_a_full_disk_is_told_from_a_failure(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    """Linux has a device that is always full."""
    source = ["-f", "lavfi", "-i", "sine=duration=5", "-f", "s16le"]
    with pytest.raises(OutOfDisk):
        ffmpeg.run([*source, "/dev/full"], cwd=tmp_path)
    with pytest.raises(OSError) as full, Path("/dev/full").open("wb", buffering=0) as device:
        device.write(b"x")
    assert isinstance(storage_error(full.value), OutOfDisk)


def test_a_stopped_job_ends_at_once(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    stop = StopSignal()
    runs = [Background(lambda: ffmpeg.run(ENDLESS, cwd=tmp_path, stop=stop)) for _ in range(3)]
    assert soon(lambda: len(ffmpegs_in(tmp_path)) == 3)
    begun = time.monotonic()
    stop.stop()
    assert all(run.ended() for run in runs)
    assert time.monotonic() - begun < 1
    assert [type(run.error) for run in runs] == [Cancelled] * 3
    assert not ffmpegs_in(tmp_path)
    with pytest.raises(Cancelled):
        ffmpeg.run(ENDLESS, cwd=tmp_path, stop=stop)


def test_a_stopped_job_ends_at_once_whatever_its_feed_does(
    ffmpeg: FFmpeg, tmp_path: Path, blocked: Blocked
) -> None:
    stop = StopSignal()
    run = Background(lambda: ffmpeg.run(FOREVER_FED, cwd=tmp_path, stop=stop, feed=blocked[0]))
    assert soon(lambda: ffmpegs_in(tmp_path))
    stop.stop()
    assert run.ended()
    assert isinstance(run.error, Cancelled)


def test_a_child_signal_stops_with_its_parent_and_not_the_other_way_round() -> None:
    parent = StopSignal()
    one, other = parent.child(), parent.child()
    one.stop()
    assert (one.is_set, other.is_set, parent.is_set) == (True, False, False)
    parent.stop()
    assert other.is_set and parent.child().is_set


_SIGNALLED = """
import signal, subprocess, sys, time
from reelyard.engine.ffmpeg import StopSignal
stop = StopSignal()
signal.signal(signal.SIGALRM, lambda *_: stop.stop())
process = subprocess.Popen(["sleep", "0"])
process.wait()
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
until = time.monotonic() + 1
while time.monotonic() < until:
    with stop.watching(process):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_stopping_from_a_signal_handler_never_locks_up() -> None:
    """A handler runs between any two steps of the main thread, also of one that holds a lock."""
    argv = [sys.executable, "-c", _SIGNALLED]
    assert subprocess.run(argv, timeout=30, check=False).returncode == 0


def test_ffmpeg_is_told_no_secrets(
    ffmpeg: FFmpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cret", "http_proxy": "http://127.0.0.1:1",
               "REELYARD_CACHE_DIR": "s3cret", "PGPASSWORD": "s3cret", "FFREPORT": "file=s3cret.log",
               "LD_PRELOAD": "s3cret.so"}  # fmt: skip
    for name, value in secrets.items():
        if name != "LD_PRELOAD":
            monkeypatch.setenv(name, value)
    assert not secrets.keys() & environment(tmp_path).keys()
    stop = StopSignal()
    run = Background(lambda: ffmpeg.run(ENDLESS, cwd=tmp_path, stop=stop))
    assert soon(lambda: ffmpegs_in(tmp_path))
    [process] = ffmpegs_in(tmp_path)
    known = Path(f"/proc/{process}/environ").read_bytes()
    stdin = Path(f"/proc/{process}/fd/0").readlink()
    stop.stop()
    assert run.ended()
    assert b"s3cret" not in known and b"PROXY" not in known.upper()
    assert b"FONTCONFIG_FILE=" in known
    assert str(stdin) == "/dev/null"


_PARENT = """
import sys
from pathlib import Path
from reelyard.engine.ffmpeg import FFmpeg
import threading
ffmpeg, folder, arguments = FFmpeg(Path(sys.argv[1]), ""), Path(sys.argv[2]), sys.argv[3:]
for _ in range(2):
    threading.Thread(target=ffmpeg.run, args=(arguments,), kwargs={"cwd": folder}).start()
ffmpeg.run(arguments, cwd=folder)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_parent_that_dies_leaves_no_ffmpeg_behind(
    ffmpeg: FFmpeg, tmp_path: Path, number: signal.Signals
) -> None:
    argv = [sys.executable, "-c", _PARENT, str(ffmpeg.executable), str(tmp_path), *ENDLESS]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as parent:
        assert soon(lambda: len(ffmpegs_in(tmp_path)) == 3, 20)
        parent.send_signal(number)
        parent.wait()
    assert soon(lambda: not ffmpegs_in(tmp_path))


def test_every_command_is_written_down_as_it_was_run(ffmpeg: FFmpeg, tmp_path: Path) -> None:
    heard = Heard()
    ffmpeg.run(["-f", "lavfi", "-i", "nullsrc=d=0.1:s=16x16", "-f", "null", "-"], cwd=tmp_path, log=heard)  # fmt: skip
    [argv] = heard.commands
    subprocess.run(argv, check=True, capture_output=True, cwd=tmp_path)


def test_the_filters_that_it_has_are_known(ffmpeg: FFmpeg) -> None:
    assert {"scale", "ass", "overlay", "ebur128"} <= ffmpeg.filters()
