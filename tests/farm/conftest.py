"""A yard per test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """On SQLite and the embedded broker."""
    folder = tmp_path / "yard"
    with closing(Yard(folder, f"sqlite:///{folder / 'farm.db'}")) as one:
        yield one
