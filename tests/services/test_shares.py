"""Jobs that name their sources on shares: what they keep, and what each machine makes of it.

``memory://`` stands for a store that is reached through a connection: fsspec's own, without a wire.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.domain.errors import JobRejected, SettingsInvalid
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.scan import scan
from reelyard.settings import Settings, ShareSetting, read_settings
from tests.conftest import Clips

from .conftest import Siding

Make = Callable[..., Siding]


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """A store with nothing in it."""
    files = MemoryFileSystem(skip_instance_cache=True)
    yield files
    files.store.clear()


@pytest.fixture
def make(tmp_path: Path, store: MemoryFileSystem) -> Iterator[Make]:
    """Makes machines of one farm; each has a table of its own."""
    made: list[Siding] = []

    def machine(name: str, *rows: dict[str, Any], **settings: Any) -> Siding:
        own = {
            "shares": tuple(ShareSetting(**row) for row in rows),
            "database_url": f"sqlite:///{tmp_path / 'farm.db'}",
        }
        made.append(Siding(tmp_path / name, {**own, **settings}))
        return made[-1]

    yield machine
    for one in made:
        one.close()


@pytest.fixture
def clip(clips: Clips) -> Path:
    return clips.video("shares.mp4", seconds=1)


def put(store: MemoryFileSystem, clip: Path, path: str) -> None:
    with closing(store.open(path, "wb")) as file:
        file.write(clip.read_bytes())


def mounted(siding: Siding) -> dict[str, Any]:
    """The row of a share that is mounted where the siding's share is."""
    return {"name": "//media/videos", "drive": "Z:", "folder": siding.folder / "share"}


def with_share(make: Make, name: str, clip: Path) -> Siding:
    """A machine where //media/videos is mounted, with a clip on it that has a space in its name."""
    bare = make(name)
    machine = make(name, mounted(bare))
    machine.put(clip)
    (machine.share / clip.name).rename(machine.share / "a b.mp4")
    return machine


@pytest.mark.parametrize(
    "spelling",
    [
        r"\\media\videos\a b.mp4",
        "//Media/Videos/a b.mp4",
        "smb://media/videos/a%20b.mp4",
        r"Z:\a b.mp4",
    ],
)
def test_a_job_keeps_the_name_that_every_machine_knows(
    make: Make, clip: Path, spelling: str
) -> None:
    pc1 = with_share(make, "pc1", clip)
    job_id = pc1.submit({"item_type": "video", "path": spelling}, key="once").state.job_id
    stored = pc1.farm.jobs.job(job_id).items[0]
    assert stored.path == "//media/videos/a b.mp4"
    assert stored.named == spelling
    again = pc1.submit({"item_type": "video", "path": "//media/videos/a b.mp4"}, key="twice")
    assert pc1.farm.jobs.job(again.state.job_id).items[0].path == stored.path


def test_a_path_in_a_shares_folder_is_a_name_on_the_share(make: Make, clip: Path) -> None:
    pc1 = with_share(make, "pc1", clip)
    job_id = pc1.submit({"item_type": "video", "path": pc1.share / "a b.mp4"}).state.job_id
    assert pc1.farm.jobs.job(job_id).items[0].path == "//media/videos/a b.mp4"


def test_machines_with_other_mounts_make_the_same_film(make: Make, clip: Path) -> None:
    pc1, pc2 = with_share(make, "pc1", clip), with_share(make, "pc2", clip)
    films = []
    for machine, other in ((pc1, pc2), (pc2, pc1)):
        job_id = machine.submit(
            {"item_type": "video", "path": r"\\media\videos\a b.mp4"}
        ).state.job_id
        assert other.worker()(job_id, None) is JobStatus.COMPLETED
        films.append(other.output(job_id).read_bytes())
        assert any("copied //media/videos/a b.mp4" in line for line in other.log(job_id))
    assert films[0] == films[1]


def test_what_is_reached_through_a_connection_makes_the_same_film(
    make: Make, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, clip, "/clips/day 1/shares.mp4")
    pc1 = make("pc1", {"name": "memory://clips"})
    from_store = pc1.submit(
        {"item_type": "video", "path": "memory://clips/day 1/shares.mp4"}
    ).state.job_id
    from_disk = pc1.submit({"item_type": "video", "path": clip}).state.job_id
    assert pc1.worker()(from_store, None) is JobStatus.COMPLETED
    assert pc1.worker()(from_disk, None) is JobStatus.COMPLETED
    assert pc1.output(from_store).read_bytes() == pc1.output(from_disk).read_bytes()
    assert pc1.pins() == []
    assert pc1.leftovers() == []


def test_without_a_farm_sources_come_through_connections_too(
    make: Make, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, clip, "/clips/shares.mp4")
    pc1 = make("pc1", {"name": "memory://clips"})
    job = pc1.job({"item_type": "video", "path": "memory://clips/shares.mp4"})
    pc1.farm.reelyard.render_job(job, pc1.folder / "film.mp4")
    local = pc1.job({"item_type": "video", "path": clip})
    pc1.farm.reelyard.render_job(local, pc1.folder / "same.mp4")
    assert (pc1.folder / "film.mp4").read_bytes() == (pc1.folder / "same.mp4").read_bytes()
    assert pc1.leftovers() == []


def problems(siding: Siding, *paths: str) -> set[tuple[int | None, str, str | None]]:
    items = [{"item_type": "video", "path": path} for path in paths]
    with pytest.raises(JobRejected) as refusal:
        siding.submit(*items)
    for one in refusal.value.problems:
        assert one.file == paths[(one.position or 0) - 1]
        assert one.remedy
    return {(one.position, one.code, one.field) for one in refusal.value.problems}


def test_names_that_mean_nothing_here_are_told_apart_before_anything_is_stored(
    make: Make, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, clip, "/clips/a.mp4")
    pc1 = make("pc1", {"name": "memory://clips"})
    found = problems(
        pc1,
        "memory://clips/a.mp4",
        "memory://clips/b.mp4",
        "memory://other/a.mp4",
        r"\\nas\videos\a.mp4",
        r"Q:\a.mp4",
    )
    assert found == {
        (2, "missing", "path"),
        (3, "unknown_share", "path"),
        (4, "unknown_share", "path"),
        (5, "unknown_share", "path"),
    }
    assert pc1.farm.jobs.list() == []


def test_a_worker_that_does_not_know_a_share_leaves_the_job_to_others(
    make: Make, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, clip, "/clips/a.mp4")
    pc1, pc2 = make("pc1", {"name": "memory://clips"}), make("pc2")
    job_id = pc1.submit({"item_type": "video", "path": "memory://clips/a.mp4"}).state.job_id
    assert pc2.worker("pc2")(job_id, None) is JobStatus.QUEUED
    waiting = pc1.state(job_id)
    assert "no share that this machine knows" in (waiting.waiting_for or "")
    assert waiting.attempts == 0


def test_a_store_that_lost_its_bucket_is_waited_for(
    make: Make, store: MemoryFileSystem, clip: Path
) -> None:
    put(store, clip, "/clips/a.mp4")
    pc1 = make("pc1", {"name": "memory://clips"})
    job_id = pc1.submit({"item_type": "video", "path": "memory://clips/a.mp4"}).state.job_id
    store.rm("/clips", recursive=True)
    pc1.farm.reelyard.copies.clear()
    assert pc1.worker()(job_id, None) is JobStatus.QUEUED
    assert "is not there" in (pc1.state(job_id).waiting_for or "")


def test_the_librarys_videos_are_kept_under_names_that_hold_everywhere(
    make: Make, clip: Path
) -> None:
    pc1, pc2 = with_share(make, "pc1", clip), with_share(make, "pc2", clip)
    scan(pc1.share, pc1.farm.reelyard.shelf)
    assert pc1.farm.reelyard.library.all() == {"a b": "//media/videos/a b.mp4"}
    here = str(pc1.share / "a b.mp4")
    assert pc1.farm.reelyard.shelf.at([here]) == {here: "a b"}
    job_id = pc1.submit({"item_type": "video", "video_id": "a b"}).state.job_id
    assert pc2.worker("pc2")(job_id, None) is JobStatus.COMPLETED


def test_roots_let_in_what_is_on_a_share_of_the_table(make: Make, clip: Path) -> None:
    pc1 = with_share(make, "pc1", clip)
    closed = make("pc1", mounted(pc1), media_roots=(pc1.folder / "elsewhere",))
    job = closed.job({"item_type": "video", "path": "//media/videos/a b.mp4"})
    assert closed.submitting.preflight(job).plan.frames == 30
    with pytest.raises(JobRejected, match="outside the folders"):
        closed.submitting.preflight(closed.job({"item_type": "video", "path": clip}))


ROWS: list[dict[str, Any]] = [
    {"name": r"\\media\videos", "folder": "/mnt/videos", "drive": "Z:"},
    {"name": "//media/out", "user": "render", "password": "tower bridge"},
    {"name": "s3://clips", "options": {"secret": "magpie"}},
]


def test_nothing_that_is_shown_of_the_table_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELYARD_SHARES", json.dumps(ROWS))
    settings = read_settings()
    rows = Siding(Path("/nowhere"), {"shares": settings.shares})
    shown = f"{settings.shown()} {settings!r} {settings.shares} {rows.settings}"
    assert "//media/out" in shown
    assert "tower" not in shown
    assert "magpie" not in shown


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"name": "videos"}], "row 1, name"),
        ([{"name": "Z:/videos"}], "row 1, name"),
        ([ROWS[0], {**ROWS[0], "drive": None}], "twice"),
        ([ROWS[0], {"name": "//media/other", "drive": "Z:"}], "twice"),
        ([{"name": "//media/out", "password": "tower", "password_file": "/x"}], "leave one"),
        ([{"name": "//media/out", "folder": "mnt/out"}], "in full"),
        ([{"name": "//media/out", "colour": "red"}], "row 1, colour"),
    ],
)
def test_a_wrong_row_of_the_table_is_named_and_its_secrets_are_not(
    monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], reason: str
) -> None:
    monkeypatch.setenv("REELYARD_SHARES", json.dumps(rows))
    with pytest.raises(SettingsInvalid) as refusal:
        read_settings()
    assert "REELYARD_SHARES" in str(refusal.value)
    assert reason in str(refusal.value)
    assert "tower" not in str(refusal.value)


def test_settings_come_from_a_file_and_a_variable_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "reelyard.toml"
    file.write_text(
        'output_dir = "//media/out/films"\nport = 9000\n\n'
        '[[shares]]\nname = "//media/out"\nuser = "render"\npassword_file = "secret.txt"\n'
    )
    monkeypatch.setenv("REELYARD_CONFIG", str(file))
    monkeypatch.setenv("REELYARD_PORT", "9001")
    settings = read_settings()
    assert (settings.outputs, settings.port) == ("//media/out/films", 9001)
    assert settings.shares[0].user == "render"
    with pytest.raises(SettingsInvalid, match=r"secret\.txt"):
        settings.shares[0].secret()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("ports = 9000\n", "ports is not a setting"), ("port = \n", "can't be read")],
)
def test_a_file_of_settings_that_makes_no_sense_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / "reelyard.toml"
    file.write_text(text)
    monkeypatch.setenv("REELYARD_CONFIG", str(file))
    with pytest.raises(SettingsInvalid, match=reason) as refusal:
        read_settings()
    assert str(file) in str(refusal.value)


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_who_may_not_read_the_machines_settings_is_told_what_to_do(
    tmp_path: Path, closed: str
) -> None:
    """As on any PC of a farm, for everybody but the worker's user. Root is tried without its right to read all."""
    file = tmp_path / "etc" / "reelyard.toml"
    file.parent.mkdir()
    file.write_text("port = 9000\n")
    (file if closed == "file" else file.parent).chmod(0)
    code = "from reelyard.settings import read_settings; read_settings()"
    powers = "-dac_override,-dac_read_search"
    lesser = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
    said = subprocess.run(
        [*(lesser if os.getuid() == 0 else ()), sys.executable, "-c", code],
        env={**os.environ, "REELYARD_CONFIG": str(file)},
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    file.parent.chmod(0o700)
    assert said.strip().endswith("or let REELYARD_CONFIG name one of your own.")
    assert f"{file} may not be read by this user" in said


def test_a_password_in_a_file_ends_with_its_line(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("tower bridge \n")
    row = ShareSetting(name="//media/out", user="render", password_file=secret)
    assert row.secret() == "tower bridge "
    assert Settings(shares=(row,)).shares[0].secret() == "tower bridge "


def test_a_job_without_names_of_shares_is_not_touched(make: Make, clip: Path) -> None:
    pc1 = make("pc1", {"name": "memory://clips"})
    job: Job = pc1.job({"item_type": "video", "path": clip})
    with pc1.farm.reelyard.bring(job) as here:
        assert here == job


def test_a_name_that_a_catalogue_has_wrong_is_a_problem_of_its_item(make: Make, clip: Path) -> None:
    """A job file's are found out when it is read; a catalogue says what it likes."""
    pc1 = make("pc1")
    pc1.farm.reelyard.library.add({"up": "//media/videos/../a.mp4", "none": r"\\media"})
    items = [{"item_type": "video", "video_id": one} for one in ("up", "none")]
    with pytest.raises(JobRejected) as refusal:
        pc1.submit(*items)
    assert [(one.position, one.code) for one in refusal.value.problems] == [
        (1, "unknown_share"),
        (2, "unknown_share"),
    ]
    job_id = pc1.submit(
        *items, {"item_type": "video", "path": clip}, on_bad_item="skip"
    ).state.job_id
    assert pc1.worker()(job_id, None) is JobStatus.COMPLETED


def test_a_missing_folder_is_told_alike_beside_names_of_shares(
    make: Make, store: MemoryFileSystem, clip: Path, tmp_path: Path
) -> None:
    """Which folders there are outside of the media roots is nobody's business either."""
    put(store, clip, "/clips/a.mp4")
    pc1 = make("pc1", {"name": "memory://clips"}, media_roots=(tmp_path / "media",))
    (tmp_path / "there").mkdir()
    found = [
        problems(pc1, "memory://clips/a.mp4", str(tmp_path / folder / "secret.mp4"))
        for folder in ("there", "gone")
    ]
    assert found[0] == found[1] == {(2, "outside_roots", "path")}
