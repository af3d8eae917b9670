"""Fixtures: clips made with FFmpeg, a Reelyard of its own per test, the real command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.output import DRAFT, HD, UHD
from reelyard.engine.discover import find_ffmpeg
from reelyard.files.memory import Memory
from reelyard.services.job_file import parse_job
from reelyard.services.progress import Watcher
from reelyard.services.render_job import Rendered
from reelyard.settings import Settings
from tests.forks import Fork

if TYPE_CHECKING:
    from tests.bigquery_server import BigQueryServer
    from tests.s3_server import S3Server
    from tests.servers import PostgresServer, RedisServer

REAL_MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests gets in, and nothing of theirs is touched."""
    for name in list(os.environ):
        if name.startswith("REELYARD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REELYARD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("REELYARD_LOG_DIR", str(tmp_path / "logs"))


@pytest.fixture(scope="session", autouse=True)
def _temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What killed processes leave where temporary files go is gone with the session.

    It is no folder of pytest's: sockets lie there, and their paths have to be short.
    """
    from tests.servers import TEMPORARY

    tmp_path_factory.getbasetemp()  # stays where it is
    named = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="ry-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield
        tempfile.tempdir = str(TEMPORARY)
        os.environ.pop("TMPDIR")
        if named is not None:
            os.environ["TMPDIR"] = named


@dataclass(frozen=True)
class Clips:
    """Makes clips with the packaged FFmpeg, each once per test session."""

    folder: Path
    ffmpeg: Path

    def make(self, name: str, *arguments: str) -> Path:
        """The clip that ``ffmpeg ARGUMENTS name`` makes."""
        path = self.folder / name
        if not path.exists():
            self.run(*arguments, str(path))
        return path

    def run(self, *arguments: str) -> str:
        """Run FFmpeg and return what it wrote to stderr; it has to succeed."""
        argv = [str(self.ffmpeg), "-hide_banner", "-nostdin", "-y", *arguments]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stderr.decode("utf-8", "replace")

    def video(
        self, name: str, *, size: str = "320x180", rate: str = "30", seconds: float = 2,
        sound: bool = True, picture: str = "testsrc2", options: tuple[str, ...] = (),
    ) -> Path:  # fmt: skip
        """A small clip of a moving test picture, with a tone."""
        source = f"{picture}=size={size}:rate={rate}:duration={seconds}"
        tone = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
        inputs = ["-f", "lavfi", "-i", source]
        if sound:
            inputs += ["-f", "lavfi", "-i", tone]
        coding = options or ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
        return self.make(name, *inputs, *coding)

    def picture(self, name: str, *, size: str = "320x180", options: tuple[str, ...] = ()) -> Path:
        """A still test picture."""
        source = f"testsrc2=size={size}:rate=1:duration=1"
        return self.make(
            name, "-f", "lavfi", "-i", source, "-frames:v", "1", "-update", "1", *options
        )


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    folder = tmp_path_factory.mktemp("clips")
    ffmpeg = find_ffmpeg(None, Memory(folder / "memory"))
    return Clips(folder, ffmpeg.executable)


class LocalFilm(Rendered):
    """A film that was rendered to a folder of this machine, for type checkers."""

    output: Path
    report: Path
    contact_sheet: Path
    chapter_list: Path | None


@dataclass(frozen=True)
class Studio:
    """A Reelyard with a cache of its own."""

    folder: Path

    def settings(self, **changes: Any) -> Settings:
        own = {"cache_dir": self.folder / "cache", "log_dir": self.folder / "logs"}
        return Settings(**{**own, **changes})

    def reelyard(self, at_once: int | None = None, **changes: Any) -> Reelyard:
        return Reelyard(self.settings(**changes), encoder="libx264", at_once=at_once)

    def render(
        self,
        *items: dict[str, Any],
        output: str = "film.mp4",
        watcher: Watcher | None = None,
        at_once: int | None = None,
        settings: dict[str, Any] | None = None,
        **job: Any,
    ) -> LocalFilm:
        """Render items (as in a job file) to ``output`` in this studio's folder."""
        document = {"channel_name": "Tests", "items": list(items), **job}
        reelyard = self.reelyard(at_once, **(settings or {}))
        parsed = parse_job(json.loads(json.dumps(document, default=str)), self.folder)
        return cast(LocalFilm, reelyard.render_job(parsed, self.folder / output, watcher))


@pytest.fixture(scope="session")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a cache remembers of a machine that has proved its encoder: most tests are about something else."""
    folder = tmp_path_factory.mktemp("proven")
    machine = Studio(folder).reelyard().machine
    for form in (HD, UHD, DRAFT):
        assert machine.working_encoder(form) == "libx264"
    return folder / "cache" / "memory"


@pytest.fixture
def studio(tmp_path: Path, proven: Path) -> Studio:
    shutil.copytree(proven, tmp_path / "cache" / "memory")
    return Studio(tmp_path)


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run the real command line; its environment is this test's.

    It is a fork of a process that has all libraries, or what only a new Python can be: ``afresh``.
    """

    def fork(
        *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path = tmp_path,
        timeout: float = 300, **limits: Any,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        with Fork(*arguments, environ=env or os.environ, folder=cwd, **limits) as process:
            out, err = process.communicate(timeout)
        return subprocess.CompletedProcess(arguments, process.wait(), out, err)

    def run(
        *arguments: str | Path, afresh: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        if not afresh:
            return fork(*arguments, **options)
        argv = [sys.executable, "-m", "reelyard", *map(str, arguments)]
        settled = {"cwd": tmp_path, "timeout": 300, **options}
        return subprocess.run(
            argv, capture_output=True, text=True, encoding="utf-8", errors="surrogateescape",
            check=False, stdin=subprocess.DEVNULL, **settled,
        )  # fmt: skip

    return run


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[..., Path]:
    """Write a job file and return its path."""

    def write(*items: dict[str, Any], name: str = "job.json", **job: Any) -> Path:
        path = tmp_path / name
        document = {"channel_name": "Tests", "items": list(items), **job}
        path.write_text(json.dumps(document, default=str))
        return path

    return write


@pytest.fixture(scope="session")
def real_media() -> Path | None:
    """The folder of real clips, where there is one."""
    return REAL_MEDIA if REAL_MEDIA.is_dir() else None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running, empty Redis of this test's own."""
    from tests.servers import RedisServer

    with closing(RedisServer(tmp_path / "redis")) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3 server of this test session, or of one of its workers."""
    from tests.s3_server import S3Server

    with closing(S3Server(tmp_path_factory.mktemp("s3"))) as server:
        server.start()
        yield server


@pytest.fixture(scope="session")
def _bigquery() -> Iterator[BigQueryServer]:
    from tests.bigquery_server import BigQueryServer

    with closing(BigQueryServer()) as server:
        yield server


@pytest.fixture
def bigquery(_bigquery: BigQueryServer) -> BigQueryServer:
    """A local BigQuery that runs, has nothing against anybody and remembers no calls. It keeps its tables."""
    _bigquery.stop()
    _bigquery.forget()
    _bigquery.start()
    return _bigquery


@pytest.fixture
def project() -> str:
    """A project of BigQuery's that nobody else uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL of this test session, or of one of its workers."""
    from tests.servers import PostgresServer

    with closing(PostgresServer()) as server:
        server.start()
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, with the server up even if a test left it down."""
    name = f"test_{uuid.uuid4().hex}"
    if not postgres.runs():
        postgres.start()
    yield postgres.create(name)
    if postgres.runs():
        postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database; a test that takes it runs once with each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'farm.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url
