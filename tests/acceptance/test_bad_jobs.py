"""Bad jobs, outputs and settings through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import spoiled
from tests.conftest import Cli, Clips

from .refusals import entries, error_of, refused

Done = subprocess.CompletedProcess[str]
WriteJob = Callable[..., Path]

WRONG_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("no type", {"path": "a.mp4"}, "item_type"),
    ("unknown type", {"item_type": "clip", "path": "a.mp4"}, "item_type"),
    ("misspelt field", {"item_type": "video", "path": "a.mp4", "logo_paht": "b.png"}, "logo_path"),
    ("no path", {"item_type": "video"}, "path"),
    ("empty path", {"item_type": "video", "path": ""}, "path"),
    ("path is a number", {"item_type": "video", "path": 7}, "path"),
    ("zero byte", {"item_type": "video", "path": "a\0b"}, "path"),
    ("zero byte in an address", {"item_type": "video", "path": "file:///a%00b"}, "path"),
    ("two sources", {"item_type": "video", "path": "a.mp4", "video_id": "a"}, "video_id"),
    (
        "logo on an intro",
        {"item_type": "intro", "path": "a.mp4", "logo_path": "b.png"},
        "logo_path",
    ),
    (
        "text on an image",
        {"item_type": "image", "path": "a.jpg", "text_animation_text": "x"},
        "text_animation_text",
    ),
    ("duration of a clip", {"item_type": "video", "path": "a.mp4", "duration": 3}, "duration"),
    ("trim of an image", {"item_type": "image", "path": "a.jpg", "start": 3}, "start"),
    ("no duration", {"item_type": "image", "path": "a.jpg", "duration": 0}, "duration"),
    ("negative duration", {"item_type": "image", "path": "a.jpg", "duration": -1}, "duration"),
    ("endless duration", {"item_type": "image", "path": "a.jpg", "duration": 1e9}, "duration"),
    ("duration in words", {"item_type": "image", "path": "a.jpg", "duration": "long"}, "duration"),
    ("negative start", {"item_type": "video", "path": "a.mp4", "start": -1}, "start"),
    ("end before start", {"item_type": "video", "path": "a.mp4", "start": 5, "end": 5}, "end"),
    ("the same as text", {"item_type": "video", "path": "a.mp4", "start": "5", "end": "4"}, "end"),
    (
        "text too long",
        {"item_type": "video", "path": "a.mp4", "text_animation_text": "x" * 100},
        "text_animation_text",
    ),
    (
        "text of nothing",
        {"item_type": "video", "path": "a.mp4", "text_animation_text": " \n "},
        "text_animation_text",
    ),
]


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_every_wrong_field_is_named_at_once_with_its_place_and_a_remedy(
    cli: Cli, tmp_path: Path, suffix: str
) -> None:
    items = [*(item for _, item, _ in WRONG_FIELDS), "just a word", None]
    document = {"channel_name": " ", "enable_4k": "perhaps", "colour": "red", "items": items}
    path = tmp_path / f"job{suffix}"
    path.write_text(json.dumps(document))  # which is YAML, too
    output = tmp_path / "film.mp4"
    told = refused(cli("render", path, "-o", output), output)
    for field in ("channel_name", "enable_4k", "colour"):
        assert any(line.startswith(f"job, {field}: ") for line in told), (field, told)
    for position, (name, _, field) in enumerate(WRONG_FIELDS, 1):
        about = [
            line for line in told if line.startswith((f"item {position},", f"item {position}:"))
        ]
        assert len(about) == 1 and field in about[0], (name, about)
        assert about[0].count(". ") >= 1, about[0]
    for position in (len(items) - 1, len(items)):
        assert [line for line in told if line.startswith(f"item {position}:")], told
    assert len(told) == len(items) + 3


BROKEN_FILES = {
    "empty.yaml": "",
    "empty.json": "",
    "word.yaml": "hello",
    "list.json": "[1, 2]",
    "null.json": "null",
    "no-items.yaml": "channel_name: x",
    "empty-items.yaml": "channel_name: x\nitems: []",
    "items-map.yaml": "channel_name: x\nitems: {a: b}",
    "tabs.yaml": "channel_name:\t- x\n\t- y",
    "half.json": '{"channel_name": "x", "items": [',
    "python.yaml": "!!python/object/apply:os.system ['touch x']",
    "deep.json": "[" * 50_000,
    "deep.yaml": "[" * 5_000,
    "anchor.yaml": "channel_name: x\nitems: &a [*a]",
    "nan.json": '{"channel_name": "x", "items": [{"item_type": "image", "path": "a", "duration": NaN}]}',
    "inf.yaml": "channel_name: x\nitems: [{item_type: image, path: a, duration: .inf}]",
    "long-number.json": '{"channel_name": ' + "9" * 5000 + ', "items": []}',
    "long-hex.yaml": "channel_name: 0x" + "f" * 5000 + "\nitems: [{item_type: image, path: a}]",
    "date.yaml": "channel_name: 2024-02-30\nitems: []",
    "surrogate.json": '{"channel_name": "\\ud800", "items": [{"item_type": "video", "path": "\\udcff"}]}',
    "bytes.yaml": "channel_name: !!binary aGVsbG8=\nitems: [{item_type: image, path: a}]",
    "laughs.yaml": "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "channel_name: *i\nitems: [*i]\n",
}  # fmt: skip


GIVEN_TWICE = {
    "job.yaml": "channel_name: x\nchannel_name: x\nitems: [{item_type: video, path: PATH}]",
    "item.yaml": "channel_name: x\nitems: [{item_type: video, path: PATH, path: PATH}]",
    "quoted.yaml": "channel_name: x\nitems: [{item_type: video, path: PATH, 'path': PATH}]",
    "job.json": '{"channel_name": "x", "channel_name": "x", "items": [{"item_type": "video", "path": "PATH"}]}',
    "item.json": '{"channel_name": "x", "items": [{"item_type": "video", "path": "PATH", "path": "PATH"}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN_TWICE)
def test_a_field_given_twice_is_refused(cli: Cli, short: Path, tmp_path: Path, name: str) -> None:
    path, output = tmp_path / name, tmp_path / "film.mp4"
    path.write_text(GIVEN_TWICE[name].replace("PATH", str(short)))
    [line] = refused(cli("render", path, "-o", output), output)
    assert "twice" in line and ("path" in line or "channel_name" in line)


FRUGAL = 4 << 30  # bytes: a job file is no reason to take all of the memory


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_job_file_is_explained(cli: Cli, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(BROKEN_FILES[name])
    output = tmp_path / "film.mp4"
    told = refused(cli("render", path, "-o", output, timeout=20, memory=FRUGAL), output)
    assert 1 <= len(told) <= 20 and all(line.isprintable() and len(line) < 2000 for line in told)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b"\xff\xfe\x00channel"),
        lambda path: path.write_bytes(b"\0" * 20_000_000),
    ],
    ids=["missing", "folder", "no text", "too large"],
)
def test_a_job_file_that_is_none_is_explained(
    cli: Cli, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    path, output = tmp_path / "job.yaml", tmp_path / "film.mp4"
    make(path)
    [line] = refused(cli("render", path, "-o", output), output)
    assert line.startswith("job: ")


@pytest.mark.parametrize("positions", [(1, 1), (1, None), (0, 1), ("1", 1), ("1", "1"), (1.5, 2)])
def test_positions_have_to_be_different_whole_numbers_for_all_or_for_none(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path, positions: tuple[object, object]
) -> None:
    items = [
        {"item_type": "video", "path": short, **({} if one is None else {"position": one})}
        for one in positions
    ]
    output = tmp_path / "film.mp4"
    told = refused(cli("render", write_job(*items), "-o", output), output)
    assert any("position" in line for line in told)


def test_stills_clips_and_trims_that_do_not_fit_are_named(
    cli: Cli, write_job: WriteJob, clip: Path, photo: Path, tmp_path: Path
) -> None:
    job = write_job(
        {"item_type": "video", "path": photo},
        {"item_type": "image", "path": clip},
        {"item_type": "video", "path": clip, "start": 1},
        {"item_type": "video", "path": clip, "start": 50},
        {"item_type": "video", "path": clip, "end": 1.2},
        {"item_type": "video", "path": clip, "start": 0.5, "end": 1e300},
        {"item_type": "video", "path": clip, "logo_path": clip},
    )
    output = tmp_path / "film.mp4"
    told = refused(cli("render", job, "-o", output), output)
    fields = ["item_type", "item_type", "start", "start", "end", "end", "logo_path"]
    assert [line.split(", ")[:2] for line in told] == [
        [f"item {n}", field] for n, field in enumerate(fields, 1)
    ]


def test_an_output_that_cannot_be_made_is_bad_input(
    cli: Cli, write_job: WriteJob, short: Path, photo: Path, tmp_path: Path
) -> None:
    source, linked, image = tmp_path / "source.mp4", tmp_path / "linked.mp4", tmp_path / "a.contact-sheet.jpg"  # fmt: skip
    source.write_bytes(short.read_bytes())
    linked.symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    image.write_bytes(photo.read_bytes())
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    items = (
        {"item_type": "video", "path": source},
        {"item_type": "image", "path": image, "duration": 0.1},
    )
    job = write_job(*items)
    as_report = write_job(*items, name="b.report.json")
    before = {path: path.read_bytes() for path in (source, image, job, as_report)}
    outputs = [
        source, linked, tmp_path / "hard.mp4", tmp_path / "folder.mp4", tmp_path / "film.mov",
        tmp_path / "film", tmp_path / ".mp4", job, source / "film.mp4", tmp_path / "locked" / "film.mp4",
        tmp_path / "closed" / "film.mp4", tmp_path / ("x" * 300 + ".mp4"), tmp_path / "loop.mp4",
        tmp_path / "a.mp4",
    ]  # fmt: skip
    wrong = {}
    for output, file in [*((one, job) for one in outputs), (tmp_path / "b.mp4", as_report)]:
        done = cli("render", file, "-o", output, powerless=True)
        one_line = done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
        if done.returncode != 2 or not one_line:
            wrong[output.name[-20:]] = (done.returncode, done.stderr[-300:])
    assert not wrong, json.dumps(wrong, indent=1)
    assert {path: path.read_bytes() for path in before} == before


def test_an_encoder_that_does_not_work_here_is_bad_input(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job, output = write_job({"item_type": "video", "path": short}), tmp_path / "film.mp4"
    for encoder in ("h264_nvenc", "libx265000", "-x"):
        done = cli("render", job, "-o", output, f"--encoder={encoder}", "--json",
                   env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})  # fmt: skip
        assert done.returncode == 2, (encoder, done.stdout, done.stderr)
        error = error_of(done)
        assert (error["code"], output.exists()) == ("encoder_unavailable", False)
        assert error["remedy"] and (encoder in error["message"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBS", "many"),
        ("JOBS", "0"),
        ("CACHE_LIMIT_GB", "-1"),
        ("CACHE_LIMIT_GB", "inf"),
        ("SEGMENT_SECONDS", "0"),
        ("SEGMENT_SECONDS", "nan"),
        ("STALL_SECONDS", "soon"),
        ("STALL_SECONDS", "nan"),
        ("FFMPEG", "/nowhere/ffmpeg"),
        ("FFMPEG", "/etc/passwd"),
        ("FFMPEG", "/"),
        ("FFMPEG", "/bin/true"),
        ("ENCODER", "h265_wonder"),
        ("CACHE_DIR", "/dev/null/cache"),
        ("CACHE_DIR", "/proc/cache"),
        ("LOG_DIR", "/dev/null/logs"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path, name: str, value: str
) -> None:
    job, output = write_job({"item_type": "video", "path": short}), tmp_path / "film.mp4"
    environment = {**os.environ, f"REELYARD_{name}": value}
    [line] = refused(cli("render", job, "-o", output, env=environment), output)
    assert "REELYARD_" in line or name == "ENCODER"
    assert line.count(". ") >= 1


def test_sources_outside_the_media_roots_are_refused(
    cli: Cli, write_job: WriteJob, short: Path, photo: Path, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-but-not-it"
    root.mkdir()
    outside.mkdir()
    (root / "good.mp4").write_bytes(short.read_bytes())
    (outside / "secret.mp4").write_bytes(short.read_bytes())
    (outside / "logo.png").write_bytes(photo.read_bytes())
    (root / "link.mp4").symlink_to(outside / "secret.mp4")
    (root / "folder").symlink_to(outside)
    (root / "loop.mp4").symlink_to(root / "loop.mp4")
    bad = [
        outside / "secret.mp4", root / "link.mp4", root / "folder" / "secret.mp4",
        f"{root}/../{outside.name}/secret.mp4", f"{root.name}/../{outside.name}/secret.mp4",
        outside / "missing.mp4", "/etc/passwd", f"file://{outside}/secret.mp4", root / "loop.mp4",
    ]  # fmt: skip
    logo = {"item_type": "video", "path": root / "good.mp4", "logo_path": outside / "logo.png"}
    job = write_job(logo, *({"item_type": "video", "path": path} for path in bad))
    environment = {**os.environ, "REELYARD_MEDIA_ROOTS": f"{root}:/nowhere"}
    output = tmp_path / "film.mp4"
    done = cli("render", job, "-o", output, "--json", env=environment)
    assert done.returncode == 2, done.stderr
    problems = {one["position"]: one["code"] for one in error_of(done)["problems"]}
    assert problems.keys() == set(range(1, len(bad) + 2))
    assert all(problems[n] == "outside_roots" for n in range(1, 9)), problems
    assert not output.exists()
    good = write_job({"item_type": "video", "path": f"{root}/../root/good.mp4"})
    assert cli("render", good, "-o", output, env=environment).returncode == 0


def test_a_source_allowed_once_is_refused_once_the_roots_exclude_it(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job = write_job({"item_type": "video", "path": short})
    assert cli("plan", job).returncode == 0
    environment = {**os.environ, "REELYARD_MEDIA_ROOTS": str(tmp_path)}
    assert cli("plan", job, env=environment).returncode == 2


def test_skip_leaves_out_what_is_bad_and_renders_the_rest(
    cli: Cli, write_job: WriteJob, clips: Clips, clip: Path, short: Path, tmp_path: Path
) -> None:
    damaged = spoiled.scrambled(
        clips.video("bad-input-2.mp4", seconds=2), tmp_path / "scrambled.mp4"
    )
    (tmp_path / "text.mp4").write_text("no film")
    job = write_job(
        {"item_type": "intro", "path": short},
        {"item_type": "video", "path": tmp_path / "missing.mp4"},
        {"item_type": "video", "path": damaged},
        {"item_type": "video", "path": tmp_path / "text.mp4"},
        {"item_type": "outro", "path": clip, "end": 0.5},
        on_bad_item="skip",
    )
    output = tmp_path / "film.mp4"
    done = cli("render", job, "-o", output, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "film.report.json").read_bytes())
    assert [item["position"] for item in report["items"]] == [1, 5]
    assert report["measured"]["frames"] == 6 + 15
    told = json.loads(done.stdout.splitlines()[-1])["warnings"]
    for position, name in ((2, "missing.mp4"), (3, "scrambled.mp4"), (4, "text.mp4")):
        about = [line for line in told if line.startswith(f"item {position}") and name in line]
        assert len(about) == 1 and "left out" in about[0], told


def test_without_skip_a_damaged_clip_refuses_the_job_and_what_was_rendered_is_kept(
    cli: Cli, write_job: WriteJob, clips: Clips, short: Path, tmp_path: Path
) -> None:
    damaged = spoiled.scrambled(
        clips.video("bad-input-2.mp4", seconds=2), tmp_path / "scrambled.mp4"
    )
    items = ({"item_type": "video", "path": short}, {"item_type": "video", "path": damaged})
    output = tmp_path / "film.mp4"
    assert cli("render", write_job(items[0]), "-o", tmp_path / "one.mp4").returncode == 0
    kept = entries(tmp_path / "cache")
    done = cli("render", write_job(*items), "-o", output)
    assert "item 2, path, " in refused(done, output)[0]
    found = entries(tmp_path / "cache")
    assert {path: found.get(path) for path in kept} == kept


@pytest.mark.parametrize("how", ["missing", "scrambled"])
def test_a_job_of_nothing_but_bad_items_is_refused_even_with_skip(
    cli: Cli, write_job: WriteJob, clips: Clips, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "bad.mp4"
    if how == "scrambled":
        spoiled.scrambled(clips.video("bad-input-2.mp4", seconds=2), path)
    job = write_job(
        {"item_type": "video", "path": path}, {"item_type": "video", "path": path, "end": 0.9},
        on_bad_item="skip",
    )  # fmt: skip
    output = tmp_path / "film.mp4"
    told = refused(cli("render", job, "-o", output), output)
    assert [line.split(",")[0] for line in told] == ["item 1", "item 2"]


def test_an_error_in_json_is_one_line_with_every_problem(
    cli: Cli, write_job: WriteJob, tmp_path: Path
) -> None:
    job = write_job(*({"item_type": "video", "path": f"missing-{n}.mp4"} for n in range(3)))
    done = cli("render", job, "-o", tmp_path / "film.mp4", "--json")
    error = error_of(done)
    assert (done.returncode, done.stderr) == (2, "")
    assert error["code"] == "job_rejected"
    assert [(one["position"], one["field"], one["file"]) for one in error["problems"]] == [
        (n + 1, "path", f"missing-{n}.mp4") for n in range(3)
    ]
    plan = cli("plan", job, "--json")
    assert (plan.returncode, error_of(plan)["problems"]) == (2, error["problems"])


def test_probing_a_great_many_bad_files_takes_no_time(
    cli: Cli, write_job: WriteJob, tmp_path: Path
) -> None:
    job = write_job(*({"item_type": "video", "path": f"missing-{n}.mp4"} for n in range(2000)))
    begun = time.monotonic()
    told = refused(cli("render", job, "-o", tmp_path / "f.mp4"), tmp_path / "f.mp4")
    assert len(told) == 2000 and time.monotonic() - begun < 20
