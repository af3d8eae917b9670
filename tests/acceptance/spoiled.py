"""Files that no film can be made of: each built here, none found anywhere."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import Clips

WIDE = ("-f", "lavfi", "-i", "color=red:s=20000x16:d=0.1:r=10", "-c:v", "png")
"""Makes a clip that is wider than anything that can be used."""

FASTSTART = ("-c", "copy", "-movflags", "+faststart")


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each top-level box of an MP4."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        yield data[at + 4 : at + 8], at, at + size
        at += max(8, size)


def index_first(clips: Clips, clip: Path) -> Path:
    return clips.make(f"faststart-{clip.name}", "-i", str(clip), *FASTSTART)


def cut(source: Path, target: Path, share: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def without_index(source: Path, target: Path) -> Path:
    data = source.read_bytes()
    kept = (data[start:end] for kind, start, end in boxes(data) if kind != b"moov")
    target.write_bytes(b"".join(kept))
    return target


def encrypted(clips: Clips, clip: Path) -> Path:
    scheme = ("-encryption_scheme", "cenc-aes-ctr")
    key = ("-encryption_key", "76a6c65c5ea762046bd749a2e632ccbb")
    kid = ("-encryption_kid", "a7e61c373e219033c21091fa607bf3b8")
    return clips.make("encrypted.mp4", "-i", str(clip), "-c", "copy", *scheme, *key, *kid)


def scrambled(source: Path, target: Path, seed: int = 1) -> Path:
    """The clip with the middle of its media bytes overwritten; its index stays whole."""
    data = bytearray(source.read_bytes())
    start, end = next((a, b) for kind, a, b in boxes(bytes(data)) if kind == b"mdat")
    first, last = start + (end - start) // 4, end - (end - start) // 8
    data[first:last] = random.Random(seed).randbytes(last - first)
    target.write_bytes(bytes(data))
    return target


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(target: Path, width: int, height: int, *, whole: bool) -> Path:
    """A one-bit PNG that claims a size; only a whole one has all of its pixels."""
    rows = (b"\0" + b"\xff" * -(-width // 8)) * height if whole else b"\0" * 100
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    target.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return target


def giant_clip(clips: Clips, target: Path) -> Path:
    """A few hundred bytes of MP4 that claim 60 000 × 60 000 pixels, everywhere they can."""
    source = "color=red:s=16x16:d=0.1:r=30"
    small = clips.make("small-png.mov", "-f", "lavfi", "-i", source, "-c:v", "png", "-f", "mov")
    data = small.read_bytes()
    real, claimed = struct.pack(">II", 16, 16), struct.pack(">II", 60_000, 60_000)
    assert b"IHDR" + real in data
    data = data.replace(b"IHDR" + real, b"IHDR" + claimed)
    data = data.replace(struct.pack(">HHI", 16, 16, 0x480000), struct.pack(">HHI", 60_000, 60_000, 0x480000))  # fmt: skip
    data = data.replace(struct.pack(">II", 16 << 16, 16 << 16), struct.pack(">II", 60_000 << 16, 60_000 << 16))  # fmt: skip
    target.write_bytes(data)
    return target


def pointing_elsewhere(source: Path, target: Path, elsewhere: str) -> Path:
    """The clip with its media declared to lie in another file (an ``alis`` data reference)."""
    data = source.read_bytes()
    names = [kind for kind, _, _ in boxes(data)]
    assert names.index(b"mdat") < names.index(b"moov"), "no offset may move"
    start = next(a for kind, a, _ in boxes(data) if kind == b"moov")
    alias = _alias(elsewhere.encode())
    entry = struct.pack(">I", len(alias) + 12) + b"alis" + struct.pack(">I", 0) + alias
    target.write_bytes(data[:start] + _with_reference(data[start:], entry))
    return target


_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def _with_reference(data: bytes, entry: bytes) -> bytes:
    made = b""
    for kind, start, end in boxes(data):
        body = data[start + 8 : end]
        if kind in _PARENTS:
            body = _with_reference(body, entry)
        elif kind == b"dref":
            body = struct.pack(">II", 0, 1) + entry
        made += struct.pack(">I", len(body) + 8) + kind + body
    return made


def _alias(path: bytes) -> bytes:
    """A QuickTime alias record that names a file by its absolute path, with colons."""
    name = path.rpartition(b"/")[2][:60]
    head = bytes(4) + struct.pack(">HHH", 0, 2, 0)  # size and kind, as QuickTime leaves them
    volume = bytes([4]) + b"disk".ljust(27, b"\0") + bytes(12)
    file = bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    levels = struct.pack(">hh", 1, 1) + bytes(16)
    full = b"disk" + path.replace(b"/", b":")
    tags = struct.pack(">hH", 2, len(full)) + full + b"\0" * (len(full) % 2)
    return head + volume + file + levels + tags + struct.pack(">hH", -1, 0)
