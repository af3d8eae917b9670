"""Slots: so many at once over all processes of the machine, and none is lost with its process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reelyard.domain.errors import Cancelled
from reelyard.files.slots import Slots, claimed


def go_on() -> None:
    """Nothing stops it."""


HOLD = """
import sys, time
from pathlib import Path
from reelyard.files.slots import Slots
with Slots(Path(sys.argv[1]), 1).one(lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


def test_no_more_than_so_many_hold_one_at_once(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "card", 2)
    lock = threading.Lock()
    inside = most = done = 0

    def work() -> None:
        nonlocal inside, most, done
        with slots.one(go_on):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (2, 6)


def test_a_killed_process_leaves_no_slot_taken(tmp_path: Path) -> None:
    slots = Slots(tmp_path, 1)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout as said:
        assert said.readline() == b"held\n"
        looked = 0

        def look() -> None:
            nonlocal looked
            looked += 1
            if looked == 2:
                holder.kill()

        with slots.one(look):
            assert looked >= 2  # it had to wait, and got it from a dead one
    holder.wait()


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    slots = Slots(tmp_path, 1)

    def stopped() -> None:
        raise Cancelled

    with slots.one(go_on), pytest.raises(Cancelled), slots.one(stopped):
        raise AssertionError("there was no slot")


def test_what_is_claimed_is_one_holders_until_it_lets_go(tmp_path: Path) -> None:
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert (first, second) == (True, False)
    with claimed(tmp_path) as again:
        assert again
