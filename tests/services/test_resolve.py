"""Video ids become paths: all of a job's in one query, every unknown one named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import sqlalchemy as sa

from reelyard.services.resolve import resolve

from .conftest import Siding


class Catalogue:
    """Knows what it is given, and remembers what it was asked."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.asked: list[set[str]] = []

    def find(self, video_ids: Collection[str]) -> Mapping[str, str]:
        self.asked.append(set(video_ids))
        return {name: path for name, path in self.known.items() if name in video_ids}


def no_catalogue() -> Catalogue:
    raise AssertionError("nobody needs one")


def test_all_ids_of_a_job_are_one_question(siding: Siding) -> None:
    catalogue = Catalogue(a="/clips/a.mp4", b="/clips/b.mp4", c="/clips/c.mp4")
    job = siding.job(
        {"item_type": "intro", "video_id": "b"},
        {"item_type": "video", "video_id": "a"},
        {"item_type": "video", "path": "/clips/own.mp4"},
        {"item_type": "outro", "video_id": "b"},
    )
    found, problems = resolve(job, lambda: catalogue)
    assert problems == []
    assert catalogue.asked == [{"a", "b"}]
    paths = [item.path for item in found.items]
    assert paths == ["/clips/b.mp4", "/clips/a.mp4", "/clips/own.mp4", "/clips/b.mp4"]
    assert [item.named for item in found.items] == ["b", "a", "/clips/own.mp4", "b"]


def test_a_job_without_ids_asks_nothing(siding: Siding) -> None:
    catalogue = Catalogue()
    job = siding.job({"item_type": "video", "path": "/clips/own.mp4"})
    assert resolve(job, lambda: catalogue) == (job, [])
    assert catalogue.asked == []
    resolve(job, no_catalogue)


def test_what_was_resolved_is_not_asked_for_again(siding: Siding) -> None:
    job = siding.job({"item_type": "video", "video_id": "a"})
    found, _ = resolve(job, lambda: Catalogue(a="/clips/a.mp4"))
    assert resolve(found, no_catalogue) == (found, [])


def test_every_unknown_id_is_named_with_its_place(siding: Siding) -> None:
    job = siding.job(
        {"item_type": "video", "video_id": "gone"},
        {"item_type": "video", "video_id": "a"},
        {"item_type": "video", "video_id": "lost"},
        {"item_type": "video", "video_id": "gone"},
    )
    found, problems = resolve(job, lambda: Catalogue(a="/clips/a.mp4"))
    assert [item.path for item in found.items] == ["", "/clips/a.mp4", "", ""]
    assert [(one.position, one.code, one.field) for one in problems] == [
        (1, "unknown_video", "video_id"),
        (3, "unknown_video", "video_id"),
        (4, "unknown_video", "video_id"),
    ]
    for one, name in zip(problems, ("gone", "lost", "gone"), strict=True):
        assert name in one.message


def test_the_local_library_is_asked_once_for_a_long_job(siding: Siding) -> None:
    library, database = siding.farm.reelyard.library, siding.farm.reelyard.database
    names = [f"clip-{number}" for number in range(400)]
    library.add({name: f"/clips/{name}.mp4" for name in names})
    job = siding.job(*({"item_type": "video", "video_id": name} for name in names))
    statements: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def note(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    found, problems = resolve(job, lambda: library)
    assert problems == []
    assert [Path(item.path).stem for item in found.items] == names
    assert len(statements) == 1
