"""Galleries: many sources in one film, and the colour chart that they show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Clips, LocalFilm, Studio

from .measure import Shot, coded, rgb, shots

RGB = tuple[int, int, int]
PATCHES: tuple[tuple[RGB, ...], ...] = (
    ((200, 60, 50), (60, 180, 70), (50, 70, 190)),
    ((0, 0, 0), (255, 255, 255), (210, 160, 130)),
)
SPOTS = {
    colour: ((2 * column + 1) / 6, (2 * row + 1) / 4)
    for row, line in enumerate(PATCHES)
    for column, colour in enumerate(line)
}
SHORT = 0.1


def chart(width: int, height: int) -> NDArray[np.uint8]:
    """Six colours, three above three."""
    picture = np.zeros((height, width, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            rows = slice(height * row // 2, height * (row + 1) // 2)
            columns = slice(width * column // 3, width * (column + 1) // 3)
            picture[rows, columns] = PATCHES[row][column]
    return picture


@dataclass(frozen=True)
class Gallery:
    """One film of many short items, and the middle frame of each by name."""

    film: LocalFilm | None
    frames: Mapping[str, Shot]

    def __getitem__(self, name: str) -> Shot:
        assert name in self.frames, f"not shown; {self.film and self.film.warnings}"
        return self.frames[name]


def gallery(folder: Path, items: dict[str, dict[str, Any]], **job: Any) -> Gallery:
    studio = Studio(folder)
    film = studio.render(*items.values(), on_bad_item="skip", **job)
    names = list(items)
    middles = {names[one.position - 1]: one.start + one.frames // 2 for one in film.plan.items}
    found = shots(film.output, middles.values())
    return Gallery(film, {name: found[number] for name, number in middles.items()})


def still(path: Path) -> dict[str, Any]:
    return {"item_type": "image", "path": path, "duration": SHORT}


def moving(path: Path) -> dict[str, Any]:
    return {"item_type": "video", "path": path, "end": SHORT}


def assert_patches(shot: Shot, tolerance: float = 3) -> None:
    """Every patch has the code values that BT.709 in limited range gives its colour."""
    for colour, (x, y) in SPOTS.items():
        found, expected = shot.code(x, y), coded(colour)
        worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        assert worst <= tolerance, f"{colour} became {rgb(*found)}: {found}, not {expected}"


def saved(clips: Clips, name: str, mode: str = "RGB", **options: Any) -> Path:
    path = clips.folder / name
    picture = Image.fromarray(chart(384, 216))
    if mode == "P":
        picture = picture.quantize(16)
    elif mode != "RGB":
        picture = picture.convert(mode)
    picture.save(path, **options)
    return path
