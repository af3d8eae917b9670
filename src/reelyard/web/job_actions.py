"""What people do with a job from the pages: each is one call of the job desk, with a question where it is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element

from reelyard.domain.access import Action, Principal
from reelyard.domain.farm import HIGHEST_PRIORITY, LOWEST_PRIORITY, NORMAL_PRIORITY, JobState
from reelyard.domain.lifecycle import JobStatus
from reelyard.services.office import Office

from .job_look import tagged
from .visitor import Visitor

ACTIVE = (JobStatus.QUEUED, JobStatus.PROCESSING)
CAN_RETRY = (JobStatus.FAILED, JobStatus.CANCELLED)
_NAMES = {HIGHEST_PRIORITY: "9, first", NORMAL_PRIORITY: "5, normal", LOWEST_PRIORITY: "0, last"}


class JobActions:
    """Done for the visitor of a page. ``home`` stays as long as the page; ``changed`` is told afterwards.

    What is asked and said hangs on ``home``: a row may be gone when its click has been dealt with.
    """

    def __init__(
        self,
        office: Office,
        visitor: Visitor,
        home: Element,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._jobs = office.jobs
        self._visitor = visitor
        self._home = home
        self.changed = changed

    async def _do(self, call: Callable[[Principal], object], done: str = "") -> bool:
        with self._home:
            answer = await self._visitor.do(call, done)
        await self.changed()
        return answer is not None

    async def cancel(self, state: JobState) -> None:
        with self._home:
            sure = await confirm(
                f"Cancel {state.channel_name}?", _what_is_lost(state), "Cancel the job", "Keep it"
            )
        if sure:
            await self._do(lambda who: self._jobs.cancel(who, state.job_id), "Cancelled")

    async def retry(self, state: JobState) -> None:
        await self._do(lambda who: self._jobs.retry(who, state.job_id), "Queued again")

    async def to_front(self, state: JobState) -> None:
        await self._do(lambda who: self._jobs.to_front(who, state.job_id), "It is the next one now")

    async def put_before(self, job_id: str, other_id: str) -> bool:
        return await self._do(lambda who: self._jobs.put_before(who, job_id, other_id))

    async def put_after(self, job_id: str, other_id: str) -> bool:
        """Behind the last one: before it first, then the two change places."""

        def swap(who: Principal) -> JobState:
            self._jobs.put_before(who, job_id, other_id)
            return self._jobs.put_before(who, other_id, job_id)

        return await self._do(swap)

    async def prioritise(self, state: JobState) -> None:
        """Ask for the priority, and set it."""
        may_order = self._visitor.may(Action.ORDER_QUEUE)
        highest = HIGHEST_PRIORITY if may_order else NORMAL_PRIORITY
        with self._home:
            chosen = await _ask_priority(state, highest)
        if chosen is not None and chosen != state.priority:
            await self._do(
                lambda who: self._jobs.prioritise(who, state.job_id, chosen), f"Priority {chosen}"
            )

    async def remove(self, state: JobState) -> None:
        """Ask whether with the film, drop the job, and go to the queue."""
        with self._home:
            with_film = await _ask_removal(state)
            if with_film is None:
                return
            gone = await self._visitor.do(
                lambda who: self._jobs.remove(who, state.job_id, with_film=with_film)
            )
            if gone is not None:
                ui.navigate.to("/queue")


def _what_is_lost(state: JobState) -> str:
    again = "You can queue it again at any time."
    if state.status is JobStatus.QUEUED:
        return f"It leaves the queue. Nothing of it is being made, so nothing is lost. {again}"
    return (
        f"It is at {int(state.progress)} %. Its worker stops within a second, and no film is made. "
        f"Nothing that was rendered is lost: finished pieces stay in the cache. {again}"
    )


async def confirm(title: str, text: str, yes: str, no: str = "Back") -> bool:
    """Ask before something is done."""
    with ui.dialog() as dialog, ui.card().style("width: min(440px, 92vw)"):
        ui.label(title).classes("text-h6 ry-plain")
        ui.label(text).classes("ry-plain")
        with ui.row().classes("full-width justify-end"):
            ui.button(no, on_click=lambda: dialog.submit(False)).props("flat no-caps autofocus")
            sure = ui.button(yes, on_click=lambda: dialog.submit(True))
            tagged(sure.props("unelevated no-caps color=negative"), "confirm")
    return bool(await _answer(dialog))


async def _answer(dialog: ui.dialog) -> object:
    """What was chosen; None where it was left, or the page was closed under it."""
    answer: object = await dialog
    if not dialog.is_deleted:
        dialog.delete()
    return answer


async def _ask_priority(state: JobState, highest: int) -> int | None:
    choices = {
        one: _NAMES.get(one, str(one))
        for one in range(max(highest, state.priority), LOWEST_PRIORITY - 1, -1)
    }
    with ui.dialog() as dialog, ui.card().style("width: min(360px, 92vw)"):
        ui.label("Priority").classes("text-h6")
        ui.label("Jobs of a higher priority are taken first, whenever they came.").classes("ry-dim")
        chosen = ui.select(choices, value=state.priority, label="Priority").classes("full-width")
        tagged(chosen.props("outlined dense"), "priority-choice")
        if highest < HIGHEST_PRIORITY:
            ui.label("Only managers go above 5.").classes("ry-dim text-caption")
        with ui.row().classes("full-width justify-end"):
            ui.button("Back", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            done = ui.button("Set", on_click=lambda: dialog.submit(chosen.value))
            tagged(done.props("unelevated no-caps"), "priority-set")
    answer = await _answer(dialog)
    return answer if isinstance(answer, int) else None


async def _ask_removal(state: JobState) -> bool | None:
    with ui.dialog() as dialog, ui.card().style("width: min(460px, 92vw)"):
        ui.label(f"Remove {state.channel_name}?").classes("text-h6 ry-plain")
        ui.label("The job and what happened to it go from the books. Its result stays in the "
                 "history.").classes("ry-plain")  # fmt: skip
        with ui.column().classes("full-width items-end").style("gap: 6px"):
            if state.planned_output is not None:
                both = ui.button("Remove job and film", on_click=lambda: dialog.submit(True))
                tagged(both.props("unelevated no-caps color=negative"), "remove-with-film")
            only = ui.button(
                "Remove the job, leave the film" if state.output_path else "Remove the job",
                on_click=lambda: dialog.submit(False),
            )
            tagged(only.props("outline no-caps color=negative"), "remove-job")
            ui.button("Back", on_click=lambda: dialog.submit(None)).props("flat no-caps autofocus")
    answer = await _answer(dialog)
    return answer if isinstance(answer, bool) else None
