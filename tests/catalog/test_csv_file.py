"""The catalogue in a CSV file: as spreadsheets write it, read again when it changes, wrong lines named."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from reelyard.catalog.csv_file import CsvCatalogue
from reelyard.domain.errors import CatalogueUnavailable
from reelyard.files.places import Source


def catalogue(path: Path) -> CsvCatalogue:
    return CsvCatalogue(Source(LocalFileSystem(), str(path), str(path)), str(path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.csv"


@pytest.mark.parametrize(
    "text",
    [
        "video_id,path\na,/clips/a.mp4\nb,/clips/b.mp4\n",
        "video_id;path\r\na;/clips/a.mp4\r\nb;/clips/b.mp4\r\n",
        "\ufeffvideo_id\tpath\na\t/clips/a.mp4\nb\t/clips/b.mp4",
        '"video_id","path"\n"a","/clips/a.mp4"\n"b","/clips/b.mp4"\n',
        "title,Path , VIDEO_ID,length\nA,/clips/a.mp4,a,3\n\n,,,\nB, /clips/b.mp4 ,b\n",
        "video_id,path\na,/clips/a.mp4\nb,/clips/b.mp4\na,/clips/a.mp4\n",
    ],
    ids=[
        "commas",
        "semicolons, CR LF",
        "mark, tabs",
        "quotes",
        "other columns, empty lines",
        "twice",
    ],
)
def test_columns_are_told_by_the_first_line(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    assert catalogue(file).find(["b", "a", "gone"]) == {"a": "/clips/a.mp4", "b": "/clips/b.mp4"}


def test_ids_and_paths_may_hold_anything_that_quotes_can_hold(file: Path) -> None:
    file.write_text('video_id,path\n"a,""b"";\nc","/clips/é, ü \u6f22.mp4"\n', newline="")
    assert catalogue(file).find(['a,"b";\nc']) == {'a,"b";\nc': "/clips/é, ü \u6f22.mp4"}


def test_a_path_that_is_not_absolute_is_relative_to_the_file(file: Path) -> None:
    file.write_text(
        "video_id,path\n"
        "here,a.mp4\nbelow,clips/a.mp4\n"
        "share,\\\\media\\videos\\a.mp4\ndrive,Z:\\a.mp4\nbucket,s3://clips/a.mp4\n"
    )
    assert catalogue(file).find(["here", "below", "share", "drive", "bucket"]) == {
        "here": str(file.parent / "a.mp4"),
        "below": str(file.parent / "clips" / "a.mp4"),
        "share": "\\\\media\\videos\\a.mp4",
        "drive": "Z:\\a.mp4",
        "bucket": "s3://clips/a.mp4",
    }


def test_a_file_on_a_share_names_its_neighbours_on_that_share() -> None:
    files = MemoryFileSystem()
    files.pipe("/csv-test/lists/catalogue.csv", b"video_id,path\na,clips\\a.mp4\nb,/clips/b.mp4\n")
    source = Source(files, "/csv-test/lists/catalogue.csv", "the list")
    found = CsvCatalogue(source, "//media/videos/lists/catalogue.csv").find(["a", "b"])
    assert found == {"a": "//media/videos/lists/clips/a.mp4", "b": "/clips/b.mp4"}


def test_it_is_read_again_when_it_has_changed(file: Path) -> None:
    file.write_text("video_id,path\na,/old.mp4\n")
    one = catalogue(file)
    assert one.find(["a"]) == {"a": "/old.mp4"}
    file.write_text("video_id,path\na,/new.mp4\n")
    os.utime(file, ns=(1, 1))
    assert one.find(["a"]) == {"a": "/new.mp4"}
    file.write_text("video_id,path\nb,/new.mp4\n")
    os.utime(file, ns=(2, 2))
    assert one.find(["a", "b"]) == {"b": "/new.mp4"}


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"", 1, "video_id and path"),
        (b"id,file\na,/a.mp4\n", 1, "video_id and path"),
        (b"video_id,path\na,/a.mp4\nb\n", 3, "no path"),
        (b"video_id,path\na,/a.mp4\n\n,/b.mp4\n", 4, "no video_id"),
        (b"video_id,path\na,/a.mp4\nb,/b.mp4\na,/c.mp4\n", 4, "a has another path in line 2"),
        (b"video_id,path\na,/a.mp4\nb,/caf\xe9.mp4\n", 3, "UTF-8"),
        (b'video_id,path\na,"/a.mp4\n', 2, "end of data"),
        (b'video_id,path\na,"/a"b\n', 2, "expected after"),
    ],
    ids=[
        "empty",
        "no header",
        "no path",
        "no id",
        "two paths",
        "not UTF-8",
        "open quote",
        "torn quote",
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    file: Path, data: bytes, line: int, said: str
) -> None:
    file.write_bytes(data)
    with pytest.raises(CatalogueUnavailable) as found:
        catalogue(file).find(["a"])
    assert f"line {line}:" in found.value.message and said in found.value.message
    assert str(file) in found.value.message and found.value.remedy


def test_a_path_that_leads_upwards_on_a_share_is_named_when_it_is_asked_for(file: Path) -> None:
    file.write_text("video_id,path\na,//media/videos/../secret.mp4\nb,/b.mp4\n")
    assert catalogue(file).find(["b"]) == {"b": "/b.mp4"}
    with pytest.raises(CatalogueUnavailable, match=r"line 2: .*upwards"):
        catalogue(file).find(["a"])


def test_a_file_that_is_away_may_come_back(file: Path) -> None:
    one = catalogue(file)
    with pytest.raises(CatalogueUnavailable, match="No such file") as found:
        one.find(["a"])
    assert "REELYARD_CATALOGUE" in found.value.remedy
    file.write_text("video_id,path\na,/a.mp4\n")
    assert one.find(["a"]) == {"a": "/a.mp4"}


def test_a_hundred_thousand_videos_take_a_second_once(file: Path) -> None:
    rows = (f"clip-{number},//media/videos/{number}.mp4\n" for number in range(100_000))
    file.write_text("video_id,path\n" + "".join(rows))
    one = catalogue(file)
    begun = time.process_time()
    assert one.check().startswith("100000 videos in ")
    assert time.process_time() - begun < 2
    begun = time.process_time()
    assert len(one.find([f"clip-{number}" for number in range(0, 100_000, 250)])) == 400
    assert time.process_time() - begun < 0.1
