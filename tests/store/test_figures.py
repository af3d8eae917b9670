"""The farm in figures."""

from __future__ import annotations

from reelyard.domain.farm import SegmentRow
from reelyard.store.figures import BUCKETS
from reelyard.store.figures import Books as FigureBooks

from .conftest import Books, finished


def test_an_empty_farm_has_figures_of_nothing(books: Books) -> None:
    found = FigureBooks(books.database).figures()
    assert (found.waiting, found.results, found.attempts) == ({}, {}, {})
    assert list(found.within) == [0] * len(BUCKETS)
    numbers = (found.completed, found.seconds_of_work, found.seconds_of_film, found.undelivered,
               found.segments_cached, found.segments_rendered, found.segments_helped)  # fmt: skip
    assert set(numbers) == {0}


def test_everything_is_counted_once(books: Books) -> None:
    books.hire("a")
    segments = tuple(SegmentRow(1, part, f"{part:064}", 30, part < 2) for part in range(5))
    for seconds in (4.5, 60.0, 20_000.0):
        lease = books.take("a", books.submit())
        assert books.leases.complete(lease, finished(processing_time=seconds, segments=segments))
    assert books.leases.refuse(books.take("a", books.submit()), "no", code="bad_media")
    books.results.deliver(books.outbox.due())
    books.outbox.delivered(books.outbox.due(2))
    assert books.leases.attempt_failed(books.take("a", books.submit()), "no", code="out_of_disk")
    books.submit(enable_4k=True)
    books.take("a", books.submit(priority=9))
    found = FigureBooks(books.database).figures()
    assert found.waiting == {
        ("default_queue", "queued"): 1, ("default_queue", "processing"): 1,
        ("4k_queue", "queued"): 1,
    }  # fmt: skip
    assert found.results == {"completed": 3, "failed": 1}
    assert found.attempts == {
        ("completed", ""): 3, ("refused", "bad_media"): 1, ("failed", "out_of_disk"): 1,
    }  # fmt: skip
    within = dict(zip(BUCKETS, found.within, strict=True))
    assert (within[10], within[30], within[60], within[10_800]) == (1, 1, 2, 2)
    assert list(found.within) == sorted(found.within)
    assert (found.completed, found.seconds_of_work, found.seconds_of_film) == (3, 20_064.5, 30)
    assert (found.segments_cached, found.segments_rendered, found.undelivered) == (6, 9, 2)


def test_segments_that_were_made_for_others_are_counted(books: Books) -> None:
    """Not those that a cache had, whoever had rendered them."""
    books.hire("a")
    makers = (("a", False), (None, False), ("b", False), ("c", False), ("b", True))
    segments = tuple(
        SegmentRow(1, part, f"{part:064}", 30, cached, by)
        for part, (by, cached) in enumerate(makers)
    )
    for _ in range(2):
        lease = books.take("a", books.submit())
        assert books.leases.complete(lease, finished(segments=segments))
    assert books.leases.complete(books.take("a", books.submit()), finished())
    found = FigureBooks(books.database).figures()
    assert (found.segments_helped, found.segments_rendered) == (4, 9)


def test_a_film_that_was_made_again_counts_its_segments_once(books: Books) -> None:
    books.hire("a")
    job_id = books.submit()
    books.leases.hand_back(books.take("a", job_id), "stopped")
    assert books.leases.complete(books.take("a", job_id), finished())
    found = FigureBooks(books.database).figures()
    assert found.segments_rendered == 1
    assert found.attempts == {("handed_back", ""): 1, ("completed", ""): 1}
    assert (found.results, found.undelivered) == ({}, 1)
