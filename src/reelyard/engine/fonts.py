"""The fonts that texts are drawn with: from packages, so that every machine has the same ones.

Anton is a bold condensed face in the manner of Impact. Letters that it lacks are taken from the
next font that has them (Oswald: Cyrillic; Noto Sans: Greek and most other alphabets; then any font in
the folders of ``REELYARD_FONT_DIRS``). A letter that no font has is a problem to report, never
an empty box in a film.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from reelyard.domain.plan import Font, TextOverlay

from . import text as animation
from .memory import Memory

PACKAGES = ("fontpkg-anton", "fontpkg-oswald", "fontpkg-noto-sans")
SUFFIXES = frozenset({".ttf", ".otf", ".ttc"})
_INVISIBLE = animation.JOINERS | {"\N{VARIATION SELECTOR-16}"}


@dataclass(frozen=True, slots=True)
class Face:
    """One font file: its family name and the code points that it can draw."""

    family: str
    font: Font
    points: frozenset[int]

    def draws(self, letter: str) -> bool:
        return all(ord(char) in self.points for char in letter if char not in _INVISIBLE)


def catalogue(folders: Sequence[Path], memory: Memory) -> tuple[Face, ...]:
    """All faces in order of preference: the packaged ones, then those of the folders by name.

    A file in a folder that is no font is passed by.
    """
    paths = [path for package in PACKAGES for path in packaged(package)]
    for folder in folders:
        paths += sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in SUFFIXES and _readable(path)
        )
    return tuple(_remembered(path, memory) for path in paths)


def _readable(path: Path) -> bool:
    """Whether a file that a user put into a folder is a font at all."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            return bool(font.getBestCmap())
    except (TTLibError, OSError, KeyError, ValueError, struct.error):
        return False


def packaged(package: str) -> list[Path]:
    """The upright font files that a package brings along."""
    try:
        entries = files(package) or []
    except PackageNotFoundError:
        return []
    paths = [Path(str(entry.locate())) for entry in entries if entry.suffix in SUFFIXES]
    return sorted(path for path in paths if "Italic" not in path.name)


def _remembered(path: Path, memory: Memory) -> Face:
    """Reading a font takes a while, and it does not change."""
    stat = path.stat()
    name = ("font", str(path), str(stat.st_size), str(stat.st_mtime_ns))
    kept = memory.recall(*name)
    if isinstance(kept, list) and len(kept) == 3:
        family, fingerprint, points = kept
        return Face(family, Font(path=str(path), fingerprint=fingerprint), frozenset(points))
    face = _face(path)
    memory.keep([face.family, face.font.fingerprint, sorted(face.points)], *name)
    return face


def _face(path: Path) -> Face:
    from fontTools.ttLib import TTFont  # slow to import, and only texts need it

    with TTFont(path, fontNumber=0, lazy=True) as font:
        family = font["name"].getBestFamilyName() or path.stem
        points = frozenset(font.getBestCmap() or ())
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
    return Face(_plain(str(family)), Font(path=str(path), fingerprint=fingerprint), points)


def _plain(family: str) -> str:
    """A family's name as an ASS document can hold it; libass compares names letter by letter."""
    return "".join(char for char in family if char.isprintable() and char not in ",{}\\")


def overlay(text: str, seconds: Fraction, faces: Sequence[Face]) -> TextOverlay:
    """The animated text for a clip of ``seconds`` (a Fraction), with the fonts that it uses."""
    styled = [(letter, _chosen(letter, faces)) for letter in animation.letters(text)]
    used = {(face.family, face.font.fingerprint): face.font for _, face in styled}
    drawn = [(letter, face.family) for letter, face in styled]
    document = animation.document(drawn, seconds)
    return TextOverlay(document=document, fonts=tuple(used[name] for name in sorted(used)))


def _chosen(letter: str, faces: Sequence[Face]) -> Face:
    return next((face for face in faces if face.draws(letter)), faces[0])


def missing(text: str, faces: Iterable[Face]) -> list[str]:
    """The letters of a text that no font can draw, each once."""
    known = list(faces)
    lost = (x for x in animation.letters(text) if not any(face.draws(x) for face in known))
    return list(dict.fromkeys(lost))
