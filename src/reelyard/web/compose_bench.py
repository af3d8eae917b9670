"""What people have not finished yet: one compilation each, kept while the server runs.

A page that is loaded again, in another tab or after a lost connection, shows the same one. Everything here
is touched by the server's one loop only.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import OrderedDict
from collections.abc import Callable

from reelyard.domain.excerpt import WHOLE

from .compose_history import History
from .compose_list import Compilation

MOST_PEOPLE = 200


class Bench:
    """One person's unfinished compilation, and the pages that show it."""

    def __init__(self) -> None:
        self._history = History()
        self._build = uuid.uuid4().hex
        self._watchers: list[Callable[[], None]] = []
        self.seconds: dict[str, float] = {}  # how long clips are, by paths, as far as it is known
        self.is_submitting = False

    @property
    def now(self) -> Compilation:
        return self._history.now

    @property
    def can_undo(self) -> str:
        return self._history.can_undo

    @property
    def can_redo(self) -> str:
        return self._history.can_redo

    def change(self, to: Compilation, what: str, key: str = "") -> None:
        """``what`` was done; all pages show it. See ``History.change`` for ``key``."""
        if self._history.change(to, what, key):
            self._tell()

    def undo(self) -> str:
        what = self._history.undo()
        self._tell()
        return what

    def redo(self) -> str:
        what = self._history.redo()
        self._tell()
        return what

    def key(self) -> str:
        """The idempotency key: another one for another list, the same however often this one is sent."""
        said = json.dumps([self.now.to_document(), self.now.settings.priority], sort_keys=True)
        return f"page:{self._build}:{hashlib.sha256(said.encode()).hexdigest()}"

    def submitted(self) -> None:
        """It became a job: the next one starts empty, and may be the very same again.

        After a draft, or some of the items, the list stays: its film is still to come.
        """
        self._build = uuid.uuid4().hex
        is_over = self.now.settings.excerpt.is_whole
        self.change(
            self.now.cleared() if is_over else self.now.with_settings(excerpt=WHOLE), "submit"
        )

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Have ``watcher`` called after each change, until what this gives is called."""
        self._watchers.append(watcher)

        def end() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return end

    @property
    def is_watched(self) -> bool:
        return bool(self._watchers)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()


class Benches:
    """Everybody's, by user ids; beyond ``most`` the one that was left longest ago goes."""

    def __init__(self, most: int = MOST_PEOPLE) -> None:
        self._most = most
        self._benches: OrderedDict[str, Bench] = OrderedDict()

    def of(self, user_id: str) -> Bench:
        found = self._benches.setdefault(user_id, Bench())
        self._benches.move_to_end(user_id)
        left = [one for one, bench in self._benches.items() if not bench.is_watched]
        for user in left[: len(self._benches) - self._most]:
            if user != user_id:
                del self._benches[user]
        return found
