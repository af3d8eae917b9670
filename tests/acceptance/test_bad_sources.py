"""Bad sources through the real command line: a line each, exit code 2, nothing made, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import random
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance import spoiled
from tests.acceptance.station import Station
from tests.conftest import Cli, Clips

from .refusals import entries, error_of, refused

Done = subprocess.CompletedProcess[str]
WriteJob = Callable[..., Path]


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
    [line] = refused(cli("render", job, "-o", output, powerless=True), output)
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
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for options in ({}, {"env": ascii_only, "afresh": True}):
        told = refused(cli("render", job, "-o", output, **options), output)
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
