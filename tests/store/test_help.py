"""Help with running jobs: who makes which of the segments that an owner offers. Each promise on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
import sqlalchemy as sa

from reelyard.domain.farm import Lease, SegmentRow
from reelyard.domain.help import (
    CLAIM_SECONDS,
    Invitation,
    OfferStanding,
    OfferState,
    SegmentClaim,
    Terms,
)
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.routing import Queue
from reelyard.store.help import Offers
from reelyard.store.queues import Queues
from reelyard.store.schema import jobs

from .conftest import ABLE, LEASE, TERMS, Books, at_once, finished, new_id, segment

HELPERS = ("b", "c")
THREE = (segment(0, 150), segment(1, 300), segment(2, 200))
SHORT, LONG, MIDDLE = (one.key for one in THREE)


@dataclass(frozen=True)
class Site:
    """A job that ``a`` works on and offers three segments of; ``b`` and ``c`` have nothing to do."""

    books: Books
    lease: Lease

    @property
    def offers(self) -> Offers:
        return self.books.offers

    @property
    def job_id(self) -> str:
        return self.lease.job_id

    def invitation(self, worker: str = "b") -> Invitation:
        found = self.offers.invitations(worker)
        assert [one.job_id for one in found] == [self.job_id]
        return found[0]

    def claim(self, worker: str = "b") -> SegmentClaim:
        found = self.offers.claim(self.invitation(worker), worker)
        assert found is not None
        return found

    def standing(self) -> dict[str, OfferStanding]:
        return {one.key: one for one in self.offers.standing(self.job_id)}

    def holds(self, claim: SegmentClaim) -> bool:
        return claim.segment.key in self.offers.beat(claim.worker_id, {claim: 0}).holds

    def let_claims_run_out(self) -> None:
        self.books.pass_time(CLAIM_SECONDS + 1, "workers", "jobs")

    def left(self) -> int:
        """Rows of offers there are, whosever."""
        return sum(map(len, self.books.rows("offers", "offered_segments").values()))


@pytest.fixture
def site(books: Books) -> Site:
    books.hire("a", *HELPERS)
    lease = books.take("a", books.submit())
    assert books.offers.offer(lease, TERMS, THREE)
    return Site(books, lease)


# What is offered, and to whom


def test_an_idle_worker_is_invited_and_gets_the_longest_segment_first(site: Site) -> None:
    invitation = site.invitation()
    assert (invitation.token, invitation.owner, invitation.channel_name) == (1, "a", "Tests")
    assert invitation.terms == TERMS
    claims = [site.offers.claim(invitation, "b") for _ in range(4)]
    assert [one and one.segment for one in claims] == [THREE[1], THREE[2], THREE[0], None]
    assert site.offers.invitations("c") == [], "there is nothing left to do"


def test_what_is_offered_stands_in_the_order_of_the_film(site: Site) -> None:
    claim = site.claim()
    site.offers.beat("b", {claim: 120})
    standing = site.offers.standing(site.job_id)
    assert [one.position for one in standing] == [1, 2, 3]
    one = standing[1]
    assert (one.state, one.worker_id, one.frames_done) == (OfferState.CLAIMED, "b", 120)
    assert one.is_held
    assert one.claimed_seconds is not None
    assert 0 <= one.claimed_seconds < CLAIM_SECONDS
    assert (standing[0].state, standing[0].worker_id) == (OfferState.OPEN, None)
    assert not standing[0].is_held


def test_the_owner_is_not_invited_to_its_own_job(site: Site) -> None:
    assert site.offers.invitations("a") == []


@pytest.mark.parametrize("order", [Order.PAUSE, Order.DRAIN, Order.STOP])
def test_a_worker_that_takes_no_jobs_helps_with_none(site: Site, order: Order) -> None:
    claim = site.claim()
    site.books.workers.tell("b", order)
    assert site.offers.invitations("b") == []
    assert site.offers.beat("b", {claim: 0}).leaves == f"it was told to {order}"


def test_a_worker_whose_own_job_waits_helps_with_none(site: Site) -> None:
    claim = site.claim()
    assert site.offers.beat("b", {claim: 0}).leaves == ""
    other = site.books.submit()
    assert site.offers.invitations("b") == []
    assert site.offers.beat("b", {claim: 0}).leaves == "a job of its own waits"
    site.books.take("b", other)
    assert site.offers.invitations("b") == []
    assert site.offers.beat("b", {}).leaves == "it has a job of its own"
    assert site.invitation("c").job_id == site.job_id, "nobody waits any more"


def test_a_job_that_a_worker_may_not_take_keeps_it_from_no_help(site: Site) -> None:
    """Its queue is paused, or the worker does not listen to it."""
    site.books.submit()
    assert site.offers.invitations("b") == []
    Queues(site.books.database).pause(Queue.DEFAULT, True)
    assert site.invitation("b")
    Queues(site.books.database).pause(Queue.DEFAULT, False)
    site.books.hire("b", queues=(Queue.UHD,))
    assert site.invitation("b")


def test_unknown_quarantined_and_lost_workers_are_not_invited(site: Site) -> None:
    assert site.offers.invitations("nobody") == []
    assert site.offers.beat("nobody", {}).leaves == "the farm does not know it any more"
    site.books.pass_time(LEASE + 1, "jobs", "offers", "offered_segments")
    assert site.offers.invitations("b") == []
    assert site.offers.beat("b", {}).leaves == "it was not heard of for too long"


def test_a_worker_that_is_to_help_nobody_is_not_invited(site: Site) -> None:
    alone = replace(ABLE, assists=False)
    for name in HELPERS:
        site.books.workers.register(
            name, name, host="host", pid=1, queues=tuple(Queue), capabilities=alone
        )
        assert site.offers.invitations(name) == []
    assert site.offers.to_invite(0) == []


def test_who_writes_other_bytes_is_not_invited(site: Site) -> None:
    """Another FFmpeg, or no such encoder."""
    for changed in ({"ffmpeg": "ffmpeg 8"}, {"encoder": "h264_nvenc"}):
        known = {"ffmpeg": TERMS.ffmpeg, "encoder": TERMS.encoder, **changed}
        terms = Terms(terms="{}", meeting_places=(), **known)
        assert site.offers.offer(site.lease, terms, THREE)
        assert site.offers.invitations("b") == []
        assert site.offers.to_invite(0) == []


def test_invitations_come_in_the_order_of_jobs(books: Books) -> None:
    books.hire("a", "b", "c", "d", "e")
    offers = books.offers
    priorities = {"a": 5, "b": 9, "c": 5, "d": 7}
    leases = {name: books.take(name, books.submit(priority=n)) for name, n in priorities.items()}
    for lease in leases.values():
        assert offers.offer(lease, TERMS, THREE)
    assert [one.owner for one in offers.invitations("e")] == ["b", "d", "a", "c"]


# Claims


def test_two_who_claim_one_segment_at_once_and_one_gets_it(site: Site) -> None:
    invitation = site.invitation()
    for _ in range(5):
        assert site.offers.offer(site.lease, TERMS, [segment(7)])
        crew = [f"w{n}" for n in range(6)]
        claims = at_once(*(partial(site.offers.claim, invitation, name) for name in crew))
        got = [one for one in claims if one is not None]
        assert len(got) == 1
        assert site.standing()[segment(7).key].worker_id == got[0].worker_id


def test_many_who_claim_at_once_get_different_segments_and_all_are_got(site: Site) -> None:
    invitation = site.invitation()
    assert site.offers.offer(site.lease, TERMS, [segment(n) for n in range(40)])

    def work(name: str) -> list[str]:
        keys = []
        while claim := site.offers.claim(invitation, name):
            keys.append(claim.segment.key)
        return keys

    keys = [key for got in at_once(*(partial(work, f"w{n}") for n in range(5))) for key in got]
    assert sorted(keys) == [segment(n).key for n in range(40)]


def test_a_claim_that_is_renewed_holds_and_one_that_is_not_is_taken_over(site: Site) -> None:
    claim = site.claim("b")
    for _ in range(3):
        site.books.pass_time(CLAIM_SECONDS - 2, "workers", "jobs")
        assert site.holds(claim)
    site.let_claims_run_out()
    assert not site.standing()[LONG].is_held
    again = site.claim("c")
    assert again.segment == claim.segment
    assert again.number > claim.number
    assert not site.holds(claim)
    assert not site.offers.done(claim)
    site.offers.release(claim)
    assert site.holds(again)
    assert site.offers.done(again)
    assert site.standing()[LONG].worker_id == "c"


def test_a_claim_that_ran_out_and_that_nobody_took_holds_when_it_is_renewed(site: Site) -> None:
    claim = site.claim()
    site.let_claims_run_out()
    assert site.holds(claim)
    assert site.standing()[LONG].is_held


def test_what_is_done_is_claimed_by_nobody(site: Site) -> None:
    claim = site.claim()
    assert site.offers.done(claim)
    assert not site.offers.done(claim), "once"
    one = site.standing()[LONG]
    assert (one.state, one.worker_id, one.frames_done) == (OfferState.DONE, "b", 300)
    assert one.done_at is not None
    site.let_claims_run_out()
    assert site.claim("c").segment.key == MIDDLE
    assert not site.offers.claim_own(site.lease, LONG)
    assert not site.offers.take_over(site.lease, LONG)


def test_what_is_released_is_anybodys(site: Site) -> None:
    site.offers.release(site.claim("b"))
    assert site.standing()[LONG].state is OfferState.OPEN
    assert site.claim("c").segment.key == LONG


def test_a_helper_is_not_given_again_what_it_can_not_make(site: Site) -> None:
    claim = site.claim("b")
    site.offers.release(claim)
    again = site.offers.claim(site.invitation("b"), "b", without={LONG})
    assert (again and again.segment.key) == MIDDLE
    assert site.offers.claim(site.invitation("b"), "b", without={LONG, SHORT}) is None
    assert site.claim("c").segment.key == LONG, "others may"


def test_a_helper_hears_which_of_its_claims_hold(site: Site) -> None:
    first, second = site.claim(), site.claim()
    assert site.offers.take_over(site.lease, first.segment.key)
    assert site.offers.beat("b", {first: 10, second: 20}).holds == {second.segment.key}
    assert site.standing()[second.segment.key].frames_done == 20
    assert site.standing()[first.segment.key].frames_done == 0


# The owner


def test_the_owner_claims_what_nobody_is_at(site: Site) -> None:
    claim = site.claim("b")
    assert not site.offers.claim_own(site.lease, LONG)
    assert site.offers.claim_own(site.lease, SHORT)
    assert site.offers.claim_own(site.lease, SHORT), "it is its own"
    assert site.offers.claim_own(site.lease, new_id()), "it was never offered"
    assert site.claim("c").segment.key == MIDDLE
    site.let_claims_run_out()
    assert site.offers.claim_own(site.lease, LONG)
    assert not site.holds(claim)


def test_the_owner_takes_over_what_somebody_is_at(site: Site) -> None:
    claim = site.claim("b")
    assert site.offers.take_over(site.lease, LONG)
    assert not site.holds(claim)
    assert not site.offers.done(claim)
    assert site.standing()[LONG].worker_id == "a"


def test_the_owners_claims_hold_while_it_says_how_far_it_is(site: Site) -> None:
    assert site.offers.claim_own(site.lease, LONG)
    site.books.pass_time(CLAIM_SECONDS - 1, "workers", "jobs")
    site.offers.own_progress(site.lease, {LONG: 77, MIDDLE: 5})
    site.books.pass_time(2, "workers", "jobs")
    standing = site.standing()
    assert (standing[LONG].is_held, standing[LONG].frames_done) == (True, 77)
    assert standing[MIDDLE].state is OfferState.OPEN, "it was never claimed"


def test_what_the_owner_has_is_done_and_its_maker_stays(site: Site) -> None:
    mine = site.claim("b")
    assert site.offers.done(mine)
    theirs = site.claim("b")
    site.offers.own_done(site.lease, [LONG, MIDDLE, SHORT])
    standing = site.standing()
    assert {one.state for one in standing.values()} == {OfferState.DONE}
    assert [standing[key].worker_id for key in (LONG, MIDDLE, SHORT)] == ["b", "a", "a"]
    assert not site.offers.done(theirs), "the owner was first"
    assert site.offers.claim(Invitation(job_id=site.job_id, token=1, owner="a",
                                        channel_name="", terms=TERMS), "c") is None  # fmt: skip


def test_a_new_offer_replaces_the_old_one_with_all_its_claims(site: Site) -> None:
    claim = site.claim()
    assert site.offers.offer(site.lease, TERMS, [segment(1), segment(9), segment(9)])
    assert [one.position for one in site.offers.standing(site.job_id)] == [2, 10]
    again = site.claim("b")
    assert again.segment.key == claim.segment.key
    assert not site.holds(claim), "it is another claim of the same worker's"
    assert site.holds(again)


# The end


def test_an_offer_of_an_older_owner_is_void(site: Site) -> None:
    claim, invitation = site.claim(), site.invitation()
    assert site.books.leases.hand_back(site.lease, "told to stop")
    site.books.pass_time(LEASE)
    site.books.hire("a", *HELPERS)
    newer = site.books.take("c", site.job_id)
    assert site.left() == 0
    assert not site.offers.offer(site.lease, TERMS, THREE)
    assert site.offers.offer(newer, TERMS, THREE)
    assert site.offers.claim(invitation, "b") is None
    assert not site.holds(claim)
    assert not site.offers.done(claim)
    for write in (site.offers.claim_own, site.offers.take_over):
        assert not write(site.lease, LONG)
        assert not write(site.lease, "never offered")
    site.offers.own_done(site.lease, [LONG])
    site.offers.own_progress(site.lease, {LONG: 5})
    site.offers.withdraw(site.lease)
    assert {one.state for one in site.standing().values()} == {OfferState.OPEN}


def _lose(site: Site) -> None:
    site.books.pass_time(LEASE + 1, "workers")
    assert site.books.duties.expire()


def _fail_for_good(site: Site) -> None:
    assert site.books.leases.refuse(site.lease, "a clip is broken")


ENDS: dict[str, Callable[[Site], object]] = {
    "completed": lambda site: site.books.leases.complete(site.lease, finished()),
    "handed back": lambda site: site.books.leases.hand_back(site.lease, "told to stop"),
    "put off": lambda site: site.books.leases.put_off(site.lease, "no share", longest_delay=9),
    "failed": lambda site: site.books.leases.attempt_failed(site.lease, "crashed"),
    "refused": _fail_for_good,
    "lost": _lose,
    "cancelled": lambda site: site.books.jobs.cancel(site.job_id),
    "worker died": lambda site: site.books.workers.abandon("a", "killed"),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_however_an_attempt_ends_nothing_of_its_offer_is_left(
    site: Site, end: Callable[[Site], object]
) -> None:
    """Helpers hear it at their next heartbeat, and nobody is invited any more."""
    claim, invitation = site.claim("b"), site.invitation("c")
    end(site)
    assert site.left() == 0
    assert site.offers.standing(site.job_id) == []
    assert not site.holds(claim)
    assert not site.offers.done(claim)
    assert site.offers.claim(invitation, "c") is None
    assert site.job_id not in {one.job_id for one in site.offers.invitations("c")}


def test_what_is_withdrawn_is_nobodys_and_who_made_what_is_known_until_the_end(site: Site) -> None:
    assert site.offers.done(site.claim("b"))
    claim, invitation = site.claim("b"), site.invitation("c")
    site.offers.withdraw(site.lease)
    assert [(key, one.worker_id) for key, one in site.standing().items()] == [(LONG, "b")]
    assert not site.holds(claim)
    assert site.offers.claim(invitation, "c") is None
    assert site.offers.invitations("c") == []
    assert site.offers.to_invite(0) == []
    assert site.books.leases.complete(site.lease, finished())
    assert site.left() == 0


def test_only_the_end_of_the_newest_attempt_ends_the_offer(site: Site) -> None:
    """A worker that comes too late takes nothing from the next one."""
    assert site.books.leases.attempt_failed(site.lease, "crashed")
    newer = site.books.take("b", site.job_id)
    assert site.offers.offer(newer, TERMS, THREE)
    assert not site.books.leases.hand_back(site.lease, "late")
    site.offers.withdraw(site.lease)
    assert site.left() == 4


def test_an_offer_that_was_left_is_in_no_invitation(site: Site) -> None:
    """Rows that nobody removed, whatever the reason, invite nobody."""
    with site.books.database.writing() as connection:
        connection.execute(sa.update(jobs).values(status=JobStatus.CANCELLED.value))
    assert site.left() == 4
    assert site.offers.invitations("b") == []
    assert site.offers.to_invite(0) == []
    assert site.offers.standing(site.job_id) == []


def test_who_made_each_segment_is_in_the_books(site: Site) -> None:
    made = (SegmentRow(1, 0, SHORT, 150, False, "b"), SegmentRow(2, 0, LONG, 300, False))
    assert site.books.leases.complete(site.lease, finished(segments=made))
    segments = site.books.jobs.segments(site.job_id)
    assert [(one.key, by) for one, by in segments] == [(SHORT, "b"), (LONG, "a")]


# Who is told


def test_so_many_are_told_as_have_nothing_to_do(site: Site) -> None:
    assert site.offers.to_invite(5) == [(site.job_id, 2)]
    assert site.offers.to_invite(5) == [], "not again at once"
    site.books.pass_time(6, "workers", "jobs")
    site.offers.helps("b", site.job_id)
    assert site.books.worker("b").helps == site.job_id
    assert site.offers.to_invite(5) == [(site.job_id, 1)]
    site.books.pass_time(6, "workers", "jobs")
    site.books.workers.tell("c", Order.PAUSE)
    assert site.offers.to_invite(5) == [], "nobody is left"
    site.offers.helps("b", None)
    assert site.offers.to_invite(5) == [(site.job_id, 1)], "it was not named in vain"


def test_no_more_are_told_than_there_are_segments(site: Site) -> None:
    assert site.offers.offer(site.lease, TERMS, [segment(1)])
    assert site.offers.to_invite(0) == [(site.job_id, 1)]
    site.claim("b")
    assert site.offers.to_invite(0) == []
    site.let_claims_run_out()
    assert site.offers.to_invite(0) == [(site.job_id, 1)]


def test_each_idle_worker_is_told_of_one_job_the_first_one_first(site: Site) -> None:
    site.books.hire("d", "e")
    first = site.books.take("d", site.books.submit(priority=9))
    assert site.offers.offer(first, TERMS, [segment(5), segment(6)])
    assert site.offers.to_invite(0) == [(first.job_id, 2), (site.job_id, 1)]


def test_a_worker_that_was_killed_while_it_helped_is_told_again(site: Site) -> None:
    """It registers anew, or the job that it helped has ended."""
    site.offers.helps("b", new_id())
    assert site.books.worker("b").helps is None
    assert site.offers.to_invite(0) == [(site.job_id, 2)]
    site.offers.helps("b", site.job_id)
    site.books.hire("b")
    assert site.books.worker("b").helps is None
    assert site.offers.to_invite(0) == [(site.job_id, 2)]
    site.offers.helps("c", site.job_id)
    site.books.workers.leave("c", "c")
    assert site.books.worker("c").helps is None


# Many, and in a hurry


def test_nobody_waits_for_another_in_a_circle(site: Site) -> None:
    """Helpers, the owner, new offers and the end of the job, all at once: no transaction is refused."""
    many = [segment(n) for n in range(30)]
    assert site.offers.offer(site.lease, TERMS, many)
    invitation, over = site.invitation(), threading.Event()

    def helper(name: str) -> None:
        while not over.is_set():
            claims = [one for _ in range(4) if (one := site.offers.claim(invitation, name))]
            site.offers.beat(name, {one: 1 for one in reversed(claims)})
            for one in claims[1:]:
                site.offers.release(one)

    def owner() -> None:
        for n in range(6):
            for one in many[::7]:
                site.offers.take_over(site.lease, one.key)
            site.offers.own_progress(site.lease, {one.key: n for one in reversed(many)})
            site.offers.to_invite(0)
            assert site.offers.offer(site.lease, TERMS, many if n % 2 else many[::-1])
            site.offers.own_done(site.lease, [one.key for one in many[::-2]])
        site.books.jobs.cancel(site.job_id)
        over.set()

    at_once(owner, *(partial(helper, name) for name in HELPERS))
    assert site.left() == 0
    assert site.books.state(site.job_id).status is JobStatus.CANCELLED


def test_of_a_thousand_segments_one_is_claimed_in_one_statement(site: Site) -> None:
    """Neither owner nor helper reads them to find the longest."""
    assert site.offers.offer(site.lease, TERMS, [segment(n, 100 + n) for n in range(1000)])
    invitation = site.invitation()
    said: list[str] = []
    sa.event.listen(site.books.database.engine, "before_cursor_execute",
                    lambda *told: said.append(told[2]))  # fmt: skip
    assert site.offers.claim(invitation, "b")
    assert [one.split()[0] for one in said] in (["BEGIN", "UPDATE"], ["SET", "UPDATE"])
