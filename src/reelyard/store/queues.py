"""Queues as people handle them: stopped and let go again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reelyard.domain.routing import Queue

from .clock import now
from .database import Database
from .moves import note
from .rows import decoded, encoded
from .schema import queues


@dataclass(frozen=True, slots=True)
class Pause:
    """Whether a queue is stopped, and who did that when, if ever anybody did."""

    queue: Queue
    is_paused: bool
    by: str | None = None
    at: datetime | None = None


class Queues:
    """The table of queues."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> list[Pause]:
        """All queues."""
        with self._database.reading() as connection:
            known = {
                row.queue_name: Pause(
                    Queue(row.queue_name),
                    row.is_paused,
                    row.changed_by and decoded(row.changed_by),
                    row.changed_at,
                )
                for row in connection.execute(sa.select(queues))
            }
        return [known.get(queue.value, Pause(queue, False)) for queue in Queue]

    def paused(self) -> frozenset[Queue]:
        """The queues from which nobody takes a job."""
        return frozenset(one.queue for one in self.list() if one.is_paused)

    def pause(self, queue: Queue, is_paused: bool, *, by: str | None = None) -> Pause:
        """Have nobody take more jobs from a queue, or let them again. Running jobs go on."""
        values = {"is_paused": is_paused, "changed_by": by and encoded(by), "changed_at": now()}
        with self._database.writing() as connection:
            dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
            insert = dialect.insert(queues).values(queue_name=queue.value, **values)
            connection.execute(
                insert.on_conflict_do_update(index_elements=[queues.c.queue_name], set_=values)
            )
            said = f"{queue} was {'stopped' if is_paused else 'let go'}"
            note(connection, "queue", said, by=by)
        return next(one for one in self.list() if one.queue is queue)
