"""Animated text: the system's figures, and that a text stays a text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reelyard.engine.text import MOST_LETTERS, document, letters, literal

BLOCK = re.compile(r"\\alpha&HFF&\\t\((\d+),(\d+),\\alpha&H00&\)")
WORD_JOINER = "\N{WORD JOINER}"


@dataclass
class Line:
    """A dialogue line as libass reads it."""

    start: str
    end: str
    shown: str = ""
    breaks: int = 0
    blocks: list[str] = field(default_factory=list)


def read(ass: str) -> list[Line]:
    """The dialogue of a document, by libass's rules for escapes and override blocks."""
    lines = []
    for row in ass.splitlines():
        if not row.startswith("Dialogue: "):
            continue
        fields = row.removeprefix("Dialogue: ").split(",", 9)
        line = Line(start=fields[1], end=fields[2])
        _scan(fields[9], line)
        lines.append(line)
    return lines


def _scan(text: str, line: Line) -> None:
    at = 0
    while at < len(text):
        two = text[at : at + 2]
        if two in ("\\N", "\\n"):
            line.breaks += 1
            at += 2
        elif two in ("\\h", "\\{", "\\}"):
            line.shown += "\N{NO-BREAK SPACE}" if two == "\\h" else two[1]
            at += 2
        elif text[at] == "{" and "}" in text[at:]:
            end = text.index("}", at)
            line.blocks.append(text[at + 1 : end])
            at = end + 1
        else:
            line.shown += text[at]
            at += 1


def styled(text: str, font: str = "Anton") -> list[tuple[str, str]]:
    return [(letter, font) for letter in letters(text)]


def seconds(stamp: str) -> Fraction:
    hours, minutes, rest = stamp.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + Fraction(rest)


# What the system asks for


def test_each_letter_appears_a_tenth_of_a_second_after_the_one_before_and_fades_in() -> None:
    (line,) = read(document(styled("Hello"), Fraction(5)))
    timings = [BLOCK.fullmatch(block) for block in line.blocks]
    assert [match and (int(match[1]), int(match[2])) for match in timings] == [
        (0, 150),
        (100, 250),
        (200, 350),
        (300, 450),
        (400, 550),
    ]


def test_a_text_stays_for_ten_seconds_of_a_cycle_of_twenty() -> None:
    lines = read(document(styled("Hello"), Fraction(65)))
    assert [(int(seconds(line.start)), int(seconds(line.end))) for line in lines] == [
        (0, 10),
        (20, 30),
        (40, 50),
        (60, 70),
    ]


@pytest.mark.parametrize(
    ("duration", "cycles"),
    [
        (Fraction(1, 30), 1),
        (Fraction(20), 1),
        (Fraction(20) + Fraction(1, 30), 2),
        (Fraction(7200), 360),
    ],
)
def test_cycles_repeat_to_the_end_of_the_clip(duration: Fraction, cycles: int) -> None:
    assert len(read(document(styled("Hello"), duration))) == cycles


def test_times_beyond_an_hour_are_written_with_their_hours() -> None:
    last = read(document(styled("Hello"), Fraction(3641)))[-1]
    assert (last.start, last.end) == ("1:00:40.00", "1:00:50.00")


def test_the_last_letter_that_is_allowed_is_there_before_the_text_goes() -> None:
    (line,) = read(document(styled("x" * MOST_LETTERS), Fraction(5)))
    match = BLOCK.fullmatch(line.blocks[-1])
    assert match is not None
    assert int(match[2]) <= 10_000 < int(match[2]) + 100


def test_the_canvas_is_1080p_and_the_style_is_the_systems() -> None:
    rows = dict(
        row.split(": ", 1)
        for row in document(styled("Hello"), Fraction(5)).splitlines()
        if ": " in row and not row.startswith(("Dialogue", "Format"))
    )
    assert (rows["PlayResX"], rows["PlayResY"]) == ("1920", "1080")
    assert rows["ScriptType"] == "v4.00+"
    header = document(styled("Hello"), Fraction(5)).partition("[V4+ Styles]\n")[2].splitlines()
    names = header[0].removeprefix("Format: ").split(", ")
    style = dict(zip(names, header[1].removeprefix("Style: ").split(","), strict=True))
    assert style["Fontname"] == "Anton"
    assert style["Fontsize"] == "50"
    assert style["Bold"] == "-1"
    assert style["PrimaryColour"] == "&H0000FFFF"  # opaque yellow: blue 00, green FF, red FF
    assert style["OutlineColour"] == "&H00000000"  # opaque black
    assert style["BorderStyle"] == "1"
    assert (style["Outline"], style["Shadow"]) == ("4", "3")
    assert style["Alignment"] == "9"  # top right
    assert (style["MarginL"], style["MarginR"], style["MarginV"]) == ("40", "40", "40")


def test_a_text_of_no_letters_has_no_document() -> None:
    with pytest.raises(ValueError, match="at least one letter"):
        document([], Fraction(5))


def test_the_first_letters_font_is_the_styles_and_others_are_named_where_they_change() -> None:
    ass = document([("a", "Anton"), ("Ж", "Oswald"), ("б", "Oswald"), ("b", "Anton")], Fraction(5))
    assert "Style: Text,Anton,50," in ass
    (line,) = read(ass)
    assert [re.match(r"\\fn(\w+)", block) and block[3:9] for block in line.blocks] == [
        None,
        "Oswald",
        None,
        "Anton\\",
    ]


# Text is text

NASTY = st.text(
    st.sampled_from(list("{}\\Nnhpanfr1&H(),\n\r\t Äé\u0301\u20dd\u0d4e\u200d\u2060\0"))
)


@given(st.one_of(NASTY, st.text()))
@example("{\\an1}")
@example("\\N\\n\\h")
@example("{\\p1}m 0 0 l 9 9{\\p0}")
@example("\\{\\an1}")
@example("a\\")
@example("{\u0301\\an1}")  # a brace with an accent is one letter
@example("\u0d4e{x}")  # so is a letter that joins the brace after it
@example("\u0d4e\\")
@example("first\nDialogue: 0,0:00:00.00,0:00:09.00,Text,,0,0,0,,second")
def test_no_text_can_open_an_override_block_or_break_a_line(text: str) -> None:
    if not letters(text):
        return
    (line,) = read(document(styled(text), Fraction(5)))
    assert line.breaks == 0
    assert len(line.blocks) == len(letters(text))
    assert all(BLOCK.fullmatch(block) for block in line.blocks)
    assert line.shown.replace(WORD_JOINER, "") == "".join(letters(text)).replace(WORD_JOINER, "")


@given(NASTY)
def test_a_document_has_as_many_lines_whatever_the_text_says(text: str) -> None:
    if letters(text):
        plain = document(styled("x"), Fraction(5))
        assert len(document(styled(text), Fraction(5)).splitlines()) == len(plain.splitlines())


@pytest.mark.parametrize("letter", ["{", "}", "\\", "{\u0301", "}\u0301", "\\\u0301"])
def test_a_letter_is_drawn_as_itself_before_any_other(letter: str) -> None:
    """Also before what would make it a code: N, a brace, a tag."""
    for following in ("N", "n", "h", "{\\an1}", "}", "an1"):
        line = Line("", "")
        _scan(literal(letter) + following, line)
        assert line.breaks == 0
        assert line.shown.replace(WORD_JOINER, "").startswith(letter)
        assert line.blocks == (["\\an1"] if following == "{\\an1}" else [])


# Letters


def test_letters_are_what_a_reader_calls_letters() -> None:
    assert letters("e\u0301a") == ["e\u0301", "a"]
    assert letters("🇫🇷🇩🇪") == ["🇫🇷", "🇩🇪"]


def test_any_white_space_is_one_space_and_none_at_the_ends() -> None:
    assert letters(" a\n\r\n\t b\u00a0\u3000 ") == ["a", " ", "b"]


def test_control_characters_are_dropped() -> None:
    """A zero-width space, a soft hyphen or a bell between two letters draws nothing."""
    assert letters("a\u200bb\u00adc\x07d") == ["a", "b", "c", "d"]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\x00\x07", "\u200b"])
def test_a_text_that_draws_nothing_has_no_letters(text: str) -> None:
    assert letters(text) == []
