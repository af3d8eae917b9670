"""The tasks. Three take the id of a job whose turn may have come, one that of a running job that could do with help."""

from __future__ import annotations

from typing import Any

from reelyard.domain.routing import ASSIST_TASK, TaskName

from .celery_app import app, assist, perform


@app.task(name=TaskName.UHD.value, bind=True)
def process_4k_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)


@app.task(name=TaskName.GPU.value, bind=True)
def process_gpu_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)


@app.task(name=TaskName.STANDARD.value, bind=True)
def process_standard_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return perform(task, job_id)


@app.task(name=ASSIST_TASK, bind=True, ignore_result=True)
def assist_compilation(task: Any, job_id: str) -> dict[str, Any]:
    return assist(task, job_id)
