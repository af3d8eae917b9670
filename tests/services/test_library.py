"""Looking through the library's folders: what is in them is seen, what is not in them is not there."""

from __future__ import annotations

import os
import shutil
import time
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelyard.domain.errors import (
    BadMedia,
    Cancelled,
    NotAllowed,
    NotFound,
    RequestInvalid,
    SourcesUnavailable,
)
from reelyard.services.clips import ClipFacts, natural
from tests.conftest import Clips

from .library_room import ANN, NOBODY, READER, Room, pages


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "library")


def names(room: Room, folder: Path | None = None) -> tuple[list[str], list[str]]:
    """Folders and clips of a folder."""
    listing = room.desk.browse(READER, str(folder or room.media))
    return [one.name for one in listing.folders], [one.name for one in listing.clips]


# Folders


def test_the_roots_have_names(room: Room) -> None:
    assert room.desk.roots(READER) == [("media", room.media), ("uploads", room.uploads)]
    listing = room.desk.browse(READER)
    assert [(one.name, one.path) for one in listing.folders] == [
        ("media", str(room.media)), ("uploads", str(room.uploads)),
    ]  # fmt: skip
    assert (listing.folder, listing.parent, listing.clips) == (None, None, ())


def test_roots_of_the_same_name_are_told_apart(tmp_path: Path, room: Room) -> None:
    twins = [tmp_path / "a" / "media", tmp_path / "b" / "media"]
    desk = room.desk_of(*twins)
    assert [name for name, _ in desk.roots(READER)] == [str(one) for one in twins]


def test_a_folder_shows_its_folders_and_clips(room: Room) -> None:
    room.put("clip 10.mp4", "clip 2.MP4", "Clip 1.mov", "a.png", "notes.txt", "b/x.mp4", "A10/x.mp4",
             "A9/x.mp4")  # fmt: skip
    assert names(room) == (["A9", "A10", "b"], ["a.png", "Clip 1.mov", "clip 2.MP4", "clip 10.mp4"])


def test_a_clip_is_shown_with_what_is_known_of_it(room: Room) -> None:
    room.put("a.mp4", data=b"12345")
    room.put("b.jpg")
    os.utime(room.media / "a.mp4", (1_000_000_000, 1_000_000_000))
    room.shelf.videos["vid-7"] = str(room.media / "a.mp4")
    clip, still = room.desk.browse(READER, str(room.media)).clips
    assert (clip.path, clip.name, clip.size) == (str(room.media / "a.mp4"), "a.mp4", 5)
    assert (clip.video_id, clip.is_image) == ("vid-7", False)
    assert clip.modified_at is not None
    assert clip.modified_at.isoformat() == "2001-09-09T01:46:40+00:00"
    assert (still.video_id, still.is_image) == (None, True)


def test_one_can_go_up_as_far_as_the_root(room: Room) -> None:
    room.put("a/b/x.mp4")
    below = room.desk.browse(READER, str(room.media / "a" / "b"))
    above = room.desk.browse(READER, below.parent)
    top = room.desk.browse(READER, above.parent)
    assert (below.parent, above.parent, top.parent) == (
        str(room.media / "a"),
        str(room.media),
        None,
    )
    assert (below.name, top.name) == ("b", "media")


def test_what_is_hidden_is_not_shown(room: Room) -> None:
    room.put(".a.mp4", ".git/x.mp4", "b.mp4", ".1234.part")
    assert names(room) == ([], ["b.mp4"])


def test_what_is_no_file_is_not_shown(room: Room) -> None:
    room.put("b.mp4")
    os.mkfifo(room.media / "pipe.mp4")
    (room.media / "folder.mp4").mkdir()
    assert names(room) == (["folder.mp4"], ["b.mp4"])


def test_what_can_not_be_read_is_left_out_and_counted(room: Room) -> None:
    room.put("a.mp4", "b.mp4")
    (room.media / "gone.mp4").symlink_to(room.media / "nowhere.mp4")
    (room.media / "loop.mp4").symlink_to(room.media / "loop.mp4")
    listing = room.desk.browse(READER, str(room.media))
    assert [one.name for one in listing.clips] == ["a.mp4", "b.mp4"]
    assert listing.unreadable == 1  # a link to nothing is nothing


def test_links_are_followed_inside_only(room: Room, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.mp4").write_bytes(b"secret")
    room.put("real/a.mp4")
    (room.media / "alias").symlink_to(room.media / "real")
    (room.media / "alias.mp4").symlink_to(room.media / "real" / "a.mp4")
    (room.media / "out").symlink_to(outside)
    (room.media / "out.mp4").symlink_to(outside / "x.mp4")
    assert names(room) == (["alias", "real"], ["alias.mp4"])
    assert names(room, room.media / "alias") == ([], ["a.mp4"])


def test_a_root_may_be_a_link(room: Room, tmp_path: Path) -> None:
    room.put("a/x.mp4")
    (tmp_path / "link").symlink_to(room.media)
    desk = room.desk_of(tmp_path / "link")
    below = desk.browse(READER, str(tmp_path / "link" / "a"))
    assert [one.path for one in below.clips] == [str(tmp_path / "link" / "a" / "x.mp4")]
    assert desk.contained(below.clips[0].path) == room.media / "a" / "x.mp4"
    assert desk.browse(READER, below.parent).parent is None


def test_names_of_any_bytes_are_shown_and_found_again(room: Room) -> None:
    folder = room.media / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff \n.mp4")).write_bytes(b"x")
    inner = room.desk.browse(READER, room.desk.browse(READER, str(room.media)).folders[0].path)
    assert room.desk.contained(inner.clips[0].path).read_bytes() == b"x"
    assert room.desk.contained(f"file://{room.media}/caf%E9/%FF%20%0A.mp4").read_bytes() == b"x"


def test_a_share_that_is_gone_is_said_to_be_gone(room: Room) -> None:
    room.put("a/x.mp4")
    shutil.rmtree(room.media)
    with pytest.raises(SourcesUnavailable):
        room.desk.browse(READER, str(room.media))
    with pytest.raises(NotFound):
        room.desk.browse(READER, str(room.media / "a"))


def test_a_file_is_no_folder(room: Room) -> None:
    room.put("a.mp4")
    with pytest.raises(NotFound, match="not a folder"):
        room.desk.browse(READER, str(room.media / "a.mp4"))


# Pages


def test_pages_hold_everything_once_and_in_order(room: Room) -> None:
    room.put(*(f"clip {n}.mp4" for n in range(1, 24)), *(f"f{n}/x.mp4" for n in range(1, 6)))

    def get(cursor: str | None) -> tuple[list[str], str | None]:
        page = room.desk.browse(READER, str(room.media), cursor=cursor, limit=7)
        assert page.total == 28
        folders, clips = [one.name for one in page.folders], [one.name for one in page.clips]
        return folders + clips, page.cursor

    found = pages(get)
    assert [len(page) for page in found] == [7, 7, 7, 7]
    assert list(chain(*found)) == [f"f{n}" for n in range(1, 6)] + [
        f"clip {n}.mp4" for n in range(1, 24)
    ]


def test_a_page_follows_although_files_come_and_go(room: Room) -> None:
    room.put(*(f"{n}.mp4" for n in range(6)))
    first = room.desk.browse(READER, str(room.media), limit=3)
    (room.media / "2.mp4").unlink()
    room.put("0b.mp4", "3b.mp4")
    second = room.desk.browse(READER, str(room.media), limit=9, cursor=first.cursor)
    assert [one.name for one in second.clips] == ["3.mp4", "3b.mp4", "4.mp4", "5.mp4"]


@pytest.mark.parametrize("cursor", ["", "x", "eA==", "ZQ", "é", "\0", "%", "a" * 5000, "\udcff"])
def test_a_cursor_that_is_none_of_ours_is_refused(room: Room, cursor: str) -> None:
    with pytest.raises(RequestInvalid):
        room.desk.browse(READER, str(room.media), cursor=cursor)
    with pytest.raises(RequestInvalid):
        room.desk.search(READER, "", cursor=cursor)


def test_a_page_without_rows_is_refused(room: Room) -> None:
    with pytest.raises(RequestInvalid):
        room.desk.browse(READER, str(room.media), limit=0)


def test_a_folder_of_thousands_is_read_at_once(room: Room) -> None:
    room.media.joinpath("many").mkdir()
    for n in range(5000):
        os.close(os.open(room.media / "many" / f"clip {n}.mp4", os.O_CREAT | os.O_WRONLY))
    begun = time.perf_counter()
    page = room.desk.browse(READER, str(room.media / "many"))
    assert time.perf_counter() - begun < 2
    assert (page.total, len(page.clips), page.clips[-1].name) == (5000, 200, "clip 199.mp4")


@given(st.lists(st.text(max_size=12), max_size=8))
@settings(deadline=None, max_examples=60)
def test_natural_order_takes_any_names(texts: list[str]) -> None:
    """It never fails, and counts numbers as numbers."""
    ordered = sorted(texts, key=natural)
    assert sorted(reversed(ordered), key=natural) == ordered
    assert natural("a9b") < natural("A10b") < natural("a10c")


# What lies outside

OUTSIDE = [
    "", ".", "..", "/", "/etc/passwd", "etc/passwd", "a.mp4", "./a.mp4", "~/a.mp4", "~root",
    "{media}/../outside/x.mp4", "{media}/../media/a.mp4", "{media}/a/../a.mp4", "{media}/..",
    "{media}x/x.mp4", "{media}-other", "{media}/nothing.mp4", "{media}/a.mp4/x", "{media}/loop/x",
    "{media}/out/x.mp4", "{media}/out.mp4", "{media}/\0.mp4", "{media}/a.mp4\0", "{media}/" + "x" * 5000,
    "{media}/" + "x/" * 3000, "{media}/\ud800.mp4", "{media}/\udcff", "file://{media}/%2e%2e/outside/x.mp4",
    "file://{media}/%00", "file:///etc/passwd", "http://localhost/a.mp4", "\\\\server\\share\\a.mp4",
    "//server/share/a.mp4", "C:\\Windows\\win.ini", "{media}\\..\\outside\\x.mp4", "concat:{media}/a.mp4",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: ascii(path)[:40])
def test_what_lies_outside_is_not_there(room: Room, path: str) -> None:
    outside = room.folder / "outside"
    outside.mkdir()
    (outside / "x.mp4").write_bytes(b"secret")
    room.put("a.mp4")
    (room.media / "out").symlink_to(outside)
    (room.media / "out.mp4").symlink_to(outside / "x.mp4")
    (room.media / "loop").symlink_to(room.media / "loop")
    wanted = path.replace("{media}", str(room.media))
    for use in (room.desk.contained, lambda one: room.desk.facts(READER, one),
                lambda one: room.desk.thumbnail(READER, one)):  # fmt: skip
        with pytest.raises(NotFound, match=r"there is no file or folder"):
            use(wanted)
    with pytest.raises((NotFound, SourcesUnavailable)):
        room.desk.browse(READER, wanted)


def test_nothing_tells_what_is_there_outside(room: Room, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"x")

    def words(name: str) -> str:
        with pytest.raises(NotFound) as caught:
            room.desk.facts(READER, str(tmp_path / name))
        return str(caught.value).replace(name, "NAME")

    assert words("there.mp4") == words("gone.mp4")


@given(st.text(alphabet=st.characters(), max_size=60) | st.binary(max_size=60).map(os.fsdecode))
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_path_makes_it_stumble(room: Room, text: str) -> None:
    for path in (text, f"{room.media}/{text}", f"file://{text}"):
        try:
            found = room.desk.contained(path)
        except NotFound as error:
            assert len(error.message) < 500
            assert error.message.isprintable()
        else:
            assert found.is_relative_to(room.media)


# Who may look


def test_whoever_may_not_read_sees_nothing(room: Room) -> None:
    desk = room.desk
    room.put("a.mp4")
    path = str(room.media / "a.mp4")
    for look in (
        lambda: desk.roots(NOBODY), lambda: desk.browse(NOBODY), lambda: desk.search(NOBODY, ""),
        lambda: desk.facts(NOBODY, path), lambda: desk.facts_of(NOBODY, [path]),
        lambda: desk.resolve_list(NOBODY, path), lambda: desk.thumbnail(NOBODY, path),
    ):  # fmt: skip
        with pytest.raises(NotAllowed):
            look()


# Facts


def test_facts_are_what_people_ask_for(room: Room, clips: Clips) -> None:
    path = room.bring(clips.video("library.mp4", seconds=1.5, rate="25"), "a.mp4")
    facts = room.desk.facts(READER, str(path))
    assert (facts.width, facts.height, facts.codec) == (320, 180, "h264")
    assert facts.seconds == pytest.approx(1.52, abs=0.05)
    assert facts.frame_rate == pytest.approx(25, abs=0.1)
    assert (facts.has_sound, facts.rotation, facts.is_image, facts.is_hdr) == (
        True,
        0,
        False,
        False,
    )


def test_facts_of_a_picture_have_no_length(room: Room, clips: Clips) -> None:
    path = room.bring(clips.picture("library.png"), "a.png")
    facts = room.desk.facts(READER, str(path))
    assert (facts.seconds, facts.frame_rate, facts.is_image) == (None, None, True)
    assert (facts.width, facts.height) == (320, 180)


def test_facts_of_many_come_together_with_what_is_wrong(room: Room, clips: Clips) -> None:
    good = str(room.bring(clips.video("library.mp4", seconds=1.5, rate="25"), "a.mp4"))
    room.put("bad.mp4", data=b"no film")
    bad, gone = str(room.media / "bad.mp4"), str(room.media / "gone.mp4")
    found = room.desk.facts_of(READER, [good, bad, gone, good, "/etc/passwd"])
    assert list(found) == [good, bad, gone, "/etc/passwd"]
    assert isinstance(found[good], ClipFacts)
    assert isinstance(found[bad], BadMedia)
    assert isinstance(found[gone], NotFound)
    assert isinstance(found["/etc/passwd"], NotFound)


def test_asking_for_facts_can_be_stopped(room: Room, clips: Clips) -> None:
    path = str(room.bring(clips.video("library.mp4", seconds=1.5, rate="25"), "a.mp4"))

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        room.desk.facts_of(ANN, [path], stop)


def test_too_many_clips_at_once_are_refused(room: Room) -> None:
    with pytest.raises(RequestInvalid):
        room.desk.facts_of(READER, [f"/{n}" for n in range(1001)])
