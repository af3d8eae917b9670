"""What commands are made of, loaded when one of them runs: help and mistakes in a command line need none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reelyard.bootstrap import Reelyard
    from reelyard.settings import Settings


def make_reelyard(
    settings: Settings, encoder: str | None = None, at_once: int | None = None
) -> Reelyard:
    from reelyard.bootstrap import Reelyard

    return Reelyard(settings, encoder, at_once)


def read_settings() -> Settings:
    """Raises SettingsInvalid."""
    from reelyard.settings import read_settings

    return read_settings()


def local_username() -> str:
    """Who works at this machine, or ``unknown``."""
    from reelyard.bootstrap import local_username

    return local_username()
