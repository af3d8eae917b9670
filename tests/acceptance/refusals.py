"""What a refusal looks like: lines on stderr, an exit code, nothing made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]
WriteJob = Callable[..., Path]


def lines_of(done: Done) -> list[str]:
    """The problems on stderr, one line each."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stderr.strip().splitlines()
    return [line for line in lines if not line.lstrip()[:1].isdigit()]  # without the progress


def refused(done: Done, output: Path) -> list[str]:
    """The problems of a job that was refused as bad input."""
    lines = lines_of(done)
    assert (done.returncode, output.exists()) == (2, False), done.stderr
    lines[0] = lines[0].removeprefix("reelyard: ")
    return lines


def error_of(done: Done) -> dict[str, Any]:
    """The error of a run with --json: the last line, and the only one of its kind."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [event for event in events if event["event"] == "error"]
    assert len(errors) == 1 and events[-1] == errors[0]
    found: dict[str, Any] = errors[0]
    return found


def entries(cache: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (cache / "entries").rglob("*") if path.is_file()}
