"""Having a job's sources here that no folder of this machine holds: what is reached through a connection is copied."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reelyard.domain.job import Job

from .fetch import Fetch
from .gather import nothing
from .naming import is_name, sources
from .resolve import Catalogue, resolve


@dataclass(frozen=True, slots=True)
class Bring:
    """The use case. ``fetch`` copies what is reached through connections, and nothing else."""

    fetch: Fetch
    catalogue: Callable[[], Catalogue]

    @contextmanager
    def __call__(
        self,
        job: Job,
        check: Callable[[], None] = nothing,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[Job]:
        """The job with its sources on this machine for as long as the block lasts.

        What can't be had keeps its name: planning says what is wrong with it. Raises SourcesUnavailable, OutOfDisk,
        and what ``check`` raises.
        """
        found, _ = resolve(job, self.catalogue)
        if not any(map(is_name, sources(found))):
            yield found
            return
        pin = f"here.{uuid.uuid4().hex}"
        try:
            fetched = self.fetch(found, pin, check, say)
            if fetched.copied:
                say(str(fetched))
            yield fetched.job
        finally:
            self.fetch.release(pin)
