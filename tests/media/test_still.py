"""Small pictures of sources: what a player would show, fitted into 16:9, whatever the source is."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from reelyard.domain.errors import BadMedia, Cancelled
from reelyard.domain.media import Transfer
from reelyard.engine.probe import probe
from reelyard.engine.still import thumbnail
from tests.conftest import Clips

SIZE = (320, 180)
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
FIT = (
    "scale=w='min(320,round(180*dar))':h='min(180,round(320/dar))':flags=area,setsar=1,"
    "pad=320:180:-1:-1"
)
CLOSE = 4.0


def shown(path: Path, size: tuple[int, int] = SIZE) -> Image.Image:
    picture = Image.open(io.BytesIO(thumbnail(path, size)))
    assert picture.format == "JPEG"
    assert picture.size == size
    return picture.convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean over all values, 0 to 255, without the finest grain: JPEG has its own."""
    small = [picture.resize((80, 45), Image.Resampling.BOX) for picture in (one, other)]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


def light(picture: Image.Image) -> float:
    return ImageStat.Stat(picture.convert("L")).mean[0]


def played(clips: Clips, path: Path) -> Image.Image:
    """FFmpeg's own idea of the first frame, turned and fitted."""
    output = clips.folder / f"{path.name}.played.png"
    clips.run("-i", str(path), "-frames:v", "1", "-update", "1", "-vf", FIT, str(output))
    with Image.open(output) as picture:
        return picture.convert("RGB")


def bars(clips: Clips, name: str, size: str, *options: str) -> Path:
    """A clip in which nothing moves."""
    source = f"smptebars=size={size}:rate=10:duration=1"
    return clips.make(name, "-f", "lavfi", "-i", source, *(options or X264))


def turned(clips: Clips, degrees: int) -> Path:
    plain = bars(clips, "still-plain.mp4", "320x180")
    name = f"still-turned-{degrees}.mp4"
    return clips.make(name, "-display_rotation", str(degrees), "-i", str(plain), "-c", "copy")


CLIPS: dict[str, Callable[[Clips], Path]] = {
    "turned left": lambda clips: turned(clips, 90),
    "upside down": lambda clips: turned(clips, 180),
    "turned right": lambda clips: turned(clips, 270),
    "portrait": lambda clips: bars(clips, "still-portrait.mp4", "90x160"),
    "wide": lambda clips: bars(clips, "still-wide.mp4", "640x120"),
    "HD": lambda clips: bars(clips, "still-hd.mp4", "1280x720"),
    "anamorphic": lambda clips: bars(clips, "still-sar.mp4", "360x288", *X264, "-aspect", "16/9"),
    "full range": lambda clips: bars(
        clips, "still-full.mp4", "320x180", *X264[:4], "-pix_fmt", "yuvj420p"
    ),
    "10 bits": lambda clips: bars(
        clips, "still-10.mkv", "320x180", *X264[:4], "-pix_fmt", "yuv422p10"
    ),
    "VP9": lambda clips: bars(
        clips, "still.webm", "320x180", "-c:v", "libvpx-vp9", "-cpu-used", "8"
    ),
    "transport stream": lambda clips: bars(clips, "still.ts", "320x180"),
    "AVI": lambda clips: bars(clips, "still.avi", "320x180", "-c:v", "mpeg4", "-q:v", "2"),
    "MPEG-2": lambda clips: bars(clips, "still.mpg", "320x180", "-r", "25", "-q:v", "2"),
    "ProRes": lambda clips: bars(clips, "still.mov", "320x180", "-c:v", "prores_ks"),
    "GIF": lambda clips: bars(clips, "still.gif", "320x180", "-f", "gif"),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_a_clip_looks_as_a_player_shows_it(clips: Clips, kind: str) -> None:
    path = CLIPS[kind](clips)
    assert difference(shown(path), played(clips, path)) < CLOSE


@pytest.mark.parametrize("width", [160, 320, 640])
def test_a_clip_of_16_9_fills_the_picture(clips: Clips, width: int) -> None:
    picture = shown(bars(clips, "still-plain.mp4", "320x180"), (width, width * 9 // 16))
    edges = [picture.crop((x, 0, x + 2, 20)) for x in (0, width - 2)]
    assert min(max(ImageStat.Stat(edge).mean) for edge in edges) > 60


def test_a_clip_that_begins_in_the_dark_shows_what_comes_later(clips: Clips) -> None:
    dark = clips.make(
        "still-dark.mp4", "-f", "lavfi", "-i", "color=black:s=320x180:r=10:d=6", "-f", "lavfi", "-i",
        "smptebars=s=320x180:r=10:d=4", "-filter_complex", "concat=n=2:v=1", *X264, "-g", "10",
    )  # fmt: skip
    assert light(shown(dark)) > 50


def test_a_clip_with_one_key_frame_that_is_black_shows_what_follows(clips: Clips) -> None:
    faded = clips.make(
        "still-faded.mp4", "-f", "lavfi", "-i", "smptebars=s=320x180:r=30:d=3",
        "-vf", "fade=in:0:60", *X264, "-g", "999", "-sc_threshold", "0",
    )  # fmt: skip
    assert light(shown(faded)) > 20


def test_a_clip_that_is_dark_throughout_is_shown_dark(clips: Clips) -> None:
    black = clips.make(
        "still-black.mp4", "-f", "lavfi", "-i", "color=black:s=320x180:r=10:d=2", *X264
    )
    assert light(shown(black)) < 2


def colour_is_pq(path: Path) -> bool:
    return probe(path).video.colour.transfer is Transfer.PQ


def test_hdr_is_shown_neither_black_nor_burnt_out(clips: Clips) -> None:
    tags = "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc"
    white = clips.make(
        "still-pq.mkv", "-f", "lavfi", "-i", "color=0x949494:s=320x180:r=10:d=1",
        "-vf", f"format=yuv420p10,{tags}", *X264[:4],
    )  # fmt: skip
    assert colour_is_pq(white)
    assert 150 < light(shown(white)) < 240  # diffuse white


# Stills


def quarters(size: tuple[int, int] = (240, 160)) -> Image.Image:
    """Four colours, so that every turn can be told."""
    picture = Image.new("RGB", (2, 2))
    for n, colour in enumerate(((220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 240, 240))):
        picture.putpixel((n % 2, n // 2), colour)
    return picture.resize(size, Image.Resampling.NEAREST)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = quarters()
    undone = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if undone is None else upright.transpose(undone)
    stored.save(tmp_path / "a.jpg", quality=95, exif=exif)
    upright.save(tmp_path / "b.png")
    assert difference(shown(tmp_path / "a.jpg"), shown(tmp_path / "b.png")) < CLOSE


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}), ("p.png", "P", {}), ("l.jpg", "L", {}), ("c.jpg", "CMYK", {}),
        ("a.webp", "RGB", {}), ("a.avif", "RGB", {}), ("a.bmp", "RGB", {}), ("one.png", "1", {}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}), ("c.tif", "CMYK", {}), ("f.tif", "F", {}),
        ("la.png", "LA", {}),
    ],
)  # fmt: skip
def test_stills_of_any_form_are_shown(
    tmp_path: Path, name: str, mode: str, options: dict[str, str]
) -> None:
    grey = mode in ("L", "1", "F", "LA")
    quarters().save(tmp_path / "plain.png")
    plain = shown(tmp_path / "plain.png")
    quarters().convert(mode).save(tmp_path / name, **options)
    found = shown(tmp_path / name)
    reference = plain.convert("L").convert("RGB") if grey else plain
    assert difference(found, reference) < (70 if mode == "1" else 12)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path: Path) -> None:
    Image.new("I;16", (160, 90), 0x8000).save(tmp_path / "a.png")
    assert 118 < light(shown(tmp_path / "a.png")) < 138


def test_what_can_be_seen_through_lies_on_dark(tmp_path: Path) -> None:
    Image.new("RGBA", (160, 90), (255, 255, 255, 0)).save(tmp_path / "a.png")
    assert 5 < light(shown(tmp_path / "a.png")) < 40


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2)])
def test_odd_shapes_are_fitted(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (250, 250, 250)).save(tmp_path / "a.png")
    assert light(shown(tmp_path / "a.png")) > 0.5


# What can't be shown


def huge_png() -> bytes:
    """A few bytes that claim ten thousand million pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


SPOILED = {
    "empty": b"",
    "text": b"no film at all\n" * 100,
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "script": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "svg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "huge": huge_png(),
    "half a JPEG": b"\xff\xd8\xff\xe0" + bytes(50),
    "half a TIFF": b"II*\x00" + b"\xff" * 60,
    "half a BMP": b"BM" + b"\xff" * 60,
    "half a WebP": b"RIFF\xff\xff\xff\x00WEBPVP8 " + bytes(40),
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_what_is_no_picture_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(SPOILED[kind])
    with pytest.raises(BadMedia) as caught:
        thumbnail(path, SIZE)
    assert caught.value.message
    assert caught.value.remedy
    assert str(tmp_path) not in caught.value.message


def test_sound_alone_has_no_picture(clips: Clips) -> None:
    tone = clips.make("still-tone.m4a", "-f", "lavfi", "-i", "sine=duration=1")
    with pytest.raises(BadMedia, match="no picture"):
        thumbnail(tone, SIZE)


def test_a_film_without_its_index_says_so(clips: Clips, tmp_path: Path) -> None:
    whole = bars(clips, "still-plain.mp4", "320x180").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadMedia):
        thumbnail(tmp_path / "cut.mp4", SIZE)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadMedia):
        thumbnail(tmp_path / "gone.mp4", SIZE)


def test_it_can_be_stopped(clips: Clips) -> None:
    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        thumbnail(bars(clips, "still-plain.mp4", "320x180"), SIZE, stop)


def test_every_real_source_has_a_picture(clips: Clips, real_media: Path | None) -> None:
    """Or, where there are none, a generated one of each kind."""
    if real_media is None:
        paths = [make(clips) for make in CLIPS.values()]
    else:
        folders = (real_media / "video", real_media / "image", real_media / "logo")
        paths = [path for folder in folders for path in sorted(folder.iterdir())]
    assert {path.name: light(shown(path)) > 1 for path in paths} == dict.fromkeys(
        (path.name for path in paths), True
    )
