"""Work folders: gone however their job ended, never taken from a job that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reelyard.files.work_folder import work_folder

_HOLDER = """
import sys, time
from pathlib import Path
from reelyard.files.work_folder import work_folder
with work_folder(Path(sys.argv[1])) as folder:
    (folder / "piece.mp4").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(root: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a work folder of its own, until its stdin is closed."""
    argv = [sys.executable, "-c", _HOLDER, str(root)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())


def test_a_folder_is_new_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with work_folder(tmp_path / "work") as one, work_folder(tmp_path / "work") as other:
        assert one != other and one.is_dir() and other.is_dir()
        assert not any(one.iterdir())
        (one / "deep" / "er").mkdir(parents=True)
        (one / "deep" / "file").write_bytes(b"x")
    assert not any((tmp_path / "work").iterdir())


def test_a_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="oops"), work_folder(tmp_path) as folder:
        (folder / "file").write_bytes(b"x")
        raise RuntimeError("oops")
    assert not any(tmp_path.iterdir())


def test_the_folder_of_a_killed_process_is_removed_by_the_next_job(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder / "piece.mp4").exists()
    with work_folder(tmp_path) as own:
        assert not folder.exists()
        assert own.is_dir()
    assert not any(tmp_path.iterdir())


def test_the_folder_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, folder):
        for _ in range(3):
            with work_folder(tmp_path):
                assert (folder / "piece.mp4").exists()
        assert process.poll() is None and (folder / "piece.mp4").exists()
        process.communicate()
    assert not any(tmp_path.iterdir())


_MANY = """
import sys
from pathlib import Path
from reelyard.files.work_folder import work_folder
for _ in range(60):
    with work_folder(Path(sys.argv[1])) as folder:
        (folder / "piece.mp4").write_bytes(b"x")
        assert (folder / "piece.mp4").exists(), "somebody removed a living job's folder"
"""


def test_many_processes_come_and_go(tmp_path: Path) -> None:
    """One that just starts is never mistaken for one that was killed."""
    argv = [sys.executable, "-W", "error", "-c", _MANY, str(tmp_path)]
    processes = [
        subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]  # fmt: skip
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, said
    assert not any(tmp_path.iterdir())
