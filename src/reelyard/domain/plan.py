"""The plan: everything a film is made of, decided before anything is rendered.

A plan is data with a version. It can be printed, stored and compared; two equal plans give
the same bytes with the same FFmpeg. A segment's content key is a hash of everything that
changes its bytes and of nothing else: moving or renaming a source changes no key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from .job import ItemType
from .output import OutputForm
from .timeline import FrameRange

PLAN_VERSION = 1
"""Part of every content key: raise it when the same plan would give other bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file as FFmpeg is to open it. ``fingerprint`` stands for its bytes in content keys."""

    path: str
    demuxer: str
    fingerprint: str
    size: int
    modified_ns: int
    decoder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Font:
    """A font file that a text needs."""

    path: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOverlay:
    """Animated text: a whole ASS document and the only fonts it may use."""

    document: str
    fonts: tuple[Font, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRecipe:
    """How FFmpeg makes a segment's picture. ``graph`` ends in ``[picture]``.

    ``seek`` is in seconds from the container's start; None reads from the beginning. ``on_card``: the
    graphics card decodes the source, and the graph is one for its frames.
    """

    source: Source
    seek: Fraction | None
    graph: str
    frames: int
    logo: Source | None = None
    text: TextOverlay | None = None
    on_card: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundRecipe:
    """How FFmpeg makes an item's sound: 16-bit stereo PCM. ``graph`` ends in ``[sound]``."""

    source: Source
    seek: Fraction | None
    graph: str
    samples: int
    even_loudness: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSegment:
    """A run of whole frames of one item, rendered and cached on its own.

    ``spare`` is the same segment as the processor makes it, under its own key: for a source that the
    graphics card turns out not to decode.
    """

    key: str
    position: int
    part: int
    frames: FrameRange
    recipe: PictureRecipe
    spare: PictureSegment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundSegment:
    """One item's sound. Without a recipe it is silence, which nobody needs to render."""

    key: str
    position: int
    samples: int
    recipe: SoundRecipe | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """One item in the film: ``start`` is its first frame there.

    ``by_processor`` says why the graphics card does not prepare its picture; None where it does, and
    where there is none that could.
    """

    position: int
    item_type: ItemType
    title: str
    named: str
    start: int
    frames: int
    picture: tuple[PictureSegment, ...]
    sound: SoundSegment
    notes: tuple[str, ...] = ()
    by_processor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The encoder that makes every segment of a film, and FFmpeg's options for it.

    ``device`` is the graphics card's model and driver, which are part of the encoder: another one writes
    other bytes. It is not which of two equal cards it is.
    """

    encoder: str
    options: tuple[str, ...]
    ffmpeg_version: str
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A film, decided. ``track_key`` names its sound, encoded once over the whole length."""

    channel_name: str
    form: OutputForm
    encoding: Encoding
    items: tuple[PlannedItem, ...]
    track_key: str
    even_loudness: bool
    version: int = PLAN_VERSION

    @property
    def frames(self) -> int:
        return sum(item.frames for item in self.items)

    @property
    def picture(self) -> Iterator[PictureSegment]:
        """All picture segments in the order of the film; one may occur more than once."""
        return (segment for item in self.items for segment in item.picture)

    @property
    def sound(self) -> Iterator[SoundSegment]:
        return (item.sound for item in self.items)


def content_key(*parts: object) -> str:
    """64 hexadecimal digits that stand for ``parts`` (anything JSON can write) and their order."""
    text = json.dumps([PLAN_VERSION, *parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _opened(source: Source, seek: Fraction | None) -> list[str | None]:
    return [source.fingerprint, source.demuxer, source.decoder, str(seek)]


def picture_key(recipe: PictureRecipe, encoding: Encoding, arguments: Sequence[str] = ()) -> str:
    """The key of a segment. ``arguments`` are FFmpeg's, with nothing in them that is only a name."""
    text = recipe.text and [recipe.text.document, [font.fingerprint for font in recipe.text.fonts]]
    return content_key(
        "picture",
        [
            encoding.ffmpeg_version,
            encoding.encoder,
            encoding.options,
            *([encoding.device] if encoding.device else []),
        ],
        _opened(recipe.source, recipe.seek),
        [recipe.graph, recipe.frames, recipe.logo and recipe.logo.fingerprint, text],
        list(arguments),
    )


def sound_key(
    recipe: SoundRecipe | None, samples: int, ffmpeg_version: str, arguments: Sequence[str] = ()
) -> str:
    """The key of an item's sound, or of silence; ``arguments`` as for a picture."""
    if recipe is None:
        return content_key("silence", samples)
    return content_key(
        "sound",
        ffmpeg_version,
        _opened(recipe.source, recipe.seek),
        [recipe.graph, recipe.samples, recipe.even_loudness],
        list(arguments),
    )


def track_key(sounds: list[SoundSegment], options: Sequence[str], ffmpeg_version: str) -> str:
    """The key of the film's whole sound: of all items' in their order."""
    return content_key("track", ffmpeg_version, list(options), [sound.key for sound in sounds])
