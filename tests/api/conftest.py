"""A house for each file of tests: one that people have accounts of, and one that is open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reelyard.store.database import Database
from tests.api.house import House, opened
from tests.conftest import Clips


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "farm.db"
    with closing(Database(f"sqlite:///{path}")) as database, database.reading():
        pass
    return path


@pytest.fixture(scope="session")
def short_clip(clips: Clips) -> Path:
    return clips.video("api.mp4", size="64x36", seconds=0.5)


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, short_clip: Path
) -> Iterator[House]:
    """Where people sign in: ann and ben are operators, mia is a manager, ada an admin."""
    with opened(House(tmp_path_factory.mktemp("house"), migrated, short_clip)) as house:
        yield house


@pytest.fixture(scope="module")
def open_house(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, short_clip: Path
) -> Iterator[House]:
    """Where nobody has an account yet."""
    folder = tmp_path_factory.mktemp("open")
    with opened(House(folder, migrated, short_clip, has_accounts=False)) as house:
        yield house
