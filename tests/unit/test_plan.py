"""Content keys: a key stands for the bytes of a segment, all of them and nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.plan import (
    Encoding,
    Font,
    PictureRecipe,
    SoundRecipe,
    SoundSegment,
    Source,
    TextOverlay,
    content_key,
    picture_key,
    sound_key,
    track_key,
)

CLIP = Source(path="/a.mp4", demuxer="mov", fingerprint="aa", size=1, modified_ns=2)
LOGO = Source(path="/l.png", demuxer="png_pipe", fingerprint="bb", size=3, modified_ns=4)
ANTON = Font(path="/anton.ttf", fingerprint="cc")
TEXT = TextOverlay(document="[Script Info]", fonts=(ANTON,))
PICTURE = PictureRecipe(
    source=CLIP, seek=Fraction(3, 2), graph="[0:0]null[picture]", frames=30, logo=LOGO, text=TEXT
)
SOUND = SoundRecipe(source=CLIP, seek=None, graph="[0:1]anull[sound]", samples=48_000)
ENCODING = Encoding(encoder="libx264", options=("-b:v", "16M"), ffmpeg_version="ffmpeg 9")


@pytest.mark.parametrize(
    "other",
    [
        replace(PICTURE, source=replace(CLIP, fingerprint="ab")),
        replace(PICTURE, source=replace(CLIP, demuxer="matroska")),
        replace(PICTURE, seek=None),
        replace(PICTURE, seek=Fraction(0)),
        replace(PICTURE, seek=Fraction(8, 5)),
        replace(PICTURE, graph="[0:0]hflip[picture]"),
        replace(PICTURE, frames=31),
        replace(PICTURE, logo=None),
        replace(PICTURE, logo=replace(LOGO, fingerprint="bc")),
        replace(PICTURE, text=None),
        replace(PICTURE, text=replace(TEXT, document="[Events]")),
        replace(PICTURE, text=replace(TEXT, fonts=(replace(ANTON, fingerprint="cd"),))),
        replace(PICTURE, text=replace(TEXT, fonts=())),
    ],
)
def test_whatever_changes_a_pictures_bytes_changes_its_key(other: PictureRecipe) -> None:
    assert picture_key(other, ENCODING) != picture_key(PICTURE, ENCODING)


@pytest.mark.parametrize(
    "other",
    [
        replace(ENCODING, encoder="h264_nvenc"),
        replace(ENCODING, options=("-b:v", "17M")),
        replace(ENCODING, options=("16M", "-b:v")),
        replace(ENCODING, ffmpeg_version="ffmpeg 10"),
    ],
)
def test_another_encoding_makes_another_key(other: Encoding) -> None:
    assert picture_key(PICTURE, other) != picture_key(PICTURE, ENCODING)


@pytest.mark.parametrize("change", [{"path": "/b.mp4"}, {"size": 9}, {"modified_ns": 9}])
def test_moving_copying_or_touching_a_file_changes_no_key(change: dict[str, Any]) -> None:
    moved = replace(PICTURE, source=replace(CLIP, **change), logo=replace(LOGO, **change))
    assert picture_key(moved, ENCODING) == picture_key(PICTURE, ENCODING)
    sound = replace(SOUND, source=replace(CLIP, **change))
    assert sound_key(sound, 48_000, "9") == sound_key(SOUND, 48_000, "9")


def test_a_font_may_lie_anywhere() -> None:
    moved = replace(TEXT, fonts=(replace(ANTON, path="/elsewhere/anton.ttf"),))
    assert picture_key(replace(PICTURE, text=moved), ENCODING) == picture_key(PICTURE, ENCODING)


@pytest.mark.parametrize(
    "other",
    [
        replace(SOUND, source=replace(CLIP, fingerprint="ab")),
        replace(SOUND, source=replace(CLIP, demuxer="matroska")),
        replace(SOUND, seek=Fraction(1)),
        replace(SOUND, graph="[0:2]anull[sound]"),
        replace(SOUND, samples=49_600),
        replace(SOUND, even_loudness=True),
        None,
    ],
)
def test_whatever_changes_a_sounds_bytes_changes_its_key(other: SoundRecipe | None) -> None:
    assert sound_key(other, 48_000, "9") != sound_key(SOUND, 48_000, "9")


def test_another_ffmpeg_makes_other_sound() -> None:
    assert sound_key(SOUND, 48_000, "10") != sound_key(SOUND, 48_000, "9")


def test_silence_is_the_same_with_any_ffmpeg_and_depends_on_its_length_only() -> None:
    assert sound_key(None, 1600, "9") == sound_key(None, 1600, "10")
    assert sound_key(None, 1600, "9") != sound_key(None, 3200, "9")


def test_the_track_depends_on_every_sound_their_order_the_options_and_ffmpeg() -> None:
    one, two = (SoundSegment(key=key, position=1, samples=1, recipe=None) for key in "ab")
    keys = {
        track_key([one, two], ("-b:a", "320k"), "9"),
        track_key([two, one], ("-b:a", "320k"), "9"),
        track_key([one], ("-b:a", "320k"), "9"),
        track_key([one, one], ("-b:a", "320k"), "9"),
        track_key([one, two], ("-b:a", "192k"), "9"),
        track_key([one, two], ("-b:a", "320k"), "10"),
    }
    assert len(keys) == 6


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_two_keys_are_equal_only_for_equal_parts(one: list[str], two: list[str]) -> None:
    assert (content_key(*one) == content_key(*two)) == (one == two)


def test_a_key_is_64_hexadecimal_digits() -> None:
    key = picture_key(PICTURE, ENCODING)
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")


def test_keys_are_the_same_on_every_machine_and_in_every_process() -> None:
    """If this fails, every cache is worth nothing any more: raise PLAN_VERSION on purpose."""
    assert content_key("a", 1, None) == (
        "2a1690001bfbebccd48ca05371c11b63940d080a0291f626bf4c600c4149f36b"
    )
