"""The command line: what each command says, to people and to programs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reelyard.cli.main import app
from tests.acceptance.station import Station, sha256, station
from tests.conftest import Cli, Clips

WriteJob = Callable[..., Path]


def commands() -> list[tuple[str, ...]]:
    """Every command and group of commands."""
    groups: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    found = []
    while groups:
        path, command = groups.pop()
        found.append(path)
        groups += [((*path, name), one) for name, one in getattr(command, "commands", {}).items()]
    return sorted(found)


@pytest.fixture
def short(clips: Clips) -> Path:
    return clips.video("cli-short.mp4", seconds=0.2)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Station]:
    yield from station(tmp_path)


def items_of_every_kind(clips: Clips) -> list[dict[str, Any]]:
    loud = clips.video("cli-loud.mp4", seconds=1, rate="25", size="180x320")
    mute = clips.video("cli 'mute' $HOME.mp4", seconds=0.4, sound=False)
    logo = clips.picture("cli-logo.png", size="60x60")
    return [
        {"item_type": "intro", "path": mute},
        {"item_type": "video", "path": loud, "text_animation_text": "It's {50%} \\ 'ok' Ünïté",
         "logo_path": logo},
        {"item_type": "image", "path": clips.picture("cli.jpg"), "duration": 0.3},
        {"item_type": "video", "path": loud, "start": 0.2, "end": 0.8},
        {"item_type": "outro", "path": mute},
    ]  # fmt: skip


@pytest.mark.parametrize("command", commands(), ids=lambda one: " ".join(one) or "reelyard")
def test_every_command_has_help(cli: Cli, command: tuple[str, ...]) -> None:
    for option in ("--help", "-h"):
        done = cli(*command, option, afresh=not command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage" in done.stdout and len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize(
    "wrong",
    [
        ["nonsense"],
        ["render"],
        ["render", "job.yaml"],
        ["render", "job.yaml", "-o", "film.mp4", "--jobs", "0"],
        ["render", "job.yaml", "-o", "film.mp4", "--jobs", "many"],
        ["plan", "job.yaml", "--nonsense"],
        ["cache", "burn"],
    ],
)
def test_a_wrong_command_line_is_bad_input(cli: Cli, wrong: list[str]) -> None:
    done = cli(*wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr and "Traceback" not in done.stderr


def test_the_plan_is_a_table_of_items_with_what_is_cached(
    cli: Cli, write_job: WriteJob, clips: Clips, tmp_path: Path
) -> None:
    job, wide = write_job(*items_of_every_kind(clips)), {**os.environ, "COLUMNS": "160"}
    before = cli("plan", job, env=wide)
    assert (before.returncode, before.stderr) == (0, "")
    assert "cached: 0 % of the picture, no sound" in before.stdout
    for text in ("intro", "silence", "to render", "It's {50%} \\ 'ok' Ünïté"):
        assert text in before.stdout
    assert not (tmp_path / "cache" / "entries").exists(), "a plan renders nothing"
    assert cli("render", job, "-o", tmp_path / "film.mp4").returncode == 0
    assert "cached: 100 % of the picture, sound" in cli("plan", job, env=wide).stdout


def test_the_plan_in_json_adds_up(cli: Cli, write_job: WriteJob, clips: Clips) -> None:
    job = write_job(*items_of_every_kind(clips))
    environment = {**os.environ, "REELYARD_SEGMENT_SECONDS": "0.25"}
    done = cli("plan", job, "--json", env=environment)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    plan = json.loads(done.stdout)
    assert [item["frames"] for item in plan["items"]] == [12, 30, 9, 18, 12]
    assert plan["frames"] == 12 + 30 + 9 + 18 + 12
    start = 0
    for position, item in enumerate(plan["items"], 1):
        assert (item["position"], item["start"]) == (position, start)
        at = 0
        for segment in item["picture"]:
            assert segment["frames"]["start"] == at and not segment["cached"]
            at = segment["frames"]["end"]
            assert at - segment["frames"]["start"] <= 8
        assert at == item["frames"]
        assert item["sound"]["samples"] == 1600 * item["frames"]
        start += at
    assert cli("plan", job, "--json", env=environment).stdout == done.stdout


def test_the_plans_script_makes_the_same_film(
    cli: Cli, write_job: WriteJob, clips: Clips, tmp_path: Path
) -> None:
    job = write_job(*items_of_every_kind(clips), loudness=True, chapters=True)
    environment = {**os.environ, "REELYARD_SEGMENT_SECONDS": "0.5"}
    script = cli("plan", job, "--ffmpeg", env=environment)
    assert (script.returncode, script.stderr) == (0, "")
    elsewhere = tmp_path / "by hand's"
    elsewhere.mkdir()
    ran = subprocess.run(
        ["bash"], input=script.stdout, cwd=elsewhere, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    output = tmp_path / "film.mp4"
    assert cli("render", job, "-o", output, env=environment).returncode == 0
    assert sha256(elsewhere / "reelyard-work" / "film.mp4") == sha256(output)


def test_the_plans_script_keeps_odd_names_and_texts_as_they_are(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\n'$(touch x)'\xff.mp4"))
    odd.write_bytes(short.read_bytes())
    named = "file://" + str(tmp_path) + "/a%0A'$(touch%20x)'%FF.mp4"
    text = "'; touch x; $(touch x) `touch x` %s \\n"
    job = write_job({"item_type": "video", "path": named, "text_animation_text": text})
    script = cli("plan", job, "--ffmpeg")
    assert script.returncode == 0, script.stderr
    ran = subprocess.run(
        ["bash"], input=script.stdout, cwd=tmp_path, capture_output=True, text=True, check=False,
        errors="surrogateescape",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert cli("render", job, "-o", tmp_path / "film.mp4").returncode == 0
    assert sha256(tmp_path / "reelyard-work" / "film.mp4") == sha256(tmp_path / "film.mp4")
    assert not list(tmp_path.rglob("x"))


def test_the_commands_in_the_log_can_be_run_again(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job = write_job({"item_type": "video", "path": short}, job_id="12345678-1234-5678-1234-567812345678")  # fmt: skip
    done = cli("render", job, "-o", tmp_path / "film.mp4", "--json")
    folder = Path(json.loads(done.stdout.splitlines()[-1])["log_folder"])
    assert folder.name == "Tests_12345678-1234-5678-1234-567812345678"
    lines = (folder / "ffmpeg_cmd.txt").read_text().splitlines()
    assert len(lines) >= 4
    for line in lines:
        subprocess.run(["bash", "-n"], input=line, text=True, check=True)
    log = (folder / "job.log").read_text()
    for word in ("planned 1 items, 6 frames", "rendered item 1", "joined", "verified 6 frames", "done in"):  # fmt: skip
        assert word in log
    assert (folder / "ffmpeg_stderr.txt").stat().st_size > 0


def test_the_cache_is_shown_and_cleared(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    empty = json.loads(cli("cache", "show", "--json").stdout)
    assert (empty["entries"], empty["bytes"]) == (0, 0)
    job = write_job({"item_type": "video", "path": short})
    assert cli("render", job, "-o", tmp_path / "film.mp4").returncode == 0
    shown = json.loads(cli("cache", "show", "--json").stdout)
    files = [path for path in (tmp_path / "cache" / "entries").rglob("*") if path.is_file()]
    held = [path for path in files if path.suffix not in (".json", ".stamp")]  # what goes with them
    assert shown == {
        "folder": str(tmp_path / "cache"), "entries": len(held), "limit": 50_000_000_000,
        "bytes": sum(path.stat().st_size for path in held),
        "copies_folder": str(tmp_path / "cache"), "copies": 0, "copies_bytes": 0,
        "copies_limit": 100_000_000_000,
    }  # fmt: skip
    assert f"{tmp_path / 'cache'}: {len(held)} files" in cli("cache", "show").stdout
    assert json.loads(cli("cache", "clear", "--json").stdout) == {"dropped": len(held)}
    assert json.loads(cli("cache", "show", "--json").stdout)["entries"] == 0
    assert (tmp_path / "film.mp4").exists()
    assert "dropped 0 files" in cli("cache", "clear").stdout


def test_the_doctor_finds_this_machine_fit(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    verdicts = {one["what"]: one["verdict"] for one in told["findings"]}
    assert verdicts["FFmpeg"] == verdicts["filters"] == verdicts["libx264"] == "ok"
    assert "failed" not in verdicts.values()
    assert told["settings"]["REELYARD_CACHE_DIR"] == str(tmp_path / "cache")
    words = cli("doctor")
    assert words.returncode == 0 and "libx264" in words.stdout
    assert f"REELYARD_CACHE_DIR = {tmp_path / 'cache'}" in words.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FFMPEG", "/nowhere/ffmpeg"),
        ("FFMPEG", "/bin/true"),
        ("FFMPEG", "/bin/false"),
        ("CACHE_DIR", "/proc/cache"),
        ("LOG_DIR", "/dev/null/logs"),
        ("MEDIA_ROOTS", "/nowhere"),
    ],
)
def test_the_doctor_names_what_fails_and_what_to_do(cli: Cli, name: str, value: str) -> None:
    done = cli("doctor", "--json", env={**os.environ, f"REELYARD_{name}": value})
    assert (done.returncode, done.stderr) == (1, ""), done.stderr
    failed = [one for one in json.loads(done.stdout)["findings"] if one["verdict"] == "failed"]
    assert failed and all(one["message"] and one["remedy"] for one in failed)


def test_progress_only_grows_and_is_complete_when_the_film_is_there(
    yard: Station, clips: Clips
) -> None:
    run = yard.start(yard.write_job(*items_of_every_kind(clips)))
    film = yard.out / "film.mp4"
    assert run.reached("verifying")
    assert not film.exists() or run.reached("done")
    assert run.reached("done") and film.exists()
    assert run.ended() == 0
    steps = [event for event in run.events if event["event"] == "progress"]
    assert len(steps) + 1 == len(run.events) and run.events[-1]["event"] == "done"
    for name in ("percent", "frames_done", "elapsed"):
        values = [step[name] for step in steps]
        assert values == sorted(values), name
    assert [step["percent"] == 100 for step in steps] == [step is steps[-1] for step in steps]
    assert steps[-1]["frames_done"] == steps[-1]["frames_total"] == 81
    stages = list(dict.fromkeys(step["stage"] for step in steps))
    assert stages == ["probing", "rendering", "joining", "verifying", "publishing", "done"]


def test_progress_only_grows_although_an_item_is_left_out(
    yard: Station, clips: Clips, short: Path, tmp_path: Path
) -> None:
    from tests.acceptance.spoiled import scrambled

    damaged = scrambled(clips.video("cli-2.mp4", seconds=2), tmp_path / "scrambled.mp4")
    job = yard.write_job(
        {"item_type": "video", "path": clips.video("cli-loud.mp4", seconds=1)},
        {"item_type": "video", "path": damaged}, {"item_type": "video", "path": short},
        on_bad_item="skip",
    )  # fmt: skip
    run = yard.start(job)
    assert run.ended() == 0, (run.events[-1], run.said)
    values = [event["percent"] for event in run.events if event["event"] == "progress"]
    assert values == sorted(values)


def test_the_report_says_what_was_made_of_what(
    cli: Cli, write_job: WriteJob, clips: Clips, tmp_path: Path
) -> None:
    items = items_of_every_kind(clips)
    job = write_job(*items, loudness=True)
    output = tmp_path / "film.mp4"
    done = cli("render", job, "-o", output, "--json", "--encoder", "libx264")
    assert done.returncode == 0, done.stdout
    event = json.loads(done.stdout.splitlines()[-1])
    report = json.loads((tmp_path / "film.report.json").read_bytes())
    assert event["report"] == str(tmp_path / "film.report.json")
    assert (report["output"], report["channel_name"]) == (str(output), "Tests")
    assert report["features_used"] == ["logo_overlay", "text_animation", "image_slides"]
    assert (report["video_count"], report["encoder"]) == (2, "libx264")
    assert report["total_duration"] == pytest.approx(81 / 30)
    assert report["processing_time"] > 0
    assert [item["source"] for item in report["items"]] == [str(item["path"]) for item in items]
    assert [item["silent"] for item in report["items"]] == [True, False, True, False, True]
    measured = report["measured"]
    assert (measured["width"], measured["height"], measured["frames"]) == (1920, 1080, 81)
    assert (measured["samples"], measured["channels"]) == (81 * 1600, 2)
    assert (measured["profile"], measured["level"]) == ("Main", "4.1")
    assert -70 < report["loudness"]["integrated"] < 0 and report["loudness"]["true_peak"] <= -1
    assert report["cache"] == {"taken": 0, "rendered": event["rendered"], "by_helpers": 0}
    again = cli("render", job, "-o", output, "--json", "--encoder", "libx264")
    assert json.loads(again.stdout.splitlines()[-1])["rendered"] == 0


def test_what_was_made_is_named_to_people(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job = write_job({"item_type": "video", "path": short})
    done = cli("render", job, "-o", "out/film.mp4", afresh=True)
    assert done.returncode == 0
    folder = tmp_path / "out"
    made = {path.name for path in folder.iterdir()}
    assert made == {"film.mp4", "film.report.json", "film.contact-sheet.jpg"}
    assert all(str(folder / name) in done.stdout for name in made)


def test_chapters_are_listed_as_a_video_description_wants_them(
    cli: Cli, write_job: WriteJob, clips: Clips, short: Path, tmp_path: Path
) -> None:
    still = {"item_type": "image", "path": clips.picture("grey.png", size="64x36"), "duration": 10}
    titles = ["One: the first", "Two\n& [a|b]", "Three 🎬"]
    videos = [{"item_type": "video", "path": short, "text_animation_text": one} for one in titles]
    videos[2].pop("text_animation_text")
    job = write_job(still, videos[0], videos[1], still, videos[2], still, chapters=True)
    done = cli("render", job, "-o", tmp_path / "film.mp4", "--json")
    assert done.returncode == 0, done.stdout
    listed = (tmp_path / "film.chapters.txt").read_text().splitlines()
    assert listed == ["0:00 Intro", "0:10 One: the first / Two & [a|b]", "0:20 cli-short"]
    event = json.loads(done.stdout.splitlines()[-1])
    assert event["chapters"] == str(tmp_path / "film.chapters.txt")
    assert not any("YouTube" in warning for warning in event["warnings"])


def test_too_few_chapters_are_remarked_upon(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job = write_job({"item_type": "video", "path": short}, chapters=True)
    done = cli("render", job, "-o", tmp_path / "film.mp4")
    assert done.returncode == 0
    assert "YouTube shows chapters only where there are three or more" in done.stdout
    assert (tmp_path / "film.chapters.txt").read_text() == "0:00 cli-short\n"


def test_a_job_file_in_yaml_means_the_same_as_in_json(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    as_json = write_job({"item_type": "video", "path": short, "start": 0.1, "position": 1})
    as_yaml = tmp_path / "job.yml"
    as_yaml.write_text(
        "\ufeff# a comment\nchannel_name: Tests\nitems:\n"
        f"  - {{item_type: video, path: '{short}', start: 0.1, position: 1}}\n",
        encoding="utf-8",
    )
    plans = [cli("plan", path, "--json") for path in (as_json, as_yaml)]
    assert plans[0].stdout == plans[1].stdout and plans[0].returncode == 0


def test_items_are_shown_in_the_order_of_their_positions(
    cli: Cli, write_job: WriteJob, clips: Clips, short: Path
) -> None:
    other = clips.video("cli-loud.mp4", seconds=1)
    job = write_job(
        {"item_type": "outro", "path": short, "position": 30},
        {"item_type": "intro", "path": other, "position": 10},
    )
    plan = json.loads(cli("plan", job, "--json").stdout)
    assert [(item["position"], item["item_type"]) for item in plan["items"]] == [
        (10, "intro"), (30, "outro"),
    ]  # fmt: skip


def test_the_doctor_names_settings_that_are_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELYARD_JOB", "2")
    done = cli("doctor")
    assert done.returncode == 0
    assert "REELYARD_JOB is not a setting" in done.stdout


def test_an_encoder_that_nobody_knows_is_refused_with_those_that_are(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    job = write_job({"item_type": "video", "path": short})
    done = cli("render", job, "-o", tmp_path / "film.mp4", "--encoder", "x265")
    assert done.returncode == 2
    assert "h264_nvenc, libx264" in done.stderr


def test_fewer_bits_than_allowed_are_no_warning(
    cli: Cli, write_job: WriteJob, clips: Clips, tmp_path: Path
) -> None:
    job = write_job({"item_type": "image", "path": clips.picture("quiet.png"), "duration": 1})
    done = cli("render", job, "-o", tmp_path / "film.mp4")
    assert "warning" not in done.stdout
    report = json.loads((tmp_path / "film.report.json").read_text())
    assert report["warnings"] == [] and len(report["remarks"]) == 2


def test_a_draft_of_some_items_is_planned_rendered_and_submitted_alike(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    """Options go before the file; each command says that it is not the whole film. Others' clips may not exist."""
    clip = {"item_type": "video", "path": short}
    job = write_job(clip, {**clip, "path": "/no/such.mp4"}, clip, clip, first_item=2)
    wanted = ("--draft", "--item-seconds", "0.1", "--items", "3-4")
    fields = {"draft": True, "item_seconds": 0.1, "first_item": 3, "last_item": 4}
    said = "draft of 0.1 s of each item, items 3-4"
    plan = json.loads(cli("plan", job, *wanted, "--json").stdout)
    assert ([item["position"] for item in plan["items"]], plan["frames"]) == ([3, 4], 6)
    assert plan["encoding"]["encoder"] == "libx264"
    assert {name: plan[name] for name in fields} == fields
    assert f"not the whole film: {said}" in cli("plan", job, *wanted).stdout
    done = cli("render", job, *wanted, "-o", tmp_path / "draft.mp4", "--json")
    *_, made = map(json.loads, done.stdout.splitlines())
    assert {name: made[name] for name in fields} == fields
    assert f"360p draft ({said})" in cli("render", job, *wanted, "-o", tmp_path / "d.mp4").stdout
    farm = {**os.environ, "REELYARD_DATABASE_URL": f"sqlite:///{tmp_path / 'farm.db'}",
            "REELYARD_REDIS_URL": "redis://127.0.0.1:1/0"}  # fmt: skip
    submitted = json.loads(cli("submit", job, *wanted, "--json", env=farm).stdout)
    state = json.loads(cli("status", submitted["job_id"], "--json", env=farm).stdout)
    assert {name: state[name] for name in fields} == fields
    assert f"of film ({said}) in default_queue" in cli("status", state["job_id"], env=farm).stdout
    assert said in cli("status", "--once", env={**farm, "COLUMNS": "200"}).stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--items", "2-9"], "last_item: is 9, and the items are 1 to 2"),
        (["--items", "2-1"], "last_item: is 1, which comes before first_item, 2"),
        (["--items", "two"], "--items two names no items"),
        (["--item-seconds", "2"], "item_seconds: is for drafts"),
        (["--draft", "--item-seconds", "0"], "item_seconds"),
    ],
)
def test_what_makes_no_sense_of_a_film_is_refused(
    cli: Cli, write_job: WriteJob, short: Path, options: list[str], says: str
) -> None:
    clip = {"item_type": "video", "path": short}
    done = cli("plan", write_job(clip, clip), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
