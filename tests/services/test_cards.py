"""Graphics cards and workers: who has which card, what a busy one costs, what people are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.errors import Cancelled, GraphicsCardBusy
from reelyard.domain.farm import Capabilities
from reelyard.domain.lifecycle import JobStatus
from reelyard.domain.output import HD
from reelyard.domain.plan import PictureSegment
from reelyard.engine import encoders, render
from reelyard.engine.ffmpeg import FFmpeg, Said, StopSignal
from reelyard.engine.gpus import NONE, Gpu
from reelyard.engine.planner import Gathered, Workshop, make_plan
from reelyard.farm.up import card_of_a_worker, cards_of_workers
from reelyard.files.job_log import JobLog
from reelyard.files.memory import Memory
from reelyard.files.slots import Slots
from reelyard.services.cards import CardState, card_findings
from reelyard.services.encode import Encoder
from reelyard.services.findings import Verdict
from reelyard.services.machine import Machine
from reelyard.services.render_job import Rendered, RenderJob
from reelyard.settings import Settings
from tests.unit.facts import CLIP, item, job

from .conftest import Siding

STRONG = Gpu(0, "NVIDIA GeForce RTX 4070", "GPU-aaaa-1", "615.10")
WEAK = Gpu(1, "NVIDIA GeForce GTX 1650", "GPU-bbbb-2", "615.10")


# One worker for each card


def test_there_is_a_worker_for_each_card_that_works_and_one_without_any() -> None:
    assert cards_of_workers(None, [STRONG, WEAK]) == [("--gpu", "0"), ("--gpu", "1")]
    assert cards_of_workers(None, []) == [()]


def test_more_workers_than_cards_share_none() -> None:
    assert cards_of_workers(3, [STRONG]) == [("--gpu", "0"), ("--gpu", "none"), ("--gpu", "none")]
    assert cards_of_workers(1, [STRONG, WEAK]) == [("--gpu", "0")]
    assert cards_of_workers(2, []) == [(), ()]
    assert cards_of_workers(0, [STRONG]) == []


def machine(folder: Path, gpu: str | None = None) -> Machine:
    """One with two cards that work."""
    settings = Settings(data_dir=folder / "data", cache_dir=folder / "cache", gpu=gpu)
    return Machine(
        settings,
        lambda: Memory(folder / "memory"),
        find_ffmpeg=lambda *_: Willing(Path("ffmpeg"), "9"),
        find_gpus=lambda: (STRONG, WEAK),
    )


class Willing(FFmpeg):
    """Encodes whatever it is asked to."""

    def bound(self, binding: Mapping[str, str]) -> FFmpeg:
        return Willing(self.executable, self.version, binding=binding)

    def run(self, arguments: Sequence[str], **options: Any) -> Said:
        return Said()


def test_workers_of_one_machine_take_different_cards(tmp_path: Path) -> None:
    with (
        card_of_a_worker(machine(tmp_path)) as first,
        card_of_a_worker(machine(tmp_path)) as second,
    ):
        assert (first, second) == ("0", "1")
    with card_of_a_worker(machine(tmp_path)) as again:
        assert again == "0"


def test_a_worker_too_many_uses_no_card_unless_it_is_told_to_share_one(tmp_path: Path) -> None:
    with card_of_a_worker(machine(tmp_path)), card_of_a_worker(machine(tmp_path)):
        with card_of_a_worker(machine(tmp_path)) as third:
            assert third == NONE
        with card_of_a_worker(machine(tmp_path, "1")) as told:
            assert told == "1"


def test_a_worker_on_a_machine_without_cards_is_told_of_none(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, encoder="libx264")
    with card_of_a_worker(Reelyard(settings).machine) as card:
        assert card is None


def test_ffmpeg_sees_the_workers_own_card_and_no_other(tmp_path: Path) -> None:
    for gpu, seen in ((None, "GPU-aaaa-1"), ("1", "GPU-bbbb-2"), ("none", "-1")):
        assert machine(tmp_path, gpu).ffmpeg.binding["CUDA_VISIBLE_DEVICES"] == seen


def test_what_a_card_proved_is_remembered_of_that_card_alone(tmp_path: Path) -> None:
    both = machine(tmp_path)
    assert both.on_card(STRONG).working_encoder() == "h264_nvenc"
    tried: list[Sequence[str]] = []

    class Telling(Willing):
        def bound(self, binding: Mapping[str, str]) -> FFmpeg:
            return self

        def run(self, arguments: Sequence[str], **options: Any) -> Said:
            tried.append(arguments)
            return Said()

    again = replace(both, find_ffmpeg=lambda *_: Telling(Path("ffmpeg"), "9"))
    assert again.on_card(STRONG).working_encoder() == "h264_nvenc"
    assert tried == []
    assert again.on_card(WEAK).working_encoder() == "h264_nvenc"
    assert len(tried) == 1


# A busy card


class Busy(FFmpeg):
    """A card that is busy for so many tries, and then fails otherwise."""

    def __init__(self, tries: int) -> None:
        super().__init__(Path("ffmpeg"), "9")
        self.tries = tries

    def run(self, arguments: Sequence[str], **options: Any) -> Said:
        self.tries -= 1
        if self.tries >= 0:
            raise GraphicsCardBusy("the graphics card does no more encodes at once", remedy="Wait")
        raise Cancelled("it was free")


@dataclass
class Bench:
    """An encoder for one segment."""

    folder: Path
    log: JobLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = JobLog(self.folder / "log", " ".join)

    def encode(
        self, ffmpeg: FFmpeg, stop: StopSignal, slots: Slots, pauses: Sequence[float]
    ) -> None:
        encoding = encoders.encoding("h264_nvenc", HD, ffmpeg, "card")
        plan = make_plan(
            job(item()), [Gathered(item=item(), facts=CLIP)], Workshop(encoding=encoding, faces=())
        )
        segment: PictureSegment = next(plan.picture)
        run = render.Run(ffmpeg, self.log, stop)
        Encoder(plan, run, self.log, slots, pauses)(segment, self.folder / "piece", lambda _: None)

    def lines(self) -> list[str]:
        self.log.close()
        return (self.log.folder / "job.log").read_text().splitlines()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_busy_card_is_asked_again_after_a_pause(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(Cancelled, match="it was free"):
        bench.encode(Busy(2), StopSignal(), Slots(tmp_path / "card", 1), (0.01, 0.01, 0.01))
    said = [line for line in bench.lines() if "does no more encodes at once" in line]
    assert len(said) == 2
    assert "item 1 part 1" in said[0] and "Again in 0.01 s." in said[0]


def test_a_card_that_stays_busy_fails_the_attempt(bench: Bench, tmp_path: Path) -> None:
    slots = Slots(tmp_path / "card", 1)
    with pytest.raises(GraphicsCardBusy):
        bench.encode(Busy(9), StopSignal(), slots, (0.01,))
    bench.log.close()
    with slots.one(lambda: None):  # nothing is left taken
        assert slots.limit == 1


def test_a_job_that_is_stopped_does_not_wait_for_the_card(bench: Bench, tmp_path: Path) -> None:
    stop = StopSignal()

    class Stopping(Busy):
        def run(self, arguments: Sequence[str], **options: Any) -> Said:
            stop.stop()
            return super().run(arguments, **options)

    with pytest.raises(Cancelled):
        bench.encode(Stopping(9), stop, Slots(tmp_path / "card", 1), (60.0,))
    assert len(bench.lines()) == 1


@dataclass(frozen=True)
class OnBusyCard(RenderJob):
    """A renderer whose card stays busy."""

    def render(self, *arguments: Any, **options: Any) -> Rendered:
        raise GraphicsCardBusy("the graphics card does no more encodes at once", remedy="Wait")


def test_a_card_that_stays_busy_is_waited_for_and_counts_against_nobody(
    siding: Siding, clip: Path
) -> None:
    job_id = siding.film(clip)
    worker = siding.worker("pc1")
    real = worker.render_job()
    known = {one.name: getattr(real, one.name) for one in fields(RenderJob)}
    busy: Callable[[], RenderJob] = lambda: OnBusyCard(**known)  # noqa: E731
    assert replace(worker, render_job=busy)(job_id, None) is JobStatus.QUEUED
    (attempt,) = siding.farm.jobs.attempts(job_id)
    assert "does no more encodes at once" in (attempt.message or "")
    state, known_worker = siding.state(job_id), siding.farm.workers.get("pc1")
    assert state.attempts == 0, "a game on one PC must not fail the jobs that come there"
    assert "does no more encodes at once" in (state.waiting_for or "")
    assert known_worker is not None and known_worker.failures == 0


# What people are told


def able(**changes: Any) -> Capabilities:
    known = Capabilities(version="1", ffmpeg="9", encoders=("h264_nvenc", "libx264"), cores=8,
                         memory=1, free_disk=1, encoders_4k=("h264_nvenc", "libx264"),
                         decodes=("h264", "hevc"))  # fmt: skip
    return replace(known, **changes)


def test_the_doctor_says_of_each_card_what_it_proved_to_do() -> None:
    old = "Driver does not support it / The minimum required Nvidia driver for nvenc is 610.00 or newer"
    cards = [
        CardState(STRONG, able()),
        CardState(WEAK, able(encoders_4k=("libx264",), decodes=())),
        CardState(WEAK, able(encoders=("libx264",)), old),
        CardState(WEAK, able(encoders=("libx264",)), "Temporal AQ not supported"),
    ]
    found = list(card_findings(cards, sessions=3, filters=True))
    assert [one.verdict for one in found] == [Verdict.OK, *[Verdict.NOTE] * 3]
    assert found[0].message == (
        "NVIDIA GeForce RTX 4070, driver 615.10: encodes 1080p and 4K, 3 at once at most; decodes h264, hevc"
    )
    assert "1080p, not 4K" in found[1].message and "decoded by the processor" in found[1].message
    assert "driver is too old" in found[2].message and "newer NVIDIA driver" in found[2].remedy
    assert "does not encode: Temporal AQ" in found[3].message


def test_decoding_that_is_switched_off_is_nothing_to_act_on() -> None:
    (found,) = card_findings([CardState(STRONG, able(decodes=()))], sessions=2, filters=False)
    assert (found.verdict, found.remedy) == (Verdict.OK, "")
