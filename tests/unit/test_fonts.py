"""Which font draws which letter."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from reelyard.domain.plan import Font
from reelyard.engine.fonts import Face, catalogue, missing, overlay, packaged

LATIN = Face("Latin", Font(path="/latin.ttf", fingerprint="aa"), frozenset(map(ord, " abc{}\\")))
GREEK = Face("Greek", Font(path="/greek.ttf", fingerprint="bb"), frozenset(map(ord, "aαβγ")))
MARKS = Face("Marks", Font(path="/marks.ttf", fingerprint="cc"), frozenset(map(ord, "xéé\u0301e")))
FACES = (LATIN, GREEK, MARKS)


class Notes:
    """A memory in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, ...], Any] = {}

    def recall(self, *name: str) -> Any | None:
        return self.kept.get(name)

    def keep(self, value: Any, *name: str) -> None:
        self.kept[name] = value


def test_a_letter_needs_all_of_its_marks_from_one_font() -> None:
    assert MARKS.draws("e\u0301")
    assert not LATIN.draws("a\u0301")


def test_invisible_joiners_need_no_glyph() -> None:
    assert LATIN.draws("a\N{ZERO WIDTH JOINER}b\N{VARIATION SELECTOR-16}")


def test_a_text_brings_the_fonts_that_it_needs_and_no_others() -> None:
    assert overlay("abc", Fraction(5), FACES).fonts == (LATIN.font,)
    assert overlay("aα", Fraction(5), FACES).fonts == (GREEK.font, LATIN.font)


def test_the_first_font_that_has_a_letter_draws_it() -> None:
    ass = overlay("αa", Fraction(5), FACES).document
    assert "Style: Text,Greek," in ass
    assert "\\fnLatin" in ass


def test_a_letter_that_no_font_has_does_not_stop_a_document() -> None:
    assert overlay("a☃", Fraction(5), FACES).fonts == (LATIN.font,)


def test_fonts_are_in_the_same_order_whatever_the_text_begins_with() -> None:
    assert overlay("aα", Fraction(5), FACES).fonts == overlay("αa", Fraction(5), FACES).fonts


def test_two_files_of_one_family_are_both_brought_along() -> None:
    """A family may be spread over files, each with some of the alphabets."""
    more = Face("Latin", Font(path="/latin-more.ttf", fingerprint="dd"), frozenset(map(ord, "жя")))
    used = overlay("aжb", Fraction(5), (LATIN, more)).fonts
    assert set(used) == {LATIN.font, more.font}


def test_letters_that_nothing_can_draw_are_named_once() -> None:
    assert missing("a☃bα☃♞", FACES) == ["☃", "♞"]
    assert missing("abγ", iter(FACES)) == []
    assert missing("a", ()) == ["a"]


def test_the_packaged_fonts_draw_latin_cyrillic_and_greek() -> None:
    faces = catalogue((), Notes())
    assert faces[0].family == "Anton"
    assert missing("Grüße, Привет, Γειά {\\} 100 %!", faces) == []


def test_italics_are_not_taken_for_upright_letters() -> None:
    assert all("Italic" not in path.name for path in packaged("fontpkg-noto-sans"))


def test_a_package_that_is_not_there_brings_no_fonts() -> None:
    assert packaged("fontpkg-that-nobody-made") == []


def test_a_package_without_font_files_brings_no_fonts() -> None:
    assert packaged("pytest") == []


def test_folders_of_fonts_come_after_the_packaged_ones_by_name(tmp_path: Path) -> None:
    anton = packaged("fontpkg-anton")[0]
    for name in ("b/Second.TTF", "a/First.ttf", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(anton, path)
    own = len(catalogue((), Notes()))
    added = catalogue((tmp_path,), Notes())[own:]
    assert [Path(face.font.path).name for face in added] == ["First.ttf", "Second.TTF"]


def test_a_font_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    notes = Notes()
    path = tmp_path / "own.ttf"
    shutil.copyfile(packaged("fontpkg-anton")[0], path)
    first = catalogue((tmp_path,), notes)
    count = len(notes.kept)
    assert catalogue((tmp_path,), notes) == first
    assert len(notes.kept) == count


def test_a_font_that_changed_is_read_again(tmp_path: Path) -> None:
    notes = Notes()
    path = tmp_path / "own.ttf"
    shutil.copyfile(packaged("fontpkg-anton")[0], path)
    before = catalogue((tmp_path,), notes)[-1]
    shutil.copyfile(packaged("fontpkg-noto-sans")[0], path)
    after = catalogue((tmp_path,), notes)[-1]
    assert (before.family, after.family) == ("Anton", "Noto Sans")
    assert before.font.fingerprint != after.font.fingerprint


@pytest.mark.parametrize("note", [None, 1, [], ["a", "b"]])
def test_an_unreadable_note_counts_as_forgotten(tmp_path: Path, note: object) -> None:
    notes = Notes()
    shutil.copyfile(packaged("fontpkg-anton")[0], tmp_path / "own.ttf")
    catalogue((tmp_path,), notes)
    for name in notes.kept:
        notes.kept[name] = note
    assert catalogue((tmp_path,), notes)[-1].family == "Anton"
