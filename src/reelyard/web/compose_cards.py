"""What the finder shows: clips as cards, and folders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from reelyard.domain.errors import ReelyardError, printable
from reelyard.services.clips import Clip, ClipFacts, Folder
from reelyard.store.rows import encoded

from .compose_page import element, set_prop, set_text, thumbnail_address
from .words import clock, size

ON_CLICK = """(e) => {
    const act = e.target.closest('[data-act]');
    if (act) emit(act.dataset.act, Number(act.dataset.card), act.checked ?? null);
}"""


class Card:
    """One clip of the finder."""

    def __init__(self, number: int, clip: Clip) -> None:
        self.clip = clip
        self.path = encoded(clip.path)
        name = printable(clip.name)
        with element("div", "ry-clip") as self.root:
            with element("button", "ry-clip-add", type="button") as add:
                add.props.update({"data-act": "add", "data-card": number, "data-testid": "clip-add",
                                  "aria-label": f"Add {name}", "title": printable(clip.path)})  # fmt: skip
                add.mark("clip-add")
                element("img", "ry-clip-image", loading="lazy", alt="",
                        src=thumbnail_address(self.path))  # fmt: skip
                element("span", "ry-clip-name", name)
                self._facts = element("span", "ry-clip-facts ry-dim ry-mono", "")
            self._count = element("span", "ry-clip-count ry-mono", "")
            box = element("input", "ry-box ry-clip-box", type="checkbox")
            box.props.update({"data-act": "pick", "data-card": number, "data-testid": "clip-select",
                              "aria-label": f"Select {name}"})  # fmt: skip
            self._box = box
        self.show_facts(None)

    def show_facts(self, facts: ClipFacts | ReelyardError | None) -> None:
        known = size(self.clip.size) if self.clip.size is not None else ""
        if isinstance(facts, ClipFacts):
            length = "image" if facts.seconds is None else clock(facts.seconds)
            known = " · ".join(filter(None, (length, known)))
            set_prop(self._facts, "title", f"{facts.width}×{facts.height}, {facts.codec}")
        elif facts is not None:
            known = "can't be used"
            set_prop(self._facts, "title", str(facts))
        set_text(self._facts, known)

    def show_count(self, count: int) -> None:
        set_text(self._count, f"in the list{f' {count}×' if count > 1 else ''}" if count else "")

    def show_picked(self, picked: bool) -> None:
        set_prop(self._box, "checked", picked)


def folder_button(folder: Folder, go: Callable[[str], Awaitable[None]]) -> None:
    with element("button", "ry-folder", type="button") as made:
        made.props["data-testid"] = "folder"
        element("span", "material-icons", "folder").props["aria-hidden"] = "true"
        element("span", "ry-clip-name", printable(folder.name))
    made.on("click", partial(go, folder.path), args=[])


def show_in_place(error: ReelyardError) -> None:
    """What went wrong, where it would have been."""
    with element("div", "ry-note ry-problem", role="alert"):
        element("span", "material-icons", "error_outline").props["aria-hidden"] = "true"
        element("span", "", f"{error.message[:1].upper()}{error.message[1:]}. {error.remedy}.")


Place = tuple[str, str | None]
"""A folder's name and path; without a path it is the library itself."""
LIBRARY: Place = ("Library", None)


def places_of(roots: Sequence[tuple[str, Path]], folder: str | None) -> Sequence[Place]:
    """The folders on the way to ``folder``."""
    here = None if folder is None else Path(folder)
    for name, root in roots:
        if here is not None and here.is_relative_to(root):
            parts = here.relative_to(root).parts
            below = [
                (printable(part), str(root.joinpath(*parts[: n + 1])))
                for n, part in enumerate(parts)
            ]
            return [LIBRARY, (printable(name), str(root)), *below]
    return [LIBRARY]


def crumbs(places: Sequence[Place], go: Callable[[str | None], Awaitable[None]]) -> None:
    """The way to a folder, each step of it to be gone back to."""
    for n, (name, path) in enumerate(places):
        if n:
            element("span", "ry-dim", "/").props["aria-hidden"] = "true"
        made = element("button", "ry-crumb", name, type="button")
        made.on("click", partial(go, path), args=[])
        if n == len(places) - 1:
            made.props["aria-current"] = "page"
