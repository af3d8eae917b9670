"""The planner (pure): a job and its sources' facts in, a plan out.

Long items are cut into segments, so that one long clip keeps all cores busy. Every number in the plan follows from the facts; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePath

from reelyard.domain.errors import Problem, printable
from reelyard.domain.job import Item, ItemType, Job
from reelyard.domain.media import MediaFacts, MediaKind
from reelyard.domain.output import OutputForm, output_form
from reelyard.domain.plan import (
    Encoding,
    PictureRecipe,
    PictureSegment,
    Plan,
    PlannedItem,
    SoundRecipe,
    SoundSegment,
    Source,
    TextOverlay,
    picture_key,
    sound_key,
    track_key,
)
from reelyard.domain.timeline import (
    FRAME_RATE,
    FrameRange,
    cut,
    frames_in,
    round_half_up,
    samples_in,
    seconds_of,
)

from . import commands, cuda, fonts, sound
from .picture import moving_graph, seek_before, still_graph
from .text import appearing_ms, is_shown_in, letters

SEGMENT_FRAMES = 5 * FRAME_RATE
"""Short enough to share a clip among many cores, long enough for the cost of starting FFmpeg."""

KEY_INTERVALS = 2
"""A segment is at least so many intervals between the source's key frames long: to enter a clip,
everything from the key frame before has to be decoded."""

LONGEST_SEGMENT = 60 * FRAME_RATE
SHORTEST_TRIM = Fraction(1, FRAME_RATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """An item with the facts of its sources."""

    item: Item
    facts: MediaFacts
    logo: MediaFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What plans are made for: one encoder, one set of fonts; the length of segments if it is set.

    ``form`` and ``item_frames`` are a draft's: its small form, and the most frames that it shows of an
    item. Nothing else knows of drafts: the items keep their trims and are refused and warned about
    exactly as the film's would be.
    ``card_decodes``: the codecs whose clips the graphics card prepares; None: all is the processor's work.
    """

    encoding: Encoding
    faces: tuple[fonts.Face, ...]
    segment_frames: int | None = None
    form: OutputForm | None = None
    item_frames: int | None = None
    card_decodes: frozenset[str] | None = None


def check(gathered: Gathered, faces: Sequence[fonts.Face]) -> list[Problem]:
    """Everything about an item that its facts contradict; an empty list if it can be planned."""
    item, facts = gathered.item, gathered.facts
    problems = [*_check_kind(item, facts), *_check_trim(item, facts)]
    if gathered.logo and not _is_picture(gathered.logo):
        problems.append(
            _problem(
                item,
                "logo_moves",
                "logo_path",
                "is not a still picture",
                "Name a PNG, WebP or JPEG picture",
                item.logo_path,
            )
        )
    if item.text and (lost := fonts.missing(item.text, faces)):
        shown = ", ".join(f"{letter!r} (U+{ord(letter[0]):04X})" for letter in lost[:8])
        problems.append(
            _problem(item, "no_glyph", "text_animation_text", f"no font here can draw {shown}",
                     "Change the text, or name a folder with a font that has these letters in "
                     "REELYARD_FONT_DIRS")
        )  # fmt: skip
    return problems


def remarks(gathered: Gathered) -> list[Problem]:
    """What an operator should know of an item that can be rendered."""
    item = gathered.item
    count = len(letters(item.text)) if item.text else 0
    needs, lasts = appearing_ms(count), shown_frames(item, gathered.facts) * 1000 // FRAME_RATE
    if not count or needs <= lasts:
        return []
    message = (
        f"the text takes {needs / 1000:.1f} s to appear, and the clip lasts {lasts / 1000:.1f} s"
    )
    return [
        replace(_problem(item, "text_outlasts", "text_animation_text", message,
                         "Shorten the text, or let the clip run longer"), warning=True)
    ]  # fmt: skip


def _check_kind(item: Item, facts: MediaFacts) -> list[Problem]:
    is_image = item.item_type is ItemType.IMAGE
    if is_image and not _is_picture(facts):
        return [_problem(item, "not_a_still", "item_type", "is a moving picture, not an image",
                         "Make it an item of type video", item.named)]  # fmt: skip
    if not is_image and facts.kind is MediaKind.STILL:
        return [_problem(item, "is_a_still", "item_type", f"is a still picture, not a {item.item_type}",
                         "Make it an item of type image, with a duration", item.named)]  # fmt: skip
    return []


def _is_picture(facts: MediaFacts) -> bool:
    """A still, or a GIF, whose first frame counts."""
    return facts.kind is MediaKind.STILL or facts.demuxer == "gif"


def _check_trim(item: Item, facts: MediaFacts) -> list[Problem]:
    span = facts.video.span
    if facts.kind is MediaKind.STILL or item.item_type is ItemType.IMAGE:
        return []
    holds = f"the clip holds {float(span):.2f} s of picture"
    if item.start and item.start > span - SHORTEST_TRIM:
        return [_problem(item, "trim_outside", "start", holds, "Start earlier", item.named)]
    if item.end is not None and item.end > span + SHORTEST_TRIM:
        return [_problem(item, "trim_outside", "end", holds,
                         "End earlier, or leave end out to play to the end", item.named)]  # fmt: skip
    return []


def _problem(
    item: Item, code: str, field: str, message: str, remedy: str, file: str | None = None
) -> Problem:
    return Problem(
        code=code, message=message, remedy=remedy, position=item.position, field=field, file=file
    )


def make_plan(job: Job, gathered: Iterable[Gathered], workshop: Workshop) -> Plan:
    """The plan for a job whose items all passed ``check``."""
    form = workshop.form or output_form(enable_4k=job.enable_4k)
    planner = _Planner(form, workshop, job.loudness)
    items: list[PlannedItem] = []
    for one in gathered:
        start = items[-1].start + items[-1].frames if items else 0
        items.append(planner.item(one, start))
    sounds = [item.sound for item in items]
    return Plan(
        channel_name=job.channel_name,
        form=form,
        encoding=workshop.encoding,
        items=tuple(items),
        track_key=track_key(sounds, commands.track(""), workshop.encoding.ffmpeg_version),
        even_loudness=job.loudness,
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    form: OutputForm
    workshop: Workshop
    even_loudness: bool

    def item(self, one: Gathered, start: int) -> PlannedItem:
        frames = item_frames(one.item, one.facts)
        if self.workshop.item_frames is not None:
            frames = min(frames, self.workshop.item_frames)
        return PlannedItem(
            position=one.item.position,
            item_type=one.item.item_type,
            title=one.item.text or PurePath(printable(one.item.origin or one.item.path)).stem,
            named=one.item.named,
            start=start,
            frames=frames,
            picture=tuple(self._picture(one, frames)),
            sound=self._sound(one, frames),
            notes=one.facts.warnings,
            by_processor=self._by_processor(one),
        )

    def _by_processor(self, one: Gathered) -> str | None:
        """Why the card does not prepare this item; None where it does or there is none."""
        decodes = self.workshop.card_decodes
        return None if decodes is None else cuda.by_processor(one.item, one.facts, decodes)

    def _on_card(self, one: Gathered) -> bool:
        return self.workshop.card_decodes is not None and self._by_processor(one) is None

    def _picture(self, one: Gathered, frames: int) -> Iterable[PictureSegment]:
        text = self._text(one.item, frames)
        limit = self.workshop.segment_frames or segment_limit(one.facts)
        for part, piece in enumerate(cut(frames, limit)):
            shown = text if is_shown_in(piece.start, piece.end) else None
            segment = self._segment(one, part, piece, self._recipe(one, piece, shown))
            if self._on_card(one):
                recipe = self._card_recipe(one, piece, segment.recipe)
                segment = replace(self._segment(one, part, piece, recipe), spare=segment)
            yield segment

    def _segment(
        self, one: Gathered, part: int, piece: FrameRange, recipe: PictureRecipe
    ) -> PictureSegment:
        encoding = self.workshop.encoding
        return PictureSegment(
            key=picture_key(recipe, encoding, _nameless_picture(recipe, encoding)),
            position=one.item.position,
            part=part,
            frames=piece,
            recipe=recipe,
        )

    def _text(self, item: Item, frames: int) -> TextOverlay | None:
        if not item.text or not letters(item.text):
            return None
        return fonts.overlay(item.text, seconds_of(frames), self.workshop.faces)

    def _recipe(self, one: Gathered, piece: FrameRange, text: TextOverlay | None) -> PictureRecipe:
        source = source_of(one.facts)
        if one.item.item_type is ItemType.IMAGE:
            graph = still_graph(one.facts.video, self.form, len(piece))
            return PictureRecipe(source=source, seek=None, graph=graph, frames=len(piece))
        start = one.item.start or Fraction(0)
        logo = one.logo
        graph = moving_graph(
            one.facts,
            self.form,
            start,
            piece,
            logo=logo.video if logo else None,
            text=text is not None,
        )
        return PictureRecipe(
            source=source,
            seek=seek_before(one.facts, start, piece),
            graph=graph,
            frames=len(piece),
            logo=source_of(logo) if logo else None,
            text=text,
        )

    def _card_recipe(self, one: Gathered, piece: FrameRange, plain: PictureRecipe) -> PictureRecipe:
        graph = cuda.card_graph(
            one.facts,
            self.form,
            one.item.start or Fraction(0),
            piece,
            logo=one.logo.video if one.logo else None,
            text=one.item.text if plain.text else None,
        )
        return replace(plain, graph=graph, on_card=True)

    def _sound(self, one: Gathered, frames: int) -> SoundSegment:
        recipe = self._sound_recipe(one, frames)
        samples = samples_in(frames)
        return SoundSegment(
            key=sound_key(
                recipe, samples, self.workshop.encoding.ffmpeg_version, _nameless_sound(recipe)
            ),
            position=one.item.position,
            samples=samples,
            recipe=recipe,
        )

    def _sound_recipe(self, one: Gathered, frames: int) -> SoundRecipe | None:
        facts, audio = one.facts, one.facts.audio
        start = one.item.start or Fraction(0)
        if audio is None or one.item.item_type is ItemType.IMAGE:
            return None
        if not sound.sounds_in(audio, facts.video.first, start, frames):
            return None
        samples = samples_in(frames)
        return SoundRecipe(
            source=source_of(facts),
            seek=sound.sound_seek(facts, start),
            graph=sound.sound_graph(facts, audio, start, samples),
            samples=samples,
            even_loudness=self.even_loudness,
        )


def _nameless_picture(recipe: PictureRecipe, encoding: Encoding) -> list[str]:
    """FFmpeg's arguments without the names of files: all the rest changes the bytes."""
    logo = replace(recipe.logo, path="") if recipe.logo else None
    plain = replace(recipe, source=replace(recipe.source, path=""), logo=logo)
    return commands.picture(plain, encoding, "")


def _nameless_sound(recipe: SoundRecipe | None) -> list[str]:
    if recipe is None:
        return []
    plain = replace(recipe, source=replace(recipe.source, path=""))
    levelling = [sound.levelling_graph(0, recipe.samples)] if recipe.even_loudness else []
    return [*commands.sound(plain, ""), *levelling, str(sound.LOUDNESS_TARGET)]


def segment_limit(facts: MediaFacts) -> int:
    """The most frames in a segment of this source, where nobody asked for a length."""
    if facts.kind is MediaKind.STILL:
        return SEGMENT_FRAMES
    if not facts.seekable:
        return LONGEST_SEGMENT
    interval = frames_in(facts.video.key_interval * facts.video.time_base)
    return min(LONGEST_SEGMENT, max(SEGMENT_FRAMES, KEY_INTERVALS * interval))


def item_frames(item: Item, facts: MediaFacts) -> int:
    """How many frames of the film an item fills."""
    if item.item_type is ItemType.IMAGE:
        return frames_in(item.still_seconds)
    return shown_frames(item, facts)


def shown_frames(item: Item, facts: MediaFacts) -> int:
    """How many frames of the film a clip fills, after its trim."""
    start = item.start or Fraction(0)
    end = min(facts.video.span, item.end) if item.end is not None else facts.video.span
    return max(1, round_half_up((end - start) * FRAME_RATE))


def source_of(facts: MediaFacts) -> Source:
    return Source(
        path=facts.path,
        demuxer=facts.demuxer,
        fingerprint=facts.fingerprint,
        size=facts.size,
        modified_ns=facts.modified_ns,
        decoder=facts.video.decoder,
    )


def without(job: Job, positions: Iterable[int]) -> Job:
    """The job less some of its items; positions stay as the operator counts them."""
    left_out = set(positions)
    return replace(job, items=tuple(item for item in job.items if item.position not in left_out))
