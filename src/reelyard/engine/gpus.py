"""The graphics cards of this machine: which there are, and what each proves to do.

A process is bound to a card by its environment, so FFmpeg's arguments name none. What a card can do is never
read off its model: a clip of each codec is decoded, scaled, given a logo and a text and encoded by the very graphs that
films are made with.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from reelyard.domain.errors import FFmpegFailed, GraphicsCardBusy, OutputRejected, SettingsInvalid
from reelyard.domain.media import Colour, MediaFacts, MediaKind, Transfer, VideoFacts
from reelyard.domain.output import HD, OutputForm
from reelyard.domain.plan import Encoding, PictureRecipe, Source
from reelyard.domain.timeline import FRAME_RATE, FrameRange
from reelyard.system.this_system import NVIDIA

from . import checks, commands, render
from .cuda import card_graph
from .ffmpeg import FFmpeg
from .nvenc import trouble
from .picture import FONTS_DIR, TEXT_FILE
from .text import document

NONE = "none"
"""The setting's word for no card."""

_PATIENCE = 20.0
_VISIBLE = "CUDA_VISIBLE_DEVICES"

NO_CARD = {_VISIBLE: "-1"}
"""The environment of a process that is to see no card."""

_SAMPLE = FrameRange(0, 6)
_SAMPLES = {
    "h264": ("-c:v", "libx264", "-f", "mp4"),
    "hevc": ("-c:v", "libx265", "-x265-params", "log-level=none", "-f", "mp4"),
    "vp8": ("-c:v", "libvpx", "-deadline", "realtime", "-f", "matroska"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-f", "matroska"),
    "av1": ("-c:v", "libsvtav1", "-preset", "12", "-f", "mp4"),
    "mpeg2video": ("-c:v", "mpeg2video", "-f", "matroska"),
    "mpeg4": ("-c:v", "mpeg4", "-f", "mp4"),
}
"""How a clip of each codec is made that some card decodes."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card. ``uuid`` is empty where the system does not tell it."""

    index: int
    name: str
    uuid: str
    driver: str

    @property
    def model(self) -> str:
        """What two equal cards have in common."""
        return f"{self.name}, driver {self.driver}"

    @property
    def identity(self) -> str:
        return self.uuid or f"card {self.index}"

    @property
    def binding(self) -> dict[str, str]:
        """The environment of a process that is to use this card and no other."""
        return {_VISIBLE: self.uuid or str(self.index), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def find_gpus(proc: Path = NVIDIA, environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The cards that this process may use, in the order in which it names them."""
    return visible(_asked(environ) or from_proc(proc), environ.get(_VISIBLE))


def _asked(environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    tool = shutil.which("nvidia-smi") or _beside_windows(environ)
    if tool is None:
        return ()
    wanted = "--query-gpu=index,name,uuid,driver_version"
    try:
        said = subprocess.run(
            [tool, wanted, "--format=csv,noheader"],
            capture_output=True,
            check=True,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ()  # a tool without its driver; what works is found out by trying
    return from_smi(said.stdout.decode("utf-8", "replace"))


def _beside_windows(environ: Mapping[str, str]) -> str | None:
    """Older drivers put it into a folder that is in no PATH."""
    programs = environ.get("PROGRAMFILES")
    if not programs:
        return None  # no Windows: what is called so in the folder that we are in is not to be run
    path = Path(programs, "NVIDIA Corporation", "NVSMI", "nvidia-smi.exe")
    return str(path) if path.is_file() else None


def from_smi(text: str) -> tuple[Gpu, ...]:
    """The cards that ``nvidia-smi`` lists."""
    rows = [row for row in csv.reader(text.splitlines(), skipinitialspace=True) if len(row) == 4]
    found = [
        Gpu(int(index), name.strip(), uuid.strip(), driver.strip())
        for index, name, uuid, driver in rows
        if index.strip().isdecimal()
    ]
    return tuple(sorted(found, key=lambda gpu: gpu.index))


def from_proc(proc: Path) -> tuple[Gpu, ...]:
    """The cards that Linux's driver lists; in the order of their places on the bus, as CUDA counts them."""
    try:
        sheets = sorted((proc / "gpus").iterdir())
        driver = _driver_version((proc / "version").read_text())
        texts = [(sheet / "information").read_text() for sheet in sheets]
    except OSError:
        return ()
    return tuple(_from_sheet(index, text, driver) for index, text in enumerate(texts))


def _from_sheet(index: int, text: str, driver: str) -> Gpu:
    pairs = (line.partition(":") for line in text.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    uuid = facts.get("GPU UUID", "")
    return Gpu(index, facts.get("Model", "graphics card"), "" if "?" in uuid else uuid, driver)


def _driver_version(text: str) -> str:
    words = text.partition("\n")[0].split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


def visible(found: Sequence[Gpu], named: str | None) -> tuple[Gpu, ...]:
    """Those that ``CUDA_VISIBLE_DEVICES`` names, in its order; all if it is not set."""
    if named is None:
        return tuple(found)
    chosen = []
    for word in (part.strip() for part in named.split(",")):
        fits = [one for one in found if word in (str(one.index), one.uuid)
                or (word.startswith("GPU-") and one.uuid.startswith(word))]  # fmt: skip
        if not fits:
            break  # so does the driver: what follows a wrong name is not seen
        chosen.append(fits[0])
    return tuple(chosen)


def chosen_gpu(found: Sequence[Gpu], wanted: str | None) -> Gpu | None:
    """The card with the number ``wanted``; the first if no number is. Raises SettingsInvalid."""
    if wanted == NONE or (wanted is None and not found):
        return None
    if wanted is None:
        return found[0]
    number = next((one for one in found if str(one.index) == wanted), None)
    if number is None:
        there = ", ".join(f"{one.index} ({one.name})" for one in found) or "none"
        raise SettingsInvalid(f"there is no graphics card {wanted} here; there is: {there}",
                              remedy="Choose one with --gpu or REELYARD_GPU, or none")  # fmt: skip
    return number


def proven_codecs(ffmpeg: FFmpeg, encoding: Encoding, form: OutputForm = HD) -> tuple[str, ...]:
    """The codecs whose clips the card decodes, scales, overlays and encodes into what a film may hold.

    Raises GraphicsCardBusy where that can't be told just now.
    """
    with tempfile.TemporaryDirectory(prefix="reelyard-") as named:
        folder = Path(named)
        render.prepare(folder)
        (folder / TEXT_FILE).write_text(document([(_TEXT, "Anton")], Fraction(1)))
        (folder / FONTS_DIR).mkdir()
        try:
            ffmpeg.run([*_LOGO_PICTURE, "logo.png"], cwd=folder)
        except FFmpegFailed:
            return ()
        first, *others = _SAMPLES
        if not _proves(ffmpeg, first, encoding, form, folder):
            return ()  # there is no card that decodes others and not H.264
        return (first, *(one for one in others if _proves(ffmpeg, one, encoding, form, folder)))


def _proves(ffmpeg: FFmpeg, codec: str, encoding: Encoding, form: OutputForm, folder: Path) -> bool:
    source = folder / f"{codec}.sample"
    output = folder / f"{codec}.mp4"
    picture = ["-f", "lavfi", "-i", _PICTURE, "-pix_fmt", "yuv420p"]
    try:
        ffmpeg.run([*picture, *_SAMPLES[codec], source.name], cwd=folder)
        recipe = _recipe(source, codec, folder / "logo.png", form)
        said = ffmpeg.run(commands.picture(recipe, encoding, output.name), cwd=folder)
        checks.check_segment(output, form, recipe.frames)
    except (FFmpegFailed, OutputRejected) as failure:
        tail = failure.tail if isinstance(failure, FFmpegFailed) else ()
        if isinstance(busy := trouble(tail), GraphicsCardBusy):
            raise busy from failure  # that proves nothing
        return False
    return said.error_count == 0


def _recipe(source: Path, codec: str, logo: Path, form: OutputForm) -> PictureRecipe:
    """With all that a card can be asked for: black at the sides, a logo, a text."""
    clip = MediaFacts(
        path=str(source), fingerprint="", size=0, modified_ns=0, kind=MediaKind.MOVING,
        demuxer="matroska,webm" if _SAMPLES[codec][-1] == "matroska" else "mov,mp4,m4a,3gp,3g2,mj2",
        container_start=Fraction(0), seekable=True, video=_video(codec, 640, 400),
    )  # fmt: skip
    return PictureRecipe(
        source=_opened(source, clip.demuxer),
        seek=None,
        graph=card_graph(clip, form, Fraction(0), _SAMPLE, logo=_video("png", 64, 32), text=_TEXT),
        frames=len(_SAMPLE),
        logo=_opened(logo, "png_pipe"),
        on_card=True,
    )


def _opened(path: Path, demuxer: str) -> Source:
    return Source(path=str(path), demuxer=demuxer, fingerprint="", size=0, modified_ns=0)


def _video(codec: str, width: int, height: int) -> VideoFacts:
    colour = Colour(matrix="bt709", primaries="bt709", transfer=Transfer.SDR, full_range=False)
    return VideoFacts(
        stream_index=0, codec=codec, width=width, height=height,
        sample_aspect_ratio=Fraction(1), rotation=0, pixel_format="yuv420p", bit_depth=8,
        has_alpha=False, interlaced=False, colour=colour, time_base=Fraction(1, FRAME_RATE),
        first_tick=0, end_tick=len(_SAMPLE), frame_count=len(_SAMPLE), longest_interval=1,
        key_interval=len(_SAMPLE), variable_rate=False,
    )  # fmt: skip


_TEXT = "Reelyard"
_PICTURE = f"testsrc2=s=640x400:r={FRAME_RATE}:d={len(_SAMPLE) / FRAME_RATE}"
_LOGO_PICTURE = ("-f", "lavfi", "-i", "color=c=red@0.5:s=64x32,format=rgba", "-frames:v", "1")
