"""Letter-by-letter text as an ASS document (pure).

Each letter appears 0.1 s after the one before and fades in over 150 ms; the whole text stays until
10 s into the cycle; the cycle repeats every 20 s. Letters take their room from the start, so
nothing moves while they appear.

A text is text. Every letter becomes one literal glyph: nothing that a user types can open an ASS
override block, name a drawing or break a line. Which font draws a letter is decided here, letter by
letter, so that the result is the same on every machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import regex

from reelyard.domain.timeline import FRAME_RATE

LETTER_MS = 100
FADE_MS = 150
SHOWN_MS = 10_000
CYCLE_MS = 20_000
MOST_LETTERS = (SHOWN_MS - FADE_MS) // LETTER_MS + 1
"""More letters would still be appearing when the text goes."""

JOINERS = frozenset("\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}")
_WORD_JOINER = "\N{WORD JOINER}"  # invisible; parts a backslash from what could follow it

_HEADER = """\
[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 0
ScaledBorderAndShadow: yes
YCbCr Matrix: TV.709

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, \
Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Text,{font},50,&H0000FFFF,&H0000FFFF,&H00000000,&H00000000,\
-1,0,0,0,100,100,0,0,1,4,3,9,40,40,40,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def letters(text: str) -> list[str]:
    """What a reader would call letters (grapheme clusters), spaces too; any white space is one.

    Control characters are dropped: they draw nothing, and some would. Joiners stay: they shape others.
    """
    visible = "".join(
        char for char in text if char.isprintable() or char.isspace() or char in JOINERS
    )
    found = regex.findall(r"\X", " ".join(visible.split()))
    return [letter for letter in found if letter.strip("".join(JOINERS))]


def appearing_ms(count: int) -> int:
    """Milliseconds until the last of so many letters is there."""
    return max(0, count - 1) * LETTER_MS + FADE_MS


def is_shown_in(start: int, end: int) -> bool:
    """Whether any of a clip's frames from ``start`` to before ``end`` shows its text."""
    cycle, shown = (ms * FRAME_RATE // 1000 for ms in (CYCLE_MS, SHOWN_MS))
    first = start % cycle
    return first < shown or first + end - start > cycle


def document(styled: Sequence[tuple[str, str]], duration: Fraction) -> str:
    """The ASS document for letters paired with the font family that draws each.

    ``duration`` is the clip's length in seconds; cycles start every 20 s until then.
    """
    if not styled:
        raise ValueError("a text needs at least one letter")
    line = _animated(styled)
    events = (
        f"Dialogue: 0,{_time(start)},{_time(start + SHOWN_MS)},Text,,0,0,0,,{line}\n"
        for start in _cycles(duration)
    )
    return _HEADER.format(font=styled[0][1]) + "".join(events)


def _cycles(duration: Fraction) -> Iterable[int]:
    return itertools.takewhile(lambda start: start < duration * 1000, itertools.count(0, CYCLE_MS))


def _time(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest // 10:02}"


def _animated(styled: Sequence[tuple[str, str]]) -> str:
    return "".join(_tagged(styled))


def _tagged(styled: Sequence[tuple[str, str]]) -> Iterator[str]:
    font = styled[0][1]
    for n, (letter, family) in enumerate(styled):
        change = "" if family == font else f"\\fn{family}"
        font = family
        at = n * LETTER_MS
        yield f"{{{change}\\alpha&HFF&\\t({at},{at + FADE_MS},\\alpha&H00&)}}{literal(letter)}"


def literal(letter: str) -> str:
    """The letter as ASS draws it, whatever it is."""
    return "".join(_LITERAL.get(char, char) for char in letter)


_LITERAL = {"{": "\\{", "}": "\\}", "\\": "\\" + _WORD_JOINER}
