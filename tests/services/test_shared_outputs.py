"""Films that go to a share or to a store: the same job from end to end, over Samba and an S3 server."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.access import Principal, Role
from reelyard.domain.errors import FarmUnavailable, NotFound, OutputUnusable
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.share import Share as ShareRow
from reelyard.domain.share import ShareTable
from reelyard.files.distant import DistantPath
from reelyard.services.desk import JobDesk
from reelyard.services.doctor import Verdict
from reelyard.services.films import Films
from reelyard.services.output_folder import OutputFolder
from reelyard.services.outputs import check_output
from reelyard.store.search import Search
from tests.s3_server import S3Server
from tests.samba import SambaServer

from .conftest import Gate, Siding, Turn, wait_for
from .test_lost import expired


@dataclass
class ShareSiding(Siding):
    """One whose films go to a share; ``out`` is where that is for its server."""

    on_server: Path = field(default_factory=Path)

    @property
    def out(self) -> Path:
        return self.on_server

    @property
    def desk(self) -> JobDesk:
        farm = self.farm
        return JobDesk(submitting=self.submitting, jobs=farm.jobs, queues=farm.queues,
                       search=Search(farm.reelyard.database), workers=farm.workers,
                       queue=self.queue, folder=self.folder, films=farm.reelyard.films)  # fmt: skip

    @property
    def tester(self) -> Principal:
        return Principal(user_id=self.user, username="tester", role=Role.OPERATOR)

    def name(self, job_id: str) -> str:
        """What everybody calls a job's film."""
        return f"{self.farm.settings.outputs}/Tests_{job_id}.mp4"

    def films(self) -> list[str]:
        """What is in the folder; rclone keeps empty folders."""
        if not self.out.is_dir():
            return []
        found = [path for path in self.out.iterdir() if path.is_file() or any(path.iterdir())]
        return sorted(path.name for path in found)


def on_samba(server: SambaServer, share: str = "media", **changes: Any) -> dict[str, Any]:
    row = {"name": f"//nas/{share}", "host": server.host, "port": server.port,
           "user": server.user, "password": server.password}  # fmt: skip
    return {**row, **changes}


def on_s3(server: S3Server) -> dict[str, Any]:
    return {"name": "s3://films", "user": server.key, "password": server.secret,
            "options": {"endpoint": server.url}}  # fmt: skip


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SambaServer]:
    with closing(SambaServer(tmp_path_factory.mktemp("samba"))) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with closing(S3Server(tmp_path_factory.mktemp("s3"))) as server:
        server.start()
        server.bucket("films")
        yield server


Opens = Callable[..., ShareSiding]


@pytest.fixture
def open_siding(tmp_path: Path, _empty: Path, _warm: Path) -> Iterator[Opens]:
    """Opens the siding of this test, with what its films need in the cache."""
    made: list[ShareSiding] = []

    def opened(output: str, on_server: Path, *rows: dict[str, Any]) -> ShareSiding:
        shutil.copy(_empty, tmp_path / "farm.db")
        shutil.copytree(_warm, tmp_path / "cache", copy_function=os.link)
        settings = {"output_dir": output, "shares": rows, "lease_seconds": 3.0}
        made.append(ShareSiding(tmp_path, settings=settings, on_server=on_server))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture(params=["smb", "s3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, open_siding: Opens) -> ShareSiding:
    """A siding whose films go to a folder on a share, or in a store."""
    folder = f"of {tmp_path.name}"
    if request.param == "s3":
        store: S3Server = request.getfixturevalue("s3")
        return open_siding(f"s3://films/{folder}", store.files / "films" / folder, on_s3(store))
    server: SambaServer = request.getfixturevalue("samba")
    return open_siding(f"//nas/media/{folder}", server.share() / folder, on_samba(server))


def test_a_film_goes_to_its_share_and_every_book_calls_it_by_its_name(
    shared: ShareSiding, clip: Path
) -> None:
    """Rows, results, report and log say what every machine calls it; the server shows and removes it."""
    job_id = shared.film(clip, chapters=True)
    assert shared.worker()(job_id, None) is JobStatus.COMPLETED
    name, film = shared.name(job_id), shared.output(job_id)
    assert shared.state(job_id).output_path == name
    (entry,) = shared.sweep().outbox.due()
    assert entry.result.output_path == name
    assert json.loads(film.with_suffix(".report.json").read_text())["output"] == name
    assert any(f"bytes to {name} in" in line for line in shared.log(job_id))
    assert shared.films() == sorted(
        film.with_suffix(suffix).name
        for suffix in (".mp4", ".report.json", ".contact-sheet.jpg", ".chapters.txt")
    )
    found = shared.desk.file(shared.tester, job_id, "output")
    assert isinstance(found, DistantPath)
    assert b"".join(found.read(0, None)) == film.read_bytes()
    shared.desk.remove(shared.tester, job_id, with_film=True)
    assert shared.films() == []


def test_a_worker_that_hung_just_before_publishing_is_turned_away_by_the_share(
    shared: ShareSiding, clip: Path
) -> None:
    """It was permitted to, and has not looked since."""
    job_id = shared.film(clip)
    permitted, go_on = threading.Event(), threading.Event()
    gate = Gate(shared.farm.settings.database)

    def hang(stage: str) -> None:
        if stage == "permitted":
            gate.hangs = True
            permitted.set()
            go_on.wait(60)

    with closing(gate):
        first = Turn(shared.worker("pc1", hang, database=gate), job_id)
        wait_for(permitted.is_set, "the permit")
        assert [name[0] for name in shared.films()] == ["."]
        expired(shared, job_id)
        assert shared.worker("pc2")(job_id, None) is JobStatus.COMPLETED
        film = shared.output(job_id)
        before = film.stat().st_mtime_ns, film.read_bytes()
        go_on.set()
        gate.hangs = False
        assert first.ends() is JobStatus.COMPLETED
    assert (film.stat().st_mtime_ns, film.read_bytes()) == before
    assert not any(name.startswith(".") for name in shared.films())
    assert shared.state(job_id).worker_id == "pc2"


@pytest.mark.parametrize("stage", ["publishing", "done"])
def test_cancelled_while_it_is_published_nothing_stays(
    shared: ShareSiding, clip: Path, stage: str
) -> None:
    job_id = shared.film(clip)

    def cancel(now: str) -> None:
        if now == stage:
            shared.farm.jobs.cancel(job_id)

    assert shared.worker(told=cancel)(job_id, None) is JobStatus.CANCELLED
    shared.sweep().clean_up()
    assert shared.films() == []
    assert shared.state(job_id).planned_output is None


def test_what_a_killed_worker_left_on_a_share_any_machine_cleans_up(
    shared: ShareSiding, clip: Path
) -> None:
    """What is reached directly is the same for all, unlike folders of the same name."""
    job_id = shared.film(clip)

    class Killed(BaseException):
        """Nothing is done after it."""

    def die(stage: str) -> None:
        if stage == "permitted":
            raise Killed

    with pytest.raises(Killed):
        shared.worker(told=die)(job_id, None)
    shared.farm.jobs.cancel(job_id)
    clean_up = shared.sweep().clean_up
    replace(clean_up, host="another machine", _not_here=set())()
    assert (shared.films(), shared.state(job_id).planned_output) == ([], None)


def test_a_film_made_without_a_farm_may_go_to_a_share_as_well(
    shared: ShareSiding, clip: Path
) -> None:
    """``reelyard render JOB -o NAME``, but never over one of its sources or the job's file."""
    films, folder = shared.farm.reelyard.films, shared.farm.settings.outputs
    render, job = shared.farm.reelyard.render_job, shared.job({"item_type": "video", "path": clip})
    done = render(job, films.find(f"{folder}/by hand.mp4"))
    assert (done.named, str(done.output)) == (f"{folder}/by hand.mp4",) * 2
    assert (shared.out / "by hand.mp4").stat().st_size == done.film.size
    source = replace(job.items[0], path=f"{folder}/by hand.mp4")
    with pytest.raises(OutputUnusable, match="one of its sources"):
        render(replace(job, items=(source,)), films.find(f"{folder}/by hand.mp4"))
    with pytest.raises(OutputUnusable):
        render(job, films.find(f"{folder}/film.avi"))
    if folder.startswith("//"):  # a store has no folders: there may be an object below another one
        with pytest.raises(OutputUnusable):
            render(job, films.find(f"{folder}/by hand.mp4/film.mp4"))


# What a share does


def waits(siding: ShareSiding, job_id: str, *words: str) -> None:
    state = siding.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.QUEUED, 0), state.error_message
    for word in words:
        assert word in str(state.waiting_for)
    assert str(siding.farm.settings.shares[0].secret()) not in str(state.waiting_for)


def goes_on(siding: ShareSiding, job_id: str) -> None:
    worker = siding.worker()

    def take() -> bool:
        siding.register()
        return worker(job_id, None) is JobStatus.COMPLETED

    wait_for(take, "the job to be done")
    assert len(siding.films()) == 3


def test_a_share_that_goes_away_while_a_film_is_published_is_waited_for(
    tmp_path: Path, open_siding: Opens, clip: Path
) -> None:
    """Nobody is to blame; the film is there again from the cache."""
    with closing(SambaServer(tmp_path / "samba")) as server:
        server.start()
        siding = open_siding("//nas/media/films", server.share() / "films", on_samba(server))
        job_id = siding.film(clip)

        def unplug(stage: str) -> None:
            if stage == "publishing":
                server.kill()

        assert siding.worker(told=unplug)(job_id, None) is JobStatus.QUEUED
        waits(siding, job_id, "//nas/media/films", "can't be reached")
        with pytest.raises(NotFound):
            siding.desk.file(siding.tester, job_id, "output")
        assert siding.worker()(job_id, None) in (None, JobStatus.QUEUED)  # too early, or still away
        server.start()
        goes_on(siding, job_id)
        server.stop()
        with pytest.raises(FarmUnavailable, match="can't be read just now"):
            siding.desk.file(siding.tester, job_id, "output")
        with pytest.raises(OutputUnusable, match="can't be removed"):
            siding.desk.remove(siding.tester, job_id, with_film=True)


@pytest.mark.parametrize(("share", "changes", "words"), [
    ("media", {"password": "n0t this one"}, ("can't be written", "REELYARD_SHARES")),
    ("archive", {}, ("can't be written", "REELYARD_OUTPUT_DIR")),
    ("private", {}, ("can't be written", "REELYARD_SHARES")),
    ("nowhere", {}, ("can't be reached", "REELYARD_OUTPUT_DIR")),
])  # fmt: skip
def test_a_share_that_refuses_is_named_with_what_to_do(
    samba: SambaServer, open_siding: Opens, clip: Path, share: str, changes: dict[str, str],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    """Before anything is rendered, and by the doctor."""
    output = f"//nas/{share}/films"
    siding = open_siding(output, samba.share() / "none", on_samba(samba, share, **changes))
    job_id = siding.film(clip)
    seen: list[str] = []
    assert siding.worker(told=seen.append)(job_id, None) is JobStatus.QUEUED
    assert "rendering" not in seen
    waits(siding, job_id, output, *words)
    finding = siding.farm.outputs.examine()
    assert finding.verdict is Verdict.FAILED
    told = f"{finding.message}. {finding.remedy}"
    assert output in told and all(word in told for word in words)
    assert str(siding.farm.settings.shares[0].secret()) not in told


def test_a_share_without_room_is_waited_for(
    samba: SambaServer, open_siding: Opens, clip: Path
) -> None:
    if not samba.has_small:
        pytest.skip("this needs to mount a small disk")
    siding = open_siding("//nas/small/films", samba.share("small"), on_samba(samba, "small"))
    job_id = siding.film(clip)
    assert siding.worker()(job_id, None) is JobStatus.QUEUED
    waits(siding, job_id, "//nas/small/films has 0.0 GB free", "Make room there")


def test_the_doctor_says_where_films_go_and_leaves_nothing_there(shared: ShareSiding) -> None:
    finding = shared.farm.outputs.examine()
    assert finding.verdict is not Verdict.FAILED, finding
    assert shared.farm.settings.outputs in finding.message
    assert shared.films() == []


def test_a_share_that_this_machine_does_not_know_is_said_so(
    open_siding: Opens, tmp_path: Path, clip: Path
) -> None:
    """The job waits for a machine that does."""
    row = {"name": "//nas/films", "folder": tmp_path / "films"}
    siding = open_siding("//nas/films", tmp_path / "films", row)
    job_id = siding.film(clip)
    place = siding.farm.outputs
    lost = OutputFolder(
        "//nas/flims", siding.farm.reelyard.films, siding.farm.places, place._memory
    )
    assert replace(siding.worker(), outputs=lost)(job_id, None) is JobStatus.QUEUED
    state = siding.state(job_id)
    assert "//nas/flims is no share that this machine knows" in str(state.waiting_for)
    finding = lost.examine()
    assert (finding.verdict, "REELYARD_SHARES" in finding.remedy) == (Verdict.FAILED, True)
    with pytest.raises(OutputUnusable):
        lost.make()


def test_a_mounted_shares_films_have_the_shares_name(
    open_siding: Opens, tmp_path: Path, clip: Path
) -> None:
    """Each machine finds them in the folder where it has the share, and they are published as to any folder."""
    here, there = tmp_path / "mnt", tmp_path / "there"
    here.mkdir()
    there.symlink_to(here)
    siding = open_siding("//nas/films/new", here / "new", {"name": "//nas/films", "folder": here})
    siding.farm.outputs.make()
    job_id = siding.film(clip)
    assert siding.worker()(job_id, None) is JobStatus.COMPLETED
    name = f"//nas/films/new/Tests_{job_id}.mp4"
    assert siding.state(job_id).output_path == name
    film = here / "new" / f"Tests_{job_id}.mp4"
    assert json.loads(film.with_suffix(".report.json").read_text())["output"] == name
    assert siding.desk.file(siding.tester, job_id, "output") == film
    table = ShareTable([ShareRow(root="//nas/films", folder=str(there))])
    elsewhere = replace(siding.desk, films=Films(table))
    assert elsewhere.file(siding.tester, job_id, "output") == there / "new" / film.name
    unknown = replace(siding.desk, films=Films())
    with pytest.raises(NotFound, match="a share that the server doesn't know"):
        unknown.file(siding.tester, job_id, "output")
    elsewhere.remove(siding.tester, job_id, with_film=True)
    assert siding.films() == []


def test_a_source_that_has_its_shares_name_is_not_written_over(
    open_siding: Opens, tmp_path: Path, clip: Path
) -> None:
    """The film's path and the clip's name are the same file, by two names."""
    here = tmp_path / "mnt"
    here.mkdir()
    siding = open_siding("//nas/films", here, {"name": "//nas/films", "folder": here})
    source = Path(shutil.copy(clip, here / "clip.mp4"))
    job = siding.job({"item_type": "video", "path": "//nas/films/clip.mp4"})
    with pytest.raises(OutputUnusable, match="one of its sources"):
        siding.farm.reelyard.render_job(job, source)
    brought = replace(job, items=(replace(job.items[0], path=str(clip), origin=str(source)),))
    with pytest.raises(OutputUnusable, match="one of its sources"):
        check_output(source, brought, films=siding.farm.reelyard.films)
    assert source.read_bytes() == clip.read_bytes()
