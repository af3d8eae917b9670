"""Fixtures of the tests that run the real command line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.station import Station, station
from tests.conftest import Clips

Done = subprocess.CompletedProcess[str]
WriteJob = Callable[..., Path]


@pytest.fixture
def clip(clips: Clips) -> Path:
    return clips.video("bad-input.mp4", seconds=1)


@pytest.fixture
def short(clips: Clips) -> Path:
    return clips.video("bad-input-short.mp4", seconds=0.2)


@pytest.fixture
def photo(clips: Clips) -> Path:
    return clips.picture("bad-input.jpg")


@pytest.fixture
def own_station(tmp_path: Path) -> Iterator[Station]:
    yield from station(tmp_path, segment_seconds=0.5, jobs=2)
