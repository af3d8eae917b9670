"""Property tests have no deadline: on a busy machine it would measure the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("reelyard", deadline=None)
settings.load_profile("reelyard")
