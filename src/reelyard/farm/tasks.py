"""The three tasks. Each takes the id of a job whose turn may have come."""

from __future__ import annotations

from typing import Any

from reelyard.domain.routing import TaskName

from .celery_app import app, perform


@app.task(name=TaskName.UHD.value, bind=True)
def process_4k_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)


@app.task(name=TaskName.GPU.value, bind=True)
def process_gpu_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)


@app.task(name=TaskName.STANDARD.value, bind=True)
def process_standard_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)
