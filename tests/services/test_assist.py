"""A worker that has nothing to do makes segments of another worker's job, and leaves when it is wanted elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from reelyard.domain.errors import BrokerUnavailable
from reelyard.domain.farm import Lease
from reelyard.domain.help import OfferedSegment, Terms
from reelyard.domain.job import Job
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.plan import Plan
from reelyard.domain.routing import Queue
from reelyard.engine.planner import Workshop
from reelyard.farm.wiring import Farm
from reelyard.files.job_log import JobLog
from reelyard.files.segment_store import SegmentStore
from reelyard.services.assist import Assist, LeftAlone
from reelyard.services.handover import meeting_places, offered, terms_of
from reelyard.services.made import PICTURE_SUFFIX
from reelyard.services.queue import RecordingQueue
from reelyard.services.segments import Segments
from tests.conftest import Clips

from .conftest import ABLE, SOON, Siding, held_ffmpeg, nothing, wait_for

HELPER = "pc2"


@dataclass(frozen=True)
class Offer:
    """What ``pc1`` offers of a job that it has begun."""

    farm: Farm
    lease: Lease
    plan: Plan

    def states(self) -> list[str]:
        return [one.state.value for one in self.farm.offers.standing(self.lease.job_id)]

    def makers(self) -> list[str | None]:
        return [one.worker_id for one in self.farm.offers.standing(self.lease.job_id)]

    def again(self, terms: Terms, *keys: str) -> None:
        """Offer other segments of the first item instead, on other terms."""
        made = [OfferedSegment(key=key, position=1, part=0, frames=15) for key in keys]
        assert self.farm.offers.offer(self.lease, terms, made)


def begin(siding: Siding, job_id: str) -> tuple[Lease, Plan]:
    """Have ``pc1`` take the job."""
    farm = siding.farm
    siding.register("pc1")
    claim = farm.leases.claim("pc1", job_id, None)
    assert claim is not None
    assert farm.leases.started(claim.lease, "log", "film.mp4")
    return claim.lease, farm.reelyard.planning.prepare(claim.job).plan


def terms(farm: Farm, plan: Plan) -> Terms:
    places = meeting_places(farm.reelyard.cache, farm.reelyard.store)
    return terms_of(plan.encoding, plan.form, places)


def offer(siding: Siding, *clips: Path, **job: Any) -> Offer:
    """Have ``pc1`` take a film of these clips, and offer all of its segments."""
    lease, plan = begin(siding, siding.film(*clips, draft=True, **job))
    made = [offered(one) for one in plan.picture]
    assert siding.farm.offers.offer(lease, terms(siding.farm, plan), made)
    return Offer(siding.farm, lease, plan)


def helper(siding: Siding, *queues: Queue, **changes: Any) -> Assist:
    """An idle worker that can do what this machine can."""
    able = replace(ABLE, ffmpeg=siding.farm.reelyard.ffmpeg.version)
    siding.farm.workers.register(
        HELPER, HELPER, host="there", pid=2, queues=queues, capabilities=able
    )
    return replace(siding.farm.assist(HELPER), **changes)


def elsewhere(siding: Siding, name: str = "elsewhere", **settings: Any) -> Siding:
    """Another machine of the same farm, with its own cache."""
    own = {**siding.settings, "database_url": siding.farm.settings.database_url, **settings}
    return Siding(siding.folder / name, own)


def taken(siding: Siding, offer_: Offer, folder: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """The segments as their owner gets them, with what it is told of them."""
    reelyard = siding.farm.reelyard
    folder.mkdir()
    found = {}
    with (
        closing(JobLog(folder, " ".join)) as log,
        Segments(reelyard.cache, reelyard.store, log, nothing) as segments,
    ):
        for one in offer_.plan.picture:
            got = segments.take(one.key, PICTURE_SUFFIX, folder / one.key)
            assert got is not None
            found[one.key] = ((folder / one.key).read_bytes(), got.facts)
    return found


@pytest.fixture
def short(siding: Siding) -> Siding:
    """A second of film is two segments."""
    siding.settings["segment_seconds"] = 0.5
    return siding


@pytest.fixture
def machines(short: Siding, tmp_path: Path) -> Iterator[tuple[Siding, Siding]]:
    """Two that share a segment store and no cache."""
    short.settings["segment_store"] = str(tmp_path / "store")
    with closing(elsewhere(short)) as other:
        yield short, other


def test_an_owner_finds_what_helpers_made_and_it_is_what_it_would_have_made(
    machines: tuple[Siding, Siding], clip: Path, tmp_path: Path
) -> None:
    """The same bytes, and the same notes of them."""
    ours, theirs = machines
    made = offer(ours, clip)
    assert helper(theirs)("any job") == 2
    assert made.states() == ["done", "done"] and made.makers() == [HELPER, HELPER]
    by_others = taken(ours, made, tmp_path / "brought")
    with closing(elsewhere(ours, "alone", segment_store=None)) as third:
        assert third.worker("pc3")(third.film(clip, draft=True), None) is JobStatus.COMPLETED
        assert taken(third, made, tmp_path / "own") == by_others
    for place in (ours, theirs, third):
        assert place.leftovers() == []


def test_an_owner_renders_nothing_that_a_helper_put_into_its_cache(
    short: Siding, clip: Path
) -> None:
    made = offer(short, clip)
    assert helper(short)("any job") == 2
    assert short.farm.leases.hand_back(made.lease, "so that somebody finishes it")
    job_id = made.lease.job_id
    assert short.worker("pc3")(job_id, None) is JobStatus.COMPLETED
    assert not [line for line in short.log(job_id) if "rendered item 1 part" in line]


def test_what_the_helpers_cache_has_is_not_rendered_but_put_where_the_owner_looks(
    machines: tuple[Siding, Siding], clip: Path, tmp_path: Path
) -> None:
    ours, theirs = machines
    with closing(elsewhere(theirs, "before", segment_store=None)) as before:
        before.settings["cache_dir"] = theirs.farm.settings.cache_dir
        first = offer(before, clip)
        assert helper(before)("any job") == 2
        before.farm.leases.hand_back(first.lease, "enough")
        before.farm.jobs.cancel(first.lease.job_id)
    made = offer(ours, clip)
    assert helper(theirs)("any job") == 2
    assert len(taken(ours, made, tmp_path / "taken")) == 2
    logs = list(theirs.farm.settings.log_dir.glob(f"*/*/jobs/*{made.lease.job_id}/help_{HELPER}"))
    assert len(logs) == 1 and (logs[0] / "ffmpeg_cmd.txt").read_text() == ""


def test_without_a_common_place_nothing_is_begun(short: Siding, clip: Path) -> None:
    """And the job is left alone, however often the worker is asked, until some time has passed."""
    made = offer(short, clip)
    now = [0.0]
    with closing(elsewhere(short)) as other:
        left = LeftAlone(seconds=60, clock=lambda: now[0])
        help_ = helper(other, left_alone=left)
        assert help_("any job") == 0
        assert made.states() == ["open", "open"]
        other.settings["segment_store"] = short.settings["segment_store"] = str(short.folder / "s")
        with closing(elsewhere(other, "store")) as stored:
            places = meeting_places(short.farm.reelyard.cache, stored.farm.reelyard.store)
            better = replace(terms(short.farm, made.plan), meeting_places=places)
            made.again(better, *(one.key for one in made.plan.picture))
            again = replace(help_, render_job=lambda: stored.farm.reelyard.render_job)
            assert again("any job") == 0
            now[0] = 61.0
            assert again("any job") == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ffmpeg": "another"}, "its FFmpeg is another"),
        ({"encoder": "h264_nvenc"}, "h264_nvenc"),
        ({"terms": "{}"}, "other bytes"),
        ({"meeting_places": ("cache of another",)}, "neither a cache nor a segment store"),
    ],
)
def test_who_would_write_other_bytes_does_not_join(
    short: Siding, clip: Path, change: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = offer(short, clip)
    changed = replace(terms(short.farm, made.plan), **change)
    made.again(changed, *(one.key for one in made.plan.picture))
    help_ = helper(short)
    able = replace(ABLE, ffmpeg=changed.ffmpeg, encoders=(changed.encoder,))
    short.farm.workers.register(HELPER, "x", host="h", pid=1, queues=(), capabilities=able)
    assert help_("any job") == 0
    assert made.states() == ["open", "open"]
    assert why in caplog.text


def test_what_is_offered_is_only_a_key(short: Siding, clip: Path) -> None:
    """Whoever can write into the database can't have anything else rendered than the job says."""
    made = offer(short, clip)
    made.again(terms(short.farm, made.plan), "f" * 64)
    assert helper(short)("any job") == 0
    assert made.states() == ["open"]


def test_sources_outside_the_roots_are_not_read(
    machines: tuple[Siding, Siding], clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = machines
    made = offer(ours, clip)
    theirs.settings["media_roots"] = (theirs.share,)
    assert helper(theirs)("any job") == 0
    assert made.states() == ["open", "open"]
    assert "REELYARD_MEDIA_ROOTS" in caplog.text


def test_a_source_that_is_another_here_is_left_to_the_owner(
    short: Siding, clip: Path, other: Path
) -> None:
    (path,) = short.put(clip)
    made = offer(short, path)
    path.write_bytes(other.read_bytes())
    assert helper(short)("any job") == 0
    assert made.states() == ["open", "open"]
    assert short.status(made.lease.job_id) is JobStatus.PROCESSING
    assert short.leftovers() == []


def test_a_source_that_is_missing_here_is_left_to_the_owner(short: Siding, clip: Path) -> None:
    (path,) = short.put(clip)
    made = offer(short, path)
    path.unlink()
    assert helper(short)("any job") == 0
    assert made.states() == ["open", "open"]
    assert short.status(made.lease.job_id) is JobStatus.PROCESSING


def test_sources_on_shares_are_copied_and_let_go_of(short: Siding, clip: Path) -> None:
    made = offer(short, *short.put(clip))
    assert helper(short)("any job") == 2
    assert made.states() == ["done", "done"]
    assert short.leftovers() == []


class FullStore(SegmentStore):
    """One that takes nothing any more."""

    def put(self, *_: Any, **__: Any) -> bool:
        return False


def test_a_store_that_takes_nothing_leaves_the_segments_to_others(
    machines: tuple[Siding, Siding], clip: Path
) -> None:
    ours, theirs = machines
    made = offer(ours, clip)
    full = FullStore(LocalFileSystem, str(ours.folder / "store"), 1 << 30, name="the store")
    tools = replace(theirs.farm.reelyard.render_job, store=full)
    assert helper(theirs, render_job=lambda: tools)("any job") == 0
    assert made.states() == ["open", "open"]
    assert theirs.leftovers() == []


def test_what_a_graphics_card_refuses_is_left_to_the_owner(short: Siding, clips: Clips) -> None:
    """There is no card here: it refuses everything, each segment once, and the rest of the job is not given up."""
    coding = (
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-colorspace",
        "bt709",
    )
    clip = clips.video("siding-709.mp4", seconds=1, options=coding)
    lease, _ = begin(short, short.film(clip, draft=True))
    tools = short.farm.reelyard.render_job
    workshop = tools.planning.workshop

    def with_card(job: Job) -> Workshop:
        return replace(workshop(job), card_decodes=frozenset({"h264"}))

    planning = replace(tools.planning, workshop=with_card)
    plan = planning.prepare(short.farm.jobs.job(lease.job_id)).plan
    on_card, other = plan.picture
    assert on_card.spare is not None and other.spare is not None
    ours = [offered(on_card), offered(other.spare)]
    assert short.farm.offers.offer(lease, terms(short.farm, plan), ours)
    left = LeftAlone()
    help_ = helper(
        short, render_job=lambda: replace(tools, planning=planning, at_once=1), left_alone=left
    )
    assert help_("any job") == 1
    assert Offer(short.farm, lease, plan).states() == ["open", "done"]
    assert not left.has(short.farm.offers.invitations(HELPER)[0])


@dataclass
class Helping:
    """A helper in the middle of a segment, in a thread of its own."""

    siding: Siding
    clip: Path
    queues: tuple[Queue, ...] = ()
    told: threading.Event = field(default_factory=threading.Event)
    made: int | None = None
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        siding, real = self.siding, self.siding.farm.reelyard.ffmpeg.executable
        with closing(siding):
            script = held_ffmpeg(siding.folder, real, "segment.mp4")
        siding.__dict__.pop("farm")
        siding.settings["ffmpeg"] = script
        self.offer = offer(siding, self.clip)
        help_ = helper(siding, *self.queues, must_stop=self.told.is_set)
        self._thread = threading.Thread(target=self._run, args=[help_], daemon=True)
        self._thread.start()
        wait_for((siding.folder / "hangs").exists, "a segment in the making")

    def _run(self, help_: Assist) -> None:
        self.made = help_("any job")
        self.ended_at = time.monotonic()

    def go_on(self) -> None:
        (self.siding.folder / "hold").unlink()

    def ends(self) -> int | None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.made


def told_to_end(helping: Helping) -> None:
    helping.told.set()


def paused(helping: Helping) -> None:
    helping.siding.farm.workers.tell(HELPER, Order.PAUSE)


def cancelled(helping: Helping) -> None:
    helping.siding.farm.jobs.cancel(helping.offer.lease.job_id)


def own_job(helping: Helping) -> None:
    helping.siding.film(helping.clip)


def owner_lost(helping: Helping) -> None:
    helping.siding.farm.leases.hand_back(helping.offer.lease, "gone")


@pytest.mark.parametrize("happens", [told_to_end, paused, cancelled, own_job, owner_lost])
def test_a_helper_leaves_at_once(
    short: Siding, clip: Path, happens: Callable[[Helping], None]
) -> None:
    """Its FFmpeg is killed, nothing stays claimed, and nothing lies about."""
    helping = Helping(short, clip, (Queue.DEFAULT,))
    assert short.farm.workers.get(HELPER).helps == helping.offer.lease.job_id  # type: ignore[union-attr]
    begun = time.monotonic()
    happens(helping)
    assert helping.ends() == 0
    assert helping.ended_at - begun < SOON
    assert set(helping.offer.states()) <= {"open"}
    assert short.leftovers() == []
    assert short.farm.workers.get(HELPER).helps is None  # type: ignore[union-attr]


def test_a_segment_that_the_owner_takes_over_is_broken_off_and_the_rest_made(
    short: Siding, clip: Path
) -> None:
    short.settings["jobs"] = 1
    helping = Helping(short, clip)
    (held,) = [one for one in short.farm.offers.standing(helping.offer.lease.job_id) if one.is_held]
    assert short.farm.offers.take_over(helping.offer.lease, held.key)
    wait_for(lambda: helping.offer.states() == ["claimed", "claimed"], "the next one to be begun")
    helping.go_on()
    assert helping.ends() == 1
    assert sorted(map(str, helping.offer.makers())) == ["pc1", HELPER]


def test_a_helper_says_how_far_it_is(short: Siding, clip: Path) -> None:
    short.settings["jobs"] = 1
    helping = Helping(short, clip)
    standings = short.farm.offers.standing(helping.offer.lease.job_id)
    assert [one.worker_id for one in standings if one.is_held] == [HELPER]
    helping.go_on()
    assert helping.ends() == 2
    made = short.farm.offers.standing(helping.offer.lease.job_id)
    assert [one.frames_done for one in made] == [one.frames for one in made]


def test_only_what_is_wanted_of_a_job_is_made(short: Siding, clip: Path, other: Path) -> None:
    made = offer(short, clip, other, first_item=2)
    assert {one.position for one in made.plan.picture} == {2}
    assert helper(short)("any job") == 2
    assert made.states() == ["done", "done"]


def test_nobody_is_helped_when_nothing_is_offered(short: Siding, clip: Path) -> None:
    assert helper(short)("any job") == 0
    lease, _ = begin(short, short.film(clip))
    assert helper(short)("any job") == 0
    assert short.status(lease.job_id) is JobStatus.PROCESSING


def test_the_sweep_invites_workers_that_have_nothing_to_do(short: Siding, clip: Path) -> None:
    """Each once, and not again at once."""
    job_id = offer(short, clip).lease.job_id
    sweep = short.sweep()
    wait_for(sweep, "its turn")
    assert short.queue.invited == []
    helper(short)
    sweep()
    assert short.queue.invited == [job_id]
    sweep()
    assert short.queue.invited == [job_id]


def test_who_is_not_to_help_is_not_invited(short: Siding, clip: Path) -> None:
    offer(short, clip)
    help_ = helper(short)
    able = replace(ABLE, ffmpeg=short.farm.reelyard.ffmpeg.version, assists=False)
    short.farm.workers.register(HELPER, "x", host="h", pid=1, queues=(), capabilities=able)
    wait_for(short.sweep(), "its turn")
    assert short.queue.invited == []
    assert help_("any job") == 0


@dataclass
class Deaf(RecordingQueue):
    """The broker takes wake-ups, and no invitations."""

    def invite(self, job_id: str) -> None:
        raise BrokerUnavailable("the broker is away")


def test_without_a_broker_the_sweep_does_the_rest(short: Siding, clip: Path) -> None:
    offer(short, clip)
    helper(short)
    job_id = short.film(clip)
    short.register("pc3")
    claim = short.farm.leases.claim("pc3", job_id, None)
    assert claim is not None
    assert short.farm.leases.refuse(claim.lease, "enough")
    wait_for(lambda: short.sweep(queue=Deaf())() and short.farm.results.list(), "the result")
