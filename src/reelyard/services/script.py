"""A plan as a shell script: every command that Reelyard would run, to run by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reelyard.domain.chapters import chapters_of, ffmetadata, tiled
from reelyard.domain.plan import PictureSegment, Plan, SoundSegment
from reelyard.engine import commands, sound
from reelyard.engine.commands import quoted
from reelyard.engine.ffmpeg import FFmpeg
from reelyard.engine.picture import FONTS_DIR, TEXT_FILE
from reelyard.engine.render import BYTES_PER_SAMPLE

from .made import PICTURE_SUFFIX

_HEAD = """\
#!/usr/bin/env bash
# Made by reelyard plan --ffmpeg. Renders in ./reelyard-work; the film is ./film.mp4 there.
set -euo pipefail
mkdir -p reelyard-work && cd reelyard-work
echo '<fontconfig></fontconfig>' > fonts.conf
export FONTCONFIG_FILE="$PWD/fonts.conf"
"""


def as_script(plan: Plan, ffmpeg: FFmpeg) -> str:
    """The script. Nothing is cached: it makes the same film from scratch."""
    parts = [_HEAD]
    parts += [f"export {name}={quoted([value])}" for name, value in ffmpeg.binding.items()]
    for segment in {one.key: one for one in plan.picture}.values():
        parts += _picture(segment, plan, ffmpeg)
    for item_sound in {one.key: one for one in plan.sound}.values():
        parts += _sound(item_sound, ffmpeg)
    parts += _track(plan, ffmpeg)
    parts += _join(plan, ffmpeg)
    return "\n".join(parts) + "\n"


def _picture(segment: PictureSegment, plan: Plan, ffmpeg: FFmpeg) -> Iterator[str]:
    yield f"\n# item {segment.position}, part {segment.part + 1}: {len(segment.frames)} frames"
    if text := segment.recipe.text:
        yield f"rm -rf {FONTS_DIR} && mkdir {FONTS_DIR}"
        for number, font in enumerate(text.fonts):
            suffix = font.path.rpartition(".")[2]
            yield quoted(["cp", font.path, f"{FONTS_DIR}/{number}.{suffix}"])
        yield f"printf %s {quoted([text.document])} > {TEXT_FILE}"
    arguments = commands.picture(segment.recipe, plan.encoding, _picture_name(segment))
    yield _command(ffmpeg, arguments)


def _sound(segment: SoundSegment, ffmpeg: FFmpeg) -> Iterator[str]:
    yield f"\n# item {segment.position}: sound"
    name = _sound_name(segment)
    if segment.recipe is None:
        yield f"head -c {segment.samples * BYTES_PER_SAMPLE} /dev/zero > {name}"
        return
    if not segment.recipe.even_loudness:
        yield _command(ffmpeg, commands.sound(segment.recipe, name))
        return
    yield _command(ffmpeg, commands.sound(segment.recipe, "raw.pcm"))
    yield f"measured=$({_command(ffmpeg, commands.measure('raw.pcm'))} 2>&1 |"
    yield "  sed -n 's/.*I: *\\(-\\{0,1\\}[0-9.]*\\) LUFS/\\1/p' | tail -n 1)"
    target, floor = sound.LOUDNESS_TARGET, sound.SILENCE
    yield (
        f'gain=$(awk -v i="$measured" \'BEGIN {{ printf "%.2f", i < {floor} ? 0 : {target} - i }}\')'
    )
    graph = sound.levelling_graph(0, segment.samples)
    command = _command(ffmpeg, commands.level("raw.pcm", graph, name))
    yield command.replace("volume=0.00dB", "volume='\"$gain\"'dB")


def _track(plan: Plan, ffmpeg: FFmpeg) -> Iterator[str]:
    yield "\n# the film's sound"
    names = quoted([_sound_name(one) for one in plan.sound])
    yield f"cat {names} |"
    yield "  " + _command(ffmpeg, commands.track(commands.TRACK_FILE), feed=True)


def _join(plan: Plan, ffmpeg: FFmpeg) -> Iterator[str]:
    yield "\n# the film"
    listing = commands.film_list((_picture_name(one), len(one.frames)) for one in plan.picture)
    yield f"printf %s {quoted([listing])} > {commands.FILM_LIST}"
    chapters = tiled(chapters_of(plan.items), plan.frames)
    yield f"printf %s {quoted([ffmetadata(chapters)])} > {commands.CHAPTER_FILE}"
    room = commands.index_room(plan.frames, len(chapters))
    yield _command(ffmpeg, commands.join("film.mp4", room))


def _command(ffmpeg: FFmpeg, arguments: Sequence[str], *, feed: bool = False) -> str:
    return quoted(ffmpeg.argv(arguments, feed=feed))


def _picture_name(segment: PictureSegment) -> str:
    return segment.key[:16] + PICTURE_SUFFIX


def _sound_name(segment: SoundSegment) -> str:
    return segment.key[:16] + ".pcm"
