"""Names of files on shares: every spelling of one file is one name, and nothing leads out of a share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.share import (
    Direct,
    Name,
    NameInvalid,
    Share,
    ShareTable,
    ShareUnknown,
    parse,
)

VIDEOS = Share(root="//media/videos", drive="Z:", folder="/mnt/videos")
RAW = Share(root="//media/videos/raw", folder="/raw")
OUT = Share(root="//media/out")
CLIPS = Share(root="s3://clips/2026")
TABLE = ShareTable((VIDEOS, RAW, OUT, CLIPS))


@pytest.mark.parametrize(
    "spelling",
    [
        r"\\media\videos\day one\a.mp4",
        r"\\MEDIA\Videos\day one\a.mp4",
        "//media/videos/day one/a.mp4",
        "//media/videos//day one/./a.mp4",
        "smb://media/videos/day%20one/a.mp4",
        "SMB://media/videos/day one/a.mp4",
        "cifs://media/videos/day one/a.mp4",
        r"\\?\UNC\media\videos\day one\a.mp4",
        r"Z:\day one\a.mp4",
        "z:/day one/a.mp4",
        "/mnt/videos/day one/a.mp4",
    ],
)
def test_every_spelling_of_a_file_is_one_name_and_one_path_here(spelling: str) -> None:
    assert TABLE.canonical(spelling) == "//media/videos/day one/a.mp4"
    assert TABLE.locate(spelling) == "/mnt/videos/day one/a.mp4"


@pytest.mark.parametrize("path", ["a.mp4", "/home/ann/a.mp4", "C:", "~/a.mp4", "///a/b", "a//b"])
def test_what_is_on_no_share_stays_as_it_is(path: str) -> None:
    assert parse(path) is None
    assert TABLE.canonical(path) == path
    assert TABLE.locate(path) == path


def test_a_file_whose_path_would_be_read_as_another_ones_name_keeps_its_path() -> None:
    """On Linux a name may hold a backslash; in names of shares it stands between folders."""
    path = "/mnt/videos/day\\a.mp4"
    assert TABLE.canonical(path) == path
    assert TABLE.locate(path) == path
    assert TABLE.canonical("/mnt/videos") == "//media/videos"


def test_folders_that_a_row_names_have_no_case_on_smb() -> None:
    assert TABLE.locate(r"\\media\videos\RAW\A.mov") == "/raw/A.mov"
    with pytest.raises(ShareUnknown):
        TABLE.locate("s3://clips/2026".upper() + "/a.mov")


def test_the_longest_root_wins() -> None:
    assert TABLE.locate(r"\\media\videos\raw\a.mov") == "/raw/a.mov"
    assert TABLE.locate(r"\\media\videos\raw.mov") == "/mnt/videos/raw.mov"
    assert TABLE.canonical("/raw/a.mov") == "//media/videos/raw/a.mov"


def test_what_is_mounted_nowhere_is_reached_directly() -> None:
    assert TABLE.locate("//media/out/films/a.mp4") == Direct(OUT, "films/a.mp4")
    assert TABLE.locate("s3://clips/2026/05/a b.mp4") == Direct(CLIPS, "05/a b.mp4")
    assert Direct(CLIPS, "05/a.mp4").name == "s3://clips/2026/05/a.mp4"


def test_a_files_own_address_is_no_name_on_a_share() -> None:
    assert parse("file:///mnt/videos/a.mp4") is None
    assert parse("Z:/a.mp4") == Name("Z:", "a.mp4")
    assert Name("Z:", "a.mp4").protocol == ""
    assert [str(parse("//media/videos")), str(parse("s3://clips"))] == [
        "//media/videos",
        "s3://clips",
    ]


def test_the_folders_of_mounted_shares_are_told() -> None:
    assert list(TABLE.folders) == ["/mnt/videos", "/raw"]


def test_a_path_that_no_name_can_say_stays_a_path() -> None:
    for path in ("/mnt/videos/../other/a.mp4", "/mnt/videos/a\\b.mp4"):
        assert TABLE.canonical(path) == path


@pytest.mark.parametrize("name", ["//other/share/a.mp4", "s3://clips/2025/a.mp4", r"Y:\a.mp4"])
def test_a_share_that_is_not_in_the_table_is_unknown(name: str) -> None:
    with pytest.raises(ShareUnknown, match="no share that this machine knows"):
        TABLE.locate(name)


def test_windows_finds_shares_and_drives_by_itself() -> None:
    windows = ShareTable((OUT,), native=True)
    assert windows.locate("//media/videos/a b.mp4") == r"\\media\videos\a b.mp4"
    assert windows.locate("Y:/clips/a.mp4") == r"Y:\clips\a.mp4"
    assert windows.locate(r"\\media\out\a.mp4") == Direct(OUT, "a.mp4")
    with pytest.raises(ShareUnknown):
        windows.locate("s3://clips/a.mp4")


def test_windows_is_not_led_to_servers_that_the_table_does_not_name() -> None:
    """It would sign in there with the worker's account, and whoever submits a job chooses the name."""
    windows = ShareTable((OUT, CLIPS), native=True)
    with pytest.raises(ShareUnknown):
        windows.locate(r"\\stranger\out\a.mp4")
    assert windows.locate(r"\\MEDIA\more\a.mp4") == r"\\MEDIA\more\a.mp4"
    assert ShareTable((CLIPS,), native=True).locate("//nas/x/a.mp4") == r"\\nas\x\a.mp4"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (r"\\media\videos\..\..\etc\passwd", "upwards"),
        ("//media/videos/../out/a.mp4", "upwards"),
        ("smb://media/videos/%2e%2e/a.mp4", "upwards"),
        ("s3://clips/2026/../a.mp4", "upwards"),
        (r"Z:\..\a.mp4", "upwards"),
        ("//media", "no share"),
        (r"\\media\..\a.mp4", "no share"),
        ("smb://ann:secret@media/videos/a.mp4", "user's name"),
        ("smb://media:1445/videos/a.mp4", "port"),
        ("s3://key@clips/a.mp4", "user's name"),
        ("s3:///a.mp4", "no bucket"),
        ("gopher://media:70/a.mp4", "port"),
        ("//media/videos/a\0.mp4", "zero byte"),
    ],
)
def test_names_that_can_not_be_are_refused_with_a_reason(name: str, reason: str) -> None:
    with pytest.raises(NameInvalid, match=reason) as caught:
        parse(name)
    assert "secret" not in str(caught.value)


PARTS = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=()), min_size=1
).filter(lambda part: part not in (".", ".."))


@given(st.lists(PARTS, min_size=1, max_size=5))
def test_a_name_says_the_same_however_often_it_is_read(parts: list[str]) -> None:
    name = f"//media/videos/{'/'.join(parts)}"
    assert TABLE.canonical(TABLE.canonical(name)) == TABLE.canonical(name)
    assert parse(name) == Name("//media/videos", "/".join(parts))


@given(st.text())
def test_nothing_that_is_written_leads_out_of_a_share(text: str) -> None:
    for name in (f"//media/videos/{text}", rf"\\media\videos\{text}", f"Z:\\{text}"):
        try:
            found = TABLE.locate(name)
        except NameInvalid:
            continue
        assert isinstance(found, str)
        assert found == "/mnt/videos" or found.startswith(("/mnt/videos/", "/raw"))
        assert ".." not in found.split("/")
