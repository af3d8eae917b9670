"""Plans for a graphics card: what it prepares, what the processor does instead, and under which keys."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from reelyard.domain.output import HD
from reelyard.domain.plan import Encoding, Font, Plan, Source, picture_key
from reelyard.engine import commands
from reelyard.engine.encoders import video_options
from reelyard.engine.fonts import Face
from reelyard.engine.planner import Gathered, Workshop, make_plan
from tests.unit.facts import LOGO, X264_HD, clip, item, job

FACE = Face("Anton", Font(path="/anton.ttf", fingerprint="aa"), frozenset(map(ord, "Helo ")))
NVENC = Encoding(
    encoder="h264_nvenc",
    options=video_options("h264_nvenc", HD),
    ffmpeg_version="9",
    device="NVIDIA GeForce RTX 4070, driver 615.10",
)
CARD = Workshop(encoding=NVENC, faces=(FACE,), card_decodes=frozenset({"h264"}), segment_frames=100)
NO_CARD = replace(CARD, card_decodes=None)
FACTS = clip(width=1280, height=720)
VIDEO = Gathered(item=item(text="Hello", logo_path="/l.png"), facts=FACTS, logo=LOGO)


def plan(one: Gathered, workshop: Workshop) -> Plan:
    return make_plan(job(one.item), [one], workshop)


def keys(one: Plan) -> list[str]:
    return [segment.key for segment in one.picture]


def test_each_segment_of_the_card_has_a_spare_that_is_the_processors() -> None:
    """Under the very key that it has where the card prepares nothing."""
    on_card, plain = plan(VIDEO, CARD), plan(VIDEO, NO_CARD)
    spares = [segment.spare for segment in on_card.picture]
    assert spares == list(plain.picture)
    assert all(segment.recipe.on_card for segment in on_card.picture)
    assert not set(keys(on_card)) & set(keys(plain))
    assert on_card.items[0].by_processor is None


def test_a_clip_that_is_the_processors_is_planned_as_without_a_card_and_says_why() -> None:
    turned = replace(VIDEO, facts=clip(width=1280, height=720, rotation=180))
    on_card, plain = plan(turned, CARD), plan(turned, NO_CARD)
    assert keys(on_card) == keys(plain)
    assert on_card.items[0].by_processor == "it is rotated by 180 degrees"
    assert plain.items[0].by_processor is None  # there is nothing to explain


def test_a_card_that_decodes_nothing_leaves_all_to_the_processor() -> None:
    one = plan(VIDEO, replace(CARD, card_decodes=frozenset()))
    assert one.items[0].by_processor == "the graphics card does not decode h264"


def test_another_card_or_driver_is_another_encoder_and_two_equal_ones_are_one() -> None:
    """What a card writes depends on its model and its driver: their segments never meet in a film."""
    older = replace(CARD, encoding=replace(NVENC, device="NVIDIA GeForce RTX 4070, driver 610.00"))
    assert not set(keys(plan(VIDEO, CARD))) & set(keys(plan(VIDEO, older)))
    assert keys(plan(VIDEO, CARD)) == keys(plan(VIDEO, replace(CARD)))


def test_a_device_is_part_of_a_key_only_where_there_is_one() -> None:
    recipe = next(plan(VIDEO, NO_CARD).picture).recipe
    with_it = replace(X264_HD, device="x")
    assert picture_key(recipe, X264_HD) != picture_key(recipe, with_it)


def test_a_segment_on_the_card_word_for_word() -> None:
    source = Source(path="/media/a.mp4", demuxer="mov,mp4", fingerprint="aa", size=1, modified_ns=2)
    recipe = replace(
        next(plan(VIDEO, CARD).picture).recipe,
        source=source, seek=Fraction(43, 2), graph="[0:0]null[picture]", logo=None, on_card=True,
    )  # fmt: skip
    assert commands.picture(recipe, NVENC, "out.mp4") == [
        "-init_hw_device", "cuda=card:0", "-filter_hw_device", "card",  # the only one it sees
        "-copyts", "-filter_complex_threads", "1",
        "-hwaccel", "cuda", "-hwaccel_device", "card", "-hwaccel_output_format", "cuda",
        "-extra_hw_frames", "8",
        "-noaccurate_seek", "-ss", "21.500000",
        "-protocol_whitelist", "file", "-format_whitelist", "mov,mp4", "-f", "mov", "-threads", "1",
        "-i", "file:/media/a.mp4",
        "-filter_complex", "sws_flags=bicubic+accurate_rnd+bitexact;[0:0]null[picture]",
        "-map", "[picture]",
        "-c:v", "h264_nvenc", "-preset", "p5", "-tune", "hq", "-rc", "vbr",
        "-spatial-aq", "1", "-temporal-aq", "1", "-bf", "2", "-strict_gop", "1",
        "-b:v", "16M", "-maxrate", "20M", "-bufsize", "24M",
        "-profile:v", "main", "-level:v", "4.1", "-g", "60",
        "-frames:v", "100", "-fps_mode", "passthrough", "-flags:v", "+bitexact",
        "-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact",
        "-video_track_timescale", "30", "-movie_timescale", "30",
        "-f", "mp4", "out.mp4",
    ]  # fmt: skip
