"""One queue on its page: its jobs in their turn, to be put into another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from nicegui import ui
from nicegui.element import Element
from nicegui.events import SortableEventArguments

from reelyard.domain.routing import Queue
from reelyard.services.job_views import Line, QueueView
from reelyard.services.office import Office

from .job_actions import JobActions
from .job_look import tagged
from .queue_card import QueueCard
from .queue_read import MOST_ROWS, NAMES, Snapshot, rest_words, unheard
from .queue_row import Row
from .visitor import Visitor

_AT_A_TIME = 25  # rows: a hundred at once would keep all other pages waiting
_LONGEST_DRAG = 20.0


class QueueList:
    """A queue's card and its rows. Rows are made, moved and dropped one by one: nothing flickers."""

    def __init__(
        self,
        office: Office,
        visitor: Visitor,
        actions: JobActions,
        queue: Queue,
        can_order: bool,
        cards: Element,
        lists: Element,
        say: Callable[[str], object],
    ) -> None:
        self.queue = queue
        self._office = office
        self._visitor = visitor
        self._actions = actions
        self._can_order = can_order
        self._rows: dict[str, Row] = {}
        self._shown: Sequence[Line] = ()
        self._held_up = ""
        self.is_whole = True
        self._order: list[str] = []
        self._held_since: float | None = None
        self._say = say
        with cards:
            self._card = QueueCard(queue, self.pause if can_order else None)
        with lists:
            self._make()

    def _make(self) -> None:
        with ui.card().classes("ry-card q-pa-md").style("gap: 4px") as self._box:
            with ui.row().classes("items-baseline").style("gap: 8px"):
                title = ui.label(NAMES[self.queue]).classes("text-subtitle1 text-weight-medium")
                title.props("role=heading aria-level=2")
                ui.label(self.queue.value).classes("ry-dim text-caption")
            self._waiting = ui.column().classes("ry-rows")
            self._more = ui.label().classes("ry-dim text-caption q-pt-sm ry-mono")
        tagged(self._box, "queue-list").props["data-queue"] = self.queue.value
        tagged(self._waiting, "waiting")
        tagged(self._more, "queue-more")
        if self._can_order:
            self._waiting.make_sortable(handle=".ry-grip", on_end=self._dropped)
            self._waiting.on("pointerdown", self._grasped, args=[])
            self._waiting.on("pointerup", self._let_go, args=[])

    # What the visitor does

    @property
    def is_dragged(self) -> bool:
        """Whether somebody holds a row. A browser that never says that it let go is not waited for."""
        held = self._held_since
        return held is not None and time.monotonic() - held < _LONGEST_DRAG

    def _grasped(self) -> None:
        self._held_since = time.monotonic()

    def _let_go(self) -> None:
        self._held_since = None

    async def _dropped(self, event: SortableEventArguments) -> None:
        self._held_since = None
        dragged = next((one for one in self._rows.values() if one.root is event.item), None)
        if dragged is None or event.old_index == event.new_index:
            return
        order = [one for one in self._order if one != dragged.job_id]
        await self._put(dragged.job_id, order, event.new_index)

    async def step(self, job_id: str, by: int) -> None:
        """One up, or one down."""
        if job_id not in self._order:
            return
        place = self._order.index(job_id) + by
        order = [one for one in self._order if one != job_id]
        if 0 <= place <= len(order):
            await self._put(job_id, order, place)

    async def _put(self, job_id: str, others: Sequence[str], place: int) -> None:
        """``others`` are the waiting jobs without this one, shown or not."""
        self._order = [*others[:place], job_id, *others[place:]]  # what the next key goes by
        if place < len(others):
            done = await self._actions.put_before(job_id, others[place])
        else:
            done = bool(others) and await self._actions.put_after(job_id, others[-1])
        if done:
            self._say(f"It is number {place + 1} of {self.queue} now")

    async def pause(self, is_paused: bool) -> None:
        done = f"{self.queue} is paused" if is_paused else f"{self.queue} goes on"
        pause = await self._visitor.do(
            lambda who: self._office.jobs.pause_queue(who, self.queue, is_paused), done
        )
        if pause is not None:
            await self._actions.changed()

    # What is shown

    def update(self, view: QueueView, snapshot: Snapshot) -> None:
        silent = unheard(self.queue, snapshot.workers)
        self._card.update(view, silent)
        self._held_up = "Its queue is paused" if view.pause.is_paused else ""
        self._held_up = self._held_up or ("waits for a worker" if silent else "")
        waiting = snapshot.waiting(self.queue)
        shown = self._shown = waiting[:MOST_ROWS]
        self._order = [one.state.job_id for one in waiting]
        self._box.set_visibility(view.waiting > 0)
        present = {one.state.job_id for one in shown}
        for job_id in [one for one in self._rows if one not in present]:
            self._rows.pop(job_id).root.delete()
        self.fill()
        rest = rest_words(view, len(shown))
        self._more.set_visibility(bool(rest))
        self._more.set_text(rest)

    def fill(self) -> None:
        """Show the jobs that wait: so many new ones at a time."""
        new = 0
        for place, line in enumerate(self._shown):
            row = self._rows.get(line.state.job_id)
            if row is not None:
                row.update(line, self._held_up)
            elif new == _AT_A_TIME:
                self.is_whole = False
                return
            else:
                new += 1
                row = self._new(line)
            children = self._waiting.default_slot.children
            if place >= len(children) or children[place] is not row.root:
                row.root.move(self._waiting, place)
        self.is_whole = True

    def _new(self, line: Line) -> Row:
        step = self.step if self._can_order else None
        with self._waiting:
            row = Row(line, self._actions, step, self._held_up)
        self._rows[row.job_id] = row
        return row
