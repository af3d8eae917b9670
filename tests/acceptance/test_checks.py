"""No silent success: what does not match its plan is refused, whatever FFmpeg's exit code said."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reelyard.domain.chapters import Chapter
from reelyard.domain.errors import Cancelled, OutputRejected
from reelyard.domain.output import HD, UHD, OutputForm
from reelyard.engine.checks import FilmFacts, check_film, check_segment
from reelyard.engine.commands import index_room
from reelyard.engine.encoders import video_options
from tests.acceptance.spoiled import boxes
from tests.acceptance.station import gone_soon, sha256
from tests.conftest import Cli, Clips, Studio

FRAMES = 12
_TAGS = "setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
_CODING = video_options("libx264", HD)


def segment(
    clips: Clips, name: str, *, size: str = "1920x1080", frames: int = FRAMES,
    coding: tuple[str, ...] = _CODING, graph: str = f"format=yuv420p,{_TAGS}", rate: str = "30",
    scale: str = "30",
) -> Path:  # fmt: skip
    source = f"testsrc2=size={size}:rate={rate}"
    return clips.make(
        f"segment-{name}.mp4", "-f", "lavfi", "-i", source, "-vf", graph, *coding,
        "-frames:v", str(frames), "-video_track_timescale", scale,
    )  # fmt: skip


def test_the_right_segment_is_accepted(clips: Clips) -> None:
    facts = check_segment(segment(clips, "right"), HD, FRAMES)
    assert (facts.frames, facts.width, facts.height, facts.profile) == (12, 1920, 1080, "Main")


_OTHER_PROFILE = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-profile:v",
    "baseline",
    "-level",
    "4.1",
)
_OTHER_LEVEL = tuple("4.2" if one == "4.1" else one for one in _CODING)
WRONG: dict[str, Callable[[Clips], Path]] = {
    "a frame missing": lambda clips: segment(clips, "11", frames=11),
    "a frame too many": lambda clips: segment(clips, "13", frames=13),
    "another size": lambda clips: segment(clips, "size", size="1280x720"),
    "another profile": lambda clips: segment(clips, "profile", coding=_OTHER_PROFILE),
    "another level": lambda clips: segment(clips, "level", coding=_OTHER_LEVEL),
    "another pixel format": lambda clips: segment(
        clips, "format", graph=f"format=yuv422p,{_TAGS}",
        coding=("-c:v", "libx264", "-preset", "ultrafast"),
    ),
    "another rate": lambda clips: segment(clips, "rate", rate="25", scale="25"),
    "frames off the grid": lambda clips: segment(
        clips, "grid", graph=f"settb=1/1000,setpts=PTS+7*gt(N\\,5),format=yuv420p,{_TAGS}",
        scale="1000",
    ),
    "no colour tags": lambda clips: segment(clips, "tags", graph="format=yuv420p"),
    "sound only": lambda clips: clips.make(
        "segment-sound.m4a", "-f", "lavfi", "-i", "sine=duration=0.4"
    ),
    "another codec": lambda clips: segment(
        clips, "codec", coding=("-c:v", "mpeg4", "-b:v", "1M"), scale="30"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_another_segment_is_refused(clips: Clips, how: str) -> None:
    with pytest.raises(OutputRejected):
        check_segment(WRONG[how](clips), HD, FRAMES)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _hollow(data: bytes) -> bytes:
    """The boxes whole, the pictures noise."""
    start, end = next((a, b) for kind, a, b in boxes(data) if kind == b"mdat")
    return data[: start + 8] + b"\xa5" * (end - start - 8) + data[end:]


SPOILING: dict[str, Callable[[bytes], bytes]] = {
    "half of it": _half,
    "all but its end": lambda data: data[:-2000],
    "nothing": lambda _: b"",
    "noise": lambda _: b"\x5a" * 5000,
    "text": lambda _: b"everything went well\n",
    "pictures of noise": _hollow,
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("how", SPOILING)
def test_a_spoiled_segment_is_refused(clips: Clips, tmp_path: Path, how: str) -> None:
    path = tmp_path / "segment.mp4"
    path.write_bytes(SPOILING[how](segment(clips, "right").read_bytes()))
    with pytest.raises(OutputRejected):
        check_segment(path, HD, FRAMES)


def test_a_segment_that_was_never_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputRejected):
        check_segment(tmp_path / "segment.mp4", HD, FRAMES)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, clips: Clips) -> Path:
    """A finished film of two chapters, twelve frames in all."""
    clip = clips.video("checks.mp4", seconds=0.2)
    items = [{"item_type": "video", "path": clip, "text_animation_text": text} for text in "ab"]
    return Studio(tmp_path_factory.mktemp("film")).render(*items).output


CHAPTERS = (Chapter("a", 0, 6), Chapter("b", 6, 12))


def accept(path: Path) -> FilmFacts:
    """Check a film against the plan that the right one was made by."""
    return check_film(path, HD, FRAMES, CHAPTERS)


def test_the_right_film_is_accepted(film: Path) -> None:
    facts = accept(film)
    assert (facts.frames, facts.samples) == (FRAMES, FRAMES * 1600)
    assert facts.moov_first and facts.audio_video_difference == 0


def test_the_index_fits_the_room_that_was_kept_for_it(film: Path) -> None:
    """And what is left of that is filled: the film is written once, from its first byte to its last."""
    data = film.read_bytes()
    kinds = [kind for kind, _, _ in boxes(data)]
    assert kinds == [b"ftyp", b"moov", b"free", b"free", b"mdat"]
    index, filling = ((end - start) for kind, start, end in list(boxes(data))[1:3])
    assert index + filling == index_room(FRAMES, len(CHAPTERS))


def test_a_check_can_be_stopped(film: Path) -> None:
    def stopped() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        check_film(film, HD, FRAMES, CHAPTERS, stopped)


@pytest.mark.parametrize("how", SPOILING)
def test_a_spoiled_film_is_refused(film: Path, tmp_path: Path, how: str) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(SPOILING[how](film.read_bytes()))
    with pytest.raises(OutputRejected):
        accept(path)


_COPY = ("-map", "0", "-c", "copy", "-fflags", "+bitexact", "-movie_timescale", "48000")
_FIRST = ("-movflags", "+faststart")
_SHORT_SOUND = ("-map", "0:v", "-map", "1:a", "-map_chapters", "0", *_COPY[2:], *_FIRST)
REMADE: dict[str, tuple[str, ...]] = {
    "index at the end": _COPY,
    "no sound": ("-map", "0:v", *_COPY[2:], *_FIRST),
    "no picture": ("-map", "0:a", *_COPY[2:], *_FIRST),
    "no chapters": ("-map_chapters", "-1", *_COPY, *_FIRST),
    "half of it": (*_COPY, *_FIRST, "-t", "0.2"),
    "sound in mono": (*_COPY, *_FIRST, "-c:a", "aac", "-ac", "1"),
    "sound at another rate": (*_COPY, *_FIRST, "-c:a", "aac", "-ar", "44100"),
    "another size": (*_COPY, *_FIRST, "-c:v", "libx264", "-s", "1280x720"),
}


@pytest.mark.parametrize("how", REMADE)
def test_another_film_is_refused(film: Path, clips: Clips, tmp_path: Path, how: str) -> None:
    path = tmp_path / "film.mp4"
    clips.run("-i", str(film), *REMADE[how], str(path))
    with pytest.raises(OutputRejected):
        accept(path)


def test_a_copy_that_changes_nothing_is_accepted(film: Path, clips: Clips, tmp_path: Path) -> None:
    clips.run("-i", str(film), *_COPY, *_FIRST, "-video_track_timescale", "30000", str(tmp_path / "film.mp4"))  # fmt: skip
    assert accept(tmp_path / "film.mp4").frames == FRAMES


@pytest.mark.parametrize("seconds", [0.2, 0.39, 0.41, 1])
def test_sound_of_another_length_is_refused(
    film: Path, clips: Clips, tmp_path: Path, seconds: float
) -> None:
    path, sound = tmp_path / "film.mp4", tmp_path / "sound.m4a"
    source = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    clips.run("-f", "lavfi", "-i", source, "-ac", "2", "-movie_timescale", "48000", str(sound))
    clips.run("-i", str(film), "-i", str(sound), *_SHORT_SOUND, str(path))
    with pytest.raises(OutputRejected, match="sound"):
        accept(path)


OTHER_CHAPTERS = {
    "none": (),
    "one": CHAPTERS[:1],
    "another title": (CHAPTERS[0], Chapter("c", 6, 12)),
    "another place": (Chapter("a", 0, 7), Chapter("b", 7, 12)),
    "one more": (*CHAPTERS, Chapter("c", 11, 12)),
}


@pytest.mark.parametrize("how", OTHER_CHAPTERS)
def test_other_chapters_are_refused(film: Path, how: str) -> None:
    with pytest.raises(OutputRejected, match="chapter"):
        check_film(film, HD, FRAMES, OTHER_CHAPTERS[how])


def test_a_film_cut_off_by_a_single_byte_is_refused(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film.read_bytes()[:-1])
    with pytest.raises(OutputRejected):
        accept(path)


@pytest.mark.parametrize(("frames", "form"), [(11, HD), (13, HD), (12, UHD)])
def test_a_film_is_refused_for_another_plan(film: Path, frames: int, form: OutputForm) -> None:
    with pytest.raises(OutputRejected):
        check_film(film, form, frames, CHAPTERS)


FAKE = """\
#!/usr/bin/env bash
# The real FFmpeg, but for what it does to one of its files.
last="${{@: -1}}"
if [ "${{last##*/}}" = "{target}" ]; then
  {deed}
  exit 0
fi
exec "{real}" "$@"
"""
DEEDS = {
    "writes nothing": ":",
    "writes half": '"{real}" "$@"; truncate -s $(($(stat -c %s "$last") / 2)) "$last"',
    "writes noise": '"{real}" "$@"; head -c 4000 /dev/zero > "$last"',
    "says nothing and writes nothing": 'exec > /dev/null 2>&1; "{real}" "$@"; rm "$last"',
}
TARGETS = ["segment.mp4", "sound.pcm", "levelled.pcm", "track.m4a", "film.mp4"]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("target", TARGETS)
def test_an_ffmpeg_that_claims_success_makes_no_film(
    cli: Cli, write_job: Callable[..., Path], clips: Clips, tmp_path: Path, deed: str, target: str
) -> None:
    """And nothing of what it made is kept: the real one makes the right film afterwards."""
    fake = tmp_path / "fake"
    script = FAKE.format(
        target=target, deed=DEEDS[deed].format(real=clips.ffmpeg), real=clips.ffmpeg
    )
    fake.write_text(script)
    fake.chmod(0o755)
    clip = clips.video("checks.mp4", seconds=0.2)
    job = write_job({"item_type": "video", "path": clip}, loudness=True)
    output = tmp_path / "out" / "film.mp4"
    environment = {**os.environ, "REELYARD_FFMPEG": str(fake)}
    done = cli("render", job, "-o", output, "--json", env=environment)
    assert done.stderr == "", done.stderr
    error = json.loads(done.stdout.splitlines()[-1])
    assert (error["event"], done.returncode in (1, 2)) == ("error", True), done.stdout
    assert error["message"]
    assert not list(output.parent.iterdir())
    assert gone_soon(tmp_path)
    right = cli("render", job, "-o", output, "--json")
    assert right.returncode == 0, right.stdout


def test_a_failure_is_reported_as_what_it_is_although_others_were_running(
    cli: Cli, write_job: Callable[..., Path], clips: Clips, tmp_path: Path
) -> None:
    """The pieces that are ended because of a failure must not hide it: nobody stopped the job."""
    marked = clips.video("checks-marked.mp4", seconds=0.3, size="160x90")
    fake = tmp_path / "fake"
    broken = f'case "$*" in *{marked.name}*) head -c 4000 /dev/zero > "$last" ;; *) sleep 5; exit 1 ;; esac'
    fake.write_text(FAKE.format(target="segment.mp4", deed=broken, real=clips.ffmpeg))
    fake.chmod(0o755)
    long = clips.video("checks-long.mp4", seconds=1, sound=False)
    job = write_job(
        {"item_type": "video", "path": long}, {"item_type": "video", "path": marked}
    )  # fmt: skip
    environment = {**os.environ, "REELYARD_FFMPEG": str(fake)}
    done = cli("render", job, "-o", tmp_path / "film.mp4", "--jobs", "3", "--json", env=environment)
    error = json.loads(done.stdout.splitlines()[-1])
    assert error["code"] != "cancelled", error
    assert done.returncode == 1


def test_the_report_says_what_the_check_measured(film: Path) -> None:
    measured = json.loads(film.with_suffix(".report.json").read_bytes())["measured"]
    assert measured["size"] == film.stat().st_size
    assert (measured["frames"], measured["samples"], measured["chapters"]) == (12, 12 * 1600, 2)
    assert measured["audio_video_difference"] == 0 and measured["moov_first"]
    assert len(sha256(film)) == 64
