"""The film of a job, its contact sheet and its chapters."""

from __future__ import annotations

from nicegui import ui

from .job_look import api, tagged, trouble
from .job_read import JobView

FILM_CSS = """
.ry-film { display: grid; gap: 16px; width: 100%; grid-template-columns: minmax(0, 3fr) minmax(0, 1fr); align-items: start; }
.ry-film.is-alone { grid-template-columns: minmax(0, 1fr); }
.ry-film video { width: 100%; aspect-ratio: 16/9; max-height: 70vh; background: #000; border-radius: 8px; display: block; }
.ry-sheet { width: 100%; aspect-ratio: 16/10; object-fit: contain; object-position: top; border-radius: 6px;
  background: #14161a; display: block; cursor: zoom-in; border: none; padding: 0; }
.ry-sheet img { width: 100%; height: 100%; object-fit: contain; display: block; border-radius: 6px; }
@media (max-width: 800px) { .ry-film { grid-template-columns: minmax(0, 1fr); } }
"""


class Film:
    """The card with the film playing."""

    def __init__(self, view: JobView) -> None:
        self._video: ui.video | None = None
        if view.missing is not None:
            trouble(view.missing)
            return
        job_id = view.detail.state.job_id
        beside = view.has_sheet or bool(view.chapters)
        with ui.card().classes("ry-card q-pa-md"):
            with ui.element("div").classes("ry-film" if beside else "ry-film is-alone"):
                video = ui.video(api(job_id, "output"))
                tagged(video.props("preload=metadata playsinline"), "film-video")
                self._video = video
                if beside:
                    with ui.column().classes("full-width").style("gap: 12px; min-width: 0"):
                        if view.has_sheet:
                            _sheet(job_id)
                        if view.chapters:
                            _chapters(view.chapters)

    def seek(self, seconds: float) -> None:
        """Play from there."""
        if self._video is None:
            return
        self._video.seek(seconds)
        self._video.play()
        ui.run_javascript(
            f"getHtmlElement({self._video.id}).scrollIntoView({{block: 'nearest', behavior: 'smooth'}})"
        )


def _sheet(job_id: str) -> None:
    source = api(job_id, "contact-sheet")
    with ui.dialog().props("maximized") as dialog, ui.card().classes("items-center"):
        with ui.row().classes("full-width items-center"):
            ui.label("Contact sheet").classes("text-subtitle1")
            ui.space()
            close = ui.button(icon="close", on_click=dialog.close).props("flat round dense")
            close.props('aria-label="Close"')
        large = ui.element("img").props('alt="One picture of each item" loading=lazy')
        large.props["src"] = source
        large.style("max-width: 100%; max-height: calc(100vh - 90px); object-fit: contain")
    with ui.element("button").classes("ry-sheet") as button:
        small = ui.element("img").props('alt="Contact sheet: one picture of each item"')
        small.props["src"] = source
    button.props('type=button aria-label="Enlarge the contact sheet"').on("click", dialog.open)
    tagged(button, "contact-sheet")


def _chapters(text: str) -> None:
    with ui.column().classes("full-width").style("gap: 4px"):
        with ui.row(wrap=False).classes("items-center full-width"):
            ui.label("Chapters").classes("text-weight-medium")
            ui.space()
            copy = ui.button("Copy", icon="content_copy", on_click=lambda: _copy(text))
            tagged(copy.props("flat dense no-caps"), "chapters-copy")
        shown = ui.label(text.strip()).classes("ry-plain text-caption ry-mono full-width")
        shown.style("max-height: 260px; overflow-y: auto").props("tabindex=0")
        tagged(shown, "chapters")


def _copy(text: str) -> None:
    ui.clipboard.write(text)
    ui.notify("Copied: paste it into the film's description", type="positive")
