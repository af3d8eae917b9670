"""One small picture of a source, as people see it in lists: a key frame of a clip, or the still itself.

Made in process, and with no more than the probe may do. What a file is follows from its first bytes, and
its size is looked at before anything is decoded.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from reelyard.domain.errors import BadMedia

from . import demuxers
from .probe import head_of
from .shot import Size, check_pixels, fitted, opaque, shot

_FORMATS = {
    "jpeg_pipe": "JPEG",
    "png_pipe": "PNG",
    "webp_pipe": "WEBP",
    "bmp_pipe": "BMP",
    "tiff_pipe": "TIFF",
    "mov": "AVIF",
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_PILLOW = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError,
           struct.error, RuntimeError)  # fmt: skip
"""What Pillow raises for damaged files."""


def _go_on() -> None:
    """Nothing stops this."""


def thumbnail(path: Path, size: Size, check: Callable[[], None] = _go_on) -> bytes:
    """A JPEG of ``size`` with the picture of one source, fitted into black. Raises BadMedia.

    ``check`` is called between steps and raises to stop it.
    """
    head = _head(path)
    demuxer = demuxers.still_demuxer(head)
    if demuxer is None and (words := demuxers.disguise(head)):
        raise BadMedia(f"this is {words}", remedy="Name a media file", reason="not_media")
    picture = _photograph(path, _FORMATS[demuxer], size) if demuxer else None
    if picture is None:
        picture = shot(path, demuxer, size, check)
    canvas = Image.new("RGB", size)
    canvas.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    output = io.BytesIO()
    canvas.save(output, "JPEG", quality=82)
    return output.getvalue()


def _head(path: Path) -> bytes:
    try:
        head = head_of(path)
    except (OSError, ValueError) as error:
        raise BadMedia(f"can't be read ({error})", remedy="Check the path, and who may read it",
                       reason="unreadable") from error  # fmt: skip
    if not head:
        raise BadMedia("the file is empty", remedy="Copy it again", reason="empty")
    return head


def _photograph(path: Path, kind: str, box: Size) -> Image.Image | None:
    """The still; None where Pillow does not know its kind, and FFmpeg may."""
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and looked at before anything is decoded
    try:
        with Image.open(path, formats=(kind,)) as image:
            image.draft("RGB", (2 * box[0], 2 * box[0]))  # a JPEG can be decoded smaller
            check_pixels(*image.size)
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
            return opaque(_turned(_plain(image), turn, box))
    except UnidentifiedImageError:
        return None
    except _PILLOW as error:
        raise BadMedia(f"the picture is damaged ({error})", remedy="Export it again",
                       reason="damaged") from error  # fmt: skip


def _plain(image: Image.Image) -> Image.Image:
    """The picture as RGB or RGBA, whatever its form."""
    if image.mode.startswith("I"):  # 16 bits a pixel
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _turned(image: Image.Image, turn: Image.Transpose | None, box: Size) -> Image.Image:
    sideways = turn is not None and turn in (
        Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270,
    )  # fmt: skip
    room = (box[1], box[0]) if sideways else box
    size = fitted(Fraction(image.width), image.height, room)
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    return small if turn is None else small.transpose(turn)
