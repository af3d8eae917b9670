"""The planner: facts in, a plan out."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.job import Item, ItemType
from reelyard.domain.media import MediaFacts, MediaKind
from reelyard.domain.output import HD, UHD
from reelyard.domain.plan import Font, Plan, PlannedItem
from reelyard.domain.timeline import FrameRange
from reelyard.engine.fonts import Face
from reelyard.engine.planner import (
    Gathered,
    Workshop,
    check,
    make_plan,
    remarks,
    segment_limit,
    shown_frames,
    source_of,
    without,
)
from tests.unit.facts import CLIP, CLIP_AUDIO, LOGO, STILL, X264_HD, clip, item, job

FACE = Face("Anton", Font(path="/anton.ttf", fingerprint="aa"), frozenset(map(ord, "Helo ")))
WORKSHOP = Workshop(encoding=X264_HD, faces=(FACE,))
VIDEO = Gathered(item=item(), facts=CLIP)
IMAGE = Gathered(
    item=item(item_type=ItemType.IMAGE, path="/media/still.png", named="still.png"), facts=STILL
)
SHORT_PARTS = replace(WORKSHOP, segment_frames=100)


def with_item(one: Gathered, **changes: object) -> Gathered:
    return replace(one, item=replace(one.item, **changes))  # type: ignore[arg-type]


def plan(*gathered: Gathered, workshop: Workshop = WORKSHOP, **changes: object) -> Plan:
    return make_plan(job(*(one.item for one in gathered), **changes), gathered, workshop)


def only(one: Gathered, workshop: Workshop = WORKSHOP) -> PlannedItem:
    (planned,) = plan(one, workshop=workshop).items
    return planned


def fields(one: Gathered) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.field) for problem in check(one, WORKSHOP.faces)]


# Checks

GIF = replace(CLIP, demuxer="gif", audio=None)


@pytest.mark.parametrize(
    "good",
    [
        VIDEO,
        IMAGE,
        Gathered(item=IMAGE.item, facts=GIF),  # its first frame is the still
        Gathered(item=item(item_type=ItemType.VIDEO), facts=GIF),
        Gathered(item=item(logo_path="l.png"), facts=CLIP, logo=LOGO),
        with_item(VIDEO, text="Hello"),
        with_item(VIDEO, start=Fraction(0), end=Fraction(10)),
        with_item(VIDEO, end=Fraction(10) + Fraction(1, 30)),  # rounded by whoever wrote it
        with_item(VIDEO, start=Fraction(10) - Fraction(1, 30)),  # leaves one frame
        with_item(IMAGE, start=Fraction(99)),  # the job file's business
    ],
)
def test_what_can_be_planned_has_no_problems(good: Gathered) -> None:
    assert check(good, WORKSHOP.faces) == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (Gathered(item=IMAGE.item, facts=CLIP), ("not_a_still", "item_type")),
        (Gathered(item=item(), facts=STILL), ("is_a_still", "item_type")),
        (Gathered(item=item(item_type=ItemType.INTRO), facts=STILL), ("is_a_still", "item_type")),
        (with_item(VIDEO, start=Fraction(10)), ("trim_outside", "start")),
        (with_item(VIDEO, end=Fraction("10.04")), ("trim_outside", "end")),
        (
            Gathered(item=item(logo_path="l.mp4"), facts=CLIP, logo=CLIP),
            ("logo_moves", "logo_path"),
        ),
        (with_item(VIDEO, text="Hello ☃"), ("no_glyph", "text_animation_text")),
    ],
)
def test_what_can_not_be_planned_is_named_by_its_field(
    bad: Gathered, problem: tuple[str, str]
) -> None:
    assert fields(bad) == [problem]


def test_all_problems_of_an_item_are_found_at_once() -> None:
    bad = Gathered(item=item(position=7, text="☃", end=Fraction(99)), facts=CLIP, logo=CLIP)
    problems = check(bad, WORKSHOP.faces)
    assert len(problems) == 3
    assert {problem.position for problem in problems} == {7}
    assert all(problem.remedy for problem in problems)


def test_the_letters_that_no_font_has_are_shown_with_their_code_points() -> None:
    (problem,) = check(with_item(VIDEO, text="☃♞☃"), WORKSHOP.faces)
    assert "'☃' (U+2603), '♞' (U+265E)" in problem.message


def test_at_most_eight_missing_letters_are_listed() -> None:
    (problem,) = check(with_item(VIDEO, text="abcdfghijk"), WORKSHOP.faces)
    assert problem.message.count("U+") == 8


def test_a_trim_problem_says_how_long_the_clip_is() -> None:
    (problem,) = check(with_item(VIDEO, end=Fraction(11)), WORKSHOP.faces)
    assert "10.00 s" in problem.message


# Plans


def test_a_clip_is_shown_whole() -> None:
    planned = only(VIDEO, workshop=replace(WORKSHOP, segment_frames=600))
    assert (planned.start, planned.frames) == (0, 300)
    (segment,) = planned.picture
    assert (segment.part, segment.frames, segment.recipe.frames) == (0, FrameRange(0, 300), 300)
    assert segment.recipe.seek is None
    assert segment.recipe.source == source_of(CLIP)
    assert planned.sound.samples == 300 * 1600
    assert planned.sound.recipe is not None
    assert planned.sound.recipe.samples == 300 * 1600


def test_a_draft_shows_the_first_frames_of_each_item_and_short_items_whole() -> None:
    whole = only(VIDEO).frames
    assert only(VIDEO, replace(WORKSHOP, item_frames=whole - 1)).frames == whole - 1
    assert only(VIDEO, replace(WORKSHOP, item_frames=whole + 1)).frames == whole


def test_items_follow_each_other_without_gap_or_overlap() -> None:
    three = plan(VIDEO, with_item(IMAGE, duration=Fraction("1.5")), VIDEO)
    assert [(one.start, one.frames) for one in three.items] == [(0, 300), (300, 45), (345, 300)]
    assert three.frames == 645
    assert sum(sound.samples for sound in three.sound) == 645 * 1600


def test_a_long_clip_is_cut_into_segments_that_are_entered_where_they_begin() -> None:
    planned = only(VIDEO, SHORT_PARTS)
    assert [segment.frames for segment in planned.picture] == [
        FrameRange(0, 100),
        FrameRange(100, 200),
        FrameRange(200, 300),
    ]
    assert [segment.part for segment in planned.picture] == [0, 1, 2]
    first, second, third = (segment.recipe.seek for segment in planned.picture)
    assert first is None
    assert second == Fraction(100, 30) - 1 - Fraction(1, 30)
    assert third == Fraction(200, 30) - 1 - Fraction(1, 30)
    assert len({segment.key for segment in planned.picture}) == 3


def test_a_still_is_shown_for_its_duration_in_silence() -> None:
    planned = only(with_item(IMAGE, duration=Fraction(4)))
    assert planned.frames == 120
    assert planned.sound.recipe is None
    assert planned.sound.samples == 120 * 1600
    assert "loop=loop=-1" in planned.picture[0].recipe.graph


def test_a_long_still_is_rendered_once_for_segments_of_equal_length() -> None:
    planned = only(with_item(IMAGE, duration=Fraction(10)), SHORT_PARTS)
    assert len(planned.picture) == 3
    assert len({segment.key for segment in planned.picture}) == 1


def test_a_gif_as_an_image_is_a_still_and_silent() -> None:
    planned = only(Gathered(item=IMAGE.item, facts=replace(GIF, audio=CLIP_AUDIO)))
    assert planned.frames == 150
    assert planned.sound.recipe is None


@pytest.mark.parametrize(
    "silent",
    [
        clip(audio=None),
        clip(audio=replace(CLIP_AUDIO, first_tick=480_000, end_tick=960_000)),  # after the picture
    ],
)
def test_a_clip_whose_sound_is_missing_or_elsewhere_gets_silence_of_its_length(
    silent: MediaFacts,
) -> None:
    sound = only(replace(VIDEO, facts=silent)).sound
    assert sound.recipe is None
    assert sound.samples == 300 * 1600


def test_a_trim_moves_picture_and_sound_together() -> None:
    planned = only(with_item(VIDEO, start=Fraction(3), end=Fraction(5)))
    assert planned.frames == 60
    recipe = planned.picture[0].recipe
    assert recipe.graph.startswith("[0:0]setpts=PTS-46080,")  # 3 s * 15 360
    assert recipe.seek == 3 - 1 - Fraction(1, 30)
    sound = planned.sound.recipe
    assert sound is not None
    assert sound.graph.startswith("[0:1]asetpts=round(PTS-3/1/TB),")
    assert sound.seek == 2
    assert sound.samples == 60 * 1600


def test_logo_and_text_reach_the_recipe() -> None:
    one = Gathered(item=item(logo_path="l.png", text="Hello"), facts=CLIP, logo=LOGO)
    recipe = only(one).picture[0].recipe
    assert recipe.logo == source_of(LOGO)
    assert recipe.text is not None
    assert recipe.text.fonts == (FACE.font,)
    assert "overlay=" in recipe.graph
    assert "ass=filename=text.ass" in recipe.graph


def test_a_texts_cycles_follow_the_item_not_the_source() -> None:
    long = clip(end_tick=15360 * 60, frame_count=1800)
    shown = only(replace(with_item(VIDEO, text="Hello", end=Fraction(25)), facts=long))
    text = shown.picture[0].recipe.text
    assert text is not None
    assert text.document.count("Dialogue:") == 2


def test_segments_that_show_nothing_of_a_text_are_made_without_it() -> None:
    """Each cycle shows it for ten seconds of twenty: frames 0 to 299, 600 to 899, and so on."""
    long = clip(end_tick=15360 * 60, frame_count=1800)
    planned = only(replace(with_item(VIDEO, text="Hello", end=Fraction(25)), facts=long))
    drawn = {
        frame
        for segment in planned.picture
        for frame in range(segment.frames.start, segment.frames.end)
        if segment.recipe.text
    }
    assert {*range(300), *range(600, 750)} <= drawn
    for segment in planned.picture:
        assert ("ass=" in segment.recipe.graph) == (segment.recipe.text is not None)
        frames = range(segment.frames.start, segment.frames.end)
        assert (segment.recipe.text is None) == all(frame % 600 >= 300 for frame in frames)


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_text_without_letters_draws_nothing(text: str | None) -> None:
    recipe = only(with_item(VIDEO, text=text)).picture[0].recipe
    assert recipe.text is None
    assert "ass=" not in recipe.graph


def test_a_title_is_the_text_or_else_the_files_name() -> None:
    assert only(with_item(VIDEO, text="Hello")).title == "Hello"
    assert (
        only(with_item(VIDEO, path="/media/Morning in the park.mp4")).title == "Morning in the park"
    )
    assert only(with_item(VIDEO, path="/media/caf\udce9.mp4")).title == "caf\\udce9"


def test_a_sources_warnings_become_notes() -> None:
    assert only(replace(VIDEO, facts=replace(CLIP, warnings=("odd",)))).notes == ("odd",)


def test_a_plan_knows_its_form_and_how_it_is_encoded() -> None:
    assert plan(VIDEO).form is HD
    assert plan(VIDEO, enable_4k=True).form is UHD
    assert plan(VIDEO).encoding == X264_HD
    assert "scale=w=3840:h=2160" in plan(VIDEO, enable_4k=True).items[0].picture[0].recipe.graph


def test_levelled_loudness_changes_the_sounds_and_so_the_track() -> None:
    usual, even = plan(VIDEO), plan(VIDEO, loudness=True)
    assert (usual.even_loudness, even.even_loudness) == (False, True)
    assert even.items[0].sound.key != usual.items[0].sound.key
    assert even.track_key != usual.track_key
    assert [one.key for one in even.picture] == [one.key for one in usual.picture]


def test_the_same_job_makes_an_equal_plan_and_a_renamed_source_the_same_keys() -> None:
    assert plan(VIDEO, IMAGE) == plan(VIDEO, IMAGE)
    renamed = replace(
        VIDEO, facts=replace(CLIP, path="/elsewhere/b.mp4", size=1_000_001, modified_ns=2)
    )
    assert [one.key for one in plan(renamed).picture] == [one.key for one in plan(VIDEO).picture]
    assert plan(renamed).track_key == plan(VIDEO).track_key


def test_changed_bytes_change_the_keys() -> None:
    edited = replace(VIDEO, facts=replace(CLIP, fingerprint="ee" * 32))
    assert plan(edited).items[0].picture[0].key != plan(VIDEO).items[0].picture[0].key
    assert plan(edited).track_key != plan(VIDEO).track_key


@given(
    seconds=st.lists(st.fractions(Fraction(1, 100), 60, max_denominator=1001), max_size=8),
    limit=st.integers(20, 700),
)
def test_segments_tile_every_item_and_items_tile_the_film(
    seconds: list[Fraction], limit: int
) -> None:
    gathered = [
        replace(
            VIDEO, facts=clip(end_tick=max(1, int(one * 15360)), frame_count=max(1, int(one * 25)))
        )
        for one in seconds
    ]
    made = plan(*gathered, workshop=replace(WORKSHOP, segment_frames=limit))
    at = 0
    for one in made.items:
        assert one.start == at
        edges = [(segment.frames.start, segment.frames.end) for segment in one.picture]
        assert edges[0][0] == 0
        assert edges[-1][1] == one.frames
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert all(len(segment.frames) == segment.recipe.frames for segment in one.picture)
        assert one.sound.samples == one.frames * 1600
        at += one.frames
    assert made.frames == at


# Arithmetic of trims


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (None, None, 300),
        (Fraction(4), None, 180),
        (None, Fraction(4), 120),
        (Fraction("2.5"), Fraction(4), 45),
        (None, Fraction("10.03"), 300),  # never more than there is
        (Fraction(4), Fraction(4) + Fraction(1, 1000), 1),  # never nothing
    ],
)
def test_a_trim_is_counted_in_frames_of_the_film(
    start: Fraction | None, end: Fraction | None, frames: int
) -> None:
    assert shown_frames(item(start=start, end=end), CLIP) == frames


def test_other_frame_rates_fill_the_time_that_they_last() -> None:
    """250 frames at 25 a second are ten seconds: 300 frames of film."""
    pal = clip(time_base=Fraction(1, 25), end_tick=250, frame_count=250)
    assert shown_frames(item(), pal) == 300
    assert pal.kind is MediaKind.MOVING


def test_items_can_be_left_out_and_the_rest_keep_their_numbers() -> None:
    items: list[Item] = [item(position=n) for n in (1, 2, 3)]
    assert [one.position for one in without(job(*items), [2, 9]).items] == [1, 3]


def limit_of(**changes: object) -> int:
    return segment_limit(replace(CLIP, **changes))  # type: ignore[arg-type]


def test_segments_last_five_seconds_where_entering_a_clip_costs_nothing() -> None:
    assert limit_of() == 150


def test_segments_are_longer_where_key_frames_are_far_apart() -> None:
    ten_seconds = replace(CLIP.video, key_interval=round(10 / CLIP.video.time_base))
    assert limit_of(video=ten_seconds) == 600
    hour = replace(CLIP.video, key_interval=round(3600 / CLIP.video.time_base))
    assert limit_of(video=hour) == 1800


def test_clips_that_can_not_be_entered_are_cut_into_minutes() -> None:
    assert limit_of(seekable=False) == 1800


def test_a_still_can_be_entered_anywhere() -> None:
    assert limit_of(kind=MediaKind.STILL, seekable=False) == 150


def test_a_text_that_outlasts_its_clip_is_remarked_upon() -> None:
    """Eleven letters take 1.15 s; the clip lasts one."""
    short = with_item(VIDEO, text="A long text", start=Fraction(0), end=Fraction(1))
    (remark,) = remarks(short)
    assert remark.warning and remark.field == "text_animation_text"
    assert "1.1 s to appear" in remark.message or "1.2 s to appear" in remark.message
    assert remarks(with_item(VIDEO, text="A long text", end=Fraction(2))) == []
