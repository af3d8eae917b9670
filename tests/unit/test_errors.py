"""What a person reads when something is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.errors import (
    BadMedia,
    Cancelled,
    EncoderUnavailable,
    FFmpegFailed,
    FFmpegStalled,
    JobRejected,
    OutOfDisk,
    OutputRejected,
    Problem,
    ReelyardError,
    SettingsInvalid,
    printable,
)

ANY_NAME = st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (ReelyardError("x"), "error", 1),
        (JobRejected([]), "job_rejected", 2),
        (BadMedia("x", remedy="y"), "bad_media", 2),
        (FFmpegFailed("x"), "ffmpeg_failed", 1),
        (FFmpegStalled("x"), "ffmpeg_stalled", 1),
        (EncoderUnavailable("x"), "encoder_unavailable", 2),
        (OutputRejected("x"), "output_rejected", 1),
        (OutOfDisk("x"), "out_of_disk", 1),
        (SettingsInvalid("x"), "settings_invalid", 2),
        (Cancelled(), "cancelled", 130),
    ],
)
def test_exit_codes_tell_bad_input_from_failure_and_from_being_stopped(
    error: ReelyardError, code: str, exit_code: int
) -> None:
    assert (error.code, error.exit_code) == (code, exit_code)


def test_a_remedy_follows_the_message() -> None:
    assert str(ReelyardError("it is broken", remedy="Mend it")) == "it is broken. Mend it."
    assert str(ReelyardError("it is broken")) == "it is broken"


def test_a_stalled_ffmpeg_is_a_failed_ffmpeg() -> None:
    assert issubclass(FFmpegStalled, FFmpegFailed)


def test_a_failed_ffmpeg_keeps_its_last_words_and_says_where_all_of_them_are() -> None:
    error = FFmpegFailed("it died", tail=["one", "two"])
    assert error.tail == ("one", "two")
    assert "ffmpeg_stderr.txt" in str(error)


def test_a_source_carries_the_reason_why_it_is_bad() -> None:
    assert BadMedia("x", remedy="y").reason == "bad_media"
    assert BadMedia("x", remedy="y", reason="damaged").reason == "damaged"


def test_a_stopped_job_says_that_nothing_is_lost() -> None:
    assert str(Cancelled()) == "stopped; a second run takes up where this one ended"


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (Problem(code="c", message="is bad", remedy="Mend it"), "job: is bad. Mend it."),
        (
            Problem(code="c", message="is bad", remedy="Mend it", position=3, field="path"),
            "item 3, path: is bad. Mend it.",
        ),
        (
            Problem(code="c", message="is bad", remedy="Mend it", position=3, file="a\nb.mp4"),
            "item 3, a\\nb.mp4: is bad. Mend it.",
        ),
    ],
)
def test_a_problem_names_its_place_what_is_wrong_and_what_to_do(
    problem: Problem, shown: str
) -> None:
    assert str(problem) == shown


def test_a_rejected_job_names_every_problem_on_a_line_of_its_own() -> None:
    problems = [
        Problem(code="a", message="one", remedy="x", position=1),
        Problem(code="b", message="two", remedy="y", position=2),
    ]
    error = JobRejected(problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == ["item 1: one. x.", "item 2: two. y."]


def test_ordinary_names_are_shown_as_they_are() -> None:
    assert printable("Straße 'Ω' 中.mp4") == "Straße 'Ω' 中.mp4"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("caf\udce9", "caf\\udce9")],
)
def test_control_characters_and_stray_bytes_are_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_NAME)
def test_whatever_a_file_is_called_can_be_printed_on_one_line(name: str) -> None:
    shown = printable(name)
    assert shown.isprintable()
    shown.encode("utf-8")
