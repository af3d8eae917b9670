"""What a compilation was before each change, so that changes can be taken back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .compose_list import Compilation

MOST_STEPS = 100
"""How many changes can be undone."""


@dataclass(slots=True)
class History:
    """A compilation and the ones it was before, each with what was done to it."""

    now: Compilation = field(default_factory=Compilation)
    _before: list[tuple[Compilation, str, str]] = field(default_factory=list)
    _undone: list[tuple[Compilation, str, str]] = field(default_factory=list)

    def change(self, to: Compilation, what: str, key: str = "") -> bool:
        """``what`` was done. Changes in a row with the same ``key`` are undone together."""
        if to == self.now:
            return False
        same = bool(key) and bool(self._before) and self._before[-1][2] == key and not self._undone
        if not same:
            self._before.append((self.now, what, key))
            del self._before[:-MOST_STEPS]
        self._undone.clear()
        self.now = to
        return True

    @property
    def can_undo(self) -> str:
        """What the last change was; empty: there was none."""
        return self._before[-1][1] if self._before else ""

    @property
    def can_redo(self) -> str:
        return self._undone[-1][1] if self._undone else ""

    def undo(self) -> str:
        """Take the last change back; what it was."""
        return self._go(self._before, self._undone)

    def redo(self) -> str:
        return self._go(self._undone, self._before)

    def _go(
        self, back: list[tuple[Compilation, str, str]], forth: list[tuple[Compilation, str, str]]
    ) -> str:
        if not back:
            return ""
        to, what, _ = back.pop()
        forth.append((self.now, what, ""))
        # What was made since must not get the ids of what is gone.
        self.now = replace(to, next_id=max(to.next_id, self.now.next_id))
        return what
