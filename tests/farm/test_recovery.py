"""Workers die, hang and come back; the job is done once, and its bytes are the same."""

from __future__ import annotations

from reelyard.domain.lifecycle import JobStatus
from tests.conftest import Clips

from .yard import Yard


def test_a_job_is_submitted_rendered_and_published(yard: Yard, clips: Clips) -> None:
    clip = clips.video("short.mp4", seconds=2)
    yard.start("pc1")
    job_id = yard.submit({"item_type": "video", "path": clip})
    state = yard.wait_for_end(job_id)
    assert state.status is JobStatus.COMPLETED, state
    assert state.progress == 100
    assert yard.leftovers() == []
