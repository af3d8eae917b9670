"""``make demo``: a farm on this machine renders a real compilation from real (or made) clips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from reelyard.bootstrap import Reelyard
from reelyard.settings import read_settings

from .material import CREDITS, REAL, items

OUT = Path(__file__).resolve().parents[1] / "out"
_UP_WITHIN = 60.0
_ENDS_WITHIN = 60.0
_REELYARD = (sys.executable, "-m", "reelyard")


def main() -> int:
    OUT.mkdir(exist_ok=True)
    print("Getting the clips ready ...", flush=True)
    job = _write_job(OUT / "demo.yaml")
    environ = _environ()
    with _farm(environ):
        print(f"\n$ reelyard submit {job} --wait", flush=True)
        done = subprocess.run([*_REELYARD, "submit", str(job), "--wait"], env=environ)
        print("\n$ reelyard status --once", flush=True)
        subprocess.run([*_REELYARD, "status", "--once"], env=environ)
    if done.returncode == 0:
        film = max((OUT / "films").glob("*.mp4"), key=lambda path: path.stat().st_mtime)
        print(f"\nThe film: {film}\nIts report and contact sheet lie beside it.")
        print("To work in the browser: .venv/bin/reelyard up, then open http://127.0.0.1:8080")
    if done.returncode == 0 and REAL.is_dir():
        print(CREDITS)
    return done.returncode


def _write_job(path: Path) -> Path:
    document = {
        "channel_name": "Around the World",
        "chapters": True,
        "loudness": True,
        "items": items(OUT / "clips", Reelyard(read_settings()).ffmpeg.executable),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def _environ() -> dict[str, str]:
    """A farm of the demo's own, whatever farm this machine belongs to."""
    shared = ("REELYARD_DATABASE_URL", "REELYARD_REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if name not in shared}
    return {
        **kept,
        "REELYARD_DATA_DIR": str(OUT / "farm"),
        "REELYARD_OUTPUT_DIR": str(OUT / "films"),
        "REELYARD_LOG_DIR": str(OUT / "logs"),
    }


@contextmanager
def _farm(environ: dict[str, str]) -> Iterator[None]:
    """``reelyard up`` in the background, ready to work."""
    log = OUT / "up.log"
    print(f"$ reelyard up     (it writes to {log})", flush=True)
    with log.open("wb") as file:
        up = subprocess.Popen(
            [*_REELYARD, "up", "--port", "0"], env=environ, stdout=file, stderr=file
        )
    try:
        _wait_for_worker(up, environ, log)
        yield
    finally:
        up.terminate()
        up.wait(_ENDS_WITHIN)


def _wait_for_worker(up: subprocess.Popen[bytes], environ: dict[str, str], log: Path) -> None:
    ends_at = time.monotonic() + _UP_WITHIN
    while time.monotonic() < ends_at and up.poll() is None:
        found = subprocess.run(
            [*_REELYARD, "workers", "--json"], env=environ, capture_output=True, text=True
        )
        if any(json.loads(line)["is_alive"] for line in found.stdout.splitlines()):
            return
        time.sleep(0.5)
    sys.exit(f"the farm did not start:\n{log.read_text(errors='replace')[-3000:]}")


if __name__ == "__main__":
    sys.exit(main())
