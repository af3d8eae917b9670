"""What FFmpeg says when a graphics card can't encode, and what it means (pure).

The driver's words mislead: a consumer card that does as many encodes as it may at once is "out of memory", or
finds the "client key" wrong, whatever memory it has.
"""

from __future__ import annotations

from collections.abc import Iterable

from reelyard.domain.errors import EncoderUnavailable, GraphicsCardBusy

_FULL = (
    "OpenEncodeSessionEx failed: out of memory",
    "OpenEncodeSessionEx failed: incompatible client key",
)
_FULL_REMEDY = "Lower REELYARD_GPU_SESSIONS, and close other programs that record or encode video"

_NO_MEMORY = ("CUDA_ERROR_OUT_OF_MEMORY",)
_NO_MEMORY_REMEDY = (
    "Lower REELYARD_GPU_SESSIONS, and close games and other programs that use the card"
)

_OLD_DRIVER = ("minimum required Nvidia driver", "required nvenc API version")
_OLD_DRIVER_REMEDY = (
    "Install a newer NVIDIA driver, or let REELYARD_FFMPEG name an older FFmpeg that knows this one"
)

_NO_DRIVER = (
    "Cannot load libcuda",
    "Cannot load nvcuda",
    "Cannot load libnvidia-encode",
    "Cannot load nvEncodeAPI",
)
_NO_DRIVER_REMEDY = "Install the NVIDIA driver, or set REELYARD_ENCODER to libx264"

_GONE = (
    "CUDA_ERROR_NO_DEVICE",
    "CUDA_ERROR_INVALID_DEVICE",
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_UNKNOWN",
    "No capable devices found",
    "OpenEncodeSessionEx failed",
    "No CUDA capable devices found",
)
_GONE_REMEDY = "Restart the machine; if it stays so, install the driver again or set REELYARD_ENCODER to libx264"

_DECODER = "cuvid"  # what the decoder of the card refuses, the processor may decode


def trouble(lines: Iterable[str]) -> EncoderUnavailable | None:
    """The error that FFmpeg's last lines mean, if it is the card's and not the source's.

    A GraphicsCardBusy may pass by itself.
    """
    said = [line for line in lines if _DECODER not in line]
    for signs, error, message, remedy in (
        (_FULL, GraphicsCardBusy, "the graphics card does no more encodes at once", _FULL_REMEDY),
        (_NO_MEMORY, GraphicsCardBusy, "the graphics card's memory is full", _NO_MEMORY_REMEDY),
        (
            _NO_DRIVER,
            EncoderUnavailable,
            "there is no driver for a graphics card",
            _NO_DRIVER_REMEDY,
        ),
        (
            _OLD_DRIVER,
            EncoderUnavailable,
            "the graphics card's driver is too old",
            _OLD_DRIVER_REMEDY,
        ),
        (_GONE, EncoderUnavailable, "the graphics card can't encode", _GONE_REMEDY),
    ):
        if found := [line for sign in signs for line in said if sign in line]:
            return error(f"{message}; FFmpeg says: {found[0].rstrip('.')}", remedy=remedy)
    return None
