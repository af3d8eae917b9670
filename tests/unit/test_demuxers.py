"""Which files may be opened at all."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.engine.demuxers import (
    HEAD_BYTES,
    MOVING,
    PROTOCOLS,
    SEEKABLE,
    disguise,
    still_demuxer,
)
from tests.conftest import Clips


@pytest.mark.parametrize(
    ("head", "demuxer"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "jpeg_pipe"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "png_pipe"),
        (b"BM\x36\0\0\0", "bmp_pipe"),
        (b"II*\0\x08\0", "tiff_pipe"),
        (b"MM\0*\0\x08", "tiff_pipe"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "webp_pipe"),
        (b"\0\0\0\x20ftypavif", "mov"),
        (b"\0\0\0\x18ftypheic", "mov"),
        (b"\0\0\0\x20ftypisom", None),  # an MP4
        (b"RIFF\x24\0\0\0AVI LIST", None),
        (b"\x1aE\xdf\xa3", None),  # Matroska
        (b"GIF89a", None),  # may move
        (b"", None),
        (b"#EXTM3U", None),
    ],
)
def test_stills_are_told_by_their_first_bytes(head: bytes, demuxer: str | None) -> None:
    assert still_demuxer(head) == demuxer


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"#EXTM3U\n#EXT-X-VERSION:3", "HLS"),
        (b"\xef\xbb\xbf\r\n #extm3u", "HLS"),
        (b"ffconcat version 1.0", "FFmpeg script"),
        (b"<MPD xmlns=", "DASH"),
        (b"<?xml version='1.0'?><MPD", "XML"),
        (b"<!DOCTYPE html>", "web page"),
        (b"<HTML>", "web page"),
        (b"#!/bin/sh", "script"),
        (b"[playlist]\nFile1=", "playlist"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
    ],
)
def test_what_only_looks_like_media_is_named(head: bytes, words: str) -> None:
    assert words in (disguise(head) or "")


@pytest.mark.parametrize("head", [b"", b"\0\0\0\x20ftypisom", b"\x89PNG\r\n\x1a\n", b"FFmpeg"])
def test_media_is_no_disguise(head: bytes) -> None:
    assert disguise(head) is None


@given(st.binary(max_size=HEAD_BYTES))
def test_any_bytes_can_be_looked_at(head: bytes) -> None:
    assert still_demuxer(head) is None or disguise(head) is None


def test_only_files_are_opened() -> None:
    assert PROTOCOLS == "file"


def demuxers_of(clips: Clips) -> set[str]:
    said = subprocess.run(
        [str(clips.ffmpeg), "-hide_banner", "-demuxers"], capture_output=True, text=True, check=True
    ).stdout
    return {name for row in re.findall(r"^ D\S* +(\S+)", said, re.M) for name in row.split(",")}


def test_ffmpeg_has_every_demuxer_that_is_allowed(clips: Clips) -> None:
    stills = {"jpeg_pipe", "png_pipe", "bmp_pipe", "tiff_pipe", "webp_pipe", "mov"}
    assert set(MOVING) | stills <= demuxers_of(clips)
    assert set(MOVING) >= SEEKABLE


@pytest.mark.parametrize("name", ["hls", "concat", "dash", "image2", "ffmetadata", "lavfi", "tty"])
def test_nothing_that_can_name_another_file_is_allowed(name: str) -> None:
    assert name not in MOVING
