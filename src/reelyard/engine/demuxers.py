"""Which files FFmpeg may open at all, told by their first bytes.

Extensions are never looked at. A still's demuxer follows from its magic bytes; for moving
pictures FFmpeg's own probing decides, held to the list below. Playlists, scripts and anything
that can name another file are not on it (HLS, DASH, concat and image2 patterns read other files).
"""

from __future__ import annotations

MOVING = (
    "mov",
    "mp4",
    "m4a",
    "3gp",
    "3g2",
    "mj2",
    "matroska",
    "webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "asf",
    "mxf",
    "ogg",
    "gif",
    "dv",
    "nut",
    # Sound alone: opened so that a user reads what is missing.
    "mp3",
    "wav",
    "flac",
    "aac",
)
PROTOCOLS = "file"
SEEKABLE = frozenset({"mov", "mp4", "matroska", "webm"})
"""Containers with an index: a seek lands on a key frame at or before the time asked for."""

HEAD_BYTES = 64


def still_demuxer(head: bytes) -> str | None:
    """The demuxer for a still picture that starts with ``head``; None if it is no still."""
    for magic, name in _STILLS:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return "mov"
    return None


_STILLS = (
    (b"\xff\xd8\xff", "jpeg_pipe"),
    (b"\x89PNG\r\n\x1a\n", "png_pipe"),
    (b"BM", "bmp_pipe"),
    (b"II*\x00", "tiff_pipe"),
    (b"MM\x00*", "tiff_pipe"),
)
_STILL_BRANDS = frozenset({b"avif", b"heic", b"heix", b"mif1", b"heim", b"heis"})


def disguise(head: bytes) -> str | None:
    """What a file is that no demuxer here may open, in words; None when nothing is known."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for prefix, name in _DISGUISES:
        if text[: len(prefix)].lower() == prefix:
            return name
    return None


_DISGUISES = (
    (b"#extm3u", "a playlist (HLS), not a film"),
    (b"ffconcat", "an FFmpeg script, not a film"),
    (b"<mpd", "a playlist (DASH), not a film"),
    (b"<?xml", "an XML file, not a film"),
    (b"<!doctype", "a web page, not a film"),
    (b"<html", "a web page, not a film"),
    (b"#!", "a script, not a film"),
    (b"[playlist]", "a playlist, not a film"),
    (b"%pdf", "a PDF document, not a film"),
    (b"pk\x03\x04", "a ZIP archive, not a film"),
)
