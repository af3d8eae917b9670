"""Logos and animated text in finished films: where they are, when, and in what colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reelyard.domain.errors import JobRejected
from tests.conftest import Clips, Studio

from .measure import Shot, decoded, extent, shot, shots

Mask = NDArray[np.bool_]


def plain(clips: Clips, colour: str, seconds: float = 0.2, rate: int = 30) -> Path:
    """A clip of one colour."""
    return clips.make(
        f"plain-{colour}-{seconds}-{rate}.mp4",
        *("-f", "lavfi", "-i", f"color={colour}:s=128x72:r={rate}:d={seconds},format=yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "2"),
    )


def logo(clips: Clips, name: str, size: tuple[int, int], colour: tuple[int, ...]) -> Path:
    path = clips.folder / f"logo-{name}.png"
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(path)
    return path


def with_logos(clips: Clips, studio: Studio, logos: list[Path], colour: str, **job: Any) -> list[Shot]:  # fmt: skip
    """A frame of each item: the same clip under one logo after another."""
    clip = plain(clips, colour)
    film = studio.render(
        *({"item_type": "video", "path": clip, "logo_path": path, "end": 0.1} for path in logos),
        **job,
    )
    found = shots(film.output, [item.start + 1 for item in film.plan.items])
    return [found[item.start + 1] for item in film.plan.items]


SIZES = {
    "even": ((86, 40), (86, 40)),
    "odd-width": ((85, 40), (85, 40)),
    "odd-both": ((431, 121), (431, 121)),
    "just-fits": ((480, 270), (480, 270)),
    "square-too-large": ((1024, 1024), (270, 270)),
    "wide-too-large": ((3000, 200), (480, 32)),
    "tall-too-large": ((100, 800), (34, 270)),
    "larger-than-the-film": ((2500, 1500), (450, 270)),
}


def test_a_logo_lies_ten_pixels_from_the_top_and_the_right(clips: Clips, studio: Studio) -> None:
    """Larger ones are scaled to a quarter of the picture's width and height at most."""
    paths = [logo(clips, name, size, (255, 255, 255)) for name, (size, _) in SIZES.items()]
    for (name, (_, shown)), frame in zip(
        SIZES.items(), with_logos(clips, studio, paths, "black"), strict=True
    ):
        left, right, top, bottom = extent(frame.luma > 126)
        assert (right, top) == (1920 - 10 - 1, 10), name
        assert (right - left + 1, bottom - top + 1) == shown, name


def test_a_logo_lies_ten_pixels_from_the_edges_in_4k_too(clips: Clips, studio: Studio) -> None:
    path = logo(clips, "4k", (85, 41), (255, 255, 255))
    (frame,) = with_logos(clips, studio, [path], "black", enable_4k=True)
    assert extent(frame.luma > 126) == (3840 - 10 - 85, 3840 - 10 - 1, 10, 10 + 41 - 1)


def test_a_logo_keeps_its_colours(clips: Clips, studio: Studio) -> None:
    colours = [(220, 30, 40), (20, 160, 60), (30, 60, 200), (255, 255, 255), (0, 0, 0)]
    paths = [logo(clips, f"colour-{n}", (120, 60), colour) for n, colour in enumerate(colours)]
    for colour, frame in zip(colours, with_logos(clips, studio, paths, "gray"), strict=True):
        found = frame.colour((1910 - 60) / 1920, 40 / 1080)
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 4


def test_a_logos_transparency_is_respected(clips: Clips, studio: Studio) -> None:
    """Four stripes, the clip (grey 100) shows through as much as the stripe lets it."""
    picture = np.zeros((80, 160, 4), np.uint8)
    picture[..., 0] = 255
    alphas = (0, 64, 128, 255)
    for n, alpha in enumerate(alphas):
        picture[:, 40 * n : 40 * (n + 1), 3] = alpha
    path = clips.folder / "logo-veil.png"
    Image.fromarray(picture).save(path)
    (frame,) = with_logos(clips, studio, [path], "0x646464")
    for n, alpha in enumerate(alphas):
        found = frame.colour((1910 - 160 + 40 * n + 20) / 1920, 50 / 1080)
        share = alpha / 255
        expected = (255 * share + 100 * (1 - share), 100 * (1 - share), 100 * (1 - share))
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 5, alpha
    outside = frame.luma[:, : 1910 - 162]
    assert outside.max() - outside.min() <= 3


# Text


def ink(frame: Shot) -> Mask:
    """Where a frame is yellow."""
    blue = frame.blue.repeat(2, 0).repeat(2, 1)
    return (frame.luma > 150) & (blue < 70)


def glyphs(mask: Mask) -> list[tuple[int, int]]:
    """Runs of columns with ink: first and last."""
    columns = np.flatnonzero(mask.any(axis=0))
    breaks = np.flatnonzero(np.diff(columns) > 1)
    firsts = [columns[0], *columns[breaks + 1]]
    lasts = [*columns[breaks], columns[-1]]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def texts(clips: Clips, studio: Studio, *lines: str, seconds: float = 1.5) -> list[Shot]:
    """The last frame of an item for each text, when all of it is there."""
    clip = plain(clips, "gray", seconds, 10)
    film = studio.render(
        *({"item_type": "video", "path": clip, "text_animation_text": line} for line in lines)
    )
    numbers = [item.start + item.frames - 1 for item in film.plan.items]
    found = shots(film.output, numbers)
    return [found[number] for number in numbers]


def test_letters_come_one_by_one_go_at_ten_seconds_and_come_back_at_twenty(
    clips: Clips, studio: Studio
) -> None:
    line = "HUMDINOB"
    clip = plain(clips, "gray", 21.5, 2)
    film = studio.render({"item_type": "video", "path": clip, "text_animation_text": line})
    masks = {}
    amounts = []
    for number, frame in enumerate(decoded(film.output)):
        mask = ink(shot(frame))
        amounts.append(int(mask.sum()))
        if number < 40 or number in (150, 299, 300, 599) or number >= 600:
            masks[number] = mask
    full = amounts[150]
    spans = glyphs(masks[150])
    assert len(spans) == len(line)

    # One by one: letter n has its first ink in the 0.1 s after n * 0.1 s; it is whole 150 ms on.
    for cycle in (0, 600):
        for n, (first, last) in enumerate(spans):
            own = [int(masks[cycle + k][:, first : last + 1].sum()) for k in range(40)]
            whole = int(masks[150][:, first : last + 1].sum())
            begins = next(k for k, amount in enumerate(own) if amount > whole / 2)
            assert 3 * n < begins <= 3 * n + 4, f"letter {n} comes at frame {begins}"
            complete = round(30 * (n * 0.1 + 0.15)) + 1
            assert all(abs(amount - whole) < whole / 20 for amount in own[complete:])
    assert amounts[0] == 0
    assert all(abs(amount - full) <= full / 50 for amount in amounts[28:300])
    assert amounts[300:601] == [0] * 301
    assert all(abs(amount - full) <= full / 50 for amount in amounts[628:])
    # Nothing moves.
    place = extent(masks[150])
    assert extent(masks[39]) == extent(masks[299]) == extent(masks[640]) == place
    assert (masks[299] ^ masks[640]).sum() < full / 50


def test_text_is_yellow_with_a_black_outline_in_the_top_right_corner(
    clips: Clips, studio: Studio
) -> None:
    one, other = texts(clips, studio, "Hi", "Hello World")
    for frame in (one, other):
        left, right, top, bottom = extent(ink(frame))
        assert 1920 - 40 - 6 <= right < 1920 - 40 + 2
        assert 40 <= top <= 62
        assert 20 <= bottom - top <= 45
        outline = extent(frame.luma < 40)
        assert 2 <= left - outline[0] <= 6
        assert 2 <= top - outline[2] <= 6
        middle = frame.picture()[ink(frame)]
        red, green, blue = np.median(middle, axis=0)
        assert red > 245 and green > 245 and blue < 25
    assert extent(ink(one))[0] > extent(ink(other))[0]


LITERAL = {
    "override": r"{\an1}Hi",
    "new-line": r"Ma\NoW",
    "hard-space": r"Ma\hoW",
    "braces": "{Hi}{}",
    "backslashes": r"H\\H\\",
    "ends-open": "Hi{",
    "ends-in-backslash": "Hi\\",
    "drawing": r"{\p1}m0",
    "position": r"{\pos(9)}",
    "comma": "A,B,,C",
    "percent": "50%H:=",
}


def test_whatever_is_typed_is_drawn_as_it_is_typed(clips: Clips, studio: Studio) -> None:
    frames = texts(clips, studio, *LITERAL.values())
    for (name, line), frame in zip(LITERAL.items(), frames, strict=True):
        mask = ink(frame)
        _, right, top, bottom = extent(mask)
        assert 1920 - 40 - 12 <= right < 1920 - 40 + 2, name
        assert 40 <= top <= 75, name
        assert bottom <= 115, f"{name} is not on one line"
        drawn = len(glyphs(mask))
        # A percent sign has more than one run of columns; two braces back to back touch.
        assert abs(drawn - len(line)) <= line.count("%") + line.count("}{"), (name, drawn)


def test_line_breaks_in_a_text_are_spaces(clips: Clips, studio: Studio) -> None:
    broken, spaced = texts(clips, studio, "One\nTwo\r\n\tSix", "One Two Six")
    assert (ink(broken) ^ ink(spaced)).sum() == 0


def test_cyrillic_is_drawn_with_its_own_letters(clips: Clips, studio: Studio) -> None:
    """A font without them would draw the same empty box for each."""
    (frame,) = texts(clips, studio, "Жизнь")
    mask = ink(frame)
    shapes = set()
    for first, last in glyphs(mask):
        rows = mask[:, first : last + 1]
        shapes.add(rows[rows.any(axis=1)].tobytes())
    assert len(shapes) >= 5


def test_letters_that_no_font_has_are_refused_by_name(clips: Clips, studio: Studio) -> None:
    clip = plain(clips, "gray")
    with pytest.raises(JobRejected) as refused:
        studio.render(
            {"item_type": "video", "path": clip, "text_animation_text": "Fine"},
            {"item_type": "video", "path": clip, "text_animation_text": "旅行 ok"},
        )
    (problem,) = refused.value.problems
    assert problem.position == 2
    assert problem.field == "text_animation_text"
    assert "旅" in str(problem) and "item 2" in str(problem)
    assert not (studio.folder / "film.mp4").exists()
