"""What is in the frames of a finished film: form, place, proportions, orientation, colour, light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from reelyard.services.render_job import Rendered
from tests.conftest import Clips, Studio

from .measure import Shot, coded, decoded, extent, frame_times, rgb, shots

RGB = tuple[int, int, int]
PATCHES: tuple[tuple[RGB, ...], ...] = (
    ((200, 60, 50), (60, 180, 70), (50, 70, 190)),
    ((0, 0, 0), (255, 255, 255), (210, 160, 130)),
)
SPOTS = {
    colour: ((2 * column + 1) / 6, (2 * row + 1) / 4)
    for row, line in enumerate(PATCHES)
    for column, colour in enumerate(line)
}
SHORT = 0.1


def chart(width: int, height: int) -> NDArray[np.uint8]:
    """Six colours, three above three."""
    picture = np.zeros((height, width, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            rows = slice(height * row // 2, height * (row + 1) // 2)
            columns = slice(width * column // 3, width * (column + 1) // 3)
            picture[rows, columns] = PATCHES[row][column]
    return picture


@dataclass(frozen=True)
class Gallery:
    """One film of many short items, and the middle frame of each by name."""

    film: Rendered | None
    frames: Mapping[str, Shot]

    def __getitem__(self, name: str) -> Shot:
        assert name in self.frames, f"not shown; {self.film and self.film.warnings}"
        return self.frames[name]


def gallery(folder: Path, items: dict[str, dict[str, Any]], **job: Any) -> Gallery:
    studio = Studio(folder)
    film = studio.render(*items.values(), on_bad_item="skip", **job)
    names = list(items)
    middles = {names[one.position - 1]: one.start + one.frames // 2 for one in film.plan.items}
    found = shots(film.output, middles.values())
    return Gallery(film, {name: found[number] for name, number in middles.items()})


def still(path: Path) -> dict[str, Any]:
    return {"item_type": "image", "path": path, "duration": SHORT}


def moving(path: Path) -> dict[str, Any]:
    return {"item_type": "video", "path": path, "end": SHORT}


def assert_patches(shot: Shot, tolerance: float = 3) -> None:
    """Every patch has the code values that BT.709 in limited range gives its colour."""
    for colour, (x, y) in SPOTS.items():
        found, expected = shot.code(x, y), coded(colour)
        worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        assert worst <= tolerance, f"{colour} became {rgb(*found)}: {found}, not {expected}"


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


def saved(clips: Clips, name: str, mode: str = "RGB", **options: Any) -> Path:
    path = clips.folder / name
    picture = Image.fromarray(chart(384, 216))
    if mode == "P":
        picture = picture.quantize(16)
    elif mode != "RGB":
        picture = picture.convert(mode)
    picture.save(path, **options)
    return path


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


# Colours of clips


def coded_chart(
    clips: Clips, name: str, pixels: str, *options: str, size: tuple[int, int] = (384, 216),
    matrix: str = "bt709", full: bool = False, tags: str = "",
) -> Path:  # fmt: skip
    """A clip whose coded values are computed here; nothing of FFmpeg converts a colour."""
    width, height = size
    bits = 10 if "10" in pixels else 8
    divisors = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
    down_x, down_y = divisors[pixels.removeprefix("yuvj").removeprefix("yuv")[:3]]
    codes = {c: coded(c, matrix, full=full, bits=bits) for line in PATCHES for c in line}
    picture = chart(width, height)
    planes = [np.zeros((height, width), np.uint16 if bits > 8 else np.uint8) for _ in range(3)]
    for colour, code in codes.items():
        mask = (picture == np.array(colour, np.uint8)).all(axis=-1)
        for plane, value in zip(planes, code, strict=True):
            plane[mask] = value
    planes[1:] = [plane[::down_y, ::down_x] for plane in planes[1:]]
    raw = clips.folder / f"{name}.raw"
    raw.write_bytes(b"".join(plane.tobytes() for plane in planes) * 6)
    lossless = options or ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
    made = clips.make(
        name, "-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", "30",
        "-i", str(raw), *(("-vf", f"setparams={tags}") if tags else ()), *lossless,
    )  # fmt: skip
    raw.unlink(missing_ok=True)
    return made


HD_SIZE = (1280, 720)
TV, PC = "range=limited:colorspace={}", "range=full:colorspace={}"
FFV1 = ("-c:v", "ffv1")
CODINGS: dict[str, Callable[[Clips], Path]] = {
    "hd-untagged": lambda c: coded_chart(c, "c1.mp4", "yuv420p", size=HD_SIZE),
    "hd-709": lambda c: coded_chart(c, "c2.mp4", "yuv420p", size=HD_SIZE, tags=TV.format("bt709")),
    "full-hd-709": lambda c: coded_chart(
        c, "c2b.mp4", "yuv420p", size=(1920, 1080), tags=TV.format("bt709")
    ),
    "sd-untagged-is-601": lambda c: coded_chart(c, "c3.mp4", "yuv420p", matrix="smpte170m"),
    "sd-601": lambda c: coded_chart(
        c, "c4.mp4", "yuv420p", matrix="smpte170m", tags=TV.format("smpte170m")
    ),
    "sd-601-pal": lambda c: coded_chart(
        c, "c5.mp4", "yuv420p", matrix="smpte170m", tags=TV.format("bt470bg")
    ),
    "sd-709": lambda c: coded_chart(c, "c6.mp4", "yuv420p", tags=TV.format("bt709")),
    "hd-601": lambda c: coded_chart(
        c, "c7.mp4", "yuv420p", size=HD_SIZE, matrix="smpte170m", tags=TV.format("smpte170m")
    ),
    "full-range-709": lambda c: coded_chart(
        c, "c8.mp4", "yuv420p", size=HD_SIZE, full=True, tags=PC.format("bt709")
    ),
    "full-range-601": lambda c: coded_chart(
        c, "c9.mp4", "yuv420p", matrix="smpte170m", full=True, tags=PC.format("smpte170m")
    ),
    "full-range-1080p": lambda c: coded_chart(
        c, "c9b.mp4", "yuv420p", size=(1920, 1080), full=True, tags=PC.format("bt709")
    ),
    "mjpeg": lambda c: coded_chart(
        c, "c10.avi", "yuvj420p", "-c:v", "mjpeg", "-q:v", "1", matrix="smpte170m", full=True
    ),
    "422": lambda c: coded_chart(c, "c11.mp4", "yuv422p", tags=TV.format("bt709")),
    "444": lambda c: coded_chart(c, "c12.mp4", "yuv444p", tags=TV.format("bt709")),
    "10-bit": lambda c: coded_chart(c, "c13.mp4", "yuv420p10le", tags=TV.format("bt709")),
    "10-bit-422": lambda c: coded_chart(
        c, "c14.mkv", "yuv422p10le", *FFV1, size=HD_SIZE, tags=TV.format("bt709")
    ),
    "10-bit-444-full-range": lambda c: coded_chart(
        c, "c15.mkv", "yuv444p10le", *FFV1, full=True, tags=PC.format("bt709")
    ),
    "prores-422": lambda c: coded_chart(
        c, "c16.mov", "yuv422p10le", "-c:v", "prores_ks", "-profile:v", "hq", size=HD_SIZE,
        tags=TV.format("bt709") + ":color_primaries=bt709:color_trc=bt709",
    ),
    "vp9-untagged-sd": lambda c: coded_chart(
        c, "c17.webm", "yuv420p", "-c:v", "libvpx-vp9", "-lossless", "1", "-deadline", "realtime",
        "-cpu-used", "8", matrix="smpte170m",
    ),
    "sdr-2020-matrix": lambda c: coded_chart(
        c, "c18.mkv", "yuv420p10le", *FFV1, matrix="bt2020nc",
        tags=TV.format("bt2020nc") + ":color_primaries=bt709:color_trc=bt709",
    ),
    "rgb": lambda c: c.make(
        "c19.mkv", "-loop", "1", "-r", "30", "-t", "0.2", "-i", str(saved(c, "for-rgb.png")),
        "-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast",
    ),
    "gbrp-ffv1": lambda c: c.make(
        "c20.mkv", "-loop", "1", "-r", "30", "-t", "0.2", "-i", str(saved(c, "for-gbr.png")),
        "-c:v", "ffv1", "-pix_fmt", "gbrp",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def codings(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    items = {name: moving(make(clips)) for name, make in CODINGS.items()}
    return gallery(tmp_path_factory.mktemp("codings"), items)


@pytest.mark.parametrize("name", CODINGS)
def test_a_clip_of_any_coding_shows_its_colours(codings: Gallery, name: str) -> None:
    assert_patches(codings[name])


# Fields


def test_interlaced_pictures_become_progressive(clips: Clips, studio: Studio) -> None:
    """A bar moves 24 pixels a field: woven fields would show it as a comb."""
    frames = []
    for n in range(12):
        frame = np.full((1080, 1920), 60, np.uint8)
        for field in range(2):
            x = 300 + 24 * (2 * n + field)
            frame[field::2, x : x + 200] = 200
        frames.append(frame.tobytes() + bytes([128]) * (1920 * 540))
    raw = clips.folder / "fields.raw"
    raw.write_bytes(b"".join(frames))
    path = clips.make(
        "fields.mp4", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "1920x1080", "-r", "25",
        "-i", str(raw), "-vf", "setfield=tff", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "8",
        "-flags", "+ildct+ilme", "-x264-params", "tff=1",
    )  # fmt: skip
    raw.unlink()
    with av.open(str(path)) as container:
        source = next(container.decode(video=0))
        assert source.interlaced_frame
        woven = comb(np.asarray(source.to_ndarray())[:1080].astype(np.uint8))
    film = studio.render({"item_type": "video", "path": path})
    found = shots(film.output, range(3, 11))
    assert woven > 10
    for number, shot in found.items():
        assert comb(shot.luma) < woven / 10, f"frame {number} is combed"
        left, right, _, _ = extent(shot.luma[200:880] > 150)
        assert abs(right - left - 200) < 30
        assert shot.luma.max() > 190


def comb(luma: NDArray[np.uint8]) -> float:
    """How much rows differ from the rows above and below them, where anything moves."""
    rows = luma[100:980].astype(int)
    between = np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:])
    return float(between[:, 250:1100].mean())


# Light


NITS = (0.0, 1, 5, 20, 50, 100, 203, 300, 400, 600, 800, 1000)


def pq(nits: float) -> float:
    """The share of full signal that ST 2084 gives a luminance."""
    y = (nits / 10_000) ** (2610 / 16384)
    share = (3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)
    return float(share ** (2523 / 4096 * 128))


def ramp(clips: Clips, name: str, signal: list[float], transfer: str, *options: str) -> Path:
    """Grey bars of equal width in 10 bits, tagged as BT.2020 with a transfer."""
    row = np.repeat([round(64 + 876 * share) for share in signal], 640 // len(signal))
    width = row.size // 2 * 2
    luma = np.tile(row[:width].astype(np.uint16), (360, 1))
    chroma = np.full(width // 2 * 180 * 2, 512, np.uint16)
    raw = clips.folder / f"{name}.raw"
    raw.write_bytes((luma.tobytes() + chroma.tobytes()) * 6)
    tags = f"range=limited:colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}"
    return clips.make(
        name, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x360", "-r", "30",
        "-i", str(raw), "-vf", f"setparams={tags}", *options,
    )  # fmt: skip


HDR265 = ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1", "-x265-params")
MASTER = (
    "qp=4:log-level=error:hdr10=1:repeat-headers=1:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)
HLG_STEPS = [n / 11 for n in range(12)]


@pytest.fixture(scope="module")
def lights(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    grey = [pq(nits) for nits in NITS]
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "2")
    items = {
        "hdr10": ramp(clips, "hdr10.mp4", grey, "smpte2084", *HDR265, MASTER),
        "pq-no-metadata": ramp(clips, "pq.mkv", grey, "smpte2084", *x264),
        "hlg": ramp(clips, "hlg.mp4", HLG_STEPS, "arib-std-b67", *HDR265, "qp=4:log-level=error"),
        "hlg-white": ramp(clips, "hlg-white.mkv", [0, 0.75] * 4, "arib-std-b67", *x264),
    }
    return gallery(
        tmp_path_factory.mktemp("lights"), {name: moving(path) for name, path in items.items()}
    )


def steps(shot: Shot, count: int = 12) -> list[float]:
    """The luma of each bar; none may have got a tint."""
    found = [shot.code((2 * n + 1) / (2 * count), 0.5) for n in range(count)]
    for _, blue, red in found:
        assert abs(blue - 128) <= 2 and abs(red - 128) <= 2, found
    return [y for y, _, _ in found]


@pytest.mark.parametrize("name", ["hdr10", "pq-no-metadata"])
def test_pq_is_tone_mapped_not_clipped(lights: Gallery, name: str) -> None:
    levels = steps(lights[name])
    assert abs(levels[0] - 16) <= 1.5
    assert 170 <= levels[NITS.index(203)] <= 235, levels
    assert all(b - a >= 1 for a, b in pairwise(levels)), levels
    assert levels[-1] <= 236
    assert levels[-1] - levels[NITS.index(300)] >= 4, f"highlights are flat: {levels}"
    assert levels[NITS.index(20)] >= 40, f"shadows are crushed: {levels}"


def test_hlg_is_tone_mapped_not_clipped(lights: Gallery) -> None:
    levels = steps(lights["hlg"])
    assert abs(levels[0] - 16) <= 1.5
    assert all(b - a >= 1 for a, b in pairwise(levels)), levels
    assert 215 <= levels[-1] <= 236
    white = steps(lights["hlg-white"], 8)
    assert 170 <= white[1] <= 235, white


def test_tone_mapped_films_are_tagged_as_bt709(lights: Gallery) -> None:
    assert lights.film is not None
    frame = next(iter(decoded(lights.film.output)))
    tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
    assert [int(tag) for tag in tags] == [1, 1, 1, 1]
    assert frame.side_data.get("MASTERING_DISPLAY_METADATA") is None
    assert frame.side_data.get("CONTENT_LIGHT_LEVEL") is None
