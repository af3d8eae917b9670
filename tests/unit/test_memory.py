"""Remembered facts: what was kept comes back, and whatever can't be read was forgotten."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelyard.files.memory import Memory

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory")


def notes(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "memory").rglob("*") if path.is_file()]


def test_what_was_never_kept_is_not_recalled(memory: Memory) -> None:
    assert memory.recall("facts", "a") is None


@settings(max_examples=50, deadline=None)
@given(value=_JSON, name=st.lists(st.text(alphabet=st.characters(exclude_characters="\0")), min_size=1, max_size=4))  # fmt: skip
def test_what_was_kept_comes_back(value: Any, name: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Memory(Path(folder)).keep(value, *name)
        assert Memory(Path(folder)).recall(*name) == value


def test_names_are_told_apart(memory: Memory) -> None:
    names = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("abc", "")]
    for number, name in enumerate(names):
        memory.keep(number, *name)
    assert [memory.recall(*name) for name in names] == list(range(len(names)))


def test_the_latest_fact_counts(memory: Memory) -> None:
    memory.keep("old", "a")
    memory.keep("new", "a")
    assert memory.recall("a") == "new"


def test_a_name_may_hold_bytes_that_are_no_text(memory: Memory) -> None:
    memory.keep(1, "file-\udcff.mp4")
    memory.keep(2, "file-\udcfe.mp4")
    assert memory.recall("file-\udcff.mp4") == 1


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b"nonsense", b"\0" * 9, b"[" * 99_999])
def test_an_unreadable_note_counts_as_forgotten(
    memory: Memory, tmp_path: Path, garbage: bytes
) -> None:
    memory.keep({"a": 1}, "name")
    [note] = notes(tmp_path)
    note.write_bytes(garbage)
    assert memory.recall("name") is None
    memory.keep({"a": 2}, "name")
    assert memory.recall("name") == {"a": 2}


def test_nothing_half_written_stays_behind(memory: Memory, tmp_path: Path) -> None:
    for number in range(5):
        memory.keep(number, "name")
    assert len(notes(tmp_path)) == 1
