"""Finding clips: by a part of their id, path or name, and by a pasted list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelyard.domain.errors import NotFound, RequestInvalid
from reelyard.services.clip_list import ClipList
from reelyard.services.clip_search import ClipSearch, Kind
from reelyard.services.clips import ListedClip

from .library_room import READER, Room, pages


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "library")


def found(room: Room, text: str, kind: Kind | None = None) -> list[str]:
    return [clip.name for clip in room.desk.search(READER, text, kind).rows]


def test_clips_are_found_by_id_path_and_name(room: Room) -> None:
    room.put("Beach Day 2.mp4", "deep/down/beach 10.mov", "hills.mp4", "beach.txt", ".beach.mp4")
    room.shelf.videos = {
        "BEACH-77": "/elsewhere/x.mp4",
        "v2": "/elsewhere/beach/y.mp4",
        "v3": "/z.mp4",
    }
    assert found(room, "beach") == ["x.mp4", "y.mp4", "beach 10.mov", "Beach Day 2.mp4"]
    assert found(room, " HILLS ") == ["hills.mp4"]
    assert found(room, "nothing like it") == []


def test_a_search_keeps_to_one_kind(room: Room) -> None:
    room.put("a1.mp4", "a2.png")
    room.shelf.videos = {"a3": "/x/clip.MP4", "a4": "/x/still.JPG"}
    assert found(room, "a", "video") == ["clip.MP4", "a1.mp4"]
    assert found(room, "a", "image") == ["still.JPG", "a2.png"]


def test_a_file_that_the_catalogue_has_is_found_once(room: Room) -> None:
    room.put("beach.mp4", "beach 2.mp4", data=b"123")
    room.shelf.videos = {"v1": str(room.media / "beach.mp4")}
    rows = room.desk.search(READER, "beach").rows
    assert [(clip.name, clip.video_id, clip.size) for clip in rows] == [
        ("beach.mp4", "v1", 3), ("beach 2.mp4", None, 3),
    ]  # fmt: skip


def test_nothing_is_told_of_a_catalogued_file_outside(room: Room, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"x")
    room.shelf.videos = {"v1": str(tmp_path / "there.mp4"), "v2": str(tmp_path / "gone.mp4")}
    rows = room.desk.search(READER, "v").rows
    assert [(clip.video_id, clip.size, clip.modified_at) for clip in rows] == [
        ("v1", None, None), ("v2", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_of_a_search_hold_everything_once(room: Room, limit: int) -> None:
    room.put(*(f"{folder}/clip {n}.mp4" for n in range(6) for folder in "ab"))
    room.shelf.videos = {f"clip-{n}": f"/x/{n}.mp4" for n in range(5)}
    room.shelf.videos["v"] = str(room.media / "a" / "clip 3.mp4")

    def get(cursor: str | None) -> tuple[list[str], str | None]:
        page = room.desk.search(READER, "clip", cursor=cursor, limit=limit)
        assert page.complete
        assert len(page.rows) <= limit
        return [clip.path for clip in page.rows], page.cursor

    rows = list(chain(*pages(get)))
    assert len(rows) == len(set(rows)) == 17
    assert rows[:6] == [*(f"/x/{n}.mp4" for n in range(5)), str(room.media / "a" / "clip 3.mp4")]


def test_a_search_that_could_not_look_at_everything_says_so(room: Room) -> None:
    room.put(*(f"{n}/clip.mp4" for n in range(50)))
    clips = ClipList(room.roots, room.shelf)
    short = ClipSearch(room.roots, room.shelf, clips, most=20)("clip", None, None, 50)
    quick = ClipSearch(room.roots, room.shelf, clips, seconds=-1)("clip", None, None, 50)
    whole = ClipSearch(room.roots, room.shelf, clips)("clip", None, None, 50)
    assert (short.complete, quick.complete, whole.complete) == (False, False, True)
    assert (len(quick.rows), len(whole.rows)) == (0, 50)


def test_folders_that_lead_in_circles_are_walked_once(room: Room) -> None:
    room.put("a/clip.mp4")
    (room.media / "a" / "again").symlink_to(room.media)
    assert found(room, "clip") == ["clip.mp4"]


def test_a_text_without_end_is_refused(room: Room) -> None:
    with pytest.raises(RequestInvalid):
        room.desk.search(READER, "x" * 201)


@given(st.text(alphabet=st.characters(), max_size=30))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_can_be_looked_for(room: Room, text: str) -> None:
    rows = room.desk.search(READER, text).rows
    assert len(rows) == 0


# Lists


def listed(room: Room, text: str) -> Sequence[ListedClip]:
    return room.desk.resolve_list(READER, text)


def test_a_list_may_hold_ids_and_paths_of_many_kinds(room: Room) -> None:
    room.put("a.mp4", "b, part 2.mp4", "sub/c.mp4", "#1.mp4", "d e.mp4")
    room.shelf.videos = {"vid-1": "/elsewhere/x.mp4", "vid 2": str(room.media / "a.mp4")}
    text = "\ufeff" + "\r\n".join([
        "# my clips", "", "vid-1", "  vid 2  ", str(room.media / "a.mp4"), f'"{room.media}/a.mp4"',
        "a.mp4", "'sub/c.mp4'", "b, part 2.mp4", "a.mp4, the first one", "vid-1\tsome\ttitle",
        'sub/c.mp4;"x"', '"#1.mp4",1', "“d e.mp4”", "a.mp4 # for the start", "vid-1,a.mp4",
    ])  # fmt: skip
    found = listed(room, text)
    assert [one.clip and one.clip.name for one in found] == [
        "x.mp4", "a.mp4", "a.mp4", "a.mp4", "a.mp4", "c.mp4", "b, part 2.mp4", "a.mp4", "x.mp4",
        "c.mp4", "#1.mp4", "d e.mp4", "a.mp4", "x.mp4",
    ]  # fmt: skip
    assert [one.line for one in found] == list(range(3, 17))
    assert [one.clip and one.clip.video_id for one in found][:3] == ["vid-1", "vid 2", None]


def test_all_ids_of_a_list_are_one_question(room: Room) -> None:
    room.shelf.videos = {f"v{n}": f"/x/{n}.mp4" for n in range(300)}
    assert len(listed(room, "\n".join(room.shelf.videos))) == 300
    assert room.shelf.asked == 1


def test_a_relative_path_is_looked_for_in_each_root(room: Room) -> None:
    (room.uploads / "ann").mkdir()
    (room.uploads / "ann" / "u.mp4").write_bytes(b"x")
    assert [one.clip and one.clip.path for one in listed(room, "ann/u.mp4")] == [
        str(room.uploads / "ann" / "u.mp4")
    ]


@pytest.mark.parametrize(
    "line", ["gone.mp4", "../outside.mp4", "/etc/passwd", "{media}", "\0", "x" * 9000, "\ud800", '"', ","]
)  # fmt: skip
def test_a_line_that_names_nothing_says_which_and_what_to_do(room: Room, line: str) -> None:
    room.put("a.mp4")
    (room.folder / "outside.mp4").write_bytes(b"x")
    good, bad = listed(room, f"a.mp4\n{line.replace('{media}', str(room.media))}")
    assert good.clip is not None
    assert bad.clip is None
    assert isinstance(bad.error, NotFound)
    assert bad.error.message.startswith("line 2: there is no clip ")
    assert len(bad.error.message) < 200
    assert bad.error.remedy


def test_a_list_of_nothing_is_nothing(room: Room) -> None:
    assert listed(room, "") == listed(room, "\n# only words\n \n") == []
    assert room.shelf.asked == 0


def test_a_list_without_end_is_refused(room: Room) -> None:
    with pytest.raises(RequestInvalid):
        listed(room, "x\n" * 10_001)


@given(st.text(alphabet=st.characters(), max_size=60))
@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_can_be_pasted(room: Room, text: str) -> None:
    assert all(one.clip is None and one.error is not None for one in listed(room, text))
