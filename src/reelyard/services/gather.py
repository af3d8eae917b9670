"""Gathering: the facts of every source of a job, in parallel, remembered between runs.

Problems of all items are collected, so that an operator corrects a job once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from reelyard.domain.errors import BadMedia, Problem
from reelyard.domain.job import Item, Job
from reelyard.domain.media import MediaFacts
from reelyard.domain.share import NameInvalid, parse
from reelyard.engine.fonts import Face
from reelyard.engine.memory import Memory
from reelyard.engine.planner import Gathered
from reelyard.engine.planner import check as contradictions
from reelyard.engine.probe import probe

PROBES_AT_ONCE = 4
_HELD = 2000
_FACTS_VERSION = "3"
"""Raise it when a probe finds out more, or otherwise, than before."""


class Prober:
    """Probes files; one that did not change since is not read again."""

    def __init__(self, memory: Memory, roots: Sequence[Path] = ()) -> None:
        self._memory = memory
        self._roots = tuple(root.resolve() for root in roots)
        self._adapter = TypeAdapter(MediaFacts)
        self._known: OrderedDict[tuple[str, ...], MediaFacts] = OrderedDict()
        self._lock = threading.Lock()

    def facts(self, path: Path, check: Callable[[], None]) -> MediaFacts:
        """Raises BadMedia where the file can't be used."""
        _check_here(path)
        self._check_allowed(path)
        name = self._name(path)
        if name and (kept := self._recall(name)):
            return kept
        facts = probe(path, check)
        fresh = self._name(path)
        if fresh:
            self._memory.keep(self._adapter.dump_python(facts, mode="json"), *fresh)
        return facts

    def allows(self, path: Path) -> bool:
        """Whether the file lies where sources may lie."""
        try:
            self._check_allowed(path)
        except BadMedia:
            return False
        return True

    def _check_allowed(self, path: Path) -> None:
        if not self._roots:
            return
        try:
            resolved = path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise BadMedia(f"can't be reached ({error})", remedy="Check the path",
                           reason="unreachable") from error  # fmt: skip
        if not any(resolved.is_relative_to(root) for root in self._roots):
            raise BadMedia("it lies outside the folders that may be used (REELYARD_MEDIA_ROOTS)",
                           remedy="Move it into one of them", reason="outside_roots")  # fmt: skip

    def _name(self, path: Path) -> tuple[str, ...] | None:
        try:
            stat = path.stat()
        except (OSError, ValueError):
            return None  # probing it says what is wrong
        return ("facts", _FACTS_VERSION, str(path), str(stat.st_size), str(stat.st_mtime_ns))

    def _recall(self, name: tuple[str, ...]) -> MediaFacts | None:
        with self._lock:
            if name in self._known:
                self._known.move_to_end(name)
                return self._known[name]
        kept = self._memory.recall(*name)
        try:
            facts = None if kept is None else self._adapter.validate_python(kept)
        except ValidationError:
            return None
        if facts is not None:
            self._hold(name, facts)
        return facts

    def _hold(self, name: tuple[str, ...], facts: MediaFacts) -> None:
        """For whoever asks again soon: a server that checks the same clips all day."""
        with self._lock:
            self._known[name] = facts
            while len(self._known) > _HELD:
                self._known.popitem(last=False)


def _check_here(path: Path) -> None:
    """What is still called by its share's name could not be copied from there. Raises BadMedia."""
    try:
        away = parse(str(path)) is not None
    except NameInvalid:
        away = True
    if away and not path.exists():
        raise BadMedia("there is no such file on the share, or it may not be read",
                       remedy="Check the name, and who may read the file", reason="missing")  # fmt: skip


def nothing() -> None:
    """Nobody can stop this."""


def gather(
    job: Job, prober: Prober, faces: Sequence[Face], check: Callable[[], None] = nothing
) -> tuple[list[Gathered], list[Problem]]:
    """What could be gathered, in the job's order, and everything that is wrong with the rest.

    ``check`` raises to stop it.
    """

    def find(path: Path) -> MediaFacts:
        check()
        return prober.facts(path, check)

    with ThreadPoolExecutor(PROBES_AT_ONCE, "probe") as pool:
        found = list(pool.map(lambda item: _gather(item, find, faces), job.items))
    gathered = [one for one in found if isinstance(one, Gathered)]
    problems = [problem for one in found if isinstance(one, list) for problem in one]
    return gathered, problems


Find = Callable[[Path], MediaFacts]


def _gather(item: Item, find: Find, faces: Sequence[Face]) -> Gathered | list[Problem]:
    problems: list[Problem] = []
    facts = _facts(item, item.path, item.named, "path", find, problems)
    logo = None
    if item.logo_path:
        logo = _facts(item, item.logo_path, item.logo_path, "logo_path", find, problems)
    if facts is None or problems:
        return problems
    gathered = Gathered(item=item, facts=facts, logo=logo)
    return contradictions(gathered, faces) or gathered


def _facts(
    item: Item, path: str, named: str, field: str, find: Find, problems: list[Problem]
) -> MediaFacts | None:
    try:
        return find(Path(path))
    except BadMedia as error:
        problems.append(media_problem(error, item.position, named, field))
        return None


def media_problem(error: BadMedia, position: int, named: str, field: str = "path") -> Problem:
    return Problem(
        code=error.reason,
        message=error.message,
        remedy=error.remedy,
        position=position,
        field=field,
        file=named,
    )
