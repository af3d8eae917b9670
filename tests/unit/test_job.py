"""What a job says about itself."""

from __future__ import annotations

from fractions import Fraction

import pytest

from reelyard.domain.job import Item, ItemType
from reelyard.domain.media import Transfer
from reelyard.domain.output import HD, UHD, OutputForm, output_form
from tests.unit.facts import CLIP_AUDIO, CLIP_VIDEO, item, job, video


def test_an_image_is_shown_for_five_seconds_unless_it_says_otherwise() -> None:
    assert item(item_type=ItemType.IMAGE).still_seconds == 5
    assert item(item_type=ItemType.IMAGE, duration=Fraction(1, 2)).still_seconds == Fraction(1, 2)


@pytest.mark.parametrize(
    ("one", "enable_4k", "features"),
    [
        (item(), False, ()),
        (item(logo_path="/logo.png"), False, ("logo_overlay",)),
        (item(text="Hello"), False, ("text_animation",)),
        (item(text=""), False, ()),
        (item(item_type=ItemType.IMAGE), False, ("image_slides",)),
        (item(), True, ("4k_output",)),
        (
            item(logo_path="/logo.png", text="Hello"),
            True,
            ("logo_overlay", "text_animation", "4k_output"),
        ),
    ],
)
def test_features_used_are_named_as_in_the_results_table(
    one: Item, enable_4k: bool, features: tuple[str, ...]
) -> None:
    assert job(item(), one, enable_4k=enable_4k).features == features


def test_only_items_of_type_video_count_as_videos() -> None:
    items = [item(item_type=kind) for kind in ItemType]
    assert job(*items, item()).video_count == 2


@pytest.mark.parametrize(
    ("form", "figures"),
    [
        (HD, (1920, 1080, 16_000_000, 20_000_000, 24_000_000, "main", "4.1")),
        (UHD, (3840, 2160, 40_000_000, 50_000_000, 60_000_000, "high", "5.1")),
    ],
)
def test_the_two_forms_of_output_have_the_figures_of_the_system(
    form: OutputForm, figures: tuple[int | str, ...]
) -> None:
    assert figures == (
        form.width,
        form.height,
        form.target_rate,
        form.max_rate,
        form.buffer_size,
        form.profile,
        form.level,
    )
    assert output_form(enable_4k=form is UHD) is form


def test_a_picture_spans_its_ticks() -> None:
    late = video(time_base=Fraction(1, 1000), first_tick=10_000, end_tick=12_500, frame_count=50)
    assert late.first == 10
    assert late.span == Fraction(5, 2)
    assert late.frame_rate == 20


def test_a_picture_without_a_length_has_a_frame_rate_all_the_same() -> None:
    assert video(end_tick=0, frame_count=1).frame_rate == 1


def test_the_display_aspect_ratio_counts_pixels_that_are_not_square() -> None:
    anamorphic = video(width=720, height=576, sample_aspect_ratio=Fraction(64, 45))
    assert anamorphic.display_aspect_ratio == Fraction(16, 9)
    assert CLIP_VIDEO.display_aspect_ratio == Fraction(16, 9)


def test_sound_begins_and_ends_in_seconds() -> None:
    assert CLIP_AUDIO.first == 0
    assert CLIP_AUDIO.end == 10


def test_transfers_are_named_as_operators_know_them() -> None:
    assert [str(one) for one in Transfer] == ["sdr", "pq", "hlg"]
