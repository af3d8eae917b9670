"""Job files: what is accepted, and that everything else is refused in words."""

from __future__ import annotations

import json
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.errors import JobRejected, Problem
from reelyard.domain.job import ItemType, Job, OnBadItem
from reelyard.services import job_file
from reelyard.services.job_file import parse_job, read_job

FOLDER = Path("/jobs")
CLIP: dict[str, Any] = {"item_type": "video", "path": "a.mp4"}
IMAGE: dict[str, Any] = {"item_type": "image", "path": "a.png"}


def document(*items: object, **fields: object) -> dict[str, object]:
    return {"channel_name": "Tests", "items": list(items), **fields}


def parse(*items: object, **fields: object) -> Job:
    return parse_job(document(*items, **fields), FOLDER)


def problems(what: object) -> tuple[Problem, ...]:
    with pytest.raises(JobRejected) as caught:
        parse_job(what, FOLDER)
    return caught.value.problems


def problem(*items: object, **fields: object) -> Problem:
    (one,) = problems(document(*items, **fields))
    return one


# What is accepted


def test_a_whole_job_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        """\
channel_name: " Around the World "
enable_4k: true
on_bad_item: skip
loudness: true
chapters: true
job_id: 12345678-1234-5678-1234-567812345678
items:
  - {item_type: intro, path: video/intro.mp4}
  - item_type: video
    path: /media/park.mp4
    logo_path: logo/mark.png
    text_animation_text: Morning in the park
    start: 4.1
    end: 7.35
  - {item_type: image, path: image/vineyard.jpg, duration: 4}
""",
        encoding="utf-8",
    )
    job = read_job(path)
    assert job.channel_name == "Around the World"
    assert (job.enable_4k, job.loudness, job.chapters) == (True, True, True)
    assert job.on_bad_item is OnBadItem.SKIP
    assert job.job_id == "12345678-1234-5678-1234-567812345678"
    intro, park, still = job.items
    assert intro.path == str(tmp_path / "video/intro.mp4")
    assert intro.named == "video/intro.mp4"
    assert park.path == "/media/park.mp4"
    assert park.logo_path == str(tmp_path / "logo/mark.png")
    assert park.text == "Morning in the park"
    assert (park.start, park.end) == (Fraction(41, 10), Fraction(147, 20))  # as written
    assert still.item_type is ItemType.IMAGE
    assert still.duration == 4
    assert [one.position for one in job.items] == [1, 2, 3]


@pytest.mark.parametrize("name", ["job.json", "job.yaml", "job.txt", "job.JSON"])
def test_json_is_read_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(document(CLIP)), encoding="utf-8")
    assert read_job(path).items[0].path == str(tmp_path / "a.mp4")


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(document(CLIP)), encoding="utf-8-sig")
    assert len(read_job(path).items) == 1


def test_a_job_without_an_id_gets_one_of_its_own() -> None:
    assert parse(CLIP).job_id != parse(CLIP).job_id


def test_nothing_is_asked_for_unless_the_job_says_so() -> None:
    job = parse(CLIP)
    assert (job.enable_4k, job.loudness, job.chapters) == (False, False, False)
    assert job.on_bad_item is OnBadItem.FAIL


def test_items_are_put_in_the_order_of_their_positions() -> None:
    job = parse({**CLIP, "path": "b", "position": 20}, {**CLIP, "path": "a", "position": 10})
    assert [(one.position, one.named) for one in job.items] == [(10, "a"), (20, "b")]


def test_an_empty_text_is_no_text() -> None:
    assert parse({**CLIP, "text_animation_text": ""}).items[0].text is None


def test_a_fields_null_is_as_good_as_no_field() -> None:
    names = ("duration", "start", "end", "logo_path", "text_animation_text", "video_id")
    (one,) = parse({**CLIP, **dict.fromkeys(names)}).items
    assert (one.duration, one.start, one.end, one.logo_path, one.text) == (None,) * 5


def test_a_file_address_may_name_bytes_that_are_no_text() -> None:
    (one,) = parse({**CLIP, "path": "file:///media/caf%E9%20x.mp4"}).items
    assert one.path == "/media/caf\udce9 x.mp4"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert parse({**CLIP, "path": "~/a.mp4"}).items[0].path == "/home/ann/a.mp4"


def test_a_name_that_begins_with_a_tilde_is_a_name() -> None:
    """No user of this machine is called so: the tilde belongs to the file."""
    assert parse({**CLIP, "path": "~backup.mp4"}).items[0].path == "/jobs/~backup.mp4"


@pytest.mark.parametrize("name", ["-rf.mp4", "a\nb.mp4", "photo%02d.jpg", "$(x).mp4", "concat:a|b"])
def test_hard_names_are_names(name: str) -> None:
    assert parse({**CLIP, "path": name}).items[0].path == f"/jobs/{name}"


# What is refused


@pytest.mark.parametrize("what", [None, [], [CLIP], "items", 1, True])
def test_what_is_no_list_of_fields_is_no_job(what: object) -> None:
    (one,) = problems(what)
    assert (one.code, one.position) == ("not_a_job", None)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"channel_name": ""}, "string_too_short", "channel_name"),
        ({"channel_name": "  "}, "string_too_short", "channel_name"),
        ({"channel_name": "x" * 201}, "string_too_long", "channel_name"),
        ({"channel_name": 5}, "string_type", "channel_name"),
        ({"items": []}, "too_short", "items"),
        ({"items": "a.mp4"}, "list_type", "items"),
        ({"enable_4k": "perhaps"}, "bool_parsing", "enable_4k"),
        ({"on_bad_item": "ignore"}, "enum", "on_bad_item"),
        ({"job_id": "7"}, "uuid_parsing", "job_id"),
        ({"chanel_name": "x"}, "extra_forbidden", "chanel_name"),
    ],
)
def test_a_wrong_field_of_a_job_is_named(fields: dict[str, object], code: str, field: str) -> None:
    (one,) = problems({**document(CLIP), **fields})
    assert (one.code, one.field, one.position) == (code, field, None)
    assert one.remedy


@pytest.mark.parametrize(
    ("item", "code", "field"),
    [
        ({"path": "a.mp4"}, "missing", "item_type"),
        ({"item_type": "video"}, "missing", "path"),
        ({**CLIP, "item_type": "film"}, "enum", "item_type"),
        ({**CLIP, "path": ""}, "string_too_short", "path"),
        ({**CLIP, "path": "x" * 5000}, "string_too_long", "path"),
        ({**CLIP, "path": 7}, "string_type", "path"),
        ({**CLIP, "path": "a\0b"}, "bad_path", "path"),
        ({**CLIP, "path": "file:///a%00b"}, "bad_path", "path"),
        ({**CLIP, "path": "https://example.org/a.mp4"}, "not_a_file", "path"),
        ({**CLIP, "logo_path": "smb://server/logo.png"}, "bad_path", "logo_path"),
        ({**CLIP, "logo_path": "https://server/a/logo.png"}, "not_a_file", "logo_path"),
        ({**CLIP, "video_id": "abc"}, "two_sources", "video_id"),
        ({**CLIP, "duration": 4}, "image_only", "duration"),
        ({**IMAGE, "duration": 0}, "greater_than", "duration"),
        ({**IMAGE, "duration": 100_000}, "less_than_equal", "duration"),
        ({**IMAGE, "duration": float("nan")}, "finite_number", "duration"),
        ({**IMAGE, "start": 1}, "not_for_images", "start"),
        ({**IMAGE, "end": 1}, "not_for_images", "end"),
        ({**IMAGE, "logo_path": "l.png"}, "video_only", "logo_path"),
        ({**IMAGE, "text_animation_text": "x"}, "video_only", "text_animation_text"),
        ({"item_type": "intro", "path": "a", "logo_path": "l"}, "video_only", "logo_path"),
        ({**CLIP, "start": -1}, "greater_than_equal", "start"),
        ({**CLIP, "start": float("inf")}, "finite_number", "start"),
        ({**CLIP, "start": 5, "end": 5}, "trim_empty", "end"),
        ({**CLIP, "start": "5", "end": "3"}, "trim_empty", "end"),
        ({**CLIP, "text_animation_text": " \n "}, "text_empty", "text_animation_text"),
        ({**CLIP, "text_animation_text": "x" * 100}, "text_too_long", "text_animation_text"),
        ({**CLIP, "text_animation_text": ["x"]}, "string_type", "text_animation_text"),
        ({**CLIP, "position": 0}, "greater_than_equal", "position"),
        ({**CLIP, "text": "x"}, "extra_forbidden", "text"),
    ],
)
def test_a_wrong_field_of_an_item_is_named_with_its_place(
    item: dict[str, object], code: str, field: str
) -> None:
    found = {(one.code, one.field) for one in problems(document(CLIP, item))}
    assert (code, field) in found


def test_a_problem_names_the_items_place_what_is_wrong_and_what_to_do() -> None:
    assert (
        str(problem(CLIP, {"item_type": "video"}))
        == "item 2, path: is missing. Add path, or video_id."
    )


def test_a_misspelt_field_is_understood() -> None:
    assert problem({**CLIP, "logo_pth": "l.png"}).remedy == "Did you mean logo_path"


def test_an_unknown_field_brings_the_list_of_known_ones() -> None:
    remedy = problem(CLIP, zzzzzz=1).remedy
    assert "channel_name" in remedy
    assert "items" in remedy


@pytest.mark.parametrize("item", [None, "a.mp4", 7, [], ["a"]])
def test_what_is_no_list_of_fields_is_no_item(item: object) -> None:
    one = problem(CLIP, item)
    assert (one.code, one.position) == ("not_an_item", 2)


def test_every_problem_is_found_at_once_in_the_order_of_the_items() -> None:
    found = problems(
        {
            "items": [
                {**CLIP, "end": -1},
                {"item_type": "film", "path": "http://x"},
                IMAGE,
                {**IMAGE, "logo_path": "l.png"},
            ],
            "enable_4k": 5,
        }
    )
    places = [one.position or 0 for one in found]
    assert places == sorted(places)
    assert {one.position for one in found} == {None, 1, 2, 4}
    assert "channel_name" in {one.field for one in found}


def test_a_long_wrong_value_is_shown_shortened() -> None:
    assert len(problem(CLIP, enable_4k="x" * 10_000).message) < 200


def test_too_many_items_are_refused() -> None:
    (one,) = problems(document(*[CLIP] * (job_file.MOST_ITEMS + 1)))
    assert (one.code, one.field) == ("too_long", "items")


# Positions


@pytest.mark.parametrize(
    "positions",
    [
        [1, 1],
        ["1", "1"],
        [1, "1"],
        [1.0, 1.0],
        [2, 3, 2],
    ],
)
def test_two_items_can_not_have_one_position(positions: list[object]) -> None:
    found = problems(document(*({**CLIP, "position": one} for one in positions)))
    assert {one.code for one in found} == {"positions"}


def test_either_all_items_have_a_position_or_none() -> None:
    assert problem({**CLIP, "position": 2}, CLIP).code == "positions"


def test_a_position_of_null_is_no_position() -> None:
    found = problems(document({**CLIP, "position": None}, {**CLIP, "position": 1}))
    assert {one.code for one in found} == {"positions"}
    assert [one.position for one in parse({**CLIP, "position": None}, CLIP).items] == [1, 2]


# Files


def refused(path: Path) -> Problem:
    with pytest.raises(JobRejected) as caught:
        read_job(path)
    (one,) = caught.value.problems
    return one


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    one = refused(tmp_path / "job.yaml")
    assert one.code == "unreadable"
    assert "No such file" in one.message


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).code == "unreadable"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"channel_name: caf\xe9")
    assert refused(path).code == "not_text"


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    with path.open("wb") as file:
        file.truncate(job_file.LARGEST_FILE + 1)
    assert refused(path).code == "too_large"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.json", "{"),
        ("job.json", '{"channel_name": 1e999999999999, }'),
        ("job.yaml", "a: [1, 2"),
        ("job.yaml", "a: b: c"),
        ("job.yaml", "\tchannel_name: x"),
        ("job.yaml", "a: !!python/object/apply:os.system [true]"),
        ("job.yaml", "? [a]\n: b"),
        ("job.yaml", "a: 2001-99-99"),
        ("job.yaml", "channel_name: a\nchannel_name: b\n"),
        ("job.yaml", "{items: [], items: []}"),
        ("job.yaml", "[" * 5000),
        ("job.json", "[" * 100_000),
        ("job.yaml", 'a: !!int ""'),
        ("job.yaml", 'a: !!float ""'),
        ("job.yaml", "a: !!bool perhaps"),
        ("job.yaml", "a: !!timestamp tomorrow"),
        ("job.yaml", "!!map [a]"),
        ("job.yaml", "!!set [a]"),
        ("job.yaml", "a: \x01"),
    ],
)
def test_what_can_not_be_understood_is_refused(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert refused(path).code == "syntax"


def test_a_field_given_twice_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("channel_name: a\nitems: []\nchannel_name: b\n", encoding="utf-8")
    one = refused(path)
    assert "'channel_name' is given twice" in one.message
    assert "line 1" in one.message


def test_a_field_given_twice_is_refused_in_json_too(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text('{"channel_name": "a", "channel_name": "b", "items": []}', encoding="utf-8")
    assert "given twice" in refused(path).message


def test_yaml_may_say_once_what_many_items_share(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        """\
channel_name: Tests
items:
  - &clip {item_type: video, path: a.mp4, logo_path: mark.png}
  - {<<: *clip, path: b.mp4}
""",
        encoding="utf-8",
    )
    job = read_job(path)
    assert [(one.named, one.logo_path) for one in job.items] == [
        ("a.mp4", str(tmp_path / "mark.png")),
        ("b.mp4", str(tmp_path / "mark.png")),
    ]


# No input is trusted

HUGE = 10**5000
"""More digits than Python writes out."""


@pytest.mark.parametrize(
    "what",
    [
        document(CLIP, channel_name=HUGE),
        document(CLIP, job_id=HUGE),
        document({**CLIP, "position": HUGE}),
        document({**CLIP, "position": HUGE}, {**CLIP, "position": HUGE}),
        document({**CLIP, "position": -HUGE}),
        document({**CLIP, "item_type": HUGE, "logo_path": "x"}),
        document({**CLIP, "start": HUGE, "end": 1}),
        document({**IMAGE, "duration": HUGE}),
        {HUGE: HUGE},
    ],
)
def test_huge_numbers_are_refused_in_words(what: object) -> None:
    assert problems(what)


def test_a_deeply_nested_value_is_refused_in_words() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert problem(CLIP, channel_name=deep).field == "channel_name"


def test_a_value_that_holds_itself_is_refused_in_words() -> None:
    ring: list[object] = []
    ring.append(ring)
    assert problem(CLIP, channel_name=ring).field == "channel_name"


def test_a_value_that_unfolds_to_millions_is_not_unfolded(tmp_path: Path) -> None:
    """YAML's aliases make a tree of a million leaves out of a few lines."""
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 6)]
    path = tmp_path / "job.yaml"
    path.write_text("\n".join([*layers, "channel_name: *a5", "items: []"]), encoding="utf-8")
    tracemalloc.start()
    try:
        with pytest.raises(JobRejected):
            read_job(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "what",
    [
        document(CLIP, **{"\x1b[31mred\n": 1}),
        document({**CLIP, "\x1b[31mred\n": 1}),
        document({**CLIP, "item_type": "\x1b[31m\n", "logo_path": "x"}),
        document(CLIP, **{"\udce9": 1}),
    ],
)
def test_what_a_job_says_can_not_write_to_the_terminal(what: object) -> None:
    with pytest.raises(JobRejected) as caught:
        parse_job(what, FOLDER)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.problems)
    assert all(line.isprintable() for line in lines)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["\udce9", "~", "~x/y", "file://%00", "video", "image", "a.mp4", "1", ""]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.integers(), st.none()), inner, max_size=3
        ),
    ),
    max_leaves=10,
)
ITEM_FIELDS = st.sampled_from(sorted(job_file.ItemDocument.model_fields))
JOB_FIELDS = st.sampled_from(sorted(job_file.JobDocument.model_fields))
ITEMS = st.one_of(
    st.dictionaries(ITEM_FIELDS, VALUES, max_size=6).map(lambda own: {**CLIP, **own}),
    st.dictionaries(ITEM_FIELDS, VALUES, max_size=6),
    VALUES,
)
JOBS = st.one_of(
    VALUES,
    st.builds(
        lambda own, items: {**document(*items), **own},
        st.dictionaries(JOB_FIELDS, VALUES, max_size=2),
        st.lists(ITEMS, min_size=1, max_size=4),
    ),
)


@given(JOBS)
def test_whatever_a_document_holds_it_is_a_job_or_refused_in_words(what: object) -> None:
    try:
        job = parse_job(what, FOLDER)
    except JobRejected as rejected:
        assert rejected.problems
        assert all(one.message and one.remedy for one in rejected.problems)
    else:
        assert job.items
        positions = [one.position for one in job.items]
        assert positions == sorted(set(positions))
        assert all("\0" not in one.path and one.path.startswith("/") for one in job.items)
        for one in job.items:
            assert one.end is None or one.end > (one.start or 0)


@given(st.one_of(st.text(max_size=200), JOBS.map(lambda value: json.dumps(value, default=str))))
def test_whatever_a_file_holds_it_is_a_job_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("any.yaml", "any.json"):
        path = folder / name
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read_job(path)
        except JobRejected as rejected:
            assert rejected.problems
