"""When the farm will be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.estimate import (
    Crew,
    Estimate,
    Running,
    Waiting,
    estimate,
    updated_speed,
)
from reelyard.domain.routing import Queue
from reelyard.domain.timeline import FRAME_RATE

ALL = frozenset(Queue)


def waiting(
    job_id: str, seconds: int = 10, queue: Queue = Queue.DEFAULT, **changes: Any
) -> Waiting:
    """A job that is ``seconds`` of film."""
    base = Waiting(job_id=job_id, queue=queue, frames=seconds * FRAME_RATE, enable_4k=False)
    return replace(base, **changes)


def running(job_id: str = "now", **changes: Any) -> Running:
    """A minute of film, a quarter done, by the worker ``a``."""
    base = Running(
        job_id=job_id, worker_id="a", seconds_left=None, frames=1800, percent=25, enable_4k=False
    )
    return replace(base, **changes)


def worker(worker_id: str = "a", *queues: Queue, **changes: Any) -> Crew:
    """One that makes a second of film per second, from all queues if none is named."""
    listens = frozenset(queues) or ALL
    base = Crew(worker_id=worker_id, queues=listens, speed=1.0, speed_4k=0.25, takes_more=True)
    return replace(base, **changes)


def test_an_empty_farm_is_done_now() -> None:
    assert estimate([], [], []) == Estimate(jobs={}, starts={}, whole=0.0)


def test_one_worker_does_one_job_after_the_other() -> None:
    done = estimate([waiting("x", 10), waiting("y", 20)], [], [worker(speed=2.0)])
    assert done == Estimate(jobs={"x": 5, "y": 15}, starts={"x": 0, "y": 5}, whole=15)


def test_the_worker_that_is_free_first_takes_the_next_job() -> None:
    jobs = [waiting("x", 30), waiting("y", 10), waiting("z", 10)]
    done = estimate(jobs, [], [worker("a"), worker("b")])
    assert done.starts == {"x": 0, "y": 0, "z": 10}
    assert done.whole == 30


def test_a_worker_takes_more_when_its_job_is_done() -> None:
    done = estimate([waiting("x", 10)], [running()], [worker()])
    assert done == Estimate(jobs={"now": 45, "x": 55}, starts={"x": 45}, whole=55)


def test_a_worker_that_takes_no_more_only_ends_what_it_has() -> None:
    crew = [worker(takes_more=False)]
    assert estimate([], [running()], crew).whole == 45
    done = estimate([waiting("x")], [running()], crew)
    assert done == Estimate(jobs={"now": 45, "x": None}, starts={"x": None}, whole=None)


def test_a_job_that_nobody_listens_for_is_never_done_and_holds_nobody_up() -> None:
    jobs = [waiting("x", queue=Queue.UHD), waiting("y")]
    done = estimate(jobs, [], [worker("a", Queue.GPU, Queue.DEFAULT)])
    assert done == Estimate(jobs={"x": None, "y": 10}, starts={"x": None, "y": 0}, whole=None)


def test_a_worker_takes_the_first_job_of_all_its_queues() -> None:
    jobs = [
        waiting("x", queue=Queue.UHD),
        waiting("y", queue=Queue.GPU),
        waiting("z", queue=Queue.DEFAULT),
        waiting("w", queue=Queue.GPU),
    ]
    done = estimate(jobs, [], [worker("a", Queue.GPU, Queue.DEFAULT), worker("b", Queue.UHD)])
    assert done.starts == {"x": 0, "y": 0, "z": 10, "w": 20}


def test_a_job_that_must_wait_is_overtaken() -> None:
    jobs = [waiting("x", not_before=5.0), waiting("y"), waiting("z")]
    assert estimate(jobs, [], [worker()]).starts == {"y": 0, "x": 10, "z": 20}


def test_an_idle_worker_starts_a_job_when_its_hour_comes() -> None:
    jobs = [waiting("x", not_before=5.0), waiting("y", not_before=7.0)]
    assert estimate(jobs, [], [worker("a"), worker("b")]).starts == {"x": 5, "y": 7}


def test_an_idle_worker_of_another_queue_leaves_it() -> None:
    jobs = [waiting("x", not_before=5.0)]
    crew = [worker("a", Queue.GPU), worker("b", Queue.DEFAULT)]
    assert estimate(jobs, [running(worker_id="b", seconds_left=9.0)], crew).starts == {"x": 9}


def test_an_hour_that_has_passed_is_now() -> None:
    assert estimate([waiting("x", not_before=-60.0)], [], [worker()]).starts == {"x": 0}


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 45),
        ({"seconds_left": 7.5}, 7.5),
        ({"seconds_left": -1.0}, 0),
        ({"percent": 100.0}, 0),
        ({"percent": 100.5}, 0),
        ({"enable_4k": True}, 180),
        ({"worker_id": "gone"}, 45),
    ],
)
def test_what_a_running_job_needs_is_what_its_worker_says_or_the_rest_of_its_frames(
    changes: dict[str, Any], seconds: float
) -> None:
    assert estimate([], [running(**changes)], [worker()]).jobs == {"now": seconds}


def test_a_worker_with_two_jobs_is_busy_until_both_are_done() -> None:
    two = [running("p", seconds_left=20.0), running("q", seconds_left=5.0)]
    assert estimate([waiting("x")], two, [worker()]).starts == {"x": 20}


@pytest.mark.parametrize(
    ("own", "others", "hd", "uhd"),
    [
        ((4.0, 0.5), [(1.0, 1.0)], 4.0, 0.5),
        ((None, None), [], 1.0, 0.25),
        ((0.0, 0.0), [], 1.0, 0.25),
        ((None, None), [(2.0, None), (4.0, None)], 3.0, 0.75),
        ((None, None), [(2.0, 0.5), (4.0, 1.5)], 3.0, 1.0),
        ((None, None), [(None, 0.5), (0.0, None)], 1.0, 0.5),
        ((8.0, None), [(2.0, None)], 8.0, 2.0),
        ((8.0, None), [(2.0, 0.5)], 8.0, 0.5),
        ((None, 3.0), [], 1.0, 3.0),
    ],
)
def test_an_unknown_speed_is_that_of_the_others_or_a_guess(
    own: tuple[float | None, float | None],
    others: list[tuple[float | None, float | None]],
    hd: float,
    uhd: float,
) -> None:
    crew = [worker(speed=own[0], speed_4k=own[1])]
    crew += [
        worker(f"other {n}", speed=speed, speed_4k=speed_4k, takes_more=False)
        for n, (speed, speed_4k) in enumerate(others)
    ]
    assert estimate([waiting("x", 60)], [], crew).whole == 60 / hd
    assert estimate([waiting("x", 60, enable_4k=True)], [], crew).whole == 60 / uhd


def test_the_first_measurement_is_believed_and_later_ones_count_for_three_tenths() -> None:
    assert updated_speed(None, 2.0) == 2.0
    assert updated_speed(1.0, 2.0) == pytest.approx(1.3)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_speed_moves_towards_what_was_measured_and_not_past_it(old: float, new: float) -> None:
    moved = updated_speed(old, new)
    assert min(old, new) <= moved <= max(old, new)
    assert abs(moved - new) <= abs(old - new)


# Whole and half numbers make many things happen at the same instant, where mistakes would be.
SECONDS = st.integers(0, 12).map(lambda half: half / 2)
SPEEDS = st.sampled_from([0.25, 0.5, 1.0, 2.0])


@st.composite
def lists_of_jobs(draw: st.DrawFn, queues: Sequence[Queue], later: bool = True) -> list[Waiting]:
    one = st.builds(
        waiting,
        st.just(""),
        st.integers(0, 20),
        st.sampled_from(queues),
        enable_4k=st.booleans(),
        not_before=SECONDS if later else st.just(0.0),
    )
    return [replace(job, job_id=f"{n}") for n, job in enumerate(draw(st.lists(one, max_size=12)))]


@st.composite
def crews(draw: st.DrawFn) -> list[Crew]:
    one = st.builds(
        Crew,
        worker_id=st.just(""),
        queues=st.frozensets(st.sampled_from(Queue)),
        speed=SPEEDS,
        speed_4k=SPEEDS,
        takes_more=st.booleans(),
    )
    crew = draw(st.lists(one, max_size=4))
    return [replace(hand, worker_id=f"{n}") for n, hand in enumerate(crew)]


@st.composite
def work_of(draw: st.DrawFn, crew: list[Crew]) -> list[Running]:
    """For some of the crew, a job that they are at."""
    left = draw(st.lists(st.none() | SECONDS, min_size=len(crew), max_size=len(crew)))
    return [
        running(f"of {hand.worker_id}", worker_id=hand.worker_id, seconds_left=seconds)
        for hand, seconds in zip(crew, left, strict=True)
        if seconds is not None
    ]


@st.composite
def farms(draw: st.DrawFn) -> tuple[list[Waiting], list[Running], list[Crew]]:
    crew = draw(crews())
    return draw(lists_of_jobs(list(Queue))), draw(work_of(crew)), crew


def spelled_out(
    jobs: list[Waiting], works: list[Running], crew: list[Crew]
) -> list[tuple[str, str, float, float]]:
    """The rule word by word, slowly: job, worker, start and end, in the order of the starts."""
    free = {hand.worker_id: 0.0 for hand in crew if hand.takes_more}
    free |= {work.worker_id: work.seconds_left or 0.0 for work in works if work.worker_id in free}
    rest = list(jobs)
    taken: list[tuple[str, str, float, float]] = []
    while True:
        chances = []
        for number, hand in enumerate(crew):
            hours = [max(0.0, job.not_before) for job in rest if job.queue in hand.queues]
            if hours and hand.takes_more:
                idle = free[hand.worker_id]
                chances.append((max(idle, min(hours)), idle, number))
        if not chances:
            return taken
        now, _, number = min(chances)
        hand = crew[number]
        job = next(one for one in rest if one.queue in hand.queues and one.not_before <= now)
        speed = hand.speed_4k if job.enable_4k else hand.speed
        assert speed is not None
        end = now + job.frames / FRAME_RATE / speed
        taken.append((job.job_id, hand.worker_id, now, end))
        free[hand.worker_id] = end
        rest.remove(job)


@given(farms())
def test_the_estimate_is_the_rule_word_by_word(
    farm: tuple[list[Waiting], list[Running], list[Crew]],
) -> None:
    taken = spelled_out(*farm)
    done = estimate(*farm)
    unserved = dict.fromkeys((job.job_id for job in farm[0]), None)
    ends = {work.job_id: work.seconds_left for work in farm[1]}
    assert done.starts == unserved | {job: start for job, _, start, _ in taken}
    assert done.jobs == ends | unserved | {job: end for job, _, _, end in taken}


@given(farms())
def test_the_farm_is_done_when_its_last_job_is(
    farm: tuple[list[Waiting], list[Running], list[Crew]],
) -> None:
    done = estimate(*farm)
    ends = [end for end in done.jobs.values() if end is not None]
    assert done.whole == (None if None in done.jobs.values() else max(ends, default=0))


@given(farms())
def test_nothing_starts_early_and_only_what_somebody_listens_for_is_done(
    farm: tuple[list[Waiting], list[Running], list[Crew]],
) -> None:
    jobs, _, crew = farm
    done = estimate(*farm)
    heard = {queue for hand in crew if hand.takes_more for queue in hand.queues}
    for job in jobs:
        start, end = done.starts[job.job_id], done.jobs[job.job_id]
        assert (start is not None) == (end is not None) == (job.queue in heard)
        if start is not None and end is not None:
            assert 0 <= job.not_before <= start <= end


@given(farms())
def test_a_queue_keeps_its_order(farm: tuple[list[Waiting], list[Running], list[Crew]]) -> None:
    done = estimate(*farm)
    for first, second in combinations(farm[0], 2):
        if first.queue is second.queue and first.not_before <= second.not_before:
            start, other = done.starts[first.job_id], done.starts[second.job_id]
            assert start is None or other is None or start <= other


@given(lists_of_jobs(list(Queue)), SECONDS)
def test_one_worker_never_does_two_jobs_at_once(jobs: list[Waiting], busy: float) -> None:
    works = [running(seconds_left=busy)]
    done = estimate(jobs, works, [worker()])
    spans = [(done.starts[job.job_id] or 0.0, done.jobs[job.job_id] or 0.0) for job in jobs]
    spans = sorted([(0.0, busy), *spans])
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@given(farms())
def test_no_more_jobs_run_at_once_than_there_are_workers(
    farm: tuple[list[Waiting], list[Running], list[Crew]],
) -> None:
    _, works, crew = farm
    done = estimate(*farm)
    starts = {**done.starts, **{work.job_id: 0.0 for work in works}}
    spans = [
        (start, end)
        for job_id, start in starts.items()
        if start is not None and (end := done.jobs[job_id]) is not None
    ]
    for now, _ in spans:
        assert sum(start <= now < end for start, end in spans) <= len(crew)


ONE_QUEUE = lists_of_jobs([Queue.DEFAULT], later=False)


@given(ONE_QUEUE, st.lists(SECONDS, min_size=1, max_size=4), SPEEDS)
def test_one_more_worker_of_the_same_speed_delays_nobody(
    jobs: list[Waiting], busy: list[float], speed: float
) -> None:
    crew = [worker(f"{n}", speed=speed, speed_4k=speed / 4) for n in range(len(busy) + 1)]
    works = [running(f"of {n}", worker_id=f"{n}", seconds_left=left) for n, left in enumerate(busy)]
    fewer, more = estimate(jobs, works, crew[:-1]), estimate(jobs, works, crew)
    assert all((more.jobs[job] or 0) <= (end or 0) for job, end in fewer.jobs.items())


@given(ONE_QUEUE, st.integers(1, 4), SPEEDS)
def test_a_crew_of_twice_the_speed_is_done_in_half_the_time(
    jobs: list[Waiting], hands: int, speed: float
) -> None:
    slow = [worker(f"{n}", speed=speed, speed_4k=speed / 4) for n in range(hands)]
    fast = [replace(hand, speed=speed * 2, speed_4k=speed / 2) for hand in slow]
    before, after = estimate(jobs, [], slow), estimate(jobs, [], fast)
    assert {job: (end or 0) * 2 for job, end in after.jobs.items()} == before.jobs
