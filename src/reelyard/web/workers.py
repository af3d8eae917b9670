"""The workers: what each is, what it does now, and the orders for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from reelyard.domain.access import Action, Principal
from reelyard.domain.errors import ReelyardError, printable
from reelyard.domain.lifecycle import Order
from reelyard.services.live import LiveEvent
from reelyard.services.manage import WorkerView
from reelyard.services.office import Office

from .frame import empty, frame
from .job_actions import confirm
from .job_look import JOB_CSS, tagged, trouble
from .visitor import Visitor, visitor_of
from .workers_card import CARDS_CSS, Card
from .workers_words import DRAIN, PAUSE, STOP, Command, consequence, standing, told

_LOOK_SECONDS = 5.0  # heartbeats, disks and who is gone are no events


def register(office: Office) -> None:
    @ui.page("/workers")
    async def page(request: Request) -> Response | None:
        visitor = await visitor_of(office, request)
        if isinstance(visitor, Response):
            return visitor
        with frame(visitor, "Workers") as who:
            ui.add_css(JOB_CSS + CARDS_CSS)
            try:
                views = await visitor.ask(office.workers.list)
            except ReelyardError as error:
                trouble(error)
                return None
            crew = _Crew(visitor, who.may(Action.ORDER_WORKERS))
            crew.show(views)
            visitor.on_live(crew.heard)
            ui.timer(_LOOK_SECONDS, crew.look)
        return None


class _Crew:
    """All cards, kept as they are while the workers change."""

    def __init__(self, visitor: Visitor, gives_orders: bool) -> None:
        self._visitor = visitor
        self._gives_orders = gives_orders
        self._cards: dict[str, Card] = {}
        self._count = ui.label().classes("ry-dim").props("role=status")
        if gives_orders:
            _orders_told()
        self._none = ui.column().classes("full-width")
        with self._none:
            _how_to_start()
        self._box = ui.element("div").classes("ry-cards")
        tagged(self._box, "worker-cards")
        self._home = ui.element("div")

    def show(self, views: Sequence[WorkerView]) -> None:
        """Cards for who is there; new ones are added, and who was forgotten goes."""
        names = {view.worker.worker_id for view in views}
        for name in self._cards.keys() - names:
            self._cards.pop(name).root.delete()
        for view in views:
            card = self._cards.get(view.worker.worker_id)
            if card is not None:
                card.show(view)
            else:
                self._add(view)
        self._none.set_visibility(not views)
        self._count.set_text(_counted(views))

    def _add(self, view: WorkerView) -> None:
        give, forget = (self._give, self._forget) if self._gives_orders else (None, None)
        with self._box:
            self._cards[view.worker.worker_id] = Card(view, give, forget)

    async def look(self) -> None:
        """Read all workers again. A farm that can't be asked is said by the page's own calls."""
        try:
            self.show(await self._visitor.ask(self._visitor.office.workers.list))
        except ReelyardError as error:
            self._count.set_text(f"This is not up to date: {printable(error.message)}")

    async def heard(self, events: Sequence[LiveEvent]) -> None:
        for one in events:
            if one.kind == "progress":
                for name in (str(one.data["worker_id"]), *one.data["helpers"]):
                    if name in self._cards:
                        self._cards[name].progress(one.data)
        if any(one.kind != "progress" for one in events):
            await self.look()

    async def _give(self, command: Command, view: WorkerView) -> None:
        """Pausing and waking can be taken back; the others are asked about."""
        if command.order in (Order.DRAIN, Order.STOP):
            job = f"“{view.job.channel_name}”" if view.job else "somebody else's"
            name = view.worker.worker_id
            text = consequence(command, view.worker, job)
            title = f"{command.name} {printable(name)}?"
            if not await self._sure(title, f"{command.says}\n{printable(text)}", command.name):
                return
        await self._do(
            lambda who: self._visitor.office.workers.tell(
                who, view.worker.worker_id, command.order
            ),
            told(command, view.worker),
        )  # fmt: skip

    async def _forget(self, view: WorkerView) -> None:
        name = view.worker.worker_id
        says = (
            "It is taken off this list, with its measured speed. Films and jobs stay.\n"
            "If it starts again it comes back."
        )
        if await self._sure(f"Forget {printable(name)}?", says, "Forget"):
            await self._do(
                lambda who: self._visitor.office.workers.forget(who, name), f"{name} is forgotten"
            )

    async def _sure(self, title: str, text: str, yes: str) -> bool:
        with self._home:
            return await confirm(title, text, yes, "Leave it")

    async def _do(self, call: Callable[[Principal], object], done: str) -> None:
        with self._home:  # a card may be gone when its click has been dealt with
            await self._visitor.do(call, printable(done))
            await self.look()


def _counted(views: Sequence[WorkerView]) -> str:
    words = [standing(view.worker).word.lower() for view in views]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _orders_told() -> None:
    """How the orders differ, where they are given."""
    with ui.column().classes("ry-dim text-caption full-width").style("gap: 0"):
        for command in (PAUSE, DRAIN, STOP):
            ui.label(f"{command.name}: {command.says}")


def _how_to_start() -> None:
    empty("memory", "No worker is there",
          "Workers render the films. Start one on each machine that can reach the database, the broker "
          "and the clips:")  # fmt: skip
    with ui.column().classes("full-width items-center").style("gap: 4px; margin-top: -32px"):
        ui.label("reelyard worker --name pc2").classes("ry-code")
        ui.label("or, for the whole farm on one machine:").classes("ry-dim text-caption")
        ui.label("reelyard up --workers 1").classes("ry-code")
