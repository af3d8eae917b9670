"""A yard per test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .yard import Yard


@pytest.fixture
def yard(tmp_path: Path, proven: Path) -> Iterator[Yard]:
    """On SQLite and the embedded broker."""
    folder = tmp_path / "yard"
    shutil.copytree(proven, folder / "cache" / "memory")
    with closing(Yard(folder, f"sqlite:///{folder / 'farm.db'}")) as one:
        yield one
