"""Whether segments can be joined: a film has one set of parameters, written once, at its beginning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reelyard.domain.errors import OutputRejected


def check_one_kind(paths: Iterable[Path]) -> None:
    """Segments to be joined: each has the first one's parameter sets, or a decoder would misread the film.

    They are read off the files themselves, wherever those came from.
    """
    first: bytes | None = None
    for path in dict.fromkeys(paths):
        found = _decoder_configuration(path)
        first = first or found
        if found != first:
            raise OutputRejected(
                f"{path.name} was made by another encoder than the segments before it",
                remedy="Run reelyard cache clear, then again",
            )


def _decoder_configuration(path: Path) -> bytes:
    """What the file's ``avcC`` box holds: profile, level, SPS and PPS."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"moov":
                index = file.read(max(0, size - 8))
                at = index.find(b"avcC")
                if at >= 4:
                    return index[at + 4 : at - 4 + int.from_bytes(index[at - 4 : at], "big")]
                break
            if size == 1:
                file.seek(int.from_bytes(file.read(8), "big") - 16, 1)
            elif size >= 8:
                file.seek(size - 8, 1)
            else:
                break
    raise OutputRejected(
        f"{path.name} holds no H.264", remedy="Run again; if it stays so, report it"
    )
