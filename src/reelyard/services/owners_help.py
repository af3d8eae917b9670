"""A job's owner and its helpers: what it offers them, whose turn a segment is, and what they have made.

Each attempt has one ``OwnersHelp``. A thread of it looks twice a second at what became of the offer and tells whoever
makes the pieces. While the database is away the owner makes everything itself: two may make the same segment, and it is
the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reelyard.domain.errors import DatabaseUnavailable
from reelyard.domain.farm import Lease
from reelyard.domain.help import CLAIM_SECONDS, OfferStanding, OfferState, worth_offering
from reelyard.domain.plan import PictureSegment, Plan
from reelyard.store.help import Offers

from .handover import offered, terms_of
from .help import Hear

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Helping:
    """What it takes to ask for help. ``speed`` is this worker's in seconds of film a second, where it is known;
    ``invite`` wakes those who may come."""

    offers: Offers
    meeting_places: Callable[[], Sequence[str]]
    at_once: int
    speed: Callable[[], float | None] = lambda: None
    invite: Callable[[], object] = lambda: None


class OwnersHelp:
    """The owner's side of one attempt."""

    def __init__(self, using: Helping, lease: Lease, say: Callable[[str], None]) -> None:
        self._using = using
        self._lease = lease
        self._say = say
        self._hear: Hear = lambda _: None
        self._offered: frozenset[str] = frozenset()
        self._known: tuple[float, dict[str, OfferStanding]] = (0.0, {})
        self._frames: dict[str, int] = {}
        self._made: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def worker_id(self) -> str:
        return self._lease.worker_id

    def offer(self, plan: Plan, missing: Sequence[PictureSegment], hear: Hear) -> None:
        frames = sum(len(one.frames) for one in missing)
        using = self._using
        if not worth_offering(frames, len(missing), using.at_once, using.speed()):
            return
        try:
            terms = terms_of(plan.encoding, plan.form, using.meeting_places())
            if not using.offers.offer(self._lease, terms, [offered(one) for one in missing]):
                return
        except (DatabaseUnavailable, OSError) as error:
            self._say(f"nobody is asked to help: {error}")
            return
        self._over.clear()
        self._hear = hear
        self._offered = frozenset(one.key for one in missing)
        self._thread = threading.Thread(target=self._run, name="help", daemon=True)
        self._thread.start()

    def is_mine(self, key: str) -> bool:
        return self._claimed(key, self._using.offers.claim_own)

    def take_over(self, key: str) -> bool:
        return self._claimed(key, self._using.offers.take_over)

    def _claimed(self, key: str, claim: Callable[[Lease, str], bool]) -> bool:
        if key not in self._offered:
            return True
        try:
            mine = claim(self._lease, key)
        except DatabaseUnavailable:
            mine = True  # it is the same, should somebody else make it, too
        if mine:
            self.progress(key, 0)  # a claim is renewed from its beginning
        return mine

    def progress(self, key: str, frames: int) -> None:
        with self._lock:
            self._frames[key] = frames

    def made(self, key: str) -> None:
        with self._lock:
            self._frames.pop(key, None)
            self._made.append(key)

    def standings(self) -> Mapping[str, OfferStanding]:
        at, known = self._known
        return known if time.monotonic() - at < CLAIM_SECONDS else {}

    def close(self) -> None:
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        self._offered = frozenset()
        try:
            self._look()
            self._using.offers.withdraw(self._lease)
        except DatabaseUnavailable as error:
            _LOG.info("job %s: the offer stays until its attempt ends: %s",
                      self._lease.job_id, error.message)  # fmt: skip
        self._say_who_helped()

    def _run(self) -> None:
        self._using.invite()
        while not self._over.wait(_LOOK_SECONDS):
            try:
                self._look()
            except DatabaseUnavailable as error:
                _LOG.info("job %s: nothing is heard of helpers: %s", self._lease.job_id, error)
            except Exception:  # noqa: BLE001 - without it no helper is heard of, and the job goes on
                _LOG.exception("an error in Reelyard itself; the job goes on")

    def _look(self) -> None:
        offers = self._using.offers
        with self._lock:
            frames, made = dict(self._frames), self._made
            self._made = []
        offers.own_done(self._lease, made)
        offers.own_progress(self._lease, frames)
        standings = offers.standing(self._lease.job_id)
        self._known = time.monotonic(), {one.key: one for one in standings}
        if not self._over.is_set():
            self._hear(standings)

    def _say_who_helped(self) -> None:
        """What was made by whom, in the job's log."""
        done = [one for one in self._known[1].values() if one.state is OfferState.DONE]
        made = Counter(one.worker_id for one in done if one.worker_id != self.worker_id)
        names = ", ".join(f"{number} by {name}" for name, number in made.most_common())
        self._say(f"of {len(self._known[1])} offered segments others made {made.total()}"
                  + (f": {names}" if names else ""))  # fmt: skip
