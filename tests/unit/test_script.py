"""A plan as a shell script."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from reelyard.domain.job import ItemType
from reelyard.domain.plan import Font, Plan
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.fonts import Face
from reelyard.engine.planner import Gathered, Workshop, make_plan
from reelyard.files.publishing import local
from reelyard.services.job_file import parse_job
from reelyard.services.script import as_script
from tests.conftest import Clips, Studio
from tests.unit.facts import CLIP, STILL, X264_HD, item, job

FFMPEG = FFmpeg(Path("/opt/ff mpeg/ffmpeg"), "9")
FACE = Face("Anton", Font(path="/fonts/an ton.ttf", fingerprint="aa"), frozenset(range(128)))
IMAGE = Gathered(item=item(position=2, item_type=ItemType.IMAGE, path="/media/s.png"), facts=STILL)


def plan(*gathered: Gathered, loudness: bool = False, segment_frames: int = 600) -> Plan:
    workshop = Workshop(encoding=X264_HD, faces=(FACE,), segment_frames=segment_frames)
    return make_plan(job(*(one.item for one in gathered), loudness=loudness), gathered, workshop)


def script(*gathered: Gathered, loudness: bool = False, segment_frames: int = 600) -> str:
    return as_script(plan(*gathered, loudness=loudness, segment_frames=segment_frames), FFMPEG)


VIDEO = Gathered(item=item(text="Don't {stop}"), facts=CLIP)


def test_a_script_is_a_shell_script_that_stops_at_the_first_error() -> None:
    lines = script(VIDEO, IMAGE, loudness=True).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines


def test_bash_understands_a_script() -> None:
    nasty = Gathered(
        item=item(text="$(touch x) `y` 'z' \"q\" \\ \n !!", path="/media/a'b $(c)\n.mp4"),
        facts=replace(CLIP, path="/media/a'b $(c)\n.mp4"),
    )
    source = script(nasty, IMAGE, loudness=True)
    done = subprocess.run(["bash", "-n"], input=source, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_is_the_one_that_is_run() -> None:
    commands = [line for line in script(VIDEO).splitlines() if "'/opt/ff mpeg/ffmpeg'" in line]
    assert len(commands) == 4  # picture, sound, track, film
    assert all("-hide_banner -nostats" in command for command in commands)
    assert ["-nostdin" in command for command in commands] == [True, True, False, True]


def test_what_is_shown_twice_is_rendered_once_and_joined_twice() -> None:
    again = replace(IMAGE, item=replace(IMAGE.item, position=3))
    source = script(IMAGE, again)
    assert source.count("loop=loop=-1") == 1
    listing = source[source.index("ffconcat version") :].splitlines()[0]
    assert listing.count("file ") == 2


def test_segments_are_named_by_their_item_part_and_length() -> None:
    source = script(VIDEO, segment_frames=200)
    assert "# item 1, part 1: 150 frames" in source
    assert "# item 1, part 2: 150 frames" in source


def test_a_text_brings_its_document_and_its_fonts() -> None:
    source = script(VIDEO)
    assert "cp '/fonts/an ton.ttf' fonts/0.ttf" in source
    assert "> text.ass" in source


def test_silence_is_made_without_ffmpeg() -> None:
    name = plan(IMAGE).items[0].sound.key[:16]
    # 5 s * 48 000 samples * 4 bytes
    assert f"head -c 960000 /dev/zero > {name}.pcm" in script(IMAGE)


def test_levelled_sound_is_measured_where_the_script_runs() -> None:
    source = script(VIDEO, loudness=True)
    assert "ebur128=peak=true" in source
    assert "i < -60.0 ? 0 : -14.0 - i" in source
    assert "volume='\"$gain\"'dB" in source
    assert "$gain" not in script(VIDEO)


def test_a_script_makes_the_very_bytes_that_a_render_makes(clips: Clips, studio: Studio) -> None:
    clip = clips.video("it's a clip.mp4", rate="25", seconds=1.6)
    items = [
        {"item_type": "video", "path": str(clip), "text_animation_text": "Don't {stop} \\N #1"},
        {"item_type": "image", "path": str(clips.picture("script.png")), "duration": 0.5},
        {"item_type": "video", "path": str(clip), "start": 0.5, "text_animation_text": "Ω = Ж;"},
    ]
    document = {"channel_name": "Tests", "items": items, "loudness": True, "chapters": True}
    reelyard = studio.reelyard()
    parsed = parse_job(document, studio.folder)
    rendered = reelyard.render_job(parsed, studio.folder / "rendered.mp4")
    source = as_script(reelyard.planning.prepare(parsed).plan, reelyard.ffmpeg)
    path = studio.folder / "script.sh"
    path.write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["bash", str(path)], cwd=studio.folder, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    film = studio.folder / "reelyard-work" / "film.mp4"
    assert film.read_bytes() == local(rendered.output).read_bytes()
