"""Colours of clips of every coding, interlaced fields, and HDR, measured in finished films."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Clips, Studio

from .gallery import (
    PATCHES,
    Gallery,
    assert_patches,
    chart,
    gallery,
    moving,
    saved,
)
from .measure import Shot, coded, decoded, extent, shots

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
