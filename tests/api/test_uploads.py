"""Uploads over HTTP: streamed, checked, whole or not there at all."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.api.house import LIMIT, House
from tests.api.wire import Answer, Wire

UPLOADS = "/api/v1/library/uploads"


@pytest.fixture(scope="module")
def ann(house: House) -> Wire:
    return house.of("ann")


@pytest.fixture(scope="module")
def clip(house: House) -> bytes:
    return (house.media / "clip.mp4").read_bytes()


def send(wire: Wire, name: str, *chunks: bytes, **how: object) -> Answer:
    return wire("POST", f"{UPLOADS}/{quote(name, safe='')}", chunks=chunks, **how)  # type: ignore[arg-type]


def files(house: House) -> list[Path]:
    return sorted(path for path in house.uploads.rglob("*") if path.is_file())


def test_an_upload_that_comes_in_pieces_is_a_clip_of_ones_own(
    ann: Wire, house: House, clip: bytes
) -> None:
    """It may be used by its path, is listed, and goes again."""
    answer = send(ann, "mine.mp4", clip[:1000], b"", clip[1000:])
    assert answer.status == 201
    path = answer.json()["path"]
    assert Path(path).read_bytes() == clip
    assert path in [one["path"] for one in ann("GET", UPLOADS).json()]
    assert path not in house.of("ben")("GET", UPLOADS).text
    assert path in house.of("mia")("GET", UPLOADS).text
    job = {"channel_name": "Mine", "items": [{"item_type": "video", "path": path}]}
    assert ann("POST", "/api/v1/jobs/preflight", job).json()["queue_name"] == "default_queue"
    assert ann("DELETE", f"{UPLOADS}?path={quote(path)}").status == 204
    assert not Path(path).exists()


def test_what_is_removed_already_is_not_there(ann: Wire, house: House, clip: bytes) -> None:
    path = send(ann, "once.mp4", clip).json()["path"]
    target = f"{UPLOADS}?path={quote(path)}"
    assert [ann("DELETE", target).status for _ in range(2)] == [204, 404]


def test_two_of_one_name_are_two(ann: Wire, clip: bytes, house: House) -> None:
    """Nothing is written over, and the same bytes again are the same file."""
    other = clip + b"\0\0\0\x08free"
    paths = [send(ann, "twin.mp4", body).json()["path"] for body in (clip, other, clip)]
    assert [Path(one).name for one in paths] == ["twin.mp4", "twin (2).mp4", "twin.mp4"]
    assert [Path(one).read_bytes() for one in paths] == [clip, other, clip]
    theirs = send(house.of("ben"), "twin.mp4", other).json()["path"]
    assert Path(theirs).parent != Path(paths[0]).parent
    assert Path(paths[0]).read_bytes() == clip


@pytest.mark.parametrize(("name", "content", "status"), [
    ("virus.exe", b"MZ", 422), ("clip", b"0", 422), (".mp4", b"0", 422), ("a.mp4", b"", 422),
    ("a.mp4", b"no clip at all", 422), ("a.png", b"\x89PNG\r\n\x1a\n", 422), ("a.mp4.sh", b"#!", 422),
])  # fmt: skip
def test_what_is_no_clip_does_not_stay(
    ann: Wire, house: House, name: str, content: bytes, status: int
) -> None:
    before = files(house)
    assert send(ann, name, content).problem["status"] == status
    assert files(house) == before


def test_one_that_is_too_large_does_not_stay(ann: Wire, house: House) -> None:
    """Whether it says so or not."""
    before = files(house)
    for chunks in ([b"0" * 1000] * (LIMIT // 1000 + 1), [b"0" * (LIMIT + 1)]):
        assert send(ann, "large.mp4", *chunks).problem["status"] == 413
    assert files(house) == before


def test_one_that_breaks_off_does_not_stay(ann: Wire, house: House, clip: bytes) -> None:
    """Nobody reads the answer; what had come is gone."""
    before = files(house)
    answer = send(ann, "broken.mp4", clip[:1000], breaks_off=True)
    assert answer.status in (0, 422)
    assert files(house) == before


@pytest.mark.parametrize("difference", [-1, 1])
def test_one_that_is_not_as_long_as_it_says(
    ann: Wire, house: House, clip: bytes, difference: int
) -> None:
    before = files(house)
    length = {"content-length": str(len(clip) + difference)}
    assert send(ann, "short.mp4", clip, headers=length).problem["status"] == 422
    assert files(house) == before


@pytest.mark.parametrize("name", [
    "../../out.mp4", "..\\..\\out.mp4", "/etc/out.mp4", "C:\\out.mp4", "a/b/c.mp4", "....//x.mp4",
    "nul.mp4", "a\0b.mp4", "a\nb.mp4", "x" * 3000 + ".mp4", "é" * 200 + ".mp4", " .mp4 .mp4", "~.mp4",
])  # fmt: skip
def test_a_name_leads_nowhere_but_into_ones_own_folder(
    ann: Wire, house: House, clip: bytes, name: str
) -> None:
    """Whatever a file is called where it comes from."""
    before = {path for path in house.folder.rglob("*") if "cache" not in path.parts}
    answer = send(ann, name, clip)
    assert answer.status in (201, 404, 422)
    new = {path for path in house.folder.rglob("*") if "cache" not in path.parts} - before
    own = house.uploads / "ann"
    assert all(path == own or path.parent == own for path in new if path.suffix == ".mp4")
    assert all("\n" not in path.name and "\0" not in path.name for path in new)


def test_a_link_among_the_uploads_leads_nowhere(ann: Wire, house: House, clip: bytes) -> None:
    """Neither shown nor removed, nor what it leads to."""
    send(ann, "first.mp4", clip)
    link = house.uploads / "ann" / "link.mp4"
    link.symlink_to(house.media / "clip.mp4")
    assert "link.mp4" not in ann("GET", UPLOADS).text
    assert ann("DELETE", f"{UPLOADS}?path={quote(str(link))}").status == 404
    assert link.is_symlink()
    assert (house.media / "clip.mp4").exists()
    link.unlink()
