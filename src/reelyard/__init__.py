"""Reelyard: a render farm for video compilations."""

from importlib.metadata import version

__version__ = version("reelyard")
