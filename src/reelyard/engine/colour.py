"""Reading a frame's colour tags, and what to take for granted where they are missing."""

from __future__ import annotations

import struct

from av.buffer import Buffer
from av.video.frame import VideoFrame

from reelyard.domain.media import Colour, Transfer

_MATRICES = {0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m",
             9: "bt2020nc", 10: "bt2020c"}  # fmt: skip
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020",
              11: "smpte431", 12: "smpte432"}  # fmt: skip
_TRANSFERS = {16: Transfer.PQ, 18: Transfer.HLG}
_SCALE_NAMES = {"smpte170m": "smpte170m", "bt2020nc": "bt2020nc", "bt2020c": "bt2020nc"}


def colour_of(frame: VideoFrame) -> Colour:
    """Colour as tagged; where a tag is missing, what players take for granted.

    RGB is full range. Untagged YUV is BT.709 from 720 lines on, BT.601 below; a PQ or HLG curve without
    primaries means BT.2020.
    """
    transfer = _TRANSFERS.get(int(frame.color_trc), Transfer.SDR)
    hdr = transfer is not Transfer.SDR
    high = frame.height >= 720 or frame.width >= 1280
    assumed = "bt2020nc" if hdr else "bt709" if high else "smpte170m"
    is_rgb = frame.format.is_rgb or frame.format.name == "pal8"
    matrix = "rgb" if is_rgb else _MATRICES.get(int(frame.colorspace), assumed)
    if not is_rgb and matrix == "rgb":
        matrix = assumed  # tagged RGB, but it is not
    primaries = _PRIMARIES.get(int(frame.color_primaries), "bt2020" if hdr else "bt709")
    full = is_rgb or frame.format.name.startswith("yuvj") or int(frame.color_range) == 2
    return Colour(
        matrix=_SCALE_NAMES.get(matrix, matrix),
        primaries=primaries,
        transfer=transfer,
        full_range=full,
        peak_nits=_peak_nits(frame) if hdr else 1000,
    )


def _peak_nits(frame: VideoFrame) -> int:
    """The mastering display's peak: the last rational but two in FFmpeg's structure."""
    try:
        data = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    except ValueError:
        return 1000  # side data of a kind that PyAV does not know
    raw = bytes(memoryview(data)) if isinstance(data, Buffer) else b""
    if len(raw) < 88:
        return 1000
    numerator, denominator, _primaries, known = struct.unpack_from("<iiii", raw, 72)
    nits = numerator // denominator if denominator and known else 1000
    return nits if 100 <= nits <= 10_000 else 1000
