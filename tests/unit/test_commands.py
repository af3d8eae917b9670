"""FFmpeg's arguments, word for word."""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.plan import (
    Encoding,
    PictureRecipe,
    SoundRecipe,
    Source,
    TextOverlay,
)
from reelyard.engine import commands
from reelyard.engine.commands import film_list, quoted

MOV = "mov,mp4,m4a,3gp,3g2,mj2"
CLIP = Source(path="/media/a 'b'.mp4", demuxer=MOV, fingerprint="aa", size=1, modified_ns=2)
LOGO = Source(path="/media/l.png", demuxer="png_pipe", fingerprint="bb", size=1, modified_ns=2)
ENCODING = Encoding(encoder="libx264", options=("-c:v", "libx264"), ffmpeg_version="9")
PICTURE = PictureRecipe(source=CLIP, seek=None, graph="[0:0]null[picture]", frames=600)
SOUND = SoundRecipe(source=CLIP, seek=None, graph="[0:1]anull[sound]", samples=48_000)

OPEN_CLIP = [
    "-protocol_whitelist", "file",  # no network, no pipe
    "-format_whitelist", MOV,
    "-f", "mov",  # the first of the demuxer's names
    "-threads", "1",
    "-i", "file:/media/a 'b'.mp4",  # never a pattern or another protocol
]  # fmt: skip
WRITE_SEGMENT = [
    "-map", "[picture]",
    "-c:v", "libx264",
    "-frames:v", "600",
    "-fps_mode", "passthrough",
    "-flags:v", "+bitexact",
    "-map_metadata", "-1",
    "-map_chapters", "-1",
    "-fflags", "+bitexact",
    "-video_track_timescale", "30",  # one tick per frame
    "-movie_timescale", "30",
    "-f", "mp4", "out.mp4",
]  # fmt: skip
FLAGS = "sws_flags=bicubic+accurate_rnd+bitexact;"


def test_a_picture_segment() -> None:
    assert commands.picture(PICTURE, ENCODING, "out.mp4") == [
        "-copyts", "-filter_complex_threads", "1",
        "-reinit_filter", "0",  # a change of size on the way loses no frame
        *OPEN_CLIP,
        "-filter_complex", FLAGS + "[0:0]null[picture]",
        *WRITE_SEGMENT,
    ]  # fmt: skip


def test_a_picture_segment_from_the_middle_with_a_logo_and_text() -> None:
    text = TextOverlay(document="[Script Info]", fonts=())
    recipe = replace(PICTURE, seek=Fraction(43, 2), logo=LOGO, text=text)
    assert commands.picture(recipe, ENCODING, "out.mp4") == [
        "-copyts", "-filter_complex_threads", "1",
        "-reinit_filter", "0",  # a change of size on the way loses no frame
        "-noaccurate_seek", "-ss", "21.500000",  # the graph cuts by ticks
        *OPEN_CLIP,
        "-protocol_whitelist", "file", "-format_whitelist", "png_pipe",
        "-f", "png_pipe", "-threads", "1", "-i", "file:/media/l.png",
        "-filter_complex", FLAGS + "[0:0]null[picture]",
        *WRITE_SEGMENT,
    ]  # fmt: skip


def test_an_items_sound() -> None:
    assert commands.sound(replace(SOUND, seek=Fraction(3, 2)), "sound.pcm") == [
        "-copyts", "-filter_complex_threads", "1",
        "-skip_frame:v", "all",  # opening the clip decodes nothing of its picture
        "-noaccurate_seek", "-ss", "1.500000",
        *OPEN_CLIP,
        "-filter_complex", "[0:1]anull[sound]", "-map", "[sound]",
        "-c:a", "pcm_s16le",
        "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact",
        "-f", "s16le", "sound.pcm",
    ]  # fmt: skip


def test_sound_is_entered_at_its_beginning_where_there_is_nothing_to_skip() -> None:
    assert "-ss" not in commands.sound(SOUND, "sound.pcm")


def test_measuring_loudness() -> None:
    assert commands.measure("raw.pcm") == [
        "-f", "s16le", "-ar", "48000", "-ch_layout", "stereo", "-i", "raw.pcm",
        "-af", "ebur128=peak=true:framelog=quiet:target=-14",
        "-f", "null", "-",
    ]  # fmt: skip


def test_levelling() -> None:
    assert commands.level("raw.pcm", "[0:0]anull[sound]", "out.pcm") == [
        "-f", "s16le", "-ar", "48000", "-ch_layout", "stereo", "-i", "raw.pcm",
        "-filter_complex", "[0:0]anull[sound]", "-map", "[sound]",
        "-c:a", "pcm_s16le",
        "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact",
        "-f", "s16le", "out.pcm",
    ]  # fmt: skip


def test_the_films_sound_is_encoded_in_one_go() -> None:
    assert commands.track("track.m4a") == [
        "-protocol_whitelist", "pipe,fd",  # the samples come through a pipe
        "-f", "s16le", "-ar", "48000", "-ch_layout", "stereo", "-i", "pipe:0",
        "-filter_complex", "[0:0]ebur128=peak=true:framelog=quiet:target=-14[track]",
        "-map", "[track]",
        "-c:a", "aac", "-b:a", "320000", "-ar", "48000", "-ac", "2",
        "-flags:a", "+bitexact",
        "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact",
        "-movie_timescale", "48000",  # the sound's end falls on a tick
        "-f", "mp4", "track.m4a",
    ]  # fmt: skip


def test_joining_copies_streams_and_puts_the_index_first() -> None:
    assert commands.join("/out/film.mp4", 70_000) == [
        "-protocol_whitelist", "file",
        "-codec_whitelist", "none",  # nothing is decoded to be copied
        "-f", "concat", "-safe", "0", "-i", "film.ffconcat",
        "-protocol_whitelist", "file", "-f", "mov", "-i", "track.m4a",
        "-protocol_whitelist", "file", "-f", "ffmetadata", "-i", "chapters.ffmeta",
        "-map", "0:v", "-map", "1:a",
        "-map_metadata:g", "-1",  # global only: the chapters keep their titles
        "-map_chapters", "2",
        "-c", "copy",
        "-fflags", "+bitexact",
        "-video_track_timescale", "30000",
        "-movie_timescale", "48000",
        "-moov_size", "70000",  # the film is written once
        "-f", "mp4", "/out/film.mp4",
    ]  # fmt: skip


def test_the_list_of_segments() -> None:
    assert film_list([("a.mp4", 1), ("b.mp4", 600)]) == (
        "ffconcat version 1.0\nfile a.mp4\nduration 0.033333\nfile b.mp4\nduration 20.000000\n"
    )


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200))
def test_the_lists_durations_never_drift_from_the_frames(counts: list[int]) -> None:
    """After each segment the sum is what its frames last, rounded down to a microsecond."""
    listing = film_list((f"{n}.mp4", count) for n, count in enumerate(counts))
    total = Fraction(0)
    frames = 0
    durations = [line.split()[1] for line in listing.splitlines() if line.startswith("duration")]
    for count, duration in zip(counts, durations, strict=True):
        frames += count
        total += Fraction(duration)
        assert total == Fraction(math.floor(Fraction(frames, 30) * 1_000_000), 1_000_000)


# Quoting

WORDS = st.one_of(
    st.binary(max_size=30).map(
        lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
    ),
    st.text(st.sampled_from(list("'\"\\$`!\n\t ~*?[]{}();&|<>#x41")), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
)


def through_a_shell(words: list[str]) -> list[str]:
    """What a program gets when the quoted command is pasted into bash."""
    script = f"printf '%s\\0' {quoted(words)}"
    said = subprocess.run(
        ["bash", "--norc", "-c", script.encode("utf-8", "surrogateescape")],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    ).stdout
    return [part.decode("utf-8", "surrogateescape") for part in said.split(b"\0")[:-1]]


@given(st.lists(WORDS, min_size=1, max_size=20))
def test_a_quoted_command_survives_a_real_shell_whatever_its_names_hold(words: list[str]) -> None:
    assert through_a_shell(words) == words


def test_hard_names_survive_a_real_shell() -> None:
    names = [
        "$(reboot)",
        "`reboot`",
        "a'b",
        "-rf",
        "",
        "a\nb",
        "\x01" + "ff",
        "caf\udce9!",
        "~",
        "\\",
    ]
    assert through_a_shell(names) == names


def test_plain_words_are_not_quoted_at_all() -> None:
    assert quoted(["ffmpeg", "-i", "file:/a/b.mp4"]) == "ffmpeg -i file:/a/b.mp4"


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_a_quoted_command_is_one_line_of_text(words: list[str]) -> None:
    line = quoted(words)
    assert "\n" not in line
    line.encode("utf-8")
