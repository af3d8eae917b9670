"""Drafts on a server: who has which, one at a time, and nothing is left of those that are gone."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from reelyard.bootstrap import Reelyard
from reelyard.domain.access import Principal, Role, Scope
from reelyard.domain.errors import (
    Conflict,
    FarmUnavailable,
    NotAllowed,
    NotFound,
    RequestInvalid,
    StorageFailed,
    TooManyRequests,
)
from reelyard.domain.job import Job
from reelyard.engine.ffmpeg import StopSignal
from reelyard.files.job_log import JobLog
from reelyard.files.publishing import Place
from reelyard.services.drafts import Draft, Drafts, DraftStatus, Keeping
from reelyard.services.help import NO_HELP, Help
from reelyard.services.job_file import parse_job
from reelyard.services.progress import Watcher
from reelyard.services.render_job import Publication, Rendered, RenderJob
from tests.conftest import Clips, Studio

from .conftest import SOON, nothing, wait_for


def person(name: str = "ann") -> Principal:
    return Principal(user_id=f"id-{name}", username=name, role=Role.OPERATOR)


ANN, BEN = person(), person("ben")


@dataclass(frozen=True)
class Renders(RenderJob):
    """Does ``first`` with the job's stop signal, then renders."""

    first: Callable[[StopSignal], object] = nothing

    def render(
        self,
        job: Job,
        output: Place,
        log: JobLog,
        watcher: Watcher | None,
        stop: StopSignal,
        publication: Publication | None = None,
        help_: Help = NO_HELP,
    ) -> Rendered:
        self.first(stop)
        return super().render(job, output, log, watcher, stop, publication, help_)


@dataclass(frozen=True)
class Office:
    """One server's drafts. ``gate`` lets renderings that were told to wait go on."""

    studio: Studio
    clips: Clips
    held: ExitStack
    gate: threading.Event

    @property
    def folder(self) -> Path:
        return self.studio.folder / "data" / "drafts"

    @property
    def reelyard(self) -> Reelyard:
        return self.studio.reelyard(data_dir=self.studio.folder / "data")

    def drafts(self, first: Callable[[StopSignal], object] | None = None, **options: Any) -> Drafts:
        real = self.reelyard.draft_renderer

        def renderer(item_frames: int | None) -> RenderJob:
            one = real(item_frames)
            if first is None:
                return one
            return Renders(
                **{each.name: getattr(one, each.name) for each in fields(one)}, first=first
            )

        return self.held.enter_context(closing(Drafts(renderer, self.folder, **options)))

    def waits(self, stop: StopSignal) -> None:
        """For the gate, or to be stopped."""
        while not self.gate.wait(0.01):
            stop.check()

    def job(self, *names: str, **job: Any) -> Job:
        """A short clip for each name; the same name is the same clip, with the name as its text."""
        path = self.clips.video("drafted.mp4", seconds=0.4)
        items = [{"item_type": "video", "path": path, "text_animation_text": one} for one in names]
        return self.parsed(*items, **job)

    def parsed(self, *items: dict[str, Any], **job: Any) -> Job:
        document = {"channel_name": "Tests", "items": list(items), **job}
        return parse_job(json.loads(json.dumps(document, default=str)), self.studio.folder)

    def left(self) -> list[Path]:
        """Every file that drafts have left."""
        return [
            path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".lock"
        ]


@pytest.fixture
def office(studio: Studio, clips: Clips) -> Iterator[Office]:
    gate = threading.Event()
    with ExitStack() as held:
        yield Office(studio, clips, held, gate)


def over(drafts: Drafts, draft: Draft, who: Principal = ANN) -> Draft:
    """The draft once it is over."""
    wait_for(lambda: drafts.get(who, draft.draft_id).is_over, "the draft's end")
    return drafts.get(who, draft.draft_id)


def taken(draft: Draft) -> tuple[int, int]:
    """How many pieces came from the cache, and how many were rendered."""
    assert draft.film is not None
    cache = json.loads(draft.film.with_suffix(".report.json").read_text())["cache"]
    return cache["taken"], cache["rendered"]


def test_a_draft_is_waited_for_and_then_fetched(office: Office) -> None:
    """It is there with its contact sheet, its lengths, and its log in its own folder."""
    drafts = office.drafts(office.waits)
    begun = drafts.begin(ANN, office.job("Hi", "Ho"), 0.2)
    assert not begun.is_over
    with pytest.raises(Conflict):
        drafts.film(ANN, begun.draft_id)
    office.gate.set()

    done = over(drafts, begun)
    assert (done.status, done.percent, done.message) == (DraftStatus.DONE, 100, "")
    assert (done.seconds, done.skipped_seconds) == (0.4, 0.4)
    assert drafts.film(ANN, begun.draft_id).stat().st_size > 1000
    assert drafts.contact_sheet(ANN, begun.draft_id).read_bytes()[:2] == b"\xff\xd8"
    assert drafts.latest(ANN) == done
    assert {path.parent.name for path in office.left() if path.name == "job.log"} == {"log"}
    assert not (office.studio.folder / "logs").exists()


def test_a_change_of_one_item_renders_that_item_alone(office: Office) -> None:
    drafts = office.drafts()
    asked = [("one", "two", "three"), ("one", "two", "three"), ("one", "2", "three")]
    # Three pictures, the sound that all of them share, the film's sound.
    pieces = [taken(over(drafts, drafts.begin(ANN, office.job(*texts)))) for texts in asked]
    assert pieces == [(0, 5), (4, 0), (3, 1)]


def test_a_film_takes_nothing_from_a_draft_and_stays_as_it_is(office: Office) -> None:
    """The keys of a film's segments are its own; only sound of the same length is shared."""
    job = office.job("one", "two")
    drafts = office.drafts()
    over(drafts, drafts.begin(ANN, job))
    film = office.reelyard.render_job(job, office.studio.folder / "film.mp4")
    assert not film.made.cached & {segment.key for segment in film.plan.picture}
    assert film.plan.form.name == "1080p"


def test_everything_that_is_wrong_with_a_job_is_listed(office: Office) -> None:
    path = office.clips.video("drafted.mp4", seconds=0.4)
    still = office.clips.picture("drafted.png")
    drafts = office.drafts()
    failed = over(
        drafts,
        drafts.begin(
            ANN,
            office.parsed(
                {"item_type": "video", "path": "/no/such.mp4"},
                {"item_type": "video", "path": path, "start": 9},
                {"item_type": "video", "path": still},
                {"item_type": "video", "path": path},
            ),
        ),
    )
    assert failed.status is DraftStatus.FAILED
    assert [one.position for one in failed.problems] == [1, 2, 3]
    assert drafts.problems(ANN, failed.draft_id) == failed.problems
    assert "such.mp4" in failed.message and "item 3" in failed.message
    assert failed.film is None


def test_what_the_film_would_be_warned_about_is_said_of_the_whole_item(office: Office) -> None:
    """Not that a text outlasts what the draft shows of the clip."""
    path = office.clips.video("drafted.mp4", seconds=0.4)
    drafts = office.drafts()
    items = (
        {"item_type": "video", "path": path, "text_animation_text": text}
        for text in ("abc", "abcdefgh")
    )
    done = over(drafts, drafts.begin(ANN, office.parsed(*items), 0.1))
    assert len(done.warnings) == 1
    assert "item 2" in done.warnings[0] and "the clip lasts 0.4 s" in done.warnings[0]


def test_nobody_has_the_drafts_of_others(office: Office) -> None:
    drafts = office.drafts(office.waits)
    begun = drafts.begin(ANN, office.job("Hi"))
    manager = Principal(user_id="id-max", username="max", role=Role.MANAGER)
    for who in (BEN, manager):
        for ask in (drafts.get, drafts.cancel, drafts.film, drafts.contact_sheet, drafts.problems):
            with pytest.raises(NotFound):
                ask(who, begun.draft_id)
        assert drafts.latest(who) is None
    assert not drafts.get(ANN, begun.draft_id).is_over


def test_a_token_that_only_reads_makes_no_drafts(office: Office) -> None:
    reader = Principal(
        user_id="id-ann", username="ann", role=Role.OPERATOR, scopes=frozenset({Scope.READ})
    )
    drafts = office.drafts(office.waits)
    with pytest.raises(NotAllowed):
        drafts.begin(reader, office.job("Hi"))
    assert drafts.latest(ANN) is None


def test_a_new_draft_takes_the_old_ones_place(office: Office) -> None:
    """Whether the old one is done, in the making or still waiting; its files go."""
    drafts = office.drafts()
    done = over(drafts, drafts.begin(ANN, office.job("one")))
    assert done.film is not None
    second = over(drafts, drafts.begin(ANN, office.job("two")))
    with pytest.raises(NotFound):
        drafts.get(ANN, done.draft_id)
    assert not done.film.parent.exists()
    assert drafts.film(ANN, second.draft_id).exists()

    drafts = office.drafts(office.waits)
    old = [drafts.begin(ANN, office.job("one")) for _ in range(10)]
    last = drafts.begin(ANN, office.job("two"))
    office.gate.set()
    assert over(drafts, last).status is DraftStatus.DONE
    for one in old:
        with pytest.raises(NotFound):
            drafts.get(ANN, one.draft_id)


def test_only_so_many_may_wait(office: Office) -> None:
    """One is made, two wait, the fourth person is turned away; who waits already may change it."""
    drafts = office.drafts(office.waits, waiting=2)
    people = [person(name) for name in ("a", "b", "c", "d")]
    for who in people[:3]:
        drafts.begin(who, office.job("Hi"))
    with pytest.raises(TooManyRequests) as refused:
        drafts.begin(people[3], office.job("Hi"))
    assert refused.value.retry_after > 0
    changed = drafts.begin(people[2], office.job("Ho"))
    drafts.cancel(people[1], drafts.latest(people[1]).draft_id)  # type: ignore[union-attr]
    last = drafts.begin(people[3], office.job("Hi"))
    office.gate.set()
    assert over(drafts, changed, people[2]).status is DraftStatus.DONE
    assert over(drafts, last, people[3]).status is DraftStatus.DONE


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_lengths_that_make_no_sense_are_refused(seconds: float, office: Office) -> None:
    drafts = office.drafts()
    with pytest.raises(RequestInvalid) as refused:
        drafts.begin(ANN, office.job("Hi"), seconds)
    assert refused.value.field == "seconds_per_item"


def ffmpegs() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "ffmpeg" in one.name()]


def long_job(office: Office) -> Job:
    """Half a minute of work at least."""
    path = office.clips.video("drafted-long.mkv", size="64x36", seconds=600, sound=False)
    return office.parsed({"item_type": "video", "path": path, "text_animation_text": "Wait"})


def test_a_cancelled_draft_ends_within_two_seconds_and_leaves_nothing(office: Office) -> None:
    drafts = office.drafts()
    begun = drafts.begin(ANN, long_job(office), None)
    wait_for(ffmpegs, "FFmpeg")
    asked = time.monotonic()
    assert drafts.cancel(ANN, begun.draft_id).status is DraftStatus.CANCELLED
    wait_for(lambda: not ffmpegs() and not office.left(), "nothing to be left", SOON)
    assert time.monotonic() - asked < SOON
    assert drafts.get(ANN, begun.draft_id).status is DraftStatus.CANCELLED
    with pytest.raises(Conflict):
        drafts.film(ANN, begun.draft_id)


def test_a_finished_draft_can_be_taken_away(office: Office) -> None:
    drafts = office.drafts()
    done = over(drafts, drafts.begin(ANN, office.job("Hi")))
    drafts.cancel(ANN, done.draft_id)
    assert office.left() == []


def test_a_server_that_ends_stops_its_drafts_within_two_seconds(office: Office) -> None:
    drafts = office.drafts()
    drafts.begin(ANN, long_job(office), None)
    drafts.begin(BEN, office.job("Hi"))
    wait_for(ffmpegs, "FFmpeg")
    asked = time.monotonic()
    drafts.close()
    assert time.monotonic() - asked < SOON
    assert not ffmpegs()
    assert not any(office.folder.iterdir())
    with pytest.raises(FarmUnavailable):
        drafts.begin(ANN, office.job("Hi"))


def test_what_a_killed_server_left_is_removed_and_a_running_ones_is_not(office: Office) -> None:
    """A folder is a running server's as long as its lock is held."""
    running = office.drafts()
    kept = over(running, running.begin(ANN, office.job("Hi")))
    killed = office.folder / "0123456789ab"
    (killed / "d").mkdir(parents=True)
    (killed / "d" / "draft.mp4").write_bytes(b"film")
    killed.with_suffix(".lock").touch()

    office.drafts()
    assert not killed.exists()
    assert running.film(ANN, kept.draft_id).exists()


def test_drafts_go_after_some_hours(office: Office) -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    clock = [now]
    drafts = office.drafts(clock=lambda: clock[0], keeping=Keeping(hours=3))
    done = over(drafts, drafts.begin(ANN, office.job("Hi")))
    clock[0] = now + timedelta(hours=2, minutes=59)
    assert drafts.film(ANN, done.draft_id).exists()
    clock[0] = now + timedelta(hours=3, minutes=1)
    drafts.tidy()
    assert office.left() == []
    with pytest.raises(NotFound):
        drafts.get(ANN, done.draft_id)


@pytest.mark.parametrize(
    ("keeping", "kept"),
    [(Keeping(number=2), ["b", "c"]), (Keeping(size=1), ["c"])],
    ids=["number", "size"],
)
def test_the_oldest_go_where_there_are_too_many_or_too_much(
    keeping: Keeping, kept: list[str], office: Office
) -> None:
    """The newest stays, whatever its size."""
    drafts = office.drafts(keeping=keeping)
    people = [person(name) for name in ("a", "b", "c")]
    for who in people:
        over(drafts, drafts.begin(who, office.job("Hi")), who)
    drafts.tidy()
    assert [who.username for who in people if drafts.latest(who)] == kept


def test_a_failing_disk_fails_a_draft_in_plain_words(office: Office) -> None:
    def fails(stop: StopSignal) -> None:
        raise StorageFailed("the disk is on fire", remedy="Put it out")

    drafts = office.drafts(fails)
    failed = over(drafts, drafts.begin(ANN, office.job("Hi")))
    assert (failed.status, failed.problems) == (DraftStatus.FAILED, ())
    assert failed.message == "the disk is on fire. Put it out."
    log = next(path for path in office.left() if path.name == "job.log").read_text()
    assert "the disk is on fire" in log


def test_an_error_in_reelyard_itself_fails_that_draft_and_no_other(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [ZeroDivisionError("a bug")]

    def breaks(stop: StopSignal) -> None:
        if errors:
            raise errors.pop()

    drafts = office.drafts(breaks)
    with caplog.at_level(logging.ERROR):
        failed = over(drafts, drafts.begin(ANN, office.job("Hi")))
    assert failed.status is DraftStatus.FAILED and "a bug" not in failed.message
    assert "a bug" in caplog.text
    assert over(drafts, drafts.begin(ANN, office.job("Hi"))).status is DraftStatus.DONE


def test_a_reelyard_has_drafts_in_its_data_folder(office: Office) -> None:
    reelyard = office.reelyard
    with closing(reelyard.drafts) as drafts:
        done = over(drafts, drafts.begin(ANN, office.job("Hi")))
        assert done.film is not None
        assert done.film.is_relative_to(office.folder)
        assert any(office.folder.iterdir())
    assert reelyard.drafts is drafts
    assert not any(office.folder.iterdir())
