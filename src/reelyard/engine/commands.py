"""FFmpeg's arguments for everything that is rendered (pure, golden-tested).

Paths inside the work folder are relative, so none ever needs escaping inside a filter; sources are
absolute and carry the ``file:`` protocol, so no name is taken for a pattern, a pipe or a network
address. The demuxer that the probe found is pinned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

from reelyard.domain.plan import Encoding, PictureRecipe, SoundRecipe, Source
from reelyard.domain.timeline import FRAME_RATE, SAMPLE_RATE, samples_in

from .demuxers import PROTOCOLS
from .sound import LOUDNESS_TARGET, TRACK_OPTIONS

GRAPH_FLAGS = "sws_flags=bicubic+accurate_rnd+bitexact;"
_PLAIN = ("-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact")
_PCM = ("-f", "s16le", "-ar", str(SAMPLE_RATE))
_METER = "ebur128=peak=true:framelog=quiet:target={target:.0f}"

_NOT_DECODED = ("-codec_whitelist", "none")
"""FFmpeg would decode a frame of every segment to learn its pixel format, which a copy has no use for;
half the time of a join. It complains of it, once a segment, and copies the same bytes."""

_CARD = ("-init_hw_device", "cuda=card:0", "-filter_hw_device", "card")
"""The first card that the process may see: which one that is says its environment, so that arguments and
content keys are the same for each of two equal cards."""

_ON_CARD = (
    *("-hwaccel", "cuda", "-hwaccel_device", "card", "-hwaccel_output_format", "cuda"),
    *("-extra_hw_frames", "8"),
)
"""Frames stay on the card. The decoder gets surfaces for those that are still in the queue to the filters; with
twice as many it refuses clips that use all of their own."""

REBUILT = "Reconfiguring filter graph"
"""What FFmpeg says where a clip's picture changes its size or form on the way."""

FILM_LIST = "film.ffconcat"
CHAPTER_FILE = "chapters.ffmeta"
TRACK_FILE = "track.m4a"


def picture(recipe: PictureRecipe, encoding: Encoding, output: str) -> list[str]:
    """One picture segment: single-threaded throughout, so that its bytes never differ."""
    # A clip whose size changes on the way is scaled to its first size: a new filter graph in
    # the middle would lose frames. The card's scaler can't; what FFmpeg says of the new graph gives it away.
    entry = list(_ON_CARD) if recipe.on_card else ["-reinit_filter", "0"]
    inputs = [*entry, *_source(recipe.source, recipe.seek)]
    if recipe.logo:
        inputs += _source(recipe.logo, None)
    return [
        *(_CARD if recipe.on_card else ()),
        *("-copyts", "-filter_complex_threads", "1"),
        *inputs,
        *("-filter_complex", GRAPH_FLAGS + recipe.graph, "-map", "[picture]"),
        *encoding.options,
        *("-frames:v", str(recipe.frames), "-fps_mode", "passthrough", "-flags:v", "+bitexact"),
        *_PLAIN,
        *("-video_track_timescale", str(FRAME_RATE), "-movie_timescale", str(FRAME_RATE)),
        *("-f", "mp4", output),
    ]


def sound(recipe: SoundRecipe, output: str) -> list[str]:
    """One item's sound as raw 16-bit stereo samples.

    Opening the source decodes no frame of its picture, which is most of what a short sound costs. FFmpeg
    complains that it does not know the pixels' format, and goes on.
    """
    return [
        *("-copyts", "-filter_complex_threads", "1", "-skip_frame:v", "all"),
        *_source(recipe.source, recipe.seek),
        *("-filter_complex", recipe.graph, "-map", "[sound]"),
        *("-c:a", "pcm_s16le", *_PLAIN, "-f", "s16le", output),
    ]


def measure(raw: str) -> list[str]:
    """Measure the loudness of raw samples; the figures are the last thing FFmpeg says."""
    meter = _METER.format(target=LOUDNESS_TARGET)
    return [*_PCM, "-ch_layout", "stereo", "-i", raw, "-af", meter, "-f", "null", "-"]


def level(raw: str, graph: str, output: str) -> list[str]:
    """Raw samples through a levelling graph, into raw samples."""
    return [
        *_PCM,
        *("-ch_layout", "stereo", "-i", raw, "-filter_complex", graph, "-map", "[sound]"),
        *("-c:a", "pcm_s16le", *_PLAIN, "-f", "s16le", output),
    ]


def track(output: str) -> list[str]:
    """The whole film's sound, fed in as raw samples, measured and encoded once."""
    meter = f"[0:0]{_METER.format(target=LOUDNESS_TARGET)}[track]"
    return [
        *("-protocol_whitelist", "pipe,fd", *_PCM, "-ch_layout", "stereo", "-i", "pipe:0"),
        *("-filter_complex", meter, "-map", "[track]"),
        *TRACK_OPTIONS,
        *("-flags:a", "+bitexact", *_PLAIN),
        *("-movie_timescale", str(SAMPLE_RATE), "-f", "mp4", output),
    ]


_FRAME_INDEX = 8 + 8 + 4 + 4 + 1 + 12 + 8
"""Bytes at most for a frame in a film's index: its times (stts, ctts), size (stsz), key (stss), kind (sdtp), and a
chunk of its own (stsc, co64)."""
_SOUND_INDEX = 8 + 4 + 12 + 8
"""The same for 1024 samples of sound."""
_TITLE_INDEX = 1024
_HEADERS = 16_384


def index_room(frames: int, chapters: int) -> int:
    """Bytes in which the index of such a film fits, whatever it is. What is left is a ``free`` box."""
    sounds = samples_in(frames) // 1024 + 3
    return frames * _FRAME_INDEX + sounds * _SOUND_INDEX + chapters * _TITLE_INDEX + _HEADERS


def join(output: str, index_room: int) -> list[str]:
    """Couple segments, sound and chapters by stream copy. Runs in the work folder.

    The movie's clock ticks with the samples: at the usual 1/1000 s the sound's end would be cut
    inexactly. The index comes first, where room is kept for it: to put it there afterwards, FFmpeg would write
    the film a second time.
    """
    return [
        *("-protocol_whitelist", PROTOCOLS, *_NOT_DECODED),
        *("-f", "concat", "-safe", "0", "-i", FILM_LIST),
        *("-protocol_whitelist", PROTOCOLS, "-f", "mov", "-i", TRACK_FILE),
        *("-protocol_whitelist", PROTOCOLS, "-f", "ffmetadata", "-i", CHAPTER_FILE),
        # Only the global metadata is dropped: with all of it, the chapters' titles would go too.
        *("-map", "0:v", "-map", "1:a", "-map_metadata:g", "-1", "-map_chapters", "2"),
        *("-c", "copy"),
        *("-fflags", "+bitexact", "-video_track_timescale", str(1000 * FRAME_RATE)),
        *("-movie_timescale", str(SAMPLE_RATE), "-moov_size", str(index_room), "-f", "mp4", output),
    ]


def film_list(segments: Iterable[tuple[str, int]]) -> str:
    """The list of segments (file name, frames) to join.

    Durations are rounded to microseconds as sums, so the error never grows with their number.
    """
    lines = ["ffconcat version 1.0"]
    frames = 0
    for name, count in segments:
        begin, end = _microseconds(frames), _microseconds(frames + count)
        frames += count
        lines += [f"file {name}", f"duration {(end - begin) / 1_000_000:.6f}"]
    return "\n".join(lines) + "\n"


def _microseconds(frames: int) -> int:
    return frames * 1_000_000 // FRAME_RATE


def _source(source: Source, seek: Fraction | None) -> list[str]:
    # Accurate seeking would drop frames by FFmpeg's idea of the start; the graph does it by ticks.
    entry = [] if seek is None else ["-noaccurate_seek", "-ss", f"{float(seek):.6f}"]
    demuxer = source.demuxer.partition(",")[0]
    decoder = [] if source.decoder is None else ["-c:v", source.decoder]
    guard = ["-protocol_whitelist", PROTOCOLS, "-format_whitelist", source.demuxer]
    return [*entry, *guard, "-f", demuxer, *decoder, "-threads", "1", "-i", f"file:{source.path}"]


def quoted(argv: Sequence[str]) -> str:
    """The command as it can be pasted into a shell, whatever bytes its names hold."""
    import shlex

    return " ".join(_ansi_c(word) if _ODD.search(word) else shlex.quote(word) for word in argv)


_ODD = re.compile("[\x00-\x1f\udc80-\udcff]")


def _ansi_c(word: str) -> str:
    """``$'…'`` for words with control characters or bytes that are no text."""
    raw = word.encode("utf-8", "surrogateescape")
    plain = set(range(0x20, 0x7F)) - {ord("'"), ord("\\")}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in raw) + "'"
