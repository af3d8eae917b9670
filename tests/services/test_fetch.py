"""Fetching: what lies on shares is copied once, five files at a time, and whatever goes wrong is named."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from reelyard.domain.errors import Cancelled, OutOfDisk, ReelyardError, SourcesUnavailable
from reelyard.domain.job import Job
from reelyard.services.fetch import Fetched
from reelyard.services.resolve import resolve

from .conftest import Share, Siding, nothing, wait_for

PIN = "job.pc1"


def fill(siding: Siding, *names: str, size: int = 1000) -> list[Path]:
    """Put files on the share: their bytes are their names, again and again."""
    placed = []
    for number, name in enumerate(names):
        path = siding.share / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((name.encode() * size)[:size])
        os.utime(path, ns=(1, 1_600_000_000_000_000_000 + number))
        placed.append(path)
    return placed


def job_of(siding: Siding, *paths: Path, logo: Path | None = None) -> Job:
    more = {"logo_path": logo} if logo else {}
    return siding.job(*({"item_type": "video", "path": path, **more} for path in paths))


def get(siding: Siding, job: Job, pin: str = PIN, share: Share | None = None) -> Fetched:
    """Fetch, and see that every source is what the job named."""
    found = siding.fetch(share or Share())(job, pin, nothing)
    for asked, item in zip(job.items, found.job.items, strict=True):
        assert Path(item.path).read_bytes() == Path(asked.path).read_bytes()
        assert (item.named, item.position) == (asked.named, asked.position)
    return found


class Counting:
    """Counts who is at a share at once; the first five wait for each other, and for a sixth."""

    def __init__(self) -> None:
        self.inside = self.most = self.opened = 0
        self._changed = threading.Condition()
        self._five = threading.Barrier(5)

    def __call__(self, path: str) -> None:
        with self._changed:
            self.inside += 1
            self.opened += 1
            self.most = max(self.most, self.inside)
            first = self.opened <= 5
        if first:
            self._five.wait(timeout=20)
            time.sleep(0.3)  # a sixth would have come by now
        with self._changed:
            self.inside -= 1


def test_five_files_are_copied_at_a_time(siding: Siding) -> None:
    job = job_of(siding, *fill(siding, *(f"{n}.mp4" for n in range(12))))
    counting = Counting()
    found = get(siding, job, share=Share(counting))
    assert (found.copied, counting.opened, counting.most) == (12, 12, 5)


def test_each_source_is_counted_for_what_happened_to_it(siding: Siding) -> None:
    a, b, c = fill(siding, "a.mp4", "b.mp4", "c.mp4", size=300_000)
    own = siding.folder / "own.mp4"
    own.write_bytes(b"on this machine's own disk")
    get(siding, job_of(siding, c), "earlier.pc1")
    said: list[str] = []
    job = siding.job(
        *({"item_type": "video", "path": path} for path in (a, own, b, c, a)),
        {"item_type": "video", "path": siding.share / "gone.mp4"},
        {"item_type": "video", "path": own, "logo_path": siding.folder / "gone.png"},
    )
    found = siding.farm.fetch(job, PIN, nothing, said.append)
    counts = (found.copied, found.here, found.in_place, found.missing, found.bytes_copied)
    assert counts == (2, 1, 1, 2, 600_000)
    assert re.fullmatch(
        r"copied 2 files, 0\.6 MB in \d+\.\d\d s \(\d+\.\d MB/s\); 1 were here already, "
        r"1 are on this machine's own disks; 2 are missing",
        str(found),
    )
    copied = sorted(line for line in said if line.startswith("copied "))
    assert len(said) == 4 and len(copied) == 2
    for line, path in zip(copied, (a, b), strict=True):
        name = re.escape(str(path))
        assert re.fullmatch(rf"copied {name}: 300000 bytes at \d+\.\d MB/s", line), line
    for name in ("share/gone.mp4", "gone.png"):
        assert any(line.startswith("copy failed: ") and name in line for line in said)
    # What is missing keeps its path, so that planning can say so.
    assert [Path(item.path).name for item in found.job.items][5:] == ["gone.mp4", "own.mp4"]
    assert found.job.items[6].logo_path == str(siding.folder / "gone.png")


def test_the_throughput_is_what_came_over_the_network_in_the_time_it_took(siding: Siding) -> None:
    job = job_of(siding, *fill(siding, "a.mp4", size=1_000_000))
    found = get(siding, job, share=Share(lambda _: time.sleep(0.5)))
    assert 0.5 <= found.seconds < 5
    shown = re.search(r"\((\d+\.\d) MB/s\)", str(found))
    assert shown and float(shown[1]) == pytest.approx(1 / found.seconds, abs=0.051)
    assert "MB/s" not in str(get(siding, job))  # nothing came, so there is no speed


def test_what_was_copied_for_one_job_is_not_copied_for_the_next(siding: Siding) -> None:
    paths = fill(siding, "a.mp4", "b.mp4")
    first = get(siding, job_of(siding, *paths), "first.pc1")
    opened: list[str] = []
    second = get(siding, job_of(siding, *paths), "second.pc1", Share(opened.append))
    assert (first.copied, second.copied, second.here) == (2, 0, 2)
    assert (opened, second.bytes_copied) == ([], 0)
    assert [one.path for one in first.job.items] == [one.path for one in second.job.items]


@pytest.mark.parametrize("same_size", [True, False])
def test_a_source_that_changed_is_copied_again(siding: Siding, same_size: bool) -> None:
    a, b = fill(siding, "a.mp4", "b.mp4")
    job = job_of(siding, a, b)
    get(siding, job)
    a.write_bytes(b"x" * (1000 if same_size else 999))
    found = get(siding, job)  # compares the bytes
    assert (found.copied, found.here) == (1, 1)


def test_a_file_that_is_a_clip_and_a_logo_is_copied_once(siding: Siding) -> None:
    (a,) = fill(siding, "a.png")
    opened: list[str] = []
    found = get(siding, job_of(siding, a, a, logo=a), share=Share(opened.append))
    assert (found.copied, found.in_place, opened) == (1, 0, [str(a)])
    assert {one.logo_path for one in found.job.items} == {one.path for one in found.job.items}
    assert found.job.items[0].path != str(a)


def test_a_file_under_two_names_keeps_both(siding: Siding) -> None:
    """A job may name a clip by its path and by a link to it; messages use what it said."""
    (a,) = fill(siding, "a.mp4")
    link = siding.share / "link.mp4"
    link.symlink_to(a)
    found = get(siding, job_of(siding, a, link))
    assert [one.origin for one in found.job.items] == [str(a), str(link)]


def test_a_job_with_all_its_sources_here_is_left_as_it_is(siding: Siding) -> None:
    own = siding.folder / "own.mp4"
    own.write_bytes(b"1")
    job = job_of(siding, own)
    found = get(siding, job)
    assert found.job == job
    assert (found.copied, found.here, found.in_place, found.missing) == (0, 0, 1, 0)
    assert not (siding.farm.settings.copies / "pins").exists()


def test_what_a_share_does_not_have_is_missing_not_away(siding: Siding) -> None:
    """Other files lie there, so the share is there and this one is not."""
    fill(siding, "a.mp4", "folder/b.mp4")
    strange = [
        siding.share / name for name in ("gone.mp4", "folder", "a.mp4/inside.mp4", "x" * 300)
    ]
    found = siding.farm.fetch(job_of(siding, *strange), PIN, nothing)
    assert (found.missing, found.copied) == (len(strange), 0)


def gone(folder: Path) -> None:
    folder.rmdir()


def unmounted(folder: Path) -> None:
    """What is left of a share that is not mounted is an empty folder."""


def a_link_to_nowhere(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to(folder.with_name("no-such-server"))


@pytest.mark.parametrize("happen", [gone, unmounted, a_link_to_nowhere])
def test_a_share_that_is_gone_is_away_not_missing(
    siding: Siding, happen: Callable[[Path], None]
) -> None:
    a, *_ = fill(siding, "a.mp4", "season/b.mp4")
    job = job_of(siding, siding.share / "season" / "b.mp4", a)
    (siding.share / "season" / "b.mp4").unlink()
    happen(siding.share / "season")
    said: list[str] = []
    with pytest.raises(SourcesUnavailable) as error:
        siding.farm.fetch(job, PIN, nothing, said.append)
    assert str(siding.share / "season") in error.value.message
    failed = [line for line in said if line.startswith("copy failed: ")]
    assert len(failed) == 1 and "season/b.mp4" in failed[0]


def test_every_failed_copy_is_named(siding: Siding) -> None:
    """Not only the first: whoever mends it wants the whole list."""
    paths = fill(siding, *(f"{n}.mp4" for n in range(9)))

    def refuse(path: str) -> None:
        if Path(path).stem in "2578":
            raise OSError(5, "Input/output error", path)

    said: list[str] = []
    with pytest.raises(SourcesUnavailable) as error:
        siding.fetch(Share(refuse))(job_of(siding, *paths), PIN, nothing, said.append)
    assert "Input/output error" in str(error.value)
    failed = sorted(line for line in said if line.startswith("copy failed"))
    assert [Path(line.split(": ")[1]).name for line in failed] == [f"{n}.mp4" for n in (2, 5, 7, 8)]
    assert all("Input/output error" in line for line in failed)
    # The others are here, and stay so.
    assert get(siding, job_of(siding, *paths)).here == 5


def test_a_full_disk_is_not_taken_for_a_share_that_is_gone(siding: Siding) -> None:
    paths = fill(siding, "a.mp4")

    def refuse(path: str) -> None:
        raise OSError(28, "No space left on device", path)

    with pytest.raises(OutOfDisk):
        siding.fetch(Share(refuse))(job_of(siding, *paths), PIN, nothing)


def test_a_name_that_no_file_can_have_is_missing(siding: Siding) -> None:
    siding.farm.reelyard.library.add({"odd": f"{siding.share}/a\0b.mp4"})
    job = siding.job({"item_type": "video", "video_id": "odd"})
    job, _ = resolve(job, lambda: siding.farm.reelyard.library)
    assert siding.farm.fetch(job, PIN, nothing).missing == 1


def test_a_stop_in_the_middle_is_heard_and_what_is_here_is_kept(siding: Siding) -> None:
    paths = fill(siding, *(f"{n:02}.mp4" for n in range(20)))
    told_to_stop = threading.Event()

    def check() -> None:
        if told_to_stop.is_set():
            raise Cancelled

    def open_slowly(path: str) -> None:
        if Path(path).name == "07.mp4":
            told_to_stop.set()

    opened: list[str] = []

    def note(path: str) -> None:
        opened.append(path)
        open_slowly(path)

    with pytest.raises(Cancelled):
        siding.fetch(Share(note))(job_of(siding, *paths), PIN, check)
    assert len(opened) <= 7 + 5  # whoever was at it just then, and nobody after
    again = get(siding, job_of(siding, *paths))
    assert again.here > 0 and again.here + again.copied == 20


def test_a_stop_while_waiting_for_a_slow_share_ends_all_copies(siding: Siding) -> None:
    """Two jobs want the same file; the one that waits for the other's copy can be stopped, too."""
    (a,) = fill(siding, "a.mp4")
    at_it, go_on, told_to_stop = threading.Event(), threading.Event(), threading.Event()

    def hang(path: str) -> None:
        at_it.set()
        go_on.wait(20)

    looked: list[float] = []

    def check() -> None:
        looked.append(time.monotonic())
        if told_to_stop.is_set():
            raise Cancelled

    failures: list[ReelyardError] = []

    def second() -> None:
        try:
            siding.farm.fetch(job_of(siding, a), "second.pc1", check)
        except ReelyardError as error:
            failures.append(error)

    first = threading.Thread(target=lambda: get(siding, job_of(siding, a), share=Share(hang)))
    first.start()
    try:
        wait_for(at_it.is_set, "the first to be at it")
        waiting = threading.Thread(target=second)
        waiting.start()
        wait_for(lambda: len(looked) > 5, "the second to wait")
        told_to_stop.set()
        begun = time.monotonic()
        waiting.join(20)
        assert time.monotonic() - begun < 2
        assert [type(one) for one in failures] == [Cancelled]
    finally:
        go_on.set()
        first.join()


def test_sources_are_kept_until_they_are_released(siding: Siding) -> None:
    paths = fill(siding, "a.mp4", "b.mp4")
    job = job_of(siding, *paths)
    get(siding, job, "one.pc1")
    get(siding, job, "two.pc2")
    fetch = siding.farm.fetch
    assert fetch.copies.pins() == ["one.pc1", "two.pc2"]
    assert fetch.copies.clear() == 0
    fetch.release("one.pc1")
    assert (fetch.copies.pins(), fetch.copies.clear()) == (["two.pc2"], 0)
    fetch.release("two.pc2")
    fetch.release("never-kept")
    assert (fetch.copies.pins(), fetch.copies.clear()) == ([], 2)


def test_a_broken_off_fetch_can_be_released(siding: Siding) -> None:
    (a,) = fill(siding, "a.mp4")
    missing = siding.share / "season" / "gone.mp4"
    with suppress(SourcesUnavailable):
        siding.farm.fetch(job_of(siding, a, missing), PIN, nothing)
    siding.farm.fetch.release(PIN)
    assert siding.farm.fetch.copies.pins() == []
