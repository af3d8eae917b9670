"""A job that others help with, as its page shows it. The workers are the test's own: nothing is rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

from playwright.sync_api import expect

from reelyard.domain.errors import JobConflict
from reelyard.domain.farm import Lease, SegmentRow
from reelyard.domain.routing import Queue
from reelyard.store.database import Database
from tests.store.conftest import CLIP, TERMS, Books, finished, job, segment

from .site import Site
from .window import PHONE, OpenWindow

OWNER, HELPER = "owner@here", "helper@<b>there</b>"


@contextmanager
def _helped(site: Site) -> Iterator[tuple[Books, Lease]]:
    """A job that OWNER works on; HELPER has nothing to do. Other tests have no job in this queue."""
    with closing(Database(f"sqlite:///{site.folder / 'data' / 'reelyard.db'}")) as database:
        books = Books(database)
        books.hire(OWNER, HELPER, queues=(Queue.GPU,))
        clip = replace(CLIP, path=str(site.media / "intro.mp4"), text="Welcome")
        lease = books.take(OWNER, books.submit(job(clip)))
        try:
            yield books, lease
        finally:
            with suppress(JobConflict):
                books.jobs.cancel(lease.job_id)
            books.jobs.remove(lease.job_id)
            for name in (OWNER, HELPER):
                books.workers.leave(name, name)
                books.workers.forget(name)


def test_who_makes_what_is_seen_on_a_phone_while_it_is_made_and_afterwards(
    site: Site, open_window: OpenWindow
) -> None:
    """As a picture and as a table; the page moves by itself, and a worker's name is text."""
    window = open_window("ada", **PHONE)
    with _helped(site) as (books, lease):
        offered = [segment(0, 100), segment(1, 300)]
        assert books.offers.offer(lease, TERMS, offered)
        assert books.offers.claim_own(lease, offered[0].key)
        claim = books.help(HELPER)
        books.offers.beat(HELPER, {claim: 150})
        window.go(f"/jobs/{lease.job_id}")
        card, strip = window.hook("job-makers"), window.hook("job-strip")
        expect(card).to_contain_text("Who makes what")
        expect(card.get_by_role("row", name=HELPER)).to_contain_text("item 2, part 1 (50\u00a0%)")
        expect(window.hook("job-next")).to_contain_text(f"with the help of {HELPER}")
        expect(strip.get_by_title(f"{HELPER} is at it")).to_be_visible()
        assert books.offers.done(claim)
        told = f"{OWNER} 0 segments (0\u00a0%), {HELPER} 1 segment (75\u00a0%)"
        expect(strip).to_have_attribute("aria-label", re.compile(re.escape(told)))
        rows = (SegmentRow(1, 0, "a", 100, False), SegmentRow(2, 0, "b", 300, False, HELPER))
        assert books.leases.complete(lease, finished(segments=rows))
        expect(card).to_contain_text("Who made what")
        expect(card.get_by_role("row", name=HELPER)).to_contain_text("75\u00a0%")
        expect(strip.get_by_title(f"item 2, part 1: 10.0 s, made by {HELPER}")).to_be_visible()
        assert (window.overflow(), window.nameless(), window.faults) == (0, [], [])
