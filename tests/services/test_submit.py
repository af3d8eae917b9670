"""Submitting: everything that is wrong comes back at once; what is stored can be rendered."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.errors import JobRejected, JobUnknown
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.routing import Queue
from reelyard.services.job_file import look_through
from reelyard.services.submit import job_digest
from tests.acceptance.spoiled import cut
from tests.conftest import Clips

from .conftest import Siding

ANSWERED = 2.0
"""Seconds after which whoever submits without a broker has an answer."""
NO_FONT_HAS_IT = "\U0001f9ff"


def video(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"item_type": "video", "path": path, **more}


def stored(siding: Siding) -> int:
    return len(siding.farm.jobs.list())


def test_everything_that_is_wrong_with_a_job_comes_back_at_once(
    siding: Siding, clip: Path, clips: Clips
) -> None:
    still = clips.picture("submit.png")
    broken = cut(clip, siding.folder / "broken.mp4", 0.5)
    with pytest.raises(JobRejected) as refusal:
        siding.submit(
            {"item_type": "video", "video_id": "nobody-knows"},
            video("/no/such/clip.mp4"),
            video(broken),
            video(clip, end=2.5),
            video(clip, text_animation_text=f"An eye: {NO_FONT_HAS_IT}"),
            video(clip),
            {"item_type": "image", "path": clip},
            video(clip, logo_path="/no/such/logo.png"),
            video(still),
            {"item_type": "intro", "video_id": "nor-this"},
        )
    found = {(one.position, one.code, one.field) for one in refusal.value.problems}
    assert found == {
        (1, "unknown_video", "video_id"),
        (2, "missing", "path"),
        (3, "truncated", "path"),
        (4, "trim_outside", "end"),
        (5, "no_glyph", "text_animation_text"),
        (7, "not_a_still", "item_type"),
        (8, "missing", "logo_path"),
        (9, "is_a_still", "item_type"),
        (10, "unknown_video", "video_id"),
    }
    positions = [one.position for one in refusal.value.problems]
    assert positions == sorted(positions, key=lambda position: position or 0)
    message = str(refusal.value)
    for word in (
        "nobody-knows",
        "/no/such/clip.mp4",
        "broken.mp4",
        "1.00 s",
        "U+1F9FF",
        "nor-this",
    ):
        assert word in message
    assert (stored(siding), siding.queue.sent) == (0, [])


def test_a_sound_job_is_stored_with_its_length_and_a_worker_is_woken(
    siding: Siding, clip: Path, clips: Clips
) -> None:
    siding.farm.reelyard.library.add({"park": str(clip)})
    done = siding.submit(
        {"item_type": "intro", "video_id": "park"},
        video(clip, start=0.5),
        {"item_type": "image", "path": clips.picture("submit.png"), "duration": 2},
    )
    state = siding.state(done.state.job_id)
    assert (done.is_new, done.warnings, done.state) == (True, (), state)
    assert (state.status, state.frames, state.items) == (JobStatus.QUEUED, 30 + 15 + 60, 3)
    assert (state.username, state.channel_name, state.progress) == ("tester", "Tests", 0)
    assert state.priority == 5
    assert siding.queue.sent == [(state.job_id, Queue.DEFAULT)]
    kept = siding.farm.jobs.job(state.job_id)
    assert [item.video_id for item in kept.items] == ["park", None, None]


def test_the_job_is_kept_as_it_was_written_not_as_it_was_resolved(
    siding: Siding, clip: Path, other: Path
) -> None:
    """A video that moves between submit and render is found where it is then."""
    library = siding.farm.reelyard.library
    library.add({"park": str(clip)})
    job = siding.job({"item_type": "video", "video_id": "park"})
    siding.submitting(job, siding.user)
    library.add({"park": str(other)})
    assert siding.farm.jobs.job(job.job_id) == job


@pytest.mark.parametrize(
    "job, queue",
    [
        ({"enable_4k": True, "text": "Morning"}, Queue.UHD),
        ({"text": "Morning"}, Queue.GPU),
        ({"videos": 51}, Queue.GPU),
        ({"videos": 50}, Queue.DEFAULT),
    ],
)
def test_the_message_names_the_queue_and_goes_there(
    siding: Siding, clip: Path, job: dict[str, Any], queue: Queue
) -> None:
    text = {"text_animation_text": job["text"]} if "text" in job else {}
    items = [video(clip, **text)] * job.get("videos", 1)
    done = siding.submit(*items, enable_4k=job.get("enable_4k", False))
    assert done.message == f"queued in {queue}"
    assert done.state.queue is queue
    assert siding.queue.sent == [(done.state.job_id, queue)]


def test_warnings_are_returned_and_kept(siding: Siding, clip: Path) -> None:
    done = siding.submit(video(clip, text_animation_text="More letters than a second has"))
    (warning,) = done.warnings
    assert (warning.position, warning.warning, warning.code) == (1, True, "text_outlasts")
    assert siding.state(done.state.job_id).warnings == (str(warning),)


def test_a_bad_item_that_may_be_left_out_is_a_warning(siding: Siding, clip: Path) -> None:
    done = siding.submit(video("/no/such/clip.mp4"), video(clip), on_bad_item="skip")
    (warning,) = done.warnings
    assert (warning.position, warning.warning) == (1, True)
    assert "left out" in str(warning) and "/no/such/clip.mp4" in str(warning)
    state = siding.state(done.state.job_id)
    assert (state.frames, state.items, state.warnings) == (30, 2, (str(warning),))


def test_an_unknown_id_that_may_be_left_out_is_a_warning(siding: Siding, clip: Path) -> None:
    done = siding.submit(
        {"item_type": "video", "video_id": "nobody-knows"}, video(clip), on_bad_item="skip"
    )
    (warning,) = done.warnings
    assert (warning.position, warning.warning, warning.code) == (1, True, "unknown_video")
    assert siding.state(done.state.job_id).frames == 30


@pytest.mark.parametrize("on_bad_item", ["fail", "skip"])
def test_wrong_fields_and_bad_sources_come_back_together(
    siding: Siding, clip: Path, on_bad_item: str
) -> None:
    document = {
        "channel_name": "Tests",
        "on_bad_item": on_bad_item,
        "items": [
            {"item_type": "video", "path": str(clip), "colour": "red"},
            {"item_type": "video", "path": "/no/such/clip.mp4"},
            {"item_type": "video", "path": str(clip)},
            {"item_type": "video", "video_id": "nobody-knows"},
            {"item_type": "video", "path": str(clip), "end": 2.5},
        ],
    }
    reading = look_through(document, siding.folder)
    with pytest.raises(JobRejected) as refusal:
        siding.submitting(reading.job, siding.user, problems=reading.problems)
    assert [(one.position, one.field) for one in refusal.value.problems] == [
        (1, "colour"),
        (2, "path"),
        (4, "video_id"),
        (5, "end"),
    ]
    assert (stored(siding), siding.queue.sent) == (0, [])


def test_a_job_of_which_only_the_fields_are_wrong_is_refused(siding: Siding, clip: Path) -> None:
    document = {
        "channel_name": "Tests",
        "items": [video(str(clip)), video(str(clip), colour="red")],
    }
    reading = look_through(document, siding.folder)
    with pytest.raises(JobRejected, match="colour"):
        siding.submitting(reading.job, siding.user, problems=reading.problems)
    assert stored(siding) == 0


def test_a_job_of_which_nothing_is_left_is_refused(siding: Siding) -> None:
    with pytest.raises(JobRejected):
        siding.submit(video("/no/such.mp4"), video("/nor/this.mp4"), on_bad_item="skip")
    assert stored(siding) == 0


def test_without_the_broker_a_job_is_stored_and_says_so(siding: Siding, clip: Path) -> None:
    farm = siding.farm  # its broker is at a port where nobody answers
    submit = farm.submit
    job = siding.job(video(clip))
    submit.preflight(job)
    begun = time.monotonic()
    try:
        done = submit(job, siding.user)
    finally:
        farm.sender.close()
    assert time.monotonic() - begun < ANSWERED
    assert siding.status(done.state.job_id) is JobStatus.QUEUED
    assert done.is_new
    assert "default_queue" in done.message and "when the broker is back" in done.message
    assert "redis://127.0.0.1:1/0" in done.message


def test_the_same_key_is_the_same_job(siding: Siding, clip: Path) -> None:
    first = siding.submit(video(clip), key="monday")
    again = siding.submit(video(clip), key="monday")  # parsed anew: the job's own id differs
    assert again.state.job_id == first.state.job_id
    assert (first.is_new, again.is_new) == (True, False)
    assert "queued" in again.message and "default_queue" in again.message
    assert (stored(siding), len(siding.queue.sent)) == (1, 1)
    other_key = siding.submit(video(clip), key="tuesday")
    no_key = siding.submit(video(clip))
    ids = {one.state.job_id for one in (first, other_key, no_key)}
    assert len(ids) == 3


def test_the_same_key_answers_even_when_the_sources_have_gone(siding: Siding, clip: Path) -> None:
    own = Path(shutil.copy(clip, siding.folder / "own.mp4"))
    first = siding.submit(video(own), key="monday")
    own.unlink()
    assert siding.submit(video(own), key="monday").state.job_id == first.state.job_id


def test_another_job_under_the_same_key_is_refused(siding: Siding, clip: Path) -> None:
    siding.submit(video(clip), key="monday")
    with pytest.raises(JobUnknown, match="key"):
        siding.submit(video(clip, start=0.2), key="monday")
    assert stored(siding) == 1


def test_a_key_belongs_to_its_user(siding: Siding, clip: Path) -> None:
    first = siding.submit(video(clip), key="monday")
    somebody = siding.farm.profiles.local("somebody")
    second = siding.submitting(siding.job(video(clip)), somebody, key="monday")
    assert second.is_new and second.state.job_id != first.state.job_id


def test_a_jobs_own_id_can_be_used_once(siding: Siding, clip: Path) -> None:
    job = siding.job(video(clip))
    siding.submitting(job, siding.user)
    with pytest.raises(JobUnknown, match=job.job_id):
        siding.submitting(job, siding.user)


def test_the_digest_tells_jobs_apart_by_all_but_their_ids(siding: Siding, clip: Path) -> None:
    job = siding.job(video(clip))
    assert job_digest(job) == job_digest(siding.job(video(clip)))
    item = job.items[0]
    changes = [
        replace(job, channel_name="Others"),
        replace(job, enable_4k=True),
        replace(job, loudness=True),
        replace(job, chapters=True),
        replace(job, items=(item, item)),
        replace(job, items=(replace(item, text="a"),)),
        replace(job, items=(replace(item, path="/b.mp4"),)),
    ]
    digests = {job_digest(one) for one in (job, *changes)}
    assert len(digests) == len(changes) + 1


def test_a_jobs_priority_is_kept(siding: Siding, clip: Path) -> None:
    done = siding.submitting(siding.job(video(clip)), siding.user, priority=8)
    assert siding.state(done.state.job_id).priority == 8
