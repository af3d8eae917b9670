"""Bad input, through the real command line: every problem named at once, nothing left half-done."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance import spoiled
from tests.acceptance.station import Station, powerless, station
from tests.conftest import Cli, Clips

Done = subprocess.CompletedProcess[str]
WriteJob = Callable[..., Path]


def lines_of(done: Done) -> list[str]:
    """The problems on stderr, one line each."""
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stderr.strip().splitlines()
    return [line for line in lines if not line.lstrip()[:1].isdigit()]  # without the progress


def refused(done: Done, output: Path) -> list[str]:
    """The problems of a job that was refused as bad input."""
    lines = lines_of(done)
    assert (done.returncode, output.exists()) == (2, False), done.stderr
    lines[0] = lines[0].removeprefix("reelyard: ")
    return lines


def error_of(done: Done) -> dict[str, Any]:
    """The error of a run with --json: the last line, and the only one of its kind."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [event for event in events if event["event"] == "error"]
    assert len(errors) == 1 and events[-1] == errors[0]
    found: dict[str, Any] = errors[0]
    return found


def entries(cache: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (cache / "entries").rglob("*") if path.is_file()}


@pytest.fixture
def clip(clips: Clips) -> Path:
    return clips.video("bad-input.mp4", seconds=1)


@pytest.fixture
def short(clips: Clips) -> Path:
    return clips.video("bad-input-short.mp4", seconds=0.2)


@pytest.fixture
def photo(clips: Clips) -> Path:
    return clips.picture("bad-input.jpg")


@pytest.fixture
def own_station(tmp_path: Path) -> Iterator[Station]:
    yield from station(tmp_path, segment_seconds=0.5, jobs=2)


def spoiled_sources(folder: Path, clips: Clips, clip: Path) -> dict[str, tuple[Path, str]]:
    """What can be wrong with a file, and the code it has to be refused with."""
    folder.mkdir()
    whole = spoiled.index_first(clips, clip)
    webm = clips.make(
        "bad-input.webm", "-i", str(clip), "-c:v", "libvpx", "-b:v", "200k", "-deadline", "realtime", "-an",
    )  # fmt: skip
    tone = ("-f", "lavfi", "-i", "sine=duration=1")
    cover = ("-i", str(clips.picture("cover.jpg")))
    attached = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    (folder / "empty.mp4").touch()
    (folder / "folder.mp4").mkdir()
    (folder / "random.mp4").write_bytes(random.Random(7).randbytes(5000))
    (folder / "text.mp4").write_text("Dear diary,\ntoday I rendered nothing.\n")
    (folder / "web.mp4").write_text("<!DOCTYPE html><title>404</title>")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return {
        "missing": (folder / "missing.mp4", "missing"),
        "empty": (folder / "empty.mp4", "empty"),
        "folder": (folder / "folder.mp4", "not_a_file"),
        "pipe": (folder / "pipe.mp4", "not_a_file"),
        "name too long": (folder / ("x" * 300), "unreachable"),
        "loop of links": (folder / "loop.mp4", "unreachable"),
        "index first, media cut": (spoiled.cut(whole, folder / "cut.mp4", 0.4), "truncated"),
        "index cut away": (spoiled.without_index(clip, folder / "no-moov.mp4"), "truncated"),
        "webm cut": (spoiled.cut(webm, folder / "cut.webm", 0.3), "truncated"),
        "encrypted": (spoiled.encrypted(clips, clip), "encrypted"),
        "random bytes": (folder / "random.mp4", "not_media"),
        "text": (folder / "text.mp4", "not_media"),
        "web page": (folder / "web.mp4", "not_media"),
        "mp3": (clips.make("tone.mp3", *tone), "no_picture"),
        "mp3 with cover": (clips.make("cover.mp3", *tone, *cover, *attached), "no_picture"),
        "m4a": (clips.make("tone.m4a", *tone), "no_picture"),
        "m4a with cover": (clips.make("cover.m4a", *tone, *cover, *attached), "no_picture"),
        "wav": (clips.make("tone.wav", *tone), "no_picture"),
        "picture cut": (
            spoiled.cut(clips.picture("whole.png"), folder / "cut.png", 0.5), "damaged",
        ),
        "bomb": (spoiled.png(folder / "bomb.png", 60_000, 60_000, whole=False), "too_large"),
        "wide bomb": (spoiled.png(folder / "wide.png", 2**31 - 1, 1, whole=False), "too_large"),
        "giant clip": (spoiled.giant_clip(clips, folder / "giant.mp4"), "no_size"),
        "wide clip": (clips.make("wide.mov", *spoiled.WIDE), "too_large"),
    }  # fmt: skip


PICTURES = {"picture cut", "bomb", "wide bomb"}


def test_every_spoiled_source_is_named_with_its_reason_and_a_remedy(
    cli: Cli, write_job: WriteJob, clips: Clips, clip: Path, short: Path, tmp_path: Path
) -> None:
    good = write_job({"item_type": "video", "path": short}, name="good.json")
    assert cli("render", good, "-o", tmp_path / "good.mp4").returncode == 0
    kept = entries(tmp_path / "cache")
    cases = spoiled_sources(tmp_path / "sources", clips, clip)
    job = write_job(
        {"item_type": "video", "path": short},
        *(
            {"item_type": "image" if name in PICTURES else "video", "path": path}
            for name, (path, _) in cases.items()
        ),
    )
    output = tmp_path / "film.mp4"

    told = refused(cli("render", job, "-o", output, timeout=120), output)
    error = error_of(cli("render", job, "-o", output, "--json", timeout=120))

    assert len(told) == len(cases)
    for position, (line, (path, _)) in enumerate(zip(told, cases.values(), strict=True), 2):
        place, named, said = line.split(", ", 1)[0], str(path), line.split(": ", 1)[1]
        assert place == f"item {position}" and named in line, line
        assert said.count(". ") >= 1 and said.endswith("."), line
    by_position = {problem["position"]: problem for problem in error["problems"]}
    codes = {name: by_position[n]["code"] for n, name in enumerate(cases, 2)}
    assert codes == {name: code for name, (_, code) in cases.items()}
    assert all(problem["remedy"] for problem in error["problems"])
    assert entries(tmp_path / "cache") == kept
    assert not any((tmp_path / "cache" / "work").iterdir())


def test_a_file_nobody_may_read_is_named(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(short.read_bytes())
    secret.chmod(0)
    job = write_job({"item_type": "video", "path": secret})
    output = tmp_path / "film.mp4"
    [line] = refused(cli("render", job, "-o", output, preexec_fn=powerless), output)
    assert line.startswith("item 1") and str(secret) in line and "Permission denied" in line


class Tripwire:
    """A FIFO: whoever opens it to read waits there, and is seen waiting."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.touched = False
        os.mkfifo(path)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            try:
                os.close(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                assert error.errno == errno.ENXIO  # nobody reads
            else:
                self.touched = True
                return

    def end(self) -> None:
        self._done.set()
        self._thread.join()


@pytest.fixture
def tripwire(tmp_path: Path) -> Iterator[Tripwire]:
    made = Tripwire(tmp_path / "elsewhere.mp4")
    yield made
    made.end()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def connected(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


_DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">
<Representation id="0" bandwidth="1000" width="64" height="64" codecs="avc1.4d401e">
<BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""
_POINTERS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
    "hls-late.mp4": "\n\n#EXTM3U\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
    "dash.mp4": _DASH,
    "dash-bare.mp4": _DASH.partition("\n")[2],
    "script.mp4": "ffconcat version 1.0\nfile '{0}'\n",
    "xspf.mp4": '<?xml version="1.0"?><playlist><track><location>{0}</location></track></playlist>',
    "redirect.mp4": "[Reference]\r\nRef1={0}\r\n",
    "sdp.mp4": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
    "list.mp4": "file '{0}'\n",
    "vapour.mp4": "import vapoursynth\n{0}\n",
}


def test_nothing_but_the_file_itself_is_opened(
    cli: Cli,
    write_job: WriteJob,
    clip: Path,
    tripwire: Tripwire,
    listener: socket.socket,
    tmp_path: Path,
) -> None:
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/film.mp4"
    sources = [
        spoiled.pointing_elsewhere(clip, tmp_path / "alias.mp4", str(tripwire.path)),
    ]
    for folder, target in (("local", str(tripwire.path)), ("web", address)):
        (tmp_path / folder).mkdir()
        for name, text in _POINTERS.items():
            path = tmp_path / folder / name
            path.write_text(text.format(target))
            sources.append(path)
    named = [*map(str, sources), f"concat:{tripwire.path}|{clip}", f"async:{tripwire.path}"]
    job = write_job(*({"item_type": "video", "path": path} for path in named))
    output = tmp_path / "film.mp4"
    told = refused(cli("render", job, "-o", output, timeout=60), output)
    assert [line.split(",")[0] for line in told] == [f"item {n + 1}" for n in range(len(named))]
    assert not tripwire.touched
    assert not connected(listener)


def test_the_tripwire_would_notice(tripwire: Tripwire) -> None:
    with tripwire.path.open("rb"):
        pass
    tripwire.end()
    assert tripwire.touched


def test_network_addresses_are_refused_without_a_connection(
    cli: Cli, write_job: WriteJob, clip: Path, listener: socket.socket, tmp_path: Path
) -> None:
    port = listener.getsockname()[1]
    schemes = ("http", "https", "rtmp", "rtsp", "ftp", "tcp", "udp", "smb", "HTTP", "gopher")
    job = write_job(
        *({"item_type": "video", "path": f"{one}://127.0.0.1:{port}/film.mp4"} for one in schemes),
        *({"item_type": "video", "path": f"{one}:127.0.0.1:{port}"} for one in ("tcp", "http")),
        {"item_type": "video", "path": clip, "logo_path": f"http://127.0.0.1:{port}/logo.png"},
    )
    output = tmp_path / "film.mp4"
    told = refused(cli("render", job, "-o", output), output)
    # addresses are seen at once, before any source is looked at
    assert len(told) == len(schemes) + 1
    assert "logo_path" in told[-1]
    assert not connected(listener)


def test_a_large_picture_is_planned_without_a_word_on_stderr(
    cli: Cli, write_job: WriteJob, tmp_path: Path
) -> None:
    large = spoiled.png(tmp_path / "large.png", 12_000, 8_000, whole=True)
    done = cli("plan", write_job({"item_type": "image", "path": large, "duration": 1}))
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """A file that something is still writing to."""
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.wait(0.002):
                file.write(b"\0\0\0\x08free")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_file_that_is_still_being_copied_is_refused(
    cli: Cli, write_job: WriteJob, clip: Path, tmp_path: Path
) -> None:
    source, output = tmp_path / "copying.mp4", tmp_path / "film.mp4"
    source.write_bytes(clip.read_bytes())
    job = write_job({"item_type": "video", "path": source})
    with growing(source):
        [line] = refused(cli("render", job, "-o", output), output)
    assert str(source) in line and "changed" in line


def test_a_file_that_changes_while_it_is_rendered_is_refused(
    own_station: Station, clips: Clips, tmp_path: Path
) -> None:
    source = tmp_path / "changing.mp4"
    source.write_bytes(clips.video("bad-input-long.mp4", seconds=4).read_bytes())
    job = own_station.write_job({"item_type": "video", "path": source})
    run = own_station.start(job)
    assert run.reached("rendering", percent=1)
    with source.open("ab") as file:
        file.write(b"\0\0\0\x08free")
    assert run.ended() == 2
    [problem] = run.done["problems"]
    assert (problem["position"], problem["code"]) == (1, "changed")
    assert not list(own_station.out.iterdir())


def odd_names() -> list[bytes]:
    text = [
        "it's.mp4", 'say "hi".mp4', "12:30:00.mp4", "C:drive.mp4", "[brackets] {braces}.mp4",
        "two\nlines.mp4", "$(touch x).mp4", "`touch x`;touch x&.mp4", "-leading.mp4", "--help.mp4",
        "-i.mp4", "photo%02d.jpg", "photo%%.jpg", "glob*?.jpg", "back\\slash.mp4", "comma,semi;colon.mp4",
        "n" * 196 + ".mp4", "🎬 über 電影.mp4", " space .mp4", "tab\there.mp4", "~tilde.mp4",
        "file:odd.mp4", "#hash.mp4", "%41.mp4", "100%.mp4", ".mp4", "noext", "pipe:0", "...mp4",
    ]  # fmt: skip
    return [
        *(name.encode() for name in text),
        b"latin-\xe9\xff.mp4",
        b"control-\x01\x7f\x1b[31m.mp4",
    ]


def test_any_file_name_renders(
    cli: Cli, write_job: WriteJob, short: Path, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd: 'names' 100% [x]"
    folder.mkdir()
    (folder / "concat:a|b.mp4").write_bytes(short.read_bytes())
    items: list[dict[str, Any]] = []
    for number, name in enumerate(odd_names()):
        still = name.endswith(b".jpg")
        data = (photo if still else short).read_bytes()
        path = os.fsencode(folder) + b"/" + name
        Path(os.fsdecode(path)).write_bytes(data + b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))
        try:
            named = f"{folder.name}/{name.decode()}"
        except UnicodeDecodeError:
            named = f"file://{quote(path)}"
        if still:
            items.append({"item_type": "image", "path": named, "duration": 0.1})
        else:
            items.append({"item_type": "video", "path": named, "end": 0.1})
    inside = Path(folder.name) / "concat:a|b.mp4"
    items.append({"item_type": "video", "path": str(inside)})
    job = write_job(*items, loudness=True)
    before = {path.name for path in folder.iterdir()}
    output = tmp_path / "film.mp4"
    done = cli("render", job, "-o", output)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "film.report.json").read_bytes())
    assert [item["frames"] for item in report["items"]] == [3] * len(odd_names()) + [6]
    assert {path.name for path in folder.iterdir()} == before
    assert not (tmp_path / "x").exists()


def test_names_relative_to_the_job_file_that_look_like_options_or_homes_render(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    """Beside the job file, so that nothing stands before the odd first letter."""
    names = ["-y.mp4", "~nobody-has-this-name.mp4", "concat:a|b.mp4", "$(touch x).mp4", "-"]
    for number, name in enumerate(names):
        tail = b"\0\0\0\x0cfree" + number.to_bytes(4, "big")
        (tmp_path / name).write_bytes(short.read_bytes() + tail)
    job = write_job(*({"item_type": "video", "path": name, "end": 0.1} for name in names))
    done = cli("render", job, "-o", tmp_path / "film.mp4")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "x").exists()


def test_missing_files_with_odd_names_take_one_line_each(
    cli: Cli, write_job: WriteJob, tmp_path: Path
) -> None:
    names = ["two\nlines.mp4", "red\x1b[31m.mp4", "🎬.mp4", "file:///gone%FF.mp4", "‮4pm.elif.mp4"]  # fmt: skip
    job = write_job(*({"item_type": "video", "path": name} for name in names))
    output = tmp_path / "film.mp4"
    for environment in (None, {**os.environ, "PYTHONIOENCODING": "ascii"}):
        told = refused(cli("render", job, "-o", output, env=environment), output)
        assert len(told) == len(names)
        assert all(line.isprintable() for line in told)


def test_a_film_in_a_folder_with_an_odd_name_and_its_report_are_readable(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff 'out' \n [x]"))
    done = cli(
        "render", write_job({"item_type": "video", "path": short}), "-o", folder / "film.mp4"
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "film.mp4").exists()
    json.loads((folder / "film.report.json").read_bytes().decode("utf-8", "strict"))


def test_texts_are_texts_whatever_they_hold(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    texts = [
        r"{\b1\fs400}big{\r}", r"\N\n\h", r"{\p1}m 0 0 l 9 9{\p0}", "}{", "\\", r"a\{b", "50% off: 'now'",
        "=;#\\\n[CHAPTER]\ntitle=forged", "$(touch x)", "[v]drawtext=text=x;", "Fünf €", "\x00\x07bell",
    ]  # fmt: skip
    job = write_job(
        *({"item_type": "video", "path": short, "text_animation_text": text} for text in texts),
        chapters=True,
    )
    output = tmp_path / "film.mp4"
    done = cli("render", job, "-o", output)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "film.report.json").read_bytes())
    assert report["measured"]["chapters"] == len(texts)
    assert not (tmp_path / "x").exists()


def test_a_text_that_no_font_can_draw_is_refused_with_its_letters(
    cli: Cli, write_job: WriteJob, short: Path, tmp_path: Path
) -> None:
    text = "\N{LINEAR B SYLLABLE B008 A}\U0010fffd"
    job = write_job({"item_type": "video", "path": short, "text_animation_text": f"ab{text}"})
    output = tmp_path / "film.mp4"
    [line] = refused(cli("render", job, "-o", output), output)
    assert "text_animation_text" in line and "U+10000" in line


WRONG_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("no type", {"path": "a.mp4"}, "item_type"),
    ("unknown type", {"item_type": "clip", "path": "a.mp4"}, "item_type"),
    ("misspelt field", {"item_type": "video", "path": "a.mp4", "logo_paht": "b.png"}, "logo_path"),
    ("no path", {"item_type": "video"}, "path"),
    ("empty path", {"item_type": "video", "path": ""}, "path"),
    ("path is a number", {"item_type": "video", "path": 7}, "path"),
    ("zero byte", {"item_type": "video", "path": "a\0b"}, "path"),
    ("zero byte in an address", {"item_type": "video", "path": "file:///a%00b"}, "path"),
    ("video id", {"item_type": "video", "video_id": "abc"}, "video_id"),
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


def frugal() -> None:
    """Run in a child before it starts: a job file is no reason to take all of the memory."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_job_file_is_explained(cli: Cli, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(BROKEN_FILES[name])
    output = tmp_path / "film.mp4"
    told = refused(cli("render", path, "-o", output, timeout=120, preexec_fn=frugal), output)
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
        done = cli("render", file, "-o", output, preexec_fn=powerless)
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
    assert len(told) == 2000 and time.monotonic() - begun < 120
