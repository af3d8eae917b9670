"""Trying out a folder: whether what is written there is kept, and can be read."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .distant import DistantPath
from .publishing import Place, local


def _nothing() -> None:
    """Nobody stops it."""


@contextmanager
def probe_in(folder: Place) -> Iterator[Place]:
    """A small file in a folder, written and read back, and removed in the end. Raises OSError."""
    probe, data = folder / f".probe-{uuid.uuid4().hex}", os.urandom(1024)
    try:
        if isinstance(probe, DistantPath):
            with tempfile.TemporaryDirectory() as own:
                made = Path(own, "probe")
                made.write_bytes(data)
                probe.put(made, _nothing)
        else:
            local(probe).write_bytes(data)
            if local(probe).read_bytes() != data:
                raise OSError(errno.EIO, "What is read is not what was written", str(folder))
        yield probe
        probe.unlink()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
