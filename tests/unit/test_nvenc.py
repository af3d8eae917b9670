"""What FFmpeg says of a graphics card, in the words of operators."""

from __future__ import annotations

from reelyard.domain.errors import EncoderUnavailable, GraphicsCardBusy
from reelyard.engine.nvenc import trouble

# As FFmpeg 9 says it; the last line of each is what would otherwise be blamed on the clip.
ENDING = (
    "Error while opening encoder - maybe incorrect parameters such as bit_rate, rate, width or height.",
    "Nothing was written into output file, because at least one of its streams received no packets.",
)
FULL = (
    "OpenEncodeSessionEx failed: out of memory (10): (no details)",
    "No capable devices found",
    *ENDING,
)
KEY = (
    "OpenEncodeSessionEx failed: incompatible client key (21): (no details)",
    "No capable devices found",
    *ENDING,
)
OLD = (
    "Driver does not support the required nvenc API version. Required: 13.1 Found: 11.0",
    "The minimum required Nvidia driver for nvenc is 610.00 or newer",
    *ENDING,
)
NO_LIBRARY = (
    "Cannot load libnvidia-encode.so.1",
    "The minimum required Nvidia driver for nvenc is 610.00 or newer",
    *ENDING,
)


def test_a_card_that_does_no_more_encodes_is_said_to_and_not_to_be_out_of_memory() -> None:
    for lines in (FULL, KEY):
        found = trouble(lines)
        assert isinstance(found, GraphicsCardBusy)
        assert found.message.startswith("the graphics card does no more encodes at once")
        assert "REELYARD_GPU_SESSIONS" in found.remedy


def test_a_card_whose_memory_really_is_full_is_busy_too() -> None:
    found = trouble(
        ["cu->cuMemAlloc(&data, size) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory"]
    )
    assert isinstance(found, GraphicsCardBusy)
    assert "memory is full" in found.message


def test_a_driver_that_is_too_old_is_named_with_the_version_that_is_needed() -> None:
    found = trouble(OLD)
    assert isinstance(found, EncoderUnavailable)
    assert not isinstance(found, GraphicsCardBusy)
    assert "driver is too old" in found.message
    assert "610.00 or newer" in found.message


def test_a_missing_driver_is_not_called_an_old_one() -> None:
    for line in (NO_LIBRARY, ("Cannot load nvcuda.dll",), ("Cannot load libcuda.so.1",)):
        found = trouble(line)
        assert found is not None
        assert "there is no driver" in found.message


def test_a_card_that_is_gone_is_no_clips_fault() -> None:
    for line in ("No capable devices found", "cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected",
                 "OpenEncodeSessionEx failed: unsupported device (2): (no details)"):  # fmt: skip
        found = trouble([line])
        assert type(found) is EncoderUnavailable
        assert found.remedy


def test_what_the_cards_decoder_refuses_is_no_trouble_of_the_card() -> None:
    """The processor may decode it; and a broken clip is a clip's fault."""
    assert (
        trouble(["decoder->cvdl->cuvidCreateDecoder(...) failed -> CUDA_ERROR_OUT_OF_MEMORY"])
        is None
    )
    assert trouble(["Invalid data found when processing input"]) is None
    assert trouble([]) is None
