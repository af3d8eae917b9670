"""Rendering one piece: a picture segment, an item's sound, the film's track, the joined film.

Each takes a recipe and a folder to work in, and leaves one checked file. Nothing here knows of
other pieces, of caches, or of what happens next.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reelyard.domain.chapters import Chapter, ffmetadata
from reelyard.domain.errors import BadMedia, FFmpegFailed, OutputRejected
from reelyard.domain.output import OutputForm
from reelyard.domain.plan import Encoding, PictureRecipe, SoundRecipe, Source, TextOverlay
from reelyard.domain.timeline import SAMPLES_PER_FRAME

from . import checks, commands, nvenc
from .alike import check_one_kind
from .encoders import NVENC
from .ffmpeg import CommandLog, FFmpeg, Said, StopSignal
from .loudness import Loudness, read_summary
from .picture import FONTS_DIR, TEXT_FILE
from .probe import changed
from .sound import levelling_graph, loudness_gain

BYTES_PER_SAMPLE = 4  # two channels of 16 bits
_FEW_ERRORS = 10
_ERROR_SHARE = 20  # more than one error in so many frames is damage, not a blemish
_FONTS_CONF = '<?xml version="1.0"?>\n<fontconfig></fontconfig>\n'
"""FFmpeg sees no font of this machine: only those in a text's own folder."""


@dataclass(frozen=True, slots=True)
class Run:
    """What every FFmpeg run of a job shares."""

    ffmpeg: FFmpeg
    log: CommandLog
    stop: StopSignal

    def __call__(
        self,
        arguments: Sequence[str],
        cwd: Path,
        on_frames: Callable[[int], None] | None = None,
        feed: Iterable[bytes] | None = None,
    ) -> Said:
        return self.ffmpeg.run(
            arguments, cwd=cwd, log=self.log, on_frames=on_frames, stop=self.stop, feed=feed
        )


def prepare(folder: Path) -> None:
    """Make a folder that FFmpeg can run in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fonts.conf").write_text(_FONTS_CONF)


def render_picture(
    run: Run,
    recipe: PictureRecipe,
    encoding: Encoding,
    form: OutputForm,
    folder: Path,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[Path, list[str], str]:
    """Render and check a segment in ``folder``.

    Returns the file, warnings about its source, and a hash of its parameter sets: only segments that
    have the same can be joined. Raises BadMedia where the source is to blame.
    """
    prepare(folder)
    if recipe.text:
        _lay_out(recipe.text, folder)
    output = folder / "segment.mp4"
    arguments = commands.picture(recipe, encoding, output.name)
    said = _reading(run, arguments, folder, on_frames, by_card=encoding.encoder == NVENC)
    _check_unchanged(recipe.source)
    if recipe.logo:
        _check_unchanged(recipe.logo)
    warnings = _judge(said, recipe.frames)
    if recipe.on_card and (warnings or any(commands.REBUILT in line for line in said.lines)):
        raise BadMedia("the graphics card does not decode it without errors", reason="damaged",
                       remedy=_DAMAGE_REMEDY)  # fmt: skip
    try:
        facts = checks.check_segment(output, form, recipe.frames)
    except OutputRejected as rejected:
        if "frames instead of" not in rejected.message:
            raise
        raise BadMedia(f"its picture breaks off: the segment {rejected.message.partition(' ')[2]}",
                       remedy=_DAMAGE_REMEDY, reason="damaged") from rejected  # fmt: skip
    return output, warnings, facts.parameter_sets


def _reading(
    run: Run,
    arguments: Sequence[str],
    folder: Path,
    on_frames: Callable[[int], None] | None,
    *,
    by_card: bool = False,
) -> Said:
    """Run FFmpeg on a source; where it gives up because of the source, that is BadMedia.

    Where it gives up because of the graphics card, that is never the source's fault: without an encoder
    nothing is read of it either.
    """
    try:
        return run(arguments, folder, on_frames)
    except FFmpegFailed as failure:
        if by_card and (trouble := nvenc.trouble(failure.tail)):
            raise trouble from failure
        if any(sign in line for line in failure.tail for sign in _SOURCES_FAULT):
            raise BadMedia(f"it can't be decoded: {failure.tail[0]}", remedy=_DAMAGE_REMEDY,
                           reason="damaged") from failure  # fmt: skip
        raise


_SOURCES_FAULT = (
    "exceeds maximum",  # FFmpeg's own limit of decoding errors
    "Invalid data found when processing input",
    "Error opening input",
    "received no packets",
)


def _lay_out(text: TextOverlay, folder: Path) -> None:
    (folder / TEXT_FILE).write_text(text.document, encoding="utf-8")
    fonts = folder / FONTS_DIR
    fonts.mkdir(exist_ok=True)
    for number, font in enumerate(text.fonts):
        shutil.copyfile(font.path, fonts / f"{number}{Path(font.path).suffix}")


def _check_unchanged(source: Source) -> None:
    if changed(Path(source.path), source.size, source.modified_ns):
        raise BadMedia("the file changed while it was rendered",
                       remedy="Wait until it is fully copied, then run again", reason="changed")  # fmt: skip


_DAMAGE_REMEDY = "Export it again, or set on_bad_item: skip to leave it out"


def _judge(said: Said, frames: int) -> list[str]:
    """A few errors are a warning; many mean that the picture is not to be shown."""
    if said.error_count > max(_FEW_ERRORS, frames // _ERROR_SHARE):
        raise BadMedia(
            f"it is damaged: {said.error_count} errors while decoding, first: {said.errors[0]}",
            remedy=_DAMAGE_REMEDY,
            reason="damaged",
        )
    return [f"{said.error_count} decoding errors, first: {said.errors[0]}"] if said.errors else []


def render_sound(
    run: Run,
    recipe: SoundRecipe,
    folder: Path,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[Path, list[str]]:
    """Render an item's sound in ``folder``: exactly its samples, raw; levelled if asked for."""
    prepare(folder)
    output = folder / "sound.pcm"
    said = _reading(run, commands.sound(recipe, output.name), folder, on_frames)
    _check_unchanged(recipe.source)
    _check_samples(output, recipe.samples)
    warnings = _judge(said, recipe.samples // SAMPLES_PER_FRAME)
    if recipe.even_loudness:
        output = _levelled(run, recipe, output, folder)
    return output, warnings


def _levelled(run: Run, recipe: SoundRecipe, raw: Path, folder: Path) -> Path:
    measured = read_summary(run(commands.measure(raw.name), folder).lines)
    gain = loudness_gain(measured.integrated)
    output = folder / "levelled.pcm"
    run(commands.level(raw.name, levelling_graph(gain, recipe.samples), output.name), folder)
    _check_samples(output, recipe.samples)
    return output


def _check_samples(path: Path, samples: int) -> None:
    found = path.stat().st_size / BYTES_PER_SAMPLE
    if found != samples:
        raise BadMedia(f"its sound came out as {found:.0f} samples instead of {samples}",
                       remedy=_DAMAGE_REMEDY, reason="damaged")  # fmt: skip


def render_track(
    run: Run,
    pcm: Iterable[bytes],
    samples: int,
    folder: Path,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[Path, Loudness]:
    """Encode the whole film's sound once, and check it; the file and how loud it is."""
    prepare(folder)
    output = folder / commands.TRACK_FILE
    said = run(commands.track(output.name), folder, on_frames, pcm)
    checks.check_track(output, samples)
    return output, read_summary(said.lines)


def join(
    run: Run,
    segments: Sequence[tuple[str, int]],
    chapters: Sequence[Chapter],
    folder: Path,
    output: Path,
    on_frames: Callable[[int], None] | None = None,
) -> None:
    """Couple the segments (names in ``folder``, frames) and the track into one film."""
    check_one_kind(folder / name for name, _ in segments)
    prepare(folder)
    (folder / commands.FILM_LIST).write_text(commands.film_list(segments))
    (folder / commands.CHAPTER_FILE).write_text(ffmetadata(chapters), encoding="utf-8")
    room = commands.index_room(sum(frames for _, frames in segments), len(chapters))
    run(commands.join(str(output), room), folder, on_frames)
