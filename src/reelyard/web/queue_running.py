"""The jobs that are being rendered, of all queues: what people look for first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from reelyard.services.job_views import Line

from .job_actions import JobActions
from .job_look import tagged
from .queue_row import Row


class RunningJobs:
    """The card above all queues; there while there is anything in them."""

    def __init__(self, actions: JobActions) -> None:
        self._actions = actions
        self._rows: dict[str, Row] = {}
        with ui.card().classes("ry-card q-pa-md").style("gap: 4px") as self._box:
            title = ui.label("Running").classes("text-subtitle1 text-weight-medium")
            title.props("role=heading aria-level=2")
            self._list = ui.column().classes("ry-rows")
            self._none = ui.label("Nothing is being rendered at the moment.").classes("ry-dim")
        tagged(self._list, "running")

    def update(self, lines: Sequence[Line], *, is_idle: bool) -> None:
        self._box.set_visibility(not is_idle)
        self._none.set_visibility(not lines)
        present = {one.state.job_id for one in lines}
        for job_id in [one for one in self._rows if one not in present]:
            self._rows.pop(job_id).root.delete()
        for line in lines:
            row = self._rows.get(line.state.job_id)
            if row is not None:
                row.update(line)
                continue
            with self._list:
                self._rows[line.state.job_id] = Row(line, self._actions)

    def progress(self, data: dict[str, Any]) -> bool:
        """What a live event says of one of them; False: it is not known to run."""
        row = self._rows.get(data["job_id"])
        if row is not None:
            row.progress(data)
        return row is not None
