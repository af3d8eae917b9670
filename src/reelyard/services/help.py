"""Help with a job as those who make its picture know it: others may make a segment, or have made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from reelyard.domain.help import OfferStanding
from reelyard.domain.plan import PictureSegment, Plan

Hear = Callable[[Sequence[OfferStanding]], None]


class Help(Protocol):
    """What the making of a film's picture needs of it."""

    @property
    def worker_id(self) -> str: ...

    def offer(self, plan: Plan, missing: Sequence[PictureSegment], hear: Hear) -> None:
        """Ask others to help with what is to be rendered; ``hear`` is told now and then what came of it."""

    def is_mine(self, key: str) -> bool:
        """Whether this machine makes the segment; otherwise somebody does or did."""

    def take_over(self, key: str) -> bool:
        """Make it here, whoever has it."""

    def progress(self, key: str, frames: int) -> None:
        """So much of a segment is made here."""

    def made(self, key: str) -> None:
        """A segment is finished here."""

    def standings(self) -> Mapping[str, OfferStanding]:
        """What is known of the offer, by key; nothing while the database is away."""

    def close(self) -> None:
        """Nothing more is wanted."""


class _NoHelp:
    """One machine makes everything."""

    worker_id = ""

    def offer(self, plan: Plan, missing: Sequence[PictureSegment], hear: Hear) -> None:
        """Nobody is asked."""

    def is_mine(self, key: str) -> bool:
        return True

    def take_over(self, key: str) -> bool:
        return True

    def progress(self, key: str, frames: int) -> None:
        """Nobody is told."""

    def made(self, key: str) -> None:
        """Nobody is told."""

    def standings(self) -> Mapping[str, OfferStanding]:
        return {}

    def close(self) -> None:
        """There is nothing to end."""


NO_HELP: Help = _NoHelp()
