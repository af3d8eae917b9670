"""The whole farm at once: every neighbour over its own protocol, three PCs, one of them cut off for a while."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.lifecycle import JobStatus
from tests.conftest import Clips

from .town import LEASE_SECONDS, PASSWORD, Api, Machine, Town, open_town, sign_in, wait_for

JOBS = 20
ALL_QUEUES = "4k_queue,gpu_queue,default_queue"
SHARE = r"\\nas\media\videos"
CLIPS = {
    "intro": "in tro.mp4",
    "park": "Morning in the pärk.mp4",
    "bay": "Cap'n Bay #1 (ä).mp4",
    "outro": "outro.mp4",
}


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_town(tmp_path) as town:
        yield town


def stock(town: Town, clips: Clips) -> None:
    """Clips on the share, and a catalogue of them in BigQuery."""
    town.videos.mkdir()
    town.films.mkdir()
    for number, (key, name) in enumerate(CLIPS.items()):
        picture = ("testsrc2", "smptebars", "rgbtestsrc", "testsrc")[number]
        made = clips.video(f"town-{key}.mp4", seconds=1, picture=picture)
        shutil.copyfile(made, town.videos / name)
    shutil.copyfile(clips.picture("town.png", size="64x48"), town.videos / "logo.png")
    shutil.copyfile(clips.picture("town-still.png"), town.videos / "still life.png")
    catalogue = [(key, rf"{SHARE}\{name}") for key, name in CLIPS.items()]
    town.bigquery.make("town.reelyard.videos", {"video_id": "STRING", "path": "STRING"}, *catalogue)


def items(number: int) -> list[dict[str, Any]]:
    """A job's items. No two jobs share all of their segments, so there is something to render for each."""
    first = {
        "item_type": "video",
        "path": rf"{SHARE}\{CLIPS['park']}",
        "start": round(0.02 * number, 2),
        "end": round(0.02 * number + 0.5, 2),
    }
    return [
        {"item_type": "intro", "path": rf"{SHARE}\{CLIPS['intro']}"},
        first,
        {"item_type": "video", "video_id": "bay", "logo_path": "smb://nas/media/videos/logo.png"},
        {"item_type": "image", "path": "//nas/media/videos/still life.png", "duration": 0.5},
        {"item_type": "outro", "video_id": "outro"},
    ]


def job(number: int) -> dict[str, Any]:
    """Every seventh is in 4K, every fifth has text, one has over fifty videos."""
    found: dict[str, Any] = {"channel_name": f"Town {number}", "items": items(number)}
    if number % 7 == 3:
        found |= {"enable_4k": True, "items": items(number)[:2]}
    elif number % 5 == 1:
        found["items"][1]["text_animation_text"] = f"Number {number}"
    elif number == 8:
        found["items"] += [{"item_type": "video", "video_id": "park", "end": 0.2}] * 51
    return found


def queue_of(number: int) -> str:
    """As the table of the system has it."""
    if number % 7 == 3:
        return "4k_queue"
    return "gpu_queue" if number % 5 == 1 or number == 8 else "default_queue"


def start(town: Town) -> Api:
    server = town.machine(
        "server",
        town.mounted(),
        on_network=False,
        host=town.network.address,
        port=0,
        media_roots=str(town.samba.share()),
    )
    server.run("user", "add", "ada", "--role", "admin", "--password-stdin", typed=PASSWORD + "\n")
    server.start("serve")
    address = wait_for(lambda: _address(server), f"the server: {server.log}")
    for name, queues, share in (
        ("pc1", ALL_QUEUES, town.direct()),
        ("pc2", "default_queue", town.direct()),
        ("pc3", "default_queue", town.mounted()),
    ):
        pc = town.machine(name, share, on_network=True)
        pc.start("worker", "--queues", queues, "--name", name)
    for name in ("pc1", "pc2", "pc3"):
        pc = town.machines[name]
        wait_for(partial(is_ready, pc), f"{name} to be ready: {pc.log}")
    return sign_in(address, "ada")


def is_ready(pc: Machine) -> bool:
    return " ready." in pc.said()


def _address(server: Machine) -> str:
    assert server.started[0].poll() is None, server.said()
    marker = "Reelyard is at "
    line = next((line for line in server.said().splitlines() if marker in line), "")
    return line.partition(marker)[2].strip()


def test_twenty_jobs_over_three_machines_one_of_which_is_cut_off(town: Town, clips: Clips) -> None:
    """Each job ends once, where it may, with its film on the share and its result in BigQuery."""
    stock(town, clips)
    api = start(town)
    jobs: dict[str, int] = {}
    for number in range(JOBS):
        answer = api("POST", "/jobs", job(number))
        assert answer["status"] == "queued"
        assert queue_of(number) in answer["message"]
        jobs[answer["job_id"]] = number

    pc2 = town.machines["pc2"]
    assert pc2.host is not None
    cut_off = wait_for(lambda: held_by(town, "pc2"), "pc2 to have a job") or ""
    pc2.host.unplug()
    wait_for(
        lambda: held_by(town, "pc2") != cut_off, "somebody else to take over", LEASE_SECONDS * 6
    )
    missed = town.farm.jobs.state(cut_off)
    assert missed.status in (JobStatus.QUEUED, JobStatus.PROCESSING, JobStatus.COMPLETED)
    before = done_by(town, "pc2")
    pc2.host.plug()
    wait_for(lambda: done_by(town, "pc2") > before, "pc2 to do a job after it came back", 120)

    wait_for(lambda: not unfinished(town), "all jobs to end", 240)
    states = {job_id: town.farm.jobs.state(job_id) for job_id in jobs}
    assert {state.status for state in states.values()} == {JobStatus.COMPLETED}, [
        state.error_message for state in states.values()
    ]
    check_routes(states, jobs)
    check_films(town, states)
    check_results(town, jobs)


def held_by(town: Town, name: str) -> str | None:
    """The job that a worker is in the middle of."""
    return next(
        (
            state.job_id
            for state in town.farm.jobs.list([JobStatus.PROCESSING])
            if (state.worker_id or "").startswith(f"{name}@")
        ),
        None,
    )


def done_by(town: Town, name: str) -> int:
    done = town.farm.jobs.list([JobStatus.COMPLETED])
    return sum((state.worker_id or "").startswith(f"{name}@") for state in done)


def unfinished(town: Town) -> list[str]:
    open_states = [JobStatus.QUEUED, JobStatus.PROCESSING]
    return [state.job_id for state in town.farm.jobs.list(open_states)]


def check_routes(states: dict[str, Any], jobs: dict[str, int]) -> None:
    for job_id, state in states.items():
        assert state.queue.value == queue_of(jobs[job_id])
        if state.queue.value != "default_queue":
            assert state.worker_id.startswith("pc1@")
    workers = Counter(state.worker_id.partition("@")[0] for state in states.values())
    assert set(workers) == {"pc1", "pc2", "pc3"}, workers


def check_films(town: Town, states: dict[str, Any]) -> None:
    for state in states.values():
        assert state.output_path.startswith("//nas/media/films/")
        film = town.films / Path(state.output_path).name
        assert film.stat().st_size > 1000
        assert film.with_suffix(".report.json").is_file()
    assert [path.name for path in town.films.iterdir() if path.name.startswith(".")] == []


def check_results(town: Town, jobs: dict[str, int]) -> None:
    table = "town.reelyard.compilation_results"
    wait_for(lambda: len(town.bigquery.rows(table)) >= len(jobs), "the results in BigQuery")
    rows = {jobs[row["job_id"]]: row for row in town.bigquery.rows(table)}
    assert len(town.bigquery.rows(table)) == len(rows) == len(jobs)
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert rows[8]["video_count"] == 53
    assert set(rows[0]["features_used"]) == {"logo_overlay", "image_slides"}
    assert set(rows[3]["features_used"]) == {"4k_output"}
