"""Clips by a pasted list, and by uploading them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from nicegui import events, ui

from reelyard.domain.errors import printable
from reelyard.services.clips import Clip, ListedClip

from .compose_page import button, element
from .visitor import Visitor

_MOST_ERRORS = 50
# Straight to the API, which takes a file in pieces as it comes; no page holds a whole one.
_TO_API = """(files) => ({url: (window.path_prefix || '') + '/api/v1/library/uploads/' + encodeURIComponent(files[0].name),
    method: 'POST', sendRaw: true})"""
_TOLD = "(info) => emit(info.files.map((file) => file.name), info.xhr ? info.xhr.responseText : '')"
Add = Callable[[Sequence[Clip]], None]


class PasteDialog:
    """A list of ids or paths, one a line; what is wrong is said line by line."""

    def __init__(self, visitor: Visitor, add: Add) -> None:
        self._visitor = visitor
        self._add = add
        self._found: list[Clip] = []
        with ui.dialog() as self._dialog, ui.card().classes("ry-dialog"):
            ui.label("Paste a list").classes("text-h6")
            ui.label(
                "One clip a line: its id, or its path. Quotes and further columns do no harm."
            ).classes("ry-dim")
            self._text = ui.textarea(label="Ids or paths").props(
                "outlined rows=8 input-style=white-space:pre"
            )
            self._text.classes("full-width ry-mono").mark("paste-text").props["data-testid"] = (
                "paste-text"
            )
            self._wrong = ui.column().classes("ry-paste-wrong").props("role=status")
            with ui.row().classes("full-width justify-end"):
                button("Close", "", self._dialog.close, "paste-close", flat="yes")
                self._rest = button("", "", self._add_found, "paste-add-found", flat="yes")
                button("Add", "playlist_add", self._look_up, "paste-add")
        self._show([])

    def open(self) -> None:
        self._dialog.open()

    async def _look_up(self) -> None:
        text = self._text.value or ""
        listed = await self._visitor.do(
            lambda who: self._visitor.office.library.resolve_list(who, text)
        )
        if listed is None:
            return
        self._found = [one.clip for one in listed if one.clip is not None]
        wrong = [one for one in listed if one.error is not None]
        self._show(wrong)
        if not wrong and self._found:
            self._add_found()
        elif not listed:
            ui.notify("The list is empty. Write an id or a path in each line.", type="warning")

    def _show(self, wrong: Sequence[ListedClip]) -> None:
        self._wrong.clear()
        self._rest.set_visibility(bool(wrong and self._found))
        self._rest.set_text(f"Add the {len(self._found)} found")
        with self._wrong:
            for one in wrong[:_MOST_ERRORS]:
                assert one.error is not None
                with element("div", "ry-note ry-problem") as made:
                    made.props["data-testid"] = "paste-problem"
                    element(
                        "span",
                        "",
                        f"{printable(one.error.message).capitalize()}. {one.error.remedy}.",
                    )
            if len(wrong) > _MOST_ERRORS:
                ui.label(f"and {len(wrong) - _MOST_ERRORS} lines more").classes("ry-dim")

    def _add_found(self) -> None:
        self._add(self._found)
        self._found = []
        self._text.set_value("")
        self._show([])
        self._dialog.close()


class UploadDialog:
    """Files of the visitor's own machine."""

    def __init__(self, visitor: Visitor, add: Add) -> None:
        self._visitor = visitor
        self._add = add
        with ui.dialog() as self._dialog, ui.card().classes("ry-dialog"):
            ui.label("Upload clips").classes("text-h6")
            ui.label("Videos and images; they are kept in your own folder of the library.").classes(
                "ry-dim"
            )
            self._at_once = ui.switch("Add to the list as soon as they are here", value=True)
            self._upload = ui.upload(
                multiple=True, auto_upload=True, label="Choose files, or drop them here"
            )
            self._upload.props["accept"] = "video/*,image/*,.mkv,.mov,.mts,.m2ts,.avi,.webm"
            self._upload.props[":factory"] = _TO_API
            self._upload.classes("full-width").mark("upload").props["data-testid"] = "upload"
            self._upload.on("uploaded", self._came, js_handler=_TOLD)
            self._upload.on("failed", self._failed, js_handler=_TOLD)
            self._here = ui.column().classes("full-width").style("gap: 4px").props("role=status")
            with ui.row().classes("full-width justify-end"):
                button("Close", "", self._dialog.close, "upload-close", flat="yes")

    def open(self) -> None:
        self._dialog.open()

    async def _came(self, e: events.GenericEventArguments) -> None:
        """A file is there: what the browser says of it is looked up, not believed."""
        path = _field(e.args[1], "path")
        listed = await self._visitor.do(
            lambda who: self._visitor.office.library.resolve_list(who, path)
        )
        clips = [one.clip for one in listed or () if one.clip is not None]
        with self._here:
            for clip in clips:
                with ui.row().classes("items-center no-wrap full-width"):
                    element("span", "ellipsis", f"{printable(clip.name)} is in the library").style(
                        "flex: 1"
                    )
                    button(
                        "Add", "add", lambda clip=clip: self._add([clip]), "upload-add", flat="yes"
                    )
        if self._at_once.value:
            self._add(clips)

    def _failed(self, e: events.GenericEventArguments) -> None:
        names, answer = e.args
        said = ". ".join(filter(None, (_field(answer, "detail"), _field(answer, "remedy"))))
        name = printable(str(names[0])) if names else "The file"
        with self._here, element("div", "ry-note ry-problem") as made:
            made.props["data-testid"] = "upload-problem"
            element("span", "", f"{name}: {said or 'the connection broke off. Choose it again'}.")


def _field(answer: object, name: str) -> str:
    """A field of what the API answered."""
    try:
        said = json.loads(str(answer))
    except ValueError:
        return ""
    return str(said.get(name) or "") if isinstance(said, dict) else ""
