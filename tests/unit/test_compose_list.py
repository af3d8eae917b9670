"""A compilation that is being put together: whatever is done to it, no row is lost, doubled or mixed up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.job import ItemType, OnBadItem
from reelyard.services.clips import Clip
from reelyard.services.job_file import look_through
from reelyard.web.compose_bench import Bench, Benches
from reelyard.web.compose_history import MOST_STEPS, History
from reelyard.web.compose_list import Compilation
from reelyard.web.compose_row import Row, row_of_clip
from reelyard.web.compose_time import seconds_from, written

EMPTY = Path("/")


def row(name: str, item_type: ItemType = ItemType.VIDEO, **more: object) -> Row:
    return Row(name=name, path=f"/clips/{name}", item_type=item_type, **more)  # type: ignore[arg-type]


def of(*names: str) -> Compilation:
    return Compilation().add(map(row, names))


def names(compilation: Compilation) -> list[str]:
    return [one.name for one in compilation.rows]


def clip(name: str, *, is_image: bool = False, video_id: str | None = None) -> Clip:
    at = datetime.now(UTC)
    return Clip(path=f"/clips/{name}", name=name, is_image=is_image, video_id=video_id, size=1, modified_at=at)  # fmt: skip


TEMPLATE = {
    "channel_name": "Nature",
    "before": [{"item_type": "intro", "path": "/t/intro.mp4"}],
    "after": [{"item_type": "outro", "path": "/t/outro.mp4"}],
    "logo_path": "/t/logo.png",
    "text": "Subscribe",
    "still_seconds": 7.0,
    "enable_4k": True,
    "loudness": False,
    "chapters": True,
}


def test_a_clip_is_a_video_and_a_picture_an_image_of_five_seconds() -> None:
    video, image = row_of_clip(clip("a.mp4")), row_of_clip(clip("b.png", is_image=True))
    assert (video.item_type, video.duration) == (ItemType.VIDEO, None)
    assert (image.item_type, image.duration) == (ItemType.IMAGE, 5.0)


def test_a_name_that_is_no_text_gets_into_the_job_as_an_address() -> None:
    """It can be shown, sent to a browser, and comes out of the job file as the very same bytes."""
    odd = row_of_clip(clip("caf\udce9.mp4"))
    assert odd.name == r"caf\udce9.mp4"
    assert odd.path == "file:///clips/caf%E9.mp4"
    document = Compilation().add([odd]).with_settings(channel_name="c").to_document()
    assert look_through(document, folder=EMPTY).job.items[0].path == "/clips/caf\udce9.mp4"


def test_rows_move_up_and_down_and_stop_at_the_ends() -> None:
    rows = of("a", "b", "c")
    assert names(rows.step(1, 1)) == ["b", "a", "c"]
    assert names(rows.step(1, -1)) == ["a", "b", "c"]
    assert names(rows.step(3, 1)) == ["a", "b", "c"]
    assert names(rows.move(3, 0)) == ["c", "a", "b"]


def test_a_row_that_is_gone_can_be_asked_for_anything() -> None:
    """Two tabs show the same list: one may act on what the other has removed."""
    rows = of("a")
    done = [rows.move(9, 0), rows.step(9, 1), rows.remove([9]), rows.duplicate([9]), rows.change([9], text="x")]  # fmt: skip
    assert all(names(one) == ["a"] for one in done)


def test_a_copy_stands_behind_its_row_and_says_the_same() -> None:
    rows = of("a", "b").change([1], text="x").duplicate([1])
    assert names(rows) == ["a", "a", "b"]
    assert rows.rows[1].text == "x"
    assert len({one.row_id for one in rows.rows}) == 3


def test_logo_and_text_are_set_on_videos_only_and_lengths_on_images_only() -> None:
    rows = Compilation().add([row("i", ItemType.INTRO), row("v"), row("p", ItemType.IMAGE)])
    styled = rows.set_on_videos([1, 2, 3], logo_path="/l.png").set_on_images([1, 2, 3], 8)
    assert [(one.logo_path, one.duration) for one in styled.rows] == [(None, None), ("/l.png", None), (None, 8)]  # fmt: skip


@pytest.mark.parametrize("item_type", list(ItemType))
def test_what_a_type_has_no_use_for_stays_out_of_the_job(item_type: ItemType) -> None:
    """So a change of the type never makes a problem, and changing it back brings everything back."""
    full = row("a", item_type, start=1.0, end=2.0, duration=3.0, logo_path="/l.png", text="x")
    rows = Compilation().add([full]).with_settings(channel_name="c")
    assert look_through(rows.to_document(), EMPTY).problems == ()
    back = rows.set_type([1], ItemType.VIDEO).rows[0]
    assert (back.start, back.text) == (1.0, "x")


def test_a_document_comes_back_as_it_was() -> None:
    rows = Compilation().add([row("a", start=0.5, text="x"), Row(name="v1", video_id="v1")])
    rows = rows.with_settings(channel_name="c", loudness=True, on_bad_item=OnBadItem.SKIP)
    again = of("other").from_document(rows.to_document())
    assert again.to_document() == rows.to_document()


def test_a_template_puts_its_ends_around_the_list_and_its_style_on_the_rows() -> None:
    rows = Compilation().add([row("a"), row("p", ItemType.IMAGE)]).with_template(TEMPLATE)
    assert names(rows) == ["intro.mp4", "a", "p", "outro.mp4"]
    assert (rows.rows[1].logo_path, rows.rows[1].text, rows.rows[2].duration) == ("/t/logo.png", "Subscribe", 7.0)  # fmt: skip
    assert (rows.settings.channel_name, rows.settings.enable_4k) == ("Nature", True)


def test_another_template_takes_the_place_of_the_first() -> None:
    other = TEMPLATE | {"before": [], "after": [{"item_type": "outro", "path": "/t/end.mp4"}]}
    rows = of("a").with_template(TEMPLATE).with_template(TEMPLATE).with_template(other)
    assert names(rows) == ["a", "end.mp4"]


def test_what_is_added_after_a_template_comes_before_its_end() -> None:
    assert names(of("a").with_template(TEMPLATE).add([row("b")])) == ["intro.mp4", "a", "b", "outro.mp4"]  # fmt: skip
    assert names(Compilation().with_template(TEMPLATE).add([row("b")])) == ["intro.mp4", "b", "outro.mp4"]  # fmt: skip


def test_a_list_is_saved_as_the_template_that_makes_it() -> None:
    """Intros and outros at the ends, and the logo, text and length that most rows have."""
    made = Compilation().add([row("a"), row("b"), row("p", ItemType.IMAGE)]).with_template(TEMPLATE)
    kept = made.to_template("weekly")
    assert kept == {**TEMPLATE, "name": "weekly"}
    assert of("a").change([1], text="only here").add([row("b"), row("c")]).to_template("")["text"] == "only here"  # fmt: skip


def test_lengths_follow_the_trim_as_far_as_the_clip_is_known() -> None:
    assert row("a").shown_seconds(12) == 12
    assert row("a", start=2.0, end=5.0).shown_seconds(12) == 3
    assert row("a", start=2.0, end=50.0).shown_seconds(12) == 10
    assert row("a", start=20.0).shown_seconds(12) == 0
    assert row("a", end=5.0).shown_seconds(None) == 5
    assert row("a").shown_seconds(None) is None
    assert row("a", ItemType.IMAGE).shown_seconds(None) == 5


ACTS = st.sampled_from(["move", "step", "duplicate", "remove", "add", "type", "template"])


@given(st.lists(st.tuples(ACTS, st.integers(0, 12), st.integers(-3, 12)), max_size=25))
def test_ids_stay_unique_and_undoing_everything_leads_back(
    acts: list[tuple[str, int, int]],
) -> None:
    """Whatever is done in whatever order: a row keeps its id, no two have one, and undo takes it all back."""
    history = History(now=of("a", "b", "c"))
    begin = history.now.rows
    for act, row_id, number in acts:
        before = history.now
        history.change(_done(before, act, row_id, number), act)
        ids = [one.row_id for one in history.now.rows]
        assert len(ids) == len(set(ids))
        if act in ("move", "step"):
            assert sorted(ids) == sorted(one.row_id for one in before.rows)
    last = history.now.rows
    while history.undo():
        pass
    assert history.now.rows == begin
    while history.redo():
        pass
    assert history.now.rows == last


def _done(now: Compilation, act: str, row_id: int, number: int) -> Compilation:
    if act == "move":
        return now.move(row_id, number)
    if act == "step":
        return now.step(row_id, number)
    if act == "duplicate":
        return now.duplicate([row_id])
    if act == "remove":
        return now.remove([row_id])
    if act == "type":
        return now.set_type([row_id], list(ItemType)[number % 5])
    if act == "template":
        return now.with_template(TEMPLATE)
    return now.add([row("new")])


def test_typing_into_one_field_is_undone_at_once_and_not_letter_by_letter() -> None:
    history = History(now=of("a"))
    for text in ("H", "He", "Hey"):
        history.change(history.now.change([1], text=text), "text", key="1:text")
    assert history.undo() == "text"
    assert history.now.rows[0].text is None
    assert history.can_undo == ""
    history.redo()
    history.change(history.now.change([1], text="Hey!"), "text", key="1:text")
    history.undo()
    assert history.now.rows[0].text == "Hey"


def test_a_new_change_forgets_what_was_undone_and_the_steps_are_limited() -> None:
    history = History()
    for _ in range(MOST_STEPS + 20):
        history.change(history.now.add([row("a")]), "add")
    history.undo()
    history.change(history.now.add([row("b")]), "add b")
    assert history.can_redo == ""
    undone = 0
    while history.undo():
        undone += 1
    assert undone == MOST_STEPS


def test_rows_made_after_an_undo_never_get_the_ids_of_those_that_are_gone() -> None:
    """A page may still show the row that was undone; its id must not name another one."""
    history = History(now=of("a"))
    history.change(history.now.add([row("b")]), "add")
    gone = history.now.rows[1].row_id
    history.undo()
    assert history.now.add([row("c")]).rows[1].row_id != gone


def test_each_list_has_one_key_and_a_submitted_one_gets_another() -> None:
    """Sent twice it is one job; made once more after it was submitted it is another one."""
    bench = Bench()
    bench.change(of("a"), "add")
    first = bench.key()
    assert bench.key() == first
    bench.change(bench.now.with_settings(priority=0), "later")
    assert bench.key() != first
    bench.undo()
    assert bench.key() == first
    bench.submitted()
    assert bench.now.rows == ()
    bench.undo()
    assert names(bench.now) == ["a"]
    assert bench.key() != first


def test_all_pages_of_a_person_hear_of_a_change_until_they_are_closed() -> None:
    bench, heard = Bench(), list[str]()
    end = bench.watch(lambda: heard.append("one"))
    bench.watch(lambda: heard.append("two"))
    bench.change(of("a"), "add")
    end()
    bench.undo()
    assert heard == ["one", "two", "two"]


def test_everybody_has_an_own_list_and_the_ones_left_longest_ago_go_first() -> None:
    benches = Benches(most=2)
    benches.of("ann").change(of("a"), "add")
    benches.of("bob").change(of("b"), "add")
    assert names(benches.of("ann").now) == ["a"]
    benches.of("cy")
    assert names(benches.of("ann").now) == ["a"]
    assert benches.of("bob").now.rows == ()


def test_a_list_that_a_page_shows_is_not_dropped() -> None:
    benches = Benches(most=1)
    ann = benches.of("ann")
    ann.watch(lambda: None)
    benches.of("bob")
    assert benches.of("ann") is ann


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), ("12", 12), ("12.5", 12.5), ("1,5", 1.5), ("1:05", 65), ("1:02:03.25", 3723.25), (" 7 s ", 7)],
)  # fmt: skip
def test_times_are_read_as_people_type_them(text: str, seconds: float | None) -> None:
    assert seconds_from(text) == seconds


@pytest.mark.parametrize("text", ["abc", "-1", "1:2:3:4", "1e9", "nan", "1::2", "."])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        seconds_from(text)


@given(st.integers(0, 400_000_000).map(lambda ms: ms / 1000))
def test_a_time_reads_as_it_was_written(seconds: float) -> None:
    assert seconds_from(written(seconds)) == seconds
