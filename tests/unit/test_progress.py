"""One honest number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.services.progress import JOIN, PICTURE, SOUND, TRACK, Meter, Progress, Stage


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Studio:
    """A meter, its clock, and all that its watcher was told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told: list[Progress] = []
        self.meter = Meter(self.told.append, self.clock)

    def last(self) -> Progress:
        """Where it stands now."""
        self.meter.stage(Stage.RENDERING)
        return self.told[-1]


WHOLE = PICTURE + SOUND + TRACK + JOIN


def test_nothing_is_done_before_there_is_a_plan() -> None:
    studio = Studio()
    studio.meter.stage(Stage.PROBING)
    (told,) = studio.told
    assert (told.stage, told.percent, told.speed, told.seconds_left) == ("probing", 0.0, None, None)


def test_frames_add_up_over_pieces() -> None:
    studio = Studio()
    studio.meter.expect(200)
    studio.meter.watch("a", 100, PICTURE)(50)
    studio.meter.watch("b", 100, PICTURE)(25)
    last = studio.last()
    assert (last.frames_done, last.frames_total) == (75, 200)
    assert last.percent == pytest.approx(100 * 75 / (200 * WHOLE))


def test_sound_counts_but_shows_no_frames() -> None:
    studio = Studio()
    studio.meter.expect(100)
    studio.meter.watch("s", 100, SOUND)(100)
    assert studio.last().frames_done == 0
    assert studio.last().percent == pytest.approx(100 * SOUND / WHOLE)


def test_a_piece_that_is_shown_twice_counts_twice() -> None:
    studio = Studio()
    studio.meter.expect(200)
    studio.meter.watch("a", 100, PICTURE, times=2)(50)
    assert studio.last().frames_done == 100


def test_a_piece_never_counts_for_more_than_it_is() -> None:
    studio = Studio()
    studio.meter.expect(200)
    studio.meter.watch("a", 100, PICTURE)(1000)
    assert studio.last().frames_done == 100


def test_a_piece_that_is_begun_again_takes_nothing_back() -> None:
    studio = Studio()
    studio.meter.expect(200)
    watch = studio.meter.watch("a", 100, PICTURE)
    watch(80)
    watch(10)
    assert studio.last().frames_done == 80


def test_100_percent_is_shown_when_it_is_done_and_not_before() -> None:
    studio = Studio()
    studio.meter.expect(100)
    for name, weight in (("p", PICTURE), ("s", SOUND), ("t", TRACK), ("j", JOIN)):
        studio.meter.watch(name, 100, weight)(100)
    studio.meter.stage(Stage.VERIFYING)
    assert studio.told[-1].percent == 99.9
    studio.meter.stage(Stage.DONE)
    assert studio.told[-1].percent == 100.0
    assert studio.told[-1].seconds_left == 0.0


def test_a_speed_is_seconds_of_film_a_second_of_what_was_really_made() -> None:
    studio = Studio()
    studio.meter.expect(1200)
    studio.meter.have("cached", 600, PICTURE)
    studio.clock.now += 10
    assert studio.last().speed is None
    studio.meter.watch("made", 300, PICTURE)(300)
    last = studio.last()
    assert last.frames_done == 900
    assert last.elapsed == 10
    assert last.speed == pytest.approx(300 / 30 / 10 / WHOLE)
    # 30 weighted frames a second, and what is left of the whole.
    assert last.seconds_left == pytest.approx((1200 * WHOLE - 900) / 30)


def test_a_new_plan_starts_over() -> None:
    studio = Studio()
    studio.meter.expect(100)
    studio.meter.watch("a", 100, PICTURE)(100)
    studio.meter.expect(50)
    last = studio.last()
    assert (last.frames_done, last.frames_total, last.percent) == (0, 50, 0.0)


def test_a_watcher_is_told_at_most_ten_times_a_second() -> None:
    studio = Studio()
    studio.meter.expect(1000)
    watch = studio.meter.watch("a", 1000, PICTURE)
    for frames in range(1, 1001):
        studio.clock.now += 0.01
        watch(frames)
    assert 90 <= len(studio.told) <= 101


def test_a_new_stage_is_told_at_once() -> None:
    studio = Studio()
    for stage in Stage:
        studio.meter.stage(stage)
    assert [one.stage for one in studio.told] == list(Stage)


def test_nobody_needs_to_watch() -> None:
    meter = Meter(None, Clock())
    meter.expect(10)
    meter.stage(Stage.RENDERING)
    meter.watch("a", 10, PICTURE)(10)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 150), st.floats(0, 2)), max_size=50)
)
def test_the_number_never_goes_back_or_reaches_100_early(
    reports: list[tuple[str, int, float]],
) -> None:
    studio = Studio()
    studio.meter.expect(300)
    for name, frames, passed in reports:
        studio.clock.now += passed
        studio.meter.watch(name, 100, PICTURE)(frames)
    studio.meter.stage(Stage.VERIFYING)
    numbers = [one.percent for one in studio.told]
    assert numbers == sorted(numbers)
    assert all(0 <= number < 100 for number in numbers)
    assert all((one.seconds_left or 0) >= 0 for one in studio.told)
