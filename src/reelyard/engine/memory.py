"""Where facts that are slow to find are kept between runs."""

from __future__ import annotations

from typing import Any, Protocol


class Memory(Protocol):
    """Notes under names; a name holds all that the fact depends on. Values are JSON."""

    def recall(self, *name: str) -> Any | None: ...

    def keep(self, value: Any, *name: str) -> None: ...
