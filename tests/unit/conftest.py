"""Property tests have no deadline: on a busy machine it would measure the machine. A share and a cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from reelyard.files.copy_cache import CopyCache

from .share import PLENTY

settings.register_profile("reelyard", deadline=None)
settings.load_profile("reelyard")


@pytest.fixture
def cache(tmp_path: Path) -> CopyCache:
    return CopyCache(tmp_path / "cache", PLENTY)


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    folder = tmp_path / "nas"
    folder.mkdir()
    return folder
