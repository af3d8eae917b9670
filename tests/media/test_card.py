"""What the graphics card does with clips, shown on a card in software, and on this machine's own where it has one.

The card in software runs FFmpeg's own code for a card's frames: whether a graph fits together, which frames come out and
when, where a logo and a text lie. It has no decoder (frames are uploaded instead) and no encoder. The tests at the end need a
real card and are skipped where there is none, in CI too: nothing can install one.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.errors import EncoderUnavailable, GraphicsCardBusy, OutputRejected
from reelyard.domain.job import Job
from reelyard.domain.media import MediaFacts
from reelyard.domain.output import HD, OutputForm
from reelyard.domain.plan import Encoding, PictureRecipe
from reelyard.domain.timeline import FrameRange
from reelyard.engine import commands, encoders, fonts, gpus, render
from reelyard.engine.alike import check_one_kind
from reelyard.engine.cuda import card_graph
from reelyard.engine.discover import find_ffmpeg
from reelyard.engine.ffmpeg import FFmpeg, StopSignal
from reelyard.engine.memory import Memory
from reelyard.engine.picture import FONTS_DIR, TEXT_FILE, moving_graph
from reelyard.engine.planner import Workshop, source_of
from reelyard.engine.probe import probe
from reelyard.services.job_file import parse_job
from reelyard.services.machine import Machine
from reelyard.services.render_job import Rendered, RenderJob
from reelyard.settings import Settings
from tests.conftest import Clips, Studio

from .card import ProcessorAsCard, Shown, SoftwareCard, build, decoded, likeness

SMALL = OutputForm(
    name="small", width=400, height=224, target_rate=1_000_000, max_rate=1_500_000,
    buffer_size=2_000_000, profile="main", level="4.1",
)  # fmt: skip
TEXT = "Subscribe"
BT709 = ("-colorspace", "bt709", "-color_range", "tv")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-pix_fmt", "yuv420p", *BT709)


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> SoftwareCard:
    return build(tmp_path_factory.mktemp("card"))


@pytest.fixture
def ffmpeg(clips: Clips) -> FFmpeg:
    return FFmpeg(clips.ffmpeg, "9")


def clip_of(clips: Clips, rate: str, size: str = "200x160", seconds: float = 2) -> Path:
    name = f"card-{rate.replace('/', '_')}-{size}-{seconds}.mp4"
    return clips.video(name, rate=rate, size=size, seconds=seconds, sound=False, options=X264)


def logo_of(clips: Clips) -> Path:
    path = clips.folder / "card-logo.png"
    if not path.exists():
        clips.run(*("-f", "lavfi", "-i", "color=red@0.5:s=61x31,format=rgba"), "-frames:v", "1", str(path))  # fmt: skip
    return path


# Graphs


def laid_out(folder: Path, seconds: Fraction) -> None:
    """What a graph with a text finds in its folder."""
    render.prepare(folder)
    overlay = fonts.overlay(
        TEXT, seconds, [fonts._face(path) for path in fonts.packaged("fontpkg-anton")]
    )
    (folder / TEXT_FILE).write_text(overlay.document)
    (folder / FONTS_DIR).mkdir()
    for number, font in enumerate(overlay.fonts):
        (folder / FONTS_DIR / f"{number}.ttf").write_bytes(Path(font.path).read_bytes())


def shown(
    ffmpeg: FFmpeg, folder: Path, facts: MediaFacts, logo: Path, graph: str, *device: str
) -> Shown:
    """The frames that a graph makes of a clip and a logo, with the arguments of a segment otherwise."""
    output = folder / "shown.nut"
    flags = commands.GRAPH_FLAGS
    ffmpeg.run(
        [*device, "-copyts", "-filter_complex_threads", "1", "-i", facts.path, "-i", str(logo),
         "-filter_complex", flags + graph, "-map", "[picture]", "-fps_mode", "passthrough",
         "-c:v", "rawvideo", output.name],
        cwd=folder,
    )  # fmt: skip
    return decoded(output)


def uploaded(graph: str) -> str:
    """A card's graph for frames that the processor decoded, down again to where they can be looked at."""
    down = graph.removesuffix("[picture]") + ",hwdownload,format=yuv420p[picture]"
    return down.replace("scale_cuda", "format=nv12,hwupload,scale_cuda", 1)


PIECES = {
    "film-rate": ("30", FrameRange(0, 8), Fraction(0)),
    "slower-from-the-middle": ("24000/1001", FrameRange(20, 29), Fraction(0)),
    "faster-trimmed": ("50", FrameRange(5, 13), Fraction(1, 3)),
    "to-its-end": ("25", FrameRange(52, 60), Fraction(0)),
}


@pytest.mark.parametrize("piece", PIECES)
def test_the_card_shows_the_same_frames_at_the_same_times_as_the_processor(
    piece: str, clips: Clips, card: SoftwareCard, ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    """Black at the sides, a logo half transparent and a text that is just fading in, all in its place."""
    rate, frames, start = PIECES[piece]
    facts, logo = probe(clip_of(clips, rate)), logo_of(clips)
    laid_out(tmp_path, facts.video.span)
    known = probe(logo).video
    plain = moving_graph(facts, SMALL, start, frames, logo=known, text=True)
    on_card = card_graph(facts, SMALL, start, frames, logo=known, text=TEXT)
    one = shown(ffmpeg, tmp_path, facts, logo, plain)
    other = shown(card.bound(ffmpeg), tmp_path, facts, logo, uploaded(on_card), *commands._CARD)
    assert one.times == other.times == [Fraction(n, 30) for n in range(len(frames))]
    # Next to each other's neighbours they would have some 20 dB.
    assert min(map(likeness, one.frames, other.frames)) > 38


def test_a_text_fades_as_on_the_processor(clips: Clips, ffmpeg: FFmpeg, tmp_path: Path) -> None:
    """Laid over as a strip: nothing is darkened by being drawn on nothing, and nothing is cut off."""
    facts = probe(clip_of(clips, "30", "400x224"))
    laid_out(tmp_path, facts.video.span)
    graph = card_graph(facts, SMALL, Fraction(0), FrameRange(0, 20), text=TEXT)
    strip = (
        re.sub(r"scale_cuda=[^,]*", "null", graph)
        .replace("hwupload", "null")
        .replace("overlay_cuda", "overlay")
    )
    plain = moving_graph(facts, SMALL, Fraction(0), FrameRange(0, 20), text=True)
    one = shown(ffmpeg, tmp_path, facts, logo_of(clips), plain)
    other = shown(ffmpeg, tmp_path, facts, logo_of(clips), strip)
    assert min(map(likeness, one.frames, other.frames)) > 42


# Arguments, as far as FFmpeg gets with them


def card_recipe(clip: Path, frames: int = 10) -> PictureRecipe:
    facts = probe(clip)
    graph = card_graph(facts, HD, Fraction(0), FrameRange(0, frames))
    return PictureRecipe(
        source=source_of(facts), seek=None, graph=graph, frames=frames, on_card=True
    )


def said_of(ffmpeg: FFmpeg, arguments: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        ffmpeg.argv(arguments), cwd=folder, capture_output=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip
    assert done.returncode != 0
    return done.stderr.decode("utf-8", "replace")


def test_ffmpeg_takes_every_argument_and_misses_only_the_card(
    clips: Clips, card: SoftwareCard, ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    """Without a driver it gets to the device; with one, to the decoder."""
    encoding = encoders.encoding("h264_nvenc", HD, ffmpeg, "card")
    arguments = commands.picture(card_recipe(clip_of(clips, "30")), encoding, "out.mp4")
    without = said_of(ffmpeg, arguments, tmp_path)
    assert re.search(r"Cannot load (libcuda|nvcuda)|Device creation failed", without)
    there = said_of(ffmpeg, arguments, tmp_path, LD_LIBRARY_PATH=str(card.folder))
    assert "Failed loading nvcuvid" in there
    for said in (without, there):
        assert not re.search(
            r"Unrecognized option|Option .* not found|No such filter|Error parsing (a )?filter",
            said,
        )


def test_ffmpeg_has_every_option_that_the_cards_filters_are_given(ffmpeg: FFmpeg) -> None:
    graph = (
        "scale_cuda=w=1:h=1:interp_algo=bicubic:format=yuv420p,pad_cuda=w=1:h=1:x=0:y=0,"
        "overlay_cuda=x=0:y=0:eval=init"
    )
    for name, options in re.findall(r"(\w+_cuda)=([^,]*)", graph):
        argv = [str(ffmpeg.executable), "-hide_banner", "-h", f"filter={name}"]
        said = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
        for option in options.split(":"):
            assert re.search(rf"^ +{option.partition('=')[0]} +<", said, re.MULTILINE), (
                name,
                option,
            )


# What a card refuses


class Unlogged:
    """Nobody reads what FFmpeg said."""

    def command(self, argv: Sequence[str], cwd: Path | None) -> None: ...

    def said(self, line: str) -> None: ...


@pytest.mark.parametrize("refusal", ["10", "21"])
def test_a_card_that_does_no_more_encodes_is_busy_and_no_clip_is_blamed(
    refusal: str, clips: Clips, card: SoftwareCard, ffmpeg: FFmpeg, tmp_path: Path
) -> None:
    """In FFmpeg's own words, which end in a stream that received no packets."""
    recipe = replace(
        card_recipe(clip_of(clips, "30")),
        graph=moving_graph(probe(clip_of(clips, "30")), HD, Fraction(0), FrameRange(0, 10)),
        on_card=False,
    )
    full = card.bound(ffmpeg, REFUSES_WITH=refusal)
    encoding = encoders.encoding("h264_nvenc", HD, full, "card")
    with pytest.raises(GraphicsCardBusy, match="does no more encodes at once"):
        render.render_picture(
            render.Run(full, Unlogged(), StopSignal()), recipe, encoding, HD, tmp_path / "piece"
        )


def test_an_old_driver_is_called_one_and_libx264_is_chosen(
    card: SoftwareCard, ffmpeg: FFmpeg
) -> None:
    old = card.bound(ffmpeg, REFUSES_VERSION="11")
    with pytest.raises(
        EncoderUnavailable, match=r"Found: 11\.0 / The minimum required .* or newer"
    ):
        encoders.choose(old, "h264_nvenc")
    assert encoders.choose(old) == encoders.Choice("libx264", passing=False)


def test_a_card_that_is_busy_just_now_is_not_given_up_for_good(
    card: SoftwareCard, ffmpeg: FFmpeg
) -> None:
    assert encoders.choose(card.bound(ffmpeg)) == encoders.Choice("libx264", passing=True)


def test_a_card_that_is_busy_just_now_proves_nothing(card: SoftwareCard, ffmpeg: FFmpeg) -> None:
    encoding = encoders.encoding("h264_nvenc", HD, ffmpeg, "card")
    busy = ProcessorAsCard(ffmpeg.executable, "9", binding={"LD_LIBRARY_PATH": str(card.folder)})
    busy.encodes = False  # that is left to the card
    with pytest.raises(GraphicsCardBusy):
        gpus.proven_codecs(busy, encoding)


def test_a_card_without_a_decoder_proves_no_codec(card: SoftwareCard, ffmpeg: FFmpeg) -> None:
    encoding = encoders.encoding("libx264", HD, ffmpeg)
    assert gpus.proven_codecs(card.bound(ffmpeg), encoding) == ()


class WithCard(Reelyard):
    """On a machine with a card, for which the processor stands in."""

    @cached_property
    def machine(self) -> Machine:
        stand_in = (gpus.Gpu(0, "Stand-in", "GPU-1", "615.10"),)
        return replace(super().machine, find_ffmpeg=self._processor, find_gpus=lambda: stand_in)

    def _processor(self, settings: Settings, memory: Memory) -> FFmpeg:
        own = find_ffmpeg(settings.ffmpeg, memory)
        return ProcessorAsCard(own.executable, own.version)


def test_a_machine_proves_its_card_and_makes_films_on_it(clips: Clips, studio: Studio) -> None:
    """Each codec with a clip of its own, remembered; what is on the card and what is not is in the report."""
    reelyard = WithCard(studio.settings(data_dir=studio.folder / "data", jobs=5, gpu_sessions=2))
    able = reelyard.machine.able()
    assert (able.graphics_card, able.driver) == ("Stand-in", "615.10")
    assert able.encoders == able.encoders_4k == ("h264_nvenc", "libx264")
    assert able.decodes == ("av1", "h264", "hevc", "mpeg2video", "mpeg4", "vp8", "vp9")
    items = [
        {
            "item_type": "video",
            "path": str(clip_of(clips, "50", seconds=0.4)),
            "text_animation_text": TEXT,
        },
        {"item_type": "image", "path": str(clips.picture("card-still.png")), "duration": 0.4},
    ]
    job = parse_job({"channel_name": "Cards", "items": items}, studio.folder)
    done = reelyard.render_job(job, studio.folder / "film.mp4")
    report = json.loads(Path(str(done.report)).read_text())
    assert report["encoder"] == "h264_nvenc"
    assert done.plan.encoding.device == "Stand-in, driver 615.10"
    assert [one["by_processor"] for one in report["items"]] == [None, "it is a still"]
    assert done.made.refused == {} and done.film.frames == 24
    slots = studio.folder / "data" / "graphics-cards" / "GPU-1"
    assert {path.name for path in slots.iterdir()} <= {"0.lock", "1.lock"}  # two at once, of five

    without = WithCard(reelyard.settings.model_copy(update={"gpu_filters": False}))
    plan = without.planning.prepare(job).plan
    assert not any(segment.recipe.on_card for segment in plan.picture)
    assert [item.by_processor for item in plan.items] == [None, None]


# Films


def making(
    studio: Studio, ffmpeg: FFmpeg, encoding: Encoding, decodes: frozenset[str] | None
) -> RenderJob:
    """A renderer whose plans are made for a card that decodes these codecs."""
    reelyard = studio.reelyard()

    def workshop(job: Job) -> Workshop:
        return replace(reelyard.workshop(job), encoding=encoding, card_decodes=decodes)

    planning = replace(reelyard.planning, workshop=workshop)
    return replace(reelyard.render_job, planning=planning, ffmpeg=ffmpeg)


def film(studio: Studio, renderer: RenderJob, name: str, clip: Path, **item: str) -> Rendered:
    items = [{"item_type": "video", "path": str(clip), **item}]
    job = parse_job({"channel_name": "Cards", "items": items}, studio.folder)
    return renderer(job, studio.folder / name)


def test_what_the_card_refuses_is_made_by_the_processor_under_its_own_key(
    clips: Clips, card: SoftwareCard, studio: Studio
) -> None:
    """It is said in the log and in the report, and a machine without a card has nothing left to do."""
    clip = clip_of(clips, "25", seconds=0.4)
    sound = studio.reelyard().ffmpeg
    encoding = encoders.encoding("libx264", HD, sound)
    refusing = making(studio, card.bound(sound), encoding, frozenset({"h264"}))
    done = film(studio, refusing, "card.mp4", clip)
    report = json.loads(Path(str(done.report)).read_text())
    log = (done.log_folder / "job.log").read_text()
    assert [segment.recipe.on_card for segment in done.plan.picture] == [True]
    assert (
        "FFmpeg failed" in report["items"][0]["by_processor"]
        or "decode" in report["items"][0]["by_processor"]
    )
    assert "item 1 part 1: made again, by the processor, because of" in log

    plain = film(studio, making(studio, sound, encoding, None), "plain.mp4", clip)
    assert plain.rendered == 0
    assert Path(str(plain.output)).read_bytes() == Path(str(done.output)).read_bytes()
    again = film(studio, refusing, "again.mp4", clip)
    assert again.rendered == 0
    assert Path(str(again.output)).read_bytes() == Path(str(done.output)).read_bytes()


def test_clips_that_are_the_processors_are_said_to_be(
    clips: Clips, card: SoftwareCard, studio: Studio
) -> None:
    clip = clips.video("card-rotated.mp4", seconds=0.5, options=(*X264, "-pix_fmt", "yuv444p"))
    sound = studio.reelyard().ffmpeg
    renderer = making(studio, sound, encoders.encoding("libx264", HD, sound), frozenset({"h264"}))
    done = film(studio, renderer, "film.mp4", clip)
    report = json.loads(Path(str(done.report)).read_text())
    assert report["items"][0]["by_processor"] == "its pixel format is yuv444p"
    log = (done.log_folder / "job.log").read_text()
    assert "item 1: decoded and scaled by the processor, because its pixel format is yuv444p" in log


def test_a_film_that_was_begun_with_one_encoder_is_made_anew_with_another(
    clips: Clips, studio: Studio
) -> None:
    """A worker whose card failed half-way takes nothing of the card's into its film: no key is the same."""
    clip = clip_of(clips, "25", seconds=0.4)
    sound = studio.reelyard().ffmpeg
    x264 = encoders.encoding("libx264", HD, sound)
    stand_in = replace(
        x264, encoder="h264_nvenc", options=(*x264.options, "-bf", "0"), device="Card A, driver 1"
    )
    first = film(studio, making(studio, sound, stand_in, None), "a.mp4", clip)
    other = film(
        studio,
        making(studio, sound, replace(stand_in, device="Card B, driver 1"), None),
        "b.mp4",
        clip,
    )
    second = film(studio, making(studio, sound, x264, None), "c.mp4", clip)
    pictures = [{one.key for one in done.plan.picture} for done in (first, other, second)]
    assert not pictures[0] & pictures[1] and not pictures[0] & pictures[2]
    assert not pictures[2] & second.made.cached
    assert len(set(second.made.parameter_sets.values())) == 1


def test_segments_of_two_encoders_are_never_joined(clips: Clips) -> None:
    """Wherever they came from: the files themselves are looked at."""
    some = clip_of(clips, "30")
    other = clips.video(
        "card-other.mp4",
        size="200x160",
        seconds=2,
        sound=False,
        options=(*X264, "-bf", "0", "-refs", "2"),
    )
    check_one_kind([some, some])
    with pytest.raises(OutputRejected, match=r"card-other\.mp4 was made by another encoder"):
        check_one_kind([some, other])


def test_what_holds_no_h264_is_never_joined(clips: Clips, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip_of(clips, "30").read_bytes()[:1000])
    with pytest.raises(OutputRejected, match=r"cut\.mp4 holds no H\.264"):
        check_one_kind([cut])


# On a real card


@pytest.fixture(scope="session")
def real_card(tmp_path_factory: pytest.TempPathFactory) -> Reelyard:
    """This machine's own card. Where there is none the tests are skipped, in CI as well: nothing can install it."""
    if not gpus.find_gpus():
        pytest.skip("there is no NVIDIA card here")
    folder = tmp_path_factory.mktemp("real-card")
    reelyard = Studio(folder).reelyard()
    found = Reelyard(reelyard.settings)
    if not found.machine.working_gpus:
        pytest.skip("the card here does not encode H.264")
    return found


def test_a_real_card_proves_to_decode_h264_and_hevc(real_card: Reelyard) -> None:
    assert {"h264", "hevc"} <= set(real_card.machine.able().decodes)


@pytest.mark.parametrize("rate", ["24000/1001", "30", "50"])
def test_a_real_card_makes_the_processors_frames(
    rate: str, real_card: Reelyard, clips: Clips, tmp_path: Path
) -> None:
    """Decoded, scaled, padded, with logo and text: as many frames, and each looks like the processor's."""
    clip = clip_of(clips, rate, "640x400")
    made = []
    for filters in (True, False):
        folder = tmp_path / str(filters)
        own = {"gpu_filters": filters, "cache_dir": folder / "cache", "log_dir": folder / "logs"}
        reelyard = Reelyard(real_card.settings.model_copy(update=own))
        item = {
            "item_type": "video",
            "path": str(clip),
            "logo_path": str(logo_of(clips)),
            "text_animation_text": TEXT,
        }
        job = parse_job({"channel_name": "Cards", "items": [item]}, tmp_path)
        done = reelyard.render_job(job, folder / "film.mp4")
        assert done.made.refused == {}
        assert [one.recipe.on_card for one in done.plan.picture] == [filters]
        made.append(decoded(Path(str(done.output))))
    assert made[0].times == made[1].times
    assert min(map(likeness, made[0].frames, made[1].frames)) > 32
