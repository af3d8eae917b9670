"""A worker that can't do a job says why, and another one is to try: three attempts in all."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path

import pytest

from reelyard.domain.farm import AttemptOutcome
from reelyard.domain.lifecycle import JobStatus
from tests.acceptance.station import gone_soon
from tests.conftest import Clips

from .conftest import Siding, held_ffmpeg, wait_for


def broken_ffmpeg(folder: Path, ffmpeg: Path, word: str, instead: str) -> Path:
    """An FFmpeg that does something else where its command has a word; ``real`` runs it."""
    script = folder / "broken-ffmpeg"
    script.write_text(
        f'#!/bin/sh\nreal() {{ {shlex.quote(str(ffmpeg))} "$@"; }}\n'
        f'case "$*" in *{shlex.quote(word)}*) {instead} ;; esac\nreal "$@"\n'
    )
    script.chmod(0o755)
    return script


CRASHES = 'echo "[h264 @ 0x1] a sad ending" >&2; kill -SEGV $$'


@pytest.fixture
def crashing(siding: Siding, clips: Clips) -> Siding:
    """A farm whose FFmpeg ends by a signal as soon as it renders a picture."""
    ffmpeg = broken_ffmpeg(siding.folder, clips.ffmpeg, "segment.mp4", CRASHES)
    siding.settings["ffmpeg"] = ffmpeg
    return siding


def test_three_workers_try_a_job_that_kills_ffmpeg(crashing: Siding, clip: Path) -> None:
    names = ("pc1", "pc2", "pc3")
    for name in names:
        crashing.register(name)
    job_id = crashing.film(*crashing.put(clip))
    for number, name in enumerate(names, 1):
        status = crashing.worker(name)(job_id, None)
        state = crashing.state(job_id)
        message = state.error_message or ""
        assert "item 1" in message and clip.name in message and "FFmpeg failed" in message
        assert crashing.leftovers() == [] and crashing.made() == []
        if number < 3:
            assert (status, state.status, state.attempts) == (
                JobStatus.QUEUED,
                JobStatus.QUEUED,
                number,
            )
            # Not this one again, while there are others; and it need not be waited for.
            assert (state.not_before, state.waiting_for) == (None, None)
            assert crashing.worker(name)(job_id, None) is None
    assert (status, state.status) == (JobStatus.FAILED, JobStatus.FAILED)
    assert "3 attempts" in (state.error_message or "")
    attempts = crashing.farm.jobs.attempts(job_id)
    assert [one.outcome for one in attempts] == [AttemptOutcome.FAILED] * 3
    assert [one.worker_id for one in attempts] == list(names)
    assert [one.failures for one in crashing.farm.workers.list()] == [1, 1, 1]
    log = crashing.log(job_id)
    assert log.count("  FFmpeg: a sad ending") == 3
    assert sum(line.startswith("failed: item 1") for line in log) == 3
    stderr = (crashing.log_folder(job_id) / "ffmpeg_stderr.txt").read_text()
    assert stderr.count("[h264 @ 0x1] a sad ending") >= 3
    (entry,) = crashing.sweep().outbox.due()
    assert (entry.result.status, entry.result.video_count) == (JobStatus.FAILED, 1)
    assert crashing.worker("pc4")(job_id, None) is None  # for good


def test_the_next_worker_completes_it_and_the_failure_is_history(
    crashing: Siding, clip: Path, clips: Clips
) -> None:
    job_id = crashing.film(clip)
    assert crashing.worker("pc1")(job_id, None) is JobStatus.QUEUED
    script = Path(crashing.settings["ffmpeg"])
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(clips.ffmpeg))} "$@"\n')
    assert crashing.worker("pc2")(job_id, None) is JobStatus.COMPLETED
    state = crashing.state(job_id)
    assert (state.error_message, state.worker_id, state.progress) == (None, "pc2", 100)
    assert [one.outcome for one in crashing.farm.jobs.attempts(job_id)] == [
        AttemptOutcome.FAILED,
        AttemptOutcome.COMPLETED,
    ]
    assert [one.result.status for one in crashing.sweep().outbox.due()] == [JobStatus.COMPLETED]
    # What the first had made, its sound, was not made again.
    sounds = [line for line in crashing.log(job_id) if line.startswith("rendered item 1 sound")]
    assert len(sounds) == 1


def test_a_worker_that_fails_three_jobs_takes_no_more(crashing: Siding, clip: Path) -> None:
    """It is the only one there is, so it tries each of them three times; a job counts once."""
    jobs = [crashing.film(clip) for _ in range(3)]
    statuses = [crashing.worker()(jobs[0], None) for _ in range(3)]
    assert statuses == [JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.FAILED]
    worker = crashing.farm.workers.get("pc1")
    assert worker is not None and (worker.failures, worker.quarantine) == (1, None)
    for _ in range(3):
        crashing.worker()(jobs[1], None)
    assert crashing.worker()(jobs[2], None) is JobStatus.QUEUED
    worker = crashing.farm.workers.get("pc1")
    assert worker is not None and "3 jobs in a row" in (worker.quarantine or "")
    assert crashing.worker()(jobs[2], None) is None
    assert [crashing.status(one) for one in jobs] == [
        JobStatus.FAILED,
        JobStatus.FAILED,
        JobStatus.QUEUED,
    ]


def test_a_film_that_is_not_as_planned_is_not_shown(warm: Siding, clip: Path, clips: Clips) -> None:
    """FFmpeg says that all went well, and the film lacks its last bytes."""
    cut = 'real "$@" && for film; do :; done && truncate -s -1000 "$film"; exit'
    warm.settings["ffmpeg"] = broken_ffmpeg(warm.folder, clips.ffmpeg, "film.ffconcat", cut)
    job_id = warm.film(clip)
    assert warm.worker()(job_id, None) is JobStatus.QUEUED
    state = warm.state(job_id)
    assert state.attempts == 1 and state.error_message
    assert warm.farm.jobs.attempts(job_id)[0].outcome is AttemptOutcome.FAILED
    assert (warm.made(), warm.leftovers()) == ([], [])


def test_an_ffmpeg_that_makes_no_progress_is_killed(warm: Siding, clip: Path, clips: Clips) -> None:
    warm.settings |= {
        "ffmpeg": held_ffmpeg(warm.folder, clips.ffmpeg, "film.ffconcat"),
        "stall_seconds": 0.5,
    }
    job_id = warm.film(clip)
    try:
        assert warm.worker()(job_id, None) is JobStatus.QUEUED
    finally:
        (warm.folder / "hold").unlink()
    state = warm.state(job_id)
    assert state.attempts == 1 and "no progress" in (state.error_message or "")
    assert gone_soon(warm.farm.settings.cache_dir) and warm.leftovers() == []


def test_an_error_nobody_thought_of_is_written_down_in_full(warm: Siding, clip: Path) -> None:
    job_id = warm.film(*warm.put(clip))

    def surprise(stage: str) -> None:
        if stage == "joining":
            raise RuntimeError("what nobody thought of")

    assert warm.worker(told=surprise)(job_id, None) is JobStatus.QUEUED
    state = warm.state(job_id)
    assert state.attempts == 1
    assert "what nobody thought of" in (state.error_message or "")
    assert "Reelyard" in (state.error_message or "")
    log = "\n".join(warm.log(job_id))
    assert "Traceback (most recent call last)" in log and "in surprise" in log
    assert warm.farm.jobs.attempts(job_id)[0].outcome is AttemptOutcome.FAILED
    assert (warm.made(), warm.leftovers()) == ([], [])


@pytest.mark.parametrize("what", ["ffmpeg", "log_dir"])
def test_a_worker_that_can_not_even_begin_hands_the_job_on(
    warm: Siding, tmp_path: Path, clip: Path, what: str
) -> None:
    """Its settings are wrong. Somebody else's are right."""
    job_id = warm.film(clip)
    a_file = tmp_path / "a file"
    a_file.write_text("")
    wrong = tmp_path / "no such file" if what == "ffmpeg" else a_file / "folder"
    broken = Siding(tmp_path, {what: wrong})
    try:
        work = broken.farm.work("pc1")
        for number in range(1, 4):
            broken.register("pc1")
            status = work(job_id, None)
            state = warm.state(job_id)
            assert (status, state.attempts) == (state.status, number), state
            assert str(wrong) in (state.error_message or "")
            outcome = warm.farm.jobs.attempts(job_id)[-1].outcome
            assert outcome is AttemptOutcome.FAILED
    finally:
        broken.close()
    assert state.status is JobStatus.FAILED
    warm.farm.jobs.retry(job_id)
    assert warm.worker("pc2")(job_id, None) is JobStatus.COMPLETED


def test_a_retry_forgives_all_failures(crashing: Siding, clip: Path) -> None:
    job_id = crashing.film(clip)
    for name in ("pc1", "pc2", "pc3"):
        crashing.worker(name)(job_id, None)
    assert crashing.status(job_id) is JobStatus.FAILED
    state = crashing.farm.jobs.retry(job_id)
    assert (state.status, state.attempts, state.error_message) == (JobStatus.QUEUED, 0, None)
    assert crashing.worker("pc1")(job_id, None) is JobStatus.QUEUED  # whoever asks may try
    assert crashing.state(job_id).attempts == 1


def test_a_job_that_waited_and_then_failed_does_not_wait_any_more(
    crashing: Siding, clip: Path
) -> None:
    """Its share was away, it came back, and then FFmpeg crashed: that is what there is to say."""
    crashing.settings["lease_seconds"] = 1.0
    job_id = crashing.film(*crashing.put(clip))
    away = crashing.share.rename(crashing.folder / "away")
    assert crashing.worker()(job_id, None) is JobStatus.QUEUED
    assert "is not there" in (crashing.state(job_id).waiting_for or "")
    away.rename(crashing.share)

    def taken() -> bool:
        return crashing.worker()(job_id, None) is not None

    wait_for(taken, "the job to be taken again")
    state = crashing.state(job_id)
    assert (state.status, state.attempts) == (JobStatus.QUEUED, 1)
    assert "FFmpeg failed" in (state.error_message or "")
    assert state.waiting_for is None
    # And its waiting is over: nobody gives it up because of that.
    crashing.sweep(longest_wait=0.0)()
    assert crashing.status(job_id) is JobStatus.QUEUED


def test_a_worker_whose_encoder_is_dead_is_to_blame_and_not_the_job(
    siding: Siding, clip: Path, tmp_path: Path
) -> None:
    """It counts against the worker alone, and the others make the film."""
    own = {"database_url": siding.farm.settings.database_url, "output_dir": siding.out}
    broken = Siding(tmp_path / "broken", {**own, "encoder": "h264_nvenc", "gpu": "none"})
    siding.register("pc1")
    job_id = siding.film(clip)
    with closing(broken):
        assert broken.worker("pc2")(job_id, None) is JobStatus.QUEUED
    state = siding.state(job_id)
    assert (state.attempts, state.error_message) == (0, None)
    assert "h264_nvenc does not work here" in (state.waiting_for or "")
    assert {one.worker_id: one.failures for one in siding.farm.workers.list()} == {
        "pc1": 0,
        "pc2": 1,
    }
    (attempt,) = siding.farm.jobs.attempts(job_id)
    assert attempt.outcome is AttemptOutcome.FAILED
    assert attempt.figures == {"code": "encoder_unavailable"}
