"""Drafts and parts of films, rendered: by the same pieces as the film, by any machine, and never taken for it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.errors import JobRejected
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.domain.timeline import seconds_of
from reelyard.engine.encoders import X264
from reelyard.services.job_file import parse_job
from reelyard.services.outputs import REPORT_SUFFIX
from tests.conftest import Clips, Studio

from .conftest import Siding


def video(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"item_type": "video", "path": path, **more}


def shape(film: Path) -> tuple[int, int, int]:
    """Width, height, frames."""
    with closing(av.open(str(film))) as container:
        stream = container.streams.video[0]
        frames = sum(packet.size > 0 for packet in container.demux(stream))
        return stream.width, stream.height, frames


@pytest.fixture
def cuts(clips: Clips) -> list[dict[str, Any]]:
    """Four items out of two clips."""
    one, two = clips.video("excerpt-a.mp4", seconds=1), clips.video("excerpt-b.mp4", rate="25", seconds=1)  # fmt: skip
    return [video(one, end=0.2), video(two, end=0.3), video(one, start=0.5, end=0.7), video(two, start=0.6)]  # fmt: skip


def test_what_was_rendered_of_a_part_is_not_rendered_again_for_the_film(
    studio: Studio, cuts: list[dict[str, Any]]
) -> None:
    """And the film is the same bytes as without the part. An item that is changed then is rendered alone."""
    part = studio.render(*cuts, output="part.mp4", first_item=2, last_item=3)
    pictures = {one.key for one in part.plan.picture}
    sounds = {one.key for one in part.plan.sound}
    assert pictures | sounds <= part.made.rendered
    assert [item.position for item in part.plan.items] == [2, 3]
    assert shape(part.output)[2] == 9 + 6
    film = studio.render(*cuts)
    assert not (pictures | sounds) & film.made.rendered
    assert pictures <= film.made.cached
    rest = {one.key for one in film.plan.picture} - pictures
    assert rest <= film.made.rendered
    fresh = Studio(studio.folder / "fresh").render(*cuts, output="fresh.mp4")
    assert fresh.output.read_bytes() == film.output.read_bytes()
    changed = studio.render(*cuts[:3], {**cuts[3], "start": 0.7}, output="changed.mp4")
    new = {one.key for one in changed.plan.picture} & changed.made.rendered
    assert new == {one.key for one in changed.plan.items[3].picture}


def test_a_draft_is_small_short_and_says_so(studio: Studio, cuts: list[dict[str, Any]]) -> None:
    film = studio.render(
        *cuts, draft=True, item_seconds=0.1, first_item=2, chapters=True, enable_4k=True
    )
    assert shape(film.output) == (640, 360, 3 * 3)
    assert film.skipped == (9 - 3) + (6 - 3) + (12 - 3)
    assert film.chapter_list is None
    told = json.loads(film.report.read_text())
    assert {name: told[name] for name in ("draft", "item_seconds", "first_item", "last_item")} == {
        "draft": True, "item_seconds": 0.1, "first_item": 2, "last_item": None,
    }  # fmt: skip
    assert told["features_used"] == []
    [line] = [one for one in (film.log_folder / "job.log").read_text().splitlines() if "not the whole film" in one]  # fmt: skip
    assert line.endswith("not the whole film: draft of 0.1 s of each item, items from 2")


def test_every_machine_plans_a_draft_the_same(studio: Studio, cuts: list[dict[str, Any]]) -> None:
    """With libx264, whatever its films are made with; as the page's own draft, whose pieces it finds."""
    asked = parse_job(_document(cuts, draft=True, item_seconds=0.1), studio.folder)
    film = parse_job(_document(cuts), studio.folder)
    for encoder in ("libx264", "h264_nvenc"):  # there is no card
        reelyard = Reelyard(studio.settings(), encoder=encoder)
        plan = reelyard.planning.prepare(asked).plan
        assert (plan.encoding.encoder, plan.form.height) == (X264, 360)
        assert plan == reelyard.draft_renderer(3).planning.prepare(film).plan


def _document(cuts: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    items = [{**one, "path": str(one["path"])} for one in cuts]
    return {"channel_name": "Tests", "items": items, **fields}


def test_a_draft_goes_through_the_farm_and_is_no_compilation(siding: Siding, clip: Path) -> None:
    """Only its own items are looked at and fetched: the others may not even be there yet."""
    [there] = siding.put(clip)
    items = (video(siding.share / "later.mp4"), video(there), {"item_type": "video", "video_id": "?"})  # fmt: skip
    done = siding.submit(
        *items, draft=True, item_seconds=0.2, first_item=2, last_item=2, enable_4k=True
    )
    state = done.state
    assert (state.queue, state.items, state.frames) == (Queue.DEFAULT, 1, 6)
    assert siding.worker()(state.job_id, None) is JobStatus.COMPLETED
    state = siding.state(state.job_id)
    assert str(state.excerpt) == "draft of 0.2 s of each item, item 2"
    film = siding.out / f"Tests_{state.job_id}_draft_item_2.mp4"
    assert (state.output_path, state.final_duration) == (str(film), float(seconds_of(6)))
    assert shape(film) == (640, 360, 6)
    assert json.loads(film.with_suffix(REPORT_SUFFIX).read_text())["draft"] is True
    assert siding.sweep().outbox.due() == []
    worker = siding.farm.workers.get("pc1")
    assert worker is not None and worker.speed is None, "a draft says nothing of how fast films are"
    assert len(siding.farm.jobs.job(state.job_id).items) == 3, "its film can still be made of it"
    assert siding.leftovers() == []


def test_a_part_is_refused_before_it_waits_only_for_what_is_in_it(
    siding: Siding, clip: Path
) -> None:
    items = (video("/no/such.mp4"), video(clip), video("/nor/this.mp4"))
    assert siding.submit(*items, first_item=2, last_item=2).state.status is JobStatus.QUEUED
    stored = len(siding.farm.jobs.list())
    for position, how in ((1, "skip"), (3, "fail")):
        with pytest.raises(JobRejected) as caught:
            siding.submit(*items, first_item=position, last_item=position, on_bad_item=how)
        assert [(one.position, one.code) for one in caught.value.problems] == [
            (position, "missing")
        ]
    some = siding.submit(*items, last_item=2, on_bad_item="skip")
    assert [str(one) for one in some.warnings if one.position == 1]
    assert some.state.frames == 30
    assert len(siding.farm.jobs.list()) == stored + 1
