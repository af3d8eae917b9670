"""A whole farm for tests of the pages: the product's own command, its people, its API."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from reelyard.api.identity import SESSION_COOKIE
from reelyard.domain.access import Role
from reelyard.system import posix

T = TypeVar("T")
PASSWORD = "four dry pebbles"
QUEUE = "default_queue"
_PATIENCE = 60.0
_READY = re.compile(r"Reelyard is at (http://\S+)")


def wait_for(find: Callable[[], T], what: str, seconds: float = _PATIENCE) -> T:
    """The first true thing that ``find`` returns; fails the test after ``seconds``."""
    ends_at = time.monotonic() + seconds
    while True:
        found = find()
        if found:
            return found
        assert time.monotonic() < ends_at, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Api:
    """The API, with somebody's key."""

    url: str
    headers: Mapping[str, str]

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Any:
        return self.call("POST", path, body)

    def submit(self, channel: str, *items: Mapping[str, object], **job: object) -> str:
        """Submit a job; its id."""
        document = {"channel_name": channel, "items": items, **job}
        return str(self.post("/jobs", document)["job_id"])

    def waiting(self) -> list[str]:
        """The ids of the jobs that wait, in the order in which they are taken."""
        jobs = [line["job"] for line in self.get("/queues")["jobs"]]
        return [one["job_id"] for one in jobs if one["status"] == "queued"]

    def hold(self, is_held: bool) -> None:
        """Have nobody take jobs from the queue, or drop what waits in it and let it go."""
        for job_id in () if is_held else self.waiting():
            self.post(f"/jobs/{job_id}/cancel")
        self.call("PUT", f"/queues/{QUEUE}/pause", {"is_paused": is_held})

    def status(self, job_id: str) -> str:
        return str(self.get(f"/jobs/{job_id}")["status"])

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's document; raises AssertionError with what a refusal says."""
        return _ask(f"{self.url}/api/v1{path}", method, body, self.headers)[0]


def _ask(
    url: str, method: str, body: object, headers: Mapping[str, str]
) -> tuple[Any, HTTPMessage]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {**headers, "Content-Type": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=_PATIENCE) as answer:
            text = answer.read()
            return json.loads(text) if text else None, answer.headers
    except HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.code} {error.read().decode()}") from error


@dataclass
class Site:
    """``reelyard up`` with one worker, in folders of its own; ``media`` is where its clips are."""

    folder: Path
    media: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _sessions: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "up.log"

    def open(self) -> None:
        """Start it, with an admin called ada; the others come by ``person``."""
        self.command("user", "add", "ada", "--role", "admin", "--password-stdin")
        up = self.start("up", "--workers", "1", "--port", "0", log=self.log)
        self.url = wait_for(lambda: self._address(up), f"the server to come: {self.log}")
        wait_for(self._answers, f"the server to answer: {self.log}")

    def _address(self, up: subprocess.Popen[bytes]) -> str:
        assert up.poll() is None, self.log.read_text(errors="replace")
        found = _READY.search(self.log.read_text(errors="replace"))
        return found[1] if found else ""

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/health/live", timeout=5):
                return True
        except URLError:
            return False

    def close(self) -> None:
        """End all of it in order."""
        for one in self._started:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in self._started:
            one.wait(_PATIENCE)

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """A command that goes on beside the test."""
        with log.open("ab") as file:
            process = subprocess.Popen(
                _argv(arguments), env=self._environ(), stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, preexec_fn=posix.dies_with_parent(), start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def command(self, *arguments: str, typed: str = PASSWORD) -> str:
        """What a command prints; it has to succeed."""
        done = subprocess.run(
            _argv(arguments), env=self._environ(), input=typed + "\n", capture_output=True,
            text=True, check=False, timeout=_PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "REELYARD" not in name}
        own = {
            "HOME": str(self.folder),
            "REELYARD_DATA_DIR": str(self.folder / "data"),
            "REELYARD_CACHE_DIR": str(self.folder / "cache"),
            "REELYARD_LOG_DIR": str(self.folder / "logs"),
            "REELYARD_MEDIA_ROOTS": str(self.media),
            "REELYARD_ENCODER": "libx264",
            "REELYARD_JOBS": "1",  # a film of seconds takes seconds: one can see it being made
        }
        return kept | own | dict(self.settings)

    # People

    def person(self, name: str, role: Role) -> Api:
        """Add somebody, and the API as they have it."""
        self.of("ada").post("/users", {"username": name, "password": PASSWORD, "role": role})
        return self.of(name)

    def of(self, name: str) -> Api:
        """The API as somebody who has an account uses it."""
        return Api(self.url, {"Cookie": f"{SESSION_COOKIE}={self.session(name)}"})

    def session(self, name: str) -> str:
        """The secret of a session of theirs."""
        if name not in self._sessions:
            said = {"username": name, "password": PASSWORD}
            _, headers = _ask(f"{self.url}/api/v1/session", "POST", said, {})
            self._sessions[name] = headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        return self._sessions[name]

    def complaints(self, since: int) -> str:
        """What the farm's programs wrote about errors of their own after so many letters."""
        lines = self.log.read_text(errors="replace")[since:].splitlines()
        first = next((n for n, line in enumerate(lines) if "Traceback" in line), None)
        return "" if first is None else "\n".join(lines[max(0, first - 3) : first + 60])


def _argv(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "reelyard", *arguments]
