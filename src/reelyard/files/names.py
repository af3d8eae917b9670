"""Names of files that every system can hold: a Linux machine that writes to a share makes names for Windows, too."""

from __future__ import annotations

RESERVED = frozenset('<>:"/\\|?*')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$",
     *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3")]
)  # fmt: skip


def is_device(name: str) -> bool:
    """Whether Windows takes a name for one of its devices, as it does ``NUL`` and ``con .txt``."""
    return name.split(".")[0].strip().lower() in _DEVICES


def short(text: str, longest: int) -> str:
    """The beginning of a text, so many bytes of UTF-8 at most, without what Windows drops from a name's ends."""
    kept = text.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore")
    return kept.strip(" .")
