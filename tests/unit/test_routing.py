"""Which queue takes a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelyard.domain.errors import SettingsInvalid
from reelyard.domain.job import Item, ItemType
from reelyard.domain.routing import TASKS, Queue, TaskName, named_queues, queue_for
from tests.unit.facts import item, job

PLAIN = item()
ANIMATED = item(text="Hello")


@pytest.mark.parametrize(
    ("queue", "task"),
    [
        ("4k_queue", "process_4k_compilation"),
        ("gpu_queue", "process_gpu_compilation"),
        ("default_queue", "process_standard_compilation"),
    ],
)
def test_queues_and_tasks_have_the_names_of_the_system(queue: str, task: str) -> None:
    assert TASKS[Queue(queue)] is TaskName(task)


def test_every_queue_has_a_task_of_its_own() -> None:
    assert set(TASKS) == set(Queue)
    assert set(TASKS.values()) == set(TaskName)


@pytest.mark.parametrize(
    ("items", "queue"),
    [
        ([PLAIN], Queue.DEFAULT),
        ([PLAIN] * 50, Queue.DEFAULT),
        ([PLAIN] * 51, Queue.GPU),
        ([PLAIN] * 50 + [item(item_type=ItemType.TRANSITION)] * 50, Queue.DEFAULT),
        ([PLAIN] * 50 + [item(item_type=ItemType.IMAGE)], Queue.DEFAULT),
        ([PLAIN, ANIMATED], Queue.GPU),
        ([PLAIN, item(text="")], Queue.DEFAULT),
        ([item(item_type=ItemType.INTRO, text="Hello"), PLAIN], Queue.DEFAULT),
        ([item(logo_path="/logo.png")], Queue.DEFAULT),
    ],
)
def test_heavy_jobs_wait_for_strong_machines(items: list[Item], queue: Queue) -> None:
    assert queue_for(job(*items)) is queue


@pytest.mark.parametrize("items", [[PLAIN], [ANIMATED], [PLAIN] * 51])
def test_4k_goes_before_everything(items: list[Item]) -> None:
    assert queue_for(job(*items, enable_4k=True)) is Queue.UHD


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ("gpu_queue", (Queue.GPU,)),
        ("gpu_queue,4k_queue", (Queue.GPU, Queue.UHD)),
        (" default_queue , gpu_queue,", (Queue.DEFAULT, Queue.GPU)),
        ("gpu_queue,4k_queue,gpu_queue", (Queue.GPU, Queue.UHD)),
        ("", (Queue.UHD, Queue.GPU, Queue.DEFAULT)),
        (" , ", (Queue.UHD, Queue.GPU, Queue.DEFAULT)),
        ("gpu_queue,assist_queue", (Queue.GPU,)),
        ("assist_queue", ()),
    ],
)
def test_queues_are_read_as_a_person_types_them(text: str, queues: tuple[Queue, ...]) -> None:
    assert named_queues(text) == queues
    assert all(isinstance(queue, Queue) for queue in named_queues(text))


def test_unknown_queues_are_all_named_and_so_are_the_known_ones() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        named_queues("8k_queue,gpu_queue,GPU,8k_queue,a\nb")
    assert str(caught.value) == (
        "there is no queue called 8k_queue, GPU, a\\nb. "
        "Name one or more of 4k_queue, gpu_queue, default_queue, with commas between them."
    )


@given(st.lists(st.sampled_from(Queue), min_size=1, unique=True))
def test_a_list_of_queues_survives_the_way_over_text(queues: list[Queue]) -> None:
    assert named_queues(",".join(queues)) == tuple(queues)
