"""Help with running jobs: segments that owners offer, and who makes which. Every write is a compare-and-set.

Locks are taken in one order (job, offer, segments by their keys), and a helper's transaction touches the segments of
one job only, so nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from reelyard.domain.farm import Lease
from reelyard.domain.help import (
    CLAIM_SECONDS,
    HelperStanding,
    Invitation,
    OfferedSegment,
    OfferStanding,
    OfferState,
    SegmentClaim,
    Terms,
)
from reelyard.domain.lifecycle import JobStatus

from .clock import now
from .database import Database
from .invitations import invitations, is_free, is_valid, to_invite, why_to_leave
from .moves import drop_offer, locked_in_order
from .offer_rows import OPEN, claimed_by, offer_values, progress, segment_values, unlike
from .schema import jobs, offered_segments, offers, workers
from .standings import standing

_CLAIMED = offered_segments.c.state == OfferState.CLAIMED.value
_MADE = offered_segments.c.state == OfferState.DONE.value
_LONGEST_FIRST = (
    offered_segments.c.frames.desc(),
    offered_segments.c.position,
    offered_segments.c.part,
)


class Offers:
    """What owners offer and helpers take. A worker not heard of for ``alive_seconds`` counts as gone."""

    def __init__(self, database: Database, alive_seconds: float) -> None:
        self._database = database
        self._alive_seconds = alive_seconds

    # The owner's side

    def offer(self, lease: Lease, terms: Terms, segments: Sequence[OfferedSegment]) -> bool:
        """Offer these segments, and nothing else any more; False where the lease does not hold.

        Nobody holds anything of what was offered before.
        """
        with self._database.writing() as connection:
            if not _lock(connection, lease):
                return False
            last = connection.scalar(
                sa.select(sa.func.max(offered_segments.c.claim)).where(
                    offered_segments.c.job_id == lease.job_id
                )
            )
            drop_offer(connection, lease.job_id)
            connection.execute(sa.insert(offers).values(**offer_values(lease, terms)))
            rows = [segment_values(lease.job_id, one, last) for one in unlike(segments)]
            if rows:
                connection.execute(sa.insert(offered_segments), rows)
            return True

    def claim_own(self, lease: Lease, key: str) -> bool:
        """The owner makes this segment: it is free, its own, or was never offered.

        False where somebody else is at it or it is made, and where the lease does not hold.
        """
        free = sa.or_(is_free(), sa.and_(_CLAIMED, offered_segments.c.worker_id == lease.worker_id))
        return self._take(lease, key, free)

    def take_over(self, lease: Lease, key: str) -> bool:
        """The owner makes this segment, whoever is at it. False where it is made, or as above."""
        return self._take(lease, key, ~_MADE)

    def _take(self, lease: Lease, key: str, condition: sa.ColumnElement[bool]) -> bool:
        this = (offered_segments.c.job_id == lease.job_id, offered_segments.c.key == key)
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(offered_segments)
                .where(*this, condition, _owned(lease))
                .values(**claimed_by(lease.worker_id))
            )
            if done.rowcount == 1:
                return True
            there = connection.scalar(sa.select(sa.exists().where(*this)))
            return not there and bool(connection.scalar(sa.select(_owned(lease))))

    def own_done(self, lease: Lease, keys: Collection[str]) -> None:
        """The owner has these: made, or found somewhere. Who has made one already stays its maker."""
        values = {
            "state": OfferState.DONE.value, "worker_id": lease.worker_id, "done_at": now(),
            "claim": offered_segments.c.claim + 1, "frames_done": offered_segments.c.frames,
        }  # fmt: skip
        self._write_own(lease, keys, ~_MADE, values)

    def own_progress(self, lease: Lease, frames_done: Mapping[str, int]) -> None:
        """How far the owner is with what it makes; this renews its claims."""
        values = {"claimed_until": now(CLAIM_SECONDS), "frames_done": progress(frames_done)}
        mine = sa.and_(_CLAIMED, offered_segments.c.worker_id == lease.worker_id)
        self._write_own(lease, frames_done, mine, values)

    def _write_own(
        self,
        lease: Lease,
        keys: Collection[str],
        condition: sa.ColumnElement[bool],
        values: dict[str, Any],
    ) -> None:
        if not keys:
            return
        with self._database.writing() as connection:
            found = locked_in_order(
                connection, lease.job_id, offered_segments.c.key.in_(keys), condition, _owned(lease)
            )
            _write(connection, lease.job_id, found, values)

    def standing(self, job_id: str) -> Sequence[OfferStanding]:
        """What is offered of a running job, in the order of its film."""
        with self._database.reading() as connection:
            return standing(connection, job_id)

    def withdraw(self, lease: Lease) -> None:
        """Offer nothing any more. Who made what is known until the attempt ends, which removes it all."""
        this = (offered_segments.c.job_id == lease.job_id, ~_MADE)
        with self._database.writing() as connection:
            if _lock(connection, lease):
                locked_in_order(connection, lease.job_id, ~_MADE)
                connection.execute(sa.delete(offered_segments).where(*this))

    # The helper's side

    def invitations(self, worker_id: str) -> Sequence[Invitation]:
        """The running jobs that a worker may help with now, whose turn it is first.

        None for a worker that takes no jobs, has one, or may take one that waits.
        """
        with self._database.reading() as connection:
            return invitations(connection, worker_id, self._alive_seconds)

    def claim(
        self, invitation: Invitation, worker_id: str, without: Collection[str] = ()
    ) -> SegmentClaim | None:
        """The longest segment that nobody is at, but none of the keys ``without``, which it can't make.

        None if there is none, or the offer is void.
        """
        this = offered_segments.c.job_id == invitation.job_id
        longest = (
            sa.select(offered_segments.c.key)
            .where(this, is_free(), is_valid(offered_segments.c.job_id, invitation.token))
            .where(offered_segments.c.key.not_in(without))
            .order_by(*_LONGEST_FIRST)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        with self._database.writing() as connection:
            row = connection.execute(
                sa.update(offered_segments)
                .where(this, offered_segments.c.key == longest, is_free())
                .values(**claimed_by(worker_id))
                .returning(*offered_segments.c)
            ).first()
        if row is None:
            return None
        segment = OfferedSegment(key=row.key, position=row.position, part=row.part,
                                 frames=row.frames)  # fmt: skip
        return SegmentClaim(job_id=invitation.job_id, token=invitation.token, worker_id=worker_id,
                            number=row.claim, segment=segment)  # fmt: skip

    def beat(self, worker_id: str, frames_done: Mapping[SegmentClaim, int]) -> HelperStanding:
        """Renew claims and say how far they are; hear which hold, and whether to go."""
        holds: set[str] = set()
        for job_id, claims in groupby(sorted(frames_done, key=_job), key=_job):
            holds |= self._renew(job_id, {one: frames_done[one] for one in claims})
        with self._database.reading() as connection:
            leaves = why_to_leave(connection, worker_id, self._alive_seconds)
        return HelperStanding(frozenset(holds), leaves)

    def _renew(self, job_id: str, frames_done: Mapping[SegmentClaim, int]) -> set[str]:
        done = {claim.segment.key: frames for claim, frames in frames_done.items()}
        values = {"claimed_until": now(CLAIM_SECONDS), "frames_done": progress(done)}
        with self._database.writing() as connection:
            found = locked_in_order(connection, job_id, sa.or_(*map(_held, frames_done)))
            _write(connection, job_id, found, values)
        return set(found)

    def done(self, claim: SegmentClaim) -> bool:
        """The segment is where the owner finds it. False where the claim does not hold any more."""
        return self._end(
            claim,
            state=OfferState.DONE.value,
            done_at=now(),
            frames_done=offered_segments.c.frames,
        )

    def release(self, claim: SegmentClaim) -> None:
        """Leave the segment to others."""
        self._end(claim, **OPEN)

    def _end(self, claim: SegmentClaim, **values: Any) -> bool:
        this = (offered_segments.c.job_id == claim.job_id, _held(claim))
        with self._database.writing() as connection:
            done = connection.execute(sa.update(offered_segments).where(*this).values(**values))
            return bool(done.rowcount == 1)

    def helps(self, worker_id: str, job_id: str | None) -> None:
        """Note which job a worker helps with, or that it helps with none."""
        with self._database.writing() as connection:
            connection.execute(
                sa.update(workers).where(workers.c.worker_id == worker_id).values(helps=job_id)
            )

    # The sweep's side

    def to_invite(self, again_after: float) -> Sequence[tuple[str, int]]:
        """Jobs that others can help with, and how many workers to wake for each.

        A job is not named again within ``again_after`` seconds.
        """
        with self._database.writing() as connection:
            return to_invite(connection, again_after, self._alive_seconds)


def _lock(connection: sa.Connection, lease: Lease) -> bool:
    """Whether the lease holds; it does until the transaction ends."""
    query = sa.select(jobs.c.job_id).where(*_lease_holds(lease)).with_for_update()
    return connection.scalar(query) is not None


def _owned(lease: Lease) -> sa.ColumnElement[bool]:
    """The lease holds, as of this statement: good enough for what harms nobody."""
    return sa.exists().where(*_lease_holds(lease))


def _lease_holds(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        jobs.c.job_id == lease.job_id,
        jobs.c.token == lease.token,
        jobs.c.status == JobStatus.PROCESSING.value,
    )


def _held(claim: SegmentClaim) -> sa.ColumnElement[bool]:
    """Nobody took the segment over, and the offer is good."""
    return sa.and_(
        offered_segments.c.key == claim.segment.key,
        offered_segments.c.worker_id == claim.worker_id,
        offered_segments.c.claim == claim.number,
        _CLAIMED,
        is_valid(offered_segments.c.job_id, claim.token),
    )


def _job(claim: SegmentClaim) -> str:
    return claim.job_id


def _write(
    connection: sa.Connection, job_id: str, keys: Collection[str], values: dict[str, Any]
) -> None:
    if keys:
        this = (offered_segments.c.job_id == job_id, offered_segments.c.key.in_(keys))
        connection.execute(sa.update(offered_segments).where(*this).values(**values))
