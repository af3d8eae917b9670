"""``reelyard serve`` and ``reelyard user``: who may come in is settled before anybody can."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reelyard.cli.main import app
from reelyard.domain.errors import ReelyardError

PASSWORD = "four dry pebbles"
STARTS_WITHIN = 60.0
ENDS_WITHIN = 10.0
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and all that it said."""

    code: int
    said: str


@dataclass
class Place:
    """A folder that everything of one server is in."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {
            **os.environ, "HOME": str(self.folder), "REELYARD_DATA_DIR": str(self.folder / "data"),
            "REELYARD_CACHE_DIR": str(self.folder / "cache"),
            "REELYARD_LOG_DIR": str(self.folder / "logs"),
            "REELYARD_REDIS_URL": "redis://127.0.0.1:1/0",  # nobody is there
        }  # fmt: skip

    def run(self, *arguments: str, said: str = "", **settings: object) -> Ended:
        """A command, run here to its end; ``said`` is what it reads."""
        done = CliRunner().invoke(app, arguments, input=said, env=self._with(settings))
        error = done.exception
        if isinstance(error, ReelyardError):
            return Ended(error.exit_code, done.output + str(error))
        assert error is None or isinstance(error, SystemExit), repr(error)
        return Ended(done.exit_code, done.output)

    def process(self, *arguments: str, **settings: object) -> Done:
        """The same as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "reelyard", *arguments], text=True, stdin=subprocess.DEVNULL, check=False,
            capture_output=True, timeout=STARTS_WITHIN, env=self._with(settings),
        )  # fmt: skip

    @contextmanager
    def serving(self, **settings: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A server that has begun, and where it is."""
        server = subprocess.Popen(
            [sys.executable, "-m", "reelyard", "serve", "--port", "0"],
            stderr=subprocess.PIPE, text=True, env=self._with(settings),
        )  # fmt: skip
        assert server.stderr is not None
        try:
            lines: list[str] = []
            for line in server.stderr:
                lines.append(line)
                if "startup complete" in line:
                    break
            found = re.search(r"Reelyard is at (\S+)", "".join(lines))
            assert found, "".join(lines)
            yield server, found[1]
        finally:
            server.kill()
            server.wait()
            server.stderr.close()

    def _with(self, settings: dict[str, object]) -> dict[str, str]:
        named = {f"REELYARD_{name.upper()}": str(value) for name, value in settings.items()}
        return {**self.environ, **named}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where ada, an admin, has an account."""
    place = Place(tmp_path_factory.mktemp("peopled"))
    wish = ("user", "add", "ada", "--role", "admin", "--password-stdin")
    assert place.run(*wish, said=f"{PASSWORD}\n").code == 0
    return place


def status(url: str, context: ssl.SSLContext | None = None) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nobody_outside_is_let_in_before_there_is_an_account(place: Place) -> None:
    """A host that others can reach is refused, with what to do first."""
    done = place.process("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "reelyard user add" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("serve",), ("up", "--workers", "0")])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "farm.example"])
def test_others_need_folders_to_choose_clips_from(
    peopled: Place, command: tuple[str, ...], host: str
) -> None:
    """With accounts and without media roots they could make films of any file."""
    done = peopled.run(*command, "--host", host, "--port", "0")
    assert done.code == 2
    assert "REELYARD_MEDIA_ROOTS" in done.said


@pytest.mark.parametrize(("name", "other"), [("tls_cert", "KEY"), ("tls_key", "CERT")])
def test_a_certificate_and_its_key_go_together(peopled: Place, name: str, other: str) -> None:
    settings = {name: peopled.folder / "some.pem"}
    done = peopled.run("serve", "--port", "0", **settings)  # type: ignore[arg-type]
    assert done.code == 2
    assert f"REELYARD_TLS_{other}" in done.said


@pytest.mark.parametrize("content", ["no certificate", None])
def test_a_certificate_that_is_none_is_said_in_words(peopled: Place, content: str | None) -> None:
    """Also one that is not there."""
    wrong = peopled.folder / ("wrong.pem" if content else "missing.pem")
    if content:
        wrong.write_text(content)
    done = peopled.run("serve", "--port", "0", tls_cert=wrong, tls_key=wrong)
    assert done.code == 2
    assert "REELYARD_TLS_CERT" in done.said


def test_a_port_that_is_taken_is_said_at_once(peopled: Place) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = peopled.run("serve", "--port", port)
    assert done.code == 2
    assert f"127.0.0.1:{port} can't be listened on" in done.said
    assert "--port" in done.said


def test_a_server_answers_and_ends_within_seconds_also_while_somebody_watches(
    place: Place,
) -> None:
    """With its own broker it is ready at once; an open stream of events does not hold it up."""
    del place.environ["REELYARD_REDIS_URL"]
    with place.serving() as (server, url):
        assert status(f"{url}/health/live") == 200
        assert _soon(lambda: status(f"{url}/health/ready") == 200)
        assert status(f"{url}/api/v1/jobs") == 200
        assert status(f"{url}/api/v1/nothing") == 404
        with closing(urllib.request.urlopen(f"{url}/api/v1/events", timeout=20)) as stream:
            assert stream.readline() == b": still here\n"
            began = time.monotonic()
            server.terminate()
            server.wait(STARTS_WITHIN)
            assert time.monotonic() - began < ENDS_WITHIN
            assert stream.read() == b"\n", "the stream ends like any other answer"
        assert server.stderr is not None
        assert "Traceback" not in server.stderr.read()


def test_over_https_the_cookie_is_for_https_only(peopled: Place) -> None:
    """With a certificate the server speaks nothing else."""
    cert, key = peopled.folder / "cert.pem", peopled.folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(cafile=cert)
    with peopled.serving(tls_cert=cert, tls_key=key) as (_, url):
        assert url.startswith("https://")
        assert status(f"{url}/api/v1/jobs", context) == 401
        wish = b'{"username": "ada", "password": "%s"}' % PASSWORD.encode()
        request = urllib.request.Request(f"{url}/api/v1/session", wish,
                                         {"content-type": "application/json"})  # fmt: skip
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            assert "; secure" in answer.headers["set-cookie"].lower()
        with pytest.raises(OSError):
            status(f"{url.replace('https', 'http')}/health/live")


def test_people_are_added_listed_and_given_passwords(place: Place) -> None:
    """The first has to be an admin; a password is read, never an argument, and never shown."""
    add, first = ("user", "add", "--password-stdin"), ("--role", "admin")
    refused = place.run(*add, "ben", said=f"{PASSWORD}\n")
    weak = place.run(*add, "ada", *first, said="ada\n")
    done = place.run(*add, "ada", *first, said=f"{PASSWORD}\n")
    again = place.run(*add, "ADA", said=f"{PASSWORD}\n")
    changed = place.run("user", "password", "ada", "--password-stdin", said="other words\n")
    nobody = place.run("user", "password", "eve", "--password-stdin", said="other words\n")
    ended = (refused, weak, done, again, changed, nobody)
    assert [one.code for one in ended] == [2, 2, 0, 2, 0, 2]
    assert "the first account has to be an admin's" in refused.said
    assert "the password is too short" in weak.said
    assert done.said == "ada may sign in as admin\n"
    assert "ADA" in again.said
    assert changed.said == "ada has a new password\n"
    assert "reelyard user list" in nobody.said
    assert not [one for one in ended if PASSWORD in one.said or "other words" in one.said]
    assert place.run("user", "list").said == "ada\tadmin\t\n"
    assert '"username": "ada"' in place.run("user", "list", "--json").said


def test_a_password_that_is_asked_for_is_typed_twice(place: Place) -> None:
    """And is not shown."""
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    done = place.run("user", "add", "ada", "--role", "admin", said=typed)
    assert done.code == 0
    assert PASSWORD not in done.said
    assert place.run("user", "password", "ada", said="one of these\nanother one\n").code != 0


def _soon(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + STARTS_WITHIN
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
