"""What a worker does with a job, from the claim to the result, and what it writes down."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.outputs import CHAPTERS_SUFFIX, REPORT_SUFFIX, SHEET_SUFFIX
from tests.acceptance.spoiled import scrambled
from tests.conftest import Clips

from .conftest import Siding


def attempts(siding: Siding, job_id: str) -> list[AttemptOutcome]:
    return [one.outcome for one in siding.farm.jobs.attempts(job_id)]


def test_a_job_is_done_and_every_book_says_so(siding: Siding, clip: Path, other: Path) -> None:
    siding.farm.reelyard.library.add({"park": str(siding.put(clip)[0])})
    job_id = siding.submit(
        {"item_type": "intro", "video_id": "park"},
        {"item_type": "video", "path": siding.put(other)[0]},
        {"item_type": "video", "video_id": "park", "end": 0.5},
    ).state.job_id
    before = datetime.now(UTC)
    assert siding.worker()(job_id, "task-7") is JobStatus.COMPLETED
    state = siding.state(job_id)
    assert (state.status, state.progress, state.stage) == (JobStatus.COMPLETED, 100, "done")
    assert (state.worker_id, state.task_id, state.token, state.attempts) == ("pc1", "task-7", 1, 0)
    assert state.output_path == str(siding.output(job_id))
    assert (state.final_duration, state.error_message, state.waiting_for) == (2.5, None, None)
    assert state.started_at and state.completed_at
    assert before <= state.started_at < state.completed_at <= datetime.now(UTC)
    (attempt,) = siding.farm.jobs.attempts(job_id)
    assert (attempt.outcome, attempt.worker_id) == (AttemptOutcome.COMPLETED, "pc1")
    figures = attempt.figures
    assert (figures["frames"], figures["frames_rendered"], figures["encoder"]) == (
        75,
        75,
        "libx264",
    )
    assert figures["size"] == siding.output(job_id).stat().st_size
    seconds = (state.completed_at - state.started_at).total_seconds()
    assert 0 < figures["render_seconds"] <= seconds
    assert figures["speed"] == pytest.approx(2.5 / figures["render_seconds"], rel=0.01)
    worker = siding.farm.workers.get("pc1")
    assert worker is not None and (worker.speed, worker.job_id) == (figures["speed"], None)
    segments = siding.farm.jobs.segments(job_id)
    assert [(one.position, one.part, one.frames, one.cached) for one, _ in segments] == [
        (1, 0, 30, False),
        (2, 0, 30, False),
        (3, 0, 15, False),
    ]
    assert {name for _, name in segments} == {"pc1"}
    (entry,) = siding.sweep().outbox.due()
    result = entry.result
    assert (result.job_id, result.username, result.channel_name) == (job_id, "tester", "Tests")
    assert (result.video_count, result.total_duration) == (2, 2.5)
    assert (result.status, result.output_path) == (JobStatus.COMPLETED, state.output_path)
    assert (result.worker_id, result.features_used) == ("pc1", ())
    assert result.timestamp == state.completed_at
    assert 0 < result.processing_time <= seconds + 0.1
    assert siding.leftovers() == []
    film = siding.output(job_id)
    beside = [film.with_suffix(suffix) for suffix in (REPORT_SUFFIX, SHEET_SUFFIX)]
    assert siding.made() == sorted([film, *beside])
    with av.open(str(film)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 75


def test_the_log_has_each_step_with_its_figures(siding: Siding, clip: Path, other: Path) -> None:
    siding.farm.reelyard.library.add({"park": str(siding.put(clip)[0])})
    job_id = siding.submit(
        {"item_type": "video", "video_id": "park"}, {"item_type": "video", "path": other}
    ).state.job_id
    siding.worker()(job_id, None)
    size = siding.output(job_id).stat().st_size
    copy = (siding.share / clip.name).stat().st_size
    expected = [
        rf"job {job_id} of tester: taken by pc1 from default_queue, turn 1, \d+\.\d s after .*",
        r"found 1 videos in one query, \d+\.\d\d s",
        rf"copied {re.escape(str(siding.share / clip.name))}: {copy} bytes at \d+\.\d MB/s",
        r"copied 1 files, 0\.\d MB in \d+\.\d\d s \(\d+\.\d MB/s\); 0 were here already, "
        r"1 are on this machine's own disks",
        r"probed 2 files in \d+\.\d\d s",
        r"planned 2 items, 60 frames, 2 segments, 1080p, libx264, ffmpeg version .*",
        r"rendered item 1 sound: 48000 samples",
        r"rendered item 2 sound: 48000 samples",
        r"encoded the sound: -\d+\.\d LUFS",
        r"rendered item 1 part 1: 30 frames, \d+ bytes",
        r"rendered item 2 part 1: 30 frames, \d+ bytes",
        rf"joined 2 segments, {size} bytes",
        r"verified 60 frames, 96000 samples, \d+ b/s of picture, \d+ b/s of sound",
        rf"published {size} bytes to {re.escape(str(siding.output(job_id)))} in \d+\.\d\d s",
        r"done in \d+\.\d s",
        r"completed in \d+\.\d s",
    ]
    lines = siding.log(job_id)
    at = [[n for n, line in enumerate(lines) if re.fullmatch(one, line)] for one in expected]
    assert [len(found) for found in at] == [1] * len(expected), (lines, at)
    assert len(lines) == len(expected)
    rendering = slice(6, 11)  # in any order, but after the plan and before the join
    order = [found[0] for found in at]
    assert sorted(order[rendering]) == list(range(6, 11))
    assert order[:6] + order[11:] == [*range(6), *range(11, 16)]
    text = (siding.log_folder(job_id) / "job.log").read_text()
    times = [line.partition("Z  ")[0] for line in text.splitlines()]
    assert times == sorted(times) and datetime.fromisoformat(times[0]).year >= 2024


def test_the_log_folder_is_where_it_is_looked_for(warm: Siding, clip: Path) -> None:
    job_id = warm.film(clip)
    warm.worker()(job_id, None)
    day = warm.state(job_id).created_at
    folder = warm.folder / "logs" / f"{day:%Y-%m-%d}" / "tester" / "jobs" / f"Tests_{job_id}"
    assert warm.state(job_id).log_folder == str(folder)
    assert {path.name for path in folder.iterdir()} == {
        "job.log",
        "ffmpeg_cmd.txt",
        "ffmpeg_stderr.txt",
    }


def test_every_ffmpeg_command_can_be_pasted_and_what_it_said_is_kept(
    siding: Siding, clip: Path, clips: Clips
) -> None:
    job_id = siding.film(clip)
    siding.worker()(job_id, None)
    folder = siding.log_folder(job_id)
    commands = (folder / "ffmpeg_cmd.txt").read_text().splitlines()
    words = [shlex.split(line) for line in commands]
    made = {line[-1].rpartition("/")[2] for line in words}
    assert made == {"sound.pcm", "track.m4a", "segment.mp4", "film.mp4"}
    assert all(line[0] == "cd" and line[2] == "&&" for line in words)
    assert {line[3] for line in words} == {str(clips.ffmpeg)}
    assert "ffmpeg version" not in (folder / "ffmpeg_stderr.txt").read_text()  # -hide_banner
    assert clip.name in (folder / "ffmpeg_stderr.txt").read_text()
    # One of them, in a shell, in a folder of its own.
    (segment,) = (line for line in commands if line.endswith(" segment.mp4"))
    pasted = siding.folder / "pasted"
    pasted.mkdir()
    line = segment.partition(" && ")[2]
    subprocess.run(["sh", "-c", line], cwd=pasted, check=True, capture_output=True)
    assert (pasted / "segment.mp4").stat().st_size > 0


def test_a_name_that_is_no_file_name_can_be_a_channels(warm: Siding, clip: Path) -> None:
    done = warm.submit({"item_type": "video", "path": clip}, channel_name="../Große/Fahrt: 1")
    assert warm.worker()(done.state.job_id, None) is JobStatus.COMPLETED
    (film,) = warm.out.glob("*.mp4")
    assert film.name == f"_Große_Fahrt_ 1_{done.state.job_id}.mp4"
    assert Path(str(warm.state(done.state.job_id).log_folder)).is_relative_to(warm.folder / "logs")


def test_a_film_made_from_copies_is_the_one_made_in_place(
    siding: Siding, clip: Path, other: Path, clips: Clips
) -> None:
    """Byte for byte, and what it says of its sources names them, not their copies."""
    logo = clips.picture("work-logo.png", size="64x64")
    sources = [clip, other]
    reports = {}
    for name, placed in (
        ("in place", [*sources, logo]),
        ("copied", siding.put(*sources, logo)),
    ):
        items = [
            {"item_type": "video", "path": placed[0], "logo_path": placed[2]},
            {"item_type": "video", "path": placed[1]},
            {"item_type": "outro", "path": placed[0]},
        ]
        # Each has a cache of its own: nothing is taken from the other.
        own = {"cache_dir": siding.folder / name, "output_dir": siding.folder / f"{name} out"}
        with closing(Siding(siding.folder, own)) as one:
            job_id = one.submit(*items, chapters=True).state.job_id
            assert one.worker()(job_id, None) is JobStatus.COMPLETED
            film = Path(str(one.state(job_id).output_path))
            report = json.loads(film.with_suffix(REPORT_SUFFIX).read_text())
            chapters = film.with_suffix(CHAPTERS_SUFFIX).read_text()
            reports[name] = film.read_bytes(), report, chapters, one.log(job_id)
            assert [item["source"] for item in report["items"]] == [
                str(item["path"]) for item in items
            ]
    here, copied = reports["in place"], reports["copied"]
    assert any("copied 3 files" in line for line in copied[3])
    assert any("0 were here already, 3 are on this" in line for line in here[3])
    assert here[0] == copied[0]
    assert here[2] == copied[2] and clip.stem in here[2] and other.stem in here[2]
    titles = [[item["title"] for item in one[1]["items"]] for one in (here, copied)]
    assert titles[0] == titles[1] == [clip.stem, other.stem, clip.stem]
    assert here[1]["cache"] == copied[1]["cache"]


def test_the_segments_say_which_of_them_a_cache_had(warm: Siding, clip: Path) -> None:
    job_id = warm.submit(
        {"item_type": "video", "path": clip}, {"item_type": "video", "path": clip, "end": 0.5}
    ).state.job_id
    warm.worker()(job_id, None)
    found = [(one.frames, one.cached) for one, _ in warm.farm.jobs.segments(job_id)]
    assert found == [(30, True), (15, False)]
    (attempt,) = warm.farm.jobs.attempts(job_id)
    assert (attempt.figures["frames_rendered"], "speed" in attempt.figures) == (15, True)


def test_a_film_out_of_the_cache_says_nothing_of_a_workers_speed(warm: Siding, clip: Path) -> None:
    job_id = warm.film(clip)
    warm.worker()(job_id, None)
    (attempt,) = warm.farm.jobs.attempts(job_id)
    assert (attempt.figures["frames_rendered"], "speed" in attempt.figures) == (0, False)
    worker = warm.farm.workers.get("pc1")
    assert worker is not None and worker.speed is None


def test_what_was_used_is_in_the_result(siding: Siding, clip: Path, clips: Clips) -> None:
    job_id = siding.submit(
        {
            "item_type": "video",
            "path": clip,
            "logo_path": clips.picture("work-logo.png", size="64x64"),
            "text_animation_text": "A",
        },
        {"item_type": "image", "path": clips.picture("work.png"), "duration": 0.2},
    ).state.job_id
    assert siding.worker()(job_id, None) is JobStatus.COMPLETED
    (entry,) = siding.sweep().outbox.due()
    assert entry.result.features_used == ("logo_overlay", "text_animation", "image_slides")
    assert entry.result.video_count == 1


def test_a_job_can_be_taken_by_a_message_about_another(warm: Siding, clip: Path) -> None:
    """A message only wakes a worker; whose turn it is, the database says."""
    first, second = warm.film(clip), warm.film(clip)
    assert warm.worker()(second, None) is JobStatus.COMPLETED
    assert (warm.status(first), warm.status(second)) == (JobStatus.COMPLETED, JobStatus.QUEUED)


def test_a_message_that_means_nothing_any_more_does_nothing(warm: Siding, clip: Path) -> None:
    done, cancelled = warm.film(clip), warm.film(clip)
    warm.farm.jobs.cancel(cancelled)
    worker = warm.worker()
    assert worker(done, None) is JobStatus.COMPLETED
    made, film = warm.made(), warm.output(done).stat()
    unknown = warm.job({"item_type": "video", "path": clip}).job_id
    for named in (done, cancelled, unknown):
        assert worker(named, None) is None
    assert warm.made() == made and warm.output(done).stat() == film
    assert warm.status(cancelled) is JobStatus.CANCELLED
    assert len(warm.farm.jobs.attempts(done)) == 1
    assert warm.farm.jobs.attempts(cancelled) == []


def test_a_broken_clip_that_only_rendering_finds_fails_the_job_for_good(
    siding: Siding, clip: Path
) -> None:
    broken = scrambled(clip, siding.folder / "broken.mp4")
    job_id = siding.film(clip, broken)  # preflight decodes one frame, which is whole
    assert siding.worker()(job_id, None) is JobStatus.FAILED
    state = siding.state(job_id)
    message = state.error_message or ""
    assert "item 2" in message and "broken.mp4" in message and "Export it again" in message
    assert (state.attempts, state.not_before, state.waiting_for) == (0, None, None)
    assert attempts(siding, job_id) == [AttemptOutcome.REFUSED]
    worker = siding.farm.workers.get("pc1")
    assert worker is not None and worker.failures == 0  # it is not to blame
    (entry,) = siding.sweep().outbox.due()
    assert (entry.result.status, entry.result.output_path) == (JobStatus.FAILED, None)
    log = siding.log(job_id)
    assert any(line.startswith("failed: ") and "broken.mp4" in line for line in log)
    assert siding.made() == [] and siding.leftovers() == []
    assert siding.worker("pc2")(job_id, None) is None


def test_a_broken_clip_that_may_be_left_out_is(siding: Siding, clip: Path) -> None:
    broken = scrambled(clip, siding.folder / "broken.mp4")
    job_id = siding.film(clip, broken, on_bad_item="skip")
    assert siding.state(job_id).frames == 60
    assert siding.worker()(job_id, None) is JobStatus.COMPLETED
    assert siding.state(job_id).final_duration == 1
    report = json.loads(siding.output(job_id).with_suffix(REPORT_SUFFIX).read_text())
    assert any("left out" in warning and "broken.mp4" in warning for warning in report["warnings"])


@pytest.mark.parametrize("on_share", [True, False])
def test_a_source_that_went_after_submitting_is_named(
    siding: Siding, clip: Path, other: Path, on_share: bool
) -> None:
    folder = siding.share if on_share else siding.folder
    paths = [folder / name for name in ("a.mp4", "b.mp4", "c.mp4")]
    for path in paths:
        path.write_bytes(clip.read_bytes())
    job_id = siding.film(*paths)
    for path in paths[1:]:
        path.unlink()
    assert siding.worker()(job_id, None) is JobStatus.FAILED
    message = siding.state(job_id).error_message or ""
    for number, path in ((2, paths[1]), (3, paths[2])):
        assert f"item {number}" in message and str(path) in message
    assert "item 1" not in message
    assert sum(line.startswith("copy failed: ") for line in siding.log(job_id)) == 2
    assert siding.leftovers() == []


def test_an_id_that_left_the_catalogue_after_submitting_is_named(
    siding: Siding, clip: Path
) -> None:
    library = siding.farm.reelyard.library
    library.add({"park": str(clip)})
    job = siding.job(
        {"item_type": "video", "video_id": "park"}, {"item_type": "video", "path": clip}
    )
    siding.submitting(job, siding.user)
    with siding.farm.reelyard.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM library")
    assert siding.worker()(job.job_id, None) is JobStatus.FAILED
    message = siding.state(job.job_id).error_message or ""
    assert "item 1" in message and "park" in message
    assert siding.leftovers() == []


def test_two_jobs_of_one_worker_come_one_after_the_other(warm: Siding, clip: Path) -> None:
    """And the second one's log is its own."""
    first, second = warm.film(clip), warm.film(clip)
    worker = warm.worker()
    assert [worker(one, None) for one in (first, second)] == [JobStatus.COMPLETED] * 2
    assert warm.output(first).read_bytes() == warm.output(second).read_bytes()
    assert all(first not in line for line in warm.log(second))


def test_sources_are_let_go_of_when_a_job_is_done(warm: Siding, clip: Path) -> None:
    held: dict[str, list[tuple[str, str]]] = {}
    job_id = warm.film(*warm.put(clip))

    def look(stage: str) -> None:
        held[stage] = warm.pins()

    assert warm.worker(told=look)(job_id, None) is JobStatus.COMPLETED
    for stage in ("probing", "rendering", "joining", "verifying", "publishing", "done"):
        assert held[stage] == [(job_id, "pc1")]
    assert warm.pins() == []
    assert warm.farm.fetch.copies.clear() == 1
