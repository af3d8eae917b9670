"""What is in the frames of a finished film: form, place, proportions, orientation, colour, light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.conftest import Clips, Studio

from .gallery import (
    SPOTS,
    Gallery,
    assert_patches,
    chart,
    gallery,
    moving,
    saved,
    still,
)
from .measure import Shot, decoded, extent, frame_times

# Form


def boxes(path: Path) -> list[str]:
    """The kinds of a file's top-level boxes, in order."""
    found, data, at = [], path.read_bytes(), 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8].decode("latin-1"))
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else max(8, size)
    return found


@pytest.mark.parametrize(
    ("uhd", "size", "profile", "level"),
    [(False, (1920, 1080), "Main", 41), (True, (3840, 2160), "High", 51)],
    ids=["1080p", "4K"],
)
def test_a_film_has_the_promised_form(
    clips: Clips, studio: Studio, uhd: bool, size: tuple[int, int], profile: str, level: int
) -> None:
    clip = clips.video("form.mp4", size="200x100", rate="25", seconds=0.4)
    picture = clips.picture("form.png", size="90x160")
    film = studio.render({"item_type": "video", "path": clip}, still(picture), enable_4k=uhd).output
    with av.open(str(film)) as container:
        picture_stream, sound = container.streams.video[0], container.streams.audio[0]
        codec = picture_stream.codec_context
        assert (codec.name, codec.profile, codec.level) == ("h264", profile, level)
        assert (codec.width, codec.height, codec.pix_fmt) == (*size, "yuv420p")
        assert picture_stream.sample_aspect_ratio in (None, 1)
        assert picture_stream.average_rate == 30
        assert sound.codec_context.name == "aac"
        assert (sound.codec_context.sample_rate, sound.channels) == (48_000, 2)
    kinds = boxes(film)
    assert kinds.index("moov") < kinds.index("mdat")
    assert frame_times(film) == list(range(15))
    for frame in decoded(film):
        assert (frame.width, frame.height) == size
        tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
        assert [int(tag) for tag in tags] == [1, 1, 1, 1]
        assert not frame.interlaced_frame


# Place and proportions


def white(clips: Clips, name: str, width: int, height: int) -> Path:
    path = clips.folder / name
    Image.new("RGB", (width, height), "white").save(path)
    return path


def white_clip(clips: Clips, name: str, size: str, aspect: str = "1") -> Path:
    return clips.make(
        name, "-f", "lavfi", "-i", f"color=white:s={size}:r=30:d=0.2,setsar={aspect}:max=1000",
        "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv444p",
    )  # fmt: skip


PLACES: dict[str, tuple[Callable[[Clips], dict[str, Any]], tuple[float, float]]] = {
    "square": (lambda c: still(white(c, "square.png", 400, 400)), (1080, 1080)),
    "wide": (lambda c: still(white(c, "wide.png", 1000, 200)), (1920, 384)),
    "portrait": (lambda c: still(white(c, "portrait.png", 90, 160)), (607.5, 1080)),
    "odd": (lambda c: still(white(c, "odd.png", 301, 199)), (1633.6, 1080)),
    "tiny": (lambda c: still(white(c, "tiny.png", 3, 5)), (648, 1080)),
    "one-pixel": (lambda c: still(white(c, "one.png", 1, 1)), (1080, 1080)),
    "strip": (lambda c: still(white(c, "strip.png", 3000, 11)), (1920, 7.04)),
    "large": (lambda c: still(white(c, "large.png", 2500, 2000)), (1350, 1080)),
    "odd-clip": (lambda c: moving(white_clip(c, "odd.mkv", "323x183")), (1906.2, 1080)),
    "narrow-pixels": (lambda c: moving(white_clip(c, "sar1.mov", "320x180", "1/2")), (960, 1080)),
    "wide-pixels": (lambda c: moving(white_clip(c, "sar2.mov", "720x576", "64/45")), (1920, 1080)),
    "dv-4-3": (lambda c: moving(white_clip(c, "sar3.mov", "720x480", "8/9")), (1440, 1080)),
    "odd-pixels": (lambda c: moving(white_clip(c, "sar4.mkv", "800x332", "399/400")), (1920, 798.8)),
}  # fmt: skip


@pytest.fixture(scope="module")
def places(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    items = {name: make(clips) for name, (make, _) in PLACES.items()}
    return gallery(tmp_path_factory.mktemp("places"), items)


@pytest.mark.parametrize("name", PLACES)
def test_a_picture_keeps_its_proportions_centred_on_black(places: Gallery, name: str) -> None:
    width, height = PLACES[name][1]
    shot = places[name]
    left, right, top, bottom = extent(shot.luma > 126)
    assert abs(right - left + 1 - width) <= 2
    assert abs(bottom - top + 1 - height) <= 2
    assert abs(left - (1919 - right)) <= 2
    assert abs(top - (1079 - bottom)) <= 2
    edges = {"left": shot.luma[:, : max(0, left - 8)], "right": shot.luma[:, right + 9 :],
             "top": shot.luma[: max(0, top - 8)], "bottom": shot.luma[bottom + 9 :]}  # fmt: skip
    for edge in edges.values():
        assert edge.size == 0 or (edge.min() >= 15 and edge.max() <= 18)
    assert abs(float(np.median(shot.luma[shot.luma > 126])) - 235) <= 1


# Orientation


def turned(clips: Clips, name: str, *matrix: str) -> Path:
    """A clip of the chart with a display matrix."""
    picture = clips.folder / "chart.png"
    Image.fromarray(chart(320, 180)).save(picture)
    upright = clips.make(
        "upright.mp4", "-loop", "1", "-r", "30", "-i", str(picture), "-t", "0.2",
        "-vf", "scale=out_color_matrix=smpte170m:flags=accurate_rnd,format=yuv420p",
        "-c:v", "libx264", "-qp", "4",
    )  # fmt: skip
    return clips.make(name, *matrix, "-i", str(upright), "-c", "copy")


Turn = Callable[[Image.Image], Image.Image]
TURNS: dict[str, tuple[tuple[str, ...], Turn]] = {
    "0": ((), lambda i: i),
    "90": (("-display_rotation", "90"), lambda i: i.transpose(Image.Transpose.ROTATE_90)),
    "180": (("-display_rotation", "180"), lambda i: i.transpose(Image.Transpose.ROTATE_180)),
    "270": (("-display_rotation", "270"), lambda i: i.transpose(Image.Transpose.ROTATE_270)),
    "mirrored": (("-display_hflip",), ImageOps.mirror),
    "flipped": (("-display_vflip",), ImageOps.flip),
    "transposed": (
        ("-display_rotation", "90", "-display_hflip"),
        lambda i: ImageOps.mirror(i.transpose(Image.Transpose.ROTATE_90)),
    ),
}


def exif_still(clips: Clips, orientation: int, suffix: str = "jpg") -> Path:
    path = clips.folder / f"exif-{orientation}.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}
    Image.fromarray(chart(330, 200)).save(path, exif=exif, **options.get(suffix, {}))
    return path


@pytest.fixture(scope="module")
def orientations(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    items = {
        name: moving(turned(clips, f"turned-{name}.mp4", *matrix))
        for name, (matrix, _) in TURNS.items()
    }
    for n in range(1, 9):
        items[f"exif-{n}"] = still(exif_still(clips, n))
    for suffix in ("png", "webp", "tiff"):
        items[f"exif-6-{suffix}"] = still(exif_still(clips, 6, suffix))
    return gallery(tmp_path_factory.mktemp("orientations"), items)


def assert_looks_like(shot: Shot, expected: Image.Image, tolerance: int = 8) -> None:
    """The film shows the picture, fitted; compared at the centres of 3 × 3 or 2 × 3 fields."""
    scale = min(1920 / expected.width, 1080 / expected.height)
    width, height = expected.width * scale / 1920, expected.height * scale / 1080
    for across in (1 / 6, 1 / 2, 5 / 6):
        for down in (1 / 6, 5 / 6) if expected.width > expected.height else (1 / 6, 1 / 2, 5 / 6):
            wanted = expected.getpixel((int(across * expected.width), int(down * expected.height)))
            if not _clear(expected, across, down):
                continue
            found = shot.colour(0.5 + (across - 0.5) * width, 0.5 + (down - 0.5) * height)
            assert isinstance(wanted, tuple)
            worst = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
            assert worst <= tolerance, f"at {across:.2f}, {down:.2f}: {found} instead of {wanted}"


def _clear(picture: Image.Image, across: float, down: float) -> bool:
    """Whether a point lies inside one field of the chart."""
    x, y = int(across * picture.width), int(down * picture.height)
    return len({picture.getpixel((x + dx, y + dy)) for dx in (-6, 6) for dy in (-6, 6)}) == 1


@pytest.mark.parametrize("name", TURNS)
def test_a_display_matrix_is_honoured_once(orientations: Gallery, name: str) -> None:
    assert_looks_like(orientations[name], TURNS[name][1](Image.fromarray(chart(320, 180))))


@pytest.mark.parametrize(
    "name",
    [*(f"exif-{n}" for n in range(1, 9)), "exif-6-png", "exif-6-webp", "exif-6-tiff"],
)
def test_a_stills_orientation_is_honoured_once(
    clips: Clips, orientations: Gallery, name: str
) -> None:
    _, number, *suffix = name.split("-")
    with Image.open(exif_still(clips, int(number), suffix[0] if suffix else "jpg")) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
    assert_looks_like(orientations[name], expected)


# Colours of stills


def png16(clips: Clips) -> Path:
    raw = clips.folder / "png16.raw"
    raw.write_bytes((chart(384, 216).astype(np.uint16) * 257).tobytes())
    return clips.make(
        "png16.png", "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "384x216", "-i", str(raw),
        "-frames:v", "1", "-pix_fmt", "rgb48be", "-update", "1",
    )  # fmt: skip


STILLS: dict[str, tuple[Callable[[Clips], Path], float]] = {
    "png": (lambda c: saved(c, "chart-8.png"), 3),
    "png-palette": (lambda c: saved(c, "chart-p.png", "P"), 3),
    "png-16-bit": (png16, 3),
    "jpeg-444": (lambda c: saved(c, "chart-444.jpg", quality=97, subsampling=0), 4),
    "jpeg-420": (lambda c: saved(c, "chart-420.jpg", quality=97, subsampling=2), 4),
    "jpeg-progressive": (lambda c: saved(c, "chart-prog.jpg", quality=97, progressive=True), 4),
    "jpeg-cmyk": (lambda c: saved(c, "chart-cmyk.jpg", "CMYK", quality=97), 5),
    "webp-lossless": (lambda c: saved(c, "chart-ll.webp", lossless=True), 3),
    "webp": (lambda c: saved(c, "chart.webp", quality=98), 5),
    "gif": (lambda c: saved(c, "chart.gif", "P"), 3),
    "bmp": (lambda c: saved(c, "chart.bmp"), 3),
    "tiff": (lambda c: saved(c, "chart.tiff"), 3),
    "tiff-lzw": (lambda c: saved(c, "chart-lzw.tif", compression="tiff_lzw"), 3),
    "avif": (lambda c: saved(c, "chart.avif", quality=95, subsampling="4:4:4"), 5),
    "avif-420": (lambda c: saved(c, "chart-420.avif", quality=95, subsampling="4:2:0"), 5),
}


@pytest.fixture(scope="module")
def stills(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    items = {name: still(make(clips)) for name, (make, _) in STILLS.items()}
    items["grey"] = still(saved(clips, "grey.png", "L"))
    items["grey-jpeg"] = still(saved(clips, "grey.jpg", "L", quality=97))
    return gallery(tmp_path_factory.mktemp("stills"), items)


@pytest.mark.parametrize("name", STILLS)
def test_a_still_of_any_kind_shows_its_colours(stills: Gallery, name: str) -> None:
    assert_patches(stills[name], STILLS[name][1])


@pytest.mark.parametrize("name", ["grey", "grey-jpeg"])
def test_a_grey_still_shows_its_greys(stills: Gallery, name: str) -> None:
    greys = Image.fromarray(chart(384, 216)).convert("L")
    for x, y in SPOTS.values():
        level = greys.getpixel((int(x * 384), int(y * 216)))
        assert isinstance(level, (int, float))
        found = stills[name].colour(x, y)
        assert max(abs(part - level) for part in found) <= 4


# Transparency


def veil() -> NDArray[np.uint8]:
    """White, four times: transparent, a quarter, half, opaque."""
    picture = np.full((216, 384, 4), 255, np.uint8)
    for n, alpha in enumerate((0, 64, 128, 255)):
        picture[:, 96 * n : 96 * (n + 1), 3] = alpha
    return picture


def veil_clip(clips: Clips, name: str, *options: str) -> Path:
    raw = clips.folder / "veil.raw"
    raw.write_bytes(veil().tobytes() * 6)
    return clips.make(
        name, "-f", "rawvideo", "-pix_fmt", "rgba", "-s", "384x216", "-r", "30", "-i", str(raw),
        *options,
    )  # fmt: skip


def veil_still(clips: Clips, name: str, **options: Any) -> Path:
    Image.fromarray(veil()).save(clips.folder / name, **options)
    return clips.folder / name


VEILS: dict[str, Callable[[Clips], dict[str, Any]]] = {
    "png": lambda c: still(veil_still(c, "veil.png")),
    "webp": lambda c: still(veil_still(c, "veil.webp", lossless=True)),
    "tiff": lambda c: still(veil_still(c, "veil.tiff")),
    "avif": lambda c: still(veil_still(c, "veil.avif", quality=95)),
    "png.mov": lambda c: moving(veil_clip(c, "veil-png.mov", "-c:v", "png")),
    "qtrle.mov": lambda c: moving(veil_clip(c, "veil-rle.mov", "-c:v", "qtrle")),
    "prores.mov": lambda c: moving(
        veil_clip(c, "veil-pr.mov", "-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt",
                  "yuva444p10le", "-alpha_bits", "16")
    ),
    "vp9.webm": lambda c: moving(
        veil_clip(c, "veil.webm", "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-b:v", "2M",
                  "-deadline", "realtime", "-cpu-used", "8", "-auto-alt-ref", "0")
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def veils(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    items = {name: make(clips) for name, make in VEILS.items()}
    return gallery(tmp_path_factory.mktemp("veils"), items)


@pytest.mark.parametrize("name", VEILS)
def test_what_is_transparent_is_shown_on_black(veils: Gallery, name: str) -> None:
    found = [veils[name].colour((2 * n + 1) / 8, 0.5) for n in range(4)]
    for colour, level in zip(found, (0, 64, 128, 255), strict=True):
        assert max(abs(part - level) for part in colour) <= 5, found
