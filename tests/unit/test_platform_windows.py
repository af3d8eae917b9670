"""The Windows branches, on a kernel32 that writes down what it is asked: nothing here ran on Windows."""

from __future__ import annotations

import ctypes
import gc
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.errors import BrokerUnavailable
from reelyard.farm.broker import server_executable
from reelyard.files import atomic
from reelyard.files.job_log import safe_name
from reelyard.files.names import is_device
from reelyard.files.places import Places
from reelyard.system import processes
from reelyard.system.windows import (
    CREATE_NEW_PROCESS_GROUP,
    CREATE_NO_WINDOW,
    CREATE_SUSPENDED,
    KILL_ON_JOB_CLOSE,
    ExtendedLimits,
    Windows,
    exposure,
)

JOB, PROCESS, PID = 0x7FFF_0000_1234, 0x0000_0ABC, 4711


@dataclass
class Library:
    """A library whose functions answer what they were told to, 1 by default."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    functions: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def function(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            answer = self.answers.get(name, 1)
            return answer(*arguments) if callable(answer) else answer

        return self.functions.setdefault(name, function)  # ctypes keeps one object, too

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


class Started:
    """What a process is to whoever started it."""

    pid = PID

    def __init__(self, journal: list[tuple[Any, ...]]) -> None:
        self._journal = journal

    def kill(self) -> None:
        self._journal.append(("kill",))

    def wait(self) -> int:
        return 1

    def poll(self) -> int | None:
        return None


@dataclass
class Machine:
    kernel32: Library
    advapi32: Library
    windows: Windows
    options: dict[str, Any]


@pytest.fixture
def machine() -> Machine:
    kernel32, options = Library({"CreateJobObjectW": JOB, "OpenProcess": PROCESS}), dict[str, Any]()

    def popen(argv: list[str], **given: Any) -> Any:
        kernel32.calls.append(("popen", *argv))
        options.update(given)
        return Started(kernel32.calls)

    advapi32 = Library()
    windows = Windows(kernel32, advapi32, popen, lambda pid: kernel32.calls.append(("resume", pid)))
    return Machine(kernel32, advapi32, windows, options)


def test_layouts_are_those_of_the_windows_sdk() -> None:
    """On a 64-bit system: 144 bytes, the flags at 16."""
    assert ctypes.sizeof(ExtendedLimits) == 144
    limits = ExtendedLimits()
    limits.BasicLimitInformation.LimitFlags = KILL_ON_JOB_CLOSE
    assert struct.unpack_from("<I", bytes(limits), 16) == (0x2000,)


def test_handles_are_not_cut_to_an_int(machine: Machine) -> None:
    assert machine.kernel32.CreateJobObjectW.restype is ctypes.c_void_p
    assert machine.kernel32.AssignProcessToJobObject.argtypes == [ctypes.c_void_p, ctypes.c_void_p]


def test_a_process_is_in_a_job_that_dies_with_us_before_it_runs(machine: Machine) -> None:
    """It is suspended until then, so that nothing that it starts is outside."""
    flags = []

    def limit(job: int, kind: int, limits: Any, size: int) -> int:
        flags.append((job, kind, limits._obj.BasicLimitInformation.LimitFlags, size))
        return 1

    machine.kernel32.answers["SetInformationJobObject"] = limit
    process = machine.windows.start(["ffmpeg.exe", "-version"], hidden=True, cwd=None)

    assert machine.kernel32.names() == [
        "CreateJobObjectW", "SetInformationJobObject", "popen", "OpenProcess",
        "AssignProcessToJobObject", "CloseHandle", "resume",
    ]  # fmt: skip
    assert flags == [(JOB, 9, KILL_ON_JOB_CLOSE, 144)]
    assert ("AssignProcessToJobObject", JOB, PROCESS) in machine.kernel32.calls
    assert ("CloseHandle", JOB) not in machine.kernel32.calls, "ours is the only handle of the job"
    wanted = CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED | CREATE_NO_WINDOW
    assert machine.options == {"creationflags": wanted, "cwd": None}
    assert process.pid == PID


def test_the_job_is_closed_with_the_process(machine: Machine) -> None:
    """Whoever forgets a process leaves no handle."""
    machine.windows.start(["worker"])
    gc.collect()

    assert machine.kernel32.calls[-1] == ("CloseHandle", JOB)


def test_what_can_be_asked_to_end_shares_our_console(machine: Machine) -> None:
    """Ctrl-Break reaches only processes of the same console."""
    process = machine.windows.start(["worker"])
    machine.windows.ask_to_end(process)

    assert not machine.options["creationflags"] & CREATE_NO_WINDOW
    assert machine.kernel32.calls[-1] == ("GenerateConsoleCtrlEvent", 1, PID)


def test_without_a_console_it_is_ended(machine: Machine) -> None:
    process = machine.windows.start(["worker"])
    machine.kernel32.answers["GenerateConsoleCtrlEvent"] = 0
    machine.windows.ask_to_end(process)

    assert machine.kernel32.calls[-1] == ("TerminateJobObject", JOB, 1)


def test_killing_takes_the_whole_tree(machine: Machine) -> None:
    process = machine.windows.start(["worker"])
    machine.windows.kill(process)

    assert machine.kernel32.calls[-1] == ("TerminateJobObject", JOB, 1)


@pytest.mark.parametrize("refuses", ["OpenProcess", "AssignProcessToJobObject"])
def test_a_process_that_gets_into_no_job_does_not_run(machine: Machine, refuses: str) -> None:
    """It could outlive us."""
    machine.kernel32.answers[refuses] = 0
    with pytest.raises(OSError, match=f"{refuses} failed"):
        machine.windows.start(["ffmpeg.exe"])

    assert ("kill",) in machine.kernel32.calls
    assert "resume" not in machine.kernel32.names()


@pytest.mark.parametrize("refuses", ["CreateJobObjectW", "SetInformationJobObject"])
def test_without_a_job_nothing_is_started(machine: Machine, refuses: str) -> None:
    machine.kernel32.answers[refuses] = 0
    with pytest.raises(OSError, match=refuses.removesuffix("W")):
        machine.windows.start(["ffmpeg.exe"])

    assert "popen" not in machine.kernel32.names()


def test_a_program_that_is_not_there_leaves_no_job(machine: Machine) -> None:
    def popen(argv: list[str], **_: Any) -> Any:
        raise FileNotFoundError(argv[0])

    windows = Windows(machine.kernel32, machine.advapi32, popen)
    with pytest.raises(FileNotFoundError):
        windows.start(["nothing.exe"])

    assert machine.kernel32.calls[-1] == ("CloseHandle", JOB)


def test_a_mapped_drive_is_told_from_a_disk(machine: Machine) -> None:
    kinds = {"Z:\\": 4, "C:\\": 3}
    machine.kernel32.answers["GetDriveTypeW"] = lambda root: kinds[root]

    assert machine.windows.on_network(r"Z:\clips\a.mp4")
    assert not machine.windows.on_network(r"C:\clips\a.mp4")
    assert not machine.windows.on_network(r"\\media\videos\a.mp4"), "told by its form, elsewhere"


def test_files_on_mapped_drives_are_copied_before_they_are_used(
    machine: Machine, tmp_path: Path
) -> None:
    """Without anybody naming them in the settings."""
    machine.kernel32.answers["GetDriveTypeW"] = lambda root: 4 if root == "Z:\\" else 3
    places = Places(mounts=tmp_path / "none", on_network=machine.windows.on_network)

    assert places.remote(r"Z:\clips\a.mp4") is not None
    assert places.remote(r"D:\clips\a.mp4") is None


@pytest.mark.parametrize(("access", "who"), [
    ("D:PAI(A;;FA;;;SY)(A;;FA;;;BA)", None),
    ("D:AI(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)", "every user of this machine"),
    ("D:(A;;FR;;;WD)", "everybody"),
    ("D:(A;OICI;GRGX;;;AU)", "every user of the domain"),
    ("D:(A;;0x100116;;;BU)", None),
    ("D:(D;;FA;;;WD)(A;;FA;;;BA)", None),
], ids=["administrators", "users may read", "everyone", "domain", "write only", "denied"])  # fmt: skip
def test_who_may_read_a_file_of_secrets(access: str, who: str | None) -> None:
    """By default every user of a machine may read what lies in ProgramData."""
    assert exposure(access) == who


def test_the_access_list_is_asked_of_windows(machine: Machine) -> None:
    def convert(_: Any, __: int, ___: int, text: Any, ____: None) -> int:
        text._obj.value = "D:(A;;FR;;;WD)"
        return 1

    machine.advapi32.answers.update(
        GetNamedSecurityInfoW=0, ConvertSecurityDescriptorToStringSecurityDescriptorW=convert
    )
    assert machine.windows.exposed_to(Path("reelyard.toml")) == "everybody"
    assert machine.kernel32.names().count("LocalFree") == 2

    machine.advapi32.answers["GetNamedSecurityInfoW"] = 2
    with pytest.raises(OSError, match="GetNamedSecurityInfo"):
        machine.windows.exposed_to(Path("reelyard.toml"))


def test_a_worker_tells_itself_to_end_as_a_signal_would() -> None:
    """From any thread; Celery's own handler for SIGTERM does the rest, on Windows as well."""
    code = ("import signal, threading, time; from reelyard.system.windows import Windows;"
            "from unittest.mock import MagicMock;"
            "signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True));"
            "windows = Windows(MagicMock(), MagicMock());"
            "one = threading.Thread(target=windows.end_this_process); one.start(); one.join()")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.returncode) == ("told\n", 0), done.stderr


def test_there_is_a_signal_for_a_closed_terminal() -> None:
    """SIGHUP here; on Windows Ctrl-Break, by which a worker there is told to end."""
    assert processes.TERMINAL_CLOSED == (signal.SIGHUP,)
    assert processes.TOLD_TO_END == (signal.SIGTERM, signal.SIGHUP)


def test_windows_names_the_setting_for_the_broker() -> None:
    with pytest.raises(BrokerUnavailable, match="Windows") as raised:
        server_executable(has_sockets=False)

    assert "REELYARD_REDIS_URL" in raised.value.remedy


class InUse(PermissionError):
    winerror = 32


def refusing(times: int, error: type[PermissionError]) -> Iterator[None]:
    for _ in range(times):
        raise error(13, "in use")
    yield


def test_a_file_that_a_virus_scanner_holds_gets_its_name_a_little_later(tmp_path: Path) -> None:
    made, path, tries = tmp_path / "made", tmp_path / "film.mp4", []
    made.write_text("film")

    def rename(one: Path, other: Path) -> None:
        tries.append(one)
        if len(tries) < 4:
            raise InUse(13, "The process cannot access the file")
        one.replace(other)

    atomic.replace(made, path, rename, pauses=[0] * 6)

    assert (path.read_text(), len(tries)) == ("film", 4)


def test_what_is_held_for_good_is_an_error_in_bounded_time(tmp_path: Path) -> None:
    tries = []

    def rename(one: Path, other: Path) -> None:
        tries.append(one)
        raise InUse(13, "The process cannot access the file")

    with pytest.raises(PermissionError):
        atomic.replace(tmp_path / "a", tmp_path / "b", rename, pauses=[0] * 6)
    assert len(tries) == 7


def test_a_folder_that_may_not_be_written_to_is_said_at_once(tmp_path: Path) -> None:
    tries = []

    def rename(one: Path, other: Path) -> None:
        tries.append(one)
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        atomic.replace(tmp_path / "a", tmp_path / "b", rename)
    assert len(tries) == 1


def test_a_cached_file_that_is_being_read_stays_for_now(tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise InUse(13, "The process cannot access the file")

    path = tmp_path / "segment.mp4"
    path.write_text("x")
    assert atomic.remove(path, refuse) is False
    assert atomic.remove(path) is True
    assert atomic.remove(path) is True, "gone already"
    with pytest.raises(PermissionError):
        atomic.remove(path, lambda _: next(refusing(1, PermissionError)))


@pytest.mark.parametrize(
    "name", ["CON", "nul", "Aux.mp4", "com1", "LPT9.txt", "con .x", "COM\u00b9"]
)
def test_names_of_devices_are_no_names(name: str) -> None:
    """Also on Linux: its films may lie on a share that Windows reads."""
    assert is_device(name)
    assert not is_device(safe_name(name))


@pytest.mark.parametrize(
    "name", ["con", 'a<b>c:d"e/f\\g|h?i*j', "dots...", "spaces   ", ".hidden", "\x00\x1f"]
)
def test_a_log_folder_is_one_that_windows_can_open(name: str) -> None:
    made = safe_name(name)

    assert made and not set(made) & set('<>:"/\\|?*\x00\x1f')
    assert made == made.rstrip(" .") and not made.startswith(".")


def test_ordinary_names_stay_as_they_are() -> None:
    assert safe_name("Console") == "Console"
    assert safe_name("Grüße aus 東京 (2)") == "Grüße aus 東京 (2)"
