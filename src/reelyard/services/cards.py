"""What a person should know of the graphics cards of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reelyard.domain.farm import Capabilities
from reelyard.engine.encoders import NVENC
from reelyard.engine.gpus import Gpu
from reelyard.engine.nvenc import trouble

from .findings import Finding, Verdict

CARD_SECONDS = 120.0
"""How long it may take to prove what the cards can do; most of it is done once."""


@dataclass(frozen=True, slots=True)
class CardState:
    """A card and what it proved to do. ``reason``: FFmpeg's, for not encoding."""

    gpu: Gpu
    able: Capabilities
    reason: str | None = None


def card_findings(cards: Iterable[CardState], *, sessions: int, filters: bool) -> Iterator[Finding]:
    """One for each card. It does so many ``sessions`` at once, and decodes if ``filters``."""
    for card in cards:
        gpu, able = card.gpu, card.able
        what = f"graphics card {gpu.index}"
        if card.reason is not None:
            meant = trouble([card.reason])
            message = meant.message if meant else f"does not encode: {card.reason}"
            yield Finding(what, Verdict.NOTE, f"{gpu.model}: {message}",
                          meant.remedy if meant else "libx264 is used instead")  # fmt: skip
            continue
        sizes = "1080p and 4K" if NVENC in able.encoders_4k else "1080p, not 4K"
        message = f"{gpu.model}: encodes {sizes}, {sessions} at once at most"
        if able.decodes:
            yield Finding(what, Verdict.OK, f"{message}; decodes {', '.join(able.decodes)}")
        elif filters:
            yield Finding(what, Verdict.NOTE, f"{message}; clips are decoded by the processor",
                          "Install the whole NVIDIA driver, with its libraries for video")  # fmt: skip
        else:
            yield Finding(what, Verdict.OK, f"{message}; decoding there is switched off")
