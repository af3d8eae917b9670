"""Finding clips: a search box and folders, with pictures of what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import events, ui

from reelyard.domain.access import Principal
from reelyard.domain.errors import NotSignedIn, ReelyardError
from reelyard.services.clip_search import Kind
from reelyard.services.clips import Clip, ClipFacts, Folder

from .compose_cards import (
    LIBRARY,
    ON_CLICK,
    Card,
    Place,
    crumbs,
    folder_button,
    places_of,
    show_in_place,
)
from .compose_page import button, element
from .frame import empty
from .visitor import Visitor, sign_in_address

AT_ONCE = 60
_KINDS: dict[Kind | None, str] = {None: "All", "video": "Videos", "image": "Images"}
_INCOMPLETE = "Not all folders could be searched: look into them, too."
Pick = Callable[[Sequence[Clip]], Any]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of what is there."""

    folders: tuple[Folder, ...]
    clips: tuple[Clip, ...]
    cursor: str | None
    note: str
    places: Sequence[Place]


class Finder:
    """The search box, the folders and what they show. ``pick`` gets the clips that were chosen."""

    def __init__(
        self,
        visitor: Visitor,
        pick: Pick,
        known: dict[str, float],
        kind: Kind | None = None,
        many: bool = True,
    ) -> None:
        self._visitor = visitor
        self._pick = pick
        self._known = known
        self._kind = kind
        self._many = many
        self._folder: str | None = None
        self._cursor: str | None = None
        self._asked = 0
        self._cards: list[Card] = []
        self._picked: list[int] = []
        self._in_list: Counter[str] = Counter()
        with ui.column().classes("ry-finder") as self.root:
            self._build()

    def _build(self) -> None:
        self._search = ui.input(placeholder="Search by name, path or id")
        self._search.props("outlined dense clearable debounce=300 type=search")
        self._search.props["aria-label"] = "Search clips"
        self._search.props["data-testid"] = "search"
        self._search.classes("full-width").mark("search").on_value_change(self._begin)
        with self._search.add_slot("prepend"):
            ui.icon("search")
        with ui.row().classes("full-width items-center no-wrap").style("gap: 8px"):
            self._crumbs = (
                ui.row()
                .classes("ry-crumbs items-center")
                .props('role=navigation aria-label="Folders"')
            )
            ui.space()
            if self._kind is None:
                kinds = ui.toggle({name: name for name in _KINDS.values()}, value="All",
                                  on_change=self._choose_kind)  # fmt: skip
                kinds.props("no-caps dense unelevated size=sm").mark("kind")
                kinds.props["data-testid"] = "kind"
        self._message = ui.column().classes("full-width")
        self._grid = element("div", "ry-clips").mark("clips")
        self._grid.on("click", self._acted, js_handler=ON_CLICK)
        self._more = (
            ui.button("More", on_click=self._next).props("flat no-caps").classes("full-width")
        )
        self._more.mark("more-clips").set_visibility(False)
        with ui.row().classes("ry-picked items-center") as self._bar:
            self._add_many = button("Add", "playlist_add", self._add_picked, "add-selected")
            button("All shown", "", self._pick_all, "pick-all", flat="yes")
            button("None", "", self._pick_none, "pick-none", flat="yes")
        self._bar.set_visibility(False)

    async def start(self) -> None:
        """Show the first of what there is: the only folder beside the uploads, or the folders."""
        roots = await self._visitor.do(self._visitor.office.library.roots)
        uploads = self._visitor.office.uploads.folder
        others = [root for _, root in roots or () if root != uploads]
        if len(others) == 1:
            self._folder = str(others[0])
        await self._begin()

    async def _choose_kind(self, e: events.ValueChangeEventArguments[str]) -> None:
        self._kind = next(kind for kind, name in _KINDS.items() if name == e.value)
        await self._begin()

    async def _open(self, folder: str | None) -> None:
        self._folder = folder
        if self._search.value:
            self._search.set_value("")  # begins by itself
        else:
            await self._begin()

    async def _begin(self) -> None:
        self._cursor = None
        await self._ask(is_first=True)

    async def _next(self) -> None:
        await self._ask(is_first=False)

    async def _ask(self, is_first: bool) -> None:
        """The next part of what is looked for; an answer that nobody waits for any more is dropped."""
        self._asked += 1
        asked, text, cursor = self._asked, (self._search.value or "").strip(), self._cursor
        self._grid.props["aria-busy"] = "true"
        try:
            part = await self._visitor.ask(lambda who: self._part(who, text, cursor))
        except NotSignedIn:
            ui.navigate.to(sign_in_address("/"))
            return
        except ReelyardError as error:
            if asked == self._asked:
                self._show_failure(error)
            return
        if asked != self._asked:
            return
        self._cursor = part.cursor
        if is_first:
            self._clear()
            self._show_crumbs(part.places, text)
        self._show(part, text)
        await self._measure(asked, self._cards[-len(part.clips) :] if part.clips else [])

    def _part(self, who: Principal, text: str, cursor: str | None) -> _Part:
        library = self._visitor.office.library
        if text:
            found = library.search(who, text, self._kind, cursor=cursor, limit=AT_ONCE)
            note = "" if found.complete else _INCOMPLETE
            return _Part((), found.rows, found.cursor, note, ())
        listing = library.browse(who, self._folder, cursor=cursor, limit=AT_ONCE)
        note = f"{listing.unreadable} files can't be read." if listing.unreadable else ""
        clips = tuple(filter(self._is_wanted, listing.clips))
        places = places_of(library.roots(who), self._folder)
        return _Part(listing.folders, clips, listing.cursor, note, places)

    def _is_wanted(self, clip: Clip) -> bool:
        return self._kind is None or clip.is_image == (self._kind == "image")

    def _clear(self) -> None:
        self._message.clear()
        self._grid.clear()
        self._cards.clear()
        self._pick_none()

    def _show_failure(self, error: ReelyardError) -> None:
        self._clear()
        self._more.set_visibility(False)
        self._show_crumbs([LIBRARY], "")
        with self._message:
            show_in_place(error)
            ui.button("Try again", icon="refresh", on_click=self._begin).props("flat no-caps")

    def _show(self, part: _Part, text: str) -> None:
        with self._grid:
            for folder in part.folders:
                folder_button(folder, self._open)
            for clip in part.clips:
                card = Card(len(self._cards), clip)
                card.show_count(self._in_list[card.path])
                self._cards.append(card)
        self._grid.props["aria-busy"] = "false"
        self._more.set_visibility(self._cursor is not None)
        with self._message:
            if part.note:
                ui.label(part.note).classes("ry-dim text-caption")
            if not self._cards and not part.folders and self._cursor is None:
                self._show_nothing(text)

    def _show_nothing(self, text: str) -> None:
        if text:
            empty("search_off", "Nothing found", "Try fewer letters, or another part of the name. Files are"
                  " found by their names and folders, videos of the catalogue also by their ids.")  # fmt: skip
        else:
            empty("folder_open", "No clips here", "Copy clips into this folder, upload some, or look in another one.")  # fmt: skip

    def _show_crumbs(self, places: Sequence[Place], text: str) -> None:
        self._crumbs.clear()
        with self._crumbs:
            if text:
                ui.label("Found").classes("text-weight-medium")
            else:
                crumbs(places, self._open)

    async def _measure(self, asked: int, cards: Sequence[Card]) -> None:
        """Have the lengths shown, some at a time, as long as somebody looks at them."""
        for begin in range(0, len(cards), 12):
            part = cards[begin : begin + 12]
            paths = [card.path for card in part]
            ask = partial(self._visitor.office.library.facts_of, paths=paths)
            try:
                facts = await self._visitor.ask(ask)
            except ReelyardError:
                return  # sizes and names are there; lengths come with the list's own check
            if asked != self._asked:
                return
            for card in part:
                found = facts.get(card.path)
                if isinstance(found, ClipFacts) and found.seconds is not None:
                    self._known[card.path] = found.seconds
                card.show_facts(found)

    async def _acted(self, e: events.GenericEventArguments) -> None:
        act, number, checked = e.args
        if not isinstance(number, int) or not 0 <= number < len(self._cards):
            return
        if act == "add" or not self._many:
            await _maybe(self._pick([self._cards[number].clip]))
        elif checked:
            self._picked.append(number)
        else:
            self._picked = [one for one in self._picked if one != number]
        self._show_picked()

    def _show_picked(self) -> None:
        for number, card in enumerate(self._cards):
            card.show_picked(number in self._picked)
        self._bar.set_visibility(bool(self._picked))
        self._add_many.set_text(f"Add {len(self._picked)}")

    def _pick_all(self) -> None:
        self._picked = list(range(len(self._cards)))
        self._show_picked()

    def _pick_none(self) -> None:
        self._picked = []
        self._show_picked()

    async def _add_picked(self) -> None:
        """What was selected, in the order in which it was."""
        clips = [self._cards[number].clip for number in self._picked]
        self._pick_none()
        await _maybe(self._pick(clips))

    def show_counts(self, in_list: Counter[str]) -> None:
        """How often each clip is in the list, by paths."""
        self._in_list = in_list
        for card in self._cards:
            card.show_count(in_list[card.path])


async def _maybe(answer: Any) -> None:
    if hasattr(answer, "__await__"):
        await answer
