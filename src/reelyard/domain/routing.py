"""Which queue a job waits in, and the name of the task that takes it from there.

Both are names that operators type and other programs see, so they stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .errors import SettingsInvalid, printable
from .job import ItemType, Job

MOST_STANDARD_VIDEOS = 50
"""A job with more ``video`` items than this is a long one and waits for a strong machine."""


class Queue(StrEnum):
    """Where jobs wait; a worker listens to some of them."""

    UHD = "4k_queue"
    GPU = "gpu_queue"
    DEFAULT = "default_queue"


class TaskName(StrEnum):
    """What a worker is asked to do with a job."""

    UHD = "process_4k_compilation"
    GPU = "process_gpu_compilation"
    STANDARD = "process_standard_compilation"


ASSIST_QUEUE = "assist_queue"
"""Where invitations to help with other workers' jobs come; a worker that has nothing else to do listens to it."""

ASSIST_TASK = "assist_compilation"

TASKS: Mapping[Queue, TaskName] = {
    Queue.UHD: TaskName.UHD,
    Queue.GPU: TaskName.GPU,
    Queue.DEFAULT: TaskName.STANDARD,
}


def queue_for(job: Job) -> Queue:
    """4K comes first, then what is heavy: text on a ``video``, or many of them.

    Only what is wanted of the film counts. A draft is for any machine, whatever its film is: it has 360 lines, and
    libx264 makes it everywhere. Whoever waits for it is not to wait behind films for the strong machines.
    """
    if job.excerpt.is_draft:
        return Queue.DEFAULT
    if job.enable_4k:
        return Queue.UHD
    job = job.wanted
    animated = any(item.text for item in job.items if item.item_type is ItemType.VIDEO)
    if animated or job.video_count > MOST_STANDARD_VIDEOS:
        return Queue.GPU
    return Queue.DEFAULT


def named_queues(text: str) -> tuple[Queue, ...]:
    """The queues of jobs that a person listed with commas, each once, as ordered; all when nothing is named.

    The queue of invitations may be among them. It changes nothing, because the setting ``assist`` says who helps; but a
    worker of which nothing else is said takes no jobs of its own.

    Raises SettingsInvalid naming every one that there is not.
    """
    names = list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    known = list(Queue)
    unknown = [printable(name) for name in names if name not in (*known, ASSIST_QUEUE)]
    if unknown:
        raise SettingsInvalid(
            f"there is no queue called {', '.join(unknown)}",
            remedy=f"Name one or more of {', '.join(known)}, with commas between them",
        )
    return tuple(Queue(name) for name in names or known if name != ASSIST_QUEUE)
