"""Windows: job objects, console events, drives, access lists, through ``ctypes``.

Everything that is called is given to the constructor, so that it can be tried on other systems. The numbers and
layouts are those of the Windows SDK; fields have fixed sizes, since ``ctypes.wintypes`` has other ones elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import subprocess
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import psutil

CREATE_NEW_PROCESS_GROUP = 0x0200
CREATE_NO_WINDOW = 0x0800_0000
CREATE_SUSPENDED = 0x0004
_CTRL_BREAK_EVENT = 1
_EXTENDED_LIMIT_INFORMATION = 9
KILL_ON_JOB_CLOSE = 0x2000
_PROCESS_TERMINATE_AND_SET_QUOTA = 0x0101
_DRIVE_REMOTE = 4
_KILLED = 1
_FILE_OBJECT, _ACCESS_LIST, _REVISION = 1, 4, 1
_HANDLE = ctypes.c_void_p
# Rights as an access list spells them: all of a file, reading it, or a number with the bit for reading.
_ALLOWS = re.compile(r"\(A;[^;]*;([^;]*);[^;]*;[^;]*;([^;)]*)\)")
_EVERYBODY = {"WD": "everybody", "BU": "every user of this machine", "AU": "every user of the domain",
              "S-1-1-0": "everybody", "S-1-5-32-545": "every user of this machine",
              "S-1-5-11": "every user of the domain"}  # fmt: skip
_READS = ("FA", "FR", "GA", "GR")
_FILE_READ_DATA = 1


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION"""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64), ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t), ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32), ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32), ("SchedulingClass", ctypes.c_uint32),
    )  # fmt: skip


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION"""

    _fields_ = (
        ("BasicLimitInformation", BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t), ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t), ("PeakJobMemoryUsed", ctypes.c_size_t),
    )  # fmt: skip


class Windows:
    """The system, by its libraries. ``popen`` starts a process, ``resume`` lets a suspended one run."""

    def __init__(
        self,
        kernel32: Any,
        advapi32: Any,
        popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
        resume: Callable[[int], None] = lambda pid: psutil.Process(pid).resume(),
    ) -> None:
        self._kernel32 = kernel32
        self._advapi32 = advapi32
        self._popen = popen
        self._resume = resume
        self._jobs: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        _declare(kernel32, advapi32)

    # Processes

    def start(
        self, argv: Sequence[str], *, hidden: bool = False, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process in a group and a job object of its own.

        The only handle of the job is ours: Windows closes it however this process ends, and ends everything in
        the job with it. It is suspended until it is in the job, so that nothing it starts is left out.
        ``hidden``: without a console, so it can't be asked to end.
        """
        flags = CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED
        job = self._new_job()
        try:
            process = self._popen(
                list(argv), creationflags=flags | (CREATE_NO_WINDOW if hidden else 0), **options
            )
        except BaseException:
            self._kernel32.CloseHandle(job)
            raise
        self._jobs[process] = job
        weakref.finalize(process, self._kernel32.CloseHandle, job)
        try:
            self._put_in(process.pid, job)
            self._resume(process.pid)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def _new_job(self) -> int:
        job = self._kernel32.CreateJobObjectW(None, None)
        if not job:
            raise _failure("CreateJobObject")
        limits = ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = KILL_ON_JOB_CLOSE
        if not self._kernel32.SetInformationJobObject(
            job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        ):
            failure = _failure("SetInformationJobObject")
            self._kernel32.CloseHandle(job)
            raise failure
        return int(job)

    def _put_in(self, pid: int, job: int) -> None:
        handle = self._kernel32.OpenProcess(_PROCESS_TERMINATE_AND_SET_QUOTA, 0, pid)
        if not handle:
            raise _failure("OpenProcess")
        try:
            if not self._kernel32.AssignProcessToJobObject(job, handle):
                raise _failure("AssignProcessToJobObject")
        finally:
            self._kernel32.CloseHandle(handle)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and everything that it started, at once."""
        job = self._jobs.get(process)
        if job is None or not self._kernel32.TerminateJobObject(job, _KILLED):
            process.kill()

    def ask_to_end(self, process: subprocess.Popen[bytes]) -> None:
        """Send Ctrl-Break to its group. Where it shares no console with us it can only be ended."""
        if not self._kernel32.GenerateConsoleCtrlEvent(_CTRL_BREAK_EVENT, process.pid):
            self.kill(process)

    def die_with_parent(self) -> None:
        """Its job object sees to that."""

    def end_this_process(self) -> None:
        """As if somebody had told it to end. Its main thread hears of it when it next wakes up."""
        signal.raise_signal(signal.SIGTERM)

    def around_forks(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        """Windows has no forks."""

    # The machine

    def cores(self) -> int:
        """The cores that this process may use."""
        return len(psutil.Process().cpu_affinity() or ()) or os.cpu_count() or 1

    def user(self) -> int:
        """Users have no numbers; files say 0 of whose they are."""
        return 0

    def graphics_driver(self) -> str:
        """Which driver of NVIDIA's is installed, told by its library; ``none`` where there is none."""
        library = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll")
        try:
            found = library.stat()
        except OSError:
            return "none"
        return f"{found.st_size} {found.st_mtime_ns}"

    def on_network(self, path: str) -> bool:
        """Whether a path lies on a drive that is mapped to a share."""
        drive = PureWindowsPath(path).drive
        return len(drive) == 2 and self._kernel32.GetDriveTypeW(f"{drive}\\") == _DRIVE_REMOTE

    def exposed_to(self, path: Path) -> str | None:
        """Who else may read a file; None if only those may who were named."""
        return exposure(self._access_list(path))

    def protection(self, path: Path) -> str:
        """What to do that nobody else may read a file; the names are the same in every language."""
        system, administrators = "*S-1-5-18:F", "*S-1-5-32-544:F"
        return (f'icacls "{path}" /inheritance:r /grant:r {system} {administrators} '
                "and the account that the worker runs as: ACCOUNT:R")  # fmt: skip

    def _access_list(self, path: Path) -> str:
        """A file's access list as a text (SDDL). Raises OSError."""
        found, text = ctypes.c_void_p(), ctypes.c_wchar_p()
        if self._advapi32.GetNamedSecurityInfoW(
            str(path), _FILE_OBJECT, _ACCESS_LIST, None, None, None, None, ctypes.byref(found)
        ):
            raise _failure("GetNamedSecurityInfo")
        try:
            if not self._advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW(
                found, _REVISION, _ACCESS_LIST, ctypes.byref(text), None
            ):
                raise _failure("ConvertSecurityDescriptor")
            said = str(text.value)
            self._kernel32.LocalFree(text)
            return said
        finally:
            self._kernel32.LocalFree(found)


def exposure(access_list: str) -> str | None:
    """Who of those that nobody named may read what has this access list (SDDL)."""
    for rights, who in _ALLOWS.findall(access_list):
        if who in _EVERYBODY and _lets_read(rights):
            return _EVERYBODY[who]
    return None


def _lets_read(rights: str) -> bool:
    if rights.startswith("0x"):
        return bool(int(rights, 16) & _FILE_READ_DATA)
    return any(right in _READS for right in re.findall("..", rights))


def _failure(what: str) -> OSError:
    code = getattr(ctypes, "get_last_error", lambda: 0)()
    return OSError(errno.EIO, f"{what} failed: Windows error {code}")


def _declare(kernel32: Any, advapi32: Any) -> None:
    """Handles are as wide as pointers: unsaid, ctypes would cut them to an int."""
    dword, text, pointer = ctypes.c_uint32, ctypes.c_wchar_p, ctypes.c_void_p
    for function, result, arguments in (
        (kernel32.CreateJobObjectW, _HANDLE, [pointer, text]),
        (kernel32.SetInformationJobObject, ctypes.c_int, [_HANDLE, ctypes.c_int, pointer, dword]),
        (kernel32.OpenProcess, _HANDLE, [dword, ctypes.c_int, dword]),
        (kernel32.AssignProcessToJobObject, ctypes.c_int, [_HANDLE, _HANDLE]),
        (kernel32.TerminateJobObject, ctypes.c_int, [_HANDLE, ctypes.c_uint]),
        (kernel32.CloseHandle, ctypes.c_int, [_HANDLE]),
        (kernel32.GenerateConsoleCtrlEvent, ctypes.c_int, [dword, dword]),
        (kernel32.GetDriveTypeW, ctypes.c_uint, [text]),
        (kernel32.LocalFree, pointer, [pointer]),
        (advapi32.GetNamedSecurityInfoW, dword,
         [text, ctypes.c_int, dword, pointer, pointer, pointer, pointer, pointer]),
        (advapi32.ConvertSecurityDescriptorToStringSecurityDescriptorW, ctypes.c_int,
         [pointer, dword, dword, pointer, pointer]),
    ):  # fmt: skip
        function.restype, function.argtypes = result, arguments
