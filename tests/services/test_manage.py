"""Workers, history, settings, audit: managers and admins see all, operators what is theirs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reelyard.domain.access import Principal, Role
from reelyard.domain.errors import NotAllowed, NotFound, WorkerConflict, WorkerUnknown
from reelyard.domain.farm import Result
from reelyard.domain.lifecycle import JobStatus, Order
from reelyard.domain.query import Grouping
from reelyard.services.figures import FiguresDesk
from reelyard.services.manage import AdminDesk, HistoryDesk, WorkerDesk
from reelyard.services.templates import TemplateDesk, TemplateDocument, template_document
from reelyard.store.database import Database
from reelyard.store.figures import Books as FigureBooks
from reelyard.store.figures import Figures
from reelyard.store.search import Search
from reelyard.store.templates import Templates
from tests.store.conftest import TERMS, Books, finished, segment


@pytest.fixture
def books(_empty: Path, tmp_path: Path) -> Iterator[Books]:
    path = tmp_path / "farm.db"
    path.write_bytes(_empty.read_bytes())
    with closing(Database(f"sqlite:///{path}")) as database:
        yield Books(database)


def who(books: Books, name: str, role: Role = Role.OPERATOR) -> Principal:
    return Principal(user_id=books.profiles.local(name), username=name, role=role)


def of(books: Books, one: Principal) -> Books:
    """The store, where jobs are somebody's."""
    return Books(books.database, one.user_id)


def film(books: Books, channel: str = "Trains") -> str:
    books.hire("pc1")
    lease = books.take("pc1", books.submit(channel_name=channel))
    assert books.leases.complete(lease, finished())
    books.results.deliver(books.outbox.due())
    return lease.job_id


def test_everybody_sees_workers_and_only_whose_job_it_is_what_they_are_at(books: Books) -> None:
    ann, ben, mia = who(books, "ann"), who(books, "ben"), who(books, "mia", Role.MANAGER)
    desk = WorkerDesk(books.workers, books.jobs)
    assert desk.list(ann) == []
    books.hire("pc1", "pc2")
    job_id = of(books, ann).submit()
    books.take("pc1", job_id)
    for one, shown in ((ann, job_id), (mia, job_id), (ben, None)):
        busy, idle = desk.list(one)
        assert (busy.worker.worker_id, idle.worker.worker_id) == ("pc1", "pc2")
        assert idle.job is None
        assert (busy.job and busy.job.job_id) == shown
        assert desk.get(one, "pc1") == busy
    for name in ("nobody", "", "\0", "\ud800"):
        with pytest.raises(WorkerUnknown):
            desk.get(ann, name)


def test_whom_a_worker_helps_is_shown_to_who_may_see_the_job(books: Books) -> None:
    ann, ben = who(books, "ann"), who(books, "ben")
    desk = WorkerDesk(books.workers, books.jobs)
    books.hire("pc1", "pc2")
    lease = books.take("pc1", of(books, ann).submit())
    assert books.offers.offer(lease, TERMS, [segment(0)])
    books.help("pc2")
    for one, shown in ((ann, lease.job_id), (ben, None)):
        view = desk.get(one, "pc2")
        assert (view.worker.helps, view.job) == (lease.job_id, None)
        assert (view.helped and view.helped.job_id) == shown
    books.jobs.cancel(lease.job_id)
    assert desk.get(ann, "pc2").helped is None, "the job is over"


def test_managers_give_orders_and_forget_who_is_gone(books: Books) -> None:
    ann, mia = who(books, "ann"), who(books, "mia", Role.MANAGER)
    desk = WorkerDesk(books.workers, books.jobs)
    books.hire("pc1")
    with pytest.raises(NotAllowed):
        desk.tell(ann, "pc1", Order.DRAIN)
    with pytest.raises(NotAllowed):
        desk.forget(ann, "pc1")
    for order in Order:
        assert desk.tell(mia, "pc1", order).worker.order is order
    with pytest.raises(WorkerUnknown):
        desk.tell(mia, "nobody", Order.PAUSE)
    with pytest.raises(WorkerConflict):
        desk.forget(mia, "pc1")
    books.workers.leave("pc1", "pc1")
    desk.forget(mia, "pc1")
    with pytest.raises(WorkerUnknown):
        desk.forget(mia, "pc1")
    assert {happening.actor for _, happening in Search(books.database).audit()} == {"mia"}


def test_operators_get_their_own_history_totals_and_channels(books: Books) -> None:
    ann, ben, mia = who(books, "ann"), who(books, "ben"), who(books, "mia", Role.MANAGER)
    desk = HistoryDesk(Search(books.database))
    anns, bens = film(of(books, ann)), film(of(books, ben), "Ships")
    for one, jobs, channels in (
        (ann, {anns}, ["Trains"]),
        (ben, {bens}, ["Ships"]),
        (mia, {anns, bens}, ["Ships", "Trains"]),
    ):
        assert {result.job_id for result in desk.results(one)} == jobs
        assert [total.name for total in desk.totals(one, Grouping.CHANNEL)] == channels
        assert sum(total.completed for total in desk.totals(one, Grouping.USER)) == len(jobs)
        assert desk.channels(one) == channels
    assert desk.results(ann, channel="Ships") == []
    assert desk.results(mia, limit=1)[0].job_id == bens


def test_a_spreadsheet_takes_nothing_of_a_result_for_a_formula() -> None:
    names = ["=1+1", "+1", "-1", "@x", "\t=1", 'a,"b"\nc', "Zoë \udcff", "plain"]
    results = [
        Result(
            job_id="j", username="ann", channel_name=name, timestamp=datetime(2026, 7, 1, tzinfo=UTC),
            video_count=-1, total_duration=1.5, output_path=None, worker_id=None,
            features_used=("logo_overlay", "4k_output"), processing_time=2.0,
            status=JobStatus.COMPLETED,
        )
        for name in names
    ]  # fmt: skip
    text = HistoryDesk.as_csv(HistoryDesk(None), results)  # type: ignore[arg-type]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(names)
    for row in rows:
        assert row["channel_name"][0] not in "=+-@\t"
        assert "\n" not in row["channel_name"]
    assert rows[-1] == {
        "job_id": "j", "username": "ann", "channel_name": "plain",
        "timestamp": "2026-07-01T00:00:00+00:00", "video_count": "-1", "total_duration": "1.5",
        "output_path": "", "worker_id": "", "features_used": "logo_overlay 4k_output",
        "processing_time": "2.0", "status": "completed",
    }  # fmt: skip
    text.encode()


def test_settings_and_audit_are_the_admins(books: Books) -> None:
    mia, ada = who(books, "mia", Role.MANAGER), who(books, "ada", Role.ADMIN)
    desk = AdminDesk(Search(books.database), {"jobs": "2"})
    books.jobs.cancel(books.submit(), by="ben")
    assert desk.settings(ada) == {"jobs": "2"}
    [(number, happening)] = desk.audit(ada)
    assert (happening.what, happening.actor) == ("cancel", "ben")
    assert desk.audit(ada, before=number) == desk.audit(ada, actor="mia") == []
    for refused in (desk.settings, desk.audit):
        with pytest.raises(NotAllowed):
            refused(mia)


def test_figures_are_for_managers_and_read_once_in_a_while(books: Books) -> None:
    mia = who(books, "mia", Role.MANAGER)
    desk = FiguresDesk(FigureBooks(books.database), books.workers)
    with pytest.raises(NotAllowed):
        desk(who(books, "ann"))
    figures, workers = desk(mia)
    assert (figures.waiting, list(workers)) == ({}, [])
    books.submit()
    assert desk(mia)[0] is figures
    fresh = FiguresDesk(FigureBooks(books.database), books.workers)
    assert fresh(mia)[0].waiting == {("default_queue", "queued"): 1}


class Counting(FigureBooks):
    """Counting what has ended takes a second of the test's own time."""

    counted, now = 0, 0.0

    def figures(self) -> Figures:
        self.counted += 1
        self.now += 1.0
        return super().figures()


def test_what_has_ended_is_not_counted_through_for_everybody_who_asks(books: Books) -> None:
    """It takes a hundredth of the time at most; what waits is told as it is."""
    mia = who(books, "mia", Role.MANAGER)
    counting = Counting(books.database)
    desk = FiguresDesk(counting, books.workers, lambda: counting.now)
    assert desk(mia)[0].waiting == {}
    books.submit()
    for minute in range(3):
        counting.now = 1.0 + minute * 30 + 3
        assert desk(mia)[0].waiting == {("default_queue", "queued"): 1}
    assert counting.counted == 1
    counting.now = 102.0
    assert desk(mia)[0].results == {}
    assert counting.counted == 2


def test_a_template_is_everybodys_and_comes_back_as_it_was_written(books: Books) -> None:
    ann, ben = who(books, "ann"), who(books, "ben")
    desk = TemplateDesk(Templates(books.database), Path("/media"))
    written = TemplateDocument(
        name="Weekly", channel_name="Trains", logo_path="logo.png", text="hi", still_seconds=4,
        before=[{"item_type": "intro", "path": "a.mp4", "end": 2.5}],
        after=[{"item_type": "video", "video_id": "v1"}],
    )  # fmt: skip
    made = desk.save(ann, written)
    assert made.logo_path == "/media/logo.png"
    assert made.before[0].path == "/media/a.mp4"
    found = template_document(desk.get(ben, made.template_id))
    assert (found["updated_by"], found["name"]) == ("ann", "Weekly")
    rest = {name: found[name] for name in TemplateDocument.model_fields}
    again = desk.save(ben, TemplateDocument(**rest), made.template_id)
    assert again.updated_by == "ben"
    assert {**template_document(again), "updated_by": "ann", "updated_at": made.updated_at} == found
    assert [one.template_id for one in desk.list(ann, "Trains")] == [made.template_id]
    desk.remove(ben, made.template_id)
    with pytest.raises(NotFound):
        desk.get(ann, made.template_id)
