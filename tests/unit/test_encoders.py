"""Encoders: the system's table, and what FFmpeg itself says of the options."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.errors import EncoderUnavailable, FFmpegFailed, GraphicsCardBusy
from reelyard.domain.output import HD, UHD, OutputForm
from reelyard.engine import encoders
from reelyard.engine.encoders import encoding, find_encoder, video_options
from reelyard.engine.ffmpeg import FFmpeg, Said
from tests.conftest import Clips

NVENC_WORDS = (
    *("-preset", "p5", "-tune", "hq", "-rc", "vbr"),
    *("-spatial-aq", "1", "-temporal-aq", "1"),
    *("-bf", "2", "-strict_gop", "1"),
)
HD_WORDS = (
    *("-b:v", "16M", "-maxrate", "20M", "-bufsize", "24M"),
    *("-profile:v", "main", "-level:v", "4.1", "-g", "60"),
)
UHD_WORDS = (
    *("-b:v", "40M", "-maxrate", "50M", "-bufsize", "60M"),
    *("-profile:v", "high", "-level:v", "5.1", "-g", "60"),
)


def x264_words(dct: int) -> tuple[str, ...]:
    tuning = f"cabac=1:8x8dct={dct}:bframes=2:b-adapt=0:deblock=0,0"
    return ("-preset", "ultrafast", "-x264-params", tuning, "-threads", "1")


@pytest.mark.parametrize(
    ("encoder", "form", "options"),
    [
        ("h264_nvenc", HD, ("-c:v", "h264_nvenc", *NVENC_WORDS, *HD_WORDS)),
        ("h264_nvenc", UHD, ("-c:v", "h264_nvenc", *NVENC_WORDS, *UHD_WORDS)),
        # One thread, or the bytes depend on timing. Profile main knows no 8x8 transform.
        ("libx264", HD, ("-c:v", "libx264", *x264_words(0), *HD_WORDS)),
        ("libx264", UHD, ("-c:v", "libx264", *x264_words(1), *UHD_WORDS)),
    ],
)
def test_each_encoder_gets_the_options_of_the_systems_table(
    encoder: str, form: OutputForm, options: tuple[str, ...]
) -> None:
    assert video_options(encoder, form) == options


# NVENC's options against FFmpeg's own parser

MISUNDERSTOOD = ("Unrecognized option", "Option not found", "Unable to parse", "Undefined constant")


def nvenc_encode(ffmpeg: Path, options: Sequence[str], form: OutputForm) -> tuple[int, str]:
    source = f"color=s={form.width}x{form.height}:r=30:d=0.1"
    argv = [str(ffmpeg), "-hide_banner", "-nostdin", "-f", "lavfi", "-i", source]
    argv += ["-pix_fmt", "yuv420p", *options, "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=120)
    return done.returncode, done.stderr.decode("utf-8", "replace")


@pytest.mark.parametrize("form", [HD, UHD], ids=lambda form: form.name)
def test_ffmpeg_understands_every_nvenc_option(clips: Clips, form: OutputForm) -> None:
    """It fails for want of a driver or a card, or it works; it never fails over an option."""
    code, said = nvenc_encode(clips.ffmpeg, video_options("h264_nvenc", form), form)
    assert not any(words in said for words in MISUNDERSTOOD), said
    assert code == 0 or any(
        words in said
        for words in (
            "libcuda",
            "nvcuda",
            "Cannot load",
            "No capable devices",
            "OpenEncodeSessionEx",
        )
    ), said


@pytest.mark.parametrize(
    "bad", [("-spatial-qa", "1"), ("-rc", "vbrr"), ("-preset", "p55"), ("-temporal-aq", "x")]
)
def test_ffmpeg_says_so_when_it_does_not_understand_an_nvenc_option(
    clips: Clips, bad: tuple[str, str]
) -> None:
    """Without this the test above would prove nothing."""
    code, said = nvenc_encode(clips.ffmpeg, [*video_options("h264_nvenc", HD), *bad], HD)
    assert code != 0
    assert any(words in said for words in MISUNDERSTOOD)


# Finding an encoder


class PretendFFmpeg(FFmpeg):
    """An FFmpeg in which only some encoders work."""

    def __init__(self, *working: str, tail: Sequence[str] = ("Cannot load libcuda.so.1",)) -> None:
        super().__init__(Path("ffmpeg"), "ffmpeg 9")
        self.working = working
        self.tail = tail
        self.tried: list[str] = []

    def run(self, arguments: Sequence[str], **options: Any) -> Said:
        encoder = arguments[list(arguments).index("-c:v") + 1]
        self.tried.append(encoder)
        if encoder not in self.working:
            raise FFmpegFailed("FFmpeg failed: exit code 1", tail=self.tail)
        return Said()


def test_nvenc_is_taken_where_it_works_and_nothing_else_is_tried() -> None:
    ffmpeg = PretendFFmpeg("h264_nvenc", "libx264")
    assert find_encoder(ffmpeg) == "h264_nvenc"
    assert ffmpeg.tried == ["h264_nvenc"]


def test_libx264_is_taken_where_nvenc_does_not_work() -> None:
    assert find_encoder(PretendFFmpeg("libx264")) == "libx264"


def test_an_encoder_that_was_asked_for_is_not_replaced_by_another() -> None:
    with pytest.raises(EncoderUnavailable) as caught:
        find_encoder(PretendFFmpeg("libx264"), "h264_nvenc")
    assert "h264_nvenc does not work here: Cannot load libcuda.so.1" in str(caught.value)
    assert caught.value.remedy


def test_where_no_encoder_works_each_says_why() -> None:
    with pytest.raises(EncoderUnavailable, match=r"h264_nvenc does not.*libx264 does not"):
        find_encoder(PretendFFmpeg())


def test_an_encoder_that_was_asked_for_and_is_only_busy_is_waited_for() -> None:
    """It is not called broken: whoever has the job then waits for the card."""
    full = ("OpenEncodeSessionEx failed: out of memory (10): (no details)",)
    with pytest.raises(GraphicsCardBusy, match="no more encodes at once"):
        find_encoder(PretendFFmpeg("libx264", tail=full), "h264_nvenc")
    assert encoders.choose(PretendFFmpeg("libx264", tail=full)) == encoders.Choice("libx264", True)


def test_a_test_encode_that_said_nothing_is_reported_by_its_exit_code() -> None:
    assert encoders.try_encode(PretendFFmpeg(tail=()), "libx264") == "FFmpeg failed: exit code 1"


@pytest.mark.parametrize("form", [HD, UHD], ids=lambda form: form.name)
def test_libx264_passes_a_real_test_encode(clips: Clips, form: OutputForm) -> None:
    assert encoders.try_encode(FFmpeg(clips.ffmpeg, "9"), "libx264", form) is None


def test_an_encoder_that_does_not_exist_fails_a_real_test_encode(clips: Clips) -> None:
    reason = encoders.try_encode(FFmpeg(clips.ffmpeg, "9"), "h264_that_nobody_made")
    assert reason is not None
    assert "h264_that_nobody_made" in reason


def test_an_encoding_names_the_encoder_its_options_and_the_ffmpeg() -> None:
    made = encoding("libx264", HD, PretendFFmpeg())
    assert (made.encoder, made.ffmpeg_version) == ("libx264", "ffmpeg 9")
    assert made.options == video_options("libx264", HD)
