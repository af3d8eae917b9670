"""One small job through everything."""

from __future__ import annotations

import json

from tests.conftest import Clips, Studio


def test_a_small_job_becomes_a_film_with_report_and_contact_sheet(
    clips: Clips, studio: Studio
) -> None:
    clip = clips.video("smoke.mp4", rate="25", seconds=1)
    still = clips.picture("smoke.png")
    done = studio.render(
        {"item_type": "video", "path": clip, "text_animation_text": "Hello"},
        {"item_type": "image", "path": still, "duration": 1},
    )
    report = json.loads(done.report.read_text())
    assert report["measured"]["frames"] == 60
    assert report["measured"]["samples"] == 60 * 1600
    assert done.output.stat().st_size == report["measured"]["size"]
    assert done.contact_sheet.stat().st_size > 1000
