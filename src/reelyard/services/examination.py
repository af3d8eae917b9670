"""Looking at many things at once, each for a bounded time: a share that hangs must not hang the doctor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reelyard.domain.errors import ReelyardError, printable

from .findings import Finding, Verdict
from .storage import storage_error

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Look:
    """One thing to look at. ``remedy`` is for when it does not answer."""

    what: str
    look: Callable[[], Iterable[Finding]]
    remedy: str = "Check that it runs and can be reached from this machine"


def examined(looks: Sequence[Look], seconds: float = SECONDS) -> list[Finding]:
    """What was found, in the order of the looks. All begin at once, so that it takes ``seconds`` at most."""
    found: list[list[Finding] | None] = [None] * len(looks)

    def work(index: int) -> None:
        found[index] = _findings(looks[index])

    # Daemons: one that hangs for ever must not keep the process.
    threads = [threading.Thread(target=work, args=(index,), name=f"look at {look.what}", daemon=True)
               for index, look in enumerate(looks)]  # fmt: skip
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return [finding for look, findings in zip(looks, found, strict=True)
            for finding in (_silent(look, seconds) if findings is None else findings)]  # fmt: skip


def _findings(look: Look) -> list[Finding]:
    try:
        return list(look.look())
    except ReelyardError as error:
        return [Finding(look.what, Verdict.FAILED, error.message, error.remedy)]
    except OSError as error:
        failure = storage_error(error)
        return [Finding(look.what, Verdict.FAILED, failure.message, look.remedy)]
    except Exception as error:  # noqa: BLE001 - the others are still wanted
        said = f"{type(error).__name__}: {printable(str(error))}"
        return [Finding(look.what, Verdict.FAILED, said, look.remedy)]


def _silent(look: Look, seconds: float) -> list[Finding]:
    return [Finding(look.what, Verdict.FAILED, f"did not answer within {seconds:g} s", look.remedy)]
